//! Programs in containers: the example servers end on SIGTERM with status 0, and the Dockerfile keeps
//! the rules of the guide `containers`.

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

/// The instructions of a Dockerfile, each with its arguments in one line.
fn instructions(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let split = |line: &str| {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        (name.to_owned(), rest.trim().to_owned())
    };
    lines.map(split).collect()
}

/// What is wrong with a Dockerfile.
fn lint(text: &str) -> Vec<String> {
    const KNOWN: [&str; 10] = [
        "FROM",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "STOPSIGNAL",
        "EXPOSE",
        "ENTRYPOINT",
        "CMD",
        "HEALTHCHECK",
    ];
    let all = instructions(text);
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(text);
    if all.first().is_none_or(|(name, _)| name != "FROM") {
        fault("it does not begin with FROM".into());
    }
    let mut stages = Vec::new();
    for (name, rest) in &all {
        if !KNOWN.contains(&name.as_str()) {
            fault(format!("{name} is not known"));
        }
        let words: Vec<_> = rest.split_whitespace().collect();
        match name.as_str() {
            "FROM" => {
                let image = words.first().copied().unwrap_or_default();
                let tag = image.split_once(':').map(|(_, tag)| tag);
                if image != "scratch" && tag.is_none_or(|tag| tag == "latest") {
                    fault(format!("{image} has no version"));
                }
                if let [_, "AS", stage] = words[..] {
                    stages.push(stage);
                }
            }
            "COPY" => {
                let from = words.iter().find_map(|word| word.strip_prefix("--from="));
                if from.is_some_and(|from| !stages.contains(&from)) {
                    fault(format!("COPY from a stage that is not there: {rest}"));
                }
            }
            // A shell would be process 1 and keep SIGTERM.
            "ENTRYPOINT" | "CMD" if serde_json::from_str::<Vec<String>>(rest).is_err() => {
                fault(format!("{name} is not in the exec form"));
            }
            _ => {}
        }
    }
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap_or(0);
    let is_in_last = |wanted: &str| all[last..].iter().find(|(name, _)| name == wanted);
    match is_in_last("USER").map(|(_, user)| user.split(':').next().unwrap_or_default()) {
        Some(user) if user != "root" && user.parse::<u32>().is_ok_and(|uid| uid > 0) => {}
        // Names mean nothing in an empty image.
        user => fault(format!("the last stage runs as {user:?}")),
    }
    if is_in_last("ENTRYPOINT").is_none() {
        fault("there is no ENTRYPOINT".into());
    }
    faults
}

#[test]
fn the_dockerfile_keeps_the_rules() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../container/Dockerfile");
    let text = std::fs::read_to_string(path).expect("the Dockerfile");
    assert_eq!(lint(&text), Vec::<String>::new());
    // What it copies is what cargo builds.
    assert!(text.contains("--example axum_app") && text.contains("/release/examples/axum_app "));
    let rust = text.lines().find_map(|line| line.strip_prefix("FROM rust:")).expect("an image");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("the manifest");
    let minimum = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    let minimum = minimum.expect("a version").trim_end_matches('"');
    assert!(rust.starts_with(minimum), "{rust} and {minimum}");
    // The lint finds what it is for.
    for (from, to) in [
        ("ENTRYPOINT [\"/app\"]", "ENTRYPOINT /app"),
        ("USER 10001:10001", "USER root"),
        ("USER 10001:10001\n", ""),
        ("--from=build", "--from=builder"),
        ("rust:1.85-alpine3.21", "rust"),
        ("STOPSIGNAL", "STOPSIG"),
    ] {
        assert!(text.contains(from), "{from}");
        assert_eq!(lint(&text.replace(from, to)).len(), 1, "{to}");
    }
}
