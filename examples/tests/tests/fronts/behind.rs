//! The programs that put an example behind a front server: started, asked, and stopped.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use scgi_tests::http::Browser;
use scgi_tests::process::required;
use scgi_tests::programs::example;
use ureq::http::Request;

fn check(name: &str, server: &str) {
    if !required(server) {
        return;
    }
    for (args, text) in [(&[][..], "<html>"), (&["axum_app"], "axum over SCGI")] {
        let mut program = Command::new(example(name));
        program.args(args).stdout(Stdio::piped());
        let mut child = program.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut url = None;
        for line in lines.by_ref().lines() {
            let line = line.expect("a line");
            let is_url = url.is_none() && line.starts_with("http");
            url = url.or_else(|| {
                is_url.then(|| line.split_whitespace().next().expect("a URL").to_owned())
            });
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let url = url.expect("the program prints its URL");
        let request = Request::get(&url).body(()).expect("a request");
        let reply = Browser::new().send(request).expect("a reply");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("a signal");
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("text");
        assert!(child.wait().expect("its end").success(), "{name} {args:?}: {rest}");
        assert!(reply.status == 200 && reply.text().contains(text), "{name} {args:?}: {reply:?}");
    }
}

#[test]
fn nginx() {
    check("behind-nginx", "nginx");
}

#[test]
fn apache() {
    check("behind-apache", "apache2");
}

#[test]
fn lighttpd() {
    check("behind-lighttpd", "lighttpd");
}
