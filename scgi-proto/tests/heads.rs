//! What heads tell of themselves: accessors, counts, comparisons and texts.

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
    assert_eq!(two.fields().get("b"), Some(&b"d"[..]));
    assert_eq!(one, none.clone().with_field("A", "b"));
    for other in [&none, &two, &none.clone().with_field("A", "c")] {
        assert_ne!(one.fields(), other.fields());
    }
}

#[test]
fn a_length_is_stated_where_there_is_a_body_and_none_is_stated_yet() {
    let stated = |mut head: ResponseHead, len| {
        head.state_content_length(len);
        head.fields().get("Content-Length").map(<[u8]>::to_vec)
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
    let bodiless = [100, 199, 204, 304].map(|code| Status::new(code).expect("a status"));
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
        (ConvertError::InvalidMethod, 400, "REQUEST_METHOD is no HTTP method"),
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
        (
            ConvertError::CollidingName { name: name.clone() },
            400,
            "header x-user becomes the same variable as another header",
        ),
        (ConvertError::RepeatedHeader { name }, 400, "header x-user stands twice"),
        (ConvertError::InvalidContentLength, 400, "content-length is not a number"),
        (ConvertError::NulInPath, 400, "the path holds %00"),
        (ConvertError::InvalidField { index: 2 }, 502, "response field 2 is no HTTP field"),
    ] {
        assert_eq!((error.status_hint().code(), error.to_string().as_str()), (status, text));
    }
}
