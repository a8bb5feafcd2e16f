//! The stream of an adapter whose runtime has sockets: connecting.

use core::pin::pin;
use std::io;

use super::Timed;
use crate::driver::{Connector, connect};
use crate::error::Error;
use crate::exchange::client::config::ClientConfig;
use crate::net::address::ToAddress;
use crate::net::socket::StreamSocket;

impl<A: Timed + Connector> StreamSocket<A> {
    /// Connects to an address, which is resolved if it is a host name, within the default deadline of
    /// [`ClientConfig`] (10 s).
    ///
    /// # Errors
    /// If that fails; [`io::ErrorKind::TimedOut`] if it takes too long;
    /// [`io::ErrorKind::Unsupported`] for a Unix socket where there are none.
    ///
    /// # Cancel safety
    /// As [`connect_with`](Self::connect_with).
    pub async fn connect(address: impl ToAddress) -> io::Result<Self> {
        Ok(Self::connect_with(address, &ClientConfig::default()).await?)
    }

    /// As [`connect`](Self::connect), within the deadlines of `config` for connecting and for the
    /// whole call. Names are looked up on a thread of the runtime that may block; the rest is that of
    /// [`connect`](connect()) of the driver.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails; [`Error::Timeout`] if it takes too long.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect_with(
        address: impl ToAddress,
        config: &ClientConfig,
    ) -> Result<Self, Error> {
        let waiting = pin!(A::Waiting::from(&A::clock()));
        connect(address, config, waiting).await
    }
}
