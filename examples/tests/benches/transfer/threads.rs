//! What a second thread gains, with the client on the same processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use scgi_tests::BoxError;

use crate::client::bare_tokio;
use crate::server::{Job, Runtime, Server, Shape, Task, Transport};
use crate::table::{cell, header, ratio, row};

/// Requests at once.
const IN_FLIGHT: usize = 64;

/// Answers per second to `requests` requests.
async fn load(server: &Server, requests: usize) -> Result<f64, BoxError> {
    let left = Arc::new(AtomicUsize::new(requests));
    let start = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (address, left) = (server.address.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let mut buf = Vec::with_capacity(1024);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    bare_tokio(&address, &mut buf).await?;
                }
                Ok::<_, std::io::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(requests as f64 / start.elapsed().as_secs_f64())
}

/// A server with one thread and with two.
struct Pair {
    one: (Server, Vec<f64>),
    two: (Server, Vec<f64>),
}

impl Pair {
    fn start(shape: Shape, bare: bool, transport: Transport) -> Result<Self, BoxError> {
        let start = |shape| {
            let task = Task { runtime: Runtime::Tokio, job: Job::Reply, shape, bare, size: 0 };
            Server::start(task, transport).map(|server| (server, Vec::new()))
        };
        Ok(Self { one: start(Shape::One)?, two: start(shape)? })
    }

    async fn round(&mut self, requests: usize) -> Result<(), BoxError> {
        for (server, rates) in [&mut self.one, &mut self.two] {
            rates.push(load(server, requests).await?);
        }
        Ok(())
    }

    fn gains(&self) -> Vec<f64> {
        self.two.1.iter().zip(&self.one.1).map(|(two, one)| two / one).collect()
    }
}

pub(crate) fn print(requests: usize, rounds: usize) -> Result<(), BoxError> {
    header(&[
        &format!("{IN_FLIGHT} requests at once"),
        "one thread: 1/s",
        "two: 1/s",
        "gain",
        "bare, one: 1/s",
        "bare, two: 1/s",
        "bare gain",
        "gain / bare gain",
    ]);
    let client =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cases = [
        (Shape::Multi, Transport::Unix),
        (Shape::Multi, Transport::Tcp),
        (Shape::Cores, Transport::Tcp),
    ];
    for (shape, transport) in cases {
        let mut ours = Pair::start(shape, false, transport)?;
        let mut bare = Pair::start(shape, true, transport)?;
        client.block_on(async {
            for _ in 0..rounds {
                ours.round(requests).await?;
                bare.round(requests).await?;
            }
            Ok::<_, BoxError>(())
        })?;
        row(&[
            &format!("{shape:?}, {transport:?}"),
            &cell(&ours.one.1, 0),
            &cell(&ours.two.1, 0),
            &cell(&ours.gains(), 3),
            &cell(&bare.one.1, 0),
            &cell(&bare.two.1, 0),
            &cell(&bare.gains(), 3),
            &ratio(&ours.gains(), &bare.gains()),
        ]);
    }
    Ok(())
}
