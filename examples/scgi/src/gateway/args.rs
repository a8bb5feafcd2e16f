//! The command line of the gateway.

use std::time::Duration;

use clap::Args;
use scgi_proto::Address;
use scgi_proto::http::RequestRules;
use scgi_tokio::Backend;

use super::checks::Checks;
use super::cross_site::origin;
use super::forwarded::{Trust, Trusted};
use super::host::{Hosts, host_name, split_port};
use crate::units::duration;

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
/// In front of rTorrent: whoever can send a request can run programs as rTorrent's user.
/// `-p UNTRUSTED_CONNECTION=1` refuses such commands, but only from rTorrent 0.16.10 on; older
/// versions (Debian 12 has 0.9.8) ignore it. Keep those on loopback or behind a front server that
/// asks for a password.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Where to listen for HTTP: host:port
    #[arg(value_name = "LISTEN")]
    pub(crate) listen: String,
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
    /// Time for connecting to the server, as 2s, 500ms, 1m, or seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    connect_timeout: Duration,
    /// Time until the head of its response
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    head_timeout: Duration,
}

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

impl GatewayArgs {
    pub(crate) fn checks(&self) -> Checks {
        let listen = Some(split_port(&self.listen).0);
        let https = self.params.iter().rev().find(|(name, _)| name == "HTTPS");
        let is_https =
            https.map(|(_, value)| !matches!(value.to_ascii_lowercase().as_str(), "" | "off"));
        Checks {
            hosts: Hosts::new(listen, &self.hosts),
            origins: self.origins.clone(),
            trust: Trust::new(&self.trust),
            is_https,
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        let rules = RequestRules::default()
            // The gateway replaces them, or has them from a proxy that it trusts.
            .with_forwarded_headers(true)
            .with_underscores(self.underscores);
        let set =
            |rules: RequestRules, (name, value): &(String, String)| rules.with_param(name, value);
        let rules = self.params.iter().fold(rules, set);
        Backend::new(self.address.clone())
            .with_request_rules(rules)
            .with_connect_timeout(self.connect_timeout)
            .with_head_timeout(self.head_timeout)
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
