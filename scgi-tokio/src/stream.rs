//! One type for the streams of TCP and Unix sockets.

use scgi_proto::socket::StreamSocket;

use crate::runtime::Tokio;

/// A connected TCP or Unix socket, with tokio's `AsyncRead` and `AsyncWrite`.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::Stream;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::connect("/run/app.sock").await?;
/// println!("{}", stream.peer()?);
/// # Ok(()) }
/// ```
pub type Stream = StreamSocket<Tokio>;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test]
    async fn a_client_sends_each_piece_at_once() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let stream = Stream::connect(listener.local_addr()?).await?;
        let Stream::Tcp(stream) = &stream else { panic!("{stream:?}") };
        assert!(stream.nodelay()?);
        Ok(())
    }
}
