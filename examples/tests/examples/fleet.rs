//! Three servers behind one nginx or Apache, restarted one by one on SIGHUP, until Ctrl-C.
//!
//! ```text
//! cargo build --workspace --bins --examples
//! cargo run -p scgi-tests --example fleet              # or: fleet apache
//! kill -HUP $(pidof fleet)
//! ```
//!
//! The front server spreads the requests, and goes round a backend that is being restarted. The
//! configurations are `examples/tests/front/nginx_fleet.conf` and `apache_fleet.conf`.

use std::io;
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use scgi_tests::fleet::Fleet;
use scgi_tests::front::Front;
use scgi_tests::programs::built;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[derive(Debug, Parser)]
struct Args {
    /// The front server
    #[arg(value_enum, default_value_t = Server::Nginx)]
    front: Server,
    /// The example behind it, which ends by itself on SIGTERM or has nothing to finish
    #[arg(default_value = "server")]
    example: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    Nginx,
    Apache,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    // First of all: from here on a signal ends `run`, and dropping the fleet stops all of it.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let program = built(&format!("examples/{}", args.example))?;
    let start = move |address: &str| {
        let mut command = Command::new(&program);
        command.arg(address);
        command
    };
    let front = match args.front {
        Server::Nginx => Front::nginx_fleet,
        Server::Apache => Front::apache_fleet,
    };
    let mut fleet = Fleet::start(&start, front)?;
    println!("{}/  SIGHUP restarts the three backends one by one, Ctrl-C stops all", fleet.url());
    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
        let ends = fleet.restart(&start)?;
        println!("restarted; they had ended with {ends:?}");
    }
    Ok(())
}
