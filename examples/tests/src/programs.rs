//! Finds the project's own programs, which cargo builds into the same target folder as the tests.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// The command line tool.
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn scgi() -> PathBuf {
    built("scgi").unwrap_or_else(|error| panic!("{error}"))
}

/// An example of this package or of `scgi-examples`.
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}")).unwrap_or_else(|error| panic!("{error}"))
}

/// A program by its path below the folder of the build.
///
/// `cargo test --workspace` builds all of them before the tests run.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if the program is not there; the text says how to build it.
pub fn built(name: &str) -> io::Result<PathBuf> {
    let this = env::current_exe()?;
    // Tests are in `deps`, examples in `examples`, programs in the folder itself.
    let folder = this.ancestors().nth(1).unwrap_or_else(|| Path::new("."));
    let folder = if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    let program = folder.join(name).with_extension(env::consts::EXE_EXTENSION);
    if program.is_file() {
        return Ok(program);
    }
    let text = format!(
        "{} is missing: run `cargo build --workspace --bins --examples` first",
        program.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}
