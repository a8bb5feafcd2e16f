//! The log of a server, as `tracing` spans and events with the target `scgi`.
//!
//! It is in the core because the events, and the rules that keep secrets and control bytes out, are the same
//! for every runtime. Without the feature `tracing` all of it does nothing, so that adapters need
//! not ask.
//!
//! Of a method and a URI at most 1 KiB is shown, and of a URI no query, no fragment and no name and
//! password of a user.
//!
//! - A span `request` around the handler: `method`, `uri` without its query, `peer`. Its level is
//!   ERROR, so that whatever happens within tells its request.
//! - An event at its end (DEBUG, or WARN if the server itself refused it or the program broke it
//!   off): `status`, `received` and `sent` in bytes, `seconds`. A peer that leaves before it has the
//!   whole response is logged at DEBUG: it is a browser that closed a page.
//! - A warning if bytes come behind the body: the front server states a wrong length.
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
    use tracing::{Level, Span, debug, enabled, error_span, info, warn};

    use crate::error::Error;
    use crate::exchange::peer::Peer;
    use crate::exchange::server::ServerExchange;
    use crate::wire::escape::Bounded;
    use crate::wire::request::RequestHead;
    use crate::wire::request::path::{authority_len, split_scheme};
    use crate::wire::request::upgrade::UpgradeOffer;
    use crate::wire::response::Status;

    /// The span and events of one request; see the [module](crate::trace).
    #[derive(Debug, Clone)]
    pub struct Trace {
        /// `None` if no subscriber listens, and boxed, as it is part of each request that waits.
        request: Option<Box<Request>>,
    }

    #[derive(Debug, Clone)]
    struct Request {
        span: Span,
        begun: Instant,
    }

    /// At most so many bytes of a method and a URI are shown.
    const SHOWN: usize = 1024;

    /// At most so many bytes of an error of the program, which may have what a peer sent.
    const SHOWN_REASON: usize = 4 * 1024;

    /// A URI without its secrets: query, fragment, and a user's name and password.
    struct ShownUri<'a>(&'a [u8]);

    impl fmt::Display for ShownUri<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let end = self.0.iter().position(|byte| matches!(byte, b'?' | b'#'));
            let uri = &self.0[..end.unwrap_or(self.0.len())];
            let (scheme, rest) = split_scheme(uri).unwrap_or_else(|| uri.split_at(0));
            let authority = &rest[..authority_len(rest)];
            let user = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
            Bounded { bytes: scheme, max: SHOWN }.fmt(f)?;
            Bounded { bytes: &rest[user..], max: SHOWN - scheme.len().min(SHOWN) }.fmt(f)
        }
    }

    /// Whether an error only says that the peer closed or broke the connection, as a browser does
    /// whose user left.
    fn means_peer_left(error: &Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        match error {
            Error::Closed => true,
            Error::Io(error) => matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
            ),
            _ => false,
        }
    }

    impl Trace {
        /// Opens the span of a request.
        #[must_use]
        pub fn begin(head: &RequestHead, peer: Option<&Peer>) -> Self {
            let method = head.method().unwrap_or_default();
            let span = error_span!(
                target: "scgi",
                "request",
                method = %Bounded { bytes: method, max: SHOWN },
                uri = %ShownUri(head.request_uri().unwrap_or_default()),
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

        /// Reports how the request ended.
        pub fn finish(&self, exchange: &ServerExchange) {
            let Some(request) = &self.request else { return };
            let (received, sent) = exchange.byte_counts();
            let status = exchange.status().map(Status::code);
            let seconds = request.begun.elapsed().as_secs_f64();
            let surplus = exchange.surplus();
            if surplus > 0 && exchange.replacement().is_none() {
                self.in_scope(|| {
                    warn!(
                        target: "scgi",
                        surplus,
                        "bytes came behind the body that CONTENT_LENGTH states: let the front \
                         server buffer uploads, above all chunked ones"
                    );
                });
            }
            self.in_scope(|| match exchange.replacement() {
                _ if exchange.has_peer_left() => {
                    debug!(target: "scgi", status, received, sent, seconds, "the peer left");
                }
                Some(_) => {
                    warn!(target: "scgi", status, received, sent, seconds, "refused");
                }
                None if !exchange.is_response_written() => {
                    warn!(target: "scgi", status, received, sent, seconds, "broken off");
                }
                None if exchange.is_upgrade_granted() => {
                    debug!(target: "scgi", status, received, sent, seconds, "closed after an upgrade");
                }
                None => debug!(target: "scgi", status, received, sent, seconds, "answered"),
            });
        }

        /// Reports why a connection got no answer from the handler.
        pub fn failed(error: &Error, peer: Option<&Peer>) {
            let peer = peer.map(ToString::to_string);
            match (core::error::Error::source(error), means_peer_left(error)) {
                (Some(reason), true) => debug!(target: "scgi", peer, %reason, "{error}"),
                (Some(reason), false) => warn!(target: "scgi", peer, %reason, "{error}"),
                (None, true) => debug!(target: "scgi", peer, "{error}"),
                (None, false) => warn!(target: "scgi", peer, "{error}"),
            }
        }

        /// Reports why the program did not answer, unless that is the peer's fault, which was reported.
        pub fn program_failed(
            exchange: &ServerExchange,
            error: &(dyn core::error::Error + 'static),
        ) {
            if exchange.replacement().is_some() || exchange.is_closed() {
                return;
            }
            let reason = Self::reason(error);
            let reason = Bounded { bytes: reason.as_bytes(), max: SHOWN_REASON };
            warn!(target: "scgi", %reason, "the program failed");
        }

        /// Says that the connection has changed its protocol.
        pub fn upgraded() {
            debug!(target: "scgi", "upgraded");
        }

        /// Reports that a request asks for an upgrade and cannot have it. Only of a WebSocket the
        /// program or the configuration must know: `curl --http2` asks with every request.
        pub fn upgrade_refused(head: &RequestHead) {
            let Some(refusal) = head.upgrade_refusal() else { return };
            let protocols = head.params().get("HTTP_UPGRADE").unwrap_or_default();
            let protocols = Bounded { bytes: protocols, max: SHOWN };
            if protocols.bytes.eq_ignore_ascii_case(b"websocket") {
                warn!(target: "scgi", %protocols, "the upgrade is refused: {refusal}");
            } else {
                debug!(target: "scgi", %protocols, "the upgrade is refused: {refusal}");
            }
        }

        /// Reports why the program of an upgraded connection failed.
        pub fn upgraded_failed(error: &(dyn core::error::Error + 'static)) {
            let reason = Self::reason(error);
            let reason = Bounded { bytes: reason.as_bytes(), max: SHOWN_REASON };
            debug!(target: "scgi", %reason, "the program has given up an upgraded connection");
        }

        /// An error with its sources.
        fn reason(error: &(dyn core::error::Error + 'static)) -> String {
            let sources = core::iter::successors(error.source(), |error| error.source());
            sources.fold(error.to_string(), |text, error| format!("{text}: {error}"))
        }

        /// Reports that a client asks for a WebSocket, and the program was built without them.
        pub fn upgrade_unsupported(offer: UpgradeOffer<'_>) {
            // `curl --http2` offers h2c with every request.
            if offer.offers("websocket") {
                warn!(
                    target: "scgi",
                    "a client asks for a WebSocket: that needs the feature `upgrade` of scgi-tokio"
                );
            }
        }

        /// Reports a panic of the program, as returned by [`catch_unwind`](std::panic::catch_unwind).
        pub fn panicked(panic: &(dyn Any + Send)) {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let bytes = text.unwrap_or("(no text)").as_bytes();
            let reason = Bounded { bytes, max: SHOWN_REASON };
            warn!(target: "scgi", %reason, "the program panicked");
        }

        /// Reports a peer that is not on the allow-list.
        pub fn denied(peer: &Peer) {
            warn!(target: "scgi", %peer, "the peer may not connect");
        }

        /// Says what a server waits for that stops.
        pub fn stopping(connections: u64) {
            info!(target: "scgi", connections, "shutting down: waiting for the connections in progress");
        }

        /// Says that a server which stops has waited for this request, and for how long.
        pub fn waited_for(&self, exchange: &ServerExchange, waited: Duration) {
            let seconds = waited.as_secs_f64();
            let is_over = exchange.is_response_written() || exchange.has_peer_left();
            self.in_scope(|| match is_over && !exchange.wants_reset() {
                true => info!(target: "scgi", seconds, "the shutdown has waited for this request"),
                false => warn!(target: "scgi", seconds, "aborted by the shutdown"),
            });
        }

        /// Reports a connection that had to make room on a full server.
        pub fn evicted() {
            warn!(target: "scgi", "closed a connection without a head: the server is full");
        }

        /// Reports that accepting failed, and when it is tried again.
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
    use crate::wire::request::upgrade::UpgradeOffer;

    /// The span and events of one request: nothing without the feature `tracing`.
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

        /// Reports how the request ended.
        pub fn finish(&self, _: &ServerExchange) {}

        /// Reports why a connection got no answer from the handler.
        pub fn failed(_: &Error, _: Option<&Peer>) {}

        /// Reports why the program did not answer.
        pub fn program_failed(_: &ServerExchange, _: &(dyn core::error::Error + 'static)) {}

        /// Says that the connection has changed its protocol.
        pub fn upgraded() {}

        /// Reports that a request asks for an upgrade and cannot have it.
        pub fn upgrade_refused(_: &RequestHead) {}

        /// Reports why the program of an upgraded connection failed.
        pub fn upgraded_failed(_: &(dyn core::error::Error + 'static)) {}

        /// Reports that a client asks for a WebSocket, and the program was built without them.
        pub fn upgrade_unsupported(_: UpgradeOffer<'_>) {}

        /// Reports a panic of the program.
        pub fn panicked(_: &(dyn Any + Send)) {}

        /// Reports a peer that is not on the allow-list.
        pub fn denied(_: &Peer) {}

        /// Says what a server waits for that stops.
        pub fn stopping(_: u64) {}

        /// Says that a server which stops has waited for this request.
        pub fn waited_for(&self, _: &ServerExchange, _: Duration) {}

        /// Reports a connection that had to make room on a full server.
        pub fn evicted() {}

        /// Reports that accepting failed, and when it is tried again.
        pub fn accept_failed(_: &io::Error, _: Duration) {}

        /// Reports that a thread cannot be made.
        pub fn thread_failed(_: &io::Error) {}

        /// Warns of an address on which others than this machine can connect.
        pub fn open_to_network(_: &dyn fmt::Display) {}
    }
}
