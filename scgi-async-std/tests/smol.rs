//! `serve` on smol, over real sockets.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::future::{block_on, zip};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use scgi_async_std::smol::serve;
use scgi_async_std::{
    Address, Client, ConnectionConfig, Counters, Error, Handler, Listener, Request, RequestHead,
    Response, Status, Stream, Summary,
};

/// Serves until `client` is done.
fn with_server<M: 'static, T>(
    config: ConnectionConfig,
    handler: impl Handler<M>,
    client: impl AsyncFnOnce(Address, Counters) -> T,
) -> (Summary, T) {
    block_on(async {
        let listener = Listener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_address().expect("its address");
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let server = serve(listener, handler).with_config(config);
        let counters = server.counters();
        let server = server.with_graceful_shutdown(async move { _ = stopped.recv().await });
        let calls = async move {
            let result = client(address, counters).await;
            drop(stop);
            result
        };
        let (summary, result) = zip(server.into_future(), calls).await;
        (summary.expect("it can listen"), result)
    })
}

async fn get(address: &Address) -> Result<Status, Error> {
    let request = Request::new(RequestHead::builder("GET", "/").build(), "");
    Ok(Client::connect(address).await?.request(request).await?.status())
}

#[test]
fn requests_are_served_until_the_shutdown() {
    let hello = async |_: Request| Response::new("hello");
    let (summary, ()) = with_server(ConnectionConfig::default(), hello, async |address, _| {
        for _ in 0..3 {
            assert_eq!(get(&address).await.expect("a response"), Status::OK);
        }
    });
    assert_eq!((summary.served, summary.aborted), (3, 0));
}

#[test]
fn a_head_that_does_not_come_ends_with_its_timeout() {
    let config = ConnectionConfig::default().with_head_timeout(Duration::from_millis(50));
    let none = async |_: Request| Response::new("");
    let (_, response) = with_server(config, none, async |address, counters: Counters| {
        let mut stream = Stream::connect(&address).await.expect("connected");
        stream.write_all(b"24:CONTENT_LENGTH").await.expect("it is taken");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("a response");
        assert_eq!(counters.accepted(), 1);
        response
    });
    assert!(response.starts_with("Status: 408 Request Timeout\r\n"), "{response}");
}

#[test]
fn a_peer_that_leaves_cancels_its_handler() {
    struct Cancelled(Arc<AtomicBool>);
    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (begun, begins) = smol::channel::bounded::<()>(1);
    let cancelled = Arc::<AtomicBool>::default();
    let note = Arc::clone(&cancelled);
    let waits = move |_: Request| {
        let (note, begun) = (Cancelled(Arc::clone(&note)), begun.clone());
        async move {
            let _note = note;
            begun.send(()).await.expect("it is waited for");
            pending::<Response>().await
        }
    };
    let (_, ()) = with_server(ConnectionConfig::default(), waits, async |address, counters| {
        let request = Request::new(RequestHead::builder("GET", "/").build(), "");
        let call = Client::connect(&address).await.expect("connected").request(request);
        let leaves = async { begins.recv().await.expect("the handler runs") };
        let left = futures_lite::future::or(async { call.await.map(drop).is_ok() }, async {
            leaves.await;
            false
        });
        assert!(!left.await, "there is no response");
        while counters.active() > 0 {
            smol::Timer::after(Duration::from_millis(5)).await;
        }
    });
    assert!(cancelled.load(Ordering::SeqCst));
}

#[test]
fn what_runs_at_the_shutdown_deadline_is_aborted() {
    let waits = async |_: Request| pending::<Response>().await;
    let summary = block_on(async {
        let listener = Listener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_address().expect("its address");
        let server = serve(listener, waits).with_shutdown_deadline(Duration::from_millis(50));
        let counters = server.counters();
        let runs = async move {
            while counters.active() == 0 {
                smol::Timer::after(Duration::from_millis(5)).await;
            }
        };
        let calls = async {
            let mut stream = Stream::connect(&address).await.expect("connected");
            stream.write_all(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,").await.expect("taken");
            let mut response = Vec::new();
            // An error is a reset.
            let _ = stream.read_to_end(&mut response).await;
            assert!(response.is_empty(), "{response:?}");
        };
        zip(server.with_graceful_shutdown(runs).into_future(), calls).await.0
    });
    let summary = summary.expect("it can listen");
    assert_eq!((summary.finished, summary.aborted), (0, 1));
}
