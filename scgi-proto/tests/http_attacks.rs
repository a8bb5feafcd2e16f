//! Attacks that the conversions to and from `http` have to stop; each test names one.

#![cfg(feature = "http")]

use bytes::BytesMut;
use scgi_proto::http::{
    ConvertError, request_from_http, request_to_http, response_from_http, response_to_http,
    strip_mount,
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
        match request_from_http(&parts) {
            Ok(head) => {
                assert_eq!(head.content_length(), 5);
                assert!(head.params().iter().all(|(_, sent)| sent != value.as_bytes()));
            }
            Err(error) => assert!(matches!(error, ConvertError::CollidingName { .. })),
        }
    }
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

/// `X_User` and `X-User` are one variable: what a front server sets must not be replaced.
#[test]
fn header_name_collision() {
    let (parts, ()) = http::Request::get("/")
        .header("x-user", "alice")
        .header("x_user", "root")
        .body(())
        .expect("ok")
        .into_parts();
    assert!(matches!(request_from_http(&parts), Err(ConvertError::CollidingName { .. })));
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
