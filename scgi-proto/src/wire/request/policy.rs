//! Policies: what the request decoder accepts where the specification is not clear.

/// Where the path of a request comes from.
///
/// It matters where the front server changes the path: Apache after a local redirect of the
/// program, nginx after `rewrite ... break` and for an internal `error_page`. REQUEST_URI then
/// still has the browser's path.
///
/// # Examples
/// ```
/// use scgi_proto::{PathSource, RequestHead};
/// // Apache's second request after a local redirect from `/old` to `/new`.
/// let head = RequestHead::builder("GET", "/old").param("SCRIPT_NAME", "/new").param("PATH_INFO", "");
/// let head = head.build();
/// assert_eq!(head.path().as_deref(), Some(&b"/old"[..]));
/// let head = head.with_path_source(PathSource::Mapped);
/// assert_eq!(head.path().as_deref(), Some(&b"/new"[..]));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PathSource {
    /// REQUEST_URI: path and query as the browser sent them, percent-encoded. Where it is absent,
    /// the mapped path.
    #[default]
    RequestUri,
    /// The path that the front server mapped: DOCUMENT_URI, or SCRIPT_NAME and PATH_INFO together,
    /// with QUERY_STRING.
    ///
    /// The front server has decoded it and resolved dot segments. So `%2F` and `/` are the same
    /// here, and behind nginx several slashes are one.
    Mapped,
}

/// Which requests may be upgraded, if they ask for it as [`RequestHead::upgrade`] says.
///
/// Apache (`mod_proxy_scgi`) passes a 101 on, but nothing after it, and takes what the client then
/// sends for further requests. lighttpd before 1.4.74 does not carry an upgrade either. A program
/// behind one of them must not answer 101.
///
/// [`RequestHead::upgrade`]: crate::RequestHead::upgrade
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Upgrades {
    /// Unless the params show a front server that cannot carry it: a SERVER_SOFTWARE that names
    /// Apache or an old lighttpd, or the SCRIPT_FILENAME of Apache, which begins with `proxy:`. A
    /// browser cannot set these.
    #[default]
    Detect,
    /// None.
    Never,
    /// Whatever the front server is: for one whose name misleads.
    Always,
}

/// What the request decoder accepts where real front servers differ from the specification.
///
/// [`Policy::default`] takes everything that nginx, Apache and lighttpd send; [`Policy::strict`]
/// takes only what the [SCGI specification](https://python.ca/scgi/protocol.txt) allows. Each
/// rule can be set alone. What would be unsafe to accept, such as two CONTENT_LENGTHs, has no
/// knob.
///
/// # Examples
/// ```
/// use scgi_proto::Policy;
/// // A strict server behind nginx, which repeats HTTP_COOKIE and does not send SCGI second.
/// let policy = Policy::strict().with_repeated_names(true);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(crate) empty_block: bool,
    pub(crate) content_length_optional: bool,
    pub(crate) scgi_optional: bool,
    pub(crate) repeated_names: bool,
    pub(crate) length_disagreement: bool,
    pub(crate) body_from_http_content_length: bool,
    pub(crate) path_source: PathSource,
    pub(crate) dot_segments: bool,
    pub(crate) upgrades: Upgrades,
}

impl Policy {
    /// Only what the specification allows: CONTENT_LENGTH first and not empty, SCGI present, no
    /// name twice, no empty block, and no HTTP_CONTENT_LENGTH that says something else.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            empty_block: false,
            content_length_optional: false,
            scgi_optional: false,
            repeated_names: false,
            length_disagreement: false,
            body_from_http_content_length: false,
            path_source: PathSource::RequestUri,
            dot_segments: false,
            upgrades: Upgrades::Detect,
        }
    }

    /// Whether `0:,` is a complete request without params and body. Default: yes; strict: no.
    #[must_use]
    pub const fn with_empty_block(mut self, allow: bool) -> Self {
        self.empty_block = allow;
        self
    }

    /// Whether CONTENT_LENGTH may be absent, empty (both mean 0), or not the first param.
    /// Default: yes; strict: no.
    #[must_use]
    pub const fn with_optional_content_length(mut self, allow: bool) -> Self {
        self.content_length_optional = allow;
        self
    }

    /// Whether the param SCGI may be absent. Default: yes; strict: no.
    #[must_use]
    pub const fn with_optional_scgi(mut self, allow: bool) -> Self {
        self.scgi_optional = allow;
        self
    }

    /// Whether a name may appear twice, CONTENT_LENGTH only with the same number, and SCGI never.
    /// Default: yes (nginx sends every repeated header so, and CONTENT_LENGTH again if its
    /// configuration has it too); strict: no.
    #[must_use]
    pub const fn with_repeated_names(mut self, allow: bool) -> Self {
        self.repeated_names = allow;
        self
    }

    /// Whether HTTP_CONTENT_LENGTH may differ from CONTENT_LENGTH, as with nginx's
    /// `scgi_request_buffering off`. Default: yes, and
    /// [`RequestHead::lengths_disagree`](crate::RequestHead::lengths_disagree) shows it; strict:
    /// no, and then a repeated or non-numeric one is refused too.
    #[must_use]
    pub const fn with_length_disagreement(mut self, allow: bool) -> Self {
        self.length_disagreement = allow;
        self
    }

    /// Takes HTTP_CONTENT_LENGTH, where present, as the length of the body.
    ///
    /// For nginx with `scgi_request_buffering off`, whose CONTENT_LENGTH counts only the bytes
    /// that had arrived when the head was built, although the whole body follows. Only behind
    /// such an nginx: elsewhere the client of the front server chooses that value. Default: no;
    /// strict: no. With it, HTTP_CONTENT_LENGTH must be one number.
    #[must_use]
    pub const fn with_body_from_http_content_length(mut self, take: bool) -> Self {
        self.body_from_http_content_length = take;
        self
    }

    /// Where [`RequestHead::path`](crate::RequestHead::path) and the conversion to an `http`
    /// request take the path from. Default and strict: [`PathSource::RequestUri`].
    #[must_use]
    pub const fn with_path_source(mut self, source: PathSource) -> Self {
        self.path_source = source;
        self
    }

    /// Which requests may be upgraded, to a WebSocket for example. Default and strict:
    /// [`Upgrades::Detect`].
    #[must_use]
    pub const fn with_upgrades(mut self, upgrades: Upgrades) -> Self {
        self.upgrades = upgrades;
        self
    }

    /// Whether the conversion to an `http` request accepts a path with a segment `.` or `..`, plain
    /// or percent-encoded. Default and strict: no.
    ///
    /// Front servers choose their location by the resolved path and pass on the path as it came:
    /// `/app/admin/x/../../hello` passes nginx's `location /app/admin/ { deny all; }` as
    /// `/app/hello`, and a route `/admin/{*rest}` of the program answers it. Browsers resolve
    /// such segments before they send. A program that resolves them itself may allow them.
    #[must_use]
    pub const fn with_dot_segments(mut self, allow: bool) -> Self {
        self.dot_segments = allow;
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            empty_block: true,
            content_length_optional: true,
            scgi_optional: true,
            repeated_names: true,
            length_disagreement: true,
            body_from_http_content_length: false,
            path_source: PathSource::RequestUri,
            dot_segments: false,
            upgrades: Upgrades::Detect,
        }
    }
}
