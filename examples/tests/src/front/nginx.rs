//! How to start nginx.

use super::{Command, Site, Templates, find_program, fs, io};

const TEMPLATES: Templates = Templates {
    scgi: include_str!("../../front/nginx.conf"),
    http: include_str!("../../front/nginx_http.conf"),
    site: include_str!("../../front/nginx_site.conf"),
    fleet: Some(include_str!("../../front/nginx_fleet.conf")),
};

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    let program = find_program("nginx")?;
    site.write("nginx.conf", &TEMPLATES, &[])?;
    fs::write(site.prefix.join("scgi_params"), include_str!("../../front/scgi_params"))?;
    let mut command = Command::new(program);
    // `-e`: before it has read the configuration, nginx would open its built-in log, which only root may.
    command.arg("-p").arg(site.prefix).args(["-e", "error.log", "-c", "nginx.conf"]);
    Ok(command)
}
