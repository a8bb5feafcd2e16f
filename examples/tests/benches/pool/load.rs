//! The clients.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use scgi_tests::BoxError;
use tokio::task::LocalSet;

use crate::server::{Outcome, Server, ask, request};

/// What a closed loop has measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed {
    /// Answers per second.
    pub(crate) rate: f64,
    /// Processor time of the server for each, in microseconds.
    pub(crate) cpu: f64,
}

/// Clients that ask again as soon as they are answered. The first fifth of the time is not counted.
pub(crate) async fn closed(
    server: &Server,
    clients: usize,
    uri: &str,
    time: Duration,
) -> Result<Closed, BoxError> {
    let (answered, failed) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(None)));
    let is_over = Rc::new(Cell::new(false));
    let request = Rc::new(request(uri));
    let set = LocalSet::new();
    for _ in 0..clients {
        let (answered, failed, is_over) = (answered.clone(), failed.clone(), is_over.clone());
        let (address, request) = (server.address.clone(), request.clone());
        set.spawn_local(async move {
            let mut buf = Vec::with_capacity(1024);
            while !is_over.get() {
                match ask(&address, &request, &mut buf).await {
                    Outcome::Answered => answered.set(answered.get() + 1),
                    Outcome::NotConnected => failed.set(Some("not connected".into())),
                    Outcome::Failed(reason) => failed.set(Some(reason)),
                }
            }
        });
    }
    let measure = async {
        tokio::time::sleep(time / 5).await;
        let (begun, before, cpu) = (Instant::now(), answered.get(), server.cpu()?);
        tokio::time::sleep(time).await;
        let (took, count) = (begun.elapsed(), answered.get() - before);
        let cpu = server.cpu()?.checked_sub(cpu).ok_or("a thread of the server has ended")?;
        is_over.set(true);
        Ok::<_, BoxError>((took, count, cpu))
    };
    let (took, count, cpu) = set.run_until(measure).await?;
    // Lets them finish, so that the server is idle afterwards.
    set.await;
    if let Some(failure) = failed.take() {
        return Err(format!("{uri}: a request failed: {failure}").into());
    }
    let count = count as f64;
    Ok(Closed { rate: count / took.as_secs_f64(), cpu: cpu.as_secs_f64() * 1e6 / count.max(1.0) })
}

/// What an open loop has measured.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// In milliseconds, in the order in which the requests were due.
    pub(crate) latencies: Vec<f64>,
    /// Requests that connected and got no whole answer, and why.
    pub(crate) failed: BTreeMap<String, u64>,
}

/// Clients that ask at a fixed rate, also while others wait. A server that is full closes
/// connections whose head is late.
pub(crate) async fn open(server: &Server, rate: f64, uri: &str, time: Duration) -> Open {
    let all = Rc::new(RefCell::new(Open::default()));
    let request = Rc::new(request(uri));
    let set = LocalSet::new();
    let count = (rate * time.as_secs_f64()) as usize;
    all.borrow_mut().latencies.resize(count, f64::INFINITY);
    let run = async {
        let begun = Instant::now();
        let mut next = 0;
        while next < count {
            // As many as are due by now. Those of one moment come together, as a timer has steps.
            let due = (begun.elapsed().as_secs_f64() * rate) as usize + 1;
            while next < due.min(count) {
                let all = all.clone();
                let (address, request) = (server.address.clone(), request.clone());
                let place = next;
                let start = Instant::now();
                tokio::task::spawn_local(async move {
                    let outcome = ask(&address, &request, &mut Vec::with_capacity(1024)).await;
                    let mut all = all.borrow_mut();
                    match outcome {
                        Outcome::Answered => {}
                        Outcome::NotConnected => {
                            *all.failed.entry("not connected".into()).or_default() += 1;
                        }
                        Outcome::Failed(reason) => *all.failed.entry(reason).or_default() += 1,
                    }
                    all.latencies[place] = start.elapsed().as_secs_f64() * 1e3;
                });
                next += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    set.run_until(run).await;
    set.await;
    all.take()
}

/// What happened to the requests of a server that was stopped.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stopped {
    pub(crate) answered: u64,
    /// Connected, but without a whole answer.
    pub(crate) failed: u64,
}

/// Clients in a closed loop until connecting fails; the server gets its stop signal after `time`.
pub(crate) async fn stopped(
    server: &Server,
    clients: usize,
    uri: &str,
    time: Duration,
) -> Result<Stopped, BoxError> {
    let stopped = Rc::new(Cell::new(Stopped::default()));
    let request = Rc::new(request(uri));
    let set = LocalSet::new();
    for _ in 0..clients {
        let stopped = stopped.clone();
        let (address, request) = (server.address.clone(), request.clone());
        set.spawn_local(async move {
            let mut buf = Vec::with_capacity(1024);
            loop {
                let outcome = ask(&address, &request, &mut buf).await;
                let mut sum = stopped.get();
                match outcome {
                    Outcome::Answered => sum.answered += 1,
                    Outcome::Failed(_) => sum.failed += 1,
                    Outcome::NotConnected => return,
                }
                stopped.set(sum);
            }
        });
    }
    set.run_until(tokio::time::sleep(time)).await;
    server.terminate()?;
    set.await;
    Ok(stopped.get())
}
