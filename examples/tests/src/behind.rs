//! What the programs `behind-nginx`, `behind-apache` and `behind-lighttpd` share: an example
//! server behind a real front server, until Ctrl-C.

use core::net::SocketAddr;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::front::Front;
use crate::process::{Running, free_port, scratch_dir};

#[derive(Debug, Parser)]
struct Args {
    /// The example to start behind it, which takes an address: server, axum_app, hello_smol ...
    #[arg(default_value = "server")]
    example: String,
}

/// Starts an example twice, on TCP and on a Unix socket, and a front server before both.
///
/// `start` is [`Front::nginx`] or one of its siblings, and `name` the front server's. Ends the
/// process if the arguments are wrong.
#[must_use]
pub fn behind(name: &str, start: fn(SocketAddr, &Path) -> io::Result<Front>) -> ExitCode {
    match run(name, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("behind-{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, start: fn(SocketAddr, &Path) -> io::Result<Front>) -> io::Result<()> {
    let example = Args::parse().example;
    // First of all: from here on Ctrl-C ends `run`, and dropping the values stops what they started.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;

    let dir = scratch_dir()?;
    let socket = dir.path().join("server.sock");
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let program = crate::programs::built(&format!("examples/{example}"))?;
    let _on_tcp = start_one(&program, &addr.to_string(), || TcpStream::connect(addr).is_ok())?;
    let _on_unix = start_one(&program, &format!("unix:{}", socket.display()), || {
        UnixStream::connect(&socket).is_ok()
    })?;
    // The front server may run as another user.
    set_permissions(&socket, Permissions::from_mode(0o777))?;
    let front = start(addr, &socket)?;

    println!("{}/        {name}, then {example} on {addr}", front.url());
    println!("{}/unix/   {name}, then {example} on {}", front.url(), socket.display());
    println!("{}/nobuf/  bodies passed on as they arrive", front.url());
    println!("Ctrl-C stops all of them.");
    signals.forever().next();
    println!("Stopping.");
    Ok(())
}

fn start_one(program: &Path, addr: &str, accepts: impl Fn() -> bool) -> io::Result<Running> {
    let mut server = Running::spawn(Command::new(program).arg(addr))?;
    server.wait_until(accepts)?;
    Ok(server)
}
