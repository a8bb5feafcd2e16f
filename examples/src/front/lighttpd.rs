//! How to start lighttpd.

use super::{Command, Site, find_program, io};

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    let program = find_program("lighttpd")?;
    site.write("lighttpd.conf", include_str!("../../front/lighttpd.conf"), &[])?;
    let mut command = Command::new(program);
    command.args(["-D", "-f", "lighttpd.conf"]);
    Ok(command)
}
