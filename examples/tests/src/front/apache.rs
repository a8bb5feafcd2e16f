//! How to start Apache.

use super::{Command, Path, Site, Templates, find_program, io};

const TEMPLATES: Templates = Templates {
    scgi: include_str!("../../front/apache.conf"),
    http: include_str!("../../front/apache_http.conf"),
    site: include_str!("../../front/apache_site.conf"),
    fleet: Some(include_str!("../../front/apache_fleet.conf")),
};

/// The modules for both kinds of backend.
const MODULES: [&str; 2] = ["mod_proxy_scgi.so", "mod_proxy_http.so"];

/// Where Debian puts the modules; Fedora and Arch follow.
const MODULE_FOLDERS: [&str; 3] =
    ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"];

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    let program = find_program("apache2").or_else(|_| find_program("httpd"))?;
    let modules = modules()?;
    let more = [("@MODULES@", modules), ("@USER@", "www-data"), ("@GROUP@", "www-data")];
    site.write("apache.conf", &TEMPLATES, &more)?;
    let mut command = Command::new(program);
    command.args(["-DFOREGROUND", "-f"]).arg(site.prefix.join("apache.conf"));
    Ok(command)
}

fn modules() -> io::Result<&'static str> {
    MODULE_FOLDERS
        .into_iter()
        .find(|folder| MODULES.iter().all(|module| Path::new(folder).join(module).is_file()))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "Apache's mod_proxy_scgi or mod_proxy_http is not installed",
            )
        })
}
