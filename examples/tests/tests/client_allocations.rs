//! How much a client allocates for a small request and its response, on each adapter, beside a
//! server that counts for itself: allocations are counted for each thread.
//!
//! The benchmark `transfer` tells the time of the same; it has another allocator, as to count takes
//! time.

use std::pin::pin;
use std::thread;

use allocation_counter::measure;
use scgi_proto::{Address, RequestHead};
use scgi_tests::{BoxError, hello};

/// Requests that are counted, after one that is not.
const REQUESTS: usize = 101;

/// The largest response that is taken.
const LIMIT: usize = 64 * 1024;

fn blocking_client(address: &Address, head: RequestHead) -> Result<usize, BoxError> {
    let request = scgi_blocking::Request::new(head, scgi_blocking::Body::empty());
    let response = scgi_blocking::Client::connect(address)?.request(request)?;
    Ok(response.into_body().collect(LIMIT)?.len())
}

/// The same on an adapter whose clients are waited for.
macro_rules! client {
    ($name:ident, $adapter:ident) => {
        async fn $name(address: &Address, head: RequestHead) -> Result<usize, BoxError> {
            let request = $adapter::Request::new(head, $adapter::Body::empty());
            let response = $adapter::Client::connect(address).await?.request(request).await?;
            Ok(response.into_body().collect(LIMIT).await?.len())
        }
    };
}

client!(tokio_client, scgi_tokio);
client!(futures_client, scgi_async_std);

/// The median of the allocations of a request: a runtime makes some more now and then.
fn allocations(mut ask: impl FnMut(RequestHead) -> Result<usize, BoxError>) -> u64 {
    let mut ask = || {
        let head = RequestHead::builder("GET", "/app/items/42").build();
        let mut length = None;
        let counted = measure(|| length = Some(ask(head)));
        let length = length.expect("it was asked").expect("a response");
        assert_eq!(length, 200);
        counted.count_total
    };
    ask();
    let mut all = [(); REQUESTS].map(|()| ask());
    all.sort_unstable();
    // On a busy machine some calls have to wait, and a wait allocates.
    all[0]
}

#[test]
fn a_small_call_allocates_little() {
    let dir = tempfile::tempdir().expect("a folder");
    let unix = format!("unix:{}", dir.path().join("socket").display());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    for address in [unix.as_str(), "127.0.0.1:0"] {
        let listener = scgi_blocking::Listener::bind(address).expect("a listener");
        let address = listener.local_address().expect("it has one");
        thread::spawn(|| {
            scgi_blocking::serve(listener, |_| {
                Ok::<_, BoxError>(scgi_blocking::Response::new(hello(b"/")))
            })
            .run()
        });
        // A pointer to the future, as tokio would box one that is large.
        let tokio = |head| tokio.block_on(pin!(tokio_client(&address, head)));
        let smol = |head| smol::block_on(futures_client(&address, head));
        let blocking = |head| blocking_client(&address, head);
        for (adapter, counted, most) in [
            ("tokio", allocations(tokio), 4),
            // Of a TCP connection, smol makes three by itself, and of a timer two.
            ("smol", allocations(smol), 7),
            ("blocking", allocations(blocking), 3),
        ] {
            println!("{adapter}, {address}: {counted} allocations");
            assert!(counted <= most, "{adapter}, {address}: {counted} allocations");
        }
    }
}
