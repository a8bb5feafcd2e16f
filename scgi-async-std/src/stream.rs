//! One type for the streams of TCP and Unix sockets.

use scgi_proto::socket::StreamSocket;

use crate::transport::FuturesIo;

/// A connected TCP or Unix socket, with `AsyncRead` and `AsyncWrite` of futures-io.
///
/// # Examples
/// ```no_run
/// use scgi_async_std::Stream;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::connect("/run/app.sock").await?;
/// println!("{}", stream.peer()?);
/// # Ok(()) }
/// ```
pub type Stream = StreamSocket<FuturesIo>;

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;

    use async_io::block_on;

    use super::*;

    #[test]
    fn a_name_is_resolved_and_a_failure_is_told() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let connect = |host: &str| block_on(Stream::connect(format!("{host}:{port}")));
        for host in ["127.0.0.1", "localhost"] {
            let stream = connect(host)?;
            let Stream::Tcp(stream) = &stream else { panic!("{stream:?}") };
            assert_eq!(listener.accept()?.1, stream.get_ref().local_addr()?, "{host}");
        }
        drop(listener);
        for host in ["127.0.0.1", "localhost"] {
            let error = connect(host).expect_err("no server listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{host}");
        }
        Ok(())
    }

    #[test]
    fn a_client_sends_each_piece_at_once() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = block_on(Stream::connect(listener.local_addr()?))?;
        let Stream::Tcp(stream) = &stream else { panic!("{stream:?}") };
        assert!(stream.get_ref().nodelay()?);
        Ok(())
    }
}
