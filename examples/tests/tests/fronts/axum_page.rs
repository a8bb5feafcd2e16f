//! The page of `axum_app` in a real browser: Chromium through nginx, the app over SCGI.

#![cfg(unix)]

#[path = "../../../axum_app.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod axum_app;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use scgi_tests::front::Front;
use scgi_tests::process::{Running, free_port, required, scratch_dir};
use scgi_tokio::{Counters, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Time for anything the page does, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of the uploaded file.
const UPLOAD: usize = 3 << 20;

/// A headless Chromium, steered by its driver, with its files in a folder of its own.
struct Browser {
    client: Client,
    _driver: Running,
    folder: tempfile::TempDir,
}

impl Browser {
    async fn start() -> Self {
        let folder = scratch_dir().expect("a folder");
        let port = free_port().expect("a port");
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).env("HOME", folder.path());
        command.stdout(std::process::Stdio::null());
        let mut driver = Running::spawn(&mut command).expect("chromedriver starts");
        let up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        driver.wait_until(up).expect("chromedriver listens");
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        // No sandbox, as CI runs as root; little shared memory, as in a container.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            &profile,
        ];
        let options = json!({ "goog:chromeOptions": { "args": args } });
        let options = options.as_object().expect("an object").clone();
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(options)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser");
        Self { client, _driver: driver, folder }
    }

    async fn text(&self, id: &str) -> String {
        // As a script: between two pages there is no such element.
        let script = format!("return document.getElementById('{id}')?.textContent ?? ''");
        let text = self.client.execute(&script, Vec::new()).await.expect("a value");
        text.as_str().expect("text").to_owned()
    }

    /// Waits until the text of an element is as it should be, and returns it.
    async fn wait_for(&self, id: &str, is_right: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text(id).await;
            if is_right(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{id} says {text:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn click(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await.expect("an element");
        element.click().await.expect("a click");
    }

    async fn type_into(&self, css: &str, text: &str) {
        let element = self.client.find(Locator::Css(css)).await.expect("an element");
        element.send_keys(text).await.expect("typed");
    }
}

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
