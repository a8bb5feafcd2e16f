//! Connecting within a deadline, on the thread that asks for it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::driver::connect_deadline;
use scgi_proto::{Address, ClientConfig, Error, Timeout};

/// When connecting must be done, and the error if it is not.
#[derive(Debug)]
pub(crate) struct Deadline {
    /// `None` if there is none.
    at: Option<Instant>,
    timeout: Timeout,
}

impl Deadline {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let (time, timeout) = connect_deadline(config);
        Self { at: Instant::now().checked_add(time), timeout }
    }

    /// What is left of the time, at most so long that every system can count it.
    fn left(&self) -> Result<Duration, Error> {
        const LONG: Duration = Duration::from_secs(365 * 24 * 3600);
        let left = self.at.map_or(LONG, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(self.timeout.into()) } else { Ok(left.min(LONG)) }
    }

    /// The error of an attempt that was given only what was left.
    fn explain(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::TimedOut if self.left().is_err() => self.timeout.into(),
            _ => error.into(),
        }
    }
}

/// Connects to the first of the addresses that answers. Each one has its share of the time.
pub(crate) fn tcp(address: &Address, deadline: &Deadline) -> Result<TcpStream, Error> {
    if let Some(address) = address.socket_address() {
        let connected = TcpStream::connect_timeout(&address, deadline.left()?);
        return connected.map_err(|error| deadline.explain(error));
    }
    let addresses =
        if address.is_host_name() { look_up(address, deadline)? } else { address.resolve()? };
    let mut failed = None;
    for (index, address) in addresses.iter().enumerate() {
        let others = addresses.len() - index - 1;
        let share = deadline.left()? / u32::try_from(others + 1).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share.max(Duration::from_micros(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                failed.get_or_insert_with(|| deadline.explain(error));
            }
        }
    }
    let none = || io::Error::new(ErrorKind::NotFound, "the name has no address").into();
    Err(failed.unwrap_or_else(none))
}

/// The addresses of a name. The system looks it up on a thread of its own, as nothing else can end
/// that in time.
fn look_up(name: &Address, deadline: &Deadline) -> Result<Vec<SocketAddr>, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = name.clone();
    thread::Builder::new().name("look-up".into()).spawn(move || {
        // No one waits for it any more after the deadline.
        let _ = sender.send(name.resolve());
    })?;
    match receiver.recv_timeout(deadline.left()?) {
        Ok(found) => Ok(found?),
        Err(RecvTimeoutError::Timeout) => Err(deadline.timeout.into()),
        Err(RecvTimeoutError::Disconnected) => {
            Err(io::Error::other("the look-up of the name failed").into())
        }
    }
}

#[cfg(unix)]
pub(crate) fn unix(path: &Path, deadline: &Deadline) -> Result<UnixStream, Error> {
    let socket = scgi_proto::socket::connect_unix(path, deadline.left()?);
    socket.map(UnixStream::from).map_err(|error| deadline.explain(error))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_name_is_resolved_and_a_failure_is_reported() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let connect = |host: &str| {
            let address = Address::Tcp(format!("{host}:{port}"));
            tcp(&address, &Deadline::new(&ClientConfig::default()))
        };
        for host in ["127.0.0.1", "localhost"] {
            let stream = connect(host).expect("a connection");
            assert_eq!(listener.accept()?.1, stream.local_addr()?, "{host}");
        }
        drop(listener);
        for host in ["127.0.0.1", "localhost"] {
            match connect(host) {
                Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    #[test]
    fn time_that_is_over_is_the_deadline_that_comes_first() {
        let zero = ClientConfig::default().with_connect_timeout(Duration::ZERO);
        let call = zero.with_connect_timeout(Duration::MAX).with_call_timeout(Duration::ZERO);
        for (config, expected) in [(zero, Timeout::Connect), (call, Timeout::Call)] {
            for address in ["127.0.0.1:1", "localhost:1"] {
                let address = Address::Tcp(address.into());
                let result = tcp(&address, &Deadline::new(&config));
                assert!(matches!(result, Err(Error::Timeout(found)) if found == expected));
            }
        }
    }
}
