//! What heads show of themselves: accessors, counts, comparisons and texts.

use scgi_proto::{RequestHead, RequestHeadBuilder, ResponseHead, Status};

#[test]
fn variables_have_accessors() {
    let head = RequestHead::builder("POST", "/%41/a%2Fb%c3%a9%4?x=%41")
        .param("CONTENT_TYPE", "text/xml")
        .param("REMOTE_ADDR", "192.0.2.1")
        .build();
    assert_eq!(head.method(), Some(&b"POST"[..]));
    assert_eq!(head.path_info(), Some("/A/a/b\u{e9}%4".as_bytes()));
    assert_eq!(head.query_string(), Some(&b"x=%41"[..]));
    assert_eq!(head.script_name(), Some(&b""[..]));
    assert_eq!(head.content_type(), Some(&b"text/xml"[..]));
    assert_eq!(head.remote_addr(), Some(&b"192.0.2.1"[..]));
    let empty = RequestHeadBuilder::default().build();
    assert_eq!((empty.content_type(), empty.remote_addr()), (None, None));
    assert_eq!((empty.method(), empty.path_info(), empty.script_name()), (None, None, None));
}

#[test]
fn params_are_counted_and_compared() {
    let build = |pairs: &[(&str, &str)]| {
        let head = RequestHeadBuilder::default();
        pairs.iter().fold(head, |head, (name, value)| head.append(name, value)).build()
    };
    let (none, one, two) = (build(&[]), build(&[("A", "b")]), build(&[("A", "b"), ("A", "c")]));
    assert!(none.params().is_empty() && !one.params().is_empty());
    assert_eq!((none.params().len(), two.params().len()), (0, 2));
    assert_eq!(one, build(&[("A", "b")]));
    for other in [&none, &two, &build(&[("A", "c")]), &build(&[("B", "b")])] {
        assert_ne!(one.params(), other.params());
    }
    // The same bytes, cut elsewhere.
    assert_ne!(build(&[("AB", "c")]).params(), build(&[("A", "Bc")]).params());
}

#[test]
fn fields_are_counted_and_compared() {
    let none = ResponseHead::new(Status::OK);
    let one = none.clone().with_field("A", "b");
    let two = one.clone().with_field("a", "c").with_field("B", "d");
    assert!(none.fields().is_empty() && !one.fields().is_empty());
    assert_eq!((none.fields().len(), two.fields().len()), (0, 3));
    let mut iter = two.fields().iter();
    for left in (0..3).rev() {
        assert!(iter.next().is_some());
        assert_eq!((iter.len(), iter.size_hint()), (left, (left, Some(left))));
    }
    assert_eq!(iter.next(), None);
    assert_eq!(two.fields().get_all("A").collect::<Vec<_>>(), [b"b", b"c"]);
    assert_eq!(two.fields().first("b"), Some(&b"d"[..]));
    assert_eq!(one, none.clone().with_field("A", "b"));
    for other in [&none, &two, &none.clone().with_field("A", "c")] {
        assert_ne!(one.fields(), other.fields());
    }
}

#[test]
fn a_length_is_stated_where_there_is_a_body_and_none_is_stated_yet() {
    let stated = |mut head: ResponseHead, len| {
        head.set_content_length_if_absent(len);
        head.fields().first("Content-Length").map(<[u8]>::to_vec)
    };
    let new = ResponseHead::new;
    assert_eq!(stated(new(Status::OK), Some(12)), Some(b"12".to_vec()));
    assert_eq!(stated(new(Status::OK), None), None);
    assert_eq!(stated(new(Status::NO_CONTENT), Some(0)), None);
    assert_eq!(stated(ResponseHead::local_redirect("/a"), Some(0)), None);
    let own = new(Status::OK).with_field("content-length", "5");
    assert_eq!(stated(own, Some(12)), Some(b"5".to_vec()));
}

#[test]
fn a_status_and_its_reason() {
    let mut head = ResponseHead::new(Status::OK).with_reason("Fine");
    assert_eq!((head.status().code(), head.reason()), (200, "Fine"));
    head.set_status(Status::NOT_FOUND);
    assert_eq!((head.status(), head.reason()), (Status::NOT_FOUND, "Not Found"));
    assert_eq!(Status::NOT_FOUND.to_string(), "404 Not Found");
    assert_eq!(format!("{:?}", Status::NOT_FOUND), "404 Not Found");
    assert_eq!(Status::new(599).map(Status::reason), Some("Unknown"));
    assert_eq!((Status::new(99), Status::new(1000)), (None, None));
    let bodiless = [100, 199, 204, 205, 304].map(|code| Status::new(code).expect("a status"));
    assert!(bodiless.iter().all(|status| status.has_no_body()));
    assert!(![Status::OK, Status::FOUND, Status::NOT_FOUND].iter().any(|s| s.has_no_body()));
}

#[cfg(feature = "http")]
#[test]
fn what_cannot_be_converted_has_its_status_and_text() {
    use scgi_proto::http::ConvertError;

    let name = "x-user".parse::<http::HeaderName>().expect("a name");
    for (error, status, text) in [
        (ConvertError::MissingMethod, 400, "the request has no REQUEST_METHOD"),
        (ConvertError::InvalidMethod, 400, "REQUEST_METHOD is not an HTTP method"),
        (ConvertError::InvalidUri, 400, "the request has no path"),
        (
            ConvertError::UriTooLong { len: 70_000, max: 65_534 },
            414,
            "a URI of 70000 bytes is over the limit of 65534 bytes",
        ),
        (
            ConvertError::InvalidHeaderValue { index: 3 },
            400,
            "param 3, a header, holds a control byte",
        ),
        (ConvertError::OutsideMount, 404, "the path lies outside the mount point"),
        (ConvertError::RepeatedHeader { name }, 400, "header x-user appears twice"),
        (ConvertError::InvalidContentLength, 400, "content-length is not a number"),
        (ConvertError::NulInPath, 400, "the path holds %00"),
        (
            ConvertError::InvalidPercentEncoding,
            400,
            "the path holds a % without two hexadecimal digits",
        ),
        (ConvertError::UnsupportedMethod, 501, "the method CONNECT is not supported"),
        (ConvertError::UnsupportedTransferEncoding, 501, "transfer-encoding is not just chunked"),
        (ConvertError::InvalidField { index: 2 }, 502, "response field 2 is not an HTTP field"),
    ] {
        assert_eq!((error.status_hint().code(), error.to_string().as_str()), (status, text));
    }
}

#[cfg(feature = "http")]
#[test]
fn the_version_and_the_client_of_an_http_request() {
    use http::Version;
    use scgi_proto::http::{ClientAddress, request_from_http};

    for (version, protocol) in [
        (Version::HTTP_09, "HTTP/0.9"),
        (Version::HTTP_10, "HTTP/1.0"),
        (Version::HTTP_11, "HTTP/1.1"),
        (Version::HTTP_2, "HTTP/2.0"),
        (Version::HTTP_3, "HTTP/3.0"),
    ] {
        let request = http::Request::builder().version(version).uri("/").body(());
        let head = request_from_http(&request.expect("a request").into_parts().0);
        let head = head.expect("a head");
        assert_eq!(head.params().get_str("SERVER_PROTOCOL"), Some(protocol));
    }
    let client = ClientAddress::from("192.0.2.1:80".parse::<std::net::SocketAddr>().expect("one"));
    assert_eq!((client.port(), client.to_string().as_str()), (Some(80), "192.0.2.1:80"));
    let client = ClientAddress::new(client.ip(), None);
    assert_eq!(client.to_string(), "192.0.2.1");
    assert_eq!(client.to_socket_addr().to_string(), "192.0.2.1:0");
}

#[test]
fn each_usual_status_has_its_reason() {
    let reasons: Vec<_> = (100..=999)
        .filter_map(Status::new)
        .filter(|status| status.reason() != "Unknown")
        .map(|status| status.to_string())
        .collect();
    assert_eq!(reasons.len(), 50, "{reasons:?}");
    let mut texts: Vec<_> = reasons.iter().map(|text| &text[4..]).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 50, "each its own: {texts:?}");
    for known in ["100 Continue", "418 I'm a teapot", "505 HTTP Version Not Supported"] {
        assert!(reasons.iter().any(|reason| reason == known), "{known}");
    }
}

#[cfg(feature = "net")]
#[test]
fn addresses_are_shown_as_they_are_written() {
    use scgi_proto::Address;

    for text in
        ["localhost:4000", "[::1]:4000", "unix:/run/a.sock", "unix:@a", "fd:0", "systemd:web"]
    {
        assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(text.into()));
    }
    let socket: std::net::SocketAddr = "[::1]:4000".parse().expect("an address");
    assert_eq!(Address::from(socket), Address::Tcp("[::1]:4000".into()));
}

#[cfg(feature = "std")]
#[test]
fn requests_and_responses_come_apart() {
    use bytes::Bytes;
    use scgi_proto::{BoxError, IntoResponse as _, Peer, Request, Response};

    let head = RequestHead::builder("PUT", "/").build();
    let mut request = Request::<Bytes>::new(head, "hello").with_peer(None);
    assert_eq!((request.head().content_length(), request.peer()), (5, None));
    request = request.with_peer(Some(Peer::Unix(None)));
    assert_eq!(request.peer(), Some(Peer::Unix(None)));
    *request.body_mut() = Bytes::from("other");
    let (head, body) = request.into_parts();
    assert_eq!((head.method(), &body[..]), (Some(&b"PUT"[..]), &b"other"[..]));
    assert_eq!(Request::<Bytes>::from_parts(head, body).into_body(), "other");

    let mut response =
        Response::<Bytes>::new("hello").with_status(Status::CREATED).with_field("A", "b");
    assert_eq!(
        (response.status(), response.fields().first("a")),
        (Status::CREATED, Some(&b"b"[..]))
    );
    *response.body_mut() = Bytes::from("other");
    let response = response.into_response().expect("a response is one");
    let (head, body) = response.into_parts();
    let whole: Result<_, BoxError> = Ok(Response::<Bytes>::from_parts(head, body));
    let response = whole.into_response().expect("it was well");
    assert_eq!((response.head().status(), response.into_body()), (Status::CREATED, "other".into()));
    let failed: Result<Response<Bytes>, _> = Err("broken");
    assert_eq!(failed.into_response().expect_err("an error").to_string(), "broken");
}

#[cfg(feature = "http")]
#[test]
fn the_uri_and_the_headers_at_their_edges() {
    use scgi_proto::http::{ConvertError, RequestContext, request_to_http};

    let convert = |uri: &str, name: &str| {
        request_to_http(RequestHead::builder("GET", uri).param(name, "v").build())
    };
    let path = |uri: &str| convert(uri, "A").map(|parts| parts.uri.to_string());
    assert_eq!(path("http://a/b/c").as_deref(), Ok("/b/c"));
    assert_eq!(path(&format!("/{}", "x".repeat(65_533))).map(|path| path.len()), Ok(65_534));
    let too_long = ConvertError::UriTooLong { len: 65_535, max: 65_534 };
    assert_eq!(path(&format!("/{}", "x".repeat(65_534))), Err(too_long));
    // As long as TE, a part of it, and more than it.
    for name in ["xx", "t", "tea"] {
        let parts = convert("/", &format!("HTTP_{}", name.to_ascii_uppercase())).expect("a head");
        assert!(parts.headers.contains_key(name), "{name}");
    }
    assert!(convert("/", "HTTP_TE").expect("a head").headers.is_empty());
    let mounted = RequestHead::builder("GET", "/a b/c").param("SCRIPT_NAME", "/a b").build();
    let parts = request_to_http(mounted).expect("a head");
    let mount = parts.extensions.get::<RequestContext>().expect("a context").mount_point();
    assert_eq!((mount.as_bytes(), mount.to_string().as_str()), (&b"/a b"[..], "/a%20b"));
}
