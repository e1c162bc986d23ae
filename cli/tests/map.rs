//! `tracewell map` on the running kernel.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use bpf::*;
use common::*;
use std::process::Command;

/// `map create` with these words behind the path.
fn create(pin: &str, words: &str) {
    let mut args = vec!["map", "create", pin];
    args.extend(words.split(' '));
    good(&args);
}

#[test]
fn root_map_elements_go_in_and_out_as_bytes() {
    let Some(place) = Place::new("map_bytes") else { return };
    let pin = place.pin("counts");
    create(&pin, "type hash key 4 value 8 entries 4 name tw_counts");
    let map = ["pinned", &pin];
    let words = |verb: &'static str, rest: &'static str| {
        let mut all = vec!["map", verb, map[0], map[1]];
        all.extend(rest.split(' ').filter(|w| !w.is_empty()));
        all
    };
    assert_eq!(good(&words("update", "key 1 0 0 0 value hex 0a 00 00 00 00 00 00 ff")).out, "");
    assert_eq!(
        good(&words("lookup", "key hex 01 00 00 00")).out,
        "key: 01 00 00 00  value: 0a 00 00 00 00 00 00 ff\n"
    );
    good(&words("update", "key 0x2 0 0 0 value 1 2 3 4 5 6 7 8 noexist"));
    same_json(&words("dump", ""));
    same_text(&words("dump", ""));
    same_json(&words("lookup", "key 1 0 0 0"));
    same_json(&words("getnext", ""));
    same_text(&words("getnext", ""));
    // A key that is not there is followed by the first one.
    same_json(&words("getnext", "key 9 0 0 0"));
    same_json(&["map", "show", "pinned", &pin]);
    same_text(&["map", "show", "pinned", &pin]);
    assert!(good(&words("dump", "")).out.ends_with("Found 2 elements\n"));

    // What is not there: said on standard output, as bpftool does, and by the status.
    let run = tracewell(&words("lookup", "key 9 0 0 0"));
    assert_eq!((run.status, run.out.as_str()), (Some(1), "key:\n09 00 00 00\n\nNot found\n"));
    tracewell(&words("update", "key 1 0 0 0 value 0 0 0 0 0 0 0 0 noexist"))
        .fails_with(&["has this key already"]);
    tracewell(&words("update", "key 9 0 0 0 value 0 0 0 0 0 0 0 0 exist"))
        .fails_with(&["does not have this key"]);
    tracewell(&words("delete", "key 9 0 0 0")).fails_with(&["does not have this key", "map dump"]);
    for n in ["3", "4"] {
        good(&[
            "map", "update", "pinned", &pin, "key", n, "0", "0", "0", "value", "hex", "0", "0", "0", "0",
            "0", "0", "0", "0",
        ]);
    }
    tracewell(&words("update", "key 5 0 0 0 value 0 0 0 0 0 0 0 0")).fails_with(&["is full", "4 entries"]);
    good(&words("delete", "key 1 0 0 0"));
    assert!(good(&words("dump", "")).out.ends_with("Found 3 elements\n"));

    // Sizes, and values for which there are no types.
    tracewell(&words("lookup", "key 1 0")).fails_with(&["the map's key is 4 bytes, but 2 are given"]);
    tracewell(&words("update", "key 1 0 0 0 value 1"))
        .fails_with(&["the map's value is 8 bytes, but 1 is given"]);
    tracewell(&words("lookup", "key {.a=1}")).fails_with(&["no type for its key", "4 bytes"]);
    for (args, part) in [
        (words("lookup", "key 1 0 0 256"), "`256` is not a byte"),
        (words("lookup", ""), "`key` and a key of 4 bytes"),
        (words("update", "value 1"), "but 1 is given"),
        (words("update", "key 1 0 0 0"), "the value is missing"),
    ] {
        let run = tracewell(&args);
        assert!(matches!(run.status, Some(1 | 2)) && run.err.contains(part), "{args:?}: {run:?}");
    }
    tracewell(&words("pop", "")).fails_with(&["is a hash: only a queue or a stack"]);
    let again = place.pin("again");
    good(&["map", "pin", "pinned", &pin, &again]);
    assert_eq!(id(&["map", "show", "pinned", &again]), id(&["map", "show", "pinned", &pin]));
    good(&words("freeze", ""));
    tracewell(&words("update", "key 2 0 0 0 value 0 0 0 0 0 0 0 0")).fails_with(&["frozen"]);
}

#[test]
fn root_map_elements_go_in_and_out_by_their_types() {
    let Some(place) = Place::new("map_types") else { return };
    let file = place.object("typed.o", TYPED);
    good(&["prog", "load", &file, &place.pin("prog"), "pinmaps", &place.pin("maps")]);
    let typed = place.pin("maps/typed");
    let value = "{.count = 3, .state = BUSY, .high = 9, .pair = {-1, 2}}";
    good(&["map", "update", "pinned", &typed, "key", "{.id = 7, .name = \"ab\"}", "value", value]);
    let found = json(&["map", "lookup", "pinned", &typed, "key", "{.id=7, .name=\"ab\"}"]);
    let members = &found["formatted"]["value"];
    assert_eq!(
        (&members["count"], &members["state"], &members["high"]),
        (&3.into(), &"BUSY".into(), &9.into())
    );
    assert_eq!(members["pair"], serde_json::json!([-1, 2]), "{found}");
    assert_eq!(found["key"].as_array().map(Vec::len), Some(8));
    let dump = json(&["map", "dump", "pinned", &typed]);
    assert_eq!(dump[0]["formatted"]["key"]["name"], "ab", "{dump}");
    // Bit fields are numbers here; all else is what bpftool says.
    if let Some(theirs) = bpftool(&["-j", "map", "dump", "pinned", &typed]) {
        let mut theirs: serde_json::Value = serde_json::from_str(&theirs).expect("bpftool's JSON");
        let members = &mut theirs[0]["formatted"]["value"];
        assert_eq!((&members["low"], &members["high"]), (&"0x0".into(), &"0x9".into()));
        (members["low"], members["high"]) = (0.into(), 9.into());
        assert_eq!(dump, theirs);
    }
    let text = good(&["map", "dump", "pinned", &typed]).out;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON")[0], dump[0]["formatted"]);
    tracewell(&["map", "update", "pinned", &typed, "key", "{.nosuch = 1}", "value", "{}"])
        .fails_with(&["no member nosuch", "id, name"]);

    // One value for every processor.
    let per_cpu = place.pin("maps/per_cpu");
    good(&["map", "update", "pinned", &per_cpu, "--typed", "key", "1", "value", "77"]);
    let found = json(&["map", "lookup", "pinned", &per_cpu, "key", "1", "0", "0", "0"]);
    let values = found["formatted"]["values"].as_array().expect("values");
    assert!(!values.is_empty() && values.iter().all(|v| v["value"] == 77), "{found}");
    same_json(&["map", "dump", "pinned", &per_cpu]);

    // A queue has no keys.
    let queue = place.pin("maps/queue");
    for value in ["5", "6"] {
        good(&["map", "enqueue", "pinned", &queue, "value", value, "0", "0", "0"]);
    }
    assert_eq!(json(&["map", "peek", "pinned", &queue])["value"][0], "0x05");
    assert_eq!(json(&["map", "dequeue", "pinned", &queue])["value"][0], "0x05");
    assert_eq!(json(&["map", "pop", "pinned", &queue])["value"][0], "0x06");
    tracewell(&["map", "pop", "pinned", &queue]).fails_with(&["is empty"]);
    tracewell(&["map", "dump", "pinned", &queue]).fails_with(&["no keys", "map peek"]);
    for name in ["typed", "per_cpu", "queue"] {
        let pin = place.pin(&format!("maps/{name}"));
        same_json(&["map", "show", "pinned", &pin]);
        same_text(&["map", "show", "pinned", &pin]);
    }
}

#[test]
fn root_maps_of_maps_and_of_programs() {
    let Some(place) = Place::new("map_objects") else { return };
    let (inner, outer) = (place.pin("inner"), place.pin("outer"));
    create(&inner, "type array key 4 value 4 entries 1 name tw_inner");
    create(
        &outer,
        &format!("type array_of_maps key 4 value 4 entries 2 name tw_outer inner_map pinned {inner}"),
    );
    good(&["map", "update", "pinned", &outer, "key", "1", "0", "0", "0", "value", "pinned", &inner]);
    let id = id(&["map", "show", "pinned", &inner]);
    let text = good(&["map", "dump", "pinned", &outer]).out;
    assert_eq!(text, format!("key: 01 00 00 00  inner_map_id: {id} \nFound 1 element\n"));
    same_json(&["map", "dump", "pinned", &outer]);
    let (file, prog, jumps) = (place.object("globals.o", GLOBALS), place.pin("prog"), place.pin("jumps"));
    good(&["prog", "load", &file, &prog]);
    create(&jumps, "type prog_array key 4 value 4 entries 3 name tw_jumps");
    // The kernel empties it when no process holds it; so this one does.
    let held = bpf_sys::map::Map::open_pinned(&jumps).expect("the pin");
    good(&["map", "update", "pinned", &jumps, "key", "2", "0", "0", "0", "value", "pinned", &prog]);
    let dump = json(&["map", "dump", "pinned", &jumps]);
    assert_eq!(dump.as_array().map(Vec::len), Some(1), "{dump}");
    same_json(&["map", "dump", "pinned", &jumps]);
    same_text(&["map", "dump", "pinned", &jumps]);
    let row = json(&["map", "show", "pinned", &jumps]);
    assert_eq!(row["owner_prog_type"], "socket_filter", "{row}");
    drop(held);
}

/// An array of many elements is printed as it is read: all of them, and with little memory.
#[test]
fn root_a_large_map_is_streamed() {
    let Some(place) = Place::new("map_large") else { return };
    let pin = place.pin("large");
    const ENTRIES: usize = 200_000;
    create(&pin, &format!("type array key 4 value 16 entries {ENTRIES} name tw_large"));
    let script = format!("ulimit -v 60000; \"$0\" map dump pinned {pin} | tail -n 1");
    let out = Command::new("sh").args(["-c", &script, BIN]).output().expect("sh");
    let run = Run::from(out);
    assert_eq!(run.out, format!("Found {ENTRIES} elements\n"), "{run:?}");
    let script = format!("\"$0\" -j map dump pinned {pin} | tr '}}' '\\n' | grep -c '\"key\"'");
    let out = Command::new("sh").args(["-c", &script, BIN]).output().expect("sh");
    assert_eq!(Run::from(out).out.trim(), ENTRIES.to_string());
}

#[test]
fn root_maps_that_cannot_be_made_or_found() {
    let Some(place) = Place::new("map_bad") else { return };
    let pin = place.pin("x");
    tracewell(&["map", "show", "id", "4294967295"]).fails_with(&["map 4294967295", "none with this id"]);
    tracewell(&["map", "dump", "name", "nosuchname"])
        .fails_with(&["no map has the name nosuchname", "map list"]);
    let create = |words: &str| {
        let mut args = vec!["map", "create"];
        args.extend(words.split(' '));
        tracewell(&args)
    };
    create(&format!("{pin} type hash key 0 value 4 entries 1 name x"))
        .fails_with(&["EINVAL", "hash, key 0 bytes"]);
    create("/tmp/tw_not_a_bpffs type hash key 4 value 4 entries 1 name x")
        .fails_with(&["in a BPF file system"]);
    create(&format!("{pin} type hash key 4 value 4 entries 1 name x dev nosuchdev"))
        .fails_with(&["no network device `nosuchdev`"]);
    for (words, part) in [
        (format!("{pin} type nosuch"), "no type of maps `nosuch`; there are hash, array"),
        (format!("{pin} type hash"), "needs a type and a name"),
        (format!("{pin} type array_of_maps key 4 value 4 entries 1 name x"), "needs `inner_map MAP`"),
        (format!("{pin} type hash key 4 value 4 entries 1 name a_name_of_16_byte"), "15 bytes"),
        (format!("{pin} type hash key four"), "`four` is not a number"),
    ] {
        let run = create(&words);
        assert!(run.status == Some(2) && run.err.contains(part), "{words}: {run:?}");
    }
    assert!(!std::path::Path::new(&pin).exists());
}
