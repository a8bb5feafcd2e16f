//! `echo` and `request` on plain threads.

use std::io::{self, IoSlice, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use scgi_blocking::{Body, Client, ClientConfig, Listener, Request, Response, Stream, serve};
use scgi_proto::BoxError;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::capture::Capture;
use crate::echo::{Echo, EchoArgs, Stopped, end_immediately, say_listening, server};
use crate::failure::Context as _;
use crate::plan::{Message, Plan, Upload};
use crate::reply::Reply;

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
    let (head, mut body) = request.into_parts();
    let mut echo = Echo::default();
    while let Some(chunk) = body.chunk()? {
        echo.update(&chunk);
    }
    let (text, content_type) = echo.answer(&head, json)?;
    Ok(Response::new(text).with_field("Content-Type", content_type))
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
    thread::spawn(move || talk(stream, capture, request, &config, is_unix, &sender));
    let result = receive(plan, start, &events, reply);
    plan.progress.finish_and_clear();
    result
}

/// What comes of a request.
enum Event {
    Response(scgi_proto::ResponseHead),
    Chunk(bytes::Bytes),
    End,
    Failed(scgi_proto::Error),
}

fn talk(
    stream: Stream,
    capture: Option<Capture>,
    request: Request,
    config: &ClientConfig,
    is_unix: bool,
    sender: &mpsc::SyncSender<Event>,
) {
    let send = |event| {
        // After a timeout, the receiver is gone.
        let _ = sender.send(event);
    };
    let response = match capture {
        None => Client::new(stream, config).request(request),
        Some(capture) => {
            let client = Client::new(Tee { io: stream, capture }, config);
            let client = if is_unix { client.over_unix_socket() } else { client };
            client.request(request)
        }
    };
    let mut response = match response {
        Ok(response) => response,
        Err(error) => return send(Event::Failed(error)),
    };
    send(Event::Response(response.head().clone()));
    loop {
        match response.body_mut().chunk() {
            Ok(Some(chunk)) => send(Event::Chunk(chunk)),
            Ok(None) => return send(Event::End),
            Err(error) => return send(Event::Failed(error)),
        }
    }
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
            Event::End => break,
            Event::Failed(error) => return Err(error.into()),
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
