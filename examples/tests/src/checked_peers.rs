//! The SCGI servers that `scgi check` is run against, for its page in the guides and the test of
//! that page.

use std::io;

use crate::backend_peer::Peer;

/// A server written by others, and how it is checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckedPeer {
    /// As the page calls it.
    pub name: &'static str,
    /// For [`required`](crate::process::required).
    pub program: &'static str,
    /// Starts it.
    pub start: fn() -> io::Result<Peer>,
    /// What `scgi check` needs for a request that the server answers.
    pub args: &'static [&'static str],
}

/// All of them, in the order of the page.
pub const CHECKED_PEERS: [CheckedPeer; 5] = [
    CheckedPeer {
        name: "rTorrent",
        program: "rtorrent",
        start: Peer::rtorrent_tcp,
        args: &[
            "--uri",
            "/RPC2",
            "-H",
            "Content-Type: text/xml",
            "-d",
            "<methodCall><methodName>system.client_version</methodName></methodCall>",
        ],
    },
    CheckedPeer { name: "uWSGI", program: "uwsgi-core", start: Peer::uwsgi_tcp, args: &[] },
    CheckedPeer {
        name: "Python scgi",
        program: "python scgi",
        start: Peer::python_scgi_tcp,
        args: &[],
    },
    CheckedPeer { name: "flup", program: "python flup", start: Peer::flup_tcp, args: &[] },
    CheckedPeer { name: "Perl SCGI", program: "perl SCGI", start: Peer::perl_tcp, args: &[] },
];
