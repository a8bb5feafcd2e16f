//! Requests in the making: a good one, and what the cases turn it into.

use scgi_proto::RequestHead;

/// A request that the backend answers.
#[derive(Debug, Clone)]
pub(crate) struct Good {
    pub(crate) head: RequestHead,
    pub(crate) body: Vec<u8>,
    /// Of requests for an upgrade, if it is another one.
    pub(crate) upgrade_uri: Option<String>,
    /// What these ask for.
    pub(crate) protocol: String,
}

impl Good {
    /// Its REQUEST_URI.
    pub(crate) fn uri(&self) -> &[u8] {
        self.head.request_uri().unwrap_or_default()
    }

    /// The request, ready to be changed.
    pub(crate) fn draft(&self) -> Draft {
        let mut params = vec![pair("CONTENT_LENGTH", self.body.len().to_string())];
        params.push(pair("SCGI", "1"));
        params.extend(self.head.params().iter().map(|(name, value)| pair(name, value)));
        Draft { params, body: self.body.clone() }
    }
}

fn pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> (Vec<u8>, Vec<u8>) {
    (name.as_ref().into(), value.as_ref().into())
}

/// A request as names and values. Nothing keeps it from being made a wrong one.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    params: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Draft {
    /// Sets a param where it stands, or behind the others.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        match self.params.iter_mut().find(|(known, _)| known == name.as_bytes()) {
            Some((_, old)) => *old = value.as_ref().into(),
            None => self.params.push(pair(name, value)),
        }
        self
    }

    /// Adds a param, even if there is one of that name.
    pub(crate) fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.params.push(pair(name, value));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.params.retain(|(known, _)| known != name.as_bytes());
        self
    }

    /// Leaves CONTENT_LENGTH and SCGI alone.
    pub(crate) fn shortest(mut self) -> Self {
        self.params.truncate(2);
        self
    }

    /// Moves the first param behind the others.
    pub(crate) fn first_to_last(mut self) -> Self {
        self.params.rotate_left(1);
        self
    }

    /// Fills up with params until there are `count`.
    pub(crate) fn with_count(mut self, count: usize) -> Self {
        for index in self.params.len()..count {
            self = self.add(&format!("HTTP_X_CHECK_{index}"), "v");
        }
        self
    }

    /// Another path and query, as `RequestHead::builder` makes params of it.
    pub(crate) fn with_uri(mut self, uri: &str) -> Self {
        let head = RequestHead::builder("GET", uri).build();
        for name in ["REQUEST_URI", "PATH_INFO", "QUERY_STRING"] {
            self = self.set(name, head.params().get(name).unwrap_or_default());
        }
        self
    }

    /// Another body, with its CONTENT_LENGTH.
    pub(crate) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let len = self.body.len().to_string();
        self.set("CONTENT_LENGTH", len)
    }

    /// The names and values, each with its NUL.
    pub(crate) fn block(&self) -> Vec<u8> {
        let parts = self.params.iter().flat_map(|(name, value)| [&name[..], b"\0", value, b"\0"]);
        parts.collect::<Vec<_>>().concat()
    }

    /// The block as a netstring.
    pub(crate) fn head(&self) -> Vec<u8> {
        netstring(&self.block())
    }

    /// Head and body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }

    /// Head and body, but with `prefix` for the length and `suffix` for the comma.
    pub(crate) fn framed(&self, prefix: impl FnOnce(usize) -> String, suffix: &str) -> Vec<u8> {
        let block = self.block();
        let prefix = prefix(block.len()).into_bytes();
        [prefix, block, suffix.into(), self.body.clone()].concat()
    }
}

/// `bytes` with their length and a comma.
pub(crate) fn netstring(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes, b","].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use scgi_proto::{DecodeBuffer, Policy, RequestDecoder, RequestEvent};

    fn good() -> Good {
        let head = RequestHead::builder("POST", "/a?b").param("CONTENT_TYPE", "text/xml").build();
        Good { head, body: b"hello".into(), upgrade_uri: None, protocol: "websocket".into() }
    }

    #[test]
    fn a_good_request_is_one_that_the_specification_allows() {
        let mut receiver =
            DecodeBuffer::new(RequestDecoder::new(scgi_proto::Limits::default(), Policy::strict()));
        let bytes = good().draft().bytes();
        receiver.buffer_mut().extend_from_slice(&bytes);
        receiver.advance(bytes.len());
        let Ok(Some(RequestEvent::Head(head))) = receiver.next_event() else { panic!("no head") };
        assert_eq!(head.request_uri(), Some(&b"/a?b"[..]));
        assert_eq!(head.content_type(), Some(&b"text/xml"[..]));
        assert_eq!(head.content_length(), 5);
    }

    #[test]
    fn changes() {
        let draft = good().draft().shortest();
        assert_eq!(draft.block(), b"CONTENT_LENGTH\x005\0SCGI\x001\0");
        assert_eq!(draft.clone().first_to_last().block(), b"SCGI\x001\0CONTENT_LENGTH\x005\0");
        assert_eq!(draft.clone().without("SCGI").head(), b"17:CONTENT_LENGTH\x005\0,");
        assert_eq!(
            draft.clone().add("SCGI", "2").block(),
            b"CONTENT_LENGTH\x005\0SCGI\x001\0SCGI\x002\0"
        );
        assert_eq!(draft.clone().with_body("").bytes(), b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,");
        let framed = draft.without("SCGI").framed(|len| format!("0{len}:"), ";");
        assert_eq!(framed, b"017:CONTENT_LENGTH\x005\0;hello");
        assert_eq!(good().draft().with_count(40).block().iter().filter(|b| **b == 0).count(), 80);
    }
}
