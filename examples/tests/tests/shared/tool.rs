//! Running the program `scgi`.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What every test that starts a server or a client does for each of.
pub(crate) const RUNTIMES: [&str; 4] = ["tokio", "async-std", "smol", "blocking"];

fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(scgi_tests::programs::scgi());
    command.args(args);
    command
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    /// The output of a run that went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Checks the status and that standard error is this line.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, stderr: &str) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(code), format!("{stderr}\n").as_str()));
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the program with nothing on standard input.
pub(crate) fn scgi<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    command(args).stdin(Stdio::null()).output().expect("the program runs").into()
}

/// Runs the program with `input` on standard input.
pub(crate) fn scgi_with<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, input: &[u8]) -> Run {
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // A program that has seen enough closes its input.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("its end");
    writer.join().expect("no panic");
    output.into()
}

/// A running `scgi echo`, ended with the value.
#[derive(Debug)]
pub(crate) struct EchoServer {
    child: Child,
    /// Read all the time: a program that logs must not wait for its reader.
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// As it told it.
    pub(crate) address: String,
}

impl EchoServer {
    /// Starts it and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = command(["echo"]);
        command.args(args);
        Self::start_command(command)
    }

    /// As [`start`](Self::start), from a shell script in which `"$@"` starts it.
    pub(crate) fn start_in_shell(script: &str, args: &[&str]) -> Self {
        let mut command = Command::new("bash");
        command
            .args(["-c", script, "bash"])
            .arg(scgi_tests::programs::scgi())
            .arg("echo")
            .args(args);
        Self::start_command(command)
    }

    /// Starts what prints the address as the program does.
    pub(crate) fn start_command(command: Command) -> Self {
        Self::start_with_errors(command, Stdio::piped())
    }

    /// The same, with another standard error than a pipe; then it is not known what it said.
    pub(crate) fn start_with_errors(mut command: Command, errors: Stdio) -> Self {
        command.stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("the program runs");
        let stdout = child.stdout.take().expect("its output");
        let stderr = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&stderr);
        let errors = child.stderr.take();
        let reader = thread::spawn(move || {
            let Some(errors) = errors else { return };
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let mut said = said.lock().expect("no panic");
                said.push_str(&line);
                said.push('\n');
            }
        });
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("Listening on ").map(str::to_string);
        let address = address.unwrap_or_else(|| panic!("{command:?} printed {line:?}"));
        Self { child, stderr, reader: Some(reader), address }
    }

    /// Starts one on `runtime` that answers in JSON, on a free port.
    pub(crate) fn json(runtime: &str) -> Self {
        Self::start(&["--runtime", runtime, "--json", "127.0.0.1:0"])
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the signal is sent");
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.lock().expect("no panic").clone()
    }

    /// Waits for its end; gives its status and what it said on standard error.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        self.reader.take().expect("waited for once").join().expect("no panic");
        (status.code(), self.said())
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            return status;
        }
        assert!(Instant::now() < deadline, "the program does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The capture `name` (`nginx/get_query`) among the test vectors of the core.
pub(crate) fn vector(name: &str, extension: &str) -> PathBuf {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scgi-proto/tests/vectors");
    PathBuf::from(vectors).join(name).with_extension(extension)
}

/// A path as an argument.
pub(crate) fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
