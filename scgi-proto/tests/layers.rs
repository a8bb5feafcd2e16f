//! The layers of this crate: which module may import which, and who may name the system.
//!
//! wire < exchange < message < driver < server < adapter. `net` and `http` are not in this order: `driver` and `server`
//! may use `net`. A request holds the signal of `shutdown`. `error` joins the errors of the layers below it.

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, and the layers that it may import from.
const LAYERS: [(&str, &[&str]); 10] = [
    ("wire", &["wire"]),
    ("exchange", &["wire", "exchange"]),
    ("error", &["wire", "exchange"]),
    ("shutdown", &[]),
    ("message", &["wire", "exchange", "error", "shutdown"]),
    ("net", &["exchange", "error", "net"]),
    ("http", &["wire", "exchange", "error", "message", "http"]),
    ("driver", &["wire", "exchange", "error", "message", "shutdown", "net", "driver"]),
    ("server", &["wire", "exchange", "error", "message", "shutdown", "net", "driver", "server"]),
    ("adapter", &["wire", "exchange", "error", "message", "net", "driver", "server", "adapter"]),
];

/// What only `adapter` may name: the traits of other crates.
const TRAITS: [&str; 4] = ["tokio::", "futures_io::", "futures_core::", "http_body::"];

/// What only `net` may name.
const SYSTEM: [&str; 10] = [
    "rustix",
    "socket2",
    "listenfd",
    "sd_notify",
    "std::os",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::{",
    "std::fs",
    "std::env",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file: its layer, and its lines without comments and without unit tests.
struct Code {
    path: String,
    layer: String,
    text: String,
}

fn code() -> Vec<Code> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let code = found.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a file");
        let text = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        let text = text.split("#[cfg(all(test").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let path = path.strip_prefix(&root).expect("below it").display().to_string();
        let layer = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        Code { path, layer, text }
    });
    code.collect()
}

/// The layers that a text names as `crate::LAYER`.
fn imports(text: &str) -> Vec<&str> {
    let after = text.split("crate::").skip(1);
    let names = after.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    });
    names.filter(|name| LAYERS.iter().any(|(layer, _)| layer == name)).collect()
}

#[test]
fn imports_point_downwards() {
    let mut count = 0;
    for Code { path, layer, text } in code() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            assert!(["lib", "guide"].contains(&&*layer), "{path}: in no layer");
            continue;
        };
        for import in imports(&text) {
            assert!(allowed.contains(&import), "{path} imports from {import}");
            count += 1;
        }
    }
    assert!(count > 100, "{count} imports");
}

#[test]
fn the_protocol_names_no_system_and_no_std() {
    for Code { path, layer, text } in code() {
        if ["wire", "exchange"].contains(&&*layer) {
            assert!(!text.contains("std::"), "{path} names std");
        }
        // That of `net` bounds a connect and a lock, and that of `shutdown` a wait for the signal.
        if !["driver", "server", "net", "shutdown"].contains(&&*layer) {
            assert!(!text.contains("Instant"), "{path} knows a clock");
        }
        if layer != "adapter" {
            for name in TRAITS {
                assert!(!text.contains(name), "{path} names {name}");
            }
        }
        if layer != "net" {
            for system in SYSTEM {
                assert!(!text.contains(system), "{path} names {system}");
            }
        }
    }
}

#[test]
fn files_and_folders_stay_small() {
    let code = code();
    for Code { path, text, .. } in &code {
        assert!(text.lines().count() <= 500, "{path} is long");
        assert!(!text.contains("#[path"), "{path} has a module elsewhere");
        // One style: `x/mod.rs`, and no `x.rs` beside a folder `x`.
        let folder = path.trim_end_matches(".rs");
        let has_folder = code.iter().any(|other| other.path.starts_with(&format!("{folder}/")));
        assert!(!has_folder, "{path} stands beside its folder");
    }
}
