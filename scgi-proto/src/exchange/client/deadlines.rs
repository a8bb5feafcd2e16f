//! What a client waits for, and how long: the table of [`ClientExchange`].

use core::time::Duration;

use super::ClientExchange;
use crate::exchange::nanos::Nanos;
use crate::exchange::timeout::Timeout;

impl ClientExchange {
    /// Reports that nothing can be written or read now, which starts the deadline of what is waited
    /// for, unless it runs already.
    pub fn handle_blocked(&mut self, now: Duration) {
        let waits_for = self.waits_for();
        if waits_for == self.deadlines.wait.map(|(wait, _)| wait) {
            return;
        }
        self.deadlines.wait = waits_for.map(|wait| (wait, self.timeout(wait).after(now)));
    }

    /// Reports that a write after a 101 has to wait, which starts its deadline.
    pub fn handle_upgraded_blocked(&mut self, now: Duration) {
        if self.deadlines.wait.is_none() {
            let until = self.timeout(Timeout::RequestWrite).after(now);
            self.deadlines.wait = Some((Timeout::RequestWrite, until));
        }
    }

    /// Reports that bytes were written after a 101, or that what the stream held back has left.
    /// This ends the deadline of the write.
    pub fn handle_upgraded_written(&mut self) {
        self.deadlines.handle_taken();
    }

    fn waits_for(&self) -> Option<Timeout> {
        if self.is_response_over() {
            // A program may go on sending, event by event.
            self.has_waiting_bytes().then_some(Timeout::RequestWrite)
        } else if self.is_head_seen() {
            Some(Timeout::ResponseBody)
        } else if self.has_waiting_bytes() {
            Some(Timeout::RequestWrite)
        } else if self.is_request_written() {
            Some(Timeout::ResponseHead)
        } else {
            // The program's own source is waited for: the server is not late.
            None
        }
    }

    fn timeout(&self, wait: Timeout) -> Nanos {
        match wait {
            Timeout::RequestWrite => self.timeouts.write,
            Timeout::ResponseHead => self.timeouts.head,
            _ => self.timeouts.body,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadlines.next().to_duration()
    }

    /// Whether the deadline of the whole call is set, which has to be checked also while bytes flow.
    #[must_use]
    pub fn has_call_timeout(&self) -> bool {
        self.deadlines.call.is_set()
    }

    /// Ends the call if a deadline has passed at `now`, and returns which.
    ///
    /// # Examples
    /// ```
    /// use core::time::Duration;
    /// use scgi_proto::{ClientConfig, ClientExchange, RequestEvent, RequestHead, Timeout};
    ///
    /// let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    /// call.send(RequestEvent::Head(RequestHead::builder("GET", "/").build()))?;
    /// call.send(RequestEvent::End)?;
    /// call.handle_written(call.pending().0.len());
    /// call.handle_blocked(Duration::from_secs(1));
    /// assert_eq!(call.poll_timeout(), Some(Duration::from_secs(61)));
    /// assert_eq!(call.handle_timeout(Duration::from_secs(60)), None);
    /// assert_eq!(call.handle_timeout(Duration::from_secs(61)), Some(Timeout::ResponseHead));
    /// assert!(call.is_response_over());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Timeout> {
        let passed = match self.deadlines.wait {
            Some((wait, at)) if at.has_passed(now) => Some(wait),
            _ => self.deadlines.call.has_passed(now).then_some(Timeout::Call),
        };
        if passed.is_some() {
            self.close();
        }
        passed
    }
}
