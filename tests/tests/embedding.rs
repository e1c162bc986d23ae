//! What whoever embeds a crate takes along: the trees that docs/embedding.md shows.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

/// `cargo tree` of a package: itself and everything that is linked with it.
fn tree(package: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--charset", "ascii"])
        .current_dir(root)
        .output()
        .expect("cargo");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // Paths and versions are nobody's business.
    let name = |line: &str| {
        let line = line.split_once(" v").map_or(line, |(name, _)| name);
        format!("{line}\n")
    };
    String::from_utf8_lossy(&out.stdout).lines().map(name).collect()
}

fn crates(tree: &str) -> usize {
    let names = tree.lines().map(|line| line.trim_start_matches(['|', ' ', '-', '`']));
    names.collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn the_loader_with_all_that_it_needs_is_under_ten_crates() {
    let tree = tree("tracewell-loader");
    assert!(crates(&tree) < 10, "{tree}");
    let page = include_str!("../../docs/embedding.md");
    assert!(
        page.contains(&format!("```text\n{tree}```\n")),
        "docs/embedding.md shows another tree than:\n{tree}"
    );
}

#[test]
fn the_ground_floor_has_next_to_nothing_under_it() {
    assert_eq!(tree("tracewell-asm"), "tracewell-asm\n");
    assert_eq!(tree("tracewell-btf"), "tracewell-btf\n");
    assert_eq!(tree("tracewell-bpf-sys"), "tracewell-bpf-sys\n|-- bitflags\n`-- libc\n");
}

/// The page's Rust is that of the examples, line by line.
#[test]
fn what_the_page_shows_is_in_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut sources = String::new();
    for folder in ["loader/examples", "probes/examples"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "rs") {
                sources += &std::fs::read_to_string(&path).expect("a source");
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                let page = include_str!("../../docs/embedding.md");
                assert!(page.contains(&name), "{folder}/{name} is not on the page");
            }
        }
    }
    let page = include_str!("../../docs/embedding.md");
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(blocks.len() >= 10, "{}", blocks.len());
    for block in blocks {
        assert!(sources.contains(block), "no example has this:\n{block}");
    }
}
