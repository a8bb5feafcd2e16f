//! The program of an upgrade, and the thread that runs it.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use scgi_proto::BoxError;
use scgi_proto::trace::Trace;

use super::Upgraded;
use crate::connection::Connection;
use crate::pool::{UpgradedPlace, Worker};

/// What the program does with the connection.
pub(crate) struct Program {
    run: Box<dyn FnOnce(Upgraded) -> Result<(), BoxError> + Send>,
    /// The span of its request.
    trace: Option<Trace>,
}

impl Program {
    pub(crate) fn new(run: impl FnOnce(Upgraded) -> Result<(), BoxError> + Send + 'static) -> Self {
        Self { run: Box::new(run), trace: None }
    }

    pub(crate) fn with_trace(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// Runs it, and logs if it fails or panics.
    fn run(self, io: Upgraded) {
        let run = || match catch_unwind(AssertUnwindSafe(|| (self.run)(io))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => Trace::upgraded_failed(&*error),
            Err(panic) => Trace::panicked(&*panic),
        };
        match &self.trace {
            Some(trace) => trace.in_scope(run),
            None => run(),
        }
    }
}

/// Where the program of an upgrade runs.
pub(crate) trait Launch {
    /// What is ready to run it.
    type Start;

    /// Makes sure that it can run, before the 101 is sent. `None` if it cannot.
    fn prepare(&self) -> Option<Self::Start>;

    /// Runs it with a connection whose 101 was sent.
    fn run<IO: Read + Write + Send + 'static>(
        &self,
        start: Self::Start,
        program: Program,
        connection: Connection<IO>,
    );
}

/// On the thread that has answered.
pub(crate) struct InPlace;

impl Launch for InPlace {
    type Start = ();

    fn prepare(&self) -> Option<()> {
        Some(())
    }

    fn run<IO: Read + Write + Send + 'static>(
        &self,
        (): (),
        program: Program,
        connection: Connection<IO>,
    ) {
        program.run(Upgraded::of_server(connection, None));
    }
}

/// On a thread of its own, so that those which answer requests stay free. There are as many as the
/// pool has places for.
impl Launch for Worker {
    type Start = Start;

    fn prepare(&self) -> Option<Start> {
        let place = self.reserve_upgraded()?;
        let (sender, started) = sync_channel(1);
        let run = move || {
            // Nothing comes if the 101 could not be sent.
            if let Ok(Started { program, io, place }) = started.recv() {
                program.run(io);
                drop(place);
            }
        };
        let thread = thread::Builder::new().name("scgi-upgraded".to_owned()).spawn(run);
        if let Err(error) = thread {
            Trace::thread_failed(&error);
            return None;
        }
        Some(Start { sender, place })
    }

    fn run<IO: Read + Write + Send + 'static>(
        &self,
        start: Start,
        program: Program,
        connection: Connection<IO>,
    ) {
        let Start { sender, mut place } = start;
        place.begin(self);
        // The place is the program's until it has ended, and the connection's until that is closed,
        // wherever the program has put it.
        let place = Arc::new(place);
        let io = Upgraded::of_server(connection, Some(Arc::clone(&place)));
        // The thread waits for it.
        let _ = sender.send(Started { program, io, place });
    }
}

/// A thread that waits for its program.
pub(crate) struct Start {
    sender: SyncSender<Started>,
    place: UpgradedPlace,
}

/// What such a thread gets.
struct Started {
    program: Program,
    io: Upgraded,
    place: Arc<UpgradedPlace>,
}
