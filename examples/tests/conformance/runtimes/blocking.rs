//! Plain threads.

use std::sync::mpsc::channel;
use std::thread;

use scgi_blocking::{
    Address, Body, BoxError, Client, Config, Error, Limits, Listener, Request, RequestHead,
    Response, ResponseHead, serve, serve_connection,
};
use sha2::{Digest, Sha256};

use super::{Payload, Runtime, Sink, Target};
use crate::memory::End;
use crate::program::{Checker, ON_PURPOSE, Plan, pattern_chunks, report};

pub(crate) const RUNTIME: Runtime = Runtime { name: "blocking", listen, serve_stream, request };

fn answer(request: Request) -> Result<Response, BoxError> {
    let plan = Plan::of(request.head());
    let (head, mut body) = request.into_parts();
    Ok(match plan {
        Plan::Report => {
            let (mut len, mut hash) = (0, Sha256::new());
            while let Some(chunk) = body.chunk()? {
                len += chunk.len() as u64;
                hash.update(&chunk);
            }
            Response::new(report(&head, len, hash))
        }
        Plan::Sink => {
            let mut checker = Checker::new();
            while let Some(chunk) = body.chunk()? {
                checker.check(&chunk);
            }
            Response::new(checker.len().to_string())
        }
        Plan::Echo => Response::new(body),
        Plan::Peek => Response::new(if body.chunk()?.is_some() { "some" } else { "none" }),
        Plan::Reply(status, fields, bytes) => {
            let response = Response::new(bytes).with_status(status);
            fields.iter().fold(response, |response, (n, v)| response.with_field(n, v))
        }
        Plan::Stream(pieces, len) => {
            let body = Body::from_chunks(pieces);
            Response::new(match len {
                Some(len) => body.with_len(len),
                None => body,
            })
        }
        Plan::Error => return Err(ON_PURPOSE.into()),
        Plan::Panic => panic!("{ON_PURPOSE}"),
    })
}

fn listen(address: Address, config: Config) -> Address {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let listener = Listener::bind(&address).expect("a listener");
        sender.send(listener.local_address().expect("its address")).expect("a test that waits");
        serve(listener, answer).with_config(config).run().expect("a server")
    });
    receiver.recv().expect("the server starts")
}

fn serve_stream(stream: End, config: Config) -> Result<(), Error> {
    serve_connection(stream, answer, &config)
}

fn request(
    target: Target,
    head: RequestHead,
    payload: Payload,
    sink: Sink<'_>,
) -> Result<ResponseHead, Error> {
    let body = match payload {
        Payload::Bytes(bytes) => Body::from(bytes),
        Payload::Pattern(len) => Body::from_chunks(pattern_chunks(len)).with_len(len),
    };
    let request = Request::new(head, body);
    let response = match target {
        Target::Address(address) => Client::connect(&address)?.request(request)?,
        Target::Memory(end) => Client::new(end, Limits::default()).request(request)?,
    };
    let (head, mut body) = response.into_parts();
    while let Some(chunk) = body.chunk()? {
        sink(&chunk);
    }
    Ok(head)
}
