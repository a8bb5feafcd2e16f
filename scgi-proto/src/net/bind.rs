//! Binding listeners: the one piece of I/O that all adapters share.
//!
//! It stands here because the rules of socket files are the same for every runtime and would
//! otherwise stand three times.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::{
    fs::{FileTypeExt, MetadataExt},
    net::{UnixDatagram, UnixListener},
};
#[cfg(unix)]
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::string::String;

use crate::net::address::Address;

/// A bound listener of the standard library, for an adapter to take over.
#[derive(Debug)]
pub enum Bound {
    /// A TCP listener.
    Tcp(TcpListener),
    /// A listener on a Unix socket, and its file unless the address is abstract.
    #[cfg(unix)]
    Unix(UnixListener, Option<SocketFile>),
}

/// How a listener is bound.
///
/// # Examples
/// ```
/// use scgi_proto::BindOptions;
/// // Only the front server's group may connect.
/// let options = BindOptions::default().with_mode(0o660).with_group(33);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindOptions {
    mode: Option<u32>,
    owner: Option<u32>,
    group: Option<u32>,
    backlog: i32,
}

impl BindOptions {
    /// Permission bits of a Unix socket's file, as in `0o660`; by default those that the umask
    /// leaves. Who may write to the file may connect.
    #[must_use]
    pub const fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// User id that owns a Unix socket's file; by default the process's.
    #[must_use]
    pub const fn with_owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// Group id of a Unix socket's file; by default the process's.
    #[must_use]
    pub const fn with_group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Connections that may wait to be accepted: 4096 by default, what Linux allows
    /// (`somaxconn`). A front server's burst waits here instead of failing.
    #[must_use]
    pub const fn with_backlog(mut self, connections: i32) -> Self {
        self.backlog = connections;
        self
    }

    /// What [`with_backlog`](Self::with_backlog) set; the adapter tells it the system.
    #[must_use]
    pub const fn backlog(&self) -> i32 {
        self.backlog
    }
}

impl Default for BindOptions {
    fn default() -> Self {
        Self { mode: None, owner: None, group: None, backlog: 4096 }
    }
}

/// Binds `address` with default options; see [`bind_with`].
///
/// # Errors
/// As [`bind_with`].
///
/// # Examples
/// ```
/// use scgi_proto::{Address, Bound, bind};
/// let Bound::Tcp(listener) = bind(&"127.0.0.1:0".parse()?)? else { panic!() };
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bind(address: &Address) -> io::Result<Bound> {
    bind_with(address, &BindOptions::default())
}

/// Binds `address`; a host name is resolved, which may block.
///
/// The file of a Unix socket appears under its name when it listens and has its owner, group and
/// mode. One on which nobody answers any more is replaced, one on which somebody answers is
/// refused, and a file that is no socket is never touched. Of two programs that start at the
/// same time, one is refused.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] if another server listens there;
/// [`io::ErrorKind::AlreadyExists`] if the path is no socket;
/// [`io::ErrorKind::Unsupported`] for a Unix socket where there are none; others from the system,
/// with the path.
pub fn bind_with(address: &Address, options: &BindOptions) -> io::Result<Bound> {
    match address {
        Address::Tcp(_) => TcpListener::bind(&address.resolve()?[..]).map(Bound::Tcp),
        #[cfg(unix)]
        Address::Unix(path) if is_abstract(path) => {
            let listener = UnixListener::bind_addr(&unix_address(path)?)?;
            Ok(Bound::Unix(listener, None))
        }
        #[cfg(unix)]
        Address::Unix(path) => bind_unix(path, options).map_err(|error| at(path, &error)),
        Address::Fd(_) => Err(io::ErrorKind::Unsupported.into()),
        #[cfg(all(feature = "systemd", unix))]
        Address::Systemd(name) => crate::net::systemd::bind(name),
        #[cfg(not(all(feature = "systemd", unix)))]
        Address::Systemd(_) => {
            let text = "sockets of systemd need the feature `systemd`";
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
        #[cfg(not(unix))]
        Address::Unix(_) => {
            let _ = options;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// Binds under a temporary name beside `path`, and gives it its name when it is ready.
#[cfg(unix)]
fn bind_unix(path: &Path, options: &BindOptions) -> io::Result<Bound> {
    use std::fs::{Permissions, hard_link, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    // A name that is too long could be given to the file, but nobody could connect to it.
    unix_address(path).map_err(advised)?;
    let temporary = Temporary::beside(path, "new");
    let listener = UnixListener::bind(&temporary.0).map_err(advised)?;
    if options.owner.is_some() || options.group.is_some() {
        chown(&temporary.0, options.owner, options.group)?;
    }
    if let Some(mode) = options.mode {
        set_permissions(&temporary.0, Permissions::from_mode(mode))?;
    }
    // A link, unlike a rename, never replaces what another program put there meanwhile.
    loop {
        match hard_link(&temporary.0, path) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_stale(path)?,
            Err(error) => return Err(error),
        }
    }
    let file = SocketFile { path: path.to_path_buf(), inode: inode(path)? };
    Ok(Bound::Unix(listener, Some(file)))
}

/// An error in making a socket's file, with what to do about it.
#[cfg(unix)]
fn advised(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "the user of this process may not create files in that folder"
        }
        io::ErrorKind::NotFound => "that folder does not exist; create it first",
        io::ErrorKind::InvalidInput => "choose a path of fewer than 90 bytes",
        _ => return error,
    };
    io::Error::new(error.kind(), std::format!("{error}: {advice}"))
}

/// A name in use for a moment, freed when dropped.
#[cfg(unix)]
struct Temporary(PathBuf);

#[cfg(unix)]
impl Temporary {
    fn beside(path: &Path, what: &str) -> Self {
        use core::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short, as the whole path has little room.
        Self(path.with_file_name(std::format!(".{}-{count}.{what}", std::process::id())))
    }
}

#[cfg(unix)]
impl Drop for Temporary {
    fn drop(&mut self) {
        // It need not be there any more.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Removes a socket on which nobody answers.
#[cfg(unix)]
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        let text = "a file that is no socket stands there, and is not touched; remove it, or choose \
                    another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    // As a datagram, which a server of streams cannot take (EPROTOTYPE): it is not disturbed, and
    // nobody waits for room in its backlog.
    match UnixDatagram::unbound()?.connect(path).map_err(|error| error.kind()) {
        Err(io::ErrorKind::ConnectionRefused) => {}
        Err(io::ErrorKind::NotFound) => return Ok(()),
        Err(io::ErrorKind::PermissionDenied) => {
            let text = "a socket of another user stands there, and this one may not ask whether a \
                        server listens on it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Err(_) | Ok(()) => {
            let text = "another server listens there; stop it first, or choose another path";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
    }
    remove_unchanged(path, (metadata.dev(), metadata.ino()))
}

/// Removes the file if it is the one that was looked at: another starter may have replaced it.
#[cfg(unix)]
fn remove_unchanged(path: &Path, seen: (u64, u64)) -> io::Result<()> {
    // Taken away before it is removed, as nothing else makes sure which one that is.
    let taken = Temporary::beside(path, "old");
    if rename_if_there(path, &taken.0)? && inode(&taken.0)? != seen {
        // It has: put back what it made, and look again.
        let _ = std::fs::hard_link(&taken.0, path);
    }
    Ok(())
}

/// Renames a file; gives whether it was there.
#[cfg(unix)]
fn rename_if_there(from: &Path, to: &Path) -> io::Result<bool> {
    match std::fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether the address is in Linux's abstract namespace: `@name`.
#[cfg(unix)]
fn is_abstract(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    cfg!(target_os = "linux") && path.as_os_str().as_bytes().starts_with(b"@")
}

/// The socket address of a path, which may be abstract.
///
/// # Errors
/// If the path is too long for one.
#[cfg(unix)]
pub fn unix_address(path: &Path) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::unix::net::SocketAddr;
    #[cfg(target_os = "linux")]
    if is_abstract(path) {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        return SocketAddr::from_abstract_name(&path.as_os_str().as_bytes()[1..]);
    }
    SocketAddr::from_pathname(path)
}

/// An error with the path it is about.
#[cfg(unix)]
fn at(path: &Path, error: &io::Error) -> io::Error {
    let text: String = std::format!("{}: {error}", path.display());
    io::Error::new(error.kind(), text)
}

/// The file of a bound Unix socket, removed when dropped if it is still the same file.
#[cfg(unix)]
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have taken the place; then the file is not ours to remove.
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

// Miri knows no Unix sockets.
#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixStream;
    use std::string::ToString;

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::format!("scgi-bind-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            // That of a process that was killed and had this number before.
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn names(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn kind(path: &Path) -> Option<io::ErrorKind> {
        bind(&Address::Unix(path.into())).err().map(|error| {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{text}");
            error.kind()
        })
    }

    #[test]
    fn mode_is_set_and_the_file_removed_at_the_end() {
        let folder = Folder::new("mode");
        let path = folder.0.join("a.sock");
        let options = BindOptions::default().with_mode(0o640).with_backlog(7);
        assert_eq!((options.backlog(), BindOptions::default().backlog()), (7, 4096));
        let bound = bind_with(&Address::Unix(path.clone()), &options).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(folder.names(), 1);
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert_eq!(folder.names(), 0);
    }

    #[test]
    fn owner_and_group_are_set_or_nothing_is_left() {
        let folder = Folder::new("owner");
        let path = folder.0.join("a.sock");
        let me = fs::metadata(&folder.0).unwrap();
        let options = BindOptions::default().with_owner(me.uid() + 1).with_group(me.gid() + 2);
        let bound = bind_with(&Address::Unix(path.clone()), &options);
        if me.uid() == 0 {
            bound.as_ref().unwrap();
            let made = fs::metadata(&path).unwrap();
            assert_eq!((made.uid(), made.gid()), (1, me.gid() + 2));
        } else {
            assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(folder.names(), 0);
        }
    }

    #[test]
    fn the_owner_alone_is_set_too() {
        let folder = Folder::new("uid");
        let path = folder.0.join("a.sock");
        let me = fs::metadata(&folder.0).unwrap();
        let options = BindOptions::default().with_owner(me.uid() + 1);
        let bound = bind_with(&Address::Unix(path.clone()), &options);
        if me.uid() == 0 {
            bound.as_ref().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().uid(), 1);
        } else {
            assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn a_path_that_cannot_be_linked_to_is_an_error() {
        let folder = Folder::new("slash");
        assert_eq!(kind(&folder.0.join("a.sock/")), Some(io::ErrorKind::NotFound));
        assert_eq!(folder.names(), 0);
    }

    #[test]
    fn what_is_gone_meanwhile_needs_no_removing() {
        let folder = Folder::new("gone");
        let (path, file) = (folder.0.join("a.sock"), folder.0.join("file"));
        fs::write(&file, "").unwrap();
        remove_stale(&path).unwrap();
        let error = remove_stale(&file.join("a.sock")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        assert!(!rename_if_there(&path, &file).unwrap());
        assert!(rename_if_there(&file, &path).unwrap());
        let error = rename_if_there(&path, &folder.0).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_another_starter_has_made_meanwhile_stays() {
        let folder = Folder::new("other-starter");
        let (path, before) = (folder.0.join("a.sock"), folder.0.join("before"));
        fs::write(&before, "").unwrap();
        let seen = inode(&before).unwrap();
        remove_unchanged(&path, seen).unwrap();
        fs::write(&path, "").unwrap();
        let made = inode(&path).unwrap();
        remove_unchanged(&path, seen).unwrap();
        assert_eq!(inode(&path).unwrap(), made);
        remove_unchanged(&path, made).unwrap();
        assert_eq!(folder.names(), 1);
    }

    #[test]
    fn the_advice_fits_the_error() {
        let advice = |kind: io::ErrorKind| advised(kind.into()).to_string();
        assert!(
            advice(io::ErrorKind::PermissionDenied)
                .ends_with("may not create files in that folder")
        );
        assert!(advice(io::ErrorKind::NotFound).ends_with("create it first"));
        assert_eq!(advice(io::ErrorKind::OutOfMemory), io::ErrorKind::OutOfMemory.to_string());
    }

    #[test]
    fn a_server_that_does_not_accept_is_alive_and_not_disturbed() {
        let folder = Folder::new("full");
        let path = folder.0.join("a.sock");
        let server = UnixListener::bind(&path).unwrap();
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // So is one that takes datagrams.
        let other = folder.0.join("b.sock");
        let _datagrams = UnixDatagram::bind(&other).unwrap();
        assert_eq!(kind(&other), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_path_that_is_too_long_says_so() {
        let folder = Folder::new("long");
        for path in [folder.0.join("a".repeat(200)), folder.0.join("b".repeat(90)).join("c")] {
            let error = bind(&Address::Unix(path)).unwrap_err();
            assert!(error.to_string().ends_with("choose a path of fewer than 90 bytes"), "{error}");
        }
        assert_eq!(folder.names(), 0);
    }

    #[test]
    fn stale_is_replaced_live_is_refused() {
        let folder = Folder::new("stale");
        let path = folder.0.join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bound = bind(&Address::Unix(path.clone())).unwrap();
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        assert_eq!(folder.names(), 1);
        drop(bound);
    }

    #[test]
    fn other_files_are_not_touched() {
        let folder = Folder::new("other");
        let (file, link) = (folder.0.join("file"), folder.0.join("link"));
        fs::write(&file, "precious").unwrap();
        symlink(&file, &link).unwrap();
        for path in [&file, &link, &folder.0] {
            assert_eq!(kind(path), Some(io::ErrorKind::AlreadyExists), "{path:?}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(kind(&folder.0.join("missing/a.sock")), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_file_that_is_no_longer_ours_stays() {
        let folder = Folder::new("ours");
        let path = folder.0.join("a.sock");
        let first = bind(&Address::Unix(path.clone())).unwrap();
        fs::remove_file(&path).unwrap();
        let second = bind(&Address::Unix(path.clone())).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
    }

    #[test]
    fn of_many_starters_one_wins() {
        let folder = Folder::new("race");
        let path = folder.0.join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bound: std::vec::Vec<_> = std::thread::scope(|scope| {
            let starters: std::vec::Vec<_> =
                (0..8).map(|_| scope.spawn(|| bind(&Address::Unix(path.clone())))).collect();
            starters.into_iter().filter_map(|starter| starter.join().unwrap().ok()).collect()
        });
        assert_eq!(bound.len(), 1);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn abstract_addresses_have_no_file() {
        let name = std::format!("@scgi-bind-{}", std::process::id());
        let bound = bind(&Address::Unix(name.clone().into())).unwrap();
        assert!(matches!(bound, Bound::Unix(_, None)));
        UnixStream::connect_addr(&unix_address(Path::new(&name)).unwrap()).unwrap();
    }
}
