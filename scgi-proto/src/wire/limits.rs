//! Limits on what a peer may send, with the reason for each default.

/// Bounds on untrusted input.
///
/// Every bound is on by default. A head that goes past one is refused before the bytes beyond
/// it are kept, with the error variant named at each method.
///
/// # Examples
/// ```
/// use scgi_proto::Limits;
/// let limits = Limits::default().with_max_header_block_len(64 * 1024).with_max_body_len(16 * 1024 * 1024);
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(crate) body: u64,
    // The rest in 32 bits, as each connection keeps a copy: no head is longer.
    pub(crate) header_block: u32,
    pub(crate) params: u32,
    pub(crate) name: u32,
    pub(crate) value: u32,
    pub(crate) response_head: u32,
    pub(crate) fields: u32,
}

impl Limits {
    /// Bytes of a request's header block: 256 KiB by default.
    ///
    /// nginx sends at most 32 KiB with its defaults, lighttpd 8 KiB. Apache can be driven to
    /// 800 KiB by a client that sends 96 header lines of 8 KiB; nothing honest comes near it.
    /// Values above `u32::MAX` act as `u32::MAX`. Beyond it:
    /// [`HeaderBlockTooLarge`](crate::DecodeError::HeaderBlockTooLarge), status 431.
    #[must_use]
    pub fn with_max_header_block_len(mut self, bytes: usize) -> Self {
        // Spans hold 32-bit offsets: half the memory of a head, and no real block is near 4 GiB.
        self.header_block = saturated(bytes);
        self
    }

    /// Number of params of a request: 1000 by default.
    ///
    /// nginx and Apache allow some hundred headers and add about 25 variables of their own.
    /// Beyond it: [`TooManyParams`](crate::DecodeError::TooManyParams), status 431.
    #[must_use]
    pub fn with_max_params(mut self, count: usize) -> Self {
        self.params = saturated(count);
        self
    }

    /// Bytes of one param's name: 4 KiB by default.
    ///
    /// Names are made from HTTP header names; the longest registered one has 40 bytes.
    /// Beyond it: [`NameTooLong`](crate::DecodeError::NameTooLong), status 431.
    #[must_use]
    pub fn with_max_name_len(mut self, bytes: usize) -> Self {
        self.name = saturated(bytes);
        self
    }

    /// Bytes of one param's value: by default only the header block bounds it.
    ///
    /// Cookies and client certificates of 60 KB are seen in practice. Beyond it:
    /// [`ValueTooLong`](crate::DecodeError::ValueTooLong), status 431.
    #[must_use]
    pub fn with_max_value_len(mut self, bytes: usize) -> Self {
        self.value = saturated(bytes);
        self
    }

    /// Bytes of a request's body: unlimited by default, because bodies are streamed.
    ///
    /// A front server has its own bound (`client_max_body_size` of nginx is 1 MiB). Beyond it:
    /// [`BodyTooLarge`](crate::DecodeError::BodyTooLarge), status 413, before a byte of the
    /// body is read.
    #[must_use]
    pub fn with_max_body_len(mut self, bytes: u64) -> Self {
        self.body = bytes;
        self
    }

    /// Bytes of a response's head, on the client side: 256 KiB by default, as for requests.
    ///
    /// Beyond it: [`ResponseHeadTooLarge`](crate::DecodeError::ResponseHeadTooLarge).
    #[must_use]
    pub fn with_max_response_head_len(mut self, bytes: usize) -> Self {
        self.response_head = saturated(bytes);
        self
    }

    /// Number of fields of a response, on the client side: 1000 by default, as for params.
    ///
    /// Beyond it: [`TooManyFields`](crate::DecodeError::TooManyFields).
    #[must_use]
    pub fn with_max_fields(mut self, count: usize) -> Self {
        self.fields = saturated(count);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_block: 256 * 1024,
            params: 1000,
            name: 4 * 1024,
            value: u32::MAX,
            body: u64::MAX,
            response_head: 256 * 1024,
            fields: 1000,
        }
    }
}

/// A bound of a head, which is never longer than 32 bits can say.
fn saturated(bound: usize) -> u32 {
    u32::try_from(bound).unwrap_or(u32::MAX)
}
