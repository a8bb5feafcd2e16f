//! `echo` and `request` on smol and async-std, which differ only in how they start and wait.

use std::io;
use std::thread;

use futures_util::future::{Either, select};
use scgi_async_std::{Body, Client, Listener, Request, Response, Stream, Upgraded};
use scgi_proto::BoxError;
use scgi_proto::RequestHead;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt as _};

use crate::capture::Capture;
use crate::echo::{Echo, EchoArgs, Stopped, end_immediately, say_listening, server, switches_to};
use crate::failure::Context as _;
use crate::plan::{Message, Plan, Upload};
use crate::reply::Reply;
use crate::tee::Tee;
use crate::tunnel;

/// The two functions of a runtime, from its own `block_on`, `serve` and timer.
macro_rules! on {
    ($name:ident, $block_on:path, $serve:path, $sleep:expr) => {
        pub(crate) mod $name {
            use super::*;

            /// Serves until SIGTERM or SIGINT.
            pub(crate) fn echo(args: &EchoArgs) -> Result<Stopped, BoxError> {
                $block_on(async {
                    let context = || format!("cannot listen on {}", args.address);
                    let listener = Listener::bind_with(&args.address, &args.bind_options())
                        .await
                        .context(context)?;
                    let stop = stop_signal()?;
                    say_listening(&listener.local_address()?);
                    let server = server!($serve, listener, args, stop);
                    let counters = server.counters();
                    let summary = server.await?;
                    let (served, finished) = (summary.served, summary.finished);
                    let aborted = summary.aborted;
                    Ok(Stopped { served, finished, aborted, counters })
                })
            }

            /// Sends one request and hands what comes to `reply`.
            pub(crate) fn exchange(
                plan: &Plan,
                capture: Option<Capture>,
                reply: &mut Reply,
            ) -> Result<(), BoxError> {
                let result = $block_on(async {
                    let Some(limit) = plan.timeout else { return talk(plan, capture, reply).await };
                    let talk = Box::pin(talk(plan, capture, reply));
                    match select(talk, Box::pin($sleep(limit))).await {
                        Either::Left((result, _)) => result,
                        Either::Right(_) => Err(plan.late()),
                    }
                });
                plan.progress.finish_and_clear();
                result
            }
        }
    };
}

on!(smol, ::smol::block_on, scgi_async_std::smol::serve, ::smol::Timer::after);
on!(
    async_std,
    ::async_std::task::block_on,
    scgi_async_std::async_std::serve,
    ::async_std::task::sleep
);

async fn answer(request: Request, json: bool) -> Result<Response, BoxError> {
    if let Some(protocol) = switches_to(request.head()) {
        return Ok(Response::switching_protocols(protocol)
            .with_upgrade(|io: Upgraded| tunnel::echo(FuturesAsyncReadCompatExt::compat(io))));
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
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, receiver) = ::smol::channel::bounded(1);
    thread::spawn(move || {
        signals.forever().next();
        // No one waits any more if the server has ended by itself.
        let _ = sender.send_blocking(());
        signals.forever().next();
        end_immediately();
    });
    Ok(async move {
        let _ = receiver.recv().await;
    })
}

async fn talk(plan: &Plan, capture: Option<Capture>, reply: &mut Reply) -> Result<(), BoxError> {
    let Message::Request(head, upload) = &plan.message else {
        return Err("--raw works with --runtime tokio only: it uses no adapter".into());
    };
    reply.start();
    let stream = Stream::connect_with(&plan.address, &plan.config()).await;
    let stream = stream.map_err(|error| plan.cannot_connect(error))?;
    reply.connected();
    let io = Tee::new(stream.compat(), capture).compat();
    let mut client = Client::new(io, &plan.config());
    if plan.is_unix() {
        client = client.over_unix_socket();
    }
    let response = client.request(request(plan, head, upload)?).await?;
    plan.progress.finish_and_clear();
    reply.head(response.head())?;
    let mut response = match response.into_upgraded() {
        Ok(io) => {
            // Without --upgrade, the handshake was all that is asked for.
            if plan.opens_tunnel {
                tunnel::connect(FuturesAsyncReadCompatExt::compat(io), reply).await?;
            }
            reply.end();
            return Ok(());
        }
        Err(response) => response,
    };
    while let Some(chunk) = response.body_mut().chunk().await? {
        reply.body(&chunk)?;
    }
    reply.end();
    Ok(())
}

fn request(plan: &Plan, head: &RequestHead, upload: &Upload) -> Result<Request, BoxError> {
    let body = match upload {
        Upload::Bytes(bytes) => Body::from(bytes.clone()),
        Upload::File(path, len) => {
            let file = std::fs::File::open(path).context(|| path.display().to_string())?;
            let file = plan.progress.wrap_read(io::Read::take(file, *len));
            // What is appended to the file meanwhile is left out.
            Body::from_reader(::smol::Unblock::new(file)).with_len(*len)
        }
    };
    Ok(Request::new(head.clone(), body))
}
