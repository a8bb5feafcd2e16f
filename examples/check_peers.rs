//! Makes `CHECK.md`: what `scgi check` finds with SCGI servers written by others, and with ours.
//!
//! ```sh
//! cargo build -p scgi-examples --bin scgi
//! cargo run -p scgi-examples --example check_peers > examples/CHECK.md
//! ```
//!
//! Every server has to be installed; `SCGI_PEERS_PYTHON` names the Python with `scgi` and `flup`.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use scgi_examples::BoxError;
use scgi_examples::backend_peer::Peer;
use scgi_examples::process::PYTHON_VAR;
use serde::Deserialize;

#[derive(Deserialize)]
struct Report {
    passed: usize,
    lenient: usize,
    failed: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    number: usize,
    group: String,
    name: String,
    rule: String,
    severity: String,
    mark: String,
    what: String,
}

/// A column of the table.
struct Column {
    name: &'static str,
    version: String,
    /// The command, with ADDR for the address.
    command: String,
    report: Report,
}

const RTORRENT_CALL: [&str; 6] = [
    "--uri",
    "/RPC2",
    "-H",
    "Content-Type: text/xml",
    "-d",
    "<methodCall><methodName>system.client_version</methodName></methodCall>",
];

fn main() -> ExitCode {
    match columns() {
        Ok(columns) => {
            print_page(&columns);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("check_peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn columns() -> Result<Vec<Column>, BoxError> {
    let python = env::var_os(PYTHON_VAR).unwrap_or_else(|| "python3".into());
    let of_python = |package: &str| {
        let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
        first_line(&python, &["-c", &code])
    };
    let perl = first_line(&"perl".into(), &["-MSCGI", "-e", "print $SCGI::VERSION"])?;
    let rtorrent = first_line(&"rtorrent".into(), &["-h"])?;
    let rtorrent = rtorrent.rsplit(' ').next().unwrap_or_default().trim_end_matches('.');
    let uwsgi = first_line(&"uwsgi-core".into(), &["--version"])?;
    Ok(vec![
        ours()?,
        peer("rTorrent", rtorrent.into(), Peer::rtorrent_tcp, &RTORRENT_CALL)?,
        peer("uWSGI", uwsgi, Peer::uwsgi_tcp, &[])?,
        peer("Python scgi", of_python("scgi")?, Peer::python_scgi, &[])?,
        peer("flup", of_python("flup")?, Peer::flup, &[])?,
        peer("Perl SCGI", perl, Peer::perl, &[])?,
    ])
}

fn first_line(program: &OsString, args: &[&str]) -> Result<String, BoxError> {
    let output = Command::new(program).args(args).stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    Ok(line.ok_or_else(|| format!("{} tells no version", program.to_string_lossy()))?.into())
}

fn scgi() -> Result<PathBuf, BoxError> {
    let here = env::current_exe()?;
    let program = here.parent().and_then(|folder| folder.parent()).map(|up| up.join("scgi"));
    let program = program.filter(|program| program.is_file());
    Ok(program.ok_or("build it first: cargo build -p scgi-examples --bin scgi")?)
}

/// Ends with the value.
struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ours() -> Result<Column, BoxError> {
    let mut child = Command::new(scgi()?);
    let mut echo = Echo(child.args(["echo", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?);
    let stdout = echo.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim_end().strip_prefix("Listening on ").ok_or("scgi echo tells nothing")?;
    column("scgi echo", "of this tree".into(), address, &[])
}

fn peer(
    name: &'static str,
    version: String,
    start: fn() -> io::Result<Peer>,
    args: &[&str],
) -> Result<Column, BoxError> {
    let peer = start()?;
    column(name, version, &peer.address().to_string(), args)
}

fn column(
    name: &'static str,
    version: String,
    address: &str,
    args: &[&str],
) -> Result<Column, BoxError> {
    let output = Command::new(scgi()?).args(["check", address, "--json"]).args(args).output()?;
    let report = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let quoted = args.iter().map(|arg| {
        let is_plain = arg.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/".contains(&b));
        if is_plain { (*arg).to_string() } else { format!("'{arg}'") }
    });
    let words: Vec<_> = ["scgi check ADDR".to_string()].into_iter().chain(quoted).collect();
    Ok(Column { name, version, command: words.join(" "), report })
}

fn print_page(columns: &[Column]) {
    println!("# What `scgi check` finds\n");
    println!("Made by `examples/check_peers.rs`, over TCP on loopback, with the time-out of 5 s;");
    println!(
        "the servers run the programs in [`peers`](peers). What a server does here says how it"
    );
    println!(
        "takes odd input, not how good it is: behind nginx most of these cases cannot happen.\n"
    );
    println!("| server | version | command | ok | lenient | failed |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for Column { name, version, command, report } in columns {
        let Report { passed, lenient, failed, .. } = report;
        println!("| {name} | {version} | `{command}` | {passed} | {lenient} | {failed} |");
    }
    print_table(columns);
    print_details(columns);
}

fn print_table(columns: &[Column]) {
    println!(
        "\n`.` ok, `~` lenient (against a \"should\"), `X` failed (against a \"must\", a hang,"
    );
    println!("or a crash). The rules are those that `scgi check --list` names.\n");
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    println!("| case | rule | | {} |", names.join(" | "));
    println!("| --- | --- | --- |{}", " --- |".repeat(columns.len()));
    for (index, case) in columns[0].report.cases.iter().enumerate() {
        let marks = columns.iter().map(|column| symbol(&column.report.cases[index].mark));
        let marks: Vec<_> = marks.collect();
        let Case { number, name, rule, severity, .. } = case;
        println!("| {number} {name} | {rule} | {severity} | {} |", marks.join(" | "));
    }
}

fn symbol(mark: &str) -> &'static str {
    match mark {
        "passed" => ".",
        "lenient" => "~",
        _ => "**X**",
    }
}

fn print_details(columns: &[Column]) {
    for Column { name, version, report, .. } in columns {
        println!("\n## {name} {version}\n");
        let odd: Vec<_> = report.cases.iter().filter(|case| case.mark != "passed").collect();
        if odd.is_empty() {
            println!("All cases passed.");
        }
        for Case { number, group, name, mark, what, .. } in odd {
            println!("- {} {number} {group}: {name}: {what}", symbol(mark));
        }
    }
}
