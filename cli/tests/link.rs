//! `tracewell link` on the running kernel.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use bpf::*;
use bpf_sys::link::{self, Link};
use bpf_sys::prog::{AttachType, ProgLoad, ProgType};
use common::*;

/// `r0 = value; exit`
fn program(prog_type: ProgType, attach_type: Option<AttachType>, value: i32) -> bpf_sys::prog::Prog {
    let insns = asm::Builder::new().mov_imm(asm::R0, value).exit().finish().expect("a program").insns;
    let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
    let load = ProgLoad {
        prog_type,
        expected_attach_type: attach_type,
        insns: &words,
        license: "GPL",
        name: "tw_link",
        ..ProgLoad::default()
    };
    load.load().expect("the program")
}

fn id(link: &Link) -> String {
    link.info().expect("its details").id.to_string()
}

#[test]
fn root_links_are_listed_and_pinned() {
    let Some(place) = Place::new("link_list") else { return };
    let prog = program(ProgType::RawTracepoint, None, 0);
    // A tracepoint that never comes here.
    let link = link::raw_tracepoint_open(&prog, "sched_kthread_stop").expect("a raw tracepoint");
    let id = id(&link);
    let row = json(&["link", "show", "id", &id]);
    assert_eq!((&row["type"], &row["tp_name"]), (&"raw_tracepoint".into(), &"sched_kthread_stop".into()));
    assert_eq!(row["prog_id"].as_u64(), prog.id().ok().map(u64::from));
    let text = good(&["link", "list", "id", &id]).out;
    assert!(text.contains("\n\ttp 'sched_kthread_stop'"), "{text}");
    let all = json(&["link"]);
    assert!(all.as_array().expect("links").iter().any(|l| l["id"].as_u64() == id.parse().ok()), "{all}");
    same_text(&["link", "show", "id", &id]);
    let pin = place.pin("link");
    good(&["link", "pin", "id", &id, &pin]);
    let row = json(&["link", "show", "pinned", &pin, "-f", "--pids"]);
    assert_eq!((row["id"].to_string(), &row["pinned"][0]), (id.clone(), &pin.clone().into()));
    let own = std::process::id();
    assert!(row["pids"].as_array().is_some_and(|all| all.iter().any(|p| p["pid"] == own)), "{row}");
    // Which the kernel cannot detach by command: who holds it is said instead.
    tracewell(&["link", "detach", "id", &id]).fails_with(&["raw_tracepoint", "remove ", "and end "]);
}

#[test]
fn root_a_link_of_a_network_namespace_is_detached() {
    if !root("root_a_link_of_a_network_namespace_is_detached") {
        return;
    }
    let prog = program(ProgType::SkLookup, Some(AttachType::SkLookup), 1);
    let netns = std::fs::File::open("/proc/self/ns/net").expect("the namespace");
    let link = match link::attach(&prog, &netns, AttachType::SkLookup, 0) {
        Ok(link) => link,
        Err(e) => {
            eprintln!("SKIP root_a_link_of_a_network_namespace_is_detached: {e}");
            return;
        }
    };
    let id = id(&link);
    let row = json(&["link", "show", "id", &id]);
    assert_eq!((&row["type"], &row["attach_type"]), (&"netns".into(), &"sk_lookup".into()));
    assert!(row["netns_ino"].as_u64() > Some(0), "{row}");
    let text = good(&["link", "show", "id", &id]).out;
    assert!(text.contains("\n\tnetns_ino ") && text.contains("  attach_type sk_lookup"), "{text}");
    assert_eq!(good(&["link", "detach", "id", &id]).out, "");
    assert_eq!(json(&["link", "show", "id", &id])["netns_ino"], 0);
}

#[test]
fn root_links_that_are_not_there() {
    if !root("root_links_that_are_not_there") {
        return;
    }
    tracewell(&["link", "show", "id", "4294967295"]).fails_with(&["link 4294967295", "none with this id"]);
    tracewell(&["link", "detach", "pinned", "/nonexistent"]).fails_with(&["/nonexistent"]);
    let run = tracewell(&["link", "show", "name", "x"]);
    assert!(run.status == Some(2) && run.err.contains("links have no names"), "{run:?}");
}
