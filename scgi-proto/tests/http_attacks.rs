//! Attacks that the conversions to and from `http` must stop; each test names one.

#![cfg(feature = "http")]

use bytes::BytesMut;
use scgi_proto::http::{
    ConvertError, RequestRules, remove_hop_by_hop, request_from_http, request_to_http,
    response_from_http, response_to_http, strip_mount,
};
use scgi_proto::{EncodeError, RequestHead, ResponseEncoder, ResponseHead, Status};

fn encode(head: &ResponseHead) -> Result<String, EncodeError> {
    let mut out = BytesMut::new();
    ResponseEncoder::default().head(head, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A `Proxy:` header becomes HTTP_PROXY, which programs take for the proxy of their own requests.
#[test]
fn httpoxy_on_a_server() {
    for name in ["HTTP_PROXY", "HTTP_proxy", "HTTP_Proxy"] {
        let head = RequestHead::builder("GET", "/").param(name, "http://evil/").build();
        let parts = request_to_http(head).expect("a request");
        assert!(parts.headers.is_empty(), "{name}: {:?}", parts.headers);
    }
}

#[test]
fn httpoxy_through_a_client() {
    let (parts, ()) =
        http::Request::get("/").header("Proxy", "http://evil/").body(()).expect("ok").into_parts();
    let head = request_from_http(&parts).expect("a head");
    assert!(head.params().iter().all(|(_, value)| value != b"http://evil/"));
}

/// A header that means another length than CONTENT_LENGTH: lighttpd passes `Content_Length: 77`
/// on as HTTP_CONTENT_LENGTH, nginx passes HTTP_TRANSFER_ENCODING with a decoded body.
#[test]
fn smuggling_by_a_second_length() {
    let head = RequestHead::builder("POST", "/")
        .content_length(5)
        .append("HTTP_CONTENT_LENGTH", "77")
        .append("HTTP_TRANSFER_ENCODING", "chunked")
        .append("HTTP_Transfer_Encoding", "chunked")
        .append("HTTP_Content-Length", "78")
        .build();
    let parts = request_to_http(head).expect("a request");
    let lengths: Vec<_> = parts.headers.get_all("content-length").iter().collect();
    assert_eq!(lengths, ["5"]);
    assert!(!parts.headers.contains_key("transfer-encoding"));
}

#[test]
fn smuggling_through_a_client() {
    for (name, value) in [("transfer-encoding", "chunked"), ("content_length", "77")] {
        let (parts, ()) = http::Request::post("/")
            .header("content-length", "5")
            .header(name, value)
            .body(())
            .expect("ok")
            .into_parts();
        let head = request_from_http(&parts).expect("a head");
        assert_eq!(head.content_length(), 5);
        assert!(head.params().iter().all(|(_, sent)| sent != value.as_bytes()));
    }
}

/// The HTTP server decodes chunks only: a body that is compressed as well would pass for plain.
#[test]
fn smuggling_by_another_transfer_coding() {
    let (parts, ()) = http::Request::post("/")
        .header("transfer-encoding", "gzip, chunked")
        .body(())
        .expect("ok")
        .into_parts();
    assert_eq!(request_from_http(&parts).err(), Some(ConvertError::UnsupportedTransferEncoding));
}

/// Two Content-Lengths let two servers see different ends of the request.
#[test]
fn smuggling_by_two_content_lengths() {
    let (parts, ()) = http::Request::post("/")
        .header("content-length", "5")
        .header("content-length", "6")
        .body(())
        .expect("ok")
        .into_parts();
    assert!(matches!(request_from_http(&parts), Err(ConvertError::RepeatedHeader { .. })));
}

/// A backend's chunked framing must not reach the next hop as its own.
#[test]
fn smuggling_by_a_backends_transfer_encoding() {
    let head = ResponseHead::new(Status::OK)
        .with_field("Transfer-Encoding", "chunked")
        .with_field("Content-Length", "5");
    let parts = response_to_http(&head).expect("a response");
    assert_eq!(parts.headers.len(), 1);
}

/// `X_User` and `X-User` are one param: what a front server sets must not be replaced, and what it
/// removes must not come back.
#[test]
fn header_name_collision() {
    for given in [&["x-user", "x_user"][..], &["x_user", "x-user"], &["x_user"]] {
        let build = |builder: http::request::Builder, name: &&str| {
            builder.header(*name, if name.contains('_') { "root" } else { "alice" })
        };
        let request = given.iter().fold(http::Request::get("/"), build).body(()).expect("ok");
        let parts = request.into_parts().0;
        let sent = |rules: RequestRules| {
            let head = rules.convert(&parts).expect("a head");
            head.params().get_str("HTTP_X_USER").map(str::to_owned)
        };
        let alice = given.contains(&"x-user").then(|| "alice".to_owned());
        assert_eq!(sent(RequestRules::default()), alice, "{given:?}");
        let passed = sent(RequestRules::default().with_underscores(true));
        assert_eq!(passed, alice.or_else(|| Some("root".to_owned())), "{given:?}");
    }
}

/// `Connection: close, X-Forwarded-For` removes a header that a proxy adds (CVE-2022-31813).
#[test]
fn hop_by_hop_removal_of_a_header_of_ours() {
    let (mut parts, ()) = http::Request::get("/")
        .header("connection", "close, X-Forwarded-For, Host")
        .header("x-forwarded-for", "127.0.0.1")
        .header("host", "example.org")
        .body(())
        .expect("ok")
        .into_parts();
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.insert("x-forwarded-for", http::HeaderValue::from_static("192.0.2.1"));
    let rules = RequestRules::default().with_forwarded_headers(true);
    let head = rules.convert(&parts).expect("a head");
    assert_eq!(head.params().get_str("HTTP_X_FORWARDED_FOR"), Some("192.0.2.1"));
    assert_eq!(head.params().get_str("HTTP_HOST"), Some("example.org"));
}

/// Any client can claim to speak for another one.
#[test]
fn forwarded_headers_of_a_client() {
    let names = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"];
    let build = |builder: http::request::Builder, name: &&str| builder.header(*name, "127.0.0.1");
    let request = names.iter().fold(http::Request::get("/"), build).body(()).expect("ok");
    let head = request_from_http(&request.into_parts().0).expect("a head");
    assert!(head.params().iter().all(|(_, value)| value != b"127.0.0.1"));
}

/// `SCGI: 0` and `Request-Method: EVIL` are headers and replace no variable.
#[test]
fn headers_named_as_variables() {
    let (parts, ()) = http::Request::get("/")
        .header("scgi", "0")
        .header("request-method", "EVIL")
        .header("script_name", "/evil")
        .body(())
        .expect("ok")
        .into_parts();
    let head = request_from_http(&parts).expect("a head");
    assert_eq!(head.method(), Some(&b"GET"[..]));
    assert_eq!(head.script_name(), Some(&b""[..]));
    assert_eq!(head.params().get("HTTP_SCGI"), Some(&b"0"[..]));
}

/// A line break in a field's value would begin a field, or a whole response, of the attacker's.
#[test]
fn response_splitting() {
    let evil = b"/\r\nSet-Cookie: admin=1\r\n\r\n<script>";
    assert!(http::HeaderValue::from_bytes(evil).is_err(), "`http` itself refuses it");
    let head = ResponseHead::new(Status::FOUND).with_field("Location", evil);
    assert_eq!(encode(&head), Err(EncodeError::InvalidFieldValue { index: 0 }));
    assert_eq!(response_to_http(&head).err(), Some(ConvertError::InvalidField { index: 0 }));
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.headers.append("x", http::HeaderValue::from_static("a\tb"));
    assert!(encode(&response_from_http(&parts)).is_ok_and(|text| text.lines().count() == 3));
}

/// A line break in a request's header, decoded from a path or passed on by a lax front server.
#[test]
fn request_splitting() {
    let head = RequestHead::builder("GET", "/").param("HTTP_X", "a\r\nHost: evil").build();
    assert!(matches!(request_to_http(head), Err(ConvertError::InvalidHeaderValue { .. })));
    let head = RequestHead::builder("GET", "/").param("REQUEST_URI", "/\r\nHost: evil").build();
    let parts = request_to_http(head).expect("a request");
    assert_eq!(parts.uri, "/%0D%0AHost:%20evil");
}

/// NUL would end a param early and make the rest the next one's name.
#[test]
fn param_splitting_by_nul() {
    let (parts, ()) = http::Request::get("/a%00HTTPS%00on").body(()).expect("ok").into_parts();
    assert_eq!(request_from_http(&parts).err(), Some(ConvertError::NulInPath));
}

/// A field `Status` would replace the status that was sent.
#[test]
fn status_by_header() {
    let (parts, ()) = http::Response::builder()
        .header("Status", "200 OK")
        .status(403)
        .body(())
        .expect("ok")
        .into_parts();
    let text = encode(&response_from_http(&parts)).expect("a head");
    assert_eq!(text, "Status: 403 Forbidden\r\n\r\n");
}

/// A path beside the mount point must not reach a program as if it were inside.
#[test]
fn escape_from_the_mount_point() {
    for path in ["/admin", "/apple", "/app%2f..%2fadmin", "/", "//app", "/x/../app"] {
        let (mut parts, ()) = http::Request::get(path).body(()).expect("ok").into_parts();
        assert_eq!(strip_mount(&mut parts, "/app"), Err(ConvertError::OutsideMount), "{path}");
    }
}
