//! Cases with legal requests, which a server must answer, in all the ways in which they can arrive.

use super::Expect::{Answer, AnswerOrLimit, Either};
use super::Severity::{Must, Should};
use super::{Case, Play, changed, pause, send};
use crate::check::exchange::Step;

/// What the largest head of nginx holds with its own default limits.
const NGINX_HEAD: usize = 32_000;

pub(super) const REQUESTS: &[Case] = &[
    Case {
        name: "a good request",
        rule: "SCGI",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| send(good.draft().bytes())),
    },
    Case {
        name: "CONTENT_LENGTH and SCGI alone",
        rule: "SCGI",
        expect: Answer,
        severity: Should,
        play: Play::Once(|good| changed(good, super::super::draft::Draft::shortest)),
    },
    Case {
        name: "no body: CONTENT_LENGTH is 0",
        rule: "SCGI",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| changed(good, |draft| draft.with_body(""))),
    },
    Case {
        name: "a body of one byte",
        rule: "SCGI",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| {
            changed(good, |draft| draft.with_body("x").set("REQUEST_METHOD", "POST"))
        }),
    },
    Case {
        name: "a body of 1 MiB",
        rule: "seen: nginx",
        expect: AnswerOrLimit,
        severity: Must,
        play: Play::Once(|good| {
            changed(good, |draft| {
                draft.with_body(vec![b'x'; 1 << 20]).set("REQUEST_METHOD", "POST")
            })
        }),
    },
    Case {
        name: "an unknown method",
        rule: "RFC 3875 4.1.12",
        expect: Answer,
        severity: Should,
        play: Play::Once(|good| changed(good, |draft| draft.set("REQUEST_METHOD", "FROB"))),
    },
    Case {
        name: "REQUEST_URI with host",
        rule: "seen: Apache",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| {
            let uri = [b"http://localhost", good.uri()].concat();
            changed(good, |draft| draft.set("REQUEST_URI", uri))
        }),
    },
    Case {
        name: "an empty value",
        rule: "SCGI",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| changed(good, |draft| draft.add("HTTP_X_EMPTY", ""))),
    },
    Case {
        name: "a value in Latin-1",
        rule: "seen: all",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| changed(good, |draft| draft.add("HTTP_X_NAME", b"caf\xe9"))),
    },
    Case {
        name: "a value in UTF-8",
        rule: "seen: all",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| changed(good, |draft| draft.add("HTTP_X_NAME", "café"))),
    },
    Case {
        name: "a name that is not in capitals",
        rule: "seen: Apache",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| changed(good, |draft| draft.add("proxy-scgi-pathinfo", "1"))),
    },
    Case {
        name: "HTTP_COOKIE twice",
        rule: "seen: nginx",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| {
            changed(good, |draft| draft.add("HTTP_COOKIE", "a=1").add("HTTP_COOKIE", "b=2"))
        }),
    },
    Case {
        name: "a head of 32 KB",
        rule: "seen: nginx",
        expect: AnswerOrLimit,
        severity: Must,
        play: Play::Once(|good| {
            changed(good, |mut draft| {
                for name in ["HTTP_X_A", "HTTP_X_B", "HTTP_X_C", "HTTP_X_D"] {
                    draft = draft.add(name, vec![b'v'; NGINX_HEAD / 4 - 300]);
                }
                draft
            })
        }),
    },
    Case {
        name: "a value of 60 KB",
        rule: "seen: lighttpd",
        expect: AnswerOrLimit,
        severity: Should,
        play: Play::Once(|good| changed(good, |draft| draft.add("HTTP_X", vec![b'v'; 60_000]))),
    },
    Case {
        name: "1000 params",
        rule: "SCGI",
        expect: AnswerOrLimit,
        severity: Should,
        play: Play::Once(|good| changed(good, |draft| draft.with_count(1000))),
    },
    Case {
        name: "CONTENT_LENGTH with zeros in front",
        rule: "RFC 3875 4.1.2",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| {
            let len = format!("00{}", good.body.len());
            changed(good, |draft| draft.set("CONTENT_LENGTH", len))
        }),
    },
    Case {
        name: "CONTENT_LENGTH last",
        rule: "SCGI",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| changed(good, super::super::draft::Draft::first_to_last)),
    },
    Case {
        name: "CONTENT_LENGTH absent",
        rule: "SCGI, RFC 3875 4.1.2",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| send(good.draft().without("CONTENT_LENGTH").head())),
    },
    Case {
        name: "CONTENT_LENGTH empty",
        rule: "SCGI, RFC 3875 4.1.2",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| send(good.draft().set("CONTENT_LENGTH", "").head())),
    },
    Case {
        name: "SCGI absent",
        rule: "SCGI",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| changed(good, |draft| draft.without("SCGI"))),
    },
    Case {
        name: "0:, alone",
        rule: "SCGI",
        expect: Either,
        severity: Should,
        play: Play::Once(|_| send(b"0:,".into())),
    },
];

pub(super) const ARRIVAL: &[Case] = &[
    Case {
        name: "the body after the head",
        rule: "seen: Apache",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| {
            let draft = good.draft();
            vec![Step::Send(draft.head()), pause(), Step::Send(draft.body)]
        }),
    },
    Case {
        name: "byte by byte",
        rule: "TCP",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| vec![Step::SendByteByByte(good.draft().bytes())]),
    },
    Case {
        name: "cut in two at each place",
        rule: "TCP",
        expect: Answer,
        severity: Must,
        play: Play::Splits,
    },
    Case {
        name: "the comma with the body, after the block",
        rule: "TCP",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| {
            let mut head = good.draft().with_body("0123456789").head();
            head.pop();
            vec![Step::Send(head), pause(), Step::Send(b",0123456789".into())]
        }),
    },
    Case {
        name: "a slow body",
        rule: "seen: Apache",
        expect: Answer,
        severity: Must,
        play: Play::Once(|good| {
            let draft = good.draft().with_body("0123456789");
            let mut steps = vec![Step::Send(draft.head())];
            for byte in draft.body {
                steps.extend([pause(), Step::Send(vec![byte])]);
            }
            steps
        }),
    },
    Case {
        name: "the end of input after the request",
        rule: "seen: some clients",
        expect: Answer,
        severity: Should,
        play: Play::Once(|good| vec![Step::Send(good.draft().bytes()), Step::EndInput]),
    },
    Case {
        name: "bytes after the body",
        rule: "seen: nginx",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| send([good.draft().bytes(), b"surplus".into()].concat())),
    },
    Case {
        name: "a second request behind the first",
        rule: "SCGI",
        expect: Either,
        severity: Should,
        play: Play::Once(|good| send(good.draft().bytes().repeat(2))),
    },
];
