//! What an operator sees of a server, as `tracing` spans and events with the target `scgi`.
//!
//! Here because what is told, and how secrets and control bytes are kept out of it, is the same
//! for every runtime. Without the feature `tracing` all of it does nothing, so that adapters need
//! not ask.
//!
//! - A span `request` around the handler: `method`, `uri` without its query, `peer`. Its level is
//!   ERROR, so that whatever happens within tells its request.
//! - An event at its end (DEBUG, or WARN if the server itself refused it): `status`, `received`
//!   and `sent` in bytes, `seconds`.
//! - Events (WARN) for what was refused or closed with the reason, for handlers that fail or
//!   panic, for peers that may not connect, for failed accepts (once until one succeeds) and for
//!   a listener that others than this machine can reach.

#[cfg(feature = "tracing")]
pub use with::Trace;
#[cfg(not(feature = "tracing"))]
pub use without::Trace;

#[cfg(feature = "tracing")]
mod with {
    use core::any::Any;
    use core::fmt;
    use core::time::Duration;
    use std::boxed::Box;
    use std::format;
    use std::io;
    use std::string::{String, ToString};
    use std::time::Instant;

    use tracing::field::Empty;
    use tracing::{Level, Span, debug, enabled, error_span, warn};

    use crate::error::Error;
    use crate::exchange::peer::Peer;
    use crate::exchange::server::ServerExchange;
    use crate::wire::escape::Escaped;
    use crate::wire::request::RequestHead;
    use crate::wire::response::Status;

    /// What is told of one request; see the [module](crate::trace).
    #[derive(Debug, Clone)]
    pub struct Trace {
        /// `None` if nobody listens, and boxed, as it is part of each request that waits.
        request: Option<Box<Request>>,
    }

    #[derive(Debug, Clone)]
    struct Request {
        span: Span,
        begun: Instant,
    }

    impl Trace {
        /// Opens the span of a request.
        #[must_use]
        pub fn begin(head: &RequestHead, peer: Option<&Peer>) -> Self {
            let uri = head.request_uri().unwrap_or_default();
            // A query may hold what nobody else should read.
            let path = uri.split(|&byte| byte == b'?').next().unwrap_or_default();
            let span = error_span!(
                target: "scgi",
                "request",
                method = %Escaped(head.method().unwrap_or_default()),
                uri = %Escaped(path),
                peer = Empty,
            );
            if let Some(peer) = peer.filter(|_| !span.is_disabled()) {
                span.record("peer", peer.to_string());
            }
            let listens = !span.is_disabled() || enabled!(target: "scgi", Level::WARN);
            let request = listens.then(|| Box::new(Request { span, begun: Instant::now() }));
            Self { request }
        }

        /// Runs a part of the handler within the span.
        pub fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
            match &self.request {
                Some(request) => request.span.in_scope(run),
                None => run(),
            }
        }

        /// Tells how the request ended.
        pub fn finish(&self, exchange: &ServerExchange) {
            let Some(request) = &self.request else { return };
            let (received, sent) = exchange.traffic();
            let status = exchange.status().map(Status::code);
            let seconds = request.begun.elapsed().as_secs_f64();
            self.in_scope(|| match exchange.refusal() {
                Some(_) => {
                    warn!(target: "scgi", status, received, sent, seconds, "refused");
                }
                None if !exchange.is_reply_written() => {
                    warn!(target: "scgi", status, received, sent, seconds, "broken off");
                }
                None => debug!(target: "scgi", status, received, sent, seconds, "answered"),
            });
        }

        /// Tells why a connection got no answer from the handler.
        pub fn failed(error: &Error, peer: Option<&Peer>) {
            let peer = peer.map(ToString::to_string);
            match core::error::Error::source(error) {
                Some(reason) => warn!(target: "scgi", peer, %reason, "{error}"),
                None => warn!(target: "scgi", peer, "{error}"),
            }
        }

        /// Tells why the program did not answer, unless that is the peer's fault, which was told.
        pub fn program_failed(
            exchange: &ServerExchange,
            error: &(dyn core::error::Error + 'static),
        ) {
            if exchange.refusal().is_some() || exchange.is_closed() {
                return;
            }
            let sources = core::iter::successors(error.source(), |error| error.source());
            let reason = sources.fold(error.to_string(), |text, error| format!("{text}: {error}"));
            let reason = Escaped(reason.as_bytes());
            warn!(target: "scgi", %reason, "the program failed");
        }

        /// Tells of a panic of the program, which [`catch_unwind`](std::panic::catch_unwind) gave.
        pub fn panicked(panic: &(dyn Any + Send)) {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let reason = Escaped(text.unwrap_or("(no text)").as_bytes());
            warn!(target: "scgi", %reason, "the program panicked");
        }

        /// Tells of a peer that is not on the allow-list.
        pub fn denied(peer: &Peer) {
            warn!(target: "scgi", %peer, "the peer may not connect");
        }

        /// Tells of a connection that had to make room on a full server.
        pub fn evicted() {
            warn!(target: "scgi", "closed a connection without a head: the server is full");
        }

        /// Tells that accepting failed, and when it is tried again.
        pub fn accept_failed(error: &io::Error, delay: Duration) {
            warn!(target: "scgi", %error, ?delay, "cannot accept; trying again until it works");
        }

        /// Reports that a thread cannot be made. The server continues with those it has.
        pub fn thread_failed(error: &io::Error) {
            warn!(
                target: "scgi",
                %error,
                "cannot make a thread; continuing with fewer, and trying again until it works"
            );
        }

        /// Warns of an address on which others than this machine can connect.
        pub fn open_to_network(address: &dyn fmt::Display) {
            warn!(
                target: "scgi",
                %address,
                "listening beyond this machine: SCGI has no authentication, so whoever can \
                 connect can claim any REMOTE_ADDR and REMOTE_USER; use an allow-list, a \
                 firewall or a Unix socket"
            );
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod without {
    use core::any::Any;
    use core::fmt;
    use core::time::Duration;
    use std::io;

    use crate::error::Error;
    use crate::exchange::peer::Peer;
    use crate::exchange::server::ServerExchange;
    use crate::wire::request::RequestHead;

    /// What is told of one request: nothing without the feature `tracing`.
    #[derive(Debug, Clone)]
    pub struct Trace;

    impl Trace {
        /// Opens the span of a request.
        #[must_use]
        pub fn begin(_: &RequestHead, _: Option<&Peer>) -> Self {
            Self
        }

        /// Runs a part of the handler within the span.
        pub fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
            run()
        }

        /// Tells how the request ended.
        pub fn finish(&self, _: &ServerExchange) {}

        /// Tells why a connection got no answer from the handler.
        pub fn failed(_: &Error, _: Option<&Peer>) {}

        /// Tells why the program did not answer.
        pub fn program_failed(_: &ServerExchange, _: &(dyn core::error::Error + 'static)) {}

        /// Tells of a panic of the program.
        pub fn panicked(_: &(dyn Any + Send)) {}

        /// Tells of a peer that is not on the allow-list.
        pub fn denied(_: &Peer) {}

        /// Tells of a connection that had to make room on a full server.
        pub fn evicted() {}

        /// Tells that accepting failed, and when it is tried again.
        pub fn accept_failed(_: &io::Error, _: Duration) {}

        /// Reports that a thread cannot be made.
        pub fn thread_failed(_: &io::Error) {}

        /// Warns of an address on which others than this machine can connect.
        pub fn open_to_network(_: &dyn fmt::Display) {}
    }
}
