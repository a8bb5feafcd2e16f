//! The methods of an adapter's `Client`, once for all asynchronous adapters.

use core::future::poll_fn;
use core::task::{Context, Poll};

use super::Client;
use crate::driver::transport::{Clock, Transport};
use crate::error::Error;
use crate::wire::event::{RequestEvent, ResponseEvent};

/// The client side of one connection, piece by piece. An adapter makes it of a stream, and its
/// `Client` derefs to it.
#[derive(Debug)]
pub struct EventClient<T, C> {
    driver: Client<T, C>,
}

impl<T, C> EventClient<T, C> {
    /// As [`Client::over_unix_socket`].
    #[must_use]
    pub fn over_unix_socket(self) -> Self
    where
        C: Clock,
    {
        self.driver.over_unix_socket().into()
    }

    /// The client that is polled.
    pub fn into_inner(self) -> Client<T, C> {
        self.driver
    }
}

impl<T, C> From<Client<T, C>> for EventClient<T, C> {
    fn from(driver: Client<T, C>) -> Self {
        Self { driver }
    }
}

impl<T: Transport, C: Clock> EventClient<T, C> {
    /// Sends a piece of the request. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// While it waits for the server to take the piece, it reads what the server answers, up to
    /// 64 KiB. If the server closes without taking it, that is not an error here: the response says more,
    /// and [`next_event`](Self::next_event) reports if there is none.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    /// [`Error::ResponseUnread`] if the server takes no more before its response is read: the piece
    /// stays queued, and [`next_event`](Self::next_event) continues with it. [`Error::Timeout`] if a
    /// deadline passed.
    ///
    /// # Cancel safety
    /// The piece is taken at the first poll and stays in the client: a later call of any method
    /// continues with it. Do not send it again.
    pub async fn send(&mut self, event: RequestEvent) -> Result<(), Error> {
        self.driver.send(event)?;
        poll_fn(|cx| self.driver.poll_flush(cx)).await
    }

    /// Writes everything that was sent, the head too.
    ///
    /// # Errors
    /// [`Error::ResponseUnread`] and [`Error::Timeout`] as [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Safe: what is not written stays in the client.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.driver.flush();
        poll_fn(|cx| self.driver.poll_flush(cx)).await
    }

    /// Waits for the next piece of the response, and writes meanwhile.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`ResponseEvent::End`], then
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed; [`Error::Timeout`] if a deadline passed. Later calls then fail with
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the client.
    pub async fn next_event(&mut self) -> Result<Option<ResponseEvent>, Error> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// As [`next_event`](Self::next_event), to be polled.
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<ResponseEvent>, Error>> {
        self.driver.poll_next_event(cx)
    }
}
