//! `echo` and `request` on plain threads.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use scgi_blocking::{
    Body, Client, ClientConfig, Listener, Request, Response, Stream, Upgraded, serve,
};
use scgi_proto::BoxError;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::capture::Capture;
use crate::echo::{Echo, EchoArgs, Stopped, end_immediately, say_listening, server, switches_to};
use crate::failure::Context as _;
use crate::plan::{Message, Plan, Upload};
use crate::reply::Reply;
use crate::tunnel::{BROKE, Input, NOT_TAKEN, READ, read_stdin};

/// Serves until SIGTERM or SIGINT.
pub(crate) fn echo(args: &EchoArgs) -> Result<Stopped, BoxError> {
    let context = || format!("cannot listen on {}", args.address);
    let listener = Listener::bind_with(&args.address, &args.bind_options()).context(context)?;
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    say_listening(&listener.local_address()?);
    let stop = move || {
        signals.forever().next();
        thread::spawn(move || {
            signals.forever().next();
            end_immediately();
        });
    };
    let server = server!(serve, listener, args, stop);
    let counters = server.counters();
    let summary = server.run()?;
    let (served, finished, aborted) = (summary.served, summary.finished, summary.aborted);
    Ok(Stopped { served, finished, aborted, counters })
}

fn answer(request: Request, json: bool) -> Result<Response, BoxError> {
    if let Some(protocol) = switches_to(request.head()) {
        return Ok(
            Response::switching_protocols(protocol).with_upgrade(|io: Upgraded| echo_tunnel(&io))
        );
    }
    let (head, mut body) = request.into_parts();
    let mut echo = Echo::default();
    while let Some(chunk) = body.chunk()? {
        echo.update(&chunk);
    }
    let (text, content_type) = echo.answer(&head, json)?;
    Ok(Response::new(text).with_field("Content-Type", content_type))
}

/// Sends everything back, and its end.
fn echo_tunnel(mut io: &Upgraded) -> io::Result<()> {
    io::copy(&mut { io }, &mut io)?;
    io.shutdown_write()
}

/// Sends one request and hands what comes to `reply`.
pub(crate) fn exchange(
    plan: &Plan,
    capture: Option<Capture>,
    reply: &mut Reply,
) -> Result<(), BoxError> {
    let Message::Request(head, upload) = &plan.message else {
        return Err("--raw works with --runtime tokio only: it uses no adapter".into());
    };
    if plan.opens_tunnel && capture.is_some() {
        return Err("--upgrade with --save needs another --runtime, such as tokio".into());
    }
    reply.start();
    let start = Instant::now();
    let limit = plan.timeout.unwrap_or(Duration::MAX);
    let config = plan.config().with_call_timeout(limit);
    let stream = Stream::connect_with(&plan.address, &config);
    let stream = stream.map_err(|error| plan.cannot_connect(error))?;
    reply.connected();
    let body = match upload {
        Upload::Bytes(bytes) => Body::from(bytes.clone()),
        Upload::File(path, len) => {
            let file = std::fs::File::open(path).context(|| path.display().to_string())?;
            Body::from_reader(plan.progress.wrap_read(file.take(*len))).with_len(*len)
        }
    };
    let request = Request::new(head.clone(), body);
    let (sender, events) = mpsc::sync_channel(1);
    // In a thread of its own, so that a timeout can leave it behind.
    let (config, is_unix) = (plan.config(), plan.is_unix());
    let opens_tunnel = plan.opens_tunnel;
    thread::spawn(move || {
        let response = talk(stream, capture, request, &config, is_unix);
        hand_over(response, opens_tunnel, &sender);
    });
    let result = receive(plan, start, &events, reply);
    plan.progress.finish_and_clear();
    result
}

/// What comes of a request.
enum Event {
    Response(scgi_proto::ResponseHead),
    Chunk(Bytes),
    End,
    /// A 101: what follows are chunks of the tunnel.
    Upgraded,
    TunnelEnd(Input),
    Failed(BoxError),
}

fn talk(
    stream: Stream,
    capture: Option<Capture>,
    request: Request,
    config: &ClientConfig,
    is_unix: bool,
) -> Result<Response, scgi_proto::Error> {
    match capture {
        None => Client::new(stream, config).request(request),
        Some(capture) => {
            let client = Client::new(Tee { io: stream, capture }, config);
            let client = if is_unix { client.over_unix_socket() } else { client };
            client.request(request)
        }
    }
}

/// Hands a response to the main thread, and what follows it.
fn hand_over(
    response: Result<Response, scgi_proto::Error>,
    opens_tunnel: bool,
    sender: &mpsc::SyncSender<Event>,
) {
    let send = |event| {
        // After a timeout, the receiver is gone.
        let _ = sender.send(event);
    };
    let response = match response {
        Ok(response) => response,
        Err(error) => return send(Event::Failed(error.into())),
    };
    send(Event::Response(response.head().clone()));
    let mut response = match response.into_upgraded() {
        Ok(io) if opens_tunnel => {
            let ended = tunnel(io, sender);
            return send(ended.map_or_else(Event::Failed, Event::TunnelEnd));
        }
        // The handshake was all that is asked for.
        Ok(_) => return send(Event::End),
        Err(response) => response,
    };
    loop {
        match response.body_mut().chunk() {
            Ok(Some(chunk)) => send(Event::Chunk(chunk)),
            Ok(None) => return send(Event::End),
            Err(error) => return send(Event::Failed(error.into())),
        }
    }
}

/// Connects standard input and the main thread to the server, until that has ended its output.
fn tunnel(io: Upgraded, sender: &mpsc::SyncSender<Event>) -> Result<Input, BoxError> {
    let shared = Arc::new((io, Mutex::new(Input::default())));
    let (uploading, failed) = (Arc::clone(&shared), sender.clone());
    thread::spawn(move || {
        if let Err(error) = upload(&uploading.0, &uploading.1) {
            let _ = failed.send(Event::Failed(error));
        }
    });
    let _ = sender.send(Event::Upgraded);
    let mut buf = vec![0; READ];
    loop {
        let count = (&shared.0).read(&mut buf).context(|| BROKE.into())?;
        if count == 0 {
            let mut upload = shared.1.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(std::mem::take(&mut *upload));
        }
        let _ = sender.send(Event::Chunk(Bytes::copy_from_slice(&buf[..count])));
    }
}

/// Sends standard input and passes its end on.
fn upload(mut io: &Upgraded, done: &Mutex<Input>) -> Result<(), BoxError> {
    let mut input = read_stdin();
    let done = || done.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(chunk) = input.blocking_recv() {
        let chunk = chunk.context(|| "standard input".into())?;
        if let Err(error) = io.write_all(&chunk).and_then(|()| io.flush()) {
            // The server may have answered all the same.
            done().not_taken = Some(error);
            return Ok(());
        }
        done().sent += chunk.len() as u64;
    }
    done().ended = true;
    // Fails if the server has closed, which its own output shows.
    let _ = io.shutdown_write();
    Ok(())
}

fn receive(
    plan: &Plan,
    start: Instant,
    events: &mpsc::Receiver<Event>,
    reply: &mut Reply,
) -> Result<(), BoxError> {
    loop {
        let event = match plan.timeout {
            None => events.recv().map_err(|_| plan.late())?,
            Some(limit) => events
                .recv_timeout(limit.saturating_sub(start.elapsed()))
                .map_err(|_| plan.late())?,
        };
        match event {
            Event::Response(head) => {
                plan.progress.finish_and_clear();
                reply.head(&head)?;
            }
            Event::Chunk(chunk) => reply.body(&chunk)?,
            Event::Upgraded => reply.upgraded(),
            Event::TunnelEnd(input) => {
                reply.tunnelled(input.passed(reply.figures().bytes));
                if let Some(error) = input.not_taken {
                    return Err(error).context(|| NOT_TAKEN.into());
                }
                break;
            }
            Event::End => break,
            Event::Failed(error) => return Err(error),
        }
    }
    reply.end();
    Ok(())
}

/// Passes everything on and writes it down.
struct Tee {
    io: Stream,
    capture: Capture,
}

impl Read for Tee {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.io.read(buf)?;
        self.capture.received(&buf[..count])?;
        Ok(count)
    }
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.io.write(bytes)?;
        self.capture.sent(&bytes[..count])?;
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.io.write_vectored(slices)?;
        let mut left = count;
        for slice in slices {
            let part = left.min(slice.len());
            self.capture.sent(&slice[..part])?;
            left -= part;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}
