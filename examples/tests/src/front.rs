//! A real nginx, Apache or lighttpd in front of an SCGI server, for tests and for trying things out.
//!
//! Every front server has the same routes: `/` leads to the TCP backend, `/unix/` to the Unix-socket backend, and
//! `/nobuf/` to the TCP backend with bodies passed on as they arrive in both directions. The backend always sees
//! the whole path. The configuration files are those in `examples/tests/front/`.
//!
//! The same servers can also be in front of an HTTP server (`*_http`), so that SCGI can be compared with it: `/` and
//! `/nobuf/` lead there, and everything else is set as for SCGI.

use core::net::SocketAddr;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::process::{Running, find_program, free_port, read_lossy, scratch_dir};

mod apache;
mod lighttpd;
mod nginx;

/// How often another port is tried when a server does not come up.
const ATTEMPTS: usize = 3;

/// A front server that runs for as long as the value lives.
///
/// Its folder, with configuration and log, goes with it. A test that panics gets the log printed.
#[derive(Debug)]
pub struct Front {
    // Declared before the folder, so dropped before it.
    _process: Running,
    dir: TempDir,
    port: u16,
}

impl Front {
    /// Starts nginx and waits until it accepts connections.
    ///
    /// # Errors
    /// When nginx is not installed or does not start; the text holds its log.
    pub fn nginx(backend_tcp: SocketAddr, backend_unix: &Path) -> io::Result<Self> {
        Self::start(&Backend::scgi(backend_tcp, backend_unix)?, nginx::prepare)
    }

    /// Starts Apache and waits until it accepts connections.
    ///
    /// When started as root, Apache's workers run as another user: the caller must give the Unix socket the
    /// mode 0777 and put it where that user can reach it ([`scratch_dir`] is such a folder).
    ///
    /// # Errors
    /// When Apache or its SCGI module is not installed, or it does not start; the text holds its log.
    pub fn apache(backend_tcp: SocketAddr, backend_unix: &Path) -> io::Result<Self> {
        Self::start(&Backend::scgi(backend_tcp, backend_unix)?, apache::prepare)
    }

    /// Starts lighttpd and waits until it accepts connections.
    ///
    /// # Errors
    /// When lighttpd is not installed or does not start; the text holds its log.
    pub fn lighttpd(backend_tcp: SocketAddr, backend_unix: &Path) -> io::Result<Self> {
        Self::start(&Backend::scgi(backend_tcp, backend_unix)?, lighttpd::prepare)
    }

    /// Starts nginx in front of an HTTP server (`proxy_pass`).
    ///
    /// # Errors
    /// When nginx is not installed or does not start; the text holds its log.
    pub fn nginx_http(backend: SocketAddr) -> io::Result<Self> {
        Self::start(&Backend::Http(backend), nginx::prepare)
    }

    /// Starts Apache in front of an HTTP server (`mod_proxy_http`).
    ///
    /// # Errors
    /// When Apache or its HTTP module is not installed, or it does not start; the text holds its log.
    pub fn apache_http(backend: SocketAddr) -> io::Result<Self> {
        Self::start(&Backend::Http(backend), apache::prepare)
    }

    /// Starts lighttpd in front of an HTTP server (`mod_proxy`).
    ///
    /// # Errors
    /// When lighttpd is not installed or does not start; the text holds its log.
    pub fn lighttpd_http(backend: SocketAddr) -> io::Result<Self> {
        Self::start(&Backend::Http(backend), lighttpd::prepare)
    }

    /// Starts nginx in front of three backends (`upstream`), the last on a Unix socket.
    ///
    /// # Errors
    /// When nginx is not installed or does not start; the text holds its log.
    pub fn nginx_fleet(tcp: [SocketAddr; 2], unix: &Path) -> io::Result<Self> {
        Self::start(&Backend::fleet(tcp, unix)?, nginx::prepare)
    }

    /// Starts Apache in front of three backends (`balancer://`), the last on a Unix socket.
    ///
    /// # Errors
    /// When Apache or a module is not installed, or it does not start; the text holds its log.
    pub fn apache_fleet(tcp: [SocketAddr; 2], unix: &Path) -> io::Result<Self> {
        Self::start(&Backend::fleet(tcp, unix)?, apache::prepare)
    }

    /// Starts nginx with `site` in its `server` block.
    ///
    /// # Errors
    /// When nginx is not installed or does not start; the text holds its log.
    pub fn nginx_site(site: &str) -> io::Result<Self> {
        Self::start(&Backend::Site(site), nginx::prepare)
    }

    /// Starts Apache with `site` at the end of its configuration.
    ///
    /// # Errors
    /// When Apache or its SCGI module is not installed, or it does not start; the text holds its log.
    pub fn apache_site(site: &str) -> io::Result<Self> {
        Self::start(&Backend::Site(site), apache::prepare)
    }

    /// Starts lighttpd with `site` at the end of its configuration.
    ///
    /// # Errors
    /// When lighttpd is not installed or does not start; the text holds its log.
    pub fn lighttpd_site(site: &str) -> io::Result<Self> {
        Self::start(&Backend::Site(site), lighttpd::prepare)
    }

    /// As [`lighttpd_site`](Self::lighttpd_site), of a version that can carry upgrades.
    ///
    /// # Errors
    /// When there is none, or it does not start; the text holds its log.
    pub fn new_lighttpd_site(site: &str) -> io::Result<Self> {
        Self::start(&Backend::Site(site), lighttpd::prepare_new)
    }

    fn start(backend: &Backend<'_>, prepare: Prepare) -> io::Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::try_start(backend, prepare) {
                // A missing program stays missing; anything else may be a port that was taken in between.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                result => return result,
            }
        }
        Self::try_start(backend, prepare)
    }

    fn try_start(backend: &Backend<'_>, prepare: Prepare) -> io::Result<Self> {
        let dir = scratch_dir()?;
        let port = free_port()?;
        let site = Site { prefix: dir.path(), port, backend };
        let mut process = Running::spawn_in(dir.path(), &mut prepare(&site)?)?;
        process.wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()).map_err(
            |error| io::Error::new(error.kind(), format!("{error}{}", error_log(dir.path()))),
        )?;
        Ok(Self { _process: process, dir, port })
    }

    /// Where the server listens, without a slash at the end: `http://127.0.0.1:20000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of 127.0.0.1 on which the server listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The text of the server's error log so far.
    #[must_use]
    pub fn log(&self) -> String {
        error_log(self.dir.path())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- error log of the front server\n{}---", self.log());
        }
    }
}

fn error_log(dir: &Path) -> String {
    read_lossy(&dir.join("error.log"))
}

/// Writes the files that one front server needs and returns the command that starts it.
type Prepare = fn(&Site<'_>) -> io::Result<Command>;

/// What is behind the front server.
#[derive(Debug)]
enum Backend<'a> {
    Scgi {
        tcp: SocketAddr,
        unix: &'a str,
    },
    Fleet {
        tcp: [SocketAddr; 2],
        unix: &'a str,
    },
    Http(SocketAddr),
    /// Whatever this piece of configuration says.
    Site(&'a str),
}

impl<'a> Backend<'a> {
    fn scgi(tcp: SocketAddr, unix: &'a Path) -> io::Result<Self> {
        plain(unix).map(|unix| Self::Scgi { tcp, unix })
    }

    fn fleet(tcp: [SocketAddr; 2], unix: &'a Path) -> io::Result<Self> {
        plain(unix).map(|unix| Self::Fleet { tcp, unix })
    }
}

/// The path of a socket, as all configuration files can hold it.
fn plain(unix: &Path) -> io::Result<&str> {
    // The three configuration languages quote differently: names that need quoting are refused.
    let is_plain =
        |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b));
    match unix.to_str().filter(is_plain).filter(|_| unix.is_absolute()) {
        Some(unix) => Ok(unix),
        None => {
            let text =
                format!("the socket needs an absolute path in plain ASCII: {}", unix.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// The configuration files of one front server.
struct Templates {
    scgi: &'static str,
    http: &'static str,
    site: &'static str,
    /// Where the front server can have several backends.
    fleet: Option<&'static str>,
}

/// All that fills the placeholders of the configuration files.
#[derive(Debug)]
struct Site<'a> {
    prefix: &'a Path,
    port: u16,
    backend: &'a Backend<'a>,
}

impl Site<'_> {
    /// Writes the configuration file for the kind of backend, its placeholders filled in.
    fn write(&self, name: &str, templates: &Templates, more: &[(&str, &str)]) -> io::Result<()> {
        let text = match *self.backend {
            Backend::Scgi { tcp, unix } => with_backends(templates.scgi, [tcp; 2], unix),
            Backend::Fleet { tcp, unix } => {
                with_backends(templates.fleet.ok_or(io::ErrorKind::Unsupported)?, tcp, unix)
            }
            Backend::Http(tcp) => with_backends(templates.http, [tcp; 2], ""),
            Backend::Site(site) => templates.site.replace("@SITE@", site),
        };
        let text = text
            .replace("@PORT@", &self.port.to_string())
            .replace("@PREFIX@", &self.prefix.to_string_lossy());
        let text =
            more.iter().fold(text, |text, (placeholder, value)| text.replace(placeholder, value));
        fs::write(self.prefix.join(name), text)
    }
}

fn with_backends(template: &str, [tcp, second]: [SocketAddr; 2], unix: &str) -> String {
    template
        .replace("@BACKEND@", &tcp.to_string())
        .replace("@BACKEND2@", &second.to_string())
        .replace("@BACKEND_HOST@", &tcp.ip().to_string())
        .replace("@BACKEND_PORT@", &tcp.port().to_string())
        .replace("@SCGI_UNIX@", unix)
}
