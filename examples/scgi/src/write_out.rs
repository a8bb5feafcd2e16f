//! `-w`: prints figures of a request in the user's format.

use std::str::FromStr;
use std::time::Duration;

use crate::reply::Figures;

/// A parsed format.
#[derive(Debug, Clone)]
pub(crate) struct WriteOut(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Variable(Variable),
}

#[derive(Debug, Clone, Copy)]
enum Variable {
    Status,
    TimeConnect,
    TimeHead,
    TimeTotal,
    Bytes,
}

const VARIABLES: [(&str, Variable); 5] = [
    ("status", Variable::Status),
    ("time_connect", Variable::TimeConnect),
    ("time_head", Variable::TimeHead),
    ("time_total", Variable::TimeTotal),
    ("bytes", Variable::Bytes),
];

impl FromStr for WriteOut {
    type Err = String;

    fn from_str(format: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, after)) = rest.split_once("%{") {
            let (name, after) = after.split_once('}').ok_or("%{ without }")?;
            let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) else {
                let known = VARIABLES.map(|(name, _)| name).join(", ");
                return Err(format!("%{{{name}}} is none of {known}"));
            };
            pieces.extend([Piece::Text(unescape(text)), Piece::Variable(*variable)]);
            rest = after;
        }
        pieces.push(Piece::Text(unescape(rest)));
        Ok(Self(pieces))
    }
}

/// Replaces `\n`, `\t`, `\r`, `\\` and `%%`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let replaced = match (c, chars.peek()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('r')) => '\r',
            ('\\', Some('\\')) => '\\',
            ('%', Some('%')) => '%',
            _ => {
                out.push(c);
                continue;
            }
        };
        chars.next();
        out.push(replaced);
    }
    out
}

impl WriteOut {
    /// The text for one request.
    pub(crate) fn fill(&self, figures: &Figures) -> String {
        let seconds = |time: Duration| format!("{:.6}", time.as_secs_f64());
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(Variable::Status) => figures.status.to_string(),
            Piece::Variable(Variable::TimeConnect) => seconds(figures.connect),
            Piece::Variable(Variable::TimeHead) => seconds(figures.head),
            Piece::Variable(Variable::TimeTotal) => seconds(figures.total),
            Piece::Variable(Variable::Bytes) => figures.bytes.to_string(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let figures = Figures {
            status: 404,
            connect: Duration::from_micros(5),
            head: Duration::from_millis(1),
            total: Duration::from_secs(2),
            bytes: 7,
        };
        for (format, expected) in [
            ("", ""),
            (r"%{status} %{bytes}\n", "404 7\n"),
            ("%{time_connect}|%{time_head}|%{time_total}", "0.000005|0.001000|2.000000"),
            (r"100%% \\n \x %", r"100% \n \x %"),
        ] {
            let format: WriteOut = format.parse().expect("a format");
            assert_eq!(format.fill(&figures), expected);
        }
        for bad in ["%{", "%{status", "%{nothing}"] {
            assert!(bad.parse::<WriteOut>().is_err(), "{bad}");
        }
    }
}
