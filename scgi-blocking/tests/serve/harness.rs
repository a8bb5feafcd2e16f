//! A server on a thread, and what the tests ask of it.

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use scgi_blocking::{
    Address, Body, Client, Counters, Error, Handler, Listener, Request, RequestHead, Response,
    Serve, Shutdown, Stream, Summary, serve,
};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A server on a thread of its own.
pub(crate) struct Running {
    pub(crate) address: Address,
    pub(crate) shutdown: Shutdown,
    pub(crate) counters: Counters,
    pub(crate) thread: JoinHandle<io::Result<Summary>>,
}

impl Running {
    pub(crate) fn start<H: Handler<M>, M: 'static>(address: Address, server: Serve<H, M>) -> Self {
        let (shutdown, counters) = (server.shutdown_handle(), server.counters());
        let (done, result) = mpsc::channel();
        thread::spawn(move || done.send(server.run()));
        let thread = thread::spawn(move || result.recv().expect("a server that returns"));
        Self { address, shutdown, counters, thread }
    }

    pub(crate) fn connect(&self) -> Stream {
        Stream::connect(&self.address).expect("connected")
    }

    pub(crate) fn request(
        &self,
        head: &RequestHead,
        body: impl Into<Body>,
    ) -> Result<Response, Error> {
        Client::connect(&self.address)?.request(Request::new(head.clone(), body))
    }

    /// Sends the bytes and reads until the end.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("written");
        read_all(&mut stream)
    }

    /// Stops it, which must not take long.
    pub(crate) fn stop(self) -> Summary {
        self.shutdown.stop();
        let begun = Instant::now();
        let summary = self.thread.join().expect("no panic").expect("a summary");
        assert!(begun.elapsed() < 900 * MS, "stopping took {:?}", begun.elapsed());
        summary
    }
}

pub(crate) fn read_all(stream: &mut impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    text
}

pub(crate) fn wait_until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < 15_000 * MS, "it never came");
        sleep(MS);
    }
}

/// An address of each kind of socket; `name` is for one test.
pub(crate) fn addresses(name: &str) -> Vec<Address> {
    let tcp = "127.0.0.1:0".parse().expect("an address");
    if !cfg!(unix) {
        return vec![tcp];
    }
    let name = format!("scgi-blocking-{name}-{}", std::process::id());
    vec![tcp, Address::Unix(std::env::temp_dir().join(name))]
}

/// Runs `test` with a server on each kind of socket.
pub(crate) fn on_each<H, M>(
    name: &str,
    handler: &H,
    with: impl Fn(Serve<H, M>) -> Serve<H, M>,
    test: impl Fn(Running),
) where
    H: Handler<M> + Clone,
    M: 'static,
{
    for address in addresses(name) {
        let listener = Listener::bind(&address).expect("bound");
        let address = listener.local_address().expect("its address");
        test(Running::start(address, with(serve(listener, handler.clone()))));
    }
}

pub(crate) fn get() -> RequestHead {
    RequestHead::builder("GET", "/").build()
}

pub(crate) fn post() -> RequestHead {
    RequestHead::builder("POST", "/").build()
}

/// The start of a request with a body of that length.
pub(crate) fn head(len: u64) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{len}\0SCGI\x001\0");
    format!("{}:{block},", block.len()).into_bytes()
}

pub(crate) fn echo(request: Request) -> Response {
    Response::new(request.into_body())
}
