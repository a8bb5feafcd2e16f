//! A headless Chromium, steered by its driver.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::process::Command;
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use scgi_tests::process::{Running, free_port, scratch_dir};
use serde_json::json;
use tokio::time::sleep;

/// Time for anything a page does, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser, with its driver and its files in a folder of its own.
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Running,
    pub(crate) folder: tempfile::TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
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

    pub(crate) async fn text(&self, id: &str) -> String {
        // As a script: between two pages there is no such element.
        let script = format!("return document.getElementById('{id}')?.textContent ?? ''");
        let text = self.client.execute(&script, Vec::new()).await.expect("a value");
        text.as_str().expect("text").to_owned()
    }

    /// Waits until the text of an element is as it should be. Returns it.
    pub(crate) async fn wait_for(&self, id: &str, is_right: impl Fn(&str) -> bool) -> String {
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

    pub(crate) async fn click(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await.expect("an element");
        element.click().await.expect("a click");
    }

    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        let element = self.client.find(Locator::Css(css)).await.expect("an element");
        element.send_keys(text).await.expect("typed");
    }
}
