//! A client on std's sockets that does what a peer may do.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::sockopt::{
    set_socket_linger, set_socket_recv_buffer_size, set_socket_send_buffer_size,
};

/// The head of a request with a body of so many bytes.
pub(crate) fn head(body: usize) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{body}\0SCGI\x001\0");
    format!("{}:{block},", block.len()).into_bytes()
}

#[derive(Debug)]
pub(crate) enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    /// No call waits longer than a test may.
    pub(crate) fn with_patience(self) -> Self {
        let patience = Some(Duration::from_secs(60));
        match &self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(patience).expect("an option");
                stream.set_write_timeout(patience).expect("an option");
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(patience).expect("an option");
                stream.set_write_timeout(patience).expect("an option");
            }
        }
        self
    }

    /// Another handle of the same socket.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a handle")),
            Self::Unix(stream) => Self::Unix(stream.try_clone().expect("a handle")),
        }
    }

    pub(crate) fn set_nonblocking(&self, is_set: bool) {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(is_set).expect("a mode"),
            Self::Unix(stream) => stream.set_nonblocking(is_set).expect("a mode"),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        match self {
            Self::Tcp(stream) => stream.shutdown(how).expect("it is open"),
            Self::Unix(stream) => stream.shutdown(how).expect("it is open"),
        }
    }

    /// A Unix socket has no reset.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            set_socket_linger(stream, Some(Duration::ZERO)).expect("an option");
        }
    }

    /// Keeps little of what the server has not taken.
    pub(crate) fn send_from_small_buffer(&self) {
        set_socket_send_buffer_size(self, 64 * 1024).expect("an option");
    }

    /// Keeps little of what it has not read.
    pub(crate) fn shrink(&self) {
        set_socket_recv_buffer_size(self, 16 * 1024).expect("an option");
    }

    /// All that still comes, and whether it was broken off.
    pub(crate) fn read_raw(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = self.read_to_end_of(&mut all);
        all
    }

    /// All that still comes.
    pub(crate) fn read_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.read_to_end_of(&mut all).expect("an orderly end");
        all
    }

    fn read_to_end_of(&mut self, all: &mut Vec<u8>) -> io::Result<usize> {
        Read::read_to_end(self, all)
    }

    /// The body of a good response.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let response = self.read_all();
        let end = response.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&response[..end]);
        assert!(head.starts_with("Status: 200 OK"), "{head}");
        response[end + 4..].to_vec()
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
