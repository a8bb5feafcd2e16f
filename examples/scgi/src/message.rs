//! The flags that make a request, for `request` and `check`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use scgi_proto::{BoxError, RequestHead, RequestHeadBuilder};

use crate::failure::Context as _;

/// What a request says.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// REQUEST_METHOD [default: GET; POST with -d]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A header of the browser's, which becomes the param HTTP_NAME (may be repeated)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE",
        value_parser = OsStringValueParser::new().try_map(|text| header(&text)))]
    headers: Vec<Pair>,
    /// Params from a file, one NAME=VALUE a line; empty lines and those with # in front are left
    /// out (may be repeated)
    #[arg(long, value_name = "FILE")]
    param_file: Vec<PathBuf>,
    /// A param, in the place of one of that name that is generated or from a file (may be
    /// repeated)
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE",
        value_parser = OsStringValueParser::new().try_map(|text| param(&text)))]
    params: Vec<Pair>,
    /// The body: this text, the bytes of @FILE, or @- for standard input
    #[arg(short = 'd', long = "data", value_name = "DATA", allow_hyphen_values = true,
        value_parser = OsStringValueParser::new().try_map(data))]
    data: Option<Data>,
}

impl MessageArgs {
    /// The body that is given on the command line.
    pub(crate) fn body(&self) -> Result<Option<Bytes>, BoxError> {
        self.data.as_ref().map(Data::read).transpose()
    }

    /// The head, with `method`, `content_type` and the params `more` unless the flags say otherwise.
    pub(crate) fn head(
        &self,
        method: &str,
        uri: &str,
        content_type: Option<&str>,
        more: &[(&str, String)],
    ) -> Result<RequestHead, BoxError> {
        let mut head = RequestHead::builder(self.method.as_deref().unwrap_or(method), uri);
        if let Some(content_type) = content_type {
            head = head.param("CONTENT_TYPE", content_type);
        }
        for Pair { name, value } in &self.headers {
            // There is one CONTENT_TYPE; other headers may come twice, as nginx sends them.
            head = match name.as_slice() {
                b"CONTENT_TYPE" => head.param(name, value),
                _ => head.append(name, value),
            };
        }
        for path in &self.param_file {
            for Pair { name, value } in params_of(path)? {
                head = head.param(name, value);
            }
        }
        for Pair { name, value } in &self.params {
            head = head.param(name, value);
        }
        let given = head.clone().build();
        for (name, value) in more.iter().filter(|(name, _)| given.params().get(name).is_none()) {
            head = head.param(name, value);
        }
        Ok(with_host(head))
    }
}

/// Adds the Host that every front server sends, unless there is one: programs make links of it. It
/// agrees with SERVER_NAME and SERVER_PORT.
fn with_host(builder: RequestHeadBuilder) -> RequestHead {
    let head = builder.clone().build();
    let params = head.params();
    if params.get("HTTP_HOST").is_some() {
        return head;
    }
    let mut host = params.get("SERVER_NAME").unwrap_or(b"localhost").to_vec();
    if let Some(port) = params.get("SERVER_PORT").filter(|port| *port != b"80") {
        host.push(b':');
        host.extend_from_slice(port);
    }
    builder.param("HTTP_HOST", host).build()
}

/// What curl says of the body of `-d`.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A name and a value to add to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    name: Vec<u8>,
    value: Vec<u8>,
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|byte| *byte == at)?;
    Some((&text[..index], &text[index + 1..]))
}

/// Parses `NAME=VALUE`.
fn pair(text: &[u8]) -> Result<Pair, String> {
    match split(text, b'=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(Pair { name: name.into(), value: value.into() })
        }
        _ => Err("a param is NAME=VALUE".into()),
    }
}

/// Parses `-p NAME=VALUE`.
fn param(text: &OsStr) -> Result<Pair, String> {
    pair(text.as_bytes())
}

/// Reads the params of a file.
fn params_of(path: &Path) -> Result<Vec<Pair>, BoxError> {
    let text = fs::read(path).context(|| path.display().to_string())?;
    let mut params = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() && !line.starts_with(b"#") {
            params.push(pair(line).context(|| format!("{}:{}", path.display(), index + 1))?);
        }
    }
    Ok(params)
}

/// Parses `-H 'Name: value'` to the param that a front server makes of it.
fn header(text: &OsStr) -> Result<Pair, String> {
    let is_name = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'=')
    };
    let Some((name, value)) = split(text.as_bytes(), b':').filter(|(name, _)| is_name(name)) else {
        return Err("a header is 'Name: value'".into());
    };
    let upper = name.to_ascii_uppercase();
    let upper: Vec<_> = upper.iter().map(|b| if *b == b'-' { b'_' } else { *b }).collect();
    let name = if upper == b"CONTENT_TYPE" { upper } else { [b"HTTP_", &*upper].concat() };
    Ok(Pair { name, value: value.trim_ascii().into() })
}

/// Where the bytes of `-d` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Data {
    Inline(Vec<u8>),
    File(PathBuf),
    Stdin,
}

/// Parses `-d DATA`, `-d @FILE`, `-d @-`.
#[expect(clippy::unnecessary_wraps, reason = "clap's shape")]
fn data(text: OsString) -> Result<Data, String> {
    Ok(match text.as_bytes() {
        b"@-" => Data::Stdin,
        [b'@', path @ ..] => Data::File(OsStr::from_bytes(path).into()),
        _ => Data::Inline(text.into_vec()),
    })
}

impl Data {
    /// All bytes, unchanged.
    fn read(&self) -> Result<Bytes, BoxError> {
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
}
