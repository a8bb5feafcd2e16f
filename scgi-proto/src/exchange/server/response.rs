//! The response: what the program sends of it, what takes its place, and what is to be written.

use alloc::format;
use alloc::string::ToString;

use bytes::Bytes;

use super::ServerExchange;
use super::state::{Phase, ResponseState, Upgrade};
use crate::exchange::nanos::Nanos;
use crate::wire::encode::ResponseEncoder;
use crate::wire::error::{DecodeError, EncodeError, Protocol};
use crate::wire::event::ResponseEvent;
use crate::wire::response::{ResponseHead, Status};

/// A TLS record of a fatal alert, "handshake_failure" (RFC 8446 section 6, RFC 5246 section 7.2).
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 1, 0, 2, 2, 40];

impl ServerExchange {
    /// Queues an event of the response. The head waits for the first chunk, so that both leave
    /// together, or for [`flush`](Self::flush).
    ///
    /// # Errors
    /// If the event cannot be sent, or not now. Nothing of it is queued; answer with
    /// [`fail`](Self::fail).
    // Inlined, a chunk is not put into an event and taken out again.
    #[inline]
    pub fn send(&mut self, event: ResponseEvent) -> Result<(), EncodeError> {
        match event {
            ResponseEvent::Head(head) => self.send_head(&head),
            ResponseEvent::Body(chunk) => self.send_body(chunk),
            ResponseEvent::End => self.send_end(),
        }
    }

    fn send_head(&mut self, head: &ResponseHead) -> Result<(), EncodeError> {
        if !self.head_seen {
            return Err(EncodeError::HeadMissing);
        }
        if self.response != ResponseState::None || self.phase != Phase::Open {
            return Err(EncodeError::AlreadySent);
        }
        if self.is_head_request {
            self.encoder = core::mem::take(&mut self.encoder).for_head_request();
        }
        self.write_buffer.out.reserve(512);
        self.encoder.head(head, &mut self.write_buffer.out)?;
        self.status = Some(head.status());
        self.response = ResponseState::Open;
        if self.upgrade != Upgrade::None {
            self.decide_offer(head.status());
        }
        Ok(())
    }

    #[inline]
    fn send_body(&mut self, chunk: Bytes) -> Result<(), EncodeError> {
        self.check_open()?;
        self.encoder.body(chunk.len())?;
        if self.is_head_request || chunk.is_empty() {
            return Ok(());
        }
        self.flush = true;
        self.write_buffer.push(chunk);
        Ok(())
    }

    /// Nothing comes behind the end, nor behind a response that took the place of the program's.
    fn check_open(&self) -> Result<(), EncodeError> {
        if self.response == ResponseState::Ended { Err(EncodeError::AlreadySent) } else { Ok(()) }
    }

    fn send_end(&mut self) -> Result<(), EncodeError> {
        self.check_open()?;
        self.encoder.finish()?;
        self.response = ResponseState::Ended;
        self.flush = true;
        self.settle();
        Ok(())
    }

    /// Lets the queued head leave although no chunk has come.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Whether nothing of the response has been written yet, so that another can take its place.
    #[must_use]
    pub fn can_replace_response(&self) -> bool {
        self.sent == 0 && self.phase == Phase::Open
    }

    /// Ends the response because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection, so that no front server takes what it got for complete.
    ///
    /// A request that was refused already keeps its response: that the program fails on one whose
    /// body was cut or late is the peer's fault.
    pub fn fail(&mut self, status: Status) {
        if self.replacement.is_none() {
            self.answer_instead(status, &"the request could not be answered");
        }
    }

    /// Answers input that is not a legal request, another protocol in that protocol: an HTTP client
    /// shows no CGI response, and a TLS client waits for a record.
    pub(super) fn answer_bad_input(&mut self, error: &DecodeError) {
        let status = error.status_hint();
        if !self.replace_response(status) {
            return;
        }
        let out = &mut self.write_buffer.out;
        match error {
            DecodeError::NotScgi { protocol: Protocol::Http } => {
                let text = format!("{status}\n{error}\n");
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    text.len()
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            DecodeError::NotScgi { protocol: Protocol::Tls } => {
                out.extend_from_slice(&HANDSHAKE_FAILURE);
            }
            _ => self.write_replacement(status, error),
        }
    }

    pub(super) fn answer_instead(&mut self, status: Status, reason: &dyn core::fmt::Display) {
        if self.replace_response(status) {
            self.write_replacement(status, reason);
        }
    }

    /// Ends the program's response, so that another takes its place; false if that is too late.
    fn replace_response(&mut self, status: Status) -> bool {
        if self.phase != Phase::Open || (self.response == ResponseState::Ended && self.sent > 0) {
            return false;
        }
        if !self.can_replace_response() {
            self.abort();
            return false;
        }
        self.replacement = Some(status);
        self.status = Some(status);
        self.write_buffer.clear();
        if self.upgrade != Upgrade::None {
            self.decline_offer();
        }
        self.response = ResponseState::Ended;
        self.flush = true;
        true
    }

    fn write_replacement(&mut self, status: Status, reason: &dyn core::fmt::Display) {
        self.encoder = ResponseEncoder::default();
        let text = format!("{status}\n{reason}\n");
        let head = ResponseHead::new(status)
            .with_field("Content-Type", "text/plain; charset=utf-8")
            .with_field("Content-Length", text.len().to_string());
        // Both are made of what is legal; an error here would be a bug of this function.
        let sent = self.encoder.head(&head, &mut self.write_buffer.out).is_ok();
        debug_assert!(sent, "the response to a bad request is legal");
        if !self.is_head_request {
            self.write_buffer.out.extend_from_slice(text.as_bytes());
        }
    }

    /// Whether there are bytes to write now.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.flush && !matches!(self.phase, Phase::Closed { .. }) && !self.write_buffer.is_empty()
    }

    /// Whether the stream must be set, before the next write, to send each piece immediately
    /// (TCP_NODELAY): a part of the response has left, and more follows. True once.
    ///
    /// Without that, the end of each piece waits until the peer has acknowledged the one before.
    pub fn wants_no_delay(&mut self) -> bool {
        let wants = self.response == ResponseState::Open && self.sent > 0;
        if wants {
            self.response = ResponseState::Piecewise;
        }
        wants
    }

    /// Whether what is pending should be written before the next chunk, even if that is there
    /// already. Small chunks are gathered up to 16 KiB, as each write costs more than their bytes.
    #[must_use]
    pub fn should_write_first(&self) -> bool {
        self.write_buffer.is_full()
    }

    /// The bytes to write, in two slices, for one vectored write.
    #[must_use]
    pub fn pending(&self) -> (&[u8], &[u8]) {
        self.write_buffer.pending()
    }

    /// Reports that the first `count` of the pending bytes were written.
    ///
    /// # Panics
    /// If `count` is more than is pending.
    #[inline]
    pub fn handle_written(&mut self, count: usize) {
        self.deadlines.write = Nanos::NEVER;
        self.deadlines.tick = Nanos::NEVER;
        self.write_pace.end();
        if count > 0 {
            self.written(count);
        }
    }

    fn written(&mut self, count: usize) {
        self.sent += count as u64;
        self.write_pace.earn(count, self.timeouts.write_per_byte, self.timeouts.write);
        self.write_buffer.advance(count);
        if self.write_buffer.is_empty() {
            self.flush = false;
            self.settle();
        }
    }

    /// Whether the whole response has been written.
    #[must_use]
    pub fn is_response_written(&self) -> bool {
        self.response == ResponseState::Ended && self.write_buffer.is_empty()
    }

    /// The status of the response that this machine gave by itself, if it did.
    #[must_use]
    pub fn replacement(&self) -> Option<Status> {
        self.replacement
    }

    /// The status of the response, once it has a head.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status
    }
}
