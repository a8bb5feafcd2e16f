//! Cases that check the response to a good request.

use super::Expect::Answer;
use super::Severity::{Must, Should};
use super::{Case, Play};
use crate::check::exchange::Reply;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the connection is closed after it",
        rule: "seen: Apache waits",
        expect: Answer,
        severity: Must,
        play: Play::Look(|reply| check(reply.closed, || "left open".into())),
    },
    Case {
        name: "it begins with no HTTP status line",
        rule: "RFC 3875 6.2",
        expect: Answer,
        severity: Should,
        play: Play::Look(|reply| {
            check(!reply.has_status_line, || "HTTP status line: Apache makes it a 500".into())
        }),
    },
    Case {
        name: "it has a Content-Type if it has a body",
        rule: "RFC 3875 6.3.1",
        expect: Answer,
        severity: Should,
        play: Play::Look(|reply| {
            let has_type = reply.head.fields().first("Content-Type").is_some();
            check(has_type || reply.body == 0, || "a body without Content-Type".into())
        }),
    },
    Case {
        name: "it ends where Content-Length says",
        rule: "RFC 9110 8.6",
        expect: Answer,
        severity: Should,
        play: Play::Look(|reply| {
            check(reply.surplus == 0, || format!("{} bytes more than stated", reply.surplus))
        }),
    },
    Case {
        name: "it has no field of the front server's",
        rule: "RFC 3875 6.3.4",
        expect: Answer,
        severity: Should,
        play: Play::Look(fields_of_its_own),
    },
    Case {
        name: "HEAD is answered",
        rule: "RFC 3875 4.3.3",
        expect: Answer,
        severity: Must,
        play: Play::LookAtHead(|_| Ok(())),
    },
    Case {
        name: "the reply to HEAD has no body",
        rule: "RFC 3875 4.3.3",
        expect: Answer,
        severity: Should,
        play: Play::LookAtHead(|reply| {
            check(reply.surplus == 0, || format!("{} bytes of body", reply.surplus))
        }),
    },
];

fn check(is_well: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if is_well { Ok(()) } else { Err(fault()) }
}

/// What concerns the browser's connection is the front server's to say.
fn fields_of_its_own(reply: &Reply) -> Result<(), String> {
    const FRONT: [&str; 6] =
        ["Connection", "Keep-Alive", "Trailer", "Transfer-Encoding", "Upgrade", "TE"];
    let fields = reply.head.fields();
    match FRONT.iter().find(|name| fields.first(name).is_some()) {
        Some(name) => Err(format!("has {name}")),
        None => Ok(()),
    }
}
