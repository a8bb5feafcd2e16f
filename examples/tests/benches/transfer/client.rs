//! A small request on a connection of its own: our clients against connect, write, read.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use scgi_proto::{Address, RequestHead};
use scgi_tests::BoxError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::server::{Job, REQUEST, Runtime, Server, Shape, Task, Transport, connect};
use crate::table::{cell, header, ratio, row};

/// The largest response that is taken.
const LIMIT: usize = 64 * 1024;

/// Nanoseconds that this thread has run.
fn cpu() -> Result<f64, BoxError> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}

fn head() -> RequestHead {
    RequestHead::builder("GET", "/app/items/42").build()
}

fn ours_blocking(address: &Address, head: RequestHead) -> Result<usize, BoxError> {
    let client = scgi_blocking::Client::connect(address)?;
    let request = scgi_blocking::Request::new(head, scgi_blocking::Body::empty());
    Ok(client.request(request)?.into_body().collect(LIMIT)?.len())
}

fn bare_blocking(address: &Address, buf: &mut Vec<u8>) -> Result<usize, BoxError> {
    let mut stream = connect(address)?;
    stream.write_all(REQUEST)?;
    buf.clear();
    Ok(stream.read_to_end(buf)?)
}

async fn ours_tokio(address: &Address, head: RequestHead) -> Result<usize, BoxError> {
    let client = scgi_tokio::Client::connect(address).await?;
    let request = scgi_tokio::Request::new(head, scgi_tokio::Body::empty());
    Ok(client.request(request).await?.into_body().collect(LIMIT).await?.len())
}

pub(crate) async fn bare_tokio(address: &Address, buf: &mut Vec<u8>) -> io::Result<usize> {
    match address {
        Address::Tcp(address) => talk(TcpStream::connect(address).await?, buf).await,
        Address::Unix(path) => talk(UnixStream::connect(path).await?, buf).await,
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

async fn ours_smol(address: &Address, head: RequestHead) -> Result<usize, BoxError> {
    let client = scgi_async_std::Client::connect(address).await?;
    let request = scgi_async_std::Request::new(head, scgi_async_std::Body::empty());
    Ok(client.request(request).await?.into_body().collect(LIMIT).await?.len())
}

async fn bare_smol(address: &Address, buf: &mut Vec<u8>) -> Result<usize, BoxError> {
    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
    macro_rules! talk {
        ($stream:expr) => {{
            let mut stream = $stream;
            stream.write_all(REQUEST).await?;
            buf.clear();
            Ok(stream.read_to_end(buf).await?)
        }};
    }
    match address {
        Address::Tcp(address) => {
            talk!(
                smol::Async::<std::net::TcpStream>::connect(address.parse::<SocketAddr>()?).await?
            )
        }
        Address::Unix(path) => {
            talk!(smol::Async::<std::os::unix::net::UnixStream>::connect(path).await?)
        }
        _ => Err("no such address".into()),
    }
}

async fn talk<S>(mut stream: S, buf: &mut Vec<u8>) -> io::Result<usize>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(REQUEST).await?;
    buf.clear();
    stream.read_to_end(buf).await
}

/// Asks so often, and returns how many microseconds of this thread one time took.
fn round(
    requests: usize,
    mut ask: impl FnMut(RequestHead) -> Result<usize, BoxError>,
) -> Result<f64, BoxError> {
    // What is sent is there before, as it is for the bare one.
    let heads: Vec<_> = (0..requests).map(|_| head()).collect();
    let start = cpu()?;
    heads.into_iter().try_for_each(|head| ask(head).map(drop))?;
    Ok((cpu()? - start) / 1000.0 / requests as f64)
}

pub(crate) fn print(requests: usize, rounds: usize) -> Result<(), BoxError> {
    header(&["a small request", "client CPU us", "bare: us", "x bare"]);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut buf = Vec::with_capacity(LIMIT);
    for runtime in [Runtime::Tokio, Runtime::Smol, Runtime::Blocking] {
        for transport in [Transport::Unix, Transport::Tcp] {
            let task = Task {
                runtime: Runtime::Tokio,
                job: Job::Reply,
                shape: Shape::One,
                bare: true,
                size: 0,
            };
            let Server { address, .. } = &Server::start(task, transport)?;
            let (mut ours, mut bare) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                match runtime {
                    Runtime::Tokio => {
                        ours.push(round(requests, |head| {
                            tokio.block_on(ours_tokio(address, head))
                        })?);
                        bare.push(round(requests, |_| {
                            Ok(tokio.block_on(bare_tokio(address, &mut buf))?)
                        })?);
                    }
                    Runtime::Smol => {
                        ours.push(round(requests, |head| {
                            smol::block_on(ours_smol(address, head))
                        })?);
                        bare.push(round(requests, |_| {
                            smol::block_on(bare_smol(address, &mut buf))
                        })?);
                    }
                    Runtime::Blocking => {
                        ours.push(round(requests, |head| ours_blocking(address, head))?);
                        bare.push(round(requests, |_| bare_blocking(address, &mut buf))?);
                    }
                }
            }
            row(&[
                &format!("{runtime:?}, {transport:?}"),
                &cell(&ours, 2),
                &cell(&bare, 2),
                &ratio(&ours, &bare),
            ]);
        }
    }
    Ok(())
}
