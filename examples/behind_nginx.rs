//! The example `server` behind a real nginx, until Ctrl-C.
//!
//! ```text
//! cargo build -p scgi-examples --examples
//! cargo run -p scgi-examples --example behind-nginx
//! ```
//!
//! nginx runs from a temporary folder, with the configuration in `examples/front/nginx.conf`.

use core::net::SocketAddr;
use std::env;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use scgi_examples::front::Front;
use scgi_examples::process::{Running, free_port, scratch_dir};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("behind-nginx: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    // First of all: from here on Ctrl-C ends `run`, and dropping the values stops what they started.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;

    let dir = scratch_dir()?;
    let socket = dir.path().join("server.sock");
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let server = server_program()?;
    let _on_tcp = start(&server, &addr.to_string(), || TcpStream::connect(addr).is_ok())?;
    let _on_unix = start(&server, &format!("unix:{}", socket.display()), || {
        UnixStream::connect(&socket).is_ok()
    })?;
    let front = Front::nginx(addr, &socket)?;

    println!("{}/        nginx, then the server on {addr}", front.url());
    println!("{}/unix/   nginx, then the server on {}", front.url(), socket.display());
    println!("{}/nobuf/  bodies passed on as they arrive", front.url());
    println!("Ctrl-C stops all of them.");
    signals.forever().next();
    println!("Stopping.");
    Ok(())
}

/// The example `server`, which cargo builds into the same folder as this program.
fn server_program() -> io::Result<PathBuf> {
    let program = env::current_exe()?.with_file_name("server");
    if program.is_file() {
        return Ok(program);
    }
    let text = format!(
        "{} is missing: run `cargo build -p scgi-examples --examples` first",
        program.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

fn start(program: &Path, addr: &str, accepts: impl Fn() -> bool) -> io::Result<Running> {
    let mut server = Running::spawn(Command::new(program).arg(addr))?;
    server.wait_until(accepts)?;
    Ok(server)
}
