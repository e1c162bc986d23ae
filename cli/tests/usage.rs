//! What a new user types wrong, and what needs no privilege.

mod common;

use common::*;

#[test]
fn help_is_help_and_not_an_error() {
    for tool in ["funccount", "stackcount", "list", "feature", "completions", "man"] {
        let run = tracewell(&[tool, "--help"]);
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{tool}");
        assert!(run.out.contains("Usage: tracewell "), "{}", run.out);
        assert!(!run.out.contains("attach-mode"), "hidden options are shown");
    }
    let run = tracewell(&["--version"]);
    assert_eq!(run.out, format!("tracewell {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_errors_have_status_2() {
    for args in [
        &[][..],
        &["funccount"],
        &["funcount", "x"],
        &["funccount", "-d", "x", "y"],
        &["stackcount", "-KU", "x"],
    ] {
        let run = tracewell(args);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(run.err.contains("Usage:") || run.err.contains("--help"), "{}", run.err);
    }
}

#[test]
fn bccs_names_are_answered_to() {
    let dir = scratch("names");
    for name in ["funccount", "stackcount-bpfcc"] {
        let link = dir.join(name);
        std::os::unix::fs::symlink(BIN, &link).expect("a link");
        let out = std::process::Command::new(&link).arg("--help").output().expect("it runs");
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(text.contains(&format!("Usage: {} [OPTIONS] <PATTERN>...", name)), "{text}");
    }
}

#[test]
fn bad_patterns_point_at_the_place() {
    tracewell(&["funccount", "-r", "vfs_("]).fails_with(&["regular expression", "at byte 4"]);
    tracewell(&["funccount", ""]).fails_with(&[]);
    tracewell(&["funccount", "a:b:c:d:e:f"]).fails_with(&[]);
    tracewell(&["funccount", "c:malloc+zz"]).fails_with(&["zz"]);
}

#[test]
fn what_does_not_exist_is_named() {
    tracewell(&["funccount", "-p", "4000000000", "c:malloc"]).fails_with(&["no process 4000000000", "ps -e"]);
    tracewell(&["funccount", "--tid", "4000000000", "c:malloc"]).fails_with(&["no thread 4000000000"]);
    tracewell(&["funccount", "-c", "99999", "c:malloc"]).fails_with(&["no processor 99999", "online"]);
    tracewell(&["funccount", "--cgroup", "no/such/group", "c:malloc"]).fails_with(&["group"]);
    tracewell(&["funccount", "--cmd", "no-such-command", "c:malloc"])
        .fails_with(&["no-such-command", "$PATH"]);
    tracewell(&["funccount", "--cmd", "'ls", "c:malloc"]).fails_with(&["' is not closed"]);
    tracewell(&["funccount", "--cmd", "", "c:malloc"]).fails_with(&["--cmd is empty"]);
    tracewell(&["funccount", "nosuchlibrary:f"]).fails_with(&["nosuchlibrary"]);
    tracewell(&["funccount", "/no/such/file:f"]).fails_with(&["/no/such/file"]);
    tracewell(&["funccount", "/:f"]).fails_with(&[]);
}

#[test]
fn live_needs_a_terminal() {
    tracewell(&["funccount", "--live", "c:malloc"]).fails_with(&["terminal", "-i SECS"]);
}

#[test]
fn no_such_function_suggests_others() {
    tracewell(&["funccount", "c:mallocc"]).fails_with(&["mallocc", "did you mean", "malloc"]);
    tracewell(&["funccount", "c:nosuch*"]).fails_with(&["nosuch*"]);
}

#[test]
fn damaged_files_are_refused_with_a_reason() {
    let dir = scratch("elf");
    let whole = std::fs::read(BIN).expect("the binary");
    let cases: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\necho hello\n".to_vec()),
        ("magic", whole[..4].to_vec()),
        ("header", whole[..64].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
    ];
    for (name, bytes) in cases {
        let path = dir.join(name);
        std::fs::write(&path, bytes).expect("a file");
        let pattern = format!("{}:main", path.display());
        tracewell(&["funccount", &pattern]).fails_with(&[name]);
    }
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = tracewell(&["completions", shell]);
        assert_eq!(run.status, Some(0), "{run:?}");
        assert!(run.out.contains("stackcount"));
    }
    let dir = scratch("man");
    let run = tracewell(&["man", dir.to_str().expect("UTF-8")]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let page = std::fs::read_to_string(dir.join("tracewell-funccount.1")).expect("the page");
    assert!(page.contains(".TH tracewell-funccount 1") && page.contains("interval"), "{page}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let out = std::process::Command::new("sh")
        .args(["-c", "\"$0\" completions bash | head -n 1", BIN])
        .output()
        .expect("sh");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), 1);
}
