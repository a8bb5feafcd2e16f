//! The tunnels of `request --upgrade` and `echo`: raw bytes in both directions after a 101. They know
//! no runtime.

use std::future::pending;
use std::io::{self, Read as _, Write};
use std::thread;

use bytes::Bytes;
use scgi_proto::BoxError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::failure::Context as _;
use crate::reply::Reply;

/// Read at once, in bytes.
pub(crate) const READ: usize = 64 * 1024;

/// The server has closed, or broken off, before all was sent.
pub(crate) const NOT_TAKEN: &str = "the server did not take all of standard input";

/// Nothing more can be read.
pub(crate) const BROKE: &str = "the tunnel broke";

/// What passed through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Passed {
    /// To the server, in bytes.
    pub(crate) sent: u64,
    /// From the server, in bytes.
    pub(crate) received: u64,
    /// Whether standard input was at its end.
    pub(crate) input_ended: bool,
}

/// What came of sending standard input.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) sent: u64,
    pub(crate) ended: bool,
    pub(crate) not_taken: Option<io::Error>,
}

impl Input {
    /// With what came back.
    pub(crate) fn passed(&self, received: u64) -> Passed {
        Passed { sent: self.sent, received, input_ended: self.ended }
    }

    /// Sends standard input and passes its end on. Does not complete before the tunnel has ended, unless
    /// standard input fails.
    async fn run(&mut self, to_server: &mut (impl AsyncWrite + Unpin)) -> Result<(), BoxError> {
        let mut input = read_stdin();
        while let Some(chunk) = input.recv().await {
            let chunk = chunk.context(|| "standard input".into())?;
            // The server may have answered all the same.
            if let Err(error) = send(to_server, &chunk).await {
                self.not_taken = Some(error);
                return pending().await;
            }
            self.sent += chunk.len() as u64;
        }
        self.ended = true;
        // Fails if the server has closed, which its own output shows.
        let _ = to_server.shutdown().await;
        pending().await
    }
}

/// Connects standard input and the output of `reply` to the server, until the server has ended its
/// output. The end of standard input is passed on, and the server may still send.
pub(crate) async fn connect(
    io: impl AsyncRead + AsyncWrite + Unpin,
    reply: &mut Reply,
) -> Result<(), BoxError> {
    reply.upgraded();
    let (mut from_server, mut to_server) = tokio::io::split(io);
    let (mut upload, mut received) = (Input::default(), 0);
    let mut output = Output::new(reply);
    let down = async {
        let mut buf = vec![0; READ];
        loop {
            let count = from_server.read(&mut buf).await.context(|| BROKE.into())?;
            if count == 0 {
                return output.end().await;
            }
            received += count as u64;
            output.write(&buf[..count]).await?;
        }
    };
    let ended = tokio::select! {
        biased;
        ended = down => ended,
        failed = upload.run(&mut to_server) => failed,
    };
    reply.tunnelled(upload.passed(received));
    match upload.not_taken {
        Some(error) => Err(error).context(|| NOT_TAKEN.into()),
        None => ended,
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), chunk: &[u8]) -> io::Result<()> {
    to.write_all(chunk).await?;
    to.flush().await
}

/// Standard input, read by a thread: a read of it cannot be given up, and must not hold up the end.
pub(crate) fn read_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buf = vec![0; READ];
        loop {
            let chunk = match stdin.read(&mut buf) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(&buf[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            // Once the tunnel has ended, no one takes it.
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Standard output or a file, written by a thread: one that takes nothing must not stop what is sent.
struct Output {
    chunks: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<Result<(), BoxError>>,
}

impl Output {
    fn new(reply: &mut Reply) -> Self {
        let (mut out, name) = reply.take_output();
        let (chunks, mut receiver) = mpsc::channel::<Bytes>(1);
        let (sender, written) = oneshot::channel();
        thread::spawn(move || {
            let mut write = || {
                while let Some(chunk) = receiver.blocking_recv() {
                    out.write_all(&chunk)?;
                    out.flush()?;
                }
                io::Result::Ok(())
            };
            let _ = sender.send(write().context(|| name));
        });
        Self { chunks, written }
    }

    /// Hands a chunk to the thread.
    async fn write(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        if self.chunks.send(Bytes::copy_from_slice(chunk)).await.is_ok() {
            return Ok(());
        }
        (&mut self.written).await?
    }

    /// Waits until everything is written.
    async fn end(&mut self) -> Result<(), BoxError> {
        // Closes the channel.
        self.chunks = mpsc::channel(1).0;
        (&mut self.written).await?
    }
}

/// Sends everything back, and its end.
pub(crate) async fn echo(io: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}
