//! The servers among the examples end on SIGTERM and SIGINT, with status 0.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use scgi_tests::programs::example;

#[test]
fn server_examples_stop_gracefully() {
    for name in ["server", "server_smol", "server_async_std", "server_blocking", "axum_app"] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut command = Command::new(example(name));
            let mut child =
                command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("it starts");
            let mut line = String::new();
            let stdout = child.stdout.take().expect("its output");
            BufReader::new(stdout).read_line(&mut line).expect("a line");
            assert!(line.starts_with("Listening on "), "{name}: {line}");
            // The handler is installed when the server starts to accept.
            std::thread::sleep(std::time::Duration::from_millis(200));
            kill_process(Pid::from_child(&child), signal).expect("the signal is sent");
            assert_eq!(child.wait().expect("its end").code(), Some(0), "{name} {signal:?}");
        }
    }
}
