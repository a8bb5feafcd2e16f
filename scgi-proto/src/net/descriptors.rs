//! Returns how many descriptors a process may open.

use std::io;

#[cfg(unix)]
use rustix::io::Errno;

/// How many descriptors this process may open, where the system bounds that.
pub(crate) fn limit() -> Option<u64> {
    #[cfg(unix)]
    return super::socket::descriptors();
    #[cfg(not(unix))]
    None
}

/// Whether a call failed because this process or the system has no descriptor left.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    #[cfg(unix)]
    let used_up = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    // WSAEMFILE
    #[cfg(not(unix))]
    let used_up = [10024];
    error.raw_os_error().is_some_and(|code| used_up.contains(&code))
}
