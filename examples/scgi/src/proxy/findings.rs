//! What front servers, or browsers behind them, make of an exchange that is not as it should be.
//!
//! What each front server does was observed with nginx 1.22, Apache 2.4 and lighttpd 1.4.

use std::time::Duration;

use scgi_proto::{DecodeError, Escaped, Part, RequestHead, ResponseHead};

use super::end::{End, Peer};
use super::watch::Watch;

/// `scgi_buffer_size` of nginx unless it is set, in bytes: a page of memory.
const NGINX_HEAD: u64 = 4096;

/// What Apache takes of one line of the head, in bytes.
const APACHE_LINE: usize = 8190;

/// Whoever closes sooner than this after its last byte has not waited for anything.
const SHORT: Duration = Duration::from_secs(1);

/// A front server that ends a tunnel without a byte for longer than this has not waited for more.
const IDLE: Duration = Duration::from_secs(5);

/// So much is shown of a line that is not a field, in bytes.
const SHOWN: usize = 60;

/// Everything that is odd about an exchange that has ended.
pub(crate) fn findings(watch: &Watch, end: &End) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(error) = &watch.capture_error {
        found.push(format!("not saved: {error}"));
    }
    if let End::NoConnection(why) = end {
        found.push(format!("{why}; nginx answers 502, Apache and lighttpd 503"));
        return found;
    }
    // Connected and closed without a byte, as health checks do and Apache before it answers 411.
    if watch.request.bytes == 0 && watch.reply.bytes == 0 && matches!(end, End::Closed { .. }) {
        return found;
    }
    found.extend(of_request(watch));
    found.extend(of_reply(watch, end));
    if let Some(head) = &watch.reply.head {
        found.extend(OF_HEAD.iter().filter_map(|look| look(watch, head)));
    }
    found.extend(of_connection(watch, end));
    found
}

fn of_request(watch: &Watch) -> Vec<String> {
    let request = &watch.request;
    let mut found = Vec::new();
    match &request.error {
        Some(DecodeError::UnexpectedEnd { part, missing }) => found.push(format!(
            "the front server closed in {part}, at least {missing} bytes early: the browser went \
             away"
        )),
        Some(error) => found.push(format!("the request: {error}")),
        None => {}
    }
    if request.head.as_ref().is_some_and(RequestHead::lengths_disagree) {
        found.push(
            "CONTENT_LENGTH and HTTP_CONTENT_LENGTH disagree: behind nginx, set \
             scgi_request_buffering on"
                .into(),
        );
    }
    if request.surplus > 0 && !watch.reply.is_tunnel {
        found.push(format!("{} bytes came after the body of the request", request.surplus));
    }
    found
}

/// Why there is no complete reply.
fn of_reply(watch: &Watch, end: &End) -> Option<String> {
    let reply = &watch.reply;
    match (&reply.error, end) {
        (Some(DecodeError::NoResponse), _) => Some(
            "the backend closed without a reply: nginx answers 502, Apache and lighttpd 500; look \
             at the backend's log"
                .into(),
        ),
        (Some(DecodeError::UnexpectedEnd { part: Part::ResponseHead, .. }), _) => {
            let why = if watch.start.contains(&b'\n') || !watch.start.contains(&b'\r') {
                "no empty line ends the head of the reply"
            } else {
                "the lines of the reply end with CR alone"
            };
            Some(format!("{why}: nginx answers 502, Apache and lighttpd 500"))
        }
        (Some(DecodeError::UnexpectedEnd { missing, .. }), _) => Some(format!(
            "the body is {missing} bytes shorter than Content-Length says: the browser gets it \
             cut off"
        )),
        (Some(error), _) => Some(unasked_switch(watch).unwrap_or_else(|| bad_head(watch, error))),
        (None, End::Broken { by: Peer::Backend, error }) if reply.is_tunnel => {
            Some(format!("the backend broke the tunnel: {error}"))
        }
        (None, End::Broken { by: Peer::Backend, error }) => {
            let bytes = reply.bytes;
            let pending = if watch.request.is_complete { "" } else { " with the request unread" };
            Some(format!(
                "the backend broke the connection{pending} after {bytes} bytes of the reply: \
                 {error}; a front server answers 502 or cuts the reply off there"
            ))
        }
        (None, _) => None,
    }
}

/// A 101 to a request without a valid upgrade.
fn unasked_switch(watch: &Watch) -> Option<String> {
    let line = watch.start.split(|byte| *byte == b'\n').next()?;
    let line = line.to_ascii_lowercase();
    let code = line.strip_prefix(b"status:").or_else(|| line.strip_prefix(b"http/1.1"))?;
    if !code.trim_ascii().starts_with(b"101") {
        return None;
    }
    let head = watch.request.head.as_ref().filter(|head| head.upgrade().is_none())?;
    let why = match head.upgrade_refusal() {
        Some(why) => format!("may have none ({why})"),
        None => "asks for no upgrade".into(),
    };
    Some(format!(
        "a 101 to a request that {why}: nginx, Apache and lighttpd pass it on, and the client takes \
         what follows for its next response"
    ))
}

/// A head that is not a CGI response, and the line that shows it.
fn bad_head(watch: &Watch, error: &DecodeError) -> String {
    let offset = match error {
        DecodeError::InvalidField { offset }
        | DecodeError::InvalidStatus { offset }
        | DecodeError::DuplicateStatus { offset }
        | DecodeError::InvalidResponseLength { offset } => Some(*offset),
        _ => None,
    };
    let line = offset.and_then(|offset| watch.start.get(offset..)).map(line);
    let line = line.unwrap_or_default();
    let shown = if line.is_empty() { String::new() } else { format!(" ({line})") };
    format!("{error}{shown}: front servers answer 502 or 500, or pass on what is wrong with it")
}

/// The first line, without the value of a field: it may be a secret.
fn line(rest: &[u8]) -> String {
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return "a folded line".into();
    }
    let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(line.len()));
    let shown = Escaped(&name[..name.len().min(SHOWN)]);
    if value.is_empty() {
        return shown.to_string();
    }
    if name.eq_ignore_ascii_case(b"Status") {
        return Escaped(&line[..line.len().min(SHOWN)]).to_string();
    }
    match value.iter().find(|byte| matches!(byte, 0 | b'\r')) {
        Some(byte) => format!("{shown}: with the byte 0x{byte:02x}"),
        None => format!("{shown}: ..."),
    }
}

/// What is looked for in the head of a reply that can be understood.
const OF_HEAD: [fn(&Watch, &ResponseHead) -> Option<String>; 7] =
    [status_line, long_head, long_line, transfer_encoding, bare_location, surplus, switch];

fn status_line(watch: &Watch, head: &ResponseHead) -> Option<String> {
    let (code, reason) = (head.status().code(), Escaped(head.reason().as_bytes()));
    has_status_line(watch).then(|| {
        format!(
            "the reply begins with an HTTP status line: Apache answers 500; send \"Status: {code} \
             {reason}\""
        )
    })
}

fn has_status_line(watch: &Watch) -> bool {
    watch.start.starts_with(b"HTTP/")
}

fn long_head(watch: &Watch, _: &ResponseHead) -> Option<String> {
    let len = watch.reply.head_len;
    (len > NGINX_HEAD).then(|| {
        format!(
            "a head of {len} bytes is over nginx' scgi_buffer_size, {NGINX_HEAD} unless set: it \
             answers 502"
        )
    })
}

/// The lines of the reply's head.
fn lines(watch: &Watch) -> impl Iterator<Item = &[u8]> {
    watch.start.split(|byte| *byte == b'\n').take_while(|line| !matches!(*line, b"" | b"\r"))
}

fn long_line(watch: &Watch, _: &ResponseHead) -> Option<String> {
    let is_long = lines(watch).any(|line| line.len() > APACHE_LINE);
    is_long.then(|| format!("a field is over Apache's {APACHE_LINE} bytes: it answers 500"))
}

fn transfer_encoding(_: &Watch, head: &ResponseHead) -> Option<String> {
    head.fields().first("Transfer-Encoding")?;
    Some(
        "Transfer-Encoding is the front server's: nginx and Apache pass the chunks' framing on as \
         body, lighttpd decodes it"
            .into(),
    )
}

fn bare_location(watch: &Watch, head: &ResponseHead) -> Option<String> {
    let is_status =
        |line: &[u8]| line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"Status:"));
    // A local path alone is a redirect within the front server.
    let is_remote = !head.fields().first("Location")?.starts_with(b"/");
    let is_bare = is_remote && !has_status_line(watch) && !lines(watch).any(is_status);
    is_bare
        .then(|| "Location without Status: Apache answers 200; send \"Status: 302 Found\"".into())
}

fn surplus(watch: &Watch, head: &ResponseHead) -> Option<String> {
    let surplus = watch.reply.surplus;
    let has_body = !watch.is_head_request() && !head.status().has_no_body();
    (surplus > 0 && has_body).then(|| {
        format!("{surplus} bytes more than Content-Length says: nginx and lighttpd cut them off")
    })
}

/// A 101 whose tunnel the client will not take.
fn switch(watch: &Watch, head: &ResponseHead) -> Option<String> {
    let has = |name| head.fields().first(name).is_some();
    if !watch.reply.is_tunnel {
        return None;
    }
    if !has("Upgrade") {
        return Some("the 101 has no Upgrade field: nginx adds none, and clients refuse it".into());
    }
    has("Content-Length").then(|| "the 101 has a Content-Length, which nginx passes on".into())
}

/// A tunnel that was closed as nothing passed.
fn idle_tunnel(watch: &Watch, end: &End) -> Option<String> {
    let (Peer::Front, at) = watch.tunnel_end(end)? else { return None };
    let last = watch.request.last_at.max(watch.reply.last_at)?;
    let idle = at.saturating_sub(last);
    (idle > IDLE).then(|| {
        format!(
            "the front server closed the tunnel after {:.1} s without a byte: its time-out was over \
             (nginx' scgi_read_timeout is 60 s unless set), or the browser left; pings keep it open",
            idle.as_secs_f64()
        )
    })
}

fn of_connection(watch: &Watch, end: &End) -> Vec<String> {
    if watch.reply.is_tunnel {
        return idle_tunnel(watch, end).into_iter().collect();
    }
    let mut found = Vec::new();
    if let End::Closed { not_taken: Some(error) } = end {
        found.push(format!(
            "the backend took only a part of the request ({error}): a front server that is still \
             sending answers 502 or 503; read the rest before closing"
        ));
    }
    if has_front_left(watch, end) {
        found.push(
            "the front server went away before the end of the reply: its time-out was over \
             (nginx' scgi_read_timeout is 60 s unless set), or the browser left"
                .into(),
        );
    }
    found.extend(late_close(watch));
    found
}

/// Whether the front server did not wait for the reply.
fn has_front_left(watch: &Watch, end: &End) -> bool {
    let Watch { request, reply, .. } = watch;
    match end {
        End::Broken { by: Peer::Front, .. } => !reply.is_complete,
        // One that only ends its output does so right after the request.
        _ => request.ended_at.zip(request.last_at).is_some_and(|(ended, last)| {
            ended > last + SHORT && reply.head_at.is_none_or(|head| head > ended)
        }),
    }
}

/// A backend that waits after a reply whose end the front server knows.
fn late_close(watch: &Watch) -> Option<String> {
    let reply = &watch.reply;
    let is_stated = |head: &ResponseHead| head.fields().first("Content-Length").is_some();
    let waited = reply.ended_at?.saturating_sub(reply.last_at?);
    // Without Content-Length, the reply is complete only when the backend closes.
    let is_late = reply.is_complete && reply.head.as_ref().is_some_and(is_stated);
    (is_late && waited > SHORT).then(|| {
        format!(
            "the backend left the connection open for {:.1} s after its reply: Apache waits for \
             the close",
            waited.as_secs_f64()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// The findings about a reply that came at once and was ended at `closed`.
    fn told(reply: &[u8], end: &End) -> Vec<String> {
        let mut watch = Watch::new(1, None);
        watch.connected();
        watch.request(b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,");
        watch.reply(reply);
        if matches!(end, End::Closed { .. }) {
            watch.reply(b"");
        }
        findings(&watch, end)
    }

    #[test]
    fn replies_and_what_is_told() {
        let long = format!("X-A: {}\n\n", "v".repeat(9000)).into_bytes();
        for (reply, expected) in [
            (&b"Status: 200 OK\r\n\r\nbody"[..], &[][..]),
            (b"Content-Type: text/plain\n\nbody", &[]),
            (b"\nbody", &[]),
            (b"Location: /local\n\n", &[]),
            (b"status: 302\nLocation: http://a/\n\n", &[]),
            (b"Location: http://a/\n\n", &["Apache answers 200"]),
            (b"HTTP/1.0 200\nLocation: http://a/\n\n", &["HTTP status line"]),
            (b"Content-Length: 5\n\nbody", &["1 bytes shorter"]),
            (b"Content-Length: 3\n\nbody", &["1 bytes more"]),
            (b"Content-Length: 3\nContent-Length: 4\n\nbody", &["(Content-Length: ...)"]),
            (b"Status: 200\nStatus: 404\n\n", &["(Status: 404)"]),
            (b"Status: 100 Continue\n\nStatus: 200 OK\n\n", &["(Status: 100 Continue)"]),
            (b"Set-Cookie: a\rb\r\n\n", &["(Set-Cookie: with the byte 0x0d)"]),
            (b"Set-Cookie: a\n b\n\n", &["(a folded line)"]),
            (b"", &["closed without a reply"]),
            (b"Status: 200", &["no empty line"]),
            (b"\r\r", &["CR alone"]),
            (&long, &["9007 bytes is over nginx'", "over Apache's 8190"]),
        ] {
            let found = told(reply, &End::Closed { not_taken: None });
            let shown = Escaped(&reply[..reply.len().min(80)]);
            assert_eq!(found.len(), expected.len(), "{shown}: {found:?}");
            for (finding, text) in found.iter().zip(expected) {
                assert!(finding.contains(text), "{shown}: {finding}");
            }
        }
    }

    #[test]
    fn tunnels_and_what_is_told() {
        const UPGRADE: &[u8] = b"108:CONTENT_LENGTH\x000\0SCGI\x001\0SERVER_PROTOCOL\0HTTP/1.1\0\
            HTTP_CONNECTION\0Upgrade\0HTTP_UPGRADE\0x\0HTTP_HOST\0localhost\0,";
        let closed = End::Closed { not_taken: None };
        let mut watch = Watch::new(1, None);
        watch.connected();
        watch.request(UPGRADE);
        watch.reply(b"Status: 101 x\r\nUpgrade: x\r\n\r\nfirst");
        watch.request(b"more");
        assert_eq!(watch.tunnel(), Some((4, 5)));
        watch.reply(b"");
        assert_eq!(findings(&watch, &closed), [""; 0]);
        // The backend ended it; now as if the front server had, a minute after the last byte.
        let at = |seconds| Some(Duration::from_secs(seconds));
        (watch.request.last_at, watch.reply.last_at) = (at(2), at(3));
        (watch.request.ended_at, watch.reply.ended_at) = (at(63), at(64));
        let found = findings(&watch, &closed);
        assert!(found.len() == 1 && found[0].contains("after 60.0 s without a byte"), "{found:?}");
        (watch.request.ended_at, watch.reply.ended_at) = (at(64), at(63));
        assert_eq!(findings(&watch, &closed), [""; 0]);
    }

    #[test]
    fn ends_and_what_is_told() {
        let error = || io::Error::from(io::ErrorKind::ConnectionReset);
        for (end, expected) in [
            (End::Broken { by: Peer::Front, error: error() }, "the front server went away"),
            (End::Broken { by: Peer::Backend, error: error() }, "after 17 bytes of the reply"),
            (End::NoConnection("cannot connect".into()), "cannot connect; nginx answers 502"),
        ] {
            let found = told(b"Status: 200\r\n\r\nha", &end);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
        let found = told(b"\n", &End::Closed { not_taken: Some(error()) });
        assert!(found.len() == 1 && found[0].contains("only a part of the request"), "{found:?}");
    }
}
