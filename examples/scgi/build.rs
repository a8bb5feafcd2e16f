//! Puts the version and, in a repository, the commit into `SCGI_VERSION`.

use std::env;
use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    // A package that was unpacked into some other repository must not show that one's commit.
    let is_ours = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    let commit = if is_ours { git(&["rev-parse", "--short=10", "HEAD"]) } else { None };
    if let Some(head) = commit.as_ref().and_then(|_| git(&["rev-parse", "--git-path", "HEAD"])) {
        println!("cargo::rerun-if-changed={head}");
    }
    let version = commit.map_or_else(|| version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=SCGI_VERSION={version}");
}
