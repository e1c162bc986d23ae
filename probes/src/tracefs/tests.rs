use super::*;
use expect_test::expect;

#[test]
fn the_newest_entry_of_the_error_log() {
    let text = "[   10.1] trace_kprobe: error: Bad instruction boundary\n  Command: p:a/b vfs_read+1\n             ^\n\
                [   12.3] trace_uprobe: error: No matching (+) offset\n  Command: p:g/e /bin/true\n                 ^\n";
    expect!["trace_uprobe: No matching (+) offset in `p:g/e /bin/true` at byte 6"]
        .assert_eq(&parse_error_log(text).unwrap().to_string());
    assert_eq!(parse_error_log(""), None);
    assert_eq!(parse_error_log("[ 1.0] nonsense"), None);
}

#[test]
fn event_names_cannot_leave_the_directory() {
    assert_eq!(event_file("../..", "a/b", "id"), Path::new("events/___/a_b/id"));
}

proptest::proptest! {
    #[test]
    fn any_error_log_is_fine(text in "(\\[|\\] |: error: |  Command: |\\^|\n|\\PC){0,40}") {
        let _ = parse_error_log(&text);
    }
}

/// The tracefs of this machine, or the reason to skip.
fn tracefs(test: &str) -> Option<Tracefs> {
    match Tracefs::locate() {
        Ok(found) => Some(found),
        Err(error) => {
            eprintln!("SKIP {test}: {error}");
            None
        }
    }
}

#[test]
fn root_events_have_ids_and_fields() {
    let Some(tracefs) = tracefs("root_events_have_ids_and_fields") else { return };
    let id = tracefs.event_id("sched", "sched_switch").unwrap();
    let format = tracefs.format("sched", "sched_switch").unwrap();
    assert_eq!(format.id, id);
    assert_eq!(format.field("prev_comm").unwrap().array, Some(16));
    assert!(format.field("prev_prio").unwrap().signed);
    assert!(tracefs.has_event("sched", "sched_switch"));
    assert!(!tracefs.has_event("sched", "no_such_event"));
    assert!(tracefs.events("sched").unwrap().iter().any(|e| e == "sched_switch"));
    assert!(tracefs.categories().unwrap().iter().any(|c| c == "sched"));
    let mut seen = false;
    tracefs
        .for_each_event(|category, event| {
            seen |= (category, event) == ("sched", "sched_switch");
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(seen);
    let error = tracefs.event_id("sched", "no_such_event").unwrap_err().to_string();
    assert!(error.contains("no_such_event/id"), "{error}");
}

#[test]
fn root_a_refused_uprobe_is_explained_and_stale_events_go() {
    let test = "root_a_refused_uprobe_is_explained_and_stale_events_go";
    let Some(tracefs) = tracefs(test) else { return };
    if !tracefs.path("uprobe_events").exists() {
        eprintln!("SKIP {test}: the kernel has no uprobe_events");
        return;
    }
    // A pid above the kernel's limit of 2^22 is never alive.
    let group = format!("{OWN_PREFIX}{}", 4_200_000 + std::process::id());
    let bad = format!("p:{group}/bad /no/such/file:0x10");
    let error = tracefs.add_dynamic(DynamicKind::Uprobe, std::slice::from_ref(&bad)).unwrap_err();
    if tracefs.path("error_log").exists() {
        assert!(error.to_string().contains("trace_uprobe said"), "{error}");
    }
    let good = format!("p:{group}/good /proc/self/exe:0x1000");
    if let Err(error) = tracefs.add_dynamic(DynamicKind::Uprobe, &[good]) {
        eprintln!("SKIP {test}: cannot create an event: {error}");
        return;
    }
    let mine = |t: &Tracefs| t.dynamic_events(DynamicKind::Uprobe).unwrap().iter().any(|e| e.group == group);
    assert!(mine(&tracefs));
    assert!(tracefs.remove_stale() >= 1);
    assert!(!mine(&tracefs));
}
