//! The codecs in `Framed`, on what real servers sent.

use std::fs;
use std::path::Path;

use futures_core::Stream;
use scgi_tokio::{
    ClientCodec, DecodeError, Error, RequestEvent, RequestHead, ResponseEvent, ResponseHead,
    ServerCodec, Status,
};
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{Decoder, Encoder, Framed};

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *stream).poll_next(cx)).await
}

/// What comes out of a `Framed` over a stream that carries `bytes` in pieces of 1000, then ends.
async fn framed(bytes: Vec<u8>) -> (Option<RequestHead>, usize, Result<bool, Error>) {
    let (mut near, far) = tokio::io::duplex(1000);
    tokio::spawn(async move {
        // The reader stops at the end of the request, whatever follows.
        let _ = near.write_all(&bytes).await;
    });
    let mut framed = Framed::new(far, ServerCodec::default());
    let (mut head, mut len) = (None, 0);
    loop {
        match next(&mut framed).await {
            Some(Ok(RequestEvent::Head(found))) => head = Some(found),
            Some(Ok(RequestEvent::Body(chunk))) => len += chunk.len(),
            Some(Ok(RequestEvent::End)) => return (head, len, Ok(true)),
            Some(Err(error)) => return (head, len, Err(error)),
            None => return (head, len, Ok(false)),
        }
    }
}

#[tokio::test]
async fn captures_of_front_servers() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scgi-proto/tests/vectors");
    let mut count = 0;
    for server in ["nginx", "apache", "lighttpd"] {
        for entry in fs::read_dir(vectors.join(server)).expect("the vectors") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "scgi") {
                continue;
            }
            let (head, len, end) = framed(fs::read(&path).expect("a capture")).await;
            let Some(head) = head else {
                // Apache connects and closes without a byte.
                assert!(matches!(end, Ok(false)), "{path:?}");
                continue;
            };
            match end {
                Ok(true) => assert_eq!(len as u64, head.content_length(), "{path:?}"),
                Err(Error::Decode(DecodeError::UnexpectedEnd { missing, .. })) => {
                    assert_eq!(len as u64 + missing, head.content_length(), "{path:?}");
                }
                end => panic!("{path:?}: {end:?}"),
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} captures");
}

/// What a codec does with the bytes of a response, to which the peer closes.
fn decoded(codec: &mut ClientCodec, response: &str) -> Result<Vec<ResponseEvent>, Error> {
    let mut buf = bytes::BytesMut::from(response);
    let mut events = Vec::new();
    while let Some(event) = codec.decode_eof(&mut buf)? {
        events.push(event);
    }
    Ok(events)
}

#[test]
fn a_head_request_has_a_response_without_a_body_on_both_sides() -> Result<(), Error> {
    let stated = ResponseHead::new(Status::OK).with_field("Content-Length", "5");
    let limits = scgi_tokio::Limits::default();
    for (method, is_head) in [("HEAD", true), ("GET", false)] {
        let head = RequestHead::builder(method, "/").build();
        let mut client = ClientCodec::new(limits);
        let mut request = bytes::BytesMut::new();
        client.encode(RequestEvent::Head(head), &mut request)?;
        client.encode(RequestEvent::End, &mut request)?;

        let mut server = ServerCodec::new(limits, scgi_tokio::Policy::default());
        assert!(matches!(server.decode(&mut request)?, Some(RequestEvent::Head(_))));
        let mut response = bytes::BytesMut::new();
        server.encode(ResponseEvent::Head(stated.clone()), &mut response)?;
        let without_body = response.clone();
        // One that answers as to GET writes a body, which does not reach the wire.
        server.encode(ResponseEvent::Body("hello".into()), &mut response)?;
        server.encode(ResponseEvent::End, &mut response)?;
        assert_eq!(response == without_body, is_head, "{method}");
        let text = std::str::from_utf8(&without_body).expect("text");
        let events = decoded(&mut client, text);
        assert_eq!(events.is_ok(), is_head, "{method}: {events:?}");

        let mut server = ServerCodec::default();
        if is_head {
            server = server.for_head_request();
            assert!(decoded(&mut ClientCodec::new(limits).for_head_request(), text).is_ok());
        }
        server.encode(ResponseEvent::Head(stated.clone()), &mut response)?;
        assert_eq!(server.encode(ResponseEvent::End, &mut response).is_ok(), is_head, "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn a_whole_exchange() -> Result<(), Error> {
    let (near, far) = tokio::io::duplex(64);
    let server = tokio::spawn(async move {
        let mut framed = Framed::new(far, ServerCodec::default());
        let mut body = Vec::new();
        while let Some(event) = next(&mut framed).await.transpose()? {
            match event {
                RequestEvent::Head(_) => {}
                RequestEvent::Body(chunk) => body.extend_from_slice(&chunk),
                RequestEvent::End => break,
            }
        }
        let mut codec = ServerCodec::default();
        let mut reply = bytes::BytesMut::new();
        codec.encode(ResponseEvent::Head(ResponseHead::new(Status::OK)), &mut reply)?;
        codec.encode(ResponseEvent::Body(body.into()), &mut reply)?;
        codec.encode(ResponseEvent::End, &mut reply)?;
        framed.into_inner().write_all(&reply).await?;
        Ok::<_, Error>(())
    });
    let mut request = bytes::BytesMut::new();
    let mut codec = ClientCodec::default();
    let head = RequestHead::builder("POST", "/").content_length(5).build();
    codec.encode(RequestEvent::Head(head), &mut request)?;
    codec.encode(RequestEvent::Body("hello".into()), &mut request)?;
    codec.encode(RequestEvent::End, &mut request)?;
    let mut framed = Framed::new(near, codec);
    framed.get_mut().write_all(&request).await?;
    let mut events = Vec::new();
    while let Some(event) = next(&mut framed).await.transpose()? {
        events.push(event);
    }
    server.await.expect("no panic")?;
    let head = ResponseHead::new(Status::OK).with_reason("OK");
    assert_eq!(events.first(), Some(&ResponseEvent::Head(head)));
    assert_eq!(events.last(), Some(&ResponseEvent::End));
    Ok(())
}
