//! The change of protocol on the server side: from a request that offers it, over a response with
//! status 101, to a connection that belongs to the program.
//!
//! Bytes behind such a request are not surplus, as lighttpd passes on what the client sends before
//! the 101. They are kept while the program decides, and belong to it after a 101.

use super::ServerExchange;
use super::state::{Phase, ResponseState, Upgrade};
use super::timers::Deadlines;
use crate::exchange::nanos::Nanos;
use crate::wire::encode::ResponseEncoder;
use crate::wire::request::RequestHead;
use crate::wire::response::Status;

/// Bytes that are kept while the program decides. The first messages of a client are small, and
/// many connections may be in this state.
const MAX_KEPT: usize = 16 * 1024;

impl ServerExchange {
    /// Looks at a head that has HTTP_UPGRADE.
    #[cold]
    pub(super) fn note_offer(&mut self, head: &RequestHead) {
        if head.upgrade().is_some() {
            self.upgrade = Upgrade::Offered;
            self.encoder = ResponseEncoder::default().for_upgrade();
            self.receiver.set_keeps_rest(true);
        }
    }

    /// The head of a response is queued, which decides about the offer.
    #[cold]
    pub(super) fn decide_offer(&mut self, status: Status) {
        if status != Status::SWITCHING_PROTOCOLS {
            self.decline_offer();
        } else if self.upgrade == Upgrade::Offered {
            self.upgrade = Upgrade::Granted;
            self.response = ResponseState::Ended;
            self.flush = true;
        }
    }

    /// There will be no upgrade: what was kept is surplus, as behind any request.
    #[cold]
    pub(super) fn decline_offer(&mut self) {
        self.upgrade = Upgrade::None;
        self.receiver.set_keeps_rest(false);
        self.receiver.skip_buffered();
    }

    /// The head of the 101 is written: what follows is not HTTP. The buffers are freed, because such
    /// a connection may last.
    #[cold]
    pub(super) fn begin_tunnel(&mut self) {
        self.phase = Phase::Upgraded;
        self.deadlines = Deadlines::NEVER;
        self.body_pace.end();
        self.write_pace.end();
        if self.upgraded_writes_may_wait {
            self.timeouts.write = Nanos::NEVER;
        }
        self.receiver.set_keeps_rest(true);
        self.receiver.shrink();
        self.write_buffer.release();
    }

    /// Whether the head of the request has HTTP_UPGRADE, valid or not.
    #[cfg(feature = "driver")]
    pub(crate) fn has_upgrade(&self) -> bool {
        self.receiver.decoder().notes().has_upgrade
    }

    /// Whether the program may answer 101.
    #[must_use]
    pub fn is_upgrade_offered(&self) -> bool {
        self.upgrade == Upgrade::Offered
    }

    /// Whether the response is a 101, written or not. Nothing follows its head.
    #[must_use]
    pub fn is_upgrade_granted(&self) -> bool {
        self.upgrade == Upgrade::Granted
    }

    /// Whether the head of a 101 has been written: the connection belongs to the program, raw and
    /// in both directions, beginning with what [`read_kept`](Self::read_kept) returns. Only the
    /// write timeout still holds.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.phase == Phase::Upgraded
    }

    /// At most how many bytes the next read may take for [`ReadPlan::Keep`](crate::ReadPlan::Keep).
    #[must_use]
    pub fn max_kept_len(&self) -> usize {
        MAX_KEPT.saturating_sub(self.receiver.buffered())
    }

    /// Moves bytes that came behind the request to `dst` and returns how many, after
    /// [`is_upgraded`](Self::is_upgraded); 0 if none is left, and then the stream itself is to be
    /// read.
    pub fn read_kept(&mut self, dst: &mut [u8]) -> usize {
        if self.is_upgraded() { self.receiver.take(dst) } else { 0 }
    }

    /// Reports that `count` bytes were read from the stream after the upgrade.
    pub fn handle_upgraded_read(&mut self, count: usize) {
        self.received += count as u64;
    }

    /// Reports that `count` bytes were written to the stream after the upgrade, or that what it held
    /// back has left. This ends the deadline of the write.
    pub fn handle_upgraded_written(&mut self, count: usize) {
        self.sent += count as u64;
        self.deadlines.write = Nanos::NEVER;
        self.write_pace.end();
    }
}
