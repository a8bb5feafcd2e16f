//! `serve` and `Client` against each other, over real sockets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use scgi_tokio::{Address, Client, Error, Listener, Request, RequestHead, Response, serve};

async fn start<M: 'static>(handler: impl scgi_tokio::Handler<M>) -> Address {
    let listener = Listener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_address().expect("its address");
    tokio::spawn(serve(listener, handler).into_future());
    address
}

#[tokio::test]
async fn a_large_body_is_echoed_as_it_comes() -> Result<(), Error> {
    let address = start(async |request: Request| Response::new(request.into_body())).await;
    let body = Bytes::from(vec![7_u8; 3_000_000]);
    let client = Client::connect(&address).await?;
    let head = RequestHead::builder("POST", "/").build();
    let response = client.request(Request::new(head, body.clone())).await?;
    let echoed = response.into_body().collect(4 << 20).await?;
    assert!(echoed == body, "{} bytes", echoed.len());
    Ok(())
}

#[test]
fn only_a_name_is_resolved_in_a_thread_of_its_own() -> io::Result<()> {
    let threads = Arc::new(AtomicUsize::new(0));
    let started = Arc::clone(&threads);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .on_thread_start(move || {
            started.fetch_add(1, Ordering::Relaxed);
        })
        .build()?;
    for (address, expected) in [("127.0.0.1:0", 0), ("localhost:0", 1)] {
        let address: Address = address.parse().expect("an address");
        runtime.block_on(Listener::bind(&address))?;
        assert_eq!(threads.load(Ordering::Relaxed), expected, "{address}");
    }
    Ok(())
}
