//! A client that goes away while its handler waits: the handler is cancelled, or runs to its end
//! with [`ConnectionConfig::with_ignore_client_abort`]. A thread cannot be cancelled.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::ConnectionConfig;

/// How long a handler waits, and more than a cancelled one lives.
const PAUSE: Duration = Duration::from_millis(500);

/// What became of the handlers.
#[derive(Debug, Default)]
struct Seen {
    begun: AtomicUsize,
    finished: AtomicUsize,
    ended: AtomicUsize,
}

impl Seen {
    fn begin(self: &Arc<Self>) -> Guard {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Guard(Arc::clone(self))
    }
}

/// Held by a handler while it lives.
struct Guard(Arc<Seen>);

impl Guard {
    fn finish(&self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

fn await_one(count: &AtomicUsize) {
    let begun = Instant::now();
    while count.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks and goes away; returns how many handlers finished.
fn leave(serve: fn(TcpListener, ConnectionConfig, Arc<Seen>), config: ConnectionConfig) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address: SocketAddr = listener.local_addr().expect("its address");
    let seen = Arc::<Seen>::default();
    let served = Arc::clone(&seen);
    thread::spawn(move || serve(listener, config, served));
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,").expect("sent");
    await_one(&seen.begun);
    let begun = Instant::now();
    drop(stream);
    await_one(&seen.ended);
    let finished = seen.finished.load(Ordering::SeqCst);
    // A cancelled one ends at once.
    assert!(finished == 1 || begun.elapsed() < PAUSE, "{:?}", begun.elapsed());
    finished
}

/// Serves on an async crate: they have the same names.
macro_rules! serve {
    ($serve:path, $krate:ident, $sleep:expr, $listener:expr, $config:expr, $seen:expr) => {{
        let seen: Arc<Seen> = $seen;
        let server = $serve($listener, move |_: $krate::Request| {
            let seen = Arc::clone(&seen);
            async move {
                let guard = seen.begin();
                $sleep(PAUSE).await;
                guard.finish();
                $krate::Response::new("x")
            }
        });
        server.with_config($config).await.expect("a server");
    }};
}

fn on_tokio(listener: TcpListener, config: ConnectionConfig, seen: Arc<Seen>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a mode");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        serve!(scgi_tokio::serve, scgi_tokio, tokio::time::sleep, listener, config, seen);
    });
}

fn on_async_std(listener: TcpListener, config: ConnectionConfig, seen: Arc<Seen>) {
    use async_std::task::{block_on, sleep};
    use scgi_async_std::async_std::serve;
    block_on(async { serve!(serve, scgi_async_std, sleep, listener, config, seen) });
}

fn on_smol(listener: TcpListener, config: ConnectionConfig, seen: Arc<Seen>) {
    use scgi_async_std::smol::serve;
    use smol::{Timer, block_on};
    block_on(async { serve!(serve, scgi_async_std, Timer::after, listener, config, seen) });
}

fn on_threads(listener: TcpListener, config: ConnectionConfig, seen: Arc<Seen>) {
    let server = scgi_blocking::serve(listener, move |_: scgi_blocking::Request| {
        let guard = seen.begin();
        thread::sleep(PAUSE);
        guard.finish();
        scgi_blocking::Response::new("x")
    });
    server.with_config(config).run().expect("a server");
}

#[test]
fn a_handler_whose_client_is_gone() {
    let run_on = ConnectionConfig::default().with_ignore_client_abort(true);
    for serve in [on_tokio, on_async_std, on_smol] {
        assert_eq!(leave(serve, ConnectionConfig::default()), 0);
        assert_eq!(leave(serve, run_on), 1);
    }
    for config in [ConnectionConfig::default(), run_on] {
        assert_eq!(leave(on_threads, config), 1);
    }
}
