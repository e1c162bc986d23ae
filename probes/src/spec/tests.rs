use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// One line a spec: the canonical spelling and the readings that it leaves open, or the error.
fn check(dialect: Dialect, syntax: Syntax, inputs: &[&str], expect: Expect) {
    let mut out = String::new();
    for input in inputs {
        let line = match parse(input, dialect, syntax) {
            Ok(spec) => format!("{spec}{}", details(&spec.kind)),
            Err(error) => format!("ERROR {error}"),
        };
        out.push_str(&format!("{input:?} -> {line}\n"));
    }
    expect.assert_eq(&out);
}

fn details(kind: &EventKind) -> String {
    let func = |f: &FuncRef| match f {
        FuncRef::Exact(_) => "exact",
        FuncRef::Pattern(_) => "pattern",
        FuncRef::Addr(_) => "address",
    };
    match kind {
        EventKind::Kprobe { func: f, .. } | EventKind::Scoped { func: f, .. } => format!("  ({})", func(f)),
        EventKind::Uprobe { binary, func: f, .. } => {
            let binary = match binary {
                BinaryRef::Path(_) => "path",
                BinaryRef::Name(_) => "name",
                BinaryRef::Pattern(_) => "files",
                BinaryRef::Process => "process",
            };
            format!("  ({binary}, {})", func(f))
        }
        _ => String::new(),
    }
}

#[test]
fn all_spellings() {
    check(
        Dialect::Auto,
        Syntax::Glob,
        &[
            "vfs_*",
            " vfs_read ",
            "p:vfs_read",
            "p::vfs_read",
            "p:ext4:ext4_*",
            "r:vfs_read",
            "r::vfs_read",
            "k:vfs_read",
            "kprobe:vfs_read",
            "KProbe:vfs_read",
            "kprobe:xfs:xfs_*",
            "kr:vfs_read",
            "kretprobe:vfs_read",
            "c:malloc",
            "p:c:malloc",
            ":c:malloc",
            "r:c:read",
            "/bin/bash:readline",
            "p:/bin/bash:readline",
            "u:/bin/bash:readline",
            "u:c:malloc",
            "uprobe:libc.so.6:mal*",
            "uprobe:*libc*:malloc",
            "uprobe:main",
            "ur:c:malloc",
            "uretprobe:/bin/bash:readline",
            "t:sched:sched_sw*",
            "tracepoint:syscalls:sys_enter_*",
            "tracepoint:sched_switch",
            "U:/bin/x:probe",
            "usdt:/bin/x:prov:probe",
            "vfs_read+0x10",
            "vfs_read+16",
            "p:c:malloc+4",
            "0xffffffff81000000",
            "k:0xffffffff81000000",
            "/bin/bash:0x1234",
            "foo.isra.0",
            "uprobe:\"/a:b\":\"x+y\"+0x8",
            "uprobe:c:\"a\\\"b\"",
            "vfs_[rw]*",
            "vfs_?",
            "k:[*]",
            "f:malloc",
        ],
        expect![[r#"
            "vfs_*" -> kprobe:vfs_*  (pattern)
            " vfs_read " -> kprobe:vfs_read  (exact)
            "p:vfs_read" -> kprobe:vfs_read  (exact)
            "p::vfs_read" -> kprobe:vfs_read  (exact)
            "p:ext4:ext4_*" -> p:ext4:ext4_*  (pattern)
            "r:vfs_read" -> kretprobe:vfs_read  (exact)
            "r::vfs_read" -> kretprobe:vfs_read  (exact)
            "k:vfs_read" -> kprobe:vfs_read  (exact)
            "kprobe:vfs_read" -> kprobe:vfs_read  (exact)
            "KProbe:vfs_read" -> kprobe:vfs_read  (exact)
            "kprobe:xfs:xfs_*" -> kprobe:xfs:xfs_*  (pattern)
            "kr:vfs_read" -> kretprobe:vfs_read  (exact)
            "kretprobe:vfs_read" -> kretprobe:vfs_read  (exact)
            "c:malloc" -> p:c:malloc  (exact)
            "p:c:malloc" -> p:c:malloc  (exact)
            ":c:malloc" -> p:c:malloc  (exact)
            "r:c:read" -> r:c:read  (exact)
            "/bin/bash:readline" -> uprobe:/bin/bash:readline  (path, exact)
            "p:/bin/bash:readline" -> uprobe:/bin/bash:readline  (path, exact)
            "u:/bin/bash:readline" -> uprobe:/bin/bash:readline  (path, exact)
            "u:c:malloc" -> uprobe:c:malloc  (name, exact)
            "uprobe:libc.so.6:mal*" -> uprobe:libc.so.6:mal*  (name, pattern)
            "uprobe:*libc*:malloc" -> uprobe:*libc*:malloc  (files, exact)
            "uprobe:main" -> uprobe::main  (process, exact)
            "ur:c:malloc" -> uretprobe:c:malloc  (name, exact)
            "uretprobe:/bin/bash:readline" -> uretprobe:/bin/bash:readline  (path, exact)
            "t:sched:sched_sw*" -> tracepoint:sched:sched_sw*
            "tracepoint:syscalls:sys_enter_*" -> tracepoint:syscalls:sys_enter_*
            "tracepoint:sched_switch" -> tracepoint::sched_switch
            "U:/bin/x:probe" -> usdt:/bin/x:probe
            "usdt:/bin/x:prov:probe" -> usdt:/bin/x:prov:probe
            "vfs_read+0x10" -> kprobe:vfs_read+0x10  (exact)
            "vfs_read+16" -> kprobe:vfs_read+0x10  (exact)
            "p:c:malloc+4" -> p:c:malloc+0x4  (exact)
            "0xffffffff81000000" -> kprobe:0xffffffff81000000  (address)
            "k:0xffffffff81000000" -> kprobe:0xffffffff81000000  (address)
            "/bin/bash:0x1234" -> uprobe:/bin/bash:0x1234  (path, address)
            "foo.isra.0" -> kprobe:foo.isra.0  (exact)
            "uprobe:\"/a:b\":\"x+y\"+0x8" -> uprobe:"/a:b":"x+y"+0x8  (path, exact)
            "uprobe:c:\"a\\\"b\"" -> uprobe:c:"a\"b"  (name, exact)
            "vfs_[rw]*" -> kprobe:vfs_[rw]*  (pattern)
            "vfs_?" -> kprobe:vfs_?  (pattern)
            "k:[*]" -> kprobe:[*]  (exact)
            "f:malloc" -> p:f:malloc  (exact)
        "#]],
    );
}

#[test]
fn bcc_reads_them_its_way() {
    check(
        Dialect::Bcc,
        Syntax::BccWildcard,
        &[
            "vfs_*",
            "c:malloc",
            "p:c:malloc",
            "p::vfs_read",
            "u:c:memory_sbrk_more",
            "t:sched:sched_wak*",
            "r:c:read",
            "vfs_[rw]*",
            "vfs_?",
            "p:a:b:c",
            "x:c:malloc",
            "a:b:c:d:e",
        ],
        expect![[r#"
            "vfs_*" -> kprobe:vfs_*  (pattern)
            "c:malloc" -> uprobe:c:malloc  (name, exact)
            "p:c:malloc" -> uprobe:c:malloc  (name, exact)
            "p::vfs_read" -> kprobe:vfs_read  (exact)
            "u:c:memory_sbrk_more" -> usdt:c:memory_sbrk_more
            "t:sched:sched_wak*" -> tracepoint:sched:sched_wak*
            "r:c:read" -> uretprobe:c:read  (name, exact)
            "vfs_[rw]*" -> kprobe:vfs_[rw]*  (pattern)
            "vfs_?" -> kprobe:vfs_[?]  (exact)
            "p:a:b:c" -> ERROR Too many ':'-separated components in pattern p:a:b:c; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
            "x:c:malloc" -> ERROR unknown event type `x` in `x:c:malloc` at byte 0; use p, r, k, kr, u, ur, t or U; or quote a name that holds `:`
            "a:b:c:d:e" -> ERROR Too many ':'-separated components in pattern a:b:c:d:e; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
        "#]],
    );
}

#[test]
fn bpftrace_wants_a_provider() {
    check(
        Dialect::Bpftrace,
        Syntax::Glob,
        &[
            "vfs_read",
            "kprobe:vfs_*",
            "u:libc:malloc",
            "c:malloc",
            "p:hz:99",
            "profile:hz:99",
            "f:vfs_read",
            "fentry:vfs_read",
            "interval:s:1",
            "rt:sched_switch",
            "uprobe:c:cpp:\"A::b*\"",
            "begin:x",
        ],
        expect![[r#"
            "vfs_read" -> ERROR the provider is missing in `vfs_read` at byte 0; write kprobe:FUNCTION, uprobe:FILE:FUNCTION or tracepoint:CATEGORY:EVENT
            "kprobe:vfs_*" -> kprobe:vfs_*  (pattern)
            "u:libc:malloc" -> uprobe:libc:malloc  (name, exact)
            "c:malloc" -> ERROR unknown provider `c` in `c:malloc` at byte 0; use kprobe, kretprobe, uprobe, uretprobe, tracepoint or usdt
            "p:hz:99" -> ERROR `p` is not an event to match here in `p:hz:99` at byte 0; a timer has no functions to match; use kprobe:, uprobe: or tracepoint:
            "profile:hz:99" -> ERROR `profile` is not an event to match here in `profile:hz:99` at byte 0; a timer has no functions to match; use kprobe:, uprobe: or tracepoint:
            "f:vfs_read" -> ERROR `f` is not an event to match here in `f:vfs_read` at byte 0; use kprobe:FUNCTION, which counts the same calls
            "fentry:vfs_read" -> ERROR `fentry` is not an event to match here in `fentry:vfs_read` at byte 0; use kprobe:FUNCTION, which counts the same calls
            "interval:s:1" -> ERROR `interval` is not an event to match here in `interval:s:1` at byte 0; a timer has no functions to match; use kprobe:, uprobe: or tracepoint:
            "rt:sched_switch" -> ERROR `rt` is not an event to match here in `rt:sched_switch` at byte 0; use tracepoint:CATEGORY:EVENT
            "uprobe:c:cpp:\"A::b*\"" -> ERROR functions cannot be matched by their demangled names in `uprobe:c:cpp:"A::b*"` at byte 9; match the symbol: uprobe:FILE:'*name*'; or quote a file name that holds `:`
            "begin:x" -> ERROR `begin` is not an event to match here in `begin:x` at byte 0; use kprobe:, uprobe: or tracepoint:
        "#]],
    );
}

#[test]
fn errors_say_where_and_what_to_do() {
    check(
        Dialect::Auto,
        Syntax::Glob,
        &[
            "",
            "  ",
            "p:",
            "p::",
            "k:vfs_[ab",
            "k:vfs_[z-a]*",
            "vfs_read+",
            "vfs_read+x",
            "vfs_read++1",
            "vfs_*+4",
            "+4",
            "r:vfs_read+4",
            "kr:0xffff",
            "0x",
            "0xfffffffffffffffff",
            "0x10+4",
            "a b",
            "t:sched:",
            "t:",
            "u:\"abc:d",
            "u:\"a\"b:c",
            "a:b:c",
            "a:b:c:d",
            "k:a:b:c",
            "uprobe:c:cpp:x",
            "profile:hz:99",
            "t:\"a\"+1:b",
            "é é",
        ],
        expect![[r#"
            "" -> ERROR the event is empty in `` at byte 0; name a function, like vfs_read or 'vfs_*'
            "  " -> ERROR the event is empty in `  ` at byte 2; name a function, like vfs_read or 'vfs_*'
            "p:" -> ERROR the function is missing in `p:` at byte 2; write a name, or `*` for all
            "p::" -> ERROR the function is missing in `p::` at byte 3; write a name, or `*` for all
            "k:vfs_[ab" -> ERROR `[` is never closed in `k:vfs_[ab` at byte 6; close it with `]`, or write `[[]` for the character itself
            "k:vfs_[z-a]*" -> ERROR this range runs backwards in `k:vfs_[z-a]*` at byte 7; write the smaller character first
            "vfs_read+" -> ERROR `` is not an offset in `vfs_read+` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
            "vfs_read+x" -> ERROR `x` is not an offset in `vfs_read+x` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
            "vfs_read++1" -> ERROR `+1` is not an offset in `vfs_read++1` at byte 9; write it in bytes: FUNCTION+16 or FUNCTION+0x10
            "vfs_*+4" -> ERROR an offset needs one function in `vfs_*+4` at byte 6; name one function without wildcards, or leave the offset out
            "+4" -> ERROR the function is missing in `+4` at byte 0; write FUNCTION+OFFSET
            "r:vfs_read+4" -> ERROR a return probe takes no offset in `r:vfs_read+4` at byte 11; leave the offset out, or use an entry probe
            "kr:0xffff" -> ERROR a return probe needs a function in `kr:0xffff` at byte 3; only an entry probe takes an address; name the function instead
            "0x" -> ERROR `0x` is not an address in `0x` at byte 0; write at most 16 hexadecimal digits after 0x, and no offset
            "0xfffffffffffffffff" -> ERROR `0xfffffffffffffffff` is not an address in `0xfffffffffffffffff` at byte 0; write at most 16 hexadecimal digits after 0x, and no offset
            "0x10+4" -> ERROR `0x10+4` is not an address in `0x10+4` at byte 0; write at most 16 hexadecimal digits after 0x, and no offset
            "a b" -> ERROR unexpected blank in `a b` at byte 1; quote a name that holds blanks, or give several events as several arguments
            "t:sched:" -> ERROR the tracepoint is missing in `t:sched:` at byte 8; write a name, or `*` for all
            "t:" -> ERROR the tracepoint is missing in `t:` at byte 2; write a name, or `*` for all
            "u:\"abc:d" -> ERROR the quote is never closed in `u:"abc:d` at byte 2; add a closing "
            "u:\"a\"b:c" -> ERROR unexpected text after the closing quote in `u:"a"b:c` at byte 5; end the part there, or put it inside
            "a:b:c" -> ERROR unknown event type `a` in `a:b:c` at byte 0; use p, r, k, kr, u, ur, t or U; or quote a name that holds `:`
            "a:b:c:d" -> ERROR Too many ':'-separated components in pattern a:b:c:d; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
            "k:a:b:c" -> ERROR Too many ':'-separated components in pattern k:a:b:c; write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`
            "uprobe:c:cpp:x" -> ERROR functions cannot be matched by their demangled names in `uprobe:c:cpp:x` at byte 9; match the symbol: uprobe:FILE:'*name*'; or quote a file name that holds `:`
            "profile:hz:99" -> ERROR `profile` is not an event to match here in `profile:hz:99` at byte 0; a timer has no functions to match; use kprobe:, uprobe: or tracepoint:
            "t:\"a\"+1:b" -> ERROR unexpected text after the closing quote in `t:"a"+1:b` at byte 5; end the part there, or put it inside
            "é é" -> ERROR unexpected blank in `é é` at byte 2; quote a name that holds blanks, or give several events as several arguments
        "#]],
    );
}

#[test]
fn regular_expressions() {
    check(
        Dialect::Auto,
        Syntax::Regex,
        &[
            "vfs_(read|write)$",
            "p:c:(?:mal|cal)loc",
            "c:a[:b]c",
            "c:a\\:b",
            "t:sched:sched_(switch|wakeup)$",
            "xfs_+",
            "vfs_(",
            "c:vfs_[",
            "p:c:a{2,1}",
            "a\\",
            "(a{9999}){9999}",
            "a)b",
            "(?x)a # c",
            "c:é(",
        ],
        expect![[r#"
            "vfs_(read|write)$" -> kprobe:vfs_(read|write)$  (pattern)
            "p:c:(?:mal|cal)loc" -> p:c:"(?:mal|cal)loc"  (pattern)
            "c:a[:b]c" -> p:c:"a[:b]c"  (pattern)
            "c:a\\:b" -> p:c:"a\\:b"  (pattern)
            "t:sched:sched_(switch|wakeup)$" -> tracepoint:sched:sched_(switch|wakeup)$
            "xfs_+" -> kprobe:"xfs_+"  (pattern)
            "vfs_(" -> ERROR bad regular expression: unclosed group in `vfs_(` at byte 4; correct the regular expression, or leave out -r to use `*` as a wildcard
            "c:vfs_[" -> ERROR bad regular expression: unclosed character class in `c:vfs_[` at byte 6; correct the regular expression, or leave out -r to use `*` as a wildcard
            "p:c:a{2,1}" -> ERROR bad regular expression: invalid repetition count range, the start must be <= the end in `p:c:a{2,1}` at byte 5; correct the regular expression, or leave out -r to use `*` as a wildcard
            "a\\" -> ERROR bad regular expression: incomplete escape sequence, reached end of pattern prematurely in `a\` at byte 1; correct the regular expression, or leave out -r to use `*` as a wildcard
            "(a{9999}){9999}" -> ERROR this regular expression is too large when compiled in `(a{9999}){9999}` at byte 0; use smaller repetition counts
            "a)b" -> ERROR bad regular expression: unopened group in `a)b` at byte 1; correct the regular expression, or leave out -r to use `*` as a wildcard
            "(?x)a # c" -> kprobe:"(?x)a # c"  (pattern)
            "c:é(" -> ERROR bad regular expression: unclosed group in `c:é(` at byte 4; correct the regular expression, or leave out -r to use `*` as a wildcard
        "#]],
    );
}

#[test]
fn an_excerpt_points_at_the_place() {
    let error = parse("p:c:é[b", Dialect::Auto, Syntax::Glob).unwrap_err();
    expect![[r#"
        p:c:é[b
             ^^"#]]
    .assert_eq(&error.excerpt());
    let error = parse("vfs_(read", Dialect::Auto, Syntax::Regex).unwrap_err();
    expect![[r#"
        vfs_(read
            ^"#]]
    .assert_eq(&error.excerpt());
}

#[test]
fn both_readings_of_a_scoped_name() {
    let spec = parse("r:xfs:xfs_*", Dialect::Auto, Syntax::Glob).unwrap();
    assert_eq!(spec.kind.kernel_reading().unwrap().to_string(), "kretprobe:xfs:xfs_*");
    assert_eq!(spec.kind.user_reading().unwrap().to_string(), "uretprobe:xfs:xfs_*");
    let spec = parse("k:vfs_read", Dialect::Auto, Syntax::Glob).unwrap();
    assert_eq!(spec.kind.user_reading(), None);
}

fn matching<'n>(pattern: &str, syntax: Syntax, names: &[&'n str]) -> Vec<&'n str> {
    let pattern = Pattern::new(pattern, syntax).unwrap();
    names.iter().copied().filter(|name| pattern.matches(name)).collect()
}

#[test]
fn patterns() {
    let names = ["vfs_read", "vfs_readv", "vfs_write", "ksys_read", "a*b", "a[b", ""];
    let glob = |p| matching(p, Syntax::Glob, &names);
    assert_eq!(glob("vfs_read"), ["vfs_read"]);
    assert_eq!(glob("vfs_*"), ["vfs_read", "vfs_readv", "vfs_write"]);
    assert_eq!(glob("*read"), ["vfs_read", "ksys_read"]);
    assert_eq!(glob("*s_r*"), ["vfs_read", "vfs_readv", "ksys_read"]);
    assert_eq!(glob("v*_*d?"), ["vfs_readv"]);
    assert_eq!(glob("[!v]*_read"), ["ksys_read"]);
    assert_eq!(glob("[a-k]*[b]"), ["a*b", "a[b"]);
    assert_eq!(glob("a[*]b"), ["a*b"]);
    assert_eq!(glob("a[[]b"), ["a[b"]);
    assert_eq!(glob("**").len(), names.len());
    assert_eq!(glob(""), [""]);
    // Python's re.match: from the start, but not to the end.
    let regex = |p| matching(p, Syntax::Regex, &names);
    assert_eq!(regex("vfs_read"), ["vfs_read", "vfs_readv"]);
    assert_eq!(regex("vfs_read$"), ["vfs_read"]);
    assert_eq!(regex("read"), [""; 0]);
    assert_eq!(regex("ksys|vfs_w"), ["vfs_write", "ksys_read"]);
    // Only `*` is BCC's wildcard.
    let bcc = |p| matching(p, Syntax::BccWildcard, &names);
    assert_eq!(bcc("a[b"), ["a[b"]);
    assert_eq!(bcc("vfs_rea?"), [""; 0]);
    assert_eq!(bcc("*_read"), ["vfs_read", "ksys_read"]);
}

#[test]
fn hostile_globs_take_linear_space_and_bounded_time() {
    let name = "a".repeat(300);
    let pattern = Pattern::new(&format!("{}b", "*a".repeat(40)), Syntax::Glob).unwrap();
    let start = std::time::Instant::now();
    assert!(!pattern.matches(&name));
    assert!(start.elapsed().as_millis() < 500);
}

/// What a glob means, by the textbook: exponential, fine for short input.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => naive(rest, name) || (!name.is_empty() && naive(pattern, &name[1..])),
        (Some((b'?', rest)), Some((_, tail))) => naive(rest, tail),
        (Some((p, rest)), Some((n, tail))) => p == n && naive(rest, tail),
        _ => false,
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z_][a-z0-9_.]{0,12}", 1 => "[a-z:+\" \\\\/*?\\[\\],é]{1,8}"]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof!["[a-z_*?]{1,10}", "[a-z]{0,4}\\[[a-z]{1,3}\\][a-z*:+\" ]{0,4}"]
        .prop_filter_map("valid", |text| Pattern::new(&text, Syntax::Glob).ok())
}

fn func() -> impl Strategy<Value = (FuncRef, u64)> {
    prop_oneof![
        (name(), prop_oneof![Just(0), 1u64..5000]).prop_map(|(n, o)| (FuncRef::Exact(n), o)),
        pattern().prop_filter("a wildcard", |p| p.literal().is_none()).prop_map(|p| (FuncRef::Pattern(p), 0)),
        any::<u64>().prop_map(|a| (FuncRef::Addr(a), 0)),
    ]
}

fn binary() -> impl Strategy<Value = BinaryRef> {
    let plain = |s: &String| !s.contains(['*', '?', '[']);
    prop_oneof![
        name().prop_filter("no wildcard", plain).prop_map(|n| BinaryRef::Path(format!("/{n}"))),
        name().prop_filter("a name", move |n| plain(n) && !n.contains('/')).prop_map(BinaryRef::Name),
        pattern()
            .prop_filter("a wildcard", |p| p.text().contains(['*', '?', '[']))
            .prop_map(BinaryRef::Pattern),
        Just(BinaryRef::Process),
    ]
}

fn kind() -> impl Strategy<Value = EventKind> {
    let entry_only = |(ret, (func, offset)): (bool, (FuncRef, u64))| {
        let ret = ret && offset == 0 && !matches!(func, FuncRef::Addr(_));
        (ret, func, offset)
    };
    let what = (any::<bool>(), func()).prop_map(entry_only).boxed();
    prop_oneof![
        (what.clone(), proptest::option::of(pattern()))
            .prop_map(|((ret, func, offset), module)| EventKind::Kprobe { ret, module, func, offset }),
        (what, binary()).prop_map(|((ret, func, offset), binary)| EventKind::Uprobe {
            ret,
            binary,
            func,
            offset
        }),
        (pattern(), pattern()).prop_map(|(category, event)| EventKind::Tracepoint { category, event }),
        (binary(), proptest::option::of(pattern()), pattern())
            .prop_map(|(binary, provider, probe)| EventKind::Usdt { binary, provider, probe }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn parsing_never_panics_and_spans_are_sound(
        text in "(p|r|k|kr|u|ur|t|U|kprobe|uprobe|tracepoint|usdt|:|:|:|\"|\\\\|\\+|0x|\\[|\\]|\\(|\\)|\\*|\\?|\\{|,| |é|vfs_|\\PC){0,14}",
        dialect in prop_oneof![Just(Dialect::Auto), Just(Dialect::Bcc), Just(Dialect::Bpftrace)],
        syntax in prop_oneof![Just(Syntax::Glob), Just(Syntax::BccWildcard), Just(Syntax::Regex)],
    ) {
        match parse(&text, dialect, syntax) {
            Ok(spec) => {
                prop_assert_eq!(text.trim(), &text[spec.span.clone()]);
                if syntax == Syntax::BccWildcard || dialect == Dialect::Bcc {
                    // Brackets are no wildcards there, so the canonical spelling does not belong to it.
                    return Ok(());
                }
                let shown = spec.to_string();
                let again = parse(&shown, Dialect::Auto, syntax);
                prop_assert_eq!(again.map(|s| s.kind), Ok(spec.kind), "shown as {}", shown);
            }
            Err(error) => {
                prop_assert!(text.get(error.span.clone()).is_some(), "{error:?}");
                let _ = error.excerpt();
                prop_assert!(!error.problem.is_empty());
            }
        }
    }

    #[test]
    fn what_is_shown_parses_to_the_same(kind in kind()) {
        let shown = kind.to_string();
        let again = parse(&shown, Dialect::Auto, Syntax::Glob);
        prop_assert_eq!(again.map(|s| s.kind), Ok(kind), "shown as {}", shown);
    }

    #[test]
    fn globs_match_what_the_textbook_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
        let compiled = Pattern::new(&pattern, Syntax::Glob).unwrap();
        prop_assert_eq!(compiled.matches(&name), naive(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn any_pattern_text_is_fine(text in "\\PC{0,20}|[\\[\\]a-c!^*?-]{0,10}|[a-c()\\[\\]|*+?{}0-9,^$\\\\.]{0,12}") {
        for syntax in [Syntax::Glob, Syntax::BccWildcard, Syntax::Regex] {
            match Pattern::new(&text, syntax) {
                Ok(pattern) => drop(pattern.matches("abc")),
                Err(error) => prop_assert!(text.get(error.span.clone()).is_some(), "{error:?}"),
            }
        }
    }
}
