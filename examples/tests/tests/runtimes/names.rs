//! One vocabulary: what one adapter has, all have, with the same arguments in the same order.
//!
//! It is checked by compiling. What differs by nature: the codecs and
//! the tower services are tokio's; `poll_*` belongs
//! to the async crates; the blocking server starts with `run` instead of `.await`, its signal is
//! a closure instead of a future, and it has a `Shutdown` handle; the futures-io crate takes a
//! timer, and its `serve` is in a module for each runtime.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The names of one crate, used with their arguments.
macro_rules! vocabulary {
    ($module:ident, $krate:ident, $serve:path) => {
        mod $module {
            use std::io;
            use std::time::Duration;

            use bytes::Bytes;
            #[allow(unused_imports, reason = "that the name is there is what counts")]
            use $krate::{
                Address, AddressError, AllowList, BindOptions, Body, BoxError, Client,
                ClientConfig, Connection, ConnectionConfig, Counters, Credentials, DecodeError,
                EncodeError, Error, Fields, Handler, IntoResponse, Limits, Listener, Network,
                Params, Peer, Policy, Request, RequestEvent, RequestHead, RequestHeadBuilder,
                Response, ResponseEvent, ResponseHead, Serve, ShutdownSignal, Status, Stream,
                Summary, Timeout, serve_connection,
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

            fn _who_may_connect<H: Handler<M>, M>(server: Serve<H, M>) -> Serve<H, M> {
                let network: Network = "10.0.0.0/8".parse().expect("a network");
                let list = AllowList::default().with_network(network).with_uid(33);
                let _: [bool; 2] = [list.is_empty(), list.allows(&Peer::Unix(None))];
                #[cfg(unix)]
                let server = server.with_systemd();
                server.with_allow_list(list).with_peers()
            }

            fn _peer(request: &Request, stream: &Stream) -> io::Result<Option<u32>> {
                let _: Option<Peer> = request.peer();
                let peer: Peer = stream.peer()?;
                let Peer::Unix(Some(process)) = peer else { return Ok(None) };
                let process: Credentials = process;
                Ok(process.pid)
            }

            fn _counts(counters: &Counters) -> [u64; 7] {
                let [accepted, active] = [counters.accepted(), counters.active()];
                let [denied, evicted] = [counters.denied(), counters.evicted()];
                let refused = counters.refused(Status::BAD_REQUEST);
                [accepted, active, denied, evicted, refused, counters.received(), counters.sent()]
            }

            fn _client_config() -> ClientConfig {
                ClientConfig::default()
                    .with_limits(Limits::default())
                    .with_connect_timeout(Duration::ZERO)
                    .with_head_timeout(Duration::ZERO)
                    .with_body_timeout(Duration::ZERO)
                    .with_write_timeout(Duration::ZERO)
                    .with_call_timeout(Duration::ZERO)
            }

            #[cfg(unix)]
            fn _sockets<'a>(
                stream: &'a Stream,
                listener: &'a Listener,
            ) -> [std::os::fd::BorrowedFd<'a>; 2] {
                use std::os::fd::AsFd as _;
                [stream.as_fd(), listener.as_fd()]
            }

            fn _summary(summary: Summary) -> ([u64; 4], Duration) {
                let Summary { served, finished, aborted, without_place, waited, .. } = summary;
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
                Request, RequestEvent, Response, ResponseEvent, Status, Stream, serve_connection,
            };

            $($async)? fn _connection(stream: Stream) -> Result<(), Error> {
                let mut connection = Connection::new(stream, &ConnectionConfig::default());
                let _: Option<RequestEvent> = connection.next_event()$($await)*?;
                connection.send(ResponseEvent::End)$($await)*?;
                connection.flush()$($await)*?;
                connection.fail(Status::OK);
                connection.finish()$($await)*
            }

            $($async)? fn _serve_connection(stream: Stream) -> Result<(), Error> {
                let hello = $($async)? |_: Request| Response::new("hello");
                serve_connection(stream, hello, &ConnectionConfig::default())$($await)*
            }

            $($async)? fn _client_of_a_stream(stream: Stream) -> Result<(), Error> {
                let config = ClientConfig::default();
                let mut client = Client::new(stream, &config).over_unix_socket();
                client.flush()$($await)*?;
                let address = Address::Unix("/run/app.sock".into());
                Stream::connect_with(&address, &config)$($await)*?;
                Client::connect_with(&address, &config)$($await)*.map(drop)
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

/// How the signal of a shutdown is given, and how the server runs: a future, or a closure.
mod shutdown {
    async fn _on_tokio(listener: scgi_tokio::Listener) -> std::io::Result<scgi_tokio::Summary> {
        let hello = async |_: scgi_tokio::Request| scgi_tokio::Response::new("");
        scgi_tokio::serve(listener, hello).with_graceful_shutdown(async {}).await
    }
    async fn _on_smol(
        listener: scgi_async_std::Listener,
    ) -> std::io::Result<scgi_async_std::Summary> {
        let hello = async |_: scgi_async_std::Request| scgi_async_std::Response::new("");
        scgi_async_std::smol::serve(listener, hello).with_graceful_shutdown(async {}).await
    }
    fn _on_threads(listener: scgi_blocking::Listener) -> std::io::Result<scgi_blocking::Summary> {
        let hello = |_: scgi_blocking::Request| scgi_blocking::Response::new("");
        let server = scgi_blocking::serve(listener, hello).with_graceful_shutdown(|| {});
        let _: scgi_blocking::Shutdown = server.shutdown_handle();
        server.run()
    }
}

/// The names that a crate's root exports.
fn exported(source: &str) -> Vec<String> {
    let uses = source.split("pub use").skip(1).filter_map(|part| part.split(';').next());
    let words = uses.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let mut names: Vec<_> = words
        .filter(|word| word.starts_with(char::is_uppercase) || word.starts_with("serve"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// For each type of the core, what its fields, variants and public signatures name.
fn named_by_types() -> HashMap<String, HashSet<String>> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with(char::is_uppercase)).map(str::to_owned).collect()
    };
    let mut named = HashMap::<_, HashSet<_>>::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scgi-proto/src");
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let (mut of, mut is_enum, mut in_signature) = (None, false, false);
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let is_type = line.starts_with("pub enum ") || line.starts_with("pub struct ");
                if is_type || line.starts_with("impl") {
                    let header = line.rsplit(" for ").next().unwrap_or(line);
                    let header = header.trim_start_matches(|c| c != ' ').trim_start();
                    of = words(header).into_iter().next();
                    is_enum = line.starts_with("pub enum ");
                } else if line.starts_with('}') {
                    of = None;
                }
                let inner = line.trim_start();
                in_signature |= inner.starts_with("pub ") || inner.starts_with("type ") || is_enum;
                if let (Some(of), true) = (&of, in_signature) {
                    // The first word of a line of an enum is the variant.
                    let is_variant = is_enum && inner.starts_with(char::is_uppercase);
                    let names = words(line).into_iter().skip(usize::from(is_variant));
                    named.entry(of.clone()).or_default().extend(names);
                }
                in_signature &=
                    !line.ends_with('{') && !line.ends_with(';') && !line.ends_with(',')
                        || line.starts_with("        ") && !line.contains('{');
            }
        }
    }
    named
}

#[test]
fn an_adapter_exports_each_type_that_its_signatures_name() {
    let core = exported(include_str!("../../../../scgi-proto/src/lib.rs"));
    let named = named_by_types();
    assert!(named["Fields"].contains("FieldIter"), "{:?}", named["Fields"]);
    for (krate, source) in [
        ("scgi-tokio", include_str!("../../../../scgi-tokio/src/lib.rs")),
        ("scgi-async-std", include_str!("../../../../scgi-async-std/src/lib.rs")),
        ("scgi-blocking", include_str!("../../../../scgi-blocking/src/lib.rs")),
    ] {
        let names = exported(source);
        let missing: Vec<_> = names
            .iter()
            .filter(|name| core.contains(name))
            .flat_map(|name| named.get(name).into_iter().flatten().map(move |other| (name, other)))
            .filter(|(_, other)| core.contains(other) && !names.contains(other))
            .collect();
        assert!(missing.is_empty(), "{krate} exports no {missing:?}");
    }
}

/// Names that one crate has and another has not, beside those above.
#[test]
fn the_rest_is_known() {
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
        "RequestContext",
        "RequestRules",
        "ScgiBody",
        "ServerCodec",
        "TapIo",
        "Tower",
        "UpgradedStream",
    ];
    assert_eq!(only(&tokio, &futures), tokio_only);
    assert_eq!(only(&tokio, &blocking), tokio_only);
}
