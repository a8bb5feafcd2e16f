//! The layers of this crate: which module may import which, and who may name the system.
//!
//! wire < exchange < message < driver < server < adapter. `net` and `http` are not in this order: `driver` and `server`
//! may use `net`. A request holds the signal of `shutdown`. `error` joins the errors of the layers below it.

use std::collections::{BTreeMap, BTreeSet};
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

/// The code of each module; or where the names of each come from.
type Modules = BTreeMap<String, String>;

/// The name of a file's module, such as `driver::client`.
fn module_of(path: &str) -> String {
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Finds the paths that begin a text (`a::{b, c::D}` are two), and returns what follows them.
fn paths<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n']);
            if rest.is_empty() || rest.starts_with('}') {
                return rest.get(1..).unwrap_or_default();
            }
            rest = paths(rest, prefix, found);
            rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
        }
    }
    let name = words(text).next().unwrap_or_default();
    let path = format!("{prefix}{name}");
    if let Some(rest) = text[name.len()..].strip_prefix("::") {
        return paths(rest, &format!("{path}::"), found);
    }
    found.push(path);
    &text[name.len()..]
}

/// The full names of what a module names by a path.
fn named(module: &str, text: &str, modules: &Modules) -> Vec<String> {
    let (mut found, mut parsed) = (Vec::new(), 0);
    for (at, _) in text.match_indices("::").filter(|(at, _)| !text[..*at].ends_with([':', '>'])) {
        let start = at - words(&text[..at]).last().unwrap_or_default().len();
        if start >= parsed {
            parsed = text.len() - paths(&text[start..], "", &mut found).len();
        }
    }
    let absolute = found.into_iter().filter_map(|path| {
        let (mut base, mut path) = (module, &*path);
        while let Some(rest) = path.strip_prefix("super::") {
            (base, path) = (base.rsplit_once("::").map_or("", |(parent, _)| parent), rest);
        }
        let first = path.split("::").next().unwrap_or_default();
        match (first, path.split_once("::")) {
            ("crate", Some((_, path))) => Some(path.to_owned()),
            ("self", Some((_, path))) => Some(format!("{base}::{path}")),
            _ if base != module => Some(format!("{base}::{path}").trim_matches(':').to_owned()),
            _ => {
                modules.contains_key(&format!("{base}::{first}")).then(|| format!("{base}::{path}"))
            }
        }
    });
    absolute.collect()
}

/// The module where a name is defined, which may be re-exported elsewhere.
fn home<'a>(mut name: &'a str, exports: &'a Modules, modules: &Modules) -> Option<String> {
    loop {
        if modules.contains_key(name) {
            return Some(name.to_owned());
        }
        name = match exports.get(name) {
            Some(origin) => origin,
            None => name.rsplit_once("::")?.0,
        };
    }
}

/// The modules that each module imports.
fn imported(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let is_export =
        |statement: &&str| statement.contains("pub use ") || statement.contains("pub(crate) use ");
    let mut exports = Modules::new();
    for (module, text) in modules {
        for statement in text.split(';').filter(is_export) {
            for origin in named(module, statement, modules) {
                let name = origin.rsplit("::").next().unwrap_or_default();
                exports.insert(format!("{module}::{name}"), origin.clone());
            }
        }
    }
    let mut imported = BTreeMap::new();
    for (module, text) in modules {
        let text: String =
            text.split_inclusive(';').filter(|statement| !is_export(statement)).collect();
        // It may use what it re-exports.
        let used = words(&text)
            .map(|word| format!("{module}::{word}"))
            .filter(|name| exports.contains_key(name));
        let names = named(module, &text, modules).into_iter().chain(used);
        let mut homes: BTreeSet<_> =
            names.filter_map(|name| home(&name, &exports, modules)).collect();
        homes.remove(module);
        imported.insert(module.clone(), homes);
    }
    imported
}

/// What is left without the modules that are in no cycle.
fn cycles(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let mut left = imported(modules);
    loop {
        let before = left.clone();
        let is_imported = |module: &String| before.values().any(|imports| imports.contains(module));
        left.retain(|module, imports| {
            imports.retain(|import| before.contains_key(import));
            !imports.is_empty() && is_imported(module)
        });
        if left == before {
            return left;
        }
    }
}

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let files = code().into_iter().filter(|code| code.layer != "lib");
    let modules: Modules = files.map(|code| (module_of(&code.path), code.text)).collect();
    let count: usize = imported(&modules).values().map(BTreeSet::len).sum();
    assert!(count > 300, "{count} imports of {} modules", modules.len());
    assert_eq!(cycles(&modules), BTreeMap::new());
}

#[test]
fn a_circle_of_imports_is_found() {
    let modules = [
        ("a", "mod b;\nuse crate::{c, d::{e::E, F}};"),
        ("a::b", "use super::super::c::C;"),
        ("c", "pub use self::g::G;\nmod g;"),
        ("c::g", "fn x() -> crate::d::F {}"),
        ("d", "mod e;"),
        ("d::e", ""),
    ];
    let mut modules: Modules =
        modules.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    assert_eq!(cycles(&modules), BTreeMap::new());
    // d -> c::g, by its other name, and back.
    modules.insert("d".to_owned(), "mod e;\nuse crate::c::G;".to_owned());
    let found = cycles(&modules).into_keys().collect::<Vec<_>>();
    assert_eq!(found, ["c::g", "d"]);
    // A path in the code is an import, too.
    modules.insert("d".to_owned(), "mod e;\nfn y() { e::z() }".to_owned());
    modules.insert("d::e".to_owned(), "use super::F;".to_owned());
    let found = cycles(&modules).into_keys().collect::<Vec<_>>();
    assert_eq!(found, ["d", "d::e"]);
}
