//! `tracewell prog`, `map` and `link` over what only some kernels have: kprobes, fentry, struct_ops.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tracewell_tests::support::{Tracer, Workload, in_guest, is_root, kernel_version, skip, tracewell};

/// Runs it with JSON and parses that.
#[track_caller]
fn json(args: &[&str]) -> Value {
    let all: Vec<&str> = ["-j"].iter().chain(args).copied().collect();
    let out = tracewell(&all).success();
    serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {out:?}"))
}

/// An object as a file.
fn object(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tracewell-commands-{}-{name}", std::process::id()));
    fs::write(&path, bytes).expect("the object is written");
    path
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path that we made")
}

/// Whether this is a guest, whose kernel functions may be traced; prints the skip line when not.
fn guest(test: &str) -> bool {
    if !in_guest() {
        skip(test, "not in a guest");
    }
    in_guest() && is_root(test)
}

#[test]
fn guest_links_at_kernel_functions_are_listed() {
    if !guest("guest_links_at_kernel_functions_are_listed") {
        return;
    }
    let tracer = Tracer::start(&["funccount", "vfs_read", "vfs_write"]);
    let links = json(&["link", "list", "--pids"]);
    let out = tracewell(&["link", "list"]).success();
    let pid = tracer.pid();
    tracer.finish().success();
    let ours: Vec<&Value> = links
        .as_array()
        .expect("a list")
        .iter()
        .filter(|link| link["pids"].as_array().is_some_and(|pids| pids.iter().any(|p| p["pid"] == pid)))
        .collect();
    let version = kernel_version();
    // Before 5.15 there are no links at perf events; before 6.6 the kernel tells no more than the type.
    if version < (5, 15) {
        assert_eq!(ours.len(), 0, "{links}");
    } else if version < (6, 6) {
        assert!(!ours.is_empty() && ours.iter().all(|link| link["type"] == "perf_event"), "{links}");
    } else {
        // A link for each pattern.
        assert!(ours.iter().all(|link| link["type"] == "kprobe_multi"), "{links}");
        assert!(ours.iter().all(|link| link["retprobe"] == false && link["func_cnt"] == 1), "{links}");
        let functions = ours.iter().flat_map(|link| link["funcs"].as_array().expect("functions"));
        let mut names: Vec<&str> = functions.filter_map(|f| f["func"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["vfs_read", "vfs_write"], "{links}");
        assert!(out.stdout.contains("\tkprobe.multi  func_cnt 1"), "{out:?}");
    }
}

#[test]
fn guest_every_program_of_an_object_is_tried() {
    if !guest("guest_every_program_of_an_object_is_tried") {
        return;
    }
    let path = object("attach.o", include_bytes!("../bpf/obj/attach.o"));
    let answer = json(&["prog", "load", text(&path), "--check"]);
    let _ = fs::remove_file(&path);
    let all = answer["programs"].as_array().expect("programs");
    assert_eq!((all.len(), &answer["loaded"]), (6, &6.into()), "{answer}");
    let fentry = all.iter().find(|p| p["name"] == "on_fentry").expect("it is there");
    assert_eq!(fentry["type"], "tracing", "{answer}");
}

#[test]
fn guest_a_struct_ops_map_is_dumped_by_the_kernels_types() {
    if !guest("guest_a_struct_ops_map_is_dumped_by_the_kernels_types") {
        return;
    }
    let path = object("struct_ops.o", include_bytes!("../bpf/obj/struct_ops.o"));
    let run = Tracer::start(&["prog", "load", text(&path), "--autoattach"]);
    let maps = json(&["map", "list"]);
    let map = maps.as_array().expect("a list").iter().find(|map| map["type"] == "struct_ops");
    let id = map.unwrap_or_else(|| panic!("no struct_ops map in {maps}"))["id"].to_string();
    let dump = json(&["map", "dump", "id", &id]);
    run.finish().success();
    let _ = fs::remove_file(&path);
    let value = dump[0]["formatted"]["value"].to_string();
    assert!(value.contains("\"name\":\"tracewell\""), "{dump}");
}

#[test]
fn root_records_of_a_traced_workload_are_printed() {
    if !is_root("root_records_of_a_traced_workload_are_printed") {
        return;
    }
    let path = object("rings.o", include_bytes!("../bpf/obj/rings.o"));
    let mut workload = Workload::start(&["--mode", "kernel", "--calls", "25"]);
    let wanted = format!("wanted={}", workload.pid());
    let run = Tracer::launch(&["prog", "load", text(&path), "--autoattach", "--json", "--set", &wanted]);
    if !run.attached() {
        let out = run.wait();
        let _ = fs::remove_file(&path);
        return skip("root_records_of_a_traced_workload_are_printed", out.stderr.trim());
    }
    workload.go();
    let out = run.finish().success();
    let _ = fs::remove_file(&path);
    let records: Vec<Value> =
        out.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    for map in ["ring", "perf"] {
        assert_eq!(records.iter().filter(|r| r["map"] == map).count(), 25, "{map}: {out:?}");
    }
    let mut ring = records.iter().filter(|r| r["map"] == "ring");
    assert!(ring.all(|r| r["value"]["comm"] == "workload"), "{out:?}");
}
