//! Cases with clients that disconnect early or connect in large numbers.

use super::Expect::{Answer, Survive};
use super::Severity::{Must, Should};
use super::{Case, Play, send};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "connect and close",
        rule: "seen: Apache",
        expect: Survive,
        severity: Must,
        play: Play::Leave(|_| Vec::new()),
    },
    Case {
        name: "close within the head",
        rule: "TCP",
        expect: Survive,
        severity: Must,
        play: Play::Leave(|good| {
            let head = good.draft().head();
            send(head[..head.len() / 2].into())
        }),
    },
    Case {
        name: "close within the body",
        rule: "seen: Apache",
        expect: Survive,
        severity: Must,
        play: Play::Leave(|good| {
            let draft = good.draft().with_body("0123456789");
            send([draft.head(), b"01234".into()].concat())
        }),
    },
    Case {
        name: "close without reading the reply",
        rule: "seen: nginx",
        expect: Survive,
        severity: Must,
        play: Play::Leave(|good| send(good.draft().bytes())),
    },
    Case {
        name: "32 requests at once",
        rule: "seen: all",
        expect: Answer,
        severity: Must,
        play: Play::AtOnce(32),
    },
    Case {
        name: "a request while 8 connections are idle",
        rule: "seen: health checks",
        expect: Answer,
        severity: Should,
        play: Play::AmongIdle(8),
    },
];
