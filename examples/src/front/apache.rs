//! How to start Apache.

use super::{Command, Path, Site, find_program, io};

/// Where Debian puts the modules; Fedora and Arch follow.
const MODULE_FOLDERS: [&str; 3] =
    ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"];

pub(super) fn prepare(site: &Site<'_>) -> io::Result<Command> {
    let program = find_program("apache2").or_else(|_| find_program("httpd"))?;
    let modules = modules()?;
    let more = [("@MODULES@", modules), ("@USER@", "www-data"), ("@GROUP@", "www-data")];
    site.write("apache.conf", include_str!("../../front/apache.conf"), &more)?;
    let mut command = Command::new(program);
    command.args(["-DFOREGROUND", "-f"]).arg(site.prefix.join("apache.conf"));
    Ok(command)
}

fn modules() -> io::Result<&'static str> {
    MODULE_FOLDERS
        .into_iter()
        .find(|folder| Path::new(folder).join("mod_proxy_scgi.so").is_file())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "Apache's mod_proxy_scgi is not installed")
        })
}
