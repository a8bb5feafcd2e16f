//! What the conversions to and from `http` allocate.

#![cfg(feature = "http")]

#[path = "../benches/browser/mod.rs"]
mod browser;

use allocation_counter::measure;
use scgi_proto::http::{request_to_http, response_from_http};

/// The map of headers takes two, and the value in the extensions three.
#[test]
fn a_usual_request_takes_five() {
    let head = browser::head();
    let mut parts = None;
    let counted = measure(|| parts = Some(request_to_http(head)));
    let parts = parts.expect("it ran").expect("a request");
    assert_eq!(parts.headers.len(), 10);
    assert!(counted.count_total <= 5, "{counted:?}");
}

#[test]
fn a_usual_response_takes_one() {
    let response = http::Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .header("cache-control", "no-store")
        .header("content-length", "200");
    let (parts, ()) = response.body(()).expect("a response").into_parts();
    let mut head = None;
    let counted = measure(|| head = Some(response_from_http(&parts)));
    assert_eq!(head.expect("it ran").fields().len(), 3);
    assert!(counted.count_total <= 1, "{counted:?}");
}
