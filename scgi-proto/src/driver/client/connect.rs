//! Connecting within a deadline, to the addresses of a name one beside the other.

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::boxed::Box;
use std::io;
use std::vec::Vec;

use crate::driver::transport::Clock;
use crate::error::Error;
use crate::exchange::client::config::ClientConfig;
use crate::exchange::timeout::Timeout;
#[cfg(feature = "net")]
use crate::net::{
    address::{Address, ToAddress},
    socket::{self, Reactor, StreamSocket},
};

/// How a runtime connects, and what it waits with.
#[cfg(feature = "net")]
pub trait Connector: Reactor {
    /// Connects to one address of TCP.
    fn connect_tcp(address: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Looks up a host name, on a thread that may block.
    fn look_up(name: &Address) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Waits for a pause between two attempts.
    fn delay(pause: Duration) -> impl Future + Send;
}

/// Connects to an address, which is looked up if it is a host name, within the deadlines of `config`
/// for connecting and for the whole call. `clock` has begun at zero.
///
/// The addresses of a name are tried one beside the other, each 250 ms after the one before (RFC
/// 8305). A look-up that is not done in time is left behind on its thread until the system ends it.
/// While the queue of a Unix socket is full, it is tried again up to every 50 ms; systems other than
/// Linux refuse the connection instead. On TCP, each piece of a request leaves at once (TCP_NODELAY).
///
/// # Errors
/// [`Error::Io`] if that fails, of the kind [`Unsupported`](io::ErrorKind::Unsupported) for a
/// Unix socket where there are none; [`Error::Timeout`] if it takes too long.
///
/// # Cancel safety
/// Safe: the attempt is given up, and the server sees a connection without a byte at most.
#[cfg(feature = "net")]
pub async fn connect<R: Connector>(
    address: impl ToAddress,
    config: &ClientConfig,
    clock: impl Clock,
) -> Result<StreamSocket<R>, Error> {
    let parsed;
    let address = match address.as_address() {
        Some(address) => address,
        None => {
            parsed = address.to_address()?;
            &parsed
        }
    };
    connect_in_time(clock, config, connect_unbounded(address)).await
}

#[cfg(feature = "net")]
async fn connect_unbounded<R: Connector>(address: &Address) -> io::Result<StreamSocket<R>> {
    match address {
        Address::Tcp(_) => {
            let stream = match address.socket_address() {
                Some(address) => R::connect_tcp(address).await?,
                None if address.is_host_name() => {
                    connect_first(R::look_up(address).await?, R::connect_tcp, R::delay).await?
                }
                None => connect_first(address.resolve()?, R::connect_tcp, R::delay).await?,
            };
            socket::send_at_once(&stream);
            Ok(StreamSocket::Tcp(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let socket = socket::connect::connect_unix_async(path, R::delay).await?;
            Ok(StreamSocket::Unix(R::register_unix(socket.into())?))
        }
        // One that a server is given.
        Address::Fd(_) | Address::Systemd(_) => Err(io::ErrorKind::Unsupported.into()),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// How long one address has the network for itself: what RFC 8305 section 8 recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// How long connecting may take, and which deadline that is: its own, or the one of the whole call if
/// that is shorter.
#[must_use]
pub fn connect_deadline(config: &ClientConfig) -> (Duration, Timeout) {
    if config.call_timeout < config.connect_timeout {
        (config.call_timeout, Timeout::Call)
    } else {
        (config.connect_timeout, Timeout::Connect)
    }
}

/// Waits for `connecting`, a whole attempt with name and addresses, until the deadline for connecting
/// or for the whole call. `clock` has begun at zero.
///
/// # Errors
/// [`Error::Io`] if connecting fails, [`Error::Timeout`] if it is not done in time.
///
/// # Cancel safety
/// Dropping the future ends the attempt.
pub async fn connect_in_time<S>(
    mut clock: impl Clock,
    config: &ClientConfig,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, Error> {
    let (at, timeout) = connect_deadline(config);
    let mut connecting = pin!(connecting);
    let mut is_first = true;
    poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(connected.map_err(Error::from));
        }
        // On the same machine the runtime has the connection as soon as it looks: no timer is needed.
        if core::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while clock.poll_until(cx, at).is_ready() {
            if clock.now() >= at {
                return Poll::Ready(Err(timeout.into()));
            }
        }
        Poll::Pending
    })
    .await
}

/// Connects to the first of the addresses of a name that answers, as RFC 8305 has it: one attempt
/// begins every 250 ms, or as soon as another has failed, and the rest is given up when one succeeds.
/// The families take turns.
///
/// # Errors
/// That of the attempt that failed first, if all do; [`io::ErrorKind::NotFound`] without addresses.
///
/// # Cancel safety
/// Dropping the future ends all attempts.
pub async fn connect_first<S, A, D>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> A,
    delay: impl Fn(Duration) -> D,
) -> io::Result<S>
where
    A: Future<Output = io::Result<S>>,
    D: Future,
{
    let mut waiting = alternate(addresses.into_iter().collect()).into_iter();
    let Some(first) = waiting.next() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    };
    if waiting.len() == 0 {
        return connect(first).await;
    }
    let mut attempts = Attempts { running: Vec::new(), error: None };
    attempts.begin(connect(first));
    loop {
        let mut next = pin!(delay(STAGGER));
        let connected = poll_fn(|cx| {
            let polled = attempts.poll(cx);
            if polled.is_pending() && waiting.len() > 0 && next.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            polled
        })
        .await;
        if let Some(stream) = connected {
            return Ok(stream);
        }
        match waiting.next() {
            Some(address) => attempts.begin(connect(address)),
            // None is left to begin, and none is running.
            None if attempts.running.is_empty() => break,
            None => {}
        }
    }
    Err(attempts.error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// The attempts that are running, and the first error.
struct Attempts<A> {
    running: Vec<Pin<Box<A>>>,
    error: Option<io::Error>,
}

impl<S, A: Future<Output = io::Result<S>>> Attempts<A> {
    fn begin(&mut self, attempt: A) {
        self.running.push(Box::pin(attempt));
    }

    /// The stream of one that succeeded; `None` if one has failed, so that the next may begin.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<S>> {
        let mut index = 0;
        while let Some(attempt) = self.running.get_mut(index) {
            match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Poll::Ready(Some(stream)),
                Poll::Ready(Err(error)) => {
                    drop(self.running.swap_remove(index));
                    self.error.get_or_insert(error);
                    return Poll::Ready(None);
                }
                Poll::Pending => index += 1,
            }
        }
        Poll::Pending
    }
}

/// The addresses in their order, but with the families in turn, from that of the first one (RFC 8305
/// section 4): if one family does not work, the other is tried second.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        all.extend(first.next());
        all.extend(second.next());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let all = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        for (given, expected) in [
            (&[][..], &[][..]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"],
            ),
            (&["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"], &["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]),
        ] {
            assert_eq!(alternate(all(given)), all(expected));
        }
    }
}
