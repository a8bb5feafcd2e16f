//! A body as an `http_body::Body`, and made of one.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::driver::{Body, Source};
use crate::error::{BoxError, Error};

impl<A> Body<A> {
    /// A body that streams an `http_body::Body`; trailers are left out, CGI has none.
    pub fn from_http<B>(body: B) -> Self
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let len = body.size_hint().exact();
        if len == Some(0) {
            return Self::empty();
        }
        Self::from_source(FromHttp { body }, len)
    }
}

pin_project! {
    struct FromHttp<B> {
        #[pin]
        body: B,
    }
}

impl<B> Source for FromHttp<B>
where
    B: HttpBody + Send,
    B::Error: Into<BoxError>,
{
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = ready!(self.as_mut().project().body.poll_frame(cx));
            let frame = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(Error::Body(error.into())))),
                Some(Ok(frame)) => frame,
            };
            if let Ok(mut data) = frame.into_data() {
                let len = data.remaining();
                return Poll::Ready(Some(Ok(data.copy_to_bytes(len))));
            }
        }
    }
}

impl<A> HttpBody for Body<A> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.poll_chunk(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
