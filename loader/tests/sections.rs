//! Names of sections, against what libbpf makes of them.

use loader::sections::{UNKNOWN, section_info, section_names};
use std::collections::HashSet;

const REFERENCE: &str = include_str!("data/sections.txt");

#[test]
fn names_say_what_they_say_to_libbpf() {
    let mut seen = HashSet::new();
    for line in REFERENCE.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[name, prog_type, attach_type, flags, autoload] = fields.as_slice() else {
            panic!("bad line {line}");
        };
        let info = section_info(name);
        let ours = info.as_ref().map_or((UNKNOWN.raw(), 0), |info| {
            (info.prog_type.raw(), info.attach_type.map_or(0, |attach_type| attach_type.raw()))
        });
        let theirs = (prog_type.parse().unwrap(), attach_type.parse().unwrap());
        if name.starts_with("usdt") {
            // Which mechanism attaches them is decided when they are loaded.
            assert_eq!((ours.0, theirs), (theirs.0, (theirs.0, 48)), "{line}");
        } else {
            assert_eq!(ours, theirs, "{line}");
        }
        if flags != "-" {
            let bits = info.as_ref().map_or(0, |info| info.flags.bits());
            assert_eq!(format!("{bits:x}"), flags, "{line}");
        }
        // libbpf takes the mark away that says so.
        assert_eq!(autoload == "0", name_is_marked(line), "{line}");
        seen.extend(info.map(|info| info.name));
    }
    let missing: Vec<&str> =
        section_names().map(|(name, _)| name).filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
}

/// The two lines of the reference that were `?kprobe/vfs_read` and `?tc`.
fn name_is_marked(line: &str) -> bool {
    line.ends_with(" 0 0 0")
}

#[test]
fn a_question_mark_is_no_part_of_the_name() {
    assert_eq!(section_info("?kprobe/vfs_read"), section_info("kprobe/vfs_read"));
    assert_eq!(section_info("??kprobe/vfs_read"), None);
}
