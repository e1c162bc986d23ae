//! The running kernel's BTF, compared with what `bpftool btf dump` reads from it.

use btf::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

const PATH: &str = "/sys/kernel/btf/vmlinux";

fn vmlinux(test: &str) -> Option<Vec<u8>> {
    std::fs::read(PATH).inspect_err(|error| eprintln!("SKIP {test}: {PATH}: {error}")).ok()
}

/// A type as bpftool's raw format prints it; `None` for kinds whose lines hold words we have no need to spell.
fn raw(id: TypeId, ty: Type<'_>) -> Option<String> {
    let name = if ty.name().is_empty() { "(anon)" } else { ty.name() };
    let head = |kind: &str| format!("[{}] {kind} '{name}'", id.0);
    let mut out = match ty.kind() {
        Kind::Struct | Kind::Union => {
            let kind = if ty.kind() == Kind::Struct { "STRUCT" } else { "UNION" };
            format!("{} size={} vlen={}", head(kind), ty.size()?, ty.len())
        }
        Kind::Ptr => format!("{} type_id={}", head("PTR"), ty.type_id()?.0),
        Kind::Typedef => format!("{} type_id={}", head("TYPEDEF"), ty.type_id()?.0),
        Kind::Const => format!("{} type_id={}", head("CONST"), ty.type_id()?.0),
        Kind::Array => {
            let array = ty.array()?;
            let (element, index, len) = (array.element.0, array.index.0, array.len);
            format!("{} type_id={element} index_type_id={index} nr_elems={len}", head("ARRAY"))
        }
        Kind::FuncProto => {
            format!("{} ret_type_id={} vlen={}", head("FUNC_PROTO"), ty.type_id()?.0, ty.len())
        }
        Kind::Enum => {
            let sign = if ty.is_signed() { "SIGNED" } else { "UNSIGNED" };
            format!("{} encoding={sign} size={} vlen={}", head("ENUM"), ty.size()?, ty.len())
        }
        _ => return None,
    };
    for m in ty.members() {
        let name = if m.name.is_empty() { "(anon)" } else { m.name };
        write!(out, "\n\t'{name}' type_id={} bits_offset={}", m.type_id.0, m.bit_offset).ok()?;
        if let Some(bits) = m.bitfield_size {
            write!(out, " bitfield_size={bits}").ok()?;
        }
    }
    for p in ty.params() {
        let name = if p.name.is_empty() { "(anon)" } else { p.name };
        write!(out, "\n\t'{name}' type_id={}", p.type_id.0).ok()?;
    }
    for e in ty.enumerators() {
        write!(out, "\n\t'{}' val={}", e.name, e.value).ok()?;
    }
    Some(out)
}

#[test]
fn root_every_type_equals_bpftool() {
    const TEST: &str = "root_every_type_equals_bpftool";
    let Some(data) = vmlinux(TEST) else { return };
    let output = match Command::new("bpftool").args(["btf", "dump", "file", PATH, "format", "raw"]).output() {
        Ok(output) if output.status.success() => output,
        _ => {
            eprintln!("SKIP {TEST}: bpftool is not installed or too old for this kernel's BTF");
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    // One entry a type: its line and the indented ones after it.
    let mut theirs: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.starts_with('['), theirs.last_mut()) {
            (false, Some(entry)) => {
                entry.push('\n');
                entry.push_str(line);
            }
            _ => theirs.push(line.to_owned()),
        }
    }
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    assert_eq!(btf.types().count(), theirs.len());
    let mut compared = 0;
    for ((id, ty), theirs) in btf.types().zip(&theirs) {
        if let Some(ours) = raw(id, ty) {
            assert_eq!(&ours, theirs);
            compared += 1;
        }
    }
    assert!(compared > 10_000, "only {compared} types were compared");
}

#[test]
fn root_questions_of_the_tools() {
    const TEST: &str = "root_questions_of_the_tools";
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    assert_eq!(btf.enum_value("bpf_map_type", "BPF_MAP_TYPE_HASH"), Some(1));
    assert_eq!(btf.pointer_size(), size_of::<usize>() as u32);
    let pid = btf.member_offset("task_struct", "pid").expect("every kernel has it");
    let tgid = btf.member_offset("task_struct", "tgid").expect("every kernel has it");
    assert_eq!((tgid.0, tgid.1), (pid.0 + 32, 32));
    let comm = btf.member_offset("task_struct", "comm").expect("every kernel has it");
    assert_eq!(btf.member_offset("task_struct", "comm[3]"), Some((comm.0 + 24, 8)));
    // Through an anonymous union: every inode's link count.
    assert!(btf.member_offset("inode", "i_nlink").is_some());
    let names: Vec<&str> = btf.func_names().collect();
    assert!(names.contains(&"vfs_read"));
    let (_, proto) = btf.func_proto("vfs_read").expect("every kernel has it");
    assert_eq!(proto.params().map(|param| param.name).collect::<Vec<_>>(), ["file", "buf", "count", "pos"]);
}

/// What the table of names answers is what a search from the first type on would.
#[test]
fn root_every_name_leads_to_its_first_type() {
    const TEST: &str = "root_every_name_leads_to_its_first_type";
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let mut first = HashMap::new();
    for (id, ty) in btf.types().filter(|(_, ty)| !ty.name().is_empty()) {
        first.entry((ty.name(), ty.kind())).or_insert(id);
    }
    assert!(first.len() > 10_000, "only {} names", first.len());
    btf.index_names();
    for ((name, kind), id) in first {
        assert_eq!(btf.find(name, kind), Some(id), "{kind:?} {name}");
        assert_eq!(btf.find(&format!("{name}\u{1}"), kind), None);
    }
}

/// The figures behind the choice of the lookup; printed with `--nocapture`.
#[test]
fn root_lookup_cost() {
    const TEST: &str = "root_lookup_cost";
    let Some(data) = vmlinux(TEST) else { return };
    let start = Instant::now();
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let open = start.elapsed();
    // The table is built when linear search was asked for too often: the slowest lookup of all.
    let times: Vec<_> = (0..40)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(btf.find("no_such_name", Kind::Struct), None);
            start.elapsed()
        })
        .collect();
    let (types, first, last, most) = (btf.next_id(), times[0], times[39], times.iter().max());
    eprintln!(
        "{types} types: open {open:?}, first lookup {first:?}, building the table {most:?}, then {last:?}"
    );
    assert!(open.as_secs() < 2, "opening took {open:?}");
}

/// Figures of deduplication; printed with `--nocapture`. The kernel's types were deduplicated when it was built.
#[test]
fn root_deduplication_of_the_kernels_types() {
    const TEST: &str = "root_deduplication_of_the_kernels_types";
    let Some(data) = vmlinux(TEST) else { return };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    let things = btf.types().filter(|(_, ty)| matches!(ty.kind(), Kind::Var | Kind::Datasec)).count();
    let mut once = Builder::from_btf(&btf);
    let mut twice = Builder::from_btf(&btf);
    twice.append(&btf).expect("the same byte order, and kinds that are known");
    let start = Instant::now();
    let ids = once.dedup();
    let time = start.elapsed();
    twice.dedup();
    // What is a thing rather than a type stays twice; all else is the same once more.
    assert_eq!(twice.len(), once.len() + things);
    let removed = btf.own_types().count() - once.len();
    eprintln!("{} types: {removed} of them removed in {time:?}", btf.next_id());
    // Old pahole left some declarations that were taken for ambiguous, new ones add prototypes of kfuncs at the end.
    assert!(removed * 500 < btf.own_types().count(), "{removed} types were removed");
    let bytes = once.finish();
    let after = Btf::parse(&bytes).expect("what is written can be read");
    for (id, ty) in btf.types() {
        let new = ids[id.0 as usize];
        let found = after.type_by_id(new).expect("an id of the new types");
        if ty.kind() != Kind::Fwd {
            assert_eq!((found.kind(), found.name(), found.len()), (ty.kind(), ty.name(), ty.len()), "{id:?}");
            // What held a declaration only has a size now that it is a definition.
            if btf.size_of(id).is_some() {
                assert_eq!(after.size_of(new), btf.size_of(id), "{ty:?}");
            }
            if btf.align_of(id).is_some() {
                assert_eq!(after.align_of(new), btf.align_of(id), "{ty:?}");
            }
        }
    }
    assert!(once.dedup().iter().zip(0..).all(|(id, old)| id.0 == old), "a second time removes nothing");
}
