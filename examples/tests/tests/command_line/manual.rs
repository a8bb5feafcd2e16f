//! The texts of the program itself: help, the manual, completions.

use std::process::{Command, Stdio};

use crate::tool::{scgi, scgi_with};
use scgi_tests::process::required;

const COMMANDS: [&str; 8] =
    ["decode", "echo", "request", "gateway", "proxy", "check", "completions", "man"];

#[test]
fn help_names_commands_and_exit_statuses() {
    let help = scgi(["--help"]).ok();
    for word in COMMANDS.into_iter().chain([
        "Exit status:",
        "  5   request --upgrade",
        "  22  request --fail",
        "NO_COLOR",
    ]) {
        assert!(help.text().contains(word), "{word}");
    }
    assert_eq!(scgi([""; 0]).code, Some(2));
}

#[test]
fn every_command_has_a_page() {
    for command in COMMANDS {
        let page = scgi(["man", command]).ok();
        assert!(page.text().contains(&format!("\n.TH scgi-{command} 1 ")), "{}", page.text());
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(page.text().contains(section), "{command}: {section}");
        }
    }
    let page = scgi(["man"]).ok();
    assert!(page.text().contains("Exit status:"), "{}", page.text());
    scgi(["man", "x"]).failed(1, "scgi: there is no command x; scgi --help names them");
}

/// The shell itself reads the script and completes with it.
#[test]
fn bash_completes() {
    if !required("bash") {
        return;
    }
    let script = scgi(["completions", "bash"]).ok();
    let ask =
        "\nCOMP_WORDS=(scgi req); COMP_CWORD=1; _scgi scgi req scgi; echo \"${COMPREPLY[@]}\"";
    let all = [&script.stdout[..], ask.as_bytes()].concat();
    let all = String::from_utf8(all).expect("text");
    let output = Command::new("bash").args(["--norc", "-c", &all]).stdin(Stdio::null()).output();
    assert_eq!(String::from_utf8_lossy(&output.expect("bash runs").stdout), "request\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(scgi(["completions", shell]).ok().text().contains("rtorrent"), "{shell}");
    }
}

#[test]
fn pipes_have_no_colours() {
    for args in [&["--help"][..], &["check", "--help"], &["nothing"]] {
        let run = scgi_with(args, b"");
        assert!(!run.stdout.contains(&0x1b) && !run.stderr.contains('\x1b'), "{args:?}");
    }
}
