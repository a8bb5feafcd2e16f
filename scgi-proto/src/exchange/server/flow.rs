//! What to do with the input of a connection in each of its states.
//!
//! This is the table of the guide [`flow`](crate::guide::flow), for the machine. The tests read
//! the table from that page.

use core::time::Duration;

use super::ServerExchange;
use super::state::{BodyUse, Phase, Upgrade};
use crate::exchange::nanos::Nanos;

/// What to do with the input of a connection now; see [`ServerExchange::read_plan`].
///
/// These are all: an event loop must handle each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPlan {
    /// Read: someone waits for what comes.
    Deliver,
    /// Read, and throw away what comes ([`ServerExchange::handle_discarded`]): no one can ask
    /// for it any more, and to read it shows whether the peer leaves, or lets it read in turn.
    Discard,
    /// Read, at most [`ServerExchange::max_kept_len`] bytes, and keep what comes: it belongs to the
    /// protocol that the program may change to.
    Keep,
    /// Do not read. Ask the system once a second whether the peer has left, and report
    /// [`ServerExchange::handle_watching`] while waiting.
    Watch,
    /// Do not read.
    Nothing,
}

impl ServerExchange {
    /// What to do with the input now: the table of the guide [`flow`](crate::guide::flow).
    #[must_use]
    pub fn read_plan(&self) -> ReadPlan {
        match self.phase {
            Phase::Drain => ReadPlan::Discard,
            Phase::Shutdown | Phase::Upgraded | Phase::Closed { .. } => ReadPlan::Nothing,
            Phase::Open if self.receiver.is_eof() => ReadPlan::Nothing,
            Phase::Open => self.open_plan(),
        }
    }

    fn open_plan(&self) -> ReadPlan {
        let waits_for_peer = self.wants_write();
        if !self.is_unwanted() {
            return match self.body {
                _ if !self.head_seen => ReadPlan::Deliver,
                BodyUse::Wanted | BodyUse::Asked => ReadPlan::Deliver,
                _ if waits_for_peer || self.ignore_client_abort => ReadPlan::Nothing,
                _ => ReadPlan::Watch,
            };
        }
        if self.upgrade != Upgrade::None {
            return self.offer_plan();
        }
        match (waits_for_peer, self.ignore_client_abort) {
            (true, _) if self.timeouts.max_drain_len > 0 => ReadPlan::Discard,
            (true, _) | (false, true) => ReadPlan::Nothing,
            (false, false) if self.max_discard_len > 0 => ReadPlan::Discard,
            (false, false) => ReadPlan::Watch,
        }
    }

    /// While an upgrade is offered, or its 101 waits for the peer.
    fn offer_plan(&self) -> ReadPlan {
        match self.upgrade {
            Upgrade::Granted => ReadPlan::Nothing,
            _ if self.max_kept_len() > 0 => ReadPlan::Keep,
            _ if self.ignore_client_abort => ReadPlan::Nothing,
            _ => ReadPlan::Watch,
        }
    }

    /// Whether no one can ask for anything that still comes.
    fn is_unwanted(&self) -> bool {
        self.request_failed || self.body == BodyUse::Dropped || self.body_remaining() == Some(0)
    }

    /// Whether a read has to be tried: for the program, or so that the peer continues.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.read_plan() {
            ReadPlan::Deliver => true,
            ReadPlan::Discard => self.phase == Phase::Drain || self.wants_write(),
            ReadPlan::Keep | ReadPlan::Watch | ReadPlan::Nothing => false,
        }
    }

    /// Whether a read may be tried only to learn that the peer is gone, while the program works.
    #[must_use]
    pub fn may_watch(&self) -> bool {
        self.phase == Phase::Open && self.read_plan() == ReadPlan::Discard && !self.wants_write()
    }

    /// Whether the peer closed while the program works, which then works for no one; see
    /// [`ConnectionConfig::with_ignore_client_abort`](crate::ConnectionConfig::with_ignore_client_abort).
    ///
    /// While a response waits for the peer, a peer that has closed its side may still read.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.receiver.is_eof()
            && self.phase == Phase::Open
            && !self.ignore_client_abort
            && !self.request_failed
            && self.is_unwanted()
            && !self.wants_write()
    }

    /// Whether the stream has failed while the program works, which then works for no one.
    #[cfg(feature = "driver")]
    pub(crate) fn is_lost(&self) -> bool {
        self.is_closed() && !self.ignore_client_abort
    }

    /// Reports that the system was asked and knows that the peer has left, although unread bytes
    /// wait: breaks the connection if [`read_plan`](Self::read_plan) was to watch for that.
    pub fn handle_peer_left(&mut self) {
        if self.read_plan() == ReadPlan::Watch {
            self.abort();
        }
    }

    /// Reports a read whose `count` bytes were thrown away, for [`ReadPlan::Discard`]. Reports 0
    /// at the end of input.
    pub fn handle_discarded(&mut self, count: usize) {
        if count == 0 {
            self.receive_slice(&[]);
            return;
        }
        self.received += count as u64;
        self.discard(count);
        if self.phase == Phase::Open {
            self.receiver.skip(count as u64);
        }
    }

    /// Counts `count` bytes that no one asked for, and drops what is in the buffer.
    pub(super) fn discard(&mut self, count: usize) {
        let count = count as u64;
        if self.phase == Phase::Drain {
            self.receiver.discard();
            match self.timeouts.max_drain_len.checked_sub(count) {
                Some(left) => self.timeouts.max_drain_len = left,
                None => self.close(),
            }
            return;
        }
        let limit = if self.wants_write() {
            // Together with what is drained once the response is complete.
            &mut self.timeouts.max_drain_len
        } else {
            &mut self.max_discard_len
        };
        *limit = limit.saturating_sub(count);
        self.receiver.skip_buffered();
    }

    /// Reports that a reader of the body has asked for a chunk, and may be elsewhere: if the
    /// body is late, the response to that waits until the reader knows.
    pub fn handle_body_asked(&mut self) {
        self.end_hold();
        if matches!(self.body, BodyUse::Held | BodyUse::Wanted) {
            self.body = BodyUse::Asked;
        }
    }

    /// Reports that a reader waits for the body, who learns of a deadline himself.
    #[cfg(feature = "driver")]
    pub(crate) fn handle_body_wanted(&mut self) {
        self.end_hold();
        if self.body == BodyUse::Held {
            self.body = BodyUse::Wanted;
        }
    }

    /// A reader waits from now on. Once the response is complete, the deadline is that of the drain.
    fn end_hold(&mut self) {
        if self.body == BodyUse::Held && self.phase == Phase::Open {
            self.deadlines.input = Nanos::NEVER;
        }
    }

    /// Reports that the program holds the body and does not wait for it, or no longer. This ends
    /// the deadline of the body.
    pub fn handle_body_held(&mut self, now: impl FnOnce() -> Duration) {
        if matches!(self.body, BodyUse::Wanted | BodyUse::Asked) {
            let now = now();
            self.body_pace.pay(now);
            self.body_pace.end();
            self.body = BodyUse::Held;
            if self.head_seen && self.phase == Phase::Open {
                self.deadlines.input = self.timeouts.unread.after(now);
            }
        }
    }

    /// Reports that no one can read the rest of the body any more.
    pub fn handle_body_unwanted(&mut self) {
        if self.phase == Phase::Open && self.head_seen {
            self.body = BodyUse::Dropped;
            self.body_pace.end();
            self.deadlines.input = Nanos::NEVER;
        }
    }

    /// Whether the body is late and its reader does not know yet.
    #[must_use]
    pub fn has_body_timed_out(&self) -> bool {
        self.body == BodyUse::TimedOut
    }

    /// Reports that the reader of a late body now knows: the request is refused with 408, if the
    /// response has not begun.
    pub fn handle_body_timeout_noticed(&mut self) {
        if self.body == BodyUse::TimedOut {
            self.body = BodyUse::Dropped;
            self.end_after_timeout(crate::exchange::timeout::Timeout::Body);
        }
    }

    /// Takes note of bytes of the body that have come; none are the end of input.
    pub(super) fn body_came(&mut self, count: usize) {
        if self.body != BodyUse::Held {
            self.deadlines.input = Nanos::NEVER;
        }
        self.body_pace.end();
        self.body_pace.earn(count, self.timeouts.body_per_byte, self.timeouts.body);
        if count > 0 && self.read_plan() == ReadPlan::Discard {
            self.discard(count);
        }
    }
}
