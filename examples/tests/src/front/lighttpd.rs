//! How to start lighttpd.

use super::{Command, Site, Templates, find_program, io};

const TEMPLATES: Templates = Templates {
    scgi: include_str!("../../front/lighttpd.conf"),
    http: include_str!("../../front/lighttpd_http.conf"),
    site: include_str!("../../front/lighttpd_site.conf"),
    fleet: None,
};

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    let program = find_program("lighttpd")?;
    site.write("lighttpd.conf", &TEMPLATES, &[])?;
    let mut command = Command::new(program);
    command.args(["-D", "-f", "lighttpd.conf"]);
    Ok(command)
}
