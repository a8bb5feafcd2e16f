//! What the compiler says about a `Router` where the feature for it is off.

#![cfg(not(feature = "tower"))]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Takes the place of axum's: the compiler knows no more of that one either.
const PROGRAM: &str = "
#![allow(dead_code)]
struct Router;

async fn run(listener: scgi_tokio::Listener) -> std::io::Result<()> {
    scgi_tokio::serve(listener, Router).await?;
    Ok(())
}
";

#[test]
fn the_message_names_the_feature() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("missing-feature");
    fs::create_dir_all(folder.join("src")).expect("a folder");
    let manifest = format!(
        "[package]\nname = \"program\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         scgi-tokio = {{ path = {library:?} }}\n",
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("written");
    fs::write(folder.join("src/lib.rs"), PROGRAM).expect("written");
    // The same versions, which are at hand.
    let lock = library.parent().expect("a workspace").join("Cargo.lock");
    fs::copy(lock, folder.join("Cargo.lock")).expect("copied");
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--color=never"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    for part in [
        "error[E0277]: `Router` does not answer SCGI requests",
        "an axum `Router` needs the feature `axum`: `cargo add scgi-tokio --features axum`",
        "any other tower service needs the feature `tower`",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert!(!text.contains("E0283"), "{text}");
}
