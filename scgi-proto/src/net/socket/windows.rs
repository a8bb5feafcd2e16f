//! The calls of Windows.

use core::time::Duration;
use std::io;
use std::net::Shutdown;

use socket2::SockRef;

use super::as_socket::AsSocket;
use crate::exchange::peer::Peer;

/// Lets each piece leave immediately (TCP_NODELAY).
pub fn send_at_once(socket: impl AsSocket) {
    // Only a matter of delay.
    let _ = SockRef::from(&socket).set_tcp_nodelay(true);
}

/// Makes the close a reset (SO_LINGER with 0), so that the peer cannot take what it got for complete.
pub fn reset_on_close(socket: impl AsSocket) {
    // Where this fails, the connection is broken already.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

/// Ends the write side.
///
/// # Errors
/// If the peer is gone already.
pub fn shutdown_write(socket: impl AsSocket) -> io::Result<()> {
    SockRef::from(&socket).shutdown(Shutdown::Write)
}

/// The program at the other end.
///
/// # Errors
/// If the system does not know it, because the peer broke the connection for example.
pub fn peer(socket: impl AsSocket) -> io::Result<Peer> {
    let address = SockRef::from(&socket).peer_addr()?;
    address.as_socket().map(Peer::Tcp).ok_or_else(|| io::ErrorKind::NotConnected.into())
}
