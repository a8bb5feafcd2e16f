//! Bodies: what they know of their length, and reading them whole, in chunks and in parts.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use scgi_proto::driver::{Body, BodyWrapper as _, Demand, Source, body_pipe};
use scgi_proto::{Error, KnownLength as _};

use crate::script::{Script, finish, poll};

/// Chunks that are all there.
struct Chunks(Vec<&'static str>);

impl Source for Chunks {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        Poll::Ready(next.map(|chunk| Ok(chunk.into())))
    }
}

fn streamed(len: Option<u64>) -> Body {
    Body::from_source(Chunks(vec!["", "ab", "", "", "cde", ""]), len)
}

fn chunk(body: &mut Body) -> Option<Bytes> {
    match body.poll_chunk(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(chunk) => chunk.map(|chunk| chunk.expect("no failure")),
        Poll::Pending => panic!("nothing is waited for"),
    }
}

fn fill_buf(body: &mut Body) -> &[u8] {
    match body.poll_fill_buf(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(bytes) => bytes.expect("no failure"),
        Poll::Pending => panic!("nothing is waited for"),
    }
}

#[test]
fn lengths() {
    let known = |body: Body| (body.len(), body.known_length(), body.remaining());
    assert_eq!(known(Body::empty()), (Some(0), Some(0), Some(0)));
    assert_eq!(known(Body::from("abc")), (Some(3), Some(3), Some(3)));
    assert_eq!(known(streamed(None)), (None, None, None));
    assert_eq!(known(streamed(Some(5))), (Some(5), Some(5), Some(5)));
    assert_eq!(known(streamed(None).with_len(5)), (Some(5), Some(5), Some(5)));
    assert_eq!(format!("{:?}", <Body>::from("abc")), "Body { len: Some(3), .. }");
    assert_eq!(<Body>::wrap(Body::from("abc")).into_inner().len(), Some(3));
}

#[test]
fn what_remains_as_chunks_are_taken() {
    let mut body = streamed(Some(5));
    assert_eq!(chunk(&mut body).as_deref(), Some(&b"ab"[..]));
    assert_eq!((body.remaining(), body.len()), (Some(3), Some(5)));
    assert_eq!(chunk(&mut body).as_deref(), Some(&b"cde"[..]));
    assert_eq!(body.remaining(), Some(0));
    assert_eq!(chunk(&mut body), None);
    let mut body = Body::from("abc");
    assert_eq!(chunk(&mut body).as_deref(), Some(&b"abc"[..]));
    assert_eq!((chunk(&mut body), body.remaining()), (None, Some(0)));
    // A length that was stated too small causes no panic.
    let mut body = streamed(Some(1));
    assert!(chunk(&mut body).is_some());
    assert_eq!(body.remaining(), Some(0));
}

#[test]
fn what_remains_as_parts_are_read() {
    let mut body = streamed(Some(5));
    assert_eq!(fill_buf(&mut body), b"ab");
    assert_eq!(fill_buf(&mut body), b"ab", "nothing was consumed");
    assert_eq!(body.remaining(), Some(5));
    body.consume(1);
    assert_eq!(fill_buf(&mut body), b"b");
    assert_eq!(body.remaining(), Some(4));
    body.consume(1);
    assert_eq!(fill_buf(&mut body), b"cde");
    body.consume(1);
    assert_eq!(chunk(&mut body).as_deref(), Some(&b"de"[..]), "the rest, not all of it");
    assert_eq!(fill_buf(&mut body), b"");
    assert_eq!(body.remaining(), Some(0));
}

#[test]
fn all_of_it() {
    for len in [None, Some(5)] {
        assert_eq!(finish(streamed(len).collect(5)).expect("within the limit"), "abcde");
        let error = finish(streamed(len).collect(4)).expect_err("too long");
        assert!(matches!(error, Error::BodyLimit(4)), "{error:?}");
        let mut body = streamed(len);
        finish(body.discard()).expect("no failure");
        assert_eq!(chunk(&mut body), None);
    }
    // Known to be too long: nothing of it is read.
    assert!(finish(<Body>::from_source(Untouched, Some(6)).collect(5)).is_err());
}

/// Fails the test when it is read.
struct Untouched;

impl Source for Untouched {
    fn poll_chunk(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        panic!("it is known to be too long")
    }
}

#[test]
fn each_end_of_a_pipe_wakes_the_task_of_the_other() {
    let _ = Script::new([]);
    let (mut writer, mut reader) = body_pipe();
    let mut chunk = pin!(poll_fn(|cx| reader.poll_chunk(cx)));
    {
        let mut demand = pin!(poll_fn(|cx| writer.poll_demand(cx)));
        assert!(poll(demand.as_mut()).is_pending(), "no one reads");
        assert!(poll(chunk.as_mut()).is_pending(), "there is nothing to read");
        assert_eq!(poll(demand.as_mut()), Poll::Ready(Demand::Chunk));
    }
    writer.send("x".into());
    assert!(matches!(poll(chunk.as_mut()), Poll::Ready(Some(Ok(x))) if x == "x"));
    assert!(poll(chunk.as_mut()).is_pending(), "there is no more");
    writer.end(Ok(()));
    assert!(matches!(poll(chunk.as_mut()), Poll::Ready(None)));
}
