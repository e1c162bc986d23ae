use super::*;
use expect_test::expect;
use proptest::prelude::*;

const FIXTURE: &str = include_str!("../../../tests/data/kallsyms-6.12.txt");

fn show(symbol: Option<(&str, u64, Option<&str>)>) -> String {
    match symbol {
        Some((name, offset, module)) => format!("{name}+{offset:#x} {}", module.unwrap_or("-")),
        None => "?".into(),
    }
}

const ADDRS: &[u64] = &[
    0,
    0x1000,
    0xffff_ffff_8100_0000,
    0xffff_ffff_8100_0081,
    0xffff_ffff_8100_0304,
    0xffff_ffff_8100_0500,
    0xffff_ffff_8100_06a4,
    0xffff_ffff_8128_0000,
    0xffff_ffff_8140_0000,
    0xffff_ffff_c000_1008,
    0xffff_ffff_c0a0_1000,
    0xffff_ffff_c0a0_1041,
    0xffff_ffff_c0b0_2010,
    u64::MAX,
];

#[test]
fn addresses_to_names() {
    let table = Kallsyms::from_reader(FIXTURE.as_bytes()).unwrap();
    let shown: Vec<String> = ADDRS.iter().map(|&a| format!("{a:x} {}", show(table.lookup(a)))).collect();
    expect![[r#"
        [
            "0 ?",
            "1000 ?",
            "ffffffff81000000 _stext+0x0 -",
            "ffffffff81000081 do_one_initcall+0x1 -",
            "ffffffff81000304 do_one_initcall+0x284 -",
            "ffffffff81000500 vfs_read+0x0 -",
            "ffffffff810006a4 vfs_read.cold+0x4 -",
            "ffffffff81280000 _etext+0x80000 -",
            "ffffffff81400000 ?",
            "ffffffffc0001008 helper+0x8 ext4",
            "ffffffffc0a01000 xfs_open+0x0 xfs",
            "ffffffffc0a01041 xfs_close+0x1 xfs",
            "ffffffffc0b02010 bpf_prog_6deef7357e7b4530+0x10 bpf",
            "ffffffffffffffff ?",
        ]
    "#]]
    .assert_debug_eq(&shown);
    assert_eq!(table.far.len(), 0);
}

#[test]
fn one_pass_finds_the_same() {
    let table = Kallsyms::from_reader(FIXTURE.as_bytes()).unwrap();
    let found = resolve_sorted_from(FIXTURE.as_bytes(), ADDRS).unwrap();
    for (&addr, symbol) in ADDRS.iter().zip(&found) {
        let symbol = symbol.as_ref().map(|s| (&*s.name, s.offset, s.module.as_deref()));
        assert_eq!(show(symbol), show(table.lookup(addr)), "{addr:x}");
    }
}

#[test]
fn hidden_addresses_are_explained() {
    let text = "0000000000000000 T _text\n0000000000000000 t foo\n";
    let error = Kallsyms::from_reader(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("shows zeros only") && error.contains("CAP_SYSLOG"), "{error}");
    let error = resolve_sorted_from(&b""[..], &[1]).unwrap_err().to_string();
    assert!(error.contains("CONFIG_KALLSYMS"), "{error}");
}

#[test]
fn damaged_lines_are_skipped() {
    for line in [
        "",
        " ",
        "x",
        "ffff",
        "ffff ",
        "ffff T",
        "ffff T ",
        "zzzz T a",
        "11111111111111111 T a",
        "ffff Tname",
    ] {
        assert_eq!(parse_line(line.as_bytes()), None, "{line:?}");
    }
    let line = parse_line(b"ffff T name [mod]").unwrap();
    assert_eq!((line.addr, line.name, line.module), (0xffff, &b"name"[..], Some(&b"mod"[..])));
    assert_eq!(parse_line(b"1 t a\t[").unwrap().module, None);
    assert_eq!(parse_line(b"1 t \xff\xfe").unwrap().name, b"\xff\xfe");
}

/// A few symbols at any addresses, as text.
fn symbols() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let addr = prop_oneof![1u64..64, 0xffff_ffff_8000_0000u64..0xffff_ffff_8000_0100, any::<u64>()];
    proptest::collection::vec((addr, any::<bool>()), 1..20)
}

proptest! {
    #[test]
    fn any_bytes_are_fine(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Kallsyms::from_reader(&bytes[..]);
        let _ = resolve_sorted_from(&bytes[..], &[0, 1, u64::MAX]);
    }

    #[test]
    fn almost_kallsyms_is_fine(text in "([0-9a-f]{1,17} [tTdW] |[a-z_.]{1,9}|\t\\[[a-z]{0,4}\\]|\n){0,40}") {
        if let Ok(table) = Kallsyms::from_reader(text.as_bytes()) {
            for addr in [0, 0x10, 0xffff, u64::MAX] {
                let _ = table.lookup(addr);
            }
        }
    }

    #[test]
    fn both_ways_find_the_nearest_symbol(symbols in symbols(), mut wanted in proptest::collection::vec(any::<u64>(), 0..4)) {
        let mut text = String::new();
        for (index, (addr, in_module)) in symbols.iter().enumerate() {
            text.push_str(&format!("{addr:x} t s{index}{}\n", if *in_module { "\t[m]" } else { "" }));
        }
        wanted.extend(symbols.iter().flat_map(|(a, _)| [*a, a.saturating_add(3)]));
        wanted.sort_unstable();
        let table = Kallsyms::from_reader(text.as_bytes()).unwrap();
        let found = resolve_sorted_from(text.as_bytes(), &wanted).unwrap();
        for (&addr, symbol) in wanted.iter().zip(&found) {
            let mut nearest: Option<(u64, usize, bool)> = None;
            for (index, &(start, in_module)) in symbols.iter().enumerate() {
                if start != 0 && start <= addr && addr - start < MAX_OFFSET && nearest.is_none_or(|(n, ..)| start > n) {
                    nearest = Some((start, index, in_module));
                }
            }
            let want = nearest.map(|(start, index, m)| (format!("s{index}"), addr - start, m.then_some("m")));
            let want = show(want.as_ref().map(|(n, o, m)| (&**n, *o, *m)));
            prop_assert_eq!(show(table.lookup(addr)), want.clone(), "table {:x}", addr);
            let one_pass = symbol.as_ref().map(|s| (&*s.name, s.offset, s.module.as_deref()));
            prop_assert_eq!(show(one_pass), want, "one pass {:x}", addr);
        }
    }
}

#[test]
fn root_the_running_kernel_resolves() {
    let test = "root_the_running_kernel_resolves";
    let table = match Kallsyms::read() {
        Ok(table) => table,
        Err(error) => return eprintln!("SKIP {test}: {error}"),
    };
    let places = find(&["vfs_read"]).unwrap();
    let addr = places.first().expect("every kernel has vfs_read").1;
    assert_eq!(table.lookup(addr + 4), Some(("vfs_read", 4, None)));
    let found = resolve_sorted(&[addr, addr + 8]).unwrap();
    assert_eq!(found[1], Some(Symbol { name: "vfs_read".into(), offset: 8, module: None }));
    // The budget: 200,000 symbols in 6 MB.
    assert!(table.size() < table.len() * 35, "{} bytes for {} symbols", table.size(), table.len());
}
