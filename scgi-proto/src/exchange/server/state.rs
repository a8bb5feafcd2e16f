//! How far a connection, its response, its body and its upgrade are.

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The response is written; the write side must be shut down, then input is drained.
    Shutdown,
    Drain,
    /// The head of a 101 is written: the connection belongs to the program.
    Upgraded,
    Closed {
        reset: bool,
    },
}

/// How far its response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseState {
    None,
    Open,
    /// Still open, and the stream was set to send each piece immediately.
    Piecewise,
    Ended,
}

/// Who reads the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyUse {
    /// Someone waits for it, or nothing else was reported.
    Wanted,
    /// A reader has asked for a chunk. It may have given up since, if it is polled.
    Asked,
    /// The program holds it and does not ask for it now.
    Held,
    /// It did not come in time, and its reader does not know yet.
    TimedOut,
    /// No one can read it any more.
    Dropped,
}

/// How far the upgrade of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// The request has no valid one, or the response is another one.
    None,
    /// The request has one, and the program decides.
    Offered,
    /// The head of a 101 is queued or written.
    Granted,
}
