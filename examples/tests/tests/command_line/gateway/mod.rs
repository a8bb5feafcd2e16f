//! `scgi gateway`: real clients and backends, and requests that a client library would not send.

#![cfg(unix)]
#![allow(dead_code, reason = "each part uses some of it")]

mod bounds;
mod browser;
mod curl;
mod early;
mod options;
mod real;
mod rules;
mod stopping;
mod tunnels;
mod websockets;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::tool::EchoServer;

/// The gateway before `backend` on `listen`; its address is a URL.
pub(crate) fn gateway_on(listen: &str, backend: &str, more: &[&str]) -> EchoServer {
    let mut command = Command::new(scgi_tests::programs::scgi());
    command.args(["gateway", listen, backend]).args(more);
    EchoServer::start_command(command)
}

/// The gateway before `backend` on a loopback address.
pub(crate) fn gateway(backend: &str, more: &[&str]) -> EchoServer {
    gateway_on("127.0.0.1:0", backend, more)
}

/// `host:port` of a gateway's URL.
pub(crate) fn authority(gateway: &EchoServer) -> &str {
    gateway.address.strip_prefix("http://").expect("a URL")
}

/// A connection on which a read fails after 20 s.
pub(crate) fn connect(gateway: &EchoServer) -> TcpStream {
    let stream = TcpStream::connect(authority(gateway)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// Sends these bytes and returns everything that comes until the gateway closes.
pub(crate) fn send(gateway: &EchoServer, request: &str) -> String {
    let mut stream = connect(gateway);
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("a reply and a close");
    String::from_utf8_lossy(&reply).into_owned()
}

/// The status of a reply.
pub(crate) fn status(reply: &str) -> u16 {
    let status = reply.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    status.unwrap_or_else(|| panic!("not an HTTP reply: {reply:?}"))
}

/// A param that the echo server got, from its JSON.
pub(crate) fn param(reply: &str, name: &str) -> Option<String> {
    let body = reply.split_once("\r\n\r\n").expect("a head").1;
    // The body may be in one chunk.
    let (begin, end) = (body.find('{').expect("JSON"), body.rfind('}').expect("JSON"));
    let json: serde_json::Value = serde_json::from_str(&body[begin..=end]).expect("JSON");
    let params = json["params"].as_array().expect("params");
    let pair = params.iter().find(|pair| pair[0] == name)?;
    Some(pair[1].as_str().expect("text").to_owned())
}
