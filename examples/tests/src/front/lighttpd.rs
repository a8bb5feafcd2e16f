//! How to start lighttpd.

use std::env;
use std::path::PathBuf;

use super::{Command, Path, Site, Templates, find_program, io};

const TEMPLATES: Templates = Templates {
    scgi: include_str!("../../front/lighttpd.conf"),
    http: include_str!("../../front/lighttpd_http.conf"),
    site: include_str!("../../front/lighttpd_site.conf"),
    fleet: None,
};

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    prepare_program(&find_program("lighttpd")?, site)
}

/// Names a lighttpd that can carry upgrades, where the one of the system cannot.
const VAR: &str = "SCGI_NEW_LIGHTTPD";

/// As [`prepare`], for a lighttpd that can carry upgrades.
pub(super) fn prepare_new(site: &Site<'_>) -> io::Result<Command> {
    prepare_program(&find_new()?, site)
}

/// A lighttpd of version 1.4.74 or later.
fn find_new() -> io::Result<PathBuf> {
    let program = match env::var_os(VAR) {
        Some(program) => program.into(),
        None => find_program("lighttpd")?,
    };
    let output = Command::new(&program).arg("-v").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split(['/', ' ']).nth(1).unwrap_or_default();
    let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
    if numbers >= vec![1, 4, 74] {
        return Ok(program);
    }
    let text = format!("lighttpd {version} cannot carry upgrades; {VAR} may name another");
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

fn prepare_program(program: &Path, site: &Site<'_>) -> io::Result<Command> {
    site.write("lighttpd.conf", &TEMPLATES, &[])?;
    let mut command = Command::new(program);
    command.args(["-D", "-f", "lighttpd.conf"]);
    Ok(command)
}
