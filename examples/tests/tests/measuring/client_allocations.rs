//! How much a client allocates for a small request and its response, on each adapter, beside a
//! server that counts for itself: allocations are counted for each thread.
//!
//! The benchmark `transfer` tells the time of the same; it has another allocator, as to count takes
//! time.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use futures_util::{AsyncRead, AsyncWrite};
use scgi_proto::{Address, ClientConfig, RequestHead};
use scgi_tests::{BoxError, hello};

use crate::alone::alone;

/// Requests that are counted, after one that is not.
const REQUESTS: usize = 101;

/// How long the handler takes, so that each call must wait for its response: a wait allocates.
const HANDLER: Duration = Duration::from_millis(2);

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
    all[REQUESTS / 2]
}

/// A server that has answered already: a call over it never waits.
struct Answered {
    response: &'static [u8],
}

impl AsyncRead for Answered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut self.response, buffer))
    }
}

impl AsyncWrite for Answered {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the client on futures-io allocates by itself, without a reactor and its timers.
#[test]
fn a_call_over_futures_io_allocates_little() {
    alone(|| {
        let response: &'static [u8] = Box::leak(
            [b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n", &[b'a'; 200][..]]
                .concat()
                .into(),
        );
        let counted = allocations(|head| {
            smol::block_on(async {
                let client =
                    scgi_async_std::Client::new(Answered { response }, &ClientConfig::default());
                let request = scgi_async_std::Request::new(head, scgi_async_std::Body::empty());
                Ok(client.request(request).await?.into_body().collect(LIMIT).await?.len())
            })
        });
        println!("futures-io: {counted} allocations");
        assert!(counted <= 3, "{counted} allocations");
    });
}

#[test]
fn a_small_call_allocates_little() {
    alone(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let unix = format!("unix:{}", dir.path().join("socket").display());
        let tokio =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        for address in [unix.as_str(), "127.0.0.1:0"] {
            let listener = scgi_blocking::Listener::bind(address).expect("a listener");
            let address = listener.local_address().expect("it has one");
            thread::spawn(|| {
                scgi_blocking::serve(listener, |_| {
                    thread::sleep(HANDLER);
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
                // Smol's own share depends on which of its threads looks after the timers.
                ("smol", allocations(smol), 14),
                ("blocking", allocations(blocking), 3),
            ] {
                println!("{adapter}, {address}: {counted} allocations");
                assert!(counted <= most, "{adapter}, {address}: {counted} allocations");
            }
        }
    });
}
