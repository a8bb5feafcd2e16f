//! Every adapter behind a real nginx, over TCP and over a Unix socket.

use std::thread;
use std::time::Duration;

use crate::support::{self, App};
use scgi_tests::front::Front;
use scgi_tests::http::{Browser, Reply};
use scgi_tests::process::required;
use sha2::{Digest, Sha256};
use ureq::http::Request;

/// Runs `check` with a browser and the URLs that lead to `app` over TCP and over Unix.
fn behind_nginx(app: fn() -> App, check: impl Fn(&Browser, &str)) {
    if !required("nginx") {
        return;
    }
    let app = app();
    let nginx = Front::nginx(app.tcp, &app.unix).expect("nginx starts");
    let browser = Browser::new();
    for path in ["/", "/unix/"] {
        check(&browser, &format!("{}{path}", nginx.url().trim_end_matches('/')));
    }
}

fn ok(reply: Result<Reply, ureq::Error>) -> Reply {
    let reply = reply.expect("a reply");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

/// What the program answers about a body.
fn summary(body: &[u8]) -> String {
    format!(" {} {:x}", body.len(), Sha256::digest(body))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

fn get_and_post(app: fn() -> App) {
    behind_nginx(app, |browser, url| {
        let reply = ok(browser.get(&format!("{url}a%20b?c=d")));
        assert!(reply.text().contains("a%20b?c=d "), "{}", reply.text());
        for len in [0, 1, 65_535, 65_536, 16 << 20] {
            let body = bytes(len);
            let reply = ok(browser.post(&format!("{url}post"), &body));
            assert!(reply.text().ends_with(&summary(&body)), "{len}: {}", reply.text());
        }
        let body = bytes(300_000);
        let reply = ok(browser.post_chunked(&format!("{url}chunked"), &body[..]));
        assert!(reply.text().ends_with(&summary(&body)), "{}", reply.text());
        let reply = ok(browser.post(&format!("{url}echo"), &body));
        assert!(reply.body == body, "{} bytes came back", reply.body.len());
    });
}

fn large_headers(app: fn() -> App) {
    behind_nginx(app, |browser, url| {
        let mut request = Request::get(format!("{url}headers"));
        for index in 0..4 {
            request = request.header(format!("x-large-{index}"), "v".repeat(8000));
        }
        let reply = ok(browser.send(request.body(()).expect("a request")));
        let text = reply.text();
        let params: usize = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
        assert!(params > 32_000, "{text}");
    });
}

fn many_at_once(app: fn() -> App) {
    behind_nginx(app, |_, url| {
        thread::scope(|scope| {
            let all: Vec<_> = (0..200)
                .map(|index| {
                    scope.spawn(move || {
                        let body = bytes(index * 97);
                        let reply = ok(Browser::new().post(&format!("{url}{index}"), &body));
                        assert!(reply.text().ends_with(&summary(&body)), "{}", reply.text());
                    })
                })
                .collect();
            assert_eq!(all.into_iter().map(|thread| thread.join().expect("no panic")).count(), 200);
        });
    });
}

fn early_reply(app: fn() -> App) {
    behind_nginx(app, |browser, url| {
        let reply = browser.post(&format!("{url}refuse"), &bytes(8 << 20)).expect("a reply");
        assert_eq!((reply.status, reply.text().as_str()), (413, "too large"));
    });
}

fn panic_is_500(app: fn() -> App) {
    behind_nginx(app, |browser, url| {
        assert_eq!(browser.get(&format!("{url}panic")).expect("a reply").status, 500);
        ok(browser.get(url));
    });
}

fn streamed(app: fn() -> App) {
    if !required("nginx") {
        return;
    }
    let app = app();
    let nginx = Front::nginx(app.tcp, &app.unix).expect("nginx starts");
    let url = format!("{}/nobuf/stream", nginx.url().trim_end_matches('/'));
    let stream = Browser::new().open(Request::get(url).body(()).expect("a request"));
    let pieces: Vec<_> = stream.expect("a reply").map(|piece| piece.expect("a piece")).collect();
    assert_eq!(pieces.len(), support::app::PIECES as usize, "{pieces:?}");
    for (index, pair) in pieces.windows(2).enumerate() {
        let pause = pair[1].after - pair[0].after;
        assert!(pause > Duration::from_millis(100), "{pause:?} after piece {index}");
    }
}

macro_rules! on {
    ($runtime:ident) => {
        mod $runtime {
            use crate::support::$runtime::app;

            #[test]
            fn get_and_post() {
                super::get_and_post(app);
            }

            #[test]
            fn large_headers() {
                super::large_headers(app);
            }

            #[test]
            fn many_at_once() {
                super::many_at_once(app);
            }

            #[test]
            fn early_reply_with_an_unread_body() {
                super::early_reply(app);
            }

            #[test]
            fn panic_is_500() {
                super::panic_is_500(app);
            }

            #[test]
            fn stream_arrives_piece_by_piece() {
                super::streamed(app);
            }
        }
    };
}

on!(async_std);
on!(blocking);
on!(smol);
on!(tokio);
