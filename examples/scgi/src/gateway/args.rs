//! The command line of the gateway.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use scgi_proto::http::RequestRules;
use scgi_proto::{Address, BindOptions};
use scgi_tokio::{Backend, ClientConfig};
use tokio::sync::Semaphore;

use super::access_log::{AccessLog, Format};
use super::checks::Checks;
use super::connections::Connections;
use super::cross_site::origin;
use super::forwarded::{Trust, Trusted};
use super::host::{Hosts, host_name, split_port};
use super::limits::BrowserLimits;
use super::listener::Listener;
use super::note::Notes;
use super::serve::Gateway;
use super::spool::Spool;
use crate::echo::mode;
use crate::units::{duration, duration_or_off, size};

/// Serves HTTP/1.1 and HTTP/2 (cleartext) from an SCGI server
///
/// For front servers without SCGI, such as Caddy, Traefik or HAProxy, and for development. The
/// status is 502 if the server cannot be reached or fails, and 504 if it does not answer in time;
/// standard error has the reason.
///
/// Who may ask: on a connection to a loopback address, Host must be an IP address, localhost, a
/// name under .localhost, the name in LISTEN or a name of --host. A request other than GET, HEAD
/// or OPTIONS that a page of another site makes, and a WebSocket of such a page, is refused with
/// status 403 unless --allow-origin names the page's origin.
///
/// Each request reaches the server as X-Forwarded-For (the client's address) and
/// X-Forwarded-Proto; Forwarded, X-Forwarded-* and X-Real-IP of a client are dropped unless it is
/// one of --trust. So are headers with an underscore in their name.
///
/// In front of rTorrent: anyone who can send a request can run programs as rTorrent's user.
/// `-p UNTRUSTED_CONNECTION=1` refuses such commands, but only from rTorrent 0.16.10 on; older
/// versions (Debian 12 has 0.9.8) ignore it. Keep those on loopback or behind a front server that
/// asks for a password.
///
/// SIGTERM or SIGINT (Ctrl-C) ends it: requests in progress are finished first. Ends with status 0
/// when all were finished, 1 when some were aborted at the shutdown deadline or the gateway could
/// not start, and 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Where to listen for HTTP: host:port, a path with a slash, unix:PATH, or a URL (tcp, unix)
    #[arg(value_name = "LISTEN")]
    pub(crate) listen: Address,
    /// Where the SCGI server listens: host:port, a path with a slash, unix:PATH, or a URL (scgi, tcp, unix)
    #[arg(value_name = "ADDR")]
    pub(crate) address: Address,
    /// Answer to this host name, too; * for any. May be repeated
    #[arg(long = "host", value_name = "NAME", value_parser = host_name)]
    hosts: Vec<String>,
    /// Let pages of this origin send any request, as in https://app.example.org. May be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<String>,
    /// Believe what front proxies of this network say about their clients (X-Forwarded-*), or
    /// `unix` for those on the Unix socket. May be repeated
    #[arg(long, value_name = "NETWORK")]
    trust: Vec<Trusted>,
    /// Pass headers with an underscore in their name
    #[arg(long)]
    underscores: bool,
    /// Set a param of every request. PATH_INFO follows SCRIPT_NAME, and REQUEST_SCHEME,
    /// SERVER_PORT and X-Forwarded-Proto follow HTTPS. May be repeated
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,
    /// Permission bits of a Unix socket, in octal
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<u32>,
    /// Time for connecting to the server, as 2s, 500ms, 1m, or seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s",
        help_heading = SERVER)]
    connect_timeout: Duration,
    /// Time from the end of the request to the head of its response, or `off`
    #[arg(long, value_name = "DURATION", value_parser = duration_or_off, default_value = "60s",
        help_heading = SERVER)]
    head_timeout: Duration,
    /// Time in which it may be silent within its response, or `off` for events that are rare
    #[arg(long, value_name = "DURATION", value_parser = duration_or_off, default_value = "60s",
        help_heading = SERVER)]
    read_timeout: Duration,
    /// Time in which it must take a byte of the request, or `off`
    #[arg(long, value_name = "DURATION", value_parser = duration_or_off, default_value = "60s",
        help_heading = SERVER)]
    write_timeout: Duration,
    /// Time for the whole call, to the end of the response [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = SERVER)]
    timeout: Option<Duration>,
    /// Time from accept, or the first byte of a later request, to a complete head
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s",
        help_heading = BROWSER)]
    browser_head_timeout: Duration,
    /// Time between two requests of a connection
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "75s",
        help_heading = BROWSER)]
    browser_idle_timeout: Duration,
    /// Time without a byte of a body
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s",
        help_heading = BROWSER)]
    browser_body_timeout: Duration,
    /// Time in which the browser must take a byte of the response
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s",
        help_heading = BROWSER)]
    browser_write_timeout: Duration,
    /// Connections at the same time; when there are more, the one that has been without a request
    /// for the longest time is closed
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1024",
        help_heading = BROWSER)]
    max_connections: usize,
    /// Requests in progress at the same time; further ones are answered with 503
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "512",
        help_heading = BROWSER)]
    max_requests: usize,
    /// Largest body of a request [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = BROWSER)]
    max_body: Option<u64>,
    /// Bytes of bodies without a length (chunked, or of HTTP/2) that wait in memory, of all
    /// requests together; the rest waits in files without a name
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "16MiB",
        help_heading = BROWSER)]
    spool_memory: u64,
    /// Bytes in these files together; a body that does not fit is answered with 503
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "2GiB",
        help_heading = BROWSER)]
    spool_size: u64,
    /// Folder of these files [default: TMPDIR, else /var/tmp, else /tmp, which is often memory]
    #[arg(long, value_name = "DIR", help_heading = BROWSER)]
    spool_dir: Option<PathBuf>,
    /// Time for requests in progress to finish after SIGTERM or SIGINT; a second signal ends it
    /// immediately
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(crate) shutdown_deadline: Duration,
    /// Print a line for each request on standard output
    #[arg(long, value_name = "FORMAT", value_enum)]
    access_log: Option<Format>,
    /// Print neither the address nor notes nor why requests failed
    #[arg(short = 'q', long)]
    quiet: bool,
}

const SERVER: &str = "The server's side";
const BROWSER: &str = "The browser's side";

/// Parses `NAME=VALUE`.
fn param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a param is NAME=VALUE")?;
    match name {
        "" => Err("a param needs a name".into()),
        "CONTENT_LENGTH" | "SCGI" => Err(format!("{name} is the protocol's own")),
        "SCRIPT_NAME" if !value.is_empty() && !value.starts_with('/') => {
            Err("SCRIPT_NAME begins with a slash".into())
        }
        _ => Ok((name.to_owned(), value.to_owned())),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a number of at least 1 is needed".into()),
    }
}

impl GatewayArgs {
    /// How the listener is bound.
    pub(crate) fn bind_options(&self) -> BindOptions {
        let options = BindOptions::default();
        self.mode.map_or(options, |mode| options.with_mode(mode))
    }

    /// The gateway, and the thread that writes its log.
    pub(crate) fn gateway(&self) -> (Gateway, Option<JoinHandle<()>>) {
        let (log, writer) = self.access_log.map(AccessLog::start).unzip();
        let gateway = Gateway {
            address: self.address.clone(),
            checks: self.checks(),
            backend: self.backend(),
            limits: Arc::new(self.limits()),
            spool: Spool::new(&self.spool_dir(), self.spool_memory, self.spool_size),
            requests: Arc::new(Semaphore::new(self.max_requests.min(Semaphore::MAX_PERMITS))),
            connections: Connections::new(self.max_connections),
            log,
            notes: Notes { quiet: self.quiet },
            served: AtomicU64::new(0),
        };
        (gateway, writer)
    }

    /// What the operator should know at the start.
    pub(crate) fn notes(&self, listener: &Listener) -> Vec<String> {
        let mut notes = Vec::new();
        if self.hosts.is_empty() && !listener.is_loopback() {
            notes.push(
                "Host is checked only on connections to a loopback address; --host NAME checks \
                 it on all"
                    .into(),
            );
        }
        let dir = self.spool_dir();
        if !dir.is_dir() {
            notes.push(format!(
                "{} is not a folder: bodies without a length are refused (--spool-dir)",
                dir.display()
            ));
        }
        notes
    }

    fn spool_dir(&self) -> PathBuf {
        let usual = || {
            let var_tmp = PathBuf::from("/var/tmp");
            let is_set = std::env::var_os("TMPDIR").is_some();
            if is_set || !var_tmp.is_dir() { std::env::temp_dir() } else { var_tmp }
        };
        self.spool_dir.clone().unwrap_or_else(usual)
    }

    fn limits(&self) -> BrowserLimits {
        BrowserLimits {
            head_timeout: self.browser_head_timeout,
            idle_timeout: self.browser_idle_timeout,
            body_timeout: self.browser_body_timeout,
            write_timeout: self.browser_write_timeout,
            max_body: self.max_body,
        }
    }

    fn checks(&self) -> Checks {
        let listen = match &self.listen {
            Address::Tcp(address) => Some(split_port(address).0),
            _ => None,
        };
        let https = self.params.iter().rev().find(|(name, _)| name == "HTTPS");
        let is_on = |value: &str| !value.is_empty() && !value.eq_ignore_ascii_case("off");
        Checks {
            hosts: Hosts::new(listen, &self.hosts),
            origins: self.origins.clone(),
            trust: Trust::new(&self.trust),
            is_https: https.map(|(_, value)| is_on(value)),
        }
    }

    fn backend(&self) -> Backend {
        let rules = RequestRules::default()
            // The gateway replaces them, or has them from a proxy that it trusts.
            .with_forwarded_headers(true)
            .with_underscores(self.underscores);
        let set =
            |rules: RequestRules, (name, value): &(String, String)| rules.with_param(name, value);
        let rules = self.params.iter().fold(rules, set);
        let config = ClientConfig::default()
            .with_connect_timeout(self.connect_timeout)
            .with_head_timeout(self.head_timeout)
            .with_body_timeout(self.read_timeout)
            .with_write_timeout(self.write_timeout)
            .with_call_timeout(self.timeout.unwrap_or(Duration::MAX));
        Backend::from(self.address.clone()).with_request_rules(rules).with_config(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_on_the_command_line() {
        for text in ["A=", "A=b=c", "SCRIPT_NAME=/app", "SCRIPT_NAME=", "HTTPS=on"] {
            assert!(param(text).is_ok(), "{text}");
        }
        for text in ["", "A", "=b", "CONTENT_LENGTH=1", "SCGI=1", "SCRIPT_NAME=app"] {
            assert!(param(text).is_err(), "{text}");
        }
    }
}
