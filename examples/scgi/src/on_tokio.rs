//! `echo` and `request` on tokio.

use std::future::{Future, pending};
use std::io;
use std::path::Path;

use bytes::Bytes;
use scgi_proto::BoxError;
use scgi_proto::{DecodeBuffer, DecodeError, ResponseDecoder};
use scgi_tokio::{
    Body, Client, Error, Listener, Request, RequestHead, Response, ResponseEvent, Stream, Upgraded,
    serve,
};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::capture::Capture;
use crate::echo::{Echo, EchoArgs, Stopped, end_immediately, say_listening, server, switches_to};
use crate::failure::Context as _;
use crate::plan::{Message, Plan, Upload, is_head_request};
use crate::reply::Reply;
use crate::tee::Tee;
use crate::tunnel;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn echo(args: &EchoArgs) -> Result<Stopped, BoxError> {
    Builder::new_multi_thread().enable_all().build()?.block_on(run_echo(args))
}

async fn run_echo(args: &EchoArgs) -> Result<Stopped, BoxError> {
    let context = || format!("cannot listen on {}", args.address);
    let listener =
        Listener::bind_with(&args.address, &args.bind_options()).await.context(context)?;
    let stop = stop_signal()?;
    say_listening(&listener.local_address()?);
    let server = server!(serve, listener, args, stop);
    let counters = server.counters();
    let summary = server.await?;
    let (served, finished, aborted) = (summary.served, summary.finished, summary.aborted);
    Ok(Stopped { served, finished, aborted, counters })
}

async fn answer(request: Request, json: bool) -> Result<Response, BoxError> {
    if let Some(protocol) = switches_to(request.head()) {
        return Ok(
            Response::switching_protocols(protocol).with_upgrade(|io: Upgraded| tunnel::echo(io))
        );
    }
    let (head, mut body) = request.into_parts();
    let mut echo = Echo::default();
    while let Some(chunk) = body.chunk().await? {
        echo.update(&chunk);
    }
    let (text, content_type) = echo.answer(&head, json)?;
    Ok(Response::new(text).with_field("Content-Type", content_type))
}

/// Caught from here on; the future completes at the first one. The second ends the program.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut next = async move || {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            end_immediately();
        });
    })
}

/// Sends one request and hands what comes to `reply`.
pub(crate) fn exchange(
    plan: &Plan,
    capture: Option<Capture>,
    reply: &mut Reply,
) -> Result<(), BoxError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let talk = talk(plan, capture, reply);
        match plan.timeout {
            None => talk.await,
            Some(limit) => timeout(limit, talk).await.unwrap_or_else(|_| Err(plan.late())),
        }
    });
    plan.progress.finish_and_clear();
    // A name that is still being resolved must not outlast the timeout.
    runtime.shutdown_background();
    result
}

async fn talk(plan: &Plan, capture: Option<Capture>, reply: &mut Reply) -> Result<(), BoxError> {
    reply.start();
    let stream = Stream::connect_with(&plan.address, &plan.config()).await;
    let stream = stream.map_err(|error| plan.cannot_connect(error))?;
    reply.connected();
    let io = Tee::new(stream, capture);
    match &plan.message {
        Message::Request(head, upload) => request(plan, head, upload, io, reply).await?,
        Message::Raw(bytes) => raw(bytes.clone(), io, reply).await?,
    }
    reply.end();
    Ok(())
}

async fn request(
    plan: &Plan,
    head: &RequestHead,
    upload: &Upload,
    io: Tee<Stream>,
    reply: &mut Reply,
) -> Result<(), BoxError> {
    let body = match upload {
        Upload::Bytes(bytes) => Body::from(bytes.clone()),
        Upload::File(path, len) => file_body(plan, path, *len).await?,
    };
    let mut client = Client::new(io, &plan.config());
    if plan.is_unix() {
        client = client.over_unix_socket();
    }
    let response = client.request(Request::new(head.clone(), body)).await?;
    plan.progress.finish_and_clear();
    reply.head(response.head())?;
    let mut response = match response.into_upgraded() {
        Ok(io) if plan.opens_tunnel => return tunnel::connect(io, reply).await,
        // The handshake was all that is asked for.
        Ok(_) => return Ok(()),
        Err(response) => response,
    };
    while let Some(chunk) = response.body_mut().chunk().await? {
        reply.body(&chunk)?;
    }
    Ok(())
}

async fn file_body(plan: &Plan, path: &Path, len: u64) -> Result<Body, BoxError> {
    let file = File::open(path).await.context(|| path.display().to_string())?;
    // What is appended to the file meanwhile is left out.
    let reader = plan.progress.wrap_async_read(file.take(len));
    Ok(Body::from_reader(reader).with_len(len))
}

/// Sends bytes as they are, and reads the response meanwhile: a server may answer early.
async fn raw(bytes: Bytes, io: Tee<Stream>, reply: &mut Reply) -> Result<(), BoxError> {
    let mut decoder = ResponseDecoder::default();
    if is_head_request(&bytes) {
        decoder = decoder.without_body();
    }
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut write_error = None;
    let write = async {
        write_error = writer.write_all(&bytes).await.err();
        // The server may have answered all the same.
        pending::<()>().await;
    };
    let result = tokio::select! {
        result = read_response(&mut reader, decoder, reply) => result,
        () = write => Ok(()),
    };
    match write_error {
        Some(error) if is_no_response(&result) => Err(Error::Io(error).into()),
        _ => result,
    }
}

/// Whether nothing came, which a failed write explains better.
fn is_no_response(result: &Result<(), BoxError>) -> bool {
    let error = result.as_ref().err().and_then(|error| error.downcast_ref());
    matches!(error, Some(Error::Decode(DecodeError::NoResponse) | Error::Io(_)))
}

async fn read_response(
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    decoder: ResponseDecoder,
    reply: &mut Reply,
) -> Result<(), BoxError> {
    let mut receiver = DecodeBuffer::new(decoder);
    loop {
        while let Some(event) = receiver.next_event().map_err(Error::from)? {
            match event {
                ResponseEvent::Head(head) => reply.head(&head)?,
                ResponseEvent::Body(chunk) => reply.body(&chunk)?,
                ResponseEvent::End => return Ok(()),
            }
        }
        let count = reader.read_buf(receiver.buffer_mut()).await.map_err(Error::from)?;
        receiver.advance(count);
    }
}
