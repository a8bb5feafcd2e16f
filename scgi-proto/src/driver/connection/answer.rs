//! Runs the handler of a request and sends its response.

use core::any::Any;
use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::boxed::Box;
use std::panic::catch_unwind;

use bytes::Bytes;

use super::Connection;
use super::body_feed::BodyFeed;
use crate::driver::body::{Body, BodyWrapper};
use crate::driver::transport::{Clock, Transport};
use crate::driver::upgrade_program::UpgradeProgram;
use crate::error::Error;
use crate::message::{IntoResponse, Request, Response};
use crate::wire::error::EncodeError;
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::request::RequestHead;
use crate::wire::response::Status;

impl<T: Transport, C: Clock> Connection<T, C> {
    /// Reads the request, runs the handler `call`, sends its response, closes.
    ///
    /// The body of the request is read as the handler asks for it; one that fails or panics, and
    /// a response that cannot be sent, are answered with 500. `B` is the body of the adapter.
    ///
    /// Returns what the program does with the connection if the response was a 101; then
    /// [`into_upgraded`](Self::into_upgraded) returns that.
    ///
    /// # Errors
    /// What went wrong with the connection, after the peer got a response where that was possible.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the handler; the request is lost.
    pub async fn answer<B, F>(
        &mut self,
        call: impl FnOnce(Request<B>) -> F,
    ) -> Result<Option<Box<UpgradeProgram>>, Error>
    where
        B: BodyWrapper,
        F: Future<Output: IntoResponse<B>>,
    {
        // Each step is a future of its own: what one keeps then takes no room while another
        // waits, above all while the handler does.
        let Some(head) = self.head().await? else { return Ok(None) };
        let (request, mut feed) = self.begin_request(head);
        let body = match self.begin_call(call, request) {
            Some(call) => {
                let mut call = pin!(call);
                poll_fn(|cx| self.poll_call(&mut feed, call.as_mut(), cx)).await?
            }
            None => None,
        };
        if self.exchange.is_upgrade_granted() {
            drop(feed);
            return self.switch(body).await;
        }
        self.respond(feed, body).await.map(|()| None)
    }

    /// Sends the head of a 101, which is queued, and returns what the program does then.
    async fn switch(&mut self, body: Option<Body>) -> Result<Option<Box<UpgradeProgram>>, Error> {
        let program = body.and_then(Body::into_program);
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.note_upgraded();
        Ok(program.map(|program| program.with_trace(self.trace())))
    }

    /// Calls the handler, which returns its future; `None` if it panicked.
    fn begin_call<B, F>(
        &mut self,
        call: impl FnOnce(Request<B>) -> F,
        request: Request<B>,
    ) -> Option<F> {
        match catch_unwind(AssertUnwindSafe(|| self.in_scope(|| call(request)))) {
            Ok(call) => Some(call),
            Err(panic) => {
                self.program_panicked(&*panic);
                None
            }
        }
    }

    /// Reads the head of the request; `None` if there is no request. Ends the connection if it
    /// cannot be had.
    async fn head(&mut self) -> Result<Option<RequestHead>, Error> {
        match poll_fn(|cx| self.poll_next_event(cx)).await {
            Ok(Some(RequestEvent::Head(head))) => Ok(Some(head)),
            Ok(_) => Ok(None),
            Err(error @ Error::Io(_)) => Err(error),
            Err(error) => {
                poll_fn(|cx| self.poll_finish(cx)).await?;
                Err(error)
            }
        }
    }

    /// Sends the body of the response, if there is one, and ends the connection.
    async fn respond(&mut self, mut feed: BodyFeed, body: Option<Body>) -> Result<(), Error> {
        let mut result = match body {
            Some(mut body) => poll_fn(|cx| self.poll_send(&mut feed, &mut body, cx)).await,
            None => Ok(()),
        };
        if result.is_ok() && feed.is_open() {
            // Another task may still read the request.
            result = poll_fn(|cx| self.poll_flush_and_feed(&mut feed, cx)).await;
        }
        drop(feed);
        poll_fn(|cx| self.poll_end(&mut result, cx)).await;
        result
    }

    /// The request with what has come of its body. Not in the future, which would hold the parts.
    fn begin_request<B: BodyWrapper>(&mut self, head: RequestHead) -> (Request<B>, BodyFeed) {
        let (body, feed) = BodyFeed::begin(self, head.body_length());
        (self.request(head, B::wrap(body)), feed)
    }

    /// Polls the handler, and serves its demand for the body between. Returns the body of its
    /// response, whose head is then queued; `None` if another response took its place.
    fn poll_call<B, F>(
        &mut self,
        feed: &mut BodyFeed,
        mut call: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Body>, Error>>
    where
        B: BodyWrapper,
        F: Future<Output: IntoResponse<B>>,
    {
        feed.poll_wanted(self, cx);
        loop {
            let poll = || self.in_scope(|| call.as_mut().poll(cx).map(F::Output::into_response));
            let polled = catch_unwind(AssertUnwindSafe(poll));
            feed.notice_timeout(self);
            match polled {
                Ok(Poll::Ready(Ok(response))) => {
                    return Poll::Ready(Ok(self.begin_reply(response)));
                }
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(Err(error))) => {
                    self.program_failed(&*error);
                    return Poll::Ready(Ok(None));
                }
                Err(panic) => {
                    self.program_panicked(&*panic);
                    return Poll::Ready(Ok(None));
                }
            }
            match ready!(self.poll_wait(feed, cx)) {
                Ok(()) => {}
                // The exchange itself has replied, to a request that took too long.
                Err(Error::Timeout(_)) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// While the program works: serves its demand for the body, discards what it cannot ask for,
    /// and looks after deadlines. Ready if the program may go on, or with what ends the wait for it.
    fn poll_wait(&mut self, feed: &mut BodyFeed, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if feed.poll(self, cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.exchange.is_lost() {
                return Poll::Ready(Err(Error::Closed));
            }
            if let Poll::Ready(error) = self.poll_unasked(cx) {
                return Poll::Ready(Err(error));
            }
            let acted = ready!(self.poll_deadline(cx));
            feed.take_timeout(self, acted)?;
            if self.exchange.has_body_timed_out() {
                // Its reader may be the program.
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes what is queued, and serves the demand for the request's body meanwhile.
    fn poll_flush_and_feed(
        &mut self,
        feed: &mut BodyFeed,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            // The reader may be another task, and the response must not look whole then.
            feed.notice_timeout(self);
            if let Poll::Ready(written) = self.poll_write(cx) {
                return Poll::Ready(written);
            }
            while feed.poll(self, cx).is_ready() {}
            if self.exchange.is_closed() {
                return Poll::Ready(Err(Error::Closed));
            }
            if let Poll::Ready(error) = self.poll_unasked(cx) {
                return Poll::Ready(Err(error));
            }
            let acted = ready!(self.poll_deadline(cx));
            feed.take_timeout(self, acted)?;
        }
    }

    /// Queues the head of a response and gives its body, if the head can be sent.
    fn begin_reply<B: BodyWrapper>(&mut self, response: Response<B>) -> Option<Body> {
        let (mut head, body) = response.into_parts();
        let body = body.into_inner();
        if head.status() == Status::SWITCHING_PROTOCOLS && !self.may_switch(&body) {
            return None;
        }
        head.set_content_length_if_absent(body.len());
        self.send_or_fail(ResponseEvent::Head(head)).then_some(body)
    }

    /// Whether a 101 can be sent; otherwise the program has failed.
    #[cold]
    fn may_switch(&mut self, body: &Body) -> bool {
        let error = if !self.exchange.is_upgrade_offered() {
            EncodeError::UpgradeNotOffered
        } else if !body.has_program() {
            EncodeError::UpgradeNotTaken
        } else {
            return true;
        };
        self.program_failed(&error);
        false
    }

    /// Sends the body of a response, and serves its demand for the request's body between.
    fn poll_send(
        &mut self,
        feed: &mut BodyFeed,
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        feed.poll_wanted(self, cx);
        loop {
            let event = match ready!(self.poll_response(feed, body, cx)) {
                Ok(Some(chunk)) => ResponseEvent::Body(chunk),
                Ok(None) => ResponseEvent::End,
                Err(Failed::Body(error)) => {
                    self.program_failed(&error);
                    return Poll::Ready(Ok(()));
                }
                Err(Failed::Panic(panic)) => {
                    self.program_panicked(&*panic);
                    return Poll::Ready(Ok(()));
                }
                Err(Failed::Stream(error)) => return Poll::Ready(Err(error)),
            };
            let last = event == ResponseEvent::End;
            if !self.send_or_fail(event) || last {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Waits until what is queued is written, then for the next chunk.
    fn poll_response(
        &mut self,
        feed: &mut BodyFeed,
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failed>> {
        loop {
            // Bytes at hand wait for the end: if they are too few, a 500 can take their place. Small
            // chunks that are there leave together.
            if body.is_streamed() && self.exchange.should_write_first() {
                ready!(self.poll_flush_and_feed(feed, cx)).map_err(Failed::Stream)?;
            }
            let poll = || self.in_scope(|| body.poll_chunk(cx));
            let polled = catch_unwind(AssertUnwindSafe(poll));
            feed.notice_timeout(self);
            match polled {
                Ok(Poll::Ready(chunk)) => {
                    // Of a response that flows, nothing waits for a timer.
                    let acted = self.check_deadline();
                    feed.take_timeout(self, acted).map_err(Failed::Stream)?;
                    return Poll::Ready(chunk.transpose().map_err(Failed::Body));
                }
                Ok(Poll::Pending) => {}
                Err(panic) => return Poll::Ready(Err(Failed::Panic(panic))),
            }
            self.exchange.flush();
            ready!(self.poll_flush_and_feed(feed, cx)).map_err(Failed::Stream)?;
            ready!(self.poll_wait(feed, cx)).map_err(Failed::Stream)?;
        }
    }
}

/// What failed while a response was sent.
enum Failed {
    /// The program's source of the body.
    Body(Error),
    /// The same, which panicked.
    Panic(Box<dyn Any + Send>),
    Stream(Error),
}
