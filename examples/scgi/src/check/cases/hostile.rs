//! Cases with malformed requests, which a server must refuse.

use super::Expect::{Either, Refuse};
use super::Severity::Should;
use super::{Case, Play, changed, send};
use crate::check::draft::netstring;
use crate::check::exchange::Step;

/// A head that states `len` as the length of the body, and no body.
macro_rules! stated_length {
    ($name:literal, $rule:literal, $len:literal) => {
        refused!($name, $rule, |good| send(good.draft().set("CONTENT_LENGTH", $len).head()))
    };
}

/// A good request with another netstring length.
macro_rules! prefixed {
    ($name:literal, $rule:literal, $prefix:expr) => {
        refused!($name, $rule, |good| send(good.draft().framed($prefix, ",")))
    };
}

macro_rules! refused {
    ($name:literal, $rule:literal, $steps:expr) => {
        Case {
            name: $name,
            rule: $rule,
            expect: Refuse,
            severity: Should,
            play: Play::Once($steps),
        }
    };
}

pub(super) const PARAMS: &[Case] = &[
    stated_length!("CONTENT_LENGTH +1", "RFC 3875 4.1.2", "+1"),
    stated_length!("CONTENT_LENGTH -5", "RFC 3875 4.1.2", "-5"),
    stated_length!("CONTENT_LENGTH abc", "RFC 3875 4.1.2", "abc"),
    stated_length!("CONTENT_LENGTH 0x10", "RFC 3875 4.1.2", "0x10"),
    stated_length!("CONTENT_LENGTH with a space", "RFC 3875 4.1.2", " 1"),
    stated_length!("CONTENT_LENGTH over 64 bits", "RFC 3875 4.1.2", "18446744073709551616"),
    Case {
        name: "CONTENT_LENGTH twice, the same",
        rule: "SCGI",
        // No name may appear twice, but nothing is in doubt, and nginx can be made to send it.
        expect: Either,
        severity: Should,
        play: Play::Once(|good| {
            let len = good.body.len().to_string();
            changed(good, |draft| draft.add("CONTENT_LENGTH", len))
        }),
    },
    refused!("CONTENT_LENGTH twice, different", "SCGI", |good| {
        let draft = good.draft().with_body("").add("CONTENT_LENGTH", "3");
        send([draft.head(), b"abc".into()].concat())
    }),
    refused!("SCGI 2", "SCGI", |good| changed(good, |draft| draft.set("SCGI", "2"))),
    refused!("SCGI empty", "SCGI", |good| changed(good, |draft| draft.set("SCGI", ""))),
    refused!("SCGI twice", "SCGI", |good| changed(good, |draft| draft.add("SCGI", "1"))),
];

pub(super) const FRAMING: &[Case] = &[
    prefixed!("length with a plus sign", "netstring", |len| format!("+{len}:")),
    prefixed!("length with a minus sign", "netstring", |len| format!("-{len}:")),
    prefixed!("length with a zero in front", "netstring", |len| format!("0{len}:")),
    prefixed!("length with a space in front", "netstring", |len| format!(" {len}:")),
    prefixed!("length with a space behind", "netstring", |len| format!("{len} :")),
    prefixed!("length with a line end in front", "netstring", |len| format!("\r\n{len}:")),
    prefixed!("length empty", "netstring", |_| ":".into()),
    prefixed!("length of letters", "netstring", |_| "abc:".into()),
    prefixed!("length over 64 bits", "netstring", |_| "99999999999999999999:".into()),
    prefixed!("length of 999999999", "netstring", |_| "999999999:".into()),
    prefixed!("length one short", "netstring", |len| format!("{}:", len - 1)),
    // With a body: a backend that saw only the head could not know yet.
    refused!("length one long", "netstring", |good| {
        let draft = good.draft().with_body("0123456789");
        send(draft.framed(|len| format!("{}:", len + 1), ","))
    }),
    refused!("length without end", "netstring", |_| send(vec![b'1'; 100_000])),
    prefixed!("no colon", "netstring", |len| len.to_string()),
    refused!("no comma", "netstring", |good| {
        let draft = good.draft().with_body("0123456789");
        send(draft.framed(|len| format!("{len}:"), ""))
    }),
    refused!("; in place of the comma", "netstring", |good| {
        send(good.draft().framed(|len| format!("{len}:"), ";"))
    }),
    refused!("the last NUL is missing", "SCGI", |good| {
        let mut block = good.draft().block();
        block.pop();
        send([netstring(&block), good.body.clone()].concat())
    }),
    refused!("a name without a value", "SCGI", |good| {
        let block = [good.draft().block(), b"HTTP_X_ALONE\0".into()].concat();
        send([netstring(&block), good.body.clone()].concat())
    }),
    refused!("an empty name", "SCGI", |good| changed(good, |draft| draft.add("", "value"))),
    refused!("a block of NULs", "SCGI", |_| send(netstring(&[0; 64]))),
    refused!("half a head, then the end of input", "SCGI", |good| {
        let head = good.draft().head();
        vec![Step::Send(head[..head.len() / 2].into()), Step::EndInput]
    }),
    refused!("a length, then the end of input", "netstring", |_| {
        vec![Step::Send(b"70:".into()), Step::EndInput]
    }),
    refused!("a body cut short, then the end of input", "SCGI", |good| {
        let draft = good.draft().with_body("0123456789");
        let half = [draft.head(), b"01234".into()].concat();
        vec![Step::Send(half), Step::EndInput]
    }),
];

/// The start of a TLS 1.2 ClientHello.
const TLS_HELLO: &[u8] =
    b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x030123456789012345678901234567\
    89012\x00\x00\x02\x13\x01\x01\x00\x00\x00";

/// BEGIN_REQUEST for a responder.
const FASTCGI_BEGIN: &[u8] = b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00";

pub(super) const PROTOCOLS: &[Case] = &[
    refused!("an HTTP request", "netstring", |_| {
        send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into())
    }),
    refused!("a TLS hello", "netstring", |_| send(TLS_HELLO.into())),
    refused!("a FastCGI record", "netstring", |_| send(FASTCGI_BEGIN.into())),
    refused!("64 KiB of zeros", "netstring", |_| send(vec![0; 64 * 1024])),
];
