//! Options, numbers and patterns that are wrong: told apart from each other, each with the place.

mod common;

use common::*;
use expect_test::expect;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

/// Status and message of each command line; for usage errors only the line that says what is wrong.
fn table(lines: &[&[&str]]) -> String {
    let mut text = String::new();
    for args in lines {
        let run = tracewell(args);
        assert_eq!(run.out, "", "{args:?}");
        let message = match run.status {
            Some(2) => {
                assert!(run.err.contains("--help") || run.err.contains("Usage:"), "no way out: {run:?}");
                run.err.lines().next().unwrap_or_default()
            }
            _ => {
                run.fails_with(&[]);
                run.err.trim_end()
            }
        };
        let shown: Vec<_> = args.iter().map(|a| format!("{a:?}")).collect();
        let _ = writeln!(text, "{}\n  {} {message}", shown.join(" "), run.status.unwrap_or(-1));
    }
    text
}

#[test]
fn numbers() {
    let mut lines: Vec<Vec<&str>> = Vec::new();
    for pair in [
        ["-i", "0"],
        ["-i", "abc"],
        ["-i", "-1"],
        ["-i", "nan"],
        ["-d", "-1"],
        ["-d", "1e300"],
        ["-n", "0"],
        ["-p", "-1"],
        ["-p", "0"],
        ["-p", "99999999999999"],
        ["-c", "-1"],
        ["--tid", "x"],
    ] {
        lines.push(["funccount"].into_iter().chain(pair).chain(["c:malloc"]).collect());
    }
    let lines: Vec<&[&str]> = lines.iter().map(|l| &l[..]).collect();
    expect![[r#"
        "funccount" "-i" "0" "c:malloc"
          2 error: invalid value '0' for '--interval <SECS>': must be at least 0.001 seconds
        "funccount" "-i" "abc" "c:malloc"
          2 error: invalid value 'abc' for '--interval <SECS>': not a number of seconds
        "funccount" "-i" "-1" "c:malloc"
          2 error: invalid value '-1' for '--interval <SECS>': must be at least 0.001 seconds
        "funccount" "-i" "nan" "c:malloc"
          2 error: invalid value 'nan' for '--interval <SECS>': must be at least 0.001 seconds
        "funccount" "-d" "-1" "c:malloc"
          2 error: invalid value '-1' for '--duration <SECS>': must be at least 0.001 seconds
        "funccount" "-d" "1e300" "c:malloc"
          2 error: invalid value '1e300' for '--duration <SECS>': must be at most 3200000000 seconds; leave the option out for no end
        "funccount" "-n" "0" "c:malloc"
          2 error: invalid value '0' for '--top <TOP>': not a whole number from 1 to 4294967295
        "funccount" "-p" "-1" "c:malloc"
          2 error: invalid value '-1' for '--pid <PID>': not a whole number from 1 to 4294967295
        "funccount" "-p" "0" "c:malloc"
          2 error: invalid value '0' for '--pid <PID>': not a whole number from 1 to 4294967295
        "funccount" "-p" "99999999999999" "c:malloc"
          2 error: invalid value '99999999999999' for '--pid <PID>': not a whole number from 1 to 4294967295
        "funccount" "-c" "-1" "c:malloc"
          2 error: invalid value '-1' for '--cpu <CPU>': not a whole number from 0 to 4294967295
        "funccount" "--tid" "x" "c:malloc"
          2 error: invalid value 'x' for '--tid <TID>': not a whole number from 1 to 4294967295
    "#]]
    .assert_eq(&table(&lines));
}

#[test]
fn options_that_exclude_each_other() {
    expect![[r#"
        "stackcount" "-K" "-U" "c:malloc"
          2 error: the argument '--kernel-stacks-only' cannot be used with '--user-stacks-only'
        "stackcount" "-f" "--format" "json" "c:malloc"
          2 error: the argument '--folded' cannot be used with '--format <FORMAT>'
        "funccount" "--live" "--format" "json" "c:malloc"
          2 error: the argument '--live' cannot be used with '--format <FORMAT>'
        "funccount" "--cmd" "ls" "-p" "1" "c:malloc"
          2 error: the argument '--cmd <COMMAND>' cannot be used with '--pid <PID>'
        "funccount" "-d" "1" "-d" "2" "c:malloc"
          2 error: the argument '--duration <SECS>' cannot be used multiple times
        "funccount" "-K" "c:malloc"
          2 error: unexpected argument '-K' found
        "funccount" "-p" "1" "-L" "c:malloc"
          2 error: unexpected argument '-L' found
        "funccount" "--format" "xml" "c:malloc"
          2 error: invalid value 'xml' for '--format <FORMAT>'
        "funccount" "--attach-mode" "magic" "c:malloc"
          2 error: invalid value 'magic' for '--attach-mode <MODE>'
        "funccount"
          2 error: the following required arguments were not provided:
        "nosuchtool"
          2 error: unrecognized subcommand 'nosuchtool'
    "#]]
    .assert_eq(&table(&[
        &["stackcount", "-K", "-U", "c:malloc"],
        &["stackcount", "-f", "--format", "json", "c:malloc"],
        &["funccount", "--live", "--format", "json", "c:malloc"],
        &["funccount", "--cmd", "ls", "-p", "1", "c:malloc"],
        &["funccount", "-d", "1", "-d", "2", "c:malloc"],
        &["funccount", "-K", "c:malloc"],
        &["funccount", "-p", "1", "-L", "c:malloc"],
        &["funccount", "--format", "xml", "c:malloc"],
        &["funccount", "--attach-mode", "magic", "c:malloc"],
        &["funccount"],
        &["nosuchtool"],
    ]));
}

#[test]
fn patterns() {
    let lines: Vec<[&str; 2]> = [
        "",
        " ",
        ":",
        "::",
        "t:",
        "c:",
        "p:c:",
        "a:b:c:d:e",
        "p:a:b:c",
        "t:a:b:c",
        "x:c:malloc",
        "vfs_[",
        "c:mal[loc",
        "[z-a]",
        "c:malloc+zz",
        "c:malloc+",
        "c:malloc+-1",
        "c:malloc+99999999999999999999999",
        "c:mal*+1",
        "r:c:malloc+4",
        "0xzz",
        "usdt:/bin/sh:a:b",
        "c:mal loc",
    ]
    .map(|p| ["funccount", p])
    .into();
    let lines: Vec<&[&str]> = lines.iter().map(|l| &l[..]).collect();
    expect![[r#"
        "funccount" ""
          1 tracewell: error: the event is empty in `` at byte 0; name a function, like vfs_read or 'vfs_*'
        "funccount" " "
          1 tracewell: error: the event is empty in ` ` at byte 1; name a function, like vfs_read or 'vfs_*'
        "funccount" ":"
          1 tracewell: error: the function is missing in `:` at byte 1; write a name, or `*` for all
        "funccount" "::"
          1 tracewell: error: the function is missing in `::` at byte 2; write a name, or `*` for all
        "funccount" "t:"
          1 tracewell: error: the tracepoint is missing in `t:` at byte 2; write a name, or `*` for all
        "funccount" "c:"
          1 tracewell: error: the function is missing in `c:` at byte 2; write a name, or `*` for all
        "funccount" "p:c:"
          1 tracewell: error: the function is missing in `p:c:` at byte 4; write a name, or `*` for all
        "funccount" "a:b:c:d:e"
          1 tracewell: error: Too many ':'-separated components in pattern a:b:c:d:e; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
        "funccount" "p:a:b:c"
          1 tracewell: error: Too many ':'-separated components in pattern p:a:b:c; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
        "funccount" "t:a:b:c"
          1 tracewell: error: Too many ':'-separated components in pattern t:a:b:c; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
        "funccount" "x:c:malloc"
          1 tracewell: error: unknown event type `x` in `x:c:malloc` at byte 0; use p, r, k, kr, u, ur, t or U; or quote a name that holds `:`
        "funccount" "vfs_["
          1 tracewell: error: `[` is never closed in `vfs_[` at byte 4; close it with `]`, or write `[[]` for the character itself
        "funccount" "c:mal[loc"
          1 tracewell: error: `[` is never closed in `c:mal[loc` at byte 5; close it with `]`, or write `[[]` for the character itself
        "funccount" "[z-a]"
          1 tracewell: error: this range runs backwards in `[z-a]` at byte 1; write the smaller character first
        "funccount" "c:malloc+zz"
          1 tracewell: error: `zz` is not an offset in `c:malloc+zz` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
        "funccount" "c:malloc+"
          1 tracewell: error: `` is not an offset in `c:malloc+` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
        "funccount" "c:malloc+-1"
          1 tracewell: error: `-1` is not an offset in `c:malloc+-1` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
        "funccount" "c:malloc+99999999999999999999999"
          1 tracewell: error: `99999999999999999999999` is not an offset in `c:malloc+99999999999999999999999` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
        "funccount" "c:mal*+1"
          1 tracewell: error: an offset needs one function in `c:mal*+1` at byte 7; name one function without wildcards, or leave the offset out
        "funccount" "r:c:malloc+4"
          1 tracewell: error: a return probe takes no offset in `r:c:malloc+4` at byte 11; leave the offset out, or use an entry probe
        "funccount" "0xzz"
          1 tracewell: error: `0xzz` is not an address in `0xzz` at byte 0; write at most 16 hexadecimal digits after 0x, and no offset
        "funccount" "usdt:/bin/sh:a:b"
          1 tracewell: error: `usdt:/bin/sh:a:b` is a USDT probe, which this version does not attach; trace the function around it: `u:FILE:FUNCTION`
        "funccount" "c:mal loc"
          1 tracewell: error: unexpected blank in `c:mal loc` at byte 5; quote a name that holds blanks, or give several events as several arguments
    "#]].assert_eq(&table(&lines));
}

#[test]
fn regular_expressions() {
    let lines: Vec<[&str; 3]> =
        ["vfs_(", "c:mal[loc", "*", "(?P<x", "c:a{2,1}", "c:((a{1000}){1000}){1000}", r"c:\p{No}{"]
            .map(|p| ["funccount", "-r", p])
            .into();
    let lines: Vec<&[&str]> = lines.iter().map(|l| &l[..]).collect();
    expect![[r#"
        "funccount" "-r" "vfs_("
          1 tracewell: error: bad regular expression: unclosed group in `vfs_(` at byte 4; correct the regular expression, or leave out -r to use `*` as a wildcard
        "funccount" "-r" "c:mal[loc"
          1 tracewell: error: bad regular expression: unclosed character class in `c:mal[loc` at byte 5; correct the regular expression, or leave out -r to use `*` as a wildcard
        "funccount" "-r" "*"
          1 tracewell: error: bad regular expression: repetition operator missing expression in `*` at byte 0; correct the regular expression, or leave out -r to use `*` as a wildcard
        "funccount" "-r" "(?P<x"
          1 tracewell: error: bad regular expression: unclosed capture group name in `(?P<x` at byte 5; correct the regular expression, or leave out -r to use `*` as a wildcard
        "funccount" "-r" "c:a{2,1}"
          1 tracewell: error: bad regular expression: invalid repetition count range, the start must be <= the end in `c:a{2,1}` at byte 3; correct the regular expression, or leave out -r to use `*` as a wildcard
        "funccount" "-r" "c:((a{1000}){1000}){1000}"
          1 tracewell: error: this regular expression is too large when compiled in `c:((a{1000}){1000}){1000}` at byte 2; use smaller repetition counts
        "funccount" "-r" "c:\\p{No}{"
          1 tracewell: error: bad regular expression: unclosed counted repetition in `c:\p{No}{` at byte 8; correct the regular expression, or leave out -r to use `*` as a wildcard
    "#]].assert_eq(&table(&lines));
}

#[test]
fn arguments_that_are_not_utf8() {
    for args in
        [&[&b"funccount"[..], b"c:mal\xff"][..], &[b"funccount", b"--cmd", b"\xff", b"c:malloc"], &[b"\xff"]]
    {
        let out = Command::new(BIN)
            .args(args.iter().map(|a| std::ffi::OsStr::from_bytes(a)))
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let run = Run::from(out);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.err.contains("invalid UTF-8") || run.err.contains("unrecognized subcommand"), "{run:?}");
    }
}

#[test]
fn endless_patterns_do_not_fill_the_screen() {
    let long = "a".repeat(100_000);
    let nested = "(".repeat(50_000);
    for (args, part) in [
        (&["funccount", &format!("c:{long}")][..], "no function"),
        (&["funccount", &format!("{long}:f")], "unable to find library"),
        (&["funccount", &format!("/{long}:f")], "unable to find library"),
        (&["funccount", "-r", &format!("c:({long}){{1000}}")], "too large"),
        (&["funccount", "-r", &nested], "regular expression"),
    ] {
        let run = tracewell(args);
        run.fails_with(&[part, " [...] "]);
        assert!(run.err.len() < 10_000, "{} bytes", run.err.len());
    }
}

#[test]
fn what_is_quoted_cannot_command_the_terminal() {
    for text in ["c:mal\x1b]0;title\x07loc", "c:\x1b[31mx"] {
        let run = tracewell(&["funccount", text]);
        assert_eq!(run.status, Some(1), "{run:?}");
        assert!(
            run.err.contains("\\u{1b}") && !run.err.contains('\x1b') && !run.err.contains('\x07'),
            "{run:?}"
        );
    }
}
