//! What a request sends, whatever runs it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use scgi_examples::BoxError;
use scgi_proto::{Address, Receiver, RequestDecoder, RequestEvent, RequestHead};

use crate::failure::Context as _;

/// One request, to be sent once or many times.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) message: Message,
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
}

impl Plan {
    /// The error of a request that took longer than its timeout.
    pub(crate) fn late(&self) -> BoxError {
        let timeout = humantime::format_duration(self.timeout.unwrap_or_default());
        format!("{} sent no complete response within {timeout}", self.address).into()
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

/// Whether the captured request is a HEAD, whose response has no body.
pub(crate) fn is_head_request(raw: &[u8]) -> bool {
    let mut receiver = Receiver::new(RequestDecoder::default());
    receiver.buffer_mut().extend_from_slice(raw);
    receiver.advance(raw.len());
    match receiver.next_event() {
        Ok(Some(RequestEvent::Head(head))) => head.method() == Some(b"HEAD"),
        _ => false,
    }
}

/// A name and a value to add to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

fn split(text: &OsStr, at: u8) -> Option<(&[u8], &[u8])> {
    let bytes = text.as_bytes();
    let index = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..index], &bytes[index + 1..]))
}

/// Parses `-p NAME=VALUE`.
pub(crate) fn param(text: &OsStr) -> Result<Pair, String> {
    match split(text, b'=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(Pair { name: name.into(), value: value.into() })
        }
        _ => Err("a param is NAME=VALUE".into()),
    }
}

/// Parses `-H 'Name: value'` to the param that a front server makes of it.
pub(crate) fn header(text: &OsStr) -> Result<Pair, String> {
    let is_name = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'=')
    };
    let Some((name, value)) = split(text, b':').filter(|(name, _)| is_name(name)) else {
        return Err("a header is 'Name: value'".into());
    };
    let upper = name.to_ascii_uppercase();
    let upper: Vec<_> = upper.iter().map(|b| if *b == b'-' { b'_' } else { *b }).collect();
    let name = if upper == b"CONTENT_TYPE" { upper } else { [b"HTTP_", &*upper].concat() };
    Ok(Pair { name, value: value.trim_ascii().into() })
}

/// Where the bytes of `-d` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    Inline(Vec<u8>),
    File(PathBuf),
    Stdin,
}

/// Parses `-d DATA`, `-d @FILE`, `-d @-`.
#[expect(clippy::unnecessary_wraps, reason = "clap's shape")]
pub(crate) fn data(text: OsString) -> Result<Data, String> {
    Ok(match text.as_bytes() {
        b"@-" => Data::Stdin,
        [b'@', path @ ..] => Data::File(OsStr::from_bytes(path).into()),
        _ => Data::Inline(text.into_vec()),
    })
}

impl Data {
    /// All bytes, unchanged.
    pub(crate) fn read(&self) -> Result<Bytes, BoxError> {
        let mut bytes = Vec::new();
        match self {
            Self::Inline(inline) => bytes.clone_from(inline),
            Self::Stdin => {
                io::stdin().read_to_end(&mut bytes).context(|| "standard input".into())?;
            }
            Self::File(path) => {
                let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
                read.context(|| path.display().to_string())?;
            }
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Result<Pair, String> {
        Ok(Pair { name: name.into(), value: value.into() })
    }

    #[test]
    fn headers_become_params() {
        assert_eq!(header("X-Some: a: b ".as_ref()), pair("HTTP_X_SOME", "a: b"));
        assert_eq!(header("content-type:text/xml".as_ref()), pair("CONTENT_TYPE", "text/xml"));
        assert_eq!(header("Content-Length: 5".as_ref()), pair("HTTP_CONTENT_LENGTH", "5"));
        assert_eq!(header("Empty:".as_ref()), pair("HTTP_EMPTY", ""));
        for bad in ["", "Name", ": value", "A B: c", "A=B: c"] {
            assert!(header(bad.as_ref()).is_err(), "{bad}");
        }
    }

    #[test]
    fn params_and_data() {
        assert_eq!(param("A=b=c".as_ref()), pair("A", "b=c"));
        assert_eq!(param("A=".as_ref()), pair("A", ""));
        assert!(param("A".as_ref()).is_err() && param("=b".as_ref()).is_err());
        assert_eq!(data("@-".into()), Ok(Data::Stdin));
        assert_eq!(data("@a".into()), Ok(Data::File("a".into())));
        assert_eq!(data("a@b".into()), Ok(Data::Inline(b"a@b".to_vec())));
    }

    #[test]
    fn a_captured_head_request_is_recognised() {
        assert!(is_head_request(b"20:REQUEST_METHOD\0HEAD\0,"));
        assert!(!is_head_request(b"19:REQUEST_METHOD\0GET\0,"));
        assert!(!is_head_request(b"20:REQUEST_METH"));
        assert!(!is_head_request(b"x"));
        assert!(!is_head_request(b""));
    }
}
