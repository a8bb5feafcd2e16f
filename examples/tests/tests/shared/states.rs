//! A server on each runtime whose handlers bring their connections into the states of the guide
//! `flow`: the request says which.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use scgi_proto::{ConnectionConfig, Counters, RequestHead};

use crate::peers::Peer;
use crate::places::{Listener, Place};
use crate::servers::Runtime;

/// Chunks of a response that waits for its peer, and their size: more than the buffers hold.
const CHUNKS: usize = 160;
pub(crate) const CHUNK: usize = 32 * 1024;
/// The body of a response that waited for its peer, whole.
pub(crate) const LARGE: usize = CHUNKS * CHUNK;

/// What the system may keep on its way, on each side: less than what the tests send.
const BUFFER: usize = 128 * 1024;

/// What the handler of one connection has done.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The handler, or the stream of the response, has come so far as to wait.
    pub(crate) waits: AtomicBool,
    /// Bytes of the body that were read, and whether it ended with an error.
    pub(crate) got: AtomicUsize,
    pub(crate) failed: AtomicBool,
    /// Chunks that were made of a large response.
    pub(crate) made: AtomicUsize,
    last_made: Mutex<Option<Instant>>,
    /// When the handler, and the stream of its response, were dropped.
    ended: Mutex<Option<Instant>>,
    /// Lets a program that waits go on.
    release: tokio::sync::Notify,
    /// A body that is held.
    held: Mutex<Option<Box<dyn Any + Send>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    pub(crate) fn release(&self) {
        self.release.notify_one();
        *lock(&self.held) = None;
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.ended).is_some()
    }

    /// How long it took from the last chunk that was made to the end.
    pub(crate) fn waited_for_peer(&self) -> Duration {
        let (last, end) = (*lock(&self.last_made), *lock(&self.ended));
        end.expect("it has ended") - last.expect("it has made chunks")
    }

    fn make(&self) -> Bytes {
        self.made.fetch_add(1, Ordering::SeqCst);
        *lock(&self.last_made) = Some(Instant::now());
        Bytes::from_static(&[b'r'; CHUNK])
    }

    fn count(&self, chunk: &Bytes) {
        self.got.fetch_add(chunk.len(), Ordering::SeqCst);
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    fn wait(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }
}

/// Lives as long as the handler, and the stream of its response.
struct Guard(Arc<Seen>);

impl Drop for Guard {
    fn drop(&mut self) {
        *lock(&self.0.ended) = Some(Instant::now());
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);
static CASES: OnceLock<Mutex<HashMap<u64, Arc<Seen>>>> = OnceLock::new();

fn cases() -> MutexGuard<'static, HashMap<u64, Arc<Seen>>> {
    lock(CASES.get_or_init(Mutex::default))
}

/// What a handler does: the state that its connection shall be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Wanted,
    Held,
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    NotBegun,
    Program,
    Peer,
    Complete,
}

struct Case {
    body: Body,
    response: Response,
    seen: Arc<Seen>,
}

impl Case {
    fn of(head: &RequestHead) -> Self {
        let param = |name| {
            let value: &[u8] = head.params().get(name).expect("a param of the test");
            String::from_utf8_lossy(value).into_owned()
        };
        let body = match param("BODY").as_str() {
            "body wanted" => Body::Wanted,
            "body dropped" => Body::Dropped,
            _ => Body::Held,
        };
        let response = match param("RESPONSE").as_str() {
            "not begun" => Response::NotBegun,
            "waits for the program" => Response::Program,
            "waits for the peer" => Response::Peer,
            _ => Response::Complete,
        };
        let case = param("CASE").parse().expect("a number");
        let seen = Arc::clone(cases().get(&case).expect("a case of the test"));
        Self { body, response, seen }
    }
}

/// The head of a request for a state, with a body of so many bytes, and what its handler does.
pub(crate) fn request(request: &str, response: &str, body: usize) -> (Vec<u8>, Arc<Seen>) {
    let case = NEXT.fetch_add(1, Ordering::SeqCst);
    let seen = Arc::<Seen>::default();
    cases().insert(case, Arc::clone(&seen));
    let block = format!(
        "CONTENT_LENGTH\0{body}\0SCGI\x001\0BODY\0{request}\0RESPONSE\0{response}\0CASE\0{case}\0"
    );
    (format!("{}:{block},", block.len()).into_bytes(), seen)
}

/// A handler on an async crate, as the request wants it.
macro_rules! handler {
    ($krate:ident, $spawn:expr, $request:expr) => {{
        use futures_util::stream::unfold;
        let request: $krate::Request = $request;
        let case = Case::of(request.head());
        let guard = Guard(Arc::clone(&case.seen));
        let mut body = Some(request.into_body());
        if case.body == Body::Dropped {
            body = None;
        }
        /// Reads the body to its end if that is wanted, or waits and holds it.
        async fn wait(
            usage: Body,
            body: &mut Option<$krate::Body>,
            seen: &Seen,
        ) -> Result<(), $krate::Error> {
            seen.wait();
            if usage != Body::Wanted {
                seen.release.notified().await;
                return Ok(());
            }
            let body = body.as_mut().expect("it was not dropped");
            loop {
                match body.chunk().await {
                    Ok(Some(chunk)) => seen.count(&chunk),
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        seen.fail();
                        return Err(error);
                    }
                }
            }
        }
        // The same beside the response.
        let wait_elsewhere = |body: Option<$krate::Body>, seen: &Arc<Seen>| {
            if case.body == Body::Wanted {
                let (mut body, seen) = (body, Arc::clone(seen));
                $spawn(async move {
                    let _ = wait(case.body, &mut body, &seen).await;
                });
            } else {
                *lock(&seen.held) = body.map(|body| Box::new(body) as Box<dyn Any + Send>);
                seen.wait();
            }
        };
        match case.response {
            Response::NotBegun => {
                wait(case.body, &mut body, &case.seen).await?;
                drop(guard);
                Ok::<_, $krate::Error>($krate::Response::new("done"))
            }
            Response::Program => {
                let chunks = unfold((0, body, guard), move |(step, mut body, guard)| async move {
                    let chunk = match step {
                        0 => Ok(Bytes::from_static(b"hello")),
                        1 => {
                            let end = wait(case.body, &mut body, &guard.0).await;
                            end.map(|()| Bytes::from_static(b"done"))
                        }
                        _ => return None,
                    };
                    Some((chunk, (step + 1, body, guard)))
                });
                Ok($krate::Response::new($krate::Body::from_stream(chunks)))
            }
            Response::Peer => {
                wait_elsewhere(body, &case.seen);
                let chunks = unfold((0, guard), |(step, guard)| async move {
                    let chunk = (step < CHUNKS).then(|| guard.0.make())?;
                    Some((Ok::<_, io::Error>(chunk), (step + 1, guard)))
                });
                Ok($krate::Response::new($krate::Body::from_stream(chunks)))
            }
            Response::Complete => {
                wait_elsewhere(body, &case.seen);
                Ok($krate::Response::new("hello"))
            }
        }
    }};
}

/// The same on threads.
fn on_thread(
    request: scgi_blocking::Request,
) -> Result<scgi_blocking::Response, scgi_blocking::Error> {
    let case = Case::of(request.head());
    let guard = Guard(Arc::clone(&case.seen));
    let mut body = (case.body != Body::Dropped).then(|| request.into_body());
    let wait = move |body: &mut Option<scgi_blocking::Body>, seen: &Seen| {
        seen.wait();
        if case.body != Body::Wanted {
            smol::block_on(seen.release.notified());
            return Ok(());
        }
        let body = body.as_mut().expect("it was not dropped");
        loop {
            match body.chunk() {
                Ok(Some(chunk)) => seen.count(&chunk),
                Ok(None) => return Ok(()),
                Err(error) => {
                    seen.fail();
                    return Err(error);
                }
            }
        }
    };
    let wait_elsewhere = |mut body: Option<scgi_blocking::Body>, seen: &Arc<Seen>| {
        if case.body == Body::Wanted {
            let seen = Arc::clone(seen);
            thread::spawn(move || wait(&mut body, &seen));
        } else {
            *lock(&seen.held) = body.map(|body| Box::new(body) as Box<dyn Any + Send>);
            seen.wait();
        }
    };
    Ok(match case.response {
        Response::NotBegun => {
            wait(&mut body, &case.seen)?;
            drop(guard);
            scgi_blocking::Response::new("done")
        }
        Response::Program => {
            let mut step = 0;
            let chunks = std::iter::from_fn(move || {
                step += 1;
                match step {
                    1 => Some(Ok(Bytes::from_static(b"hello"))),
                    2 => Some(wait(&mut body, &guard.0).map(|()| Bytes::from_static(b"done"))),
                    _ => None,
                }
            });
            scgi_blocking::Response::new(scgi_blocking::Body::from_chunks(chunks))
        }
        Response::Peer => {
            wait_elsewhere(body, &case.seen);
            let chunks = (0..CHUNKS).map(move |_| Ok::<_, io::Error>(guard.0.make()));
            scgi_blocking::Response::new(scgi_blocking::Body::from_chunks(chunks))
        }
        Response::Complete => {
            wait_elsewhere(body, &case.seen);
            scgi_blocking::Response::new("hello")
        }
    })
}

/// A server that runs as long as the process.
#[derive(Debug)]
pub(crate) struct States {
    place: Place,
    pub(crate) counters: Counters,
}

macro_rules! serve {
    ($serve:expr, $config:expr, $counters:expr) => {{
        let server = $serve.with_config($config).with_max_connections(8000);
        $counters.send(server.counters()).expect("someone waits");
        server
    }};
}

impl States {
    pub(crate) fn start(runtime: Runtime, unix: bool, config: ConnectionConfig) -> Self {
        let (listener, place) = Listener::bind(unix);
        if !unix {
            // Its connections have the same.
            set_socket_recv_buffer_size(&listener, BUFFER).expect("an option");
            set_socket_send_buffer_size(&listener, BUFFER).expect("an option");
        }
        let (sender, counters) = mpsc::channel();
        thread::spawn(move || match runtime {
            Runtime::Tokio => on_tokio(listener, config, &sender),
            Runtime::AsyncStd => on_async_std(listener, config, &sender),
            Runtime::Smol => on_smol(listener, config, &sender),
            Runtime::Blocking => {
                let server = scgi_blocking::serve(listener.into_blocking(), on_thread);
                serve!(server, config, sender).run().expect("a server");
            }
        });
        Self { place, counters: counters.recv().expect("a server") }
    }

    pub(crate) fn connect(&self) -> Peer {
        let peer = self.place.connect();
        set_socket_send_buffer_size(&peer, BUFFER).expect("an option");
        if !matches!(peer, Peer::Unix(_)) {
            set_socket_recv_buffer_size(&peer, BUFFER).expect("an option");
        }
        peer
    }
}

fn on_tokio(listener: Listener, config: ConnectionConfig, counters: &mpsc::Sender<Counters>) {
    let mut builder = if listener.is_unix() {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = scgi_tokio::serve(listener.into_tokio(), |request| async {
            handler!(scgi_tokio, tokio::spawn, request)
        });
        serve!(server, config, counters).await.expect("a server");
    });
}

fn on_async_std(listener: Listener, config: ConnectionConfig, counters: &mpsc::Sender<Counters>) {
    async_std::task::block_on(async {
        let listener = listener.into_futures();
        let server = scgi_async_std::async_std::serve(listener, |request| async {
            handler!(scgi_async_std, async_std::task::spawn, request)
        });
        serve!(server, config, counters).await.expect("a server");
    });
}

fn on_smol(listener: Listener, config: ConnectionConfig, counters: &mpsc::Sender<Counters>) {
    smol::block_on(async {
        let spawn = |task| smol::spawn(task).detach();
        let listener = listener.into_futures();
        let server = scgi_async_std::smol::serve(listener, move |request| async move {
            handler!(scgi_async_std, spawn, request)
        });
        serve!(server, config, counters).await.expect("a server");
    });
}
