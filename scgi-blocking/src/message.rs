//! A request and a response, each a head and a body.

use scgi_proto::{Fields, Peer, RequestHead, ResponseHead, Status};

use crate::body::Body;

/// A request: its head and its body.
///
/// A server's handler gets one; a client makes one.
#[derive(Debug)]
pub struct Request {
    head: RequestHead,
    body: Body,
    peer: Option<Peer>,
}

impl Request {
    /// A request to a backend. If the length of `body` is known, it becomes CONTENT_LENGTH.
    ///
    /// # Examples
    /// ```
    /// use scgi_blocking::{Request, RequestHead};
    /// let request = Request::new(RequestHead::builder("POST", "/").build(), "hello");
    /// assert_eq!(request.head().content_length(), 5);
    /// ```
    pub fn new(head: RequestHead, body: impl Into<Body>) -> Self {
        let body = body.into();
        let head = match body.len() {
            Some(len) => head.with_content_length(len),
            None => head,
        };
        Self { head, body, peer: None }
    }

    pub(crate) fn received(head: RequestHead, body: Body, peer: Option<Peer>) -> Self {
        Self { head, body, peer }
    }

    /// The program that connected, if the server was told to ask
    /// ([`with_peers`](crate::Serve::with_peers)).
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// The params and the length of the body.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The body, to read from.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, without the head.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Both parts.
    #[must_use]
    pub fn into_parts(self) -> (RequestHead, Body) {
        (self.head, self.body)
    }
}

/// A response: its head and its body.
///
/// A server's handler returns one; a client gets one. The server adds Content-Length where the
/// body's length is known and the head does not state it.
///
/// # Examples
/// ```
/// use scgi_blocking::{Response, Status};
/// let response = Response::new("<p>Not here")
///     .with_status(Status::NOT_FOUND)
///     .with_field("Content-Type", "text/html; charset=utf-8");
/// assert_eq!(response.head().status(), Status::NOT_FOUND);
/// ```
#[derive(Debug)]
pub struct Response {
    head: ResponseHead,
    body: Body,
}

impl Response {
    /// A response with status 200.
    pub fn new(body: impl Into<Body>) -> Self {
        Self { head: ResponseHead::new(Status::OK), body: body.into() }
    }

    /// A response with this head.
    pub fn from_parts(head: ResponseHead, body: impl Into<Body>) -> Self {
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
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, without the head.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Both parts.
    #[must_use]
    pub fn into_parts(self) -> (ResponseHead, Body) {
        (self.head, self.body)
    }
}
