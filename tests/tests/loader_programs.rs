//! Programs of the own objects of `tests/bpf`: those that are refused say why, those that are attached see the workload.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use loader::{Error, LoadOptions, Loader, Target};
use tracewell_tests::object;
use tracewell_tests::objects::{load, load_only, parse};
use tracewell_tests::support::{Workload, is_root, skip};

/// The program, and what its error has to say: words of the C line, then of the reason or remedy.
const REFUSED: &[(&str, &[&str])] = &[
    ("not_checked_for_null", &["return *value", "null"]),
    ("beyond_the_value", &["value[1]"]),
    ("helper_not_allowed", &["bpf_copy_from_user"]),
    ("reads_uninitialized", &["R7"]),
    ("writes_the_context", &["context->len = 1"]),
    ("index_not_bounded", &["bytes[i] = 1"]),
    ("without_an_end", &["loop"]),
];

#[test]
fn root_object_refused_programs_say_why() {
    if !is_root("root_object_refused_programs_say_why") {
        return;
    }
    let target = Target::running().unwrap();
    let object = object!("refused");
    let mut wrong = Vec::new();
    for (program, words) in REFUSED {
        let error = load_only(&object, program, &target).expect_err(program);
        let text = error.to_string();
        let Error::Verifier(refused) = error else { panic!("{program}: {text}") };
        let lost: Vec<_> =
            words.iter().filter(|w| !text.to_lowercase().contains(&w.to_lowercase())).collect();
        let place =
            refused.file.as_ref().is_some_and(|(file, line)| file.ends_with("refused.bpf.c") && *line > 0);
        if !lost.is_empty() || !place || refused.remedy.is_none() || refused.log.is_empty() {
            wrong.push(format!("{program}: without {lost:?}, place {:?}\n{text}", refused.file));
        }
    }
    let text = load(&object!("not_gpl")).unwrap_err().to_string();
    if !text.contains("GPL") || !text.contains("bpf_trace_printk") {
        wrong.push(format!("not_gpl: {text}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // The others are not hidden by them.
    let verdicts = Loader::new(&target, LoadOptions::default()).check(&object).unwrap();
    assert_eq!(verdicts.len(), REFUSED.len());
    assert!(verdicts.iter().all(|v| v.result.is_err()));
}

#[test]
fn root_object_reads_the_kernels_structs() {
    if !is_root("root_object_reads_the_kernels_structs") {
        return;
    }
    let mut workload = Workload::start(&["--mode", "chain", "--calls", "5"]);
    let mut object = object!("probe_read");
    object.set("wanted", workload.pid()).unwrap();
    let collection = load(&object).unwrap();
    let attached =
        probes::object::attach_all(&collection, &probes::object::AttachOptions::default()).unwrap();
    workload.go();
    drop(attached);
    let number = |name: &str| collection.variable::<u32>(name).unwrap().get().unwrap();
    assert_eq!((number("tgid"), number("leader_tgid")), (workload.pid(), workload.pid()));
    let comm = collection.variable::<[u8; 16]>("comm").unwrap().get().unwrap();
    assert!(comm.starts_with(b"workload"), "{comm:?}");
    workload.run_out();
}

#[test]
fn root_object_attached_programs_count() {
    let test = "root_object_attached_programs_count";
    if !is_root(test) {
        return;
    }
    let mut workload = Workload::start(&["--mode", "chain", "--calls", "50"]);
    let mut object = object!("attach");
    object.set("wanted", workload.pid()).unwrap();
    let kprobes = PathBuf::from("/sys/kernel/tracing/kprobe_events").exists();
    for program in &mut object.programs {
        program.autoload |= kprobes && program.name != "on_fentry";
    }
    let collection = load(&object).unwrap();
    let attached =
        probes::object::attach_all(&collection, &probes::object::AttachOptions::default()).unwrap();
    workload.go();
    drop(attached);
    workload.run_out();
    let hits = |name: &str| collection.variable::<u64>(name).unwrap().get().unwrap();
    assert_eq!((hits("tracepoint_hits"), hits("raw_hits")), (50, 50));
    if kprobes {
        assert_eq!((hits("kprobe_hits"), hits("return_hits"), hits("syscall_hits")), (50, 50, 50));
    }
}

#[test]
fn root_object_tracing_programs() {
    let test = "root_object_tracing_programs";
    if !is_root(test) {
        return;
    }
    let mut workload = Workload::start(&["--mode", "chain", "--calls", "50"]);
    let mut object = object!("attach");
    object.set("wanted", workload.pid()).unwrap();
    let target = Target::running().unwrap();
    match load_only(&object, "on_fentry", &target) {
        Ok(collection) => {
            let options = probes::object::AttachOptions::default();
            let program = collection.program("on_fentry").unwrap();
            let attached = probes::object::attach(program, &options).unwrap();
            workload.go();
            drop(attached);
            assert_eq!(collection.variable::<u64>("fentry_hits").unwrap().get().unwrap(), 50);
        }
        Err(error) => {
            workload.go();
            skip(test, &format!("this kernel loads no tracing programs: {error}"));
        }
    }
    workload.run_out();
}

/// What a record of `rings.bpf.c` says: the process, the number of the record, the process's name.
fn record(bytes: &[u8]) -> (u32, u32, String) {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let name = bytes[8..24].split(|b| *b == 0).next().unwrap_or_default();
    (word(0), word(4), String::from_utf8_lossy(name).into_owned())
}

#[test]
fn root_object_streams() {
    if !is_root("root_object_streams") {
        return;
    }
    let mut workload = Workload::start(&["--mode", "chain", "--calls", "20"]);
    let mut object = object!("rings");
    object.set("wanted", workload.pid()).unwrap();
    let collection = load(&object).unwrap();
    let mut ring = collection.ring_buffer("ring").unwrap();
    let attached =
        probes::object::attach_all(&collection, &probes::object::AttachOptions::default()).unwrap();
    workload.go();
    drop(attached);
    let mut records = Vec::new();
    ring.consume(|bytes| records.push(record(bytes))).unwrap();
    let expected: Vec<_> = (0..20).map(|n| (workload.pid(), n, "workload".to_owned())).collect();
    assert_eq!(records, expected);
    workload.run_out();
}

#[test]
fn root_object_struct_ops() {
    let test = "root_object_struct_ops";
    if !is_root(test) {
        return;
    }
    let collection = match load(&object!("struct_ops")) {
        Ok(collection) => collection,
        Err(error) => return skip(test, &format!("no struct_ops here: {error}")),
    };
    let map = collection.loaded_map("tracewell_cc").unwrap();
    let attached = probes::object::attach_map(map).unwrap();
    let names = "/proc/sys/net/ipv4/tcp_available_congestion_control";
    let listed = || fs::read_to_string(names).unwrap().split_whitespace().any(|name| name == "tracewell");
    assert!(listed());
    drop(attached);
    assert!(!listed());
}

/// What a section's name means: the program's type, and the attach type that it has to be loaded with.
#[test]
fn object_sections_have_their_types() {
    let object = parse("sections", tracewell_tests::object_bytes!("sections"));
    let mut text = String::new();
    for program in &object.programs {
        let attach = program.expected_attach_type.map_or("-".to_owned(), |a| format!("{a:?}"));
        text += &format!(
            "{} {:?} {attach}{}{}\n",
            program.section,
            program.prog_type,
            if program.flags.is_empty() { String::new() } else { format!(" {:?}", program.flags) },
            if program.autoload { "" } else { " optional" }
        );
    }
    expect_test::expect_file!["data/loader_sections.txt"].assert_eq(&text);
}
