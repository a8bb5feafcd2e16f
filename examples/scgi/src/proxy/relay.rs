//! Moving the bytes of both directions.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::end::{End, Peer};
use super::socket::{Socket, reset};
use super::watch::Shared;

/// Read at once, in bytes. What is read is passed on before more is read: so it streams, and a
/// peer that takes nothing makes the other one wait.
const READ: usize = 64 * 1024;

/// What failed while bytes were passed on.
enum Failed {
    Read(io::Error),
    Write(io::Error),
}

/// Passes everything on until both have ended their output or one has broken off. Then the other
/// one sees the same.
pub(crate) async fn relay(front: Box<dyn Socket>, backend: Box<dyn Socket>, watch: &Shared) -> End {
    let (mut from_front, mut to_front) = tokio::io::split(front);
    let (mut from_backend, mut to_backend) = tokio::io::split(backend);
    let mut not_taken = None;
    let request = async {
        match pass(&mut from_front, &mut to_backend, |bytes| watch.request(bytes)).await {
            Ok(()) => Ok(()),
            Err(Failed::Read(error)) => Err((Peer::Front, error)),
            // It may have answered all the same.
            Err(Failed::Write(error)) => {
                not_taken = Some(error);
                Ok(())
            }
        }
    };
    let reply = async {
        pass(&mut from_backend, &mut to_front, |bytes| watch.reply(bytes)).await.map_err(|failed| {
            match failed {
                Failed::Read(error) => (Peer::Backend, error),
                Failed::Write(error) => (Peer::Front, error),
            }
        })
    };
    let ended = tokio::try_join!(request, reply);
    match ended {
        Ok(_) => End::Closed { not_taken },
        Err((by, error)) => {
            reset(&*from_front.unsplit(to_front));
            reset(&*from_backend.unsplit(to_backend));
            End::Broken { by, error }
        }
    }
}

/// Passes one direction on, and its end. `see` is shown the bytes; none at the end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    see: impl Fn(&[u8]),
) -> Result<(), Failed> {
    let mut buf = vec![0; READ];
    loop {
        let count = from.read(&mut buf).await.map_err(Failed::Read)?;
        see(&buf[..count]);
        if count == 0 {
            // Fails if the peer has gone, which is no news then.
            let _ = to.shutdown().await;
            return Ok(());
        }
        to.write_all(&buf[..count]).await.map_err(Failed::Write)?;
    }
}
