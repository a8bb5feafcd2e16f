//! Every error has a text of its own, which says what and where.

#![cfg(feature = "std")]

use std::collections::HashSet;
use std::error::Error as _;

use scgi_proto::{
    Address, DecodeError, EncodeError, Error, Network, Part, Protocol, Status, Timeout,
};

/// The numbers in the samples below: none of them is in a text by itself.
const NUMBERS: std::ops::RangeInclusive<u64> = 101..=108;

/// Each variant at least once.
fn decode_errors() -> Vec<DecodeError> {
    let (offset, max) = (101, 103);
    vec![
        DecodeError::NotScgi { protocol: Protocol::Http },
        DecodeError::NotScgi { protocol: Protocol::Tls },
        DecodeError::NotScgi { protocol: Protocol::FastCgi },
        DecodeError::InvalidLength { offset, byte: 0x7a },
        DecodeError::LeadingZero,
        DecodeError::HeaderBlockTooLarge { len: 104, max },
        DecodeError::MissingComma { offset, byte: 0x7a },
        DecodeError::MissingFinalNul { offset },
        DecodeError::MissingValue { offset },
        DecodeError::EmptyName { offset },
        DecodeError::NameTooLong { offset, len: 104, max },
        DecodeError::ValueTooLong { offset, len: 104, max },
        DecodeError::TooManyParams { max },
        DecodeError::EmptyHeaderBlock,
        DecodeError::InvalidContentLength { offset },
        DecodeError::ContentLengthOverflow { offset },
        DecodeError::UnknownContentLength { offset },
        DecodeError::MisspelledContentLength { offset },
        DecodeError::DuplicateContentLength { offset },
        DecodeError::MissingContentLength,
        DecodeError::ContentLengthNotFirst { offset },
        DecodeError::UnsupportedVersion { offset },
        DecodeError::DuplicateScgi { offset },
        DecodeError::MissingScgi,
        DecodeError::DuplicateName { offset },
        DecodeError::InvalidHttpContentLength { offset },
        DecodeError::LengthDisagreement { content_length: 105, http_content_length: 106 },
        DecodeError::BodyTooLarge { len: 104, max: 103 },
        DecodeError::UnexpectedEnd { part: Part::Length, missing: 107 },
        DecodeError::UnexpectedEnd { part: Part::HeaderBlock, missing: 107 },
        DecodeError::UnexpectedEnd { part: Part::RequestBody, missing: 107 },
        DecodeError::UnexpectedEnd { part: Part::ResponseHead, missing: 107 },
        DecodeError::UnexpectedEnd { part: Part::ResponseBody, missing: 107 },
        DecodeError::NoResponse,
        DecodeError::ResponseCut,
        DecodeError::ResponseHeadTooLarge { max },
        DecodeError::TooManyFields { max },
        DecodeError::InvalidField { offset },
        DecodeError::InvalidStatus { offset },
        DecodeError::DuplicateStatus { offset },
        DecodeError::InvalidResponseLength { offset },
    ]
}

/// Each variant at least once.
fn encode_errors() -> Vec<EncodeError> {
    let index = 102;
    vec![
        EncodeError::EmptyName { index },
        EncodeError::NulByte { index },
        EncodeError::DuplicateContentLength { index },
        EncodeError::ContentLengthMismatch { index },
        EncodeError::DuplicateScgi { index },
        EncodeError::UnsupportedVersion { index },
        EncodeError::InvalidFieldName { index },
        EncodeError::InvalidFieldValue { index },
        EncodeError::ForbiddenField { index },
        EncodeError::FieldInLocalRedirect { index },
        EncodeError::InvalidLocalRedirect,
        EncodeError::StatusInLocalRedirect { code: 108 },
        EncodeError::InvalidResponseLength { index },
        EncodeError::InvalidStatus { code: 108 },
        EncodeError::UpgradeNotOffered,
        EncodeError::UpgradeNotTaken,
        EncodeError::InvalidReason,
        EncodeError::BodyNotAllowed { code: 108 },
        EncodeError::BodyTooLong { excess: 107 },
        EncodeError::BodyTooShort { missing: 107 },
        EncodeError::AlreadySent,
        EncodeError::HeadMissing,
    ]
}

const TIMEOUTS: [Timeout; 13] = [
    Timeout::Head,
    Timeout::Body,
    Timeout::BodyRate,
    Timeout::Unread,
    Timeout::Write,
    Timeout::WriteRate,
    Timeout::Request,
    Timeout::Drain,
    Timeout::Connect,
    Timeout::RequestWrite,
    Timeout::ResponseHead,
    Timeout::ResponseBody,
    Timeout::Call,
];

#[test]
fn each_has_its_own_text() {
    let (decode, encode) = (decode_errors(), encode_errors());
    let texts = decode.iter().map(|error| (format!("{error:?}"), error.to_string()));
    let texts = texts.chain(encode.iter().map(|error| (format!("{error:?}"), error.to_string())));
    let texts: Vec<_> =
        texts.chain(TIMEOUTS.iter().map(|error| (String::new(), error.to_string()))).collect();
    for (debug, text) in &texts {
        assert!(text.len() > 15, "{debug}: {text}");
        for number in NUMBERS {
            // Whatever the error holds is in its text.
            let number = number.to_string();
            assert_eq!(debug.contains(&number), text.contains(&number), "{debug}: {text}");
        }
    }
    let different: HashSet<_> = texts.iter().map(|(_, text)| text).collect();
    assert_eq!(different.len(), texts.len());
    for error in &decode {
        let status = match error {
            DecodeError::BodyTooLarge { .. } => Status::CONTENT_TOO_LARGE,
            DecodeError::HeaderBlockTooLarge { .. }
            | DecodeError::NameTooLong { .. }
            | DecodeError::ValueTooLong { .. }
            | DecodeError::TooManyParams { .. } => Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => Status::BAD_REQUEST,
        };
        assert_eq!(error.status_hint(), status, "{error}");
    }
}

#[test]
fn an_error_of_a_connection_has_its_reason_as_source() {
    let reasons: [(Error, Option<String>); 8] = [
        (std::io::Error::other("io").into(), Some("io".into())),
        (DecodeError::NoResponse.into(), Some(DecodeError::NoResponse.to_string())),
        (EncodeError::HeadMissing.into(), Some(EncodeError::HeadMissing.to_string())),
        (Timeout::Drain.into(), Some(Timeout::Drain.to_string())),
        (Error::Body("body".into()), Some("body".into())),
        (Error::Closed, None),
        (Error::ResponseUnread, None),
        (Error::BodyLimit(101), None),
    ];
    let mut texts = HashSet::new();
    for (error, reason) in reasons {
        assert_eq!(error.source().map(ToString::to_string), reason, "{error}");
        assert!(error.to_string().len() > 10, "{error}");
        assert!(texts.insert(error.to_string()));
    }
    assert!(Error::BodyLimit(101).to_string().contains("101"));
}

#[test]
fn the_samples_leave_none_out() {
    let source =
        concat!(include_str!("../src/wire/error.rs"), include_str!("../src/exchange/timeout.rs"));
    for (name, samples) in [
        ("DecodeError", format!("{:?}", decode_errors())),
        ("EncodeError", format!("{:?}", encode_errors())),
        ("Timeout", format!("{TIMEOUTS:?}")),
    ] {
        let body = source.split(&format!("pub enum {name} {{\n")).nth(1).expect("the enum");
        let body = body.split("\n}").next().expect("its end");
        let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
        let variants: Vec<_> = variants
            .filter(|line| line.starts_with(char::is_uppercase))
            .filter_map(|line| line.split(|c: char| !c.is_alphanumeric()).next())
            .collect();
        assert!(variants.len() >= 5, "{name}: {variants:?}");
        for variant in variants {
            let is_there =
                samples.split(|c: char| !c.is_alphanumeric()).any(|word| word == variant);
            assert!(is_there, "{name}::{variant} has no sample");
        }
    }
}

fn texts<E: ToString>(errors: &[E]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What follows the path when a Unix socket cannot be bound.
fn bind_errors() -> Vec<String> {
    if cfg!(not(unix)) {
        return Vec::new();
    }
    let folder = std::env::temp_dir().join(format!("scgi-errors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let live = scgi_proto::bind(Address::Unix(folder.join("live"))).expect("a listener");
    std::fs::write(folder.join("file"), "").expect("a file");
    let names = ["live", "file", "missing/socket", &"x".repeat(120)];
    let error = |name: &str| scgi_proto::bind(Address::Unix(folder.join(name))).unwrap_err();
    let errors = names.map(|name| error(name).to_string());
    drop(live);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    errors.iter().filter_map(|text| text.rsplit(": ").next()).map(str::to_owned).collect()
}

/// An operator finds every text in the guide, with numbers as N.
#[test]
fn the_guide_tells_what_to_do_about_each() {
    let guide = include_str!("../src/guide/errors.md");
    let others = [
        Error::Io(std::io::ErrorKind::Other.into()),
        Error::Decode(DecodeError::LeadingZero),
        Error::Encode(EncodeError::HeadMissing),
        Error::Timeout(Timeout::Head),
        Error::Closed,
        Error::ResponseUnread,
        Error::BodyLimit(101),
        Error::Body("".into()),
    ];
    let texts = [
        texts(&decode_errors()),
        texts(&encode_errors()),
        texts(&TIMEOUTS),
        texts(&others),
        texts(&bind_errors()),
        texts(&["", "http://a:80", "unix://a"].map(|text| text.parse::<Address>().unwrap_err())),
        texts(&["".parse::<Network>().unwrap_err()]),
    ];
    assert_eq!(bind_errors().len(), if cfg!(unix) { 4 } else { 0 });
    for text in texts.concat() {
        let mut row = text.replace("0x7a", "0xNN");
        for number in NUMBERS {
            row = row.replace(&number.to_string(), "N");
        }
        assert!(guide.contains(&format!("| {row} |")), "the guide lacks: {row}");
    }
}

#[test]
fn an_error_of_a_connection_is_one_of_a_reader_too() {
    use std::io::{Error as IoError, ErrorKind};

    let length = DecodeError::UnexpectedEnd { part: Part::RequestBody, missing: 2 };
    for (error, kind) in [
        (Error::Io(ErrorKind::BrokenPipe.into()), ErrorKind::BrokenPipe),
        (length.into(), ErrorKind::UnexpectedEof),
        (DecodeError::NotScgi { protocol: Protocol::Tls }.into(), ErrorKind::InvalidData),
        (EncodeError::HeadMissing.into(), ErrorKind::InvalidInput),
        (Error::BodyLimit(1), ErrorKind::InvalidInput),
        (Timeout::Body.into(), ErrorKind::TimedOut),
        (DecodeError::ResponseCut.into(), ErrorKind::ConnectionReset),
        (Error::Closed, ErrorKind::ConnectionAborted),
        (Error::ResponseUnread, ErrorKind::WouldBlock),
        (Error::Body("broken".into()), ErrorKind::Other),
    ] {
        assert_eq!(IoError::from(error).kind(), kind);
    }
    // The reason stays at hand.
    let error = IoError::from(Error::Closed);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert!(matches!(inner, Some(Error::Closed)));
}
