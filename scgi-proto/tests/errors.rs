//! Every error has a text of its own, which says what and where.

#![cfg(feature = "std")]

use std::collections::HashSet;
use std::error::Error as _;

use scgi_proto::{DecodeError, EncodeError, Error, Part, Protocol, Status, Timeout};

#[test]
fn each_has_its_own_text() {
    let (offset, index, max) = (101, 102, 103);
    let decode = [
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
        DecodeError::ResponseHeadTooLarge { max },
        DecodeError::TooManyFields { max },
        DecodeError::InvalidField { offset },
        DecodeError::InvalidStatus { offset },
        DecodeError::DuplicateStatus { offset },
        DecodeError::InvalidResponseLength { offset },
    ];
    let encode = [
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
        EncodeError::InvalidResponseLength { index },
        EncodeError::InvalidStatus { code: 108 },
        EncodeError::InvalidReason,
        EncodeError::BodyNotAllowed { code: 108 },
        EncodeError::BodyTooLong { excess: 107 },
        EncodeError::BodyTooShort { missing: 107 },
        EncodeError::AlreadySent,
        EncodeError::HeadMissing,
    ];
    let timeouts = [Timeout::Head, Timeout::Body, Timeout::Write, Timeout::Request, Timeout::Drain];
    let texts = decode.iter().map(|error| (format!("{error:?}"), error.to_string()));
    let texts = texts.chain(encode.iter().map(|error| (format!("{error:?}"), error.to_string())));
    let texts: Vec<_> =
        texts.chain(timeouts.iter().map(|error| (String::new(), error.to_string()))).collect();
    for (debug, text) in &texts {
        assert!(text.len() > 15, "{debug}: {text}");
        for number in 101..=108 {
            // Whatever the error holds stands in its text.
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
    let reasons: [(Error, Option<String>); 7] = [
        (std::io::Error::other("io").into(), Some("io".into())),
        (DecodeError::NoResponse.into(), Some(DecodeError::NoResponse.to_string())),
        (EncodeError::HeadMissing.into(), Some(EncodeError::HeadMissing.to_string())),
        (Timeout::Drain.into(), Some(Timeout::Drain.to_string())),
        (Error::Body("body".into()), Some("body".into())),
        (Error::Closed, None),
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
