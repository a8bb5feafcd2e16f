//! One vocabulary: what one adapter has, all have, with the same arguments in the same order.
//!
//! It is checked by compiling. What differs by nature: the codecs and
//! the tower services are tokio's; `poll_*` belongs
//! to the async crates; the blocking server starts with `run` instead of `.await`, its signal is
//! a closure instead of a future, and it has a `Shutdown` handle; the futures-io crate takes a
//! timer, and its `serve` is in a module for each runtime.

/// The names of one crate, used with their arguments.
macro_rules! vocabulary {
    ($module:ident, $krate:ident, $serve:path) => {
        mod $module {
            use std::io;
            use std::time::Duration;

            use bytes::Bytes;
            #[allow(unused_imports, reason = "that the name is there is what counts")]
            use $krate::{
                Address, AddressError, BindOptions, Body, BoxError, Client, Connection,
                ConnectionConfig, Counters, DecodeError, EncodeError, Error, Fields, Handler,
                IntoResponse, Limits, Listener, Params, Policy, Request, RequestEvent, RequestHead,
                RequestHeadBuilder, Response, ResponseEvent, ResponseHead, Serve, ShutdownSignal,
                Status, Stream, Summary, Timeout, serve_connection,
            };

            fn _server<H: Handler<M>, M>(listener: Listener, handler: H) -> Serve<H, M> {
                let server: Serve<H, M> = $serve(listener, handler);
                let counters: Counters = server.counters();
                let _: io::Result<Address> = server.local_addr();
                server
                    .with_config(ConnectionConfig::default())
                    .with_limits(Limits::default())
                    .with_max_connections(counters.active() as usize + 1)
                    .with_shutdown_deadline(Duration::ZERO)
            }

            fn _summary(summary: Summary) -> ([u64; 4], Duration) {
                let Summary { served, finished, aborted, without_place, waited } = summary;
                ([served, finished, aborted, without_place], waited)
            }

            fn _messages(request: Request, mut response: Response) {
                let _: &RequestHead = request.head();
                let signal: ShutdownSignal = request.shutdown_signal();
                let _: [bool; 2] = [signal.is_set(), signal.wait(Duration::ZERO)];
                let (head, mut body): (RequestHead, Body) = request.into_parts();
                let mut request = Request::new(head, body);
                let _: &mut Body = request.body_mut();
                body = request.into_body();
                let _: Option<u64> = body.len();
                response = response.with_status(Status::OK).with_field("A", "b");
                let _: &mut Body = response.body_mut();
                let (_, _): (Status, &Fields) = (response.status(), response.fields());
                let _: &ResponseHead = response.head();
                let (head, body): (ResponseHead, Body) = response.into_parts();
                let response = Response::from_parts(head, body);
                let body = Response::new(response.into_body()).into_body();
                let _: Body = body.with_len(7);
            }

            #[test]
            fn the_largest_number_is_no_length_of_a_body() {
                for len in [0, 7, u64::MAX - 1] {
                    assert_eq!(Body::from("x").with_len(len).len(), Some(len));
                }
                assert_eq!(Body::from("x").with_len(u64::MAX).len(), None);
            }

            fn _bodies() -> [Body; 5] {
                let bytes = Bytes::new();
                [Body::empty(), "".into(), String::new().into(), Vec::new().into(), bytes.into()]
            }

            fn _listener(listener: &Listener) -> io::Result<Address> {
                listener.local_address()
            }

            fn _streams() -> Result<Address, AddressError> {
                "localhost:4000".parse()
            }
        }
    };
}

vocabulary!(on_tokio, scgi_tokio, scgi_tokio::serve);
vocabulary!(on_smol, scgi_async_std, scgi_async_std::smol::serve);
vocabulary!(on_async_std, scgi_async_std, scgi_async_std::async_std::serve);
vocabulary!(on_threads, scgi_blocking, scgi_blocking::serve);

/// The calls that wait, with `.await` or without.
macro_rules! waiting {
    ($module:ident, $krate:ident, [$($async:tt)?] [$($await:tt)*]) => {
        mod $module {
            use bytes::Bytes;
            use $krate::{
                Address, BindOptions, Body, Client, ClientConfig, ConnectionConfig, Connection, Error, Listener,
                Request, RequestEvent, Response, ResponseEvent, Status, Stream,
            };

            $($async)? fn _connection(stream: Stream) -> Result<(), Error> {
                let mut connection = Connection::new(stream, &ConnectionConfig::default());
                let _: Option<RequestEvent> = connection.next_event()$($await)*?;
                connection.send(ResponseEvent::End)$($await)*?;
                connection.flush()$($await)*?;
                connection.fail(Status::OK);
                connection.finish()$($await)*
            }

            $($async)? fn _client(address: &Address, request: Request) -> Result<Response, Error> {
                let mut client = Client::connect(address)$($await)*?;
                client.send(RequestEvent::End)$($await)*?;
                client.flush()$($await)*?;
                let _: Option<ResponseEvent> = client.next_event()$($await)*?;
                let stream = Stream::connect(address)$($await)*?;
                Client::new(stream, &ClientConfig::default()).request(request)$($await)*
            }

            $($async)? fn _body(mut body: Body) -> Result<Bytes, Error> {
                let _: Option<Bytes> = body.chunk()$($await)*?;
                body.discard()$($await)*?;
                body.collect(7)$($await)*
            }

            $($async)? fn _listener(address: &Address) -> std::io::Result<Stream> {
                Listener::bind(address)$($await)*?.accept()$($await)*?;
                let options = BindOptions::default();
                Listener::bind_with(address, &options)$($await)*?.accept()$($await)*
            }
        }
    };
}

waiting!(waiting_tokio, scgi_tokio, [async] [.await]);
waiting!(waiting_futures, scgi_async_std, [async] [.await]);
waiting!(waiting_threads, scgi_blocking, [] []);

/// Names that one crate has and another has not, beside those above.
#[test]
fn the_rest_is_known() {
    let exported = |source: &str| -> Vec<String> {
        let uses = source.split("pub use").skip(1).filter_map(|part| part.split(';').next());
        let words = uses.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_'));
        let mut names: Vec<_> = words
            .filter(|word| word.starts_with(char::is_uppercase) || word.starts_with("serve"))
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let tokio = exported(include_str!("../../../../scgi-tokio/src/lib.rs"));
    let futures = exported(include_str!("../../../../scgi-async-std/src/lib.rs"));
    let blocking = exported(include_str!("../../../../scgi-blocking/src/lib.rs"));
    let only = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| !others.contains(name)).cloned().collect()
    };
    assert!(tokio.len() > 30, "{tokio:?}");
    assert_eq!(only(&blocking, &tokio), ["Chunks", "Shutdown"]);
    assert_eq!(only(&futures, &tokio), ["Sleep", "Timer", "serve_connection_with_timer"]);
    let tokio_only = [
        "Accept",
        "AxumBody",
        "Backend",
        "ClientAddress",
        "ClientCodec",
        "ConvertError",
        "IncomingRequest",
        "Listen",
        "Make",
        "MountPoint",
        "Mounted",
        "RequestRules",
        "ScgiBody",
        "ServerCodec",
        "TapIo",
        "Tower",
    ];
    assert_eq!(only(&tokio, &blocking), tokio_only);
    assert_eq!(only(&tokio, &futures), tokio_only);
}
