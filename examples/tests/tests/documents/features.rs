//! Every feature of every library is documented on its crate page and in the guide `adapters`.

use std::fs;
use std::path::Path;

/// What stands left of `=` in the section `[features]`.
fn features(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[features]\n").nth(1).expect("features");
    let section = section.split("\n[").next().expect("its end");
    section.lines().filter_map(|line| line.split_once(" = [")).map(|(name, _)| name).collect()
}

#[test]
fn all_are_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let guide = read("scgi-proto/src/guide/adapters.md");
    let mut count = 0;
    for library in ["scgi-proto", "scgi-tokio", "scgi-async-std", "scgi-blocking"] {
        let manifest = read(&format!("{library}/Cargo.toml"));
        let page = read(&format!("{library}/src/lib.rs"));
        for feature in features(&manifest) {
            // `net` is what the features of two runtimes share.
            if matches!(feature, "default" | "net") {
                continue;
            }
            assert!(page.contains(&format!("//! - `{feature}`")), "{library}: {feature}");
            assert!(guide.contains(&format!("`{feature}`")), "the guide lacks {feature}");
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}
