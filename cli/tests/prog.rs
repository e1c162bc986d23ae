//! `tracewell prog` on the running kernel.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use bpf::*;
use common::*;
use expect_test::expect;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::Signal;

#[test]
fn root_prog_list_says_what_bpftool_says() {
    let Some(place) = Place::new("prog_list") else { return };
    let file = place.object("subprograms.o", SUBPROGRAMS);
    let run = good(&["prog", "loadall", &file, &place.pin("all"), "pinmaps", &place.pin("maps")]);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    let first = place.pin("all/first");
    let id = id(&["prog", "show", "pinned", &first]);
    let row = json(&["prog", "list", "id", &id]);
    assert_eq!((&row["type"], &row["name"]), (&"socket_filter".into(), &"first".into()));
    assert_eq!((&row["gpl_compatible"], row["map_ids"].as_array().map(Vec::len)), (&true.into(), Some(1)));
    let text = good(&["prog", "show", "id", &id]).out;
    assert!(text.starts_with(&format!("{id}: socket_filter  name first  tag ")), "{text}");
    // In the list of all, and by name and by tag.
    let tag = row["tag"].as_str().expect("a tag").to_string();
    for args in [&["prog"][..], &["prog", "show", "name", "first"], &["prog", "show", "tag", &tag]] {
        let found = json(args);
        let has = |v: &serde_json::Value| v["id"].as_u64() == id.parse().ok();
        assert!(has(&found) || found.as_array().is_some_and(|all| all.iter().any(has)), "{args:?}: {found}");
    }
    let pinned = json(&["-f", "prog", "show", "id", &id]);
    assert_eq!(pinned["pinned"][0], first);
    for args in [&["prog", "show", "pinned", &first][..], &["prog", "show", "id", &id]] {
        same_json(args);
        same_text(args);
    }
    // Who holds it: this test, through a descriptor of its own.
    let held = bpf_sys::prog::Prog::open_pinned(&first).expect("the pin");
    let pids = json(&["prog", "show", "id", &id, "--pids"]);
    let own = std::process::id();
    let holders = pids["pids"].as_array().expect("processes");
    assert!(holders.iter().any(|p| p["pid"] == own), "{pids}");
    drop(held);
}

#[test]
fn root_prog_dump_interleaves_lines_and_names() {
    let Some(place) = Place::new("prog_dump") else { return };
    let file = place.object("subprograms.o", SUBPROGRAMS);
    good(&["prog", "loadall", &file, &place.pin("all")]);
    let first = place.pin("all/first");
    let text = good(&["prog", "dump", "xlated", "pinned", &first]).out;
    for part in [
        "int first(struct __sk_buff * context):\n",
        "; return middle(10) + global(4);\n",
        "int leaf(int a, int b):\n",
        "; return a * b;\n",
        "(95) exit\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // Calls name their functions where the kernel lists them.
    let listed = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default().contains("_middle\t[bpf]");
    let called = text.lines().any(|l| l.contains("call pc+") && l.ends_with("_middle"));
    assert!(called || !listed, "{text}");
    let rows = json(&["prog", "dump", "xlated", "pinned", &first, "linum", "opcodes"]);
    let source =
        rows.as_array().expect("rows").iter().find(|row| row["src"] == "return a * b;").expect("its line");
    assert!(source["file"].as_str().is_some_and(|f| f.ends_with("subprograms.bpf.c")), "{source}");
    assert!(source["line_num"].as_u64() > Some(0), "{source}");
    for args in [
        &["prog", "dump", "xlated", "pinned", &first][..],
        &["prog", "dump", "xlated", "pinned", &first, "linum"],
        &["prog", "dump", "xlated", "pinned", &first, "opcodes"],
    ] {
        same_text(args);
        same_json(args);
    }
    // To a file: as many bytes as the list says, and the same as bpftool's.
    let out = place.dir().join("xlated");
    let path = out.display().to_string();
    good(&["prog", "dump", "xlated", "pinned", &first, "file", &path]);
    let bytes = std::fs::read(&out).expect("the file");
    let row = json(&["prog", "show", "pinned", &first]);
    assert_eq!(row["bytes_xlated"].as_u64(), Some(bytes.len() as u64));
    // A graph: a cluster for each of the four functions.
    let graph = good(&["prog", "dump", "xlated", "pinned", &first, "visual"]).out;
    assert!(graph.starts_with("digraph") && graph.trim_end().ends_with('}'), "{graph}");
    assert_eq!(graph.matches("subgraph").count(), text.matches("):\n").count(), "{graph}");
    // Machine code, if it is compiled: all of its bytes, cut where functions begin.
    if row["jited"] == true {
        let functions = json(&["prog", "dump", "jited", "pinned", &first]);
        let pieces = functions
            .as_array()
            .expect("functions")
            .iter()
            .flat_map(|f| f["insns"].as_array().expect("pieces"));
        let bytes: usize = pieces.map(|piece| piece["opcodes"].as_array().expect("bytes").len()).sum();
        assert_eq!(row["bytes_jited"].as_u64(), Some(bytes as u64));
        let text = good(&["prog", "dump", "jited", "pinned", &first]).out;
        assert!(text.contains("int leaf(int a, int b):\n"), "{text}");
    }
    // Several programs of one name need to be told apart.
    good(&["prog", "load", &file, &place.pin("again")]);
    let text = good(&["prog", "dump", "xlated", "name", "first"]).out;
    assert!(text.matches(": socket_filter  name first  tag ").count() >= 2, "{text}");
    tracewell(&["prog", "pin", "name", "first", &place.pin("which")])
        .fails_with(&["take one of them by `id`"]);
}

#[test]
fn root_prog_run_runs() {
    let Some(place) = Place::new("prog_run") else { return };
    let file = place.object("globals.o", GLOBALS);
    let (pin, maps) = (place.pin("add"), place.pin("maps"));
    good(&["prog", "load", &file, &pin, "pinmaps", &maps, "--set", "limit=5", "--set", "name=\"set\""]);
    let packet = place.object("packet", &[0; 64]);
    let out = place.dir().join("out").display().to_string();
    let run = good(&["prog", "run", "pinned", &pin, "data_in", &packet, "data_out", &out, "repeat", "3"]);
    // `hidden` begins as 17 and counts the runs.
    assert!(run.out.starts_with("Return value: 20, duration (average): "), "{run:?}");
    assert_eq!(std::fs::read(&out).expect("the output").len(), 64);
    let result = json(&["prog", "run", "pinned", &pin, "data_in", &packet, "data_out", "-"]);
    assert_eq!((&result["retval"], result["data_out"].as_array().map(Vec::len)), (&21.into(), Some(64)));
    // Four runs with what --set made of the constants.
    let data = json(&["map", "dump", "pinned", &place.pin("maps/globals_data")]);
    let counter = &data[0]["formatted"]["value"][".data"];
    assert!(counter.as_array().is_some_and(|all| all.iter().any(|v| v["counter"] == 1020)), "{data}");
    let bss = json(&["map", "dump", "pinned", &place.pin("maps/globals_bss")]);
    let copied = &bss[0]["formatted"]["value"][".bss"];
    assert!(copied.as_array().is_some_and(|all| all.iter().any(|v| v["copied"] == "set")), "{bss}");
    tracewell(&["prog", "run", "pinned", &pin, "data_in", "/nonexistent"])
        .fails_with(&["cannot read /nonexistent"]);
    let short = place.object("short", &[0; 3]);
    tracewell(&["prog", "run", "pinned", &pin, "data_in", &short])
        .fails_with(&["EINVAL", "does not take this data"]);
}

/// Ids of the programs of these names.
fn loaded(names: &[&str]) -> Vec<u32> {
    let found = bpf_sys::ids::progs().filter_map(|id| {
        let id = id.expect("ids");
        let prog = bpf_sys::prog::Prog::from_id(id).ok()?;
        names.contains(&prog.summary().ok()?.name.as_str()).then_some(id)
    });
    found.collect()
}

#[test]
fn root_prog_load_check_tells_what_loads() {
    let Some(place) = Place::new("prog_check") else { return };
    let good_file = place.object("globals.o", GLOBALS);
    let run = good(&["prog", "load", &good_file, "--check"]);
    assert!(
        run.out.starts_with("add (socket): loads, ") && run.out.ends_with("1 of 1 programs load\n"),
        "{run:?}"
    );
    let bad = place.object("refused.o", REFUSED);
    let before = loaded(&["not_checked_for", "beyond_the_valu"]);
    let run = tracewell(&["prog", "load", &bad, "--check"]);
    assert_eq!(run.status, Some(1), "{run:?}");
    for part in [
        "not_checked_for_null (socket): does not load\n",
        "at instruction ",
        "refused.bpf.c:",
        "return *value;",
        "the kernel says: ",
        "remedy: ",
        "\n0 of 7 programs load\n",
    ] {
        assert!(run.out.contains(part), "no {part:?} in {run:?}");
    }
    let run = tracewell(&["prog", "load", &bad, "--check", "-j", "-v"]);
    assert_eq!(run.status, Some(1), "{run:?}");
    let all: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!((&all["loaded"], &all["programs_in_all"]), (&0.into(), &7.into()));
    for program in all["programs"].as_array().expect("programs") {
        assert_eq!(program["loaded"], false);
        let (error, log) = (program["error"].as_str(), program["log"].as_str());
        assert!(error.is_some_and(|e| e.contains("refused by the verifier")), "{program}");
        assert!(log.is_some_and(|log| log.contains("processed ") || log.contains("insn")), "{program}");
    }
    // Nothing is left of it.
    assert_eq!(loaded(&["not_checked_for", "beyond_the_valu"]), before);
    // Loading it for good says the same of the first, and pins nothing.
    let pin = place.pin("refused");
    tracewell(&["prog", "load", &bad, &pin]).fails_with(&[
        "not_checked_for_null",
        "return *value;",
        "remedy: ",
    ]);
    assert!(!std::path::Path::new(&pin).exists());
}

/// Calls what the programs of rings.o watch, as often.
fn fallocate_times(n: usize) {
    let file = std::fs::File::create(scratch("fallocate").join("file")).expect("a file");
    for _ in 0..n {
        let _ = fallocate(&file, FallocateFlags::empty(), 0, 1);
    }
}

#[test]
fn root_autoattach_prints_records_by_their_types() {
    if !tracepoints("root_autoattach_prints_records_by_their_types") {
        return;
    }
    let Some(place) = Place::new("autoattach") else { return };
    let file = place.object("rings.o", RINGS);
    let pid = std::process::id();
    let wanted = format!("wanted={pid}");
    let start = |args: &[&str]| {
        let mut all = vec!["prog", "load", &file, "--autoattach", "--set", &wanted];
        all.extend(args);
        let mut running = Running::start(&all);
        // What is attached is said on standard error.
        let err = running.0.stderr.as_mut().expect("a pipe");
        let (mut seen, mut byte) = (String::new(), [0]);
        while !seen.contains("Ctrl-C ends") {
            assert_eq!(std::io::Read::read(err, &mut byte).expect("standard error"), 1, "{seen}");
            seen.push(byte[0] as char);
        }
        running
    };
    let running = start(&["--json"]);
    fallocate_times(3);
    std::thread::sleep(std::time::Duration::from_millis(500));
    running.signal(Signal::SIGINT);
    let run = running.end();
    assert_eq!(run.status, Some(0), "{run:?}");
    let records: Vec<serde_json::Value> =
        run.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    for map in ["ring", "perf"] {
        let of_map: Vec<_> = records.iter().filter(|r| r["map"] == map).collect();
        assert_eq!(of_map.len(), 3, "{map}: {run:?}");
        for record in of_map {
            assert_eq!(record["type"], "struct record", "{record}");
            assert_eq!(record["value"]["pid"], pid, "{record}");
        }
    }
    let sequence: Vec<u64> = records
        .iter()
        .filter(|r| r["map"] == "ring")
        .filter_map(|r| r["value"]["sequence"].as_u64())
        .collect();
    assert_eq!(sequence, [0, 1, 2]);
    assert_eq!(records.len(), 6);
    // As text, with the type given.
    let running = start(&["--record", "ring=record", "-D", "1"]);
    fallocate_times(1);
    let run = running.end();
    assert_eq!(run.status, Some(0), "{run:?}");
    let line = run.out.lines().find(|line| line.starts_with("ring: ")).expect("a record");
    assert!(line.starts_with(&format!("ring: {{.pid = {pid}, .sequence = 0, .comm = \"")), "{line}");
    assert!(run.err.contains("ring: 1 record\n") && run.err.contains("perf: 1 record\n"), "{run:?}");
    // Detached again.
    assert!(loaded(&["to_ring", "to_perf"]).is_empty() || loaded_by_others());
}

/// Other tests of this file may have the same programs loaded; they run at the same time.
fn loaded_by_others() -> bool {
    for _ in 0..100 {
        if loaded(&["to_ring", "to_perf"]).is_empty() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

#[test]
fn root_prog_load_says_what_is_wrong() {
    let Some(place) = Place::new("prog_bad") else { return };
    let file = place.object("typed.o", TYPED);
    let cut = place.object("cut.o", &TYPED[..TYPED.len() / 2]);
    let pin = place.pin("x");
    let bad = |args: &[&str], parts: &[&str]| {
        let mut all = vec!["prog", "load"];
        all.extend(args);
        tracewell(&all).fails_with(parts);
    };
    bad(&["/nonexistent.o", &pin], &["cannot read /nonexistent.o"]);
    bad(&[&cut, "--check"], &["cut.o: ", "damaged or cut short"]);
    bad(&[&file, "/tmp/tw_not_a_bpffs"], &["in a BPF file system", "mount -t bpf"]);
    bad(&[&file, &place.pin("a.b")], &["no dot", "a_b would do"]);
    bad(&[&file, "--check", "--set", "nosuch=1"], &["`nosuch`", "no global variables"]);
    bad(&[&file, "--check", "--map-max", "nosuch=1"], &["no map `nosuch`", "typed", "queue"]);
    bad(
        &[&file, "--autoattach", "--record", "typed=value"],
        &["no records through a map `typed`", "no such maps"],
    );
    bad(&[&file, &pin, "map", "name", "nosuch", "id", "1"], &["no such map", "typed"]);
    bad(&[&file, &pin, "map", "idx", "99", "id", "1"], &["map idx 99"]);
    let types = place.object("types", b"no types");
    bad(&[&file, "--check", "--btf", &types], &["--btf", "BTF"]);
    good(&["prog", "load", &file, &pin]);
    bad(&[&file, &pin], &["EEXIST", "choose another name"]);
    // A map of another program's in place of its own.
    let (shared, second) = (place.pin("typed"), place.pin("y"));
    let create = |name: &str| {
        [
            "map", "create", name, "type", "hash", "key", "8", "value", "24", "entries", "16", "name",
            "typed", "flags", "1",
        ]
        .map(String::from)
    };
    good(&create(&shared).each_ref().map(String::as_str));
    good(&["prog", "load", &file, &second, "map", "name", "typed", "pinned", &shared]);
    let map = json(&["map", "show", "pinned", &shared])["id"].clone();
    let used = json(&["prog", "show", "pinned", &second]);
    assert!(used["map_ids"].as_array().is_some_and(|ids| ids.contains(&map)), "{used}");
}

#[test]
fn root_prog_ids_and_words_that_are_wrong() {
    if !root("root_prog_ids_and_words_that_are_wrong") {
        return;
    }
    tracewell(&["prog", "show", "id", "4294967295"]).fails_with(&["program 4294967295", "none with this id"]);
    tracewell(&["prog", "show", "name", "nosuchname"])
        .fails_with(&["no program has the name nosuchname", "prog list"]);
    tracewell(&["prog", "show", "tag", "0000000000000000"]).fails_with(&["no program has the tag"]);
    tracewell(&["prog", "dump", "xlated", "pinned", "/nonexistent"]).fails_with(&["/nonexistent", "ENOENT"]);
}

#[test]
fn words_that_are_wrong_are_usage_errors() {
    let check = |args: &[&str], expected: expect_test::Expect| {
        let run = tracewell(args);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{run:?}");
        expected.assert_eq(&run.err);
    };
    check(
        &["prog", "show", "idd", "1"],
        expect![[r#"
            error: `idd` where `id`, `tag`, `name` or `pinned` should be: PROG is `id N`, `tag TAG`, `name NAME` or `pinned FILE`

            For more information, try '--help'.
        "#]],
    );
    check(
        &["prog", "dump", "id", "1"],
        expect![[r#"
            error: `id` where `xlated` or `jited` should be: dump { xlated | jited } PROG [file FILE | opcodes | linum | visual]

            For more information, try '--help'.
        "#]],
    );
    check(
        &["prog", "run", "id", "1"],
        expect![[r#"
            error: the program needs input: run PROG { data_in FILE | ctx_in FILE } [data_out FILE [data_size_out N]] [ctx_out FILE [ctx_size_out N]] [repeat N]

            For more information, try '--help'.
        "#]],
    );
    check(
        &["prog", "show", "tag", "12"],
        expect![[r#"
            error: tag `12`: a tag has 16 hexadecimal digits, as `prog list` shows them

            For more information, try '--help'.
        "#]],
    );
    check(
        &["-j", "feature"],
        expect![[r#"
            error: options of `feature` stand behind its name; those in front are for prog, map, link and btf

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn without_privilege_the_message_says_so() {
    let run = unprivileged(&["prog", "list"]);
    run.fails_with(&["EPERM", "run as root"]);
    let run = unprivileged(&["map", "list"]);
    run.fails_with(&["EPERM", "run as root"]);
    let run = unprivileged(&["link", "list"]);
    run.fails_with(&["EPERM", "run as root"]);
}
