//! What a request sends, whatever runs it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use indicatif::{ProgressBar, ProgressStyle};
use scgi_proto::{
    Address, BoxError, ClientConfig, DecodeBuffer, Error, RequestDecoder, RequestEncoder,
    RequestEvent, RequestHead, Timeout,
};

use crate::failure::{Context as _, cannot_connect};

/// One request, to be sent once or many times.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) message: Message,
    /// Whether a 101 connects standard input and output to the server.
    pub(crate) opens_tunnel: bool,
    pub(crate) connect_timeout: Duration,
    /// For the whole request.
    pub(crate) timeout: Option<Duration>,
    /// Shows the upload; hidden unless standard error is a terminal.
    pub(crate) progress: ProgressBar,
}

/// What goes over the wire.
#[derive(Debug)]
pub(crate) enum Message {
    Request(RequestHead, Upload),
    /// These bytes as they are.
    Raw(Bytes),
}

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Upload {
    Bytes(Bytes),
    /// Streamed; so many bytes of it.
    File(PathBuf, u64),
}

impl Upload {
    /// A file whose length is known.
    pub(crate) fn file(path: &PathBuf) -> Result<Self, BoxError> {
        let metadata = fs::metadata(path).context(|| path.display().to_string())?;
        if !metadata.is_file() {
            let path = path.display();
            return Err(
                format!("{path} has no length to send ahead; -d @{path} reads it first").into()
            );
        }
        Ok(Self::File(path.clone(), metadata.len()))
    }

    /// In bytes.
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }
}

impl Plan {
    /// The deadlines of the client. That of the whole request is kept around it.
    pub(crate) fn config(&self) -> ClientConfig {
        let config = ClientConfig::default().with_connect_timeout(self.connect_timeout);
        if self.opens_tunnel {
            // A server that echoes waits for whoever reads standard output, which may be a pager.
            return config.with_write_timeout(Duration::MAX);
        }
        config
    }

    /// Whether a reset and a close look the same there.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// The request as a server reads it.
    ///
    /// # Errors
    /// If the request cannot be sent, or the bytes of --raw are not a request.
    pub(crate) fn as_received(&self) -> Result<Decoded, BoxError> {
        let (head, upload) = match &self.message {
            Message::Request(head, upload) => (head, upload),
            Message::Raw(bytes) => return decode(bytes),
        };
        let mut bytes = BytesMut::new();
        let head = head.clone().with_content_length(upload.len());
        RequestEncoder::default().head(&head, &mut bytes)?;
        Ok(Decoded { body_length: upload.len(), ..decode(&bytes)? })
    }

    /// Whether the request changes nothing on the server (RFC 9110, 9.2.1).
    pub(crate) fn is_safe(&self) -> bool {
        let decoded = self.as_received();
        let method = decoded.as_ref().ok().and_then(|decoded| decoded.head.method());
        matches!(method, Some(b"GET" | b"HEAD" | b"OPTIONS"))
    }

    /// Why the server could not be reached.
    pub(crate) fn cannot_connect(&self, error: Error) -> BoxError {
        match error {
            Error::Timeout(Timeout::Call) => self.late(),
            error => cannot_connect(&self.address, &error.into()).into(),
        }
    }

    /// The error of a request that took longer than its timeout.
    pub(crate) fn late(&self) -> BoxError {
        let timeout = humantime::format_duration(self.timeout.unwrap_or_default());
        if self.opens_tunnel {
            let address = &self.address;
            return format!("{address}: the request and its tunnel took longer than {timeout}")
                .into();
        }
        let hint = "it is busy or stuck, or it speaks no SCGI: an HTTP server waits for a line end";
        format!("{} sent no complete response within {timeout}; {hint}", self.address).into()
    }
}

/// A bar for an upload of `len` bytes.
pub(crate) fn progress(len: u64) -> ProgressBar {
    let template = "{bytes} of {total_bytes} sent, {bytes_per_sec} {wide_bar} {eta}";
    let style = ProgressStyle::with_template(template);
    // The bar draws itself on standard error, if that is a terminal.
    let bar = ProgressBar::new(len);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A request that was decoded.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) head: RequestHead,
    pub(crate) body_length: u64,
    /// Bytes after the request.
    pub(crate) surplus: u64,
}

/// Decodes bytes that begin with a request; its body may be cut.
fn decode(bytes: &[u8]) -> Result<Decoded, BoxError> {
    let mut receiver = DecodeBuffer::new(RequestDecoder::default());
    receiver.buffer_mut().extend_from_slice(bytes);
    receiver.advance(bytes.len());
    let (mut head, mut body_length) = (None, 0);
    while let Some(event) = receiver.next_event()? {
        match event {
            RequestEvent::Head(decoded) => head = Some(decoded),
            RequestEvent::Body(chunk) => body_length += chunk.len() as u64,
            RequestEvent::End => {}
        }
    }
    let head = head.ok_or("the bytes end before the head of a request is complete")?;
    Ok(Decoded { head, body_length, surplus: receiver.decoder().surplus() })
}

/// Whether the captured request is a HEAD, whose response has no body.
pub(crate) fn is_head_request(raw: &[u8]) -> bool {
    decode(raw).is_ok_and(|decoded| decoded.head.method() == Some(b"HEAD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_head_request_is_recognised() {
        assert!(is_head_request(b"20:REQUEST_METHOD\0HEAD\0,"));
        assert!(!is_head_request(b"19:REQUEST_METHOD\0GET\0,"));
        assert!(!is_head_request(b"20:REQUEST_METH"));
        assert!(!is_head_request(b"x"));
        assert!(!is_head_request(b""));
    }
}
