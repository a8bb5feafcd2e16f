//! How to start nginx.

use super::{Command, Site, find_program, io};

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    let program = find_program("nginx")?;
    site.write("nginx.conf", include_str!("../../front/nginx.conf"), &[])?;
    site.write("scgi_params", include_str!("../../front/scgi_params"), &[])?;
    let mut command = Command::new(program);
    // `-e`: before it has read the configuration, nginx would open its built-in log, which only root may.
    command.arg("-p").arg(site.prefix).args(["-e", "error.log", "-c", "nginx.conf"]);
    Ok(command)
}
