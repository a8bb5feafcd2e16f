//! A request and a response, each a head and a body, for any kind of body.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::BoxError;
use crate::exchange::peer::Peer;
#[cfg(feature = "driver")]
use crate::shutdown::{Shutdown, ShutdownSignal};
use crate::wire::request::RequestHead;
use crate::wire::request::upgrade::UpgradeOffer;
use crate::wire::response::fields::Fields;
use crate::wire::response::{ResponseHead, Status};

/// A body that may know its length before it is sent.
pub trait KnownLength {
    /// The length in bytes of the whole body, where it is known.
    fn known_length(&self) -> Option<u64>;
}

impl KnownLength for Bytes {
    fn known_length(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

/// A body of an adapter whose connections can be upgraded, to a WebSocket for example.
pub trait UpgradeBody {
    /// A connection after a 101.
    type Upgraded;

    /// Takes the connection out, if a client has got a 101.
    fn take_upgraded(&mut self) -> Option<Self::Upgraded>;
}

/// A body that can hold what a program does with an upgraded connection, where that returns `R`;
/// see [`Response::with_upgrade`].
pub trait FromUpgrade<R>: UpgradeBody {
    /// No body, and `program` instead.
    fn from_upgrade(program: impl FnOnce(Self::Upgraded) -> R + Send + 'static) -> Self;
}

/// What the program of an upgraded connection may return: nothing, or a `Result`, whose error is
/// logged.
pub trait UpgradeOutcome {
    /// Why the program has failed, if it has.
    ///
    /// # Errors
    /// The program's own.
    fn into_result(self) -> Result<(), BoxError>;
}

impl UpgradeOutcome for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> UpgradeOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// A request: its head and its body.
///
/// A server's handler gets one; a client makes one. Each adapter has an alias of this type with
/// its own kind of body.
#[derive(Debug)]
pub struct Request<B> {
    head: RequestHead,
    body: B,
    /// Boxed, as few servers ask, and each request that waits holds this.
    peer: Option<Box<Peer>>,
    /// That of the server that has received it.
    #[cfg(feature = "driver")]
    shutdown: Option<Shutdown>,
}

impl<B: KnownLength> Request<B> {
    /// A request to a backend. If the length of `body` is known, it becomes CONTENT_LENGTH.
    ///
    /// # Examples
    /// ```
    /// use bytes::Bytes;
    /// use scgi_proto::{Request, RequestHead};
    /// let head = RequestHead::builder("POST", "/").build();
    /// let request = Request::<Bytes>::new(head, "hello");
    /// assert_eq!(request.head().content_length(), 5);
    /// ```
    pub fn new(head: RequestHead, body: impl Into<B>) -> Self {
        let body = body.into();
        let head = match body.known_length() {
            Some(len) => head.with_content_length(len),
            None => head,
        };
        Self::from_parts(head, body)
    }
}

impl<B> Request<B> {
    /// A request with this head as it is.
    pub fn from_parts(head: RequestHead, body: impl Into<B>) -> Self {
        Self {
            head,
            body: body.into(),
            peer: None,
            #[cfg(feature = "driver")]
            shutdown: None,
        }
    }

    /// Says which program sent it.
    #[must_use]
    pub fn with_peer(mut self, peer: Option<Peer>) -> Self {
        self.peer = peer.map(Box::new);
        self
    }

    /// The program that connected, if the server was set to ask (`with_peers`).
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.peer.as_deref().copied()
    }

    /// Says which server has received it.
    #[cfg(feature = "driver")]
    #[must_use]
    pub(crate) fn with_shutdown(mut self, shutdown: Option<Shutdown>) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Completes when the server that has received this request begins to stop. A response that
    /// has no end of its own should end then.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.shutdown.as_ref().map(Shutdown::signal).unwrap_or_default()
    }

    /// The params and the length of the body.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The protocols that the client offers to change to, if the upgrade is valid; see
    /// [`RequestHead::upgrade`].
    #[must_use]
    pub fn upgrade(&self) -> Option<UpgradeOffer<'_>> {
        self.head.upgrade()
    }

    /// The head, to change it.
    pub fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// The body, to read from.
    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// The same request with another body, made of this one.
    pub fn map_body<C>(self, make: impl FnOnce(B) -> C) -> Request<C> {
        Request {
            head: self.head,
            body: make(self.body),
            peer: self.peer,
            #[cfg(feature = "driver")]
            shutdown: self.shutdown,
        }
    }

    /// The body, without the head.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }

    /// Both parts.
    #[must_use]
    pub fn into_parts(self) -> (RequestHead, B) {
        (self.head, self.body)
    }
}

/// A response: its head and its body.
///
/// A server's handler returns one; a client gets one. The server adds Content-Length where the
/// body's length is known and the head does not state it. Each adapter has an alias of this type
/// with its own kind of body.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use scgi_proto::{Response, Status};
/// let response = Response::<Bytes>::new("<p>Not here")
///     .with_status(Status::NOT_FOUND)
///     .with_field("Content-Type", "text/html; charset=utf-8");
/// assert_eq!(response.head().status(), Status::NOT_FOUND);
/// ```
#[derive(Debug)]
pub struct Response<B> {
    head: ResponseHead,
    body: B,
}

impl<B: Default> Response<B> {
    /// A response with status 101, which changes the connection to `protocol`: to `websocket`, for
    /// example. [`with_upgrade`](Self::with_upgrade) says what follows.
    ///
    /// It can be sent only if the request has a valid [upgrade](Request::upgrade). Otherwise the
    /// program has failed, and the client gets 500.
    pub fn switching_protocols(protocol: impl AsRef<[u8]>) -> Self {
        let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS).with_field("Upgrade", protocol);
        Self { head, body: B::default() }
    }
}

impl<B: UpgradeBody> Response<B> {
    /// Lets `program` take the connection once the head of this response, a 101, has been sent. It
    /// takes the place of the body. A response with another status drops the program.
    ///
    /// With an asynchronous adapter, `program` returns a future, which a server runs as a task of its
    /// own, at most until its shutdown deadline. With the blocking adapter it is an ordinary function.
    /// What it returns is nothing or a `Result`, whose error is logged.
    #[must_use]
    pub fn with_upgrade<R, F>(self, program: F) -> Self
    where
        B: FromUpgrade<R>,
        F: FnOnce(B::Upgraded) -> R + Send + 'static,
    {
        Self { head: self.head, body: B::from_upgrade(program) }
    }

    /// The connection behind the head of a 101 that a client has got.
    ///
    /// # Errors
    /// The response itself, if it is another one.
    pub fn into_upgraded(mut self) -> Result<B::Upgraded, Self> {
        self.body.take_upgraded().ok_or(self)
    }
}

impl<B> Response<B> {
    /// A response with status 200.
    pub fn new(body: impl Into<B>) -> Self {
        Self::from_parts(ResponseHead::new(Status::OK), body)
    }

    /// A response with this head.
    pub fn from_parts(head: ResponseHead, body: impl Into<B>) -> Self {
        Self { head, body: body.into() }
    }

    /// Replaces the status; the fields stay.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.head.set_status(status);
        self
    }

    /// Adds a field after the others.
    #[must_use]
    pub fn with_field(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.head.fields_mut().append(name, value);
        self
    }

    /// The status and the fields.
    #[must_use]
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The status and the fields, to change them.
    pub fn head_mut(&mut self) -> &mut ResponseHead {
        &mut self.head
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.head.status()
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        self.head.fields()
    }

    /// The body, to read from.
    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// The body, without the head.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }

    /// Both parts.
    #[must_use]
    pub fn into_parts(self) -> (ResponseHead, B) {
        (self.head, self.body)
    }
}

/// What a handler may return: a [`Response`], a text, bytes, or a `Result` of one of them.
///
/// A `&'static str` or `String` is sent as `text/plain; charset=utf-8`, bytes as
/// `application/octet-stream`. A [`Response`] gets no field that the program did not set.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use scgi_proto::{BoxError, IntoResponse, Response};
///
/// struct Page(&'static str);
///
/// impl IntoResponse<Bytes> for Page {
///     fn into_response(self) -> Result<Response<Bytes>, BoxError> {
///         Ok(Response::new(self.0).with_field("Content-Type", "text/html; charset=utf-8"))
///     }
/// }
/// assert_eq!(Page("<p>Hello").into_response()?.into_body(), "<p>Hello");
/// # Ok::<(), BoxError>(())
/// ```
pub trait IntoResponse<B> {
    /// The response, or why there is none.
    ///
    /// # Errors
    /// The handler's own.
    fn into_response(self) -> Result<Response<B>, BoxError>;
}

impl<B> IntoResponse<B> for Response<B> {
    fn into_response(self) -> Result<Self, BoxError> {
        Ok(self)
    }
}

impl<B, R: IntoResponse<B>, E: Into<BoxError>> IntoResponse<B> for Result<R, E> {
    fn into_response(self) -> Result<Response<B>, BoxError> {
        self.map_err(Into::into)?.into_response()
    }
}

macro_rules! into_response {
    ($content_type:literal $($body:ty),*) => { $(
        impl<B: From<$body>> IntoResponse<B> for $body {
            fn into_response(self) -> Result<Response<B>, BoxError> {
                Ok(Response::new(self).with_field("Content-Type", $content_type))
            }
        }
    )* };
}

into_response!("text/plain; charset=utf-8" &'static str, String);
into_response!("application/octet-stream" &'static [u8], Vec<u8>, Bytes);

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn content_type(response: impl IntoResponse<Bytes>) -> Option<String> {
        let response = response.into_response().expect("a response");
        assert_eq!(response.status(), Status::OK);
        let value = response.fields().first("content-type")?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn content_type_of_what_a_handler_returns() {
        let (text, bytes) = ("text/plain; charset=utf-8", "application/octet-stream");
        for (content_type, expected) in [
            (content_type("text"), Some(text)),
            (content_type(String::from("text")), Some(text)),
            (content_type(Ok::<_, BoxError>("text")), Some(text)),
            (content_type(&b"bytes"[..]), Some(bytes)),
            (content_type(alloc::vec![1, 2, 3]), Some(bytes)),
            (content_type(Ok::<_, BoxError>(Bytes::from("bytes"))), Some(bytes)),
            (content_type(Response::new("text")), None),
            (content_type(Ok::<_, BoxError>(Response::new("text"))), None),
        ] {
            assert_eq!(content_type.as_deref(), expected);
        }
        let failed = IntoResponse::<Bytes>::into_response(Err::<&str, _>("no"));
        assert_eq!(failed.expect_err("the handler's").to_string(), "no");
    }
}
