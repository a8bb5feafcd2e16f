//! The page of `axum_app` in a real browser: Chromium through nginx, the app over SCGI.

#![cfg(unix)]

#[path = "../../../axum_app.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod axum_app;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::chromium::Browser;
use scgi_tests::front::Front;
use scgi_tests::process::required;
use scgi_tokio::{Counters, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Bytes of the uploaded file.
const UPLOAD: usize = 3 << 20;

/// The app over SCGI on a free port.
async fn start_app() -> (SocketAddr, Counters) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("its address");
    let server = serve(listener, axum_app::app());
    let counters = server.counters();
    tokio::spawn(server.into_future());
    (address, counters)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works() {
    if !["nginx", "chromium", "chromedriver"].into_iter().all(required) {
        return;
    }
    let (app, counters) = start_app().await;
    let nothing = std::path::Path::new("/nonexistent.sock");
    let front = Front::nginx(app, nothing).expect("nginx starts");
    let browser = Browser::start().await;
    browser.client.goto(&format!("{}/", front.url())).await.expect("the page");
    assert_eq!(browser.text("login").await, "nobody");
    assert!(browser.text("address").await.starts_with("127.0.0.1:"));

    form(&browser).await;
    log_in(&browser).await;
    upload(&browser).await;
    clock(&browser, &counters).await;
    browser.client.close().await.expect("the browser ends");
}

async fn form(browser: &Browser) {
    browser.type_into("#greet input", " & <b>\u{e9}</b>").await;
    browser.click("#greet button").await;
    browser.wait_for("greeting", |text| text == "Hello, SCGI & <b>\u{e9}</b>!").await;
}

/// Sets the cookie, which the page then shows.
async fn log_in(browser: &Browser) {
    browser.type_into("form[action='/login'] input", "alice").await;
    browser.click("form[action='/login'] button").await;
    browser.wait_for("login", |text| text == "alice").await;
}

async fn upload(browser: &Browser) {
    let path = browser.folder.path().join("upload.bin");
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(&vec![7; UPLOAD]).expect("written");
    browser.type_into("#file", path.to_str().expect("a path in UTF-8")).await;
    browser.wait_for("uploaded", |text| text == format!("{UPLOAD} bytes")).await;
    let script = "return document.getElementById('progress').value";
    let progress = browser.client.execute(script, Vec::new()).await.expect("its value");
    assert_eq!(progress, json!(1));
}

/// The clock ticks, and stops in the app when the tab is closed.
async fn clock(browser: &Browser, counters: &Counters) {
    let first = browser.wait_for("clock", |text| text.starts_with("20")).await;
    let second = browser.wait_for("clock", |text| *text != first).await;
    browser.wait_for("clock", |text| *text != first && *text != second).await;
    assert_eq!(counters.active(), 1, "the clock's stream");
    // Another tab, as the browser ends with its last one.
    let clock = browser.client.window().await.expect("the tab");
    let other = browser.client.new_window(true).await.expect("another tab");
    let closed = Instant::now();
    browser.client.close_window().await.expect("closed");
    while counters.active() > 0 {
        assert!(closed.elapsed() < Duration::from_secs(1), "the clock runs on");
        sleep(Duration::from_millis(10)).await;
    }
    println!("the stream ended {:?} after its tab", closed.elapsed());
    assert_ne!(clock, other.handle);
    browser.client.switch_to_window(other.handle).await.expect("the other tab");
}
