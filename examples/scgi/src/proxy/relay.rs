//! Copies the bytes in both directions.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

use super::end::{End, Peer};
use super::socket::{Socket, reset};
use super::watch::Shared;

/// Read at once, in bytes. What is read is passed on before more is read: so it streams, and a
/// peer that takes nothing makes the other one wait.
const READ: usize = 64 * 1024;

/// How often the front server's connection is checked.
const TICK: Duration = Duration::from_millis(500);

/// What failed while bytes were passed on.
enum Failed {
    Read(io::Error),
    Write(io::Error),
}

/// Passes everything on until both have ended their output or one has broken off. Then the other
/// one sees the same.
pub(crate) async fn relay(front: Box<dyn Socket>, backend: Box<dyn Socket>, watch: &Shared) -> End {
    // Where it cannot be had, a front server that leaves is noticed when it is written to.
    let probe = front.as_fd().try_clone_to_owned().ok();
    let (mut from_front, mut to_front) = tokio::io::split(front);
    let (mut from_backend, mut to_backend) = tokio::io::split(backend);
    let mut not_taken = None;
    let reply_has_ended = AtomicBool::new(false);
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
        let passed = pass(&mut from_backend, &mut to_front, |bytes| watch.reply(bytes)).await;
        reply_has_ended.store(true, Ordering::Relaxed);
        passed.map_err(|failed| match failed {
            Failed::Read(error) => (Peer::Backend, error),
            Failed::Write(error) => (Peer::Front, error),
        })
    };
    let both = async { tokio::try_join!(request, reply).map(drop) };
    let ended = tokio::select! {
        ended = both => ended,
        () = left(probe.as_ref(), &reply_has_ended) => {
            Err((Peer::Front, io::ErrorKind::ConnectionReset.into()))
        }
    };
    drop(probe);
    match ended {
        Ok(()) => End::Closed { not_taken },
        Err((by, error)) => {
            reset(&*from_front.unsplit(to_front));
            reset(&*from_backend.unsplit(to_backend));
            End::Broken { by, error }
        }
    }
}

/// Completes when the front server's connection is broken. While the backend does not read, nothing
/// is read from the front server either, and only this shows it. A half-close is passed on and is not
/// an end.
async fn left(front: Option<&OwnedFd>, reply_has_ended: &AtomicBool) {
    let Some(front) = front else { return pending().await };
    loop {
        sleep(TICK).await;
        // With the reply, the proxy has ended its own output: then HUP means only that both have.
        let hup = if reply_has_ended.load(Ordering::Relaxed) {
            PollFlags::empty()
        } else {
            PollFlags::HUP
        };
        let mut fds = [PollFd::new(front, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = poll(&mut fds, Some(&now));
        if polled.is_ok() && fds[0].revents().intersects(PollFlags::ERR | hup) {
            return;
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
            // Fails if the peer has gone, which was reported already.
            let _ = to.shutdown().await;
            return Ok(());
        }
        to.write_all(&buf[..count]).await.map_err(Failed::Write)?;
    }
}
