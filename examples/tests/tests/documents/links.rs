//! Every link of the Markdown pages leads somewhere: files and headings are looked up.
//!
//! Links to items of the documentation are rustdoc's to check. Links to other sites are only read,
//! not followed, and standard error says so.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use ureq::http::Uri;

/// What is looked for in a page.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    /// As GitHub and rustdoc name headings in the part of a URL behind `#`.
    anchors: Vec<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut page = Self::default();
        let mut heading = None;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.extend(heading.take().map(|text| anchor(&text)));
                }
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// All pages of the project.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = [
        ".",
        ".github",
        "examples",
        "examples/scgi",
        "scgi-async-std",
        "scgi-blocking",
        "scgi-proto",
        "scgi-proto/src/guide",
        "scgi-tokio",
    ]
    .map(|folder| root.join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| is_page(path)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages: HashMap<_, _> = pages()
        .into_iter()
        .map(|path| (path.canonicalize().expect("it is there"), Page::read(&path)))
        .collect();
    assert!(pages.len() >= 12, "{:?}", pages.keys());
    let (mut inside, mut outside) = (0, 0);
    for (path, page) in &pages {
        for link in &page.links {
            if link.starts_with("crate::") || link.starts_with("core::") {
                continue;
            }
            if link.contains("://") {
                let uri: Uri = link.parse().unwrap_or_else(|error| panic!("{link}: {error}"));
                assert!(uri.host().is_some_and(|host| host.contains('.')), "{path:?}: {link}");
                outside += 1;
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = path.parent().expect("a folder");
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            let target = target.canonicalize();
            let target = target.unwrap_or_else(|error| panic!("{path:?}: {link}: {error}"));
            if !heading.is_empty() {
                let anchors = &pages.get(&target).expect("a page").anchors;
                assert!(anchors.contains(&heading.to_owned()), "{path:?}: {link}: {anchors:?}");
            }
            inside += 1;
        }
    }
    assert!(inside > 10, "{inside}");
    // Not `eprintln!`, which the test runner swallows.
    let _ = writeln!(io::stderr(), "NOT FOLLOWED: {outside} links to other sites");
}

/// Each promise of SECURITY.md names tests, as links to files and the names of functions in them.
#[test]
fn the_tests_of_every_promise_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github");
    let text = fs::read_to_string(folder.join("SECURITY.md")).expect("the page");
    let rows: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("| ")).skip(1).collect();
    assert!(rows.len() >= 13, "{rows:?}");
    for row in rows {
        let (promise, tests) = row.split_once(" | ").expect("two columns");
        let (mut source, mut names) = (String::new(), Vec::new());
        for event in Parser::new(tests) {
            match event {
                Event::Start(Tag::Link { dest_url, .. }) => {
                    let file = folder.join(&*dest_url);
                    let is_source = file.extension().is_some_and(|extension| extension == "rs");
                    if is_source {
                        source += &fs::read_to_string(file).expect("a file of tests");
                    }
                }
                Event::Code(name) => names.push(name),
                _ => {}
            }
        }
        assert!(!names.is_empty(), "{promise}: no test");
        for name in names {
            assert!(source.contains(&format!("fn {name}(")), "{promise}: {name} is not there");
        }
    }
}
