//! The head of a request, and how a client builds one.

pub(crate) mod params;
pub(crate) mod path;
pub(crate) mod policy;
pub(crate) mod upgrade;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use self::params::{Params, name_start};
use self::path::{PathParams, Target};
use self::policy::{PathSource, Policy, Upgrades};
use self::upgrade::{UpgradeOffer, UpgradeRefusal};
use crate::wire::number::parse_length;

/// The head of a request: its params and the length of its body.
///
/// The accessors give the variables of RFC 3875 section 4.1 and those that front servers add,
/// as bytes; `None` means that the front server did not send it. `head.params().get_str(..)`
/// gives text.
///
/// # Examples
/// ```
/// use scgi_proto::RequestHead;
/// let head = RequestHead::builder("GET", "/a%20b?c=d").param("HTTP_HOST", "example.org").build();
/// assert_eq!(head.method(), Some(&b"GET"[..]));
/// assert_eq!(head.path_info(), Some(&b"/a b"[..]));
/// assert_eq!(head.query_string(), Some(&b"c=d"[..]));
/// assert_eq!(head.params().get_str("HTTP_HOST"), Some("example.org"));
/// assert_eq!(head.remote_addr(), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead {
    params: Params,
    content_length: u64,
    body_length: u64,
    path_source: PathSource,
    allows_dot_segments: bool,
    upgrades: Upgrades,
}

impl RequestHead {
    pub(crate) fn new(
        params: Params,
        content_length: u64,
        body_length: u64,
        policy: &Policy,
    ) -> Self {
        let Policy { path_source, dot_segments: allows_dot_segments, upgrades, .. } = *policy;
        Self { params, content_length, body_length, path_source, allows_dot_segments, upgrades }
    }

    /// Starts a request to a backend: `method` as in `"GET"`, `uri` as in `"/path?query"`.
    ///
    /// Sets what every server needs to answer: REQUEST_METHOD, REQUEST_URI, SCRIPT_NAME (empty),
    /// PATH_INFO (decoded), QUERY_STRING, SERVER_NAME, SERVER_PORT, SERVER_PROTOCOL.
    /// [`param`](RequestHeadBuilder::param) replaces any of them.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::RequestHead;
    /// let head = RequestHead::builder("POST", "/RPC2")
    ///     .param("CONTENT_TYPE", "text/xml")
    ///     .content_length(120)
    ///     .build();
    /// assert_eq!(head.path_info(), Some(&b"/RPC2"[..]));
    /// ```
    #[must_use]
    pub fn builder(method: &str, uri: &str) -> RequestHeadBuilder {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        RequestHeadBuilder::default()
            .param("REQUEST_METHOD", method)
            .param("REQUEST_URI", uri)
            .param("SCRIPT_NAME", "")
            .param("PATH_INFO", percent_decode(path))
            .param("QUERY_STRING", query)
            .param("SERVER_NAME", "localhost")
            .param("SERVER_PORT", "80")
            .param("SERVER_PROTOCOL", "HTTP/1.1")
    }

    /// The params without the head.
    #[cfg(feature = "http")]
    pub(crate) fn into_params(self) -> Params {
        self.params
    }

    /// The same head for a body of another length, in bytes.
    #[must_use]
    pub fn with_content_length(mut self, bytes: u64) -> Self {
        self.content_length = bytes;
        self.body_length = bytes;
        self
    }

    /// The same head with its path from another source; a server sets
    /// [`Policy::with_path_source`](crate::Policy::with_path_source).
    #[must_use]
    pub fn with_path_source(mut self, source: PathSource) -> Self {
        self.path_source = source;
        self
    }

    /// The same head, whose path may have dot segments when it becomes an `http` request; a server
    /// sets [`Policy::with_dot_segments`](crate::Policy::with_dot_segments).
    #[must_use]
    pub fn with_dot_segments(mut self, allow: bool) -> Self {
        self.allows_dot_segments = allow;
        self
    }

    /// The same head under another rule for upgrades; a server sets
    /// [`Policy::with_upgrades`](crate::Policy::with_upgrades).
    #[must_use]
    pub fn with_upgrades(mut self, upgrades: Upgrades) -> Self {
        self.upgrades = upgrades;
        self
    }

    #[cfg(feature = "http")]
    pub(crate) fn path_source(&self) -> PathSource {
        self.path_source
    }

    #[cfg(feature = "http")]
    pub(crate) fn allows_dot_segments(&self) -> bool {
        self.allows_dot_segments
    }

    /// Path and query, from the source that was chosen.
    pub(crate) fn target(&self) -> Option<Target<'_>> {
        PathParams::of(&self.params).target(self.path_source)
    }

    /// All params.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The value of CONTENT_LENGTH in bytes; 0 if absent or empty.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// How many bytes of body follow: CONTENT_LENGTH, unless the policy takes
    /// HTTP_CONTENT_LENGTH ([`Policy::with_body_from_http_content_length`]).
    ///
    /// [`Policy::with_body_from_http_content_length`]: crate::Policy::with_body_from_http_content_length
    #[must_use]
    pub fn body_length(&self) -> u64 {
        self.body_length
    }

    /// Whether HTTP_CONTENT_LENGTH is present and not the same number as CONTENT_LENGTH.
    ///
    /// nginx with `scgi_request_buffering off` sends such a head: CONTENT_LENGTH counts only the
    /// part of the body that had arrived, and the body is cut there.
    #[must_use]
    pub fn lengths_disagree(&self) -> bool {
        self.params
            .get_all("HTTP_CONTENT_LENGTH")
            .any(|value| parse_length(value) != Ok(self.content_length))
    }

    /// REQUEST_METHOD, as in `GET`.
    #[must_use]
    pub fn method(&self) -> Option<&[u8]> {
        self.params.get("REQUEST_METHOD")
    }

    /// REQUEST_URI: path and query as the client sent them; Apache may send the absolute form.
    #[must_use]
    pub fn request_uri(&self) -> Option<&[u8]> {
        self.params.get("REQUEST_URI")
    }

    /// The path to route by, percent-encoded and without the query: from REQUEST_URI, or the mapped
    /// one, as [`PathSource`] says. `*` for a request that concerns no path (`OPTIONS *`); `None`
    /// if the front server sent no path.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::RequestHead;
    /// let head = RequestHead::builder("GET", "http://example.org/a%20b?c#d").build();
    /// assert_eq!(head.path().as_deref(), Some(&b"/a%20b"[..]));
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<Cow<'_, [u8]>> {
        self.target().map(|target| target.path)
    }

    /// Whether a segment of [`path`](Self::path) is `.` or `..`, plain or percent-encoded. The front
    /// server has resolved it when it chose this program; see
    /// [`Policy::with_dot_segments`](crate::Policy::with_dot_segments).
    #[must_use]
    pub fn has_dot_segments(&self) -> bool {
        self.path().is_some_and(|path| path::has_dot_segments(&path))
    }

    /// SCRIPT_NAME: the part of the path that leads to this program.
    #[must_use]
    pub fn script_name(&self) -> Option<&[u8]> {
        self.params.get("SCRIPT_NAME")
    }

    /// PATH_INFO: the part of the path after SCRIPT_NAME. nginx does not send it by itself.
    #[must_use]
    pub fn path_info(&self) -> Option<&[u8]> {
        self.params.get("PATH_INFO")
    }

    /// QUERY_STRING: what follows `?`, still encoded.
    #[must_use]
    pub fn query_string(&self) -> Option<&[u8]> {
        self.params.get("QUERY_STRING")
    }

    /// CONTENT_TYPE of the body.
    #[must_use]
    pub fn content_type(&self) -> Option<&[u8]> {
        self.params.get("CONTENT_TYPE")
    }

    /// The protocols that the client offers to change to, if the upgrade is valid: only then the
    /// program may answer 101.
    ///
    /// It is valid if SERVER_PROTOCOL is HTTP/1.1, HTTP_CONNECTION names `upgrade`, HTTP_UPGRADE is
    /// not empty, the request has no body, and the front server can carry it
    /// ([`Upgrades`](crate::Upgrades)). [`upgrade_refusal`](Self::upgrade_refusal) says why it is not.
    ///
    /// `curl --http2` offers `h2c` on ordinary requests: ask for the protocol that is meant.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::{RequestHead, UpgradeRefusal};
    /// let head = RequestHead::builder("GET", "/chat")
    ///     .param("HTTP_CONNECTION", "Upgrade")
    ///     .param("HTTP_UPGRADE", "websocket");
    /// assert!(head.clone().build().upgrade().is_some_and(|offer| offer.offers("websocket")));
    ///
    /// let head = head.param("SERVER_SOFTWARE", "Apache/2.4.62").build();
    /// assert_eq!(head.upgrade(), None);
    /// assert_eq!(head.upgrade_refusal(), Some(UpgradeRefusal::Apache));
    /// ```
    #[must_use]
    pub fn upgrade(&self) -> Option<UpgradeOffer<'_>> {
        self.upgrade_offer()?.ok()
    }

    /// Why a request that has HTTP_UPGRADE cannot be upgraded; `None` if it can, and if it does not
    /// ask for it.
    #[must_use]
    pub fn upgrade_refusal(&self) -> Option<UpgradeRefusal> {
        self.upgrade_offer()?.err()
    }

    fn upgrade_offer(&self) -> Option<Result<UpgradeOffer<'_>, UpgradeRefusal>> {
        let has_body = self.content_length > 0 || self.body_length > 0;
        upgrade::offer(&self.params, has_body, self.upgrades)
    }

    /// REMOTE_ADDR: the client's IP address.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&[u8]> {
        self.params.get("REMOTE_ADDR")
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("params", &self.params)
            .field("content_length", &self.content_length)
            .field("body_length", &self.body_length)
            .finish()
    }
}

/// Builds the head of a request; made by [`RequestHead::builder`], or empty by `default`.
///
/// CONTENT_LENGTH and SCGI need not be given: the encoder writes them, first and second.
///
/// # Examples
/// ```
/// use scgi_proto::RequestHeadBuilder;
/// let head = RequestHeadBuilder::default().param("A", "1").param("A", "2").append("A", "3").build();
/// assert!(head.params().get_all("A").eq([b"2", b"3"]));
/// ```
#[derive(Clone, Default)]
pub struct RequestHeadBuilder {
    block: Vec<u8>,
    /// As in [`Params`].
    nuls: Vec<u32>,
    content_length: u64,
}

/// As [`RequestHead`]: control bytes are escaped, and values that hold secrets are hidden.
impl fmt::Debug for RequestHeadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHeadBuilder")
            .field("params", &Params::new(self.block.clone().into(), self.nuls.clone()))
            .field("content_length", &self.content_length)
            .finish()
    }
}

impl RequestHeadBuilder {
    /// Sets a param, in the place of an earlier one of that name.
    #[must_use]
    pub fn param(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        let same = |index: &usize| {
            let end = self.nuls[2 * index] as usize;
            self.block[name_start(&self.nuls, *index)..end] == *name
        };
        match (0..self.nuls.len() / 2).find(same) {
            Some(index) => self.replace(index, value),
            None => self.push(name, value),
        }
        self
    }

    /// Adds a param, even if there is one of that name.
    #[must_use]
    pub fn append(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.push(name.as_ref(), value.as_ref());
        self
    }

    /// Sets the length of the body in bytes; 0 if never called.
    #[must_use]
    pub fn content_length(mut self, bytes: u64) -> Self {
        self.content_length = bytes;
        self
    }

    /// The finished head. Whether it is one that can be sent is said by the encoder.
    ///
    /// # Panics
    /// If the params take more than 4 GiB together.
    #[must_use]
    pub fn build(self) -> RequestHead {
        let params = Params::new(self.block.into(), self.nuls);
        RequestHead::new(params, self.content_length, self.content_length, &Policy::default())
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        if self.block.is_empty() {
            self.block.reserve(256);
            self.nuls.reserve(24);
        }
        for part in [name, value] {
            self.block.extend_from_slice(part);
            self.nuls.push(offset(self.block.len()));
            self.block.push(0);
        }
    }

    fn replace(&mut self, index: usize, value: &[u8]) {
        let (start, end) = (self.nuls[2 * index] as usize + 1, self.nuls[2 * index + 1] as usize);
        self.block.splice(start..end, value.iter().copied());
        for nul in &mut self.nuls[2 * index + 1..] {
            *nul = offset(*nul as usize + value.len() - (end - start));
        }
    }
}

fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("params of at most 4 GiB")
}

/// Decodes `%41` to `A` (RFC 3986 section 2.1); anything else is kept.
pub(crate) fn percent_decode(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_info_is_decoded_and_the_uri_is_not() {
        let head = RequestHead::builder("GET", "/a%20b%zz%4?x=%20").build();
        assert_eq!(head.path_info(), Some(&b"/a b%zz%4"[..]));
        assert_eq!(head.request_uri(), Some(&b"/a%20b%zz%4?x=%20"[..]));
        assert_eq!(head.query_string(), Some(&b"x=%20"[..]));
    }

    #[test]
    fn param_replaces_in_place_and_append_adds() {
        let head = RequestHeadBuilder::default()
            .param("A", "1")
            .param("B", "2")
            .param("A", "3")
            .append("B", "4")
            .build();
        let pairs: Vec<_> = head.params().iter().collect();
        assert_eq!(pairs, [(&b"A"[..], &b"3"[..]), (b"B", b"2"), (b"B", b"4")]);
    }
}
