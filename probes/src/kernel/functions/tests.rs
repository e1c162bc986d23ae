use super::fallback::BtfFunctions;
use super::*;
use crate::spec::Syntax;

fn glob(text: &str) -> Pattern {
    Pattern::new(text, Syntax::Glob).unwrap()
}

const AVAILABLE: &str = "__traceiter_initcall_level\nvfs_read\nvfs_write\nvfs_secret\nrun.isra.0\n\
                         __ftrace_invalid_address___64\nhelper\nhelper\nhelper [ext4]\nxfs_open [xfs]\nvfs_x [xfs]\n";

/// The functions found in [`AVAILABLE`].
fn available(pattern: &str, module: Option<&str>) -> Vec<String> {
    let path = std::env::temp_dir().join(format!("tracewell-aff-{}-{}", std::process::id(), pattern.len()));
    std::fs::write(&path, AVAILABLE).unwrap();
    let blacklist = Blacklist::from_reader(&b"0x1-0x2\tvfs_secret\n"[..]).unwrap();
    let mut builder = Builder::default();
    let read = from_available(&path, &glob(pattern), module.map(glob).as_ref(), &blacklist, &mut builder);
    std::fs::remove_file(&path).unwrap();
    read.unwrap();
    let table = builder.finish(Source::AvailableFilterFunctions);
    (0..table.len()).map(|i| format!("{}/{}", table.module(i).unwrap_or("-"), table.name(i))).collect()
}

#[test]
fn the_kernels_list() {
    assert_eq!(available("vfs_*", None), ["-/vfs_read", "-/vfs_write", "xfs/vfs_x"]);
    assert_eq!(available("*", Some("xfs")), ["xfs/xfs_open", "xfs/vfs_x"]);
    assert_eq!(available("vfs*", Some("vmlinux")), ["-/vfs_read", "-/vfs_write"]);
    assert_eq!(available("h*", Some("*")), ["-/helper", "-/helper", "ext4/helper"]);
    assert_eq!(available("run*", None), ["-/run.isra.0"]);
}

#[test]
fn duplicates_are_found() {
    let mut builder = Builder::default();
    for name in ["a", "b", "a", "c", "b", "a"] {
        builder.push(name.as_bytes(), None, None);
    }
    assert_eq!(builder.finish(Source::AvailableFilterFunctions).duplicates(), [2, 4, 5]);
}

/// The functions, with the addresses that the fixture's symbols give them.
fn addressed(functions: &[(&str, Option<&str>)]) -> (Vec<String>, usize) {
    let mut builder = Builder::default();
    for (name, module) in functions {
        builder.push(name.as_bytes(), module.map(str::as_bytes), None);
    }
    let symbols = include_str!("../../../tests/data/kallsyms-6.12.txt");
    let scan = |each: &mut dyn FnMut(kallsyms::Line<'_>) -> ControlFlow<()>| {
        for line in symbols.lines() {
            let _ = each(kallsyms::parse_line(line.as_bytes()).unwrap());
        }
        Ok(())
    };
    builder.add_addresses_from(scan).unwrap();
    let table = builder.finish(Source::AvailableFilterFunctions);
    let show =
        |i| format!("{}/{} {:x}", table.module(i).unwrap_or("-"), table.name(i), table.addr(i).unwrap());
    ((0..table.len()).map(show).collect(), table.skipped())
}

#[test]
fn functions_get_the_addresses_of_their_symbols() {
    // Two of one name in the kernel and one in a module: by order, and by module.
    let all = [
        ("helper", None),
        ("vfs_read", None),
        ("helper", None),
        ("helper", Some("ext4")),
        ("xfs_open", Some("xfs")),
    ];
    let (rows, skipped) = addressed(&all);
    assert_eq!(
        rows,
        [
            "-/helper ffffffff81000350",
            "-/vfs_read ffffffff81000500",
            "-/helper ffffffff81000400",
            "ext4/helper ffffffffc0001000",
            "xfs/xfs_open ffffffffc0a01000",
        ]
    );
    assert_eq!(skipped, 0);
    // Only one of the two can be traced: which one is not certain.
    assert_eq!(
        addressed(&[("helper", None), ("vfs_read", None)]),
        (vec!["-/vfs_read ffffffff81000500".into()], 1)
    );
    // The other module's function of the same name is no reason to doubt.
    assert_eq!(addressed(&[("helper", Some("ext4"))]), (vec!["ext4/helper ffffffffc0001000".into()], 0));
    assert_eq!(addressed(&[("gone", None)]), (vec![], 1));
}

#[test]
fn a_plain_name_reads_nothing() {
    let table = find(&FuncRef::Exact("no_such_function_anywhere".into()), None, false).unwrap();
    assert_eq!(
        (table.len(), table.name(0), table.source()),
        (1, "no_such_function_anywhere", Source::AsGiven)
    );
    assert_eq!(table.name(1), "");
    let table = find(&FuncRef::Addr(0x1234), None, true).unwrap();
    assert_eq!((table.name(0), table.addr(0)), ("0x1234", Some(0x1234)));
}

#[test]
fn sections_hide_their_functions() {
    let mut sections = Sections::default();
    for line in include_str!("../../../tests/data/kallsyms-6.12.txt").lines() {
        sections.see(&kallsyms::parse_line(line.as_bytes()).unwrap());
    }
    assert_eq!(sections.around(0xffff_ffff_8300_0010), Some("_sinittext"));
    assert_eq!(sections.around(0xffff_ffff_8100_1010), Some("__noinstr_text_start"));
    assert_eq!(sections.around(0xffff_ffff_8100_0500), None);
    assert!(is_fragment(b"vfs_read.cold") && is_fragment(b"__pfx_vfs_read") && !is_fragment(b"run.isra.0"));
}

/// Whether symbols can be read with their addresses.
fn symbols(test: &str) -> bool {
    match kallsyms::Kallsyms::read() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("SKIP {test}: {error}");
            false
        }
    }
}

#[test]
fn root_functions_by_pattern() {
    if !symbols("root_functions_by_pattern") {
        return;
    }
    let table = find(&FuncRef::Pattern(glob("vfs_*")), None, false).unwrap();
    let names: Vec<&str> = table.iter().collect();
    eprintln!("{} functions from {:?}", names.len(), table.source());
    assert!(names.len() > 20 && names.contains(&"vfs_read") && names.contains(&"vfs_open"), "{names:?}");
    assert!(names.iter().all(|n| n.starts_with("vfs_") && !n.contains(".cold")), "{names:?}");
    let vmlinux = find(&FuncRef::Pattern(glob("vfs_*")), Some(&glob("vmlinux")), false).unwrap();
    assert!(vmlinux.len() > 20);
}

#[test]
fn root_all_functions_with_addresses() {
    if !symbols("root_all_functions_with_addresses") {
        return;
    }
    let names = find(&FuncRef::Pattern(Pattern::any()), None, false).unwrap();
    let table = find(&FuncRef::Pattern(Pattern::any()), None, true).unwrap();
    eprintln!(
        "{} functions, {} with addresses, {} skipped, {} bytes, {:?}",
        names.len(),
        table.len(),
        table.skipped(),
        table.size(),
        table.source()
    );
    assert!(names.len() > 10_000);
    assert_eq!(table.addrs().len(), table.len());
    assert_eq!(table.len() + table.skipped(), names.len());
    assert!(table.skipped() * 20 < names.len(), "{} of {}", table.skipped(), names.len());
    let later = names.clone().with_addresses().unwrap();
    assert!(
        later.len() + later.skipped() == names.len() && later.skipped() * 20 < names.len(),
        "{}",
        later.skipped()
    );
    // 43,000 names in well under 3 MB.
    assert!(names.size() < names.len() * 64);
    // The addresses are those of the symbols.
    let at = table.iter().position(|n| n == "vfs_read").unwrap();
    assert_eq!(Some(locate("vfs_read", None).unwrap()[0].0), table.addr(at));
}

#[test]
fn root_the_fallback_agrees_with_btf() {
    let test = "root_the_fallback_agrees_with_btf";
    if !symbols(test) {
        return;
    }
    let Some(functions) = BtfFunctions::read() else {
        return eprintln!("SKIP {test}: no /sys/kernel/btf/vmlinux");
    };
    let table = fallback::from_kallsyms(&glob("*"), None, &Blacklist::default(), false).unwrap();
    assert_eq!(table.source(), Source::Kallsyms { btf: true });
    assert!(functions.contains(b"vfs_read") && !functions.contains(b"no_such_function"));
    let unknown = table
        .iter()
        .enumerate()
        .filter(|(i, n)| table.module(*i).is_none() && !functions.contains(n.as_bytes()) && !n.contains('.'));
    assert_eq!(unknown.count(), 0);
}

#[test]
fn root_missing_functions_are_explained() {
    if !symbols("root_missing_functions_are_explained") {
        return;
    }
    let error = find(&FuncRef::Pattern(glob("vfs_raed*")), None, false).unwrap_err().to_string();
    assert!(error.starts_with("no kernel function matches `vfs_raed*`; did you mean vfs_read"), "{error}");
    let error =
        find(&FuncRef::Pattern(glob("*")), Some(&glob("no_such_mod")), false).unwrap_err().to_string();
    assert!(error.contains("there is no module no_such_mod"), "{error}");
    let error = crate::kernel::why_not::why_not("vfs_raed").into_error().to_string();
    assert!(
        error.starts_with("cannot trace `vfs_raed`: this kernel has no function of that name"),
        "{error}"
    );
    assert!(error.contains("did you mean vfs_read"), "{error}");
    let error = crate::kernel::why_not::why_not("start_kernel").explain();
    assert!(error.contains("while the kernel starts") || error.contains("no function"), "{error}");
}
