//! Upgrades. A front server passes a 101 on, whether or not its client asked for it: if not, the
//! client takes the bytes behind it for its next response. A server that knows no upgrades answers
//! each of these as an ordinary request.

use std::time::Duration;

use super::Expect::{NoSwitch, Switch};
use super::Severity::{Must, Should};
use super::{Case, Play};
use crate::check::draft::{Draft, Good};
use crate::check::tunnel::Tunnel;

/// How long a server may take to send a few bytes back. One that does not echo costs as much.
const ECHO_TIME: Duration = Duration::from_secs(3);

/// Two pings of a WebSocket, with a mask of zeros. A WebSocket answers with the text in a pong, and a
/// server that sends everything back with the text as well.
const EARLY: &[u8] = b"\x89\x85\0\0\0\0early";
const LATER: &[u8] = b"\x89\x85\0\0\0\0later";

/// A valid upgrade, changed so that it is none.
macro_rules! not_asked {
    ($name:literal, $rule:literal, $severity:ident, $change:expr) => {
        Case {
            name: $name,
            rule: $rule,
            expect: NoSwitch,
            severity: $severity,
            play: Play::Ask(|good| {
                let change: fn(Draft) -> Draft = $change;
                change(valid(good))
            }),
        }
    };
}

pub(super) const CASES: &[Case] = &[
    not_asked!("no upgrade is asked for", "RFC 9110 15.2.2", Must, |draft| {
        draft.without("HTTP_CONNECTION").without("HTTP_UPGRADE")
    }),
    not_asked!("Upgrade without Connection", "RFC 9110 7.8", Must, |draft| {
        draft.set("HTTP_CONNECTION", "keep-alive")
    }),
    not_asked!("Connection without Upgrade", "RFC 9110 7.8", Must, |draft| {
        draft.without("HTTP_UPGRADE")
    }),
    not_asked!("an upgrade in HTTP/1.0", "RFC 9110 7.8", Must, |draft| {
        draft.set("SERVER_PROTOCOL", "HTTP/1.0")
    }),
    not_asked!("an upgrade in HTTP/2.0", "RFC 9113 8.6", Must, |draft| {
        draft.set("SERVER_PROTOCOL", "HTTP/2.0")
    }),
    not_asked!("an upgrade with a body", "seen: nginx", Should, |draft| draft.with_body("x")),
    not_asked!("an upgrade through Apache", "seen: Apache", Should, |draft| {
        draft.set("SCRIPT_FILENAME", "proxy:scgi://127.0.0.1:4000/")
    }),
    Case {
        name: "a valid upgrade",
        rule: "RFC 9110 7.8",
        expect: Switch,
        severity: Must,
        play: Play::Ask(valid),
    },
    Case {
        name: "bytes sent before the 101",
        rule: "seen: lighttpd",
        expect: Switch,
        severity: Must,
        play: Play::Tunnel { early: EARLY, then: early_bytes },
    },
    Case {
        name: "the end of input in the tunnel",
        rule: "seen: lighttpd",
        expect: Switch,
        severity: Should,
        play: Play::Tunnel { early: b"", then: end_of_input },
    },
    Case {
        name: "close right after the 101",
        rule: "seen: browsers",
        expect: Switch,
        severity: Must,
        play: Play::Tunnel { early: b"", then: |_, _| Ok("continues") },
    },
    Case {
        name: "a request while 8 tunnels are open",
        rule: "seen: browsers",
        expect: Switch,
        severity: Should,
        play: Play::AmongTunnels(8),
    },
];

/// A request for an upgrade that may be granted.
pub(crate) fn valid(good: &Good) -> Draft {
    let draft = good.draft().with_body("").without("CONTENT_TYPE").set("REQUEST_METHOD", "GET");
    let draft = match &good.upgrade_uri {
        Some(uri) => draft.with_uri(uri),
        None => draft,
    };
    let draft = draft.set("SERVER_PROTOCOL", "HTTP/1.1");
    let params = crate::websocket::params(&good.protocol);
    params.into_iter().fold(draft, |draft, (name, value)| draft.set(name, value))
}

fn early_bytes(tunnel: &mut Tunnel, _: Duration) -> Result<&'static str, String> {
    // One that has closed sends nothing back, either.
    let _ = tunnel.send(LATER);
    tunnel.read(ECHO_TIME, |tunnel| tunnel.has(b"later"));
    match (tunnel.has(b"early"), tunnel.has(b"later")) {
        (true, _) => Ok("101, and they come back"),
        (false, false) => Ok("101, and nothing comes back"),
        (false, true) => Err("lost: only what follows comes back".into()),
    }
}

fn end_of_input(tunnel: &mut Tunnel, timeout: Duration) -> Result<&'static str, String> {
    // It fails if the server has closed.
    let has_closed = tunnel.end_input().is_err() || tunnel.read(timeout, |_| false);
    if has_closed { Ok("101, and it closes") } else { Err("101; left open".into()) }
}
