//! Everything that prints, measures, reads or writes values, over types that may be damaged. Shared by the property tests
//! and the fuzz target (`fuzz/`).

use btf::c::{COptions, declaration, definition, dump_c};
use btf::value::{decode, encode};
use btf::*;

/// Bytes that values are read from.
const SAMPLE: [u8; 96] = {
    let mut bytes = [0; 96];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at * 37) as u8;
        at += 1;
    }
    bytes
};

/// No printer may panic or go on without end, whatever the types are, and what a layout claims must add up.
#[allow(dead_code)]
pub fn print(btf: &Btf<'_>) {
    for sorted in [true, false] {
        let mut options = COptions::default();
        options.sorted = sorted;
        let mut text = String::new();
        let summary = dump_c(btf, &mut text, &options).expect("memory");
        assert!(text.ends_with("#endif /* __VMLINUX_H__ */\n"));
        assert_eq!(text.contains(" is left out: it contains"), text.contains("/* type "), "{summary:?}");
    }
    let (mut text, mut json) = (String::new(), String::new());
    raw::dump(btf, &[], &mut text).expect("memory");
    raw::dump_json(btf, &[], &mut json).expect("memory");
    assert!(text.lines().filter(|line| line.starts_with('[')).count() >= btf.own_types().count());
    assert!(json.starts_with("{\"types\":[") && json.ends_with("]}\n"));
    let found = find::find(btf, &find::Pattern::new("*")).count();
    assert!(found <= btf.types().map(|(_, ty)| ty.len() + 1).sum());
    let mut options = COptions::default();
    options.roots = btf.types().map(|(id, _)| id).step_by(5).take(3).collect();
    dump_c(btf, &mut String::new(), &options).expect("memory");
    for (id, ty) in btf.types().take(16) {
        let _ = (declaration(btf, id, "name"), definition(btf, id));
        for expand in [false, true] {
            if let Some(layout) = layout::layout(btf, id, expand) {
                assert_eq!(Some(layout.size), btf.size_of(id));
                assert!(layout.slots.len() <= ty.len() || ty.kind().is_wrapper());
                assert!(layout.to_string().ends_with("};\n"));
            }
        }
        values(btf, id);
    }
}

/// What was read can be shown, and what can be written has its type's size.
fn values(btf: &Btf<'_>, id: TypeId) {
    for bytes in [&SAMPLE[..], &[], &SAMPLE[..5]] {
        let value = decode(btf, id, bytes);
        let (line, lines) = (value.to_string(), format!("{value:#}"));
        assert!(!line.is_empty() && !lines.is_empty());
        if btf.size_of(id).is_some_and(|size| size > 1 << 16) {
            continue;
        }
        if let Ok(written) = encode(btf, id, &line) {
            assert_eq!(Some(written.len() as u64), btf.size_of(id));
            // Whether it reads as it was written is for types that make sense (`value.rs`): in damaged ones members share bits.
            let _ = encode(btf, id, &decode(btf, id, &written).to_string());
        }
    }
    // Large values are zeroed at each call, which takes time and finds nothing.
    if btf.size_of(id).is_some_and(|size| size > 1 << 16) {
        return;
    }
    for text in
        ["0", "{}", "{1, 2}", "\"x\"", "{.a = {[0 ... 3] = -1}}", "'c'", "{{{{{{{{", "{.n.n[1] = 0x7f}"]
    {
        let _ = encode(btf, id, text);
    }
}

/// Bytes that may be anything: as types of their own, and as split types over themselves.
#[allow(dead_code)]
pub fn print_bytes(data: &[u8]) {
    if let Ok(btf) = Btf::parse(data) {
        print(&btf);
        if let Ok(split) = Btf::parse_split(data, &btf) {
            print(&split);
        }
    }
}
