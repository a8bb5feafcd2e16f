//! Listening sockets that a parent process has passed as descriptors: `fd:N`.

use std::format;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::net::adopted::listener;
use crate::net::bound::Bound;

/// Takes over descriptor `number`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if it is not a listening stream socket;
/// [`io::ErrorKind::Unsupported`] if it cannot be taken without `unsafe` here.
pub(super) fn take(number: u32) -> io::Result<Bound> {
    if number == 0 {
        // Descriptor 0 stays open beside this one.
        return listener(io::stdin().as_fd().try_clone_to_owned()?, 0);
    }
    #[cfg(feature = "systemd")]
    if let Some(taken) = crate::net::passed::take_number(number) {
        return taken;
    }
    listener(duplicate(number)?, number)
}

/// Another descriptor of the same socket, which `std` cannot make from a number without `unsafe`.
#[cfg(target_os = "linux")]
fn duplicate(number: u32) -> io::Result<OwnedFd> {
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let copied = i32::try_from(number).map_err(|_| Errno::BADF).and_then(|number| {
        // What a debugger does to another process. The system makes the descriptor.
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        pidfd_getfd(process, number, PidfdGetfdFlags::empty())
    });
    copied.map_err(|error| match error {
        Errno::BADF => {
            let text = format!("descriptor {number} is not open: no program passed a socket there");
            io::Error::new(io::ErrorKind::NotFound, text)
        }
        // Linux before 5.6, or a sandbox.
        _ => unsupported(number),
    })
}

#[cfg(not(target_os = "linux"))]
fn duplicate(number: u32) -> io::Result<OwnedFd> {
    Err(unsupported(number))
}

fn unsupported(number: u32) -> io::Error {
    let text = format!(
        "descriptor {number} cannot be taken over safely on this system; pass the socket as \
         descriptor 0 (fd:0), or with LISTEN_FDS"
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}
