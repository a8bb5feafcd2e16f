//! How strictly the request decoder reads what the specification leaves open.

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

    /// Whether a name may stand twice, CONTENT_LENGTH only with the same number, and SCGI never.
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
        }
    }
}
