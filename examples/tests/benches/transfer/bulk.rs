//! Large bodies: throughput, processor time and memory of the server.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use scgi_tests::BoxError;

use crate::server::{
    BUFFER, Job, REQUEST, Runtime, Server, Shape, Task, Transport, connect, upload_head,
};
use crate::table::{cell, header, ratio, row};

/// Rounds that a server lives. By where its memory lies, one is faster than the next for all its
/// life, by some hundredths.
const LIFE: usize = 4;

/// What each round took of a server: MiB per second, and seconds of its processor. And the most KiB
/// that each server had held before its rounds, and after.
#[derive(Default)]
struct Figures {
    speed: Vec<f64>,
    cpu: Vec<f64>,
    before: Vec<f64>,
    after: Vec<f64>,
}

impl Figures {
    fn round(&mut self, server: &Server, job: Job, size: u64) -> Result<(), BoxError> {
        let (cpu, start) = (server.cpu()?, Instant::now());
        transfer(server, job, size)?;
        self.speed.push((size >> 20) as f64 / start.elapsed().as_secs_f64());
        let cpu = server.cpu()?.checked_sub(cpu).ok_or("a thread of the server has ended")?;
        self.cpu.push(cpu.as_secs_f64());
        Ok(())
    }
}

/// Starts a server, which has then worked once.
fn start(task: Task, transport: Transport, processors: &Processors) -> Result<Server, BoxError> {
    // The server inherits it.
    sched_setaffinity(None, &processors.server)?;
    let server = Server::start(task, transport)?;
    sched_setaffinity(None, &processors.client)?;
    // The bare loop ends after that many bytes, so a warm-up is a whole transfer.
    transfer(&server, task.job, task.size)?;
    Ok(server)
}

/// Where server and client run: the same transfer takes half as long or twice, as the system puts
/// them together or moves them.
struct Processors {
    name: &'static str,
    server: CpuSet,
    client: CpuSet,
}

impl Processors {
    /// Apart, on the first and the last, as fast as it gets; over TCP even a bare loop is then 0.5 or
    /// 2 x itself from round to round, by who waits for whom. Together on the first, they take turns,
    /// and what the server takes of it repeats.
    fn find() -> Result<Vec<Self>, BoxError> {
        let usable = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&cpu| usable.is_set(cpu)).map(|cpu| {
            let mut one = CpuSet::new();
            one.set(cpu);
            one
        });
        let server = usable.next().ok_or("no processor")?;
        let apart = usable.next_back().map(|client| Self { name: "apart", server, client });
        let together = Self { name: "together", server, client: server };
        Ok(apart.into_iter().chain([together]).collect())
    }
}

/// Sends or takes the bytes, as fast as a plain loop does.
fn transfer(server: &Server, job: Job, size: u64) -> Result<(), BoxError> {
    let mut stream = connect(&server.address)?;
    let mut buf = vec![b'x'; BUFFER];
    if job == Job::Upload {
        stream.write_all(&upload_head(size))?;
        for _ in 0..size / BUFFER as u64 {
            stream.write_all(&buf)?;
        }
    } else {
        stream.write_all(REQUEST)?;
    }
    let mut received = 0;
    loop {
        match stream.read(&mut buf)? {
            0 => break,
            count => received += count as u64,
        }
    }
    let expected = if job == Job::Upload { 200 } else { size };
    if received < expected {
        return Err(format!("{received} bytes instead of {expected}").into());
    }
    Ok(())
}

pub(crate) fn print(job: Job, size: u64, rounds: usize) -> Result<(), BoxError> {
    // A thread of its own, as what comes after this is to run on all processors.
    thread::scope(|scope| scope.spawn(|| compare(job, size, rounds)).join())
        .map_err(|_| "the client panicked")?
}

fn compare(job: Job, size: u64, rounds: usize) -> Result<(), BoxError> {
    header(&[
        &format!("{job:?} of {} MiB", size >> 20),
        "MiB/s",
        "bare: MiB/s",
        "x bare",
        "CPU s",
        "bare: CPU s",
        "bare CPU / CPU",
        "peak KiB, before and after",
    ]);
    for processors in Processors::find()? {
        for runtime in [Runtime::Tokio, Runtime::Smol, Runtime::Blocking] {
            for transport in [Transport::Unix, Transport::Tcp] {
                let task = |bare| Task { runtime, job, shape: Shape::One, bare, size };
                let (mut ours, mut bare) = (Figures::default(), Figures::default());
                for life in 0..rounds.div_ceil(LIFE) {
                    let mut tasks = [(&mut ours, task(false)), (&mut bare, task(true))];
                    // In turn first, here and in each round, as the second may find a warmer machine.
                    tasks.rotate_left(life % 2);
                    live(tasks, transport, &processors, LIFE.min(rounds - life * LIFE))?;
                }
                row(&[
                    &format!("{runtime:?}, {transport:?}, {}", processors.name),
                    &cell(&ours.speed, 0),
                    &cell(&bare.speed, 0),
                    &ratio(&ours.speed, &bare.speed),
                    &cell(&ours.cpu, 3),
                    &cell(&bare.cpu, 3),
                    &ratio(&bare.cpu, &ours.cpu),
                    &format!("{}, {}", cell(&ours.before, 0), cell(&ours.after, 0)),
                ]);
            }
        }
    }
    Ok(())
}

/// Starts both servers and lets them work in turn.
fn live(
    tasks: [(&mut Figures, Task); 2],
    transport: Transport,
    processors: &Processors,
    rounds: usize,
) -> Result<(), BoxError> {
    let mut cases = Vec::new();
    for (figures, task) in tasks {
        let server = start(task, transport, processors)?;
        figures.before.push(server.peak()?);
        cases.push((figures, task, server));
    }
    for _ in 0..rounds {
        for (figures, task, server) in &mut cases {
            figures.round(server, task.job, task.size)?;
        }
        cases.reverse();
    }
    for (figures, _, server) in cases {
        figures.after.push(server.peak()?);
    }
    Ok(())
}
