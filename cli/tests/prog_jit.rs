//! `tracewell prog jit` and `tracewell prog compare`: what the running kernel makes of programs.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use bpf::*;
use common::*;

const TEXT: &str = "r0 = 1; r0 += 41; exit";

/// Whether the kernel shows machine code: says why when it does not.
fn images(test: &str) -> bool {
    if !root(test) {
        return false;
    }
    let run = tracewell(&["prog", "jit", "-e", TEXT]);
    if run.status != Some(0) {
        assert!(run.err.contains("the kernel shows no machine code"), "{run:?}");
        eprintln!(
            "SKIP {test}: no JIT image is to be seen: net.core.bpf_jit_enable is 0 or addresses are hidden"
        );
        return false;
    }
    true
}

/// Bytes that the pieces of a function have together.
fn bytes_of(function: &serde_json::Value) -> usize {
    let pieces = function["pieces"].as_array().expect("pieces").iter();
    let ops = pieces.flat_map(|piece| piece["code"].as_array().expect("code"));
    ops.map(|op| {
        op["bytes"].as_array().map_or_else(|| op["bytes"].as_str().map_or(0, |hex| hex.len() / 2), Vec::len)
    })
    .sum()
}

#[test]
fn root_jit_of_a_text() {
    if !images("root_jit_of_a_text") {
        return;
    }
    let run = good(&["prog", "jit", "-e", TEXT]);
    for part in [
        "prologue\n",
        "\n0: r0 = 1\n",
        "\n1: r0 += 41\n",
        "\n2: exit\n",
        " bytes of machine code for 3 instructions",
    ] {
        assert!(run.out.contains(part), "{part:?}: {run:?}");
    }
    let found = json(&["prog", "jit", "-e", TEXT]);
    let function = &found["functions"][0];
    // Its name in kallsyms, where the kernel puts programs there; else its own.
    let symbol = function["symbol"].as_str().expect("a symbol");
    assert!(symbol.is_empty() || symbol.ends_with("prog"), "{found}");
    let texts: Vec<&str> =
        function["pieces"].as_array().expect("pieces").iter().filter_map(|p| p["text"].as_str()).collect();
    for text in ["r0 = 1", "r0 += 41", "exit"] {
        assert!(texts.contains(&text), "{text}: {found}");
    }
    let bytes = found["bytes"].as_u64().expect("a size");
    assert_eq!(function["bytes"].as_u64(), Some(bytes), "{found}");
    assert!(bytes > 0 && bytes_of(function) as u64 <= bytes, "{found}");
    // What the kernel refuses is refused with its log.
    tracewell(&["prog", "jit", "-e", "r0 = r6; exit"])
        .fails_with(&["the kernel refuses the program", "R6 !read_ok"]);
    assert_eq!(tracewell(&["prog", "jit"]).status, Some(2));
}

#[test]
fn root_jit_of_an_object_and_of_what_is_loaded() {
    if !images("root_jit_of_an_object_and_of_what_is_loaded") {
        return;
    }
    let Some(place) = Place::new("root_jit_of_an_object_and_of_what_is_loaded") else { return };
    let object = place.object("subprograms.o", SUBPROGRAMS);
    let run = tracewell(&["prog", "jit", &object]);
    assert_eq!(run.status, Some(2), "there are two programs in it: {run:?}");
    let checked = json(&["prog", "list"]);
    assert!(checked.is_array(), "{checked}");
    let names: Vec<String> = tracewell(&["--json", "prog", "verify", &object])
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["program"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect();
    let name = &names[0];
    let found = json(&["prog", "jit", "--program", name, &object]);
    let functions = found["functions"].as_array().expect("functions");
    assert!(functions.len() > 1, "it calls functions of its own: {found}");
    let sum: u64 = functions.iter().filter_map(|function| function["bytes"].as_u64()).sum();
    assert_eq!(found["bytes"].as_u64(), Some(sum), "{found}");
    // The same one, loaded and asked for by its id.
    let pin = place.pin("prog");
    good(&["prog", "load", &object, &pin]);
    let id = id(&["prog", "show", "pinned", &pin]);
    let found = json(&["prog", "jit", "id", &id]);
    assert!(found["bytes"].as_u64() > Some(0), "{found}");
    let run = good(&["prog", "jit", "id", &id]);
    assert!(run.out.contains("prologue\n") && run.out.contains("bytes of machine code for "), "{run:?}");
}

#[test]
fn root_compare_finds_no_difference() {
    if !root("root_compare_finds_no_difference") {
        return;
    }
    let run = good(&["prog", "compare", "-e", TEXT]);
    assert_eq!(run.out, "the same in 1 run(s): r0 = 0x2a\n");
    let found = json(&["prog", "compare", "-e", TEXT]);
    assert_eq!(found, serde_json::json!({ "same": true, "runs": 1 }));
    let dir = scratch("compare");
    let packet = |name: &str, byte: u8| {
        let path = dir.join(name);
        std::fs::write(&path, [byte; 64]).expect("a packet");
        path.display().to_string()
    };
    let (ones, twos) = (packet("ones", 1), packet("twos", 2));
    // The packet's bytes 20 to 23 as a number, and a map that both runs share.
    let text = ".type xdp\nr2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2; r4 += 24\nr0 = 0\n\
                if r4 > r3 goto out\nr0 = *(u32 *)(r2 +20)\nr0 *= 3\nout: exit";
    let args = ["prog", "compare", "--data", &ones, "--data", &twos, "-e", text];
    assert_eq!(json(&args), serde_json::json!({ "same": true, "runs": 2 }));
    tracewell(&["prog", "compare", "-e", "r0 = r6; exit"])
        .fails_with(&["the kernel refuses the program", "R6 !read_ok"]);
    tracewell(&["prog", "compare", "--data", "/nonexistent", "-e", TEXT]).fails_with(&["/nonexistent"]);
    let _ = std::fs::remove_dir_all(&dir);
}
