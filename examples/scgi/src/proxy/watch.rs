//! What the bytes of an exchange are. They are only looked at: whatever they are, they pass.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use scgi_proto::{Limits, Policy, RequestDecoder, RequestHead, ResponseDecoder};

use super::end::{End, Peer};
use super::findings::findings;
use super::show;
use crate::capture::Capture;
use crate::watched::Message;

/// Apache's own limits let it send a header block of about 800 kB.
const HEADER_BLOCK: usize = 1 << 20;

/// So much of a response is kept for looking at its head, in bytes.
const START: usize = 64 * 1024;

/// An exchange as far as it has gone.
pub(crate) struct Watch {
    pub(crate) number: u64,
    begun: Instant,
    pub(crate) connected_at: Option<Duration>,
    pub(crate) request: Message<RequestDecoder>,
    pub(crate) reply: Message<ResponseDecoder>,
    /// The first bytes of the reply.
    pub(crate) start: Vec<u8>,
    capture: Option<Capture>,
    pub(crate) capture_error: Option<io::Error>,
}

impl Watch {
    pub(crate) fn new(number: u64, capture: Option<Capture>) -> Self {
        let limits = Limits::default().with_max_header_block_len(HEADER_BLOCK);
        Self {
            number,
            begun: Instant::now(),
            connected_at: None,
            request: Message::new(RequestDecoder::new(limits, Policy::default())),
            reply: Message::new(ResponseDecoder::default()),
            start: Vec::new(),
            capture,
            capture_error: None,
        }
    }

    /// The backend has accepted.
    pub(crate) fn connected(&mut self) {
        self.connected_at = Some(self.begun.elapsed());
    }

    /// Whether the request is one whose reply has no body.
    pub(crate) fn is_head_request(&self) -> bool {
        let method = self.request.head.as_ref().and_then(RequestHead::method);
        method == Some(b"HEAD")
    }

    /// Takes bytes of the request; what is to be shown.
    pub(crate) fn request(&mut self, bytes: &[u8]) -> Option<String> {
        // The bytes of a tunnel are not saved: it has no known end.
        if !self.reply.is_tunnel {
            self.save(|capture| capture.sent(bytes));
        }
        if !self.request.take(bytes, self.begun.elapsed()) {
            return None;
        }
        if self.reply.bytes == 0 {
            if self.is_head_request() {
                self.reply = Message::new(ResponseDecoder::default().without_body());
            } else if self.request.head.as_ref().is_some_and(|head| head.upgrade().is_some()) {
                self.reply = Message::new(ResponseDecoder::default().with_upgrade());
            }
        }
        Some(show::request(self))
    }

    /// Takes bytes of the reply; what is to be shown.
    pub(crate) fn reply(&mut self, bytes: &[u8]) -> Option<String> {
        let wanted = START.saturating_sub(self.start.len()).min(bytes.len());
        if self.reply.head.is_none() {
            self.start.extend_from_slice(&bytes[..wanted]);
        }
        let was_tunnel = self.reply.is_tunnel;
        let came = self.reply.take(bytes, self.begun.elapsed());
        if !was_tunnel {
            let rest = self.reply.take_first_of_tunnel().len();
            self.save(|capture| capture.received(&bytes[..bytes.len() - rest]));
        }
        came.then(|| show::reply(self))
    }

    /// What passed through the tunnel, to the backend and back, if there is one.
    pub(crate) fn tunnel(&self) -> Option<(u64, u64)> {
        let Self { request, reply, .. } = self;
        reply.is_tunnel.then(|| (request.surplus, reply.bytes - reply.head_len))
    }

    /// Who ended the tunnel first, and when.
    pub(crate) fn tunnel_end(&self, end: &End) -> Option<(Peer, Duration)> {
        let now = self.begun.elapsed();
        match (end, self.request.ended_at, self.reply.ended_at) {
            _ if !self.reply.is_tunnel => None,
            (_, Some(front), backend) if backend.is_none_or(|at| front <= at) => {
                Some((Peer::Front, front))
            }
            (_, _, Some(backend)) => Some((Peer::Backend, backend)),
            (End::Broken { by, .. }, ..) => Some((*by, now)),
            _ => None,
        }
    }

    fn save(&mut self, write: impl FnOnce(&mut Capture) -> io::Result<()>) {
        let Some(capture) = &mut self.capture else { return };
        if let Err(error) = write(capture) {
            // Half a capture would only mislead further on.
            self.capture = None;
            self.capture_error = Some(error);
        }
    }

    /// The last lines about the exchange, and whether there was something odd about it.
    pub(crate) fn end(&self, end: &End) -> (String, bool) {
        let findings = findings(self, end);
        (show::end(self, end, self.begun.elapsed(), &findings), !findings.is_empty())
    }
}

/// A [`Watch`] that both directions report to.
pub(crate) struct Shared(Mutex<Watch>);

impl Shared {
    pub(crate) fn new(watch: Watch) -> Self {
        Self(Mutex::new(watch))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn request(&self, bytes: &[u8]) {
        let text = self.lock().request(bytes);
        show::print(&text.unwrap_or_default());
    }

    pub(crate) fn reply(&self, bytes: &[u8]) {
        let text = self.lock().reply(bytes);
        show::print(&text.unwrap_or_default());
    }
}
