//! What is logged about a program that fails: why, and on which request. On every runtime.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::alone::alone;
use crate::support;

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn bytes<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a line with all of these parts.
    fn await_line(&self, parts: &[&str]) {
        let begun = Instant::now();
        loop {
            let text = self.bytes(|bytes| String::from_utf8_lossy(bytes).into_owned());
            if text.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{parts:?} is not in\n{text}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Write for Log {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes(|bytes| bytes.extend_from_slice(buf));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ask(mut stream: impl Read + Write, uri: &str) {
    let block = format!("CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_URI\x00{uri}\x00");
    write!(stream, "{}:{block},", block.len()).expect("sent");
    // Some of the replies are broken off.
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_program_that_fails_is_told_with_its_reason() {
    alone(|| {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
        let apps = [
            support::tokio::app(),
            support::async_std::app(),
            support::smol::app(),
            support::blocking::app(),
        ];
        let (failed, panicked) = ("the program failed reason=", "the program panicked reason=");
        for app in apps {
            for (uri, what, reason) in [
                ("/error", failed, "the stream failed: as the test wants it"),
                ("/panic", panicked, "as the test wants it"),
                ("/line-break", failed, "the value of response field 0 holds a control byte"),
                ("/short", failed, "7 bytes"),
                ("/late-error", failed, "as the test wants it"),
                ("/late-panic", panicked, "as the test wants it"),
            ] {
                for unix in [false, true] {
                    match unix {
                        true => ask(UnixStream::connect(&app.unix).expect("a connection"), uri),
                        false => ask(TcpStream::connect(app.tcp).expect("a connection"), uri),
                    }
                    log.await_line(&["WARN request{", &format!("uri={uri}}}"), what, reason]);
                    log.bytes(Vec::clear);
                }
            }
        }
    });
}
