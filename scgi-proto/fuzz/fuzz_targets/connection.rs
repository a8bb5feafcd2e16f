//! A whole connection of `scgi-blocking` over a scripted stream: the input says how its reads and
//! writes go, what the peer sends, and what the handler does. It ends, without a panic, and
//! writes nothing but one CGI response.
#![no_main]

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use scgi_blocking::{ConnectionConfig, Request, Response, Status, serve_connection};
use scgi_proto::{Decode as _, ResponseDecoder};

struct Script {
    /// How reads and writes go; a step each.
    steps: Vec<u8>,
    at: usize,
    input: Vec<u8>,
    read: usize,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    /// How many bytes the next call takes, or why none.
    fn step(&mut self, len: usize) -> io::Result<usize> {
        let step = self.steps.get(self.at).copied().unwrap_or(255);
        self.at += 1;
        match step {
            0 => Err(ErrorKind::Interrupted.into()),
            1 => Err(ErrorKind::ConnectionReset.into()),
            2..=127 => Ok(len.min(usize::from(step))),
            _ => Ok(len),
        }
    }
}

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = &self.input[self.read..];
        let len = buf.len().min(left.len());
        let len = self.step(len)?;
        buf[..len].copy_from_slice(&self.input[self.read..][..len]);
        self.read += len;
        Ok(len)
    }
}

impl Write for Script {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = self.step(buf.len())?;
        self.written.lock().unwrap().extend_from_slice(&buf[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[program, count], rest)) = data.split_first_chunk() else { return };
    let (steps, input) = rest.split_at(rest.len().min(usize::from(count)));
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let (steps, input) = (steps.to_vec(), input.to_vec());
    let stream = Script { steps, at: 0, input, read: 0, written: Arc::clone(&written) };
    let handler = move |mut request: Request| -> Result<Response, scgi_blocking::Error> {
        match program % 6 {
            0 => Ok(Response::new(request.into_body().collect(1 << 20)?)),
            1 => Ok(Response::new(request.into_body())),
            2 => {
                request.body_mut().discard()?;
                Ok(Response::new("x").with_field("Content-Length", "2"))
            }
            3 => Ok(Response::new("early").with_status(Status::CONTENT_TOO_LARGE)),
            4 => Err(scgi_blocking::Error::Closed),
            _ => Ok(Response::new("x").with_field("A", "b\r\nc: d")),
        }
    };
    let complete = serve_connection(stream, handler, &ConnectionConfig::default()).is_ok();
    let written = written.lock().unwrap();
    if complete && !written.is_empty() {
        let mut decoder = ResponseDecoder::default();
        let head = decoder.decode(&mut BytesMut::from(&written[..]));
        assert!(matches!(head, Ok(Some(_))), "{:?} is no response", written.escape_ascii());
    }
});
