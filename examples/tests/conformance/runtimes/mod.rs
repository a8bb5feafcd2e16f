//! Every runtime behind one table: a further one is a file here and a line in [`ALL`].

mod async_std;
mod blocking;
mod smol;
mod tokio;

use bytes::Bytes;
use scgi_proto::{Address, Config, Error, RequestHead, ResponseHead};

use crate::memory::End;

/// What the suite needs of a runtime.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    /// Serves an address for as long as the process lives, and gives where it listens.
    pub(crate) listen: fn(Address, Config) -> Address,
    /// Serves one stream in memory.
    pub(crate) serve_stream: fn(End, Config) -> Result<(), Error>,
    /// Sends a request and hands each chunk of the reply's body over.
    pub(crate) request: fn(Target, RequestHead, Payload, Sink<'_>) -> Result<ResponseHead, Error>,
}

pub(crate) static ALL: [Runtime; 4] =
    [async_std::RUNTIME, blocking::RUNTIME, smol::RUNTIME, tokio::RUNTIME];

/// Whom a client calls.
pub(crate) enum Target {
    Address(Address),
    Memory(End),
}

/// The body of a client's request.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Bytes(Bytes),
    /// So many bytes of the pattern, streamed.
    Pattern(u64),
}

pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// A [`Runtime`] of an async crate: they have the same names.
macro_rules! async_runtime {
    ($name:literal, $krate:ident, $serve:path, $block_on:path, $block_on_server:path) => {
        pub(crate) const RUNTIME: $crate::runtimes::Runtime =
            $crate::runtimes::Runtime { name: $name, listen, serve_stream, request };

        async fn answer(
            request: $krate::Request,
        ) -> Result<$krate::Response, Box<dyn std::error::Error + Send + Sync>> {
            use $crate::program::{Checker, ON_PURPOSE, Plan, report};
            use $krate::{Body, Response};
            use sha2::Digest;

            let plan = Plan::of(request.head());
            let (head, mut body) = request.into_parts();
            Ok(match plan {
                Plan::Report => {
                    let (mut len, mut hash) = (0, sha2::Sha256::new());
                    while let Some(chunk) = body.chunk().await? {
                        len += chunk.len() as u64;
                        hash.update(&chunk);
                    }
                    Response::new(report(&head, len, hash))
                }
                Plan::Sink => {
                    let mut checker = Checker::new();
                    while let Some(chunk) = body.chunk().await? {
                        checker.check(&chunk);
                    }
                    Response::new(checker.len().to_string())
                }
                Plan::Echo => Response::new(body),
                Plan::Peek => {
                    let chunk = body.chunk().await?;
                    Response::new(if chunk.is_some() { "some" } else { "none" })
                }
                Plan::Reply(status, fields, bytes) => {
                    let response = Response::new(bytes).with_status(status);
                    fields.iter().fold(response, |response, (n, v)| response.with_field(n, v))
                }
                Plan::Stream(pieces, len) => {
                    let body = Body::from_stream(futures_util::stream::iter(pieces));
                    Response::new(match len {
                        Some(len) => body.with_len(len),
                        None => body,
                    })
                }
                Plan::Error => return Err(ON_PURPOSE.into()),
                Plan::Panic => panic!("{ON_PURPOSE}"),
            })
        }

        fn listen(
            address: scgi_proto::Address,
            config: scgi_proto::Config,
        ) -> scgi_proto::Address {
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let is_tcp = matches!(address, scgi_proto::Address::Tcp(_));
                $block_on_server(is_tcp, async move {
                    let listener = $krate::Listener::bind(&address).await.expect("a listener");
                    let address = listener.local_address().expect("its address");
                    sender.send(address).expect("a test that waits");
                    $serve(listener, answer).with_config(config).await.expect("a server")
                })
            });
            receiver.recv().expect("the server starts")
        }

        fn serve_stream(
            stream: $crate::memory::End,
            config: scgi_proto::Config,
        ) -> Result<(), scgi_proto::Error> {
            $block_on(async move { $krate::serve_connection(stream, answer, &config).await })
        }

        fn request(
            target: $crate::runtimes::Target,
            head: scgi_proto::RequestHead,
            payload: $crate::runtimes::Payload,
            sink: $crate::runtimes::Sink<'_>,
        ) -> Result<scgi_proto::ResponseHead, scgi_proto::Error> {
            use $crate::runtimes::{Payload, Target};
            use $krate::{Body, Client, Limits, Request};

            $block_on(async move {
                let body = match payload {
                    Payload::Bytes(bytes) => Body::from(bytes),
                    Payload::Pattern(len) => {
                        let chunks = $crate::program::pattern_chunks(len);
                        Body::from_stream(futures_util::stream::iter(chunks)).with_len(len)
                    }
                };
                let request = Request::new(head, body);
                let response = match target {
                    Target::Address(address) => {
                        Client::connect(&address).await?.request(request).await?
                    }
                    Target::Memory(end) => {
                        Client::new(end, Limits::default()).request(request).await?
                    }
                };
                let (head, mut body) = response.into_parts();
                while let Some(chunk) = body.chunk().await? {
                    sink(&chunk);
                }
                Ok(head)
            })
        }
    };
}
use async_runtime;
