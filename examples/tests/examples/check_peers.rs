//! Makes the guide `peers`: what `scgi check` finds with SCGI servers written by others, and with
//! ours.
//!
//! ```sh
//! cargo build -p scgi-cli
//! cargo run -p scgi-tests --example check_peers
//! ```
//!
//! Takes four minutes. Every server has to be installed; `SCGI_PEERS_PYTHON` names the Python with
//! `scgi` and `flup`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use scgi_tests::BoxError;
use scgi_tests::checked_peers::CHECKED_PEERS;
use scgi_tests::process::PYTHON_VAR;
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

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scgi-proto/src/guide/peers.md");

fn main() -> ExitCode {
    match columns().and_then(|columns| Ok(fs::write(PAGE, page(&columns))?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("check_peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn columns() -> Result<Vec<Column>, BoxError> {
    let mut columns = vec![ours()?];
    for peer in &CHECKED_PEERS {
        let version = version(peer.program)?;
        let running = (peer.start)()?;
        columns.push(column(peer.name, version, &running.address().to_string(), peer.args)?);
    }
    Ok(columns)
}

/// The version of a server, as it reports it.
fn version(program: &str) -> Result<String, BoxError> {
    if let Some(package) = program.strip_prefix("python ") {
        let python = env::var_os(PYTHON_VAR).unwrap_or_else(|| "python3".into());
        let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
        return first_line(&python, &["-c", &code]);
    }
    Ok(match program {
        "perl SCGI" => first_line(&"perl".into(), &["-MSCGI", "-e", "print $SCGI::VERSION"])?,
        "rtorrent" => {
            let line = first_line(&"rtorrent".into(), &["-h"])?;
            line.rsplit(' ').next().unwrap_or_default().trim_end_matches('.').into()
        }
        program => first_line(&program.into(), &["--version"])?,
    })
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
    Ok(program.ok_or("build it first: cargo build -p scgi-cli")?)
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
    let mut echo = Echo(
        child.args(["echo", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?,
    );
    let stdout = echo.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim_end().strip_prefix("Listening on ").ok_or("scgi echo tells nothing")?;
    column("scgi echo", "of this tree".into(), address, &[])
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

const INTRODUCTION: &str = "\
What `scgi check` finds with SCGI servers written by others, and with ours.

It sends 92 numbered cases: legal requests, which have to be answered, malformed ones, which
should be refused, and clients that break off; after each case a good request has to be answered.
What a server does here says how it takes odd input, not how good it is: behind nginx most of
these cases cannot happen.

What a client has to know:

- rTorrent takes heads of up to 2 KiB, closes on an empty body, and gives no reply when a byte
  follows the body.
- uWSGI takes heads of up to 4 KiB unless `--buffer-size` is set, and mistakes the comma for the
  first byte of the body if it arrives after the block.
- Perl's closes unless CONTENT_LENGTH is first and SCGI is there.

The clients of these crates send what all of them take.

# Servers";

fn page(columns: &[Column]) -> String {
    let mut page = format!(
        "{INTRODUCTION}\n\nMade on {}, over TCP on loopback, by\n\n```sh\n\
         cargo build -p scgi-cli\n\
         cargo run -p scgi-tests --example check_peers\n```\n\n\
         | server | version | command | ok | lenient | failed |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        system()
    );
    for Column { name, version, command, report } in columns {
        let Report { passed, lenient, failed, .. } = report;
        page +=
            &format!("| {name} | {version} | `{command}` | {passed} | {lenient} | {failed} |\n");
    }
    page + &table(columns) + &columns.iter().map(details).collect::<String>()
}

/// As `Debian GNU/Linux 12 (bookworm)`.
fn system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("an unknown system").trim_matches('"').into()
}

fn table(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    let mut table = format!(
        "\n# Cases\n\n\
         `.` ok, `~` lenient (against a \"should\"), `X` failed (against a \"must\", a hang,\n\
         or a crash). The rules are those that `scgi check --list` names.\n\n\
         | case | rule | | {} |\n| --- | --- | --- |{}\n",
        names.join(" | "),
        " --- |".repeat(columns.len())
    );
    for (index, case) in columns[0].report.cases.iter().enumerate() {
        let marks = columns.iter().map(|column| symbol(&column.report.cases[index].mark));
        let marks: Vec<_> = marks.collect();
        let Case { number, name, rule, severity, .. } = case;
        table += &format!("| {number} {name} | {rule} | {severity} | {} |\n", marks.join(" | "));
    }
    table
}

fn symbol(mark: &str) -> &'static str {
    match mark {
        "passed" => ".",
        "lenient" => "~",
        _ => "**X**",
    }
}

/// What a server did otherwise.
fn details(column: &Column) -> String {
    let Column { name, version, report, .. } = column;
    let odd: Vec<_> = report.cases.iter().filter(|case| case.mark != "passed").collect();
    let mut text = format!("\n# {name} {version}\n\n");
    if odd.is_empty() {
        text += "All cases passed.\n";
    }
    for Case { number, group, name, mark, what, .. } in odd {
        text += &format!("- {} {number} {group}: {name}: {what}\n", symbol(mark));
    }
    text
}
