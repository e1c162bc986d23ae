//! The tables beside the UAPI structs of the running kernel.

use super::skb::SK_BUFF;
use super::socket::{SOCK, SOCK_COMMON, TCP_SOCK, XDP_SOCK};
use super::table::{CtxAccess, Field, Gives, Table, Width};
use crate::kernel::Version;
use bpf_sys::prog::ProgType;
use btf::{Btf, Kind};

fn types(test: &str, check: impl FnOnce(&Btf<'_>, Version)) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel says its release");
    let version = release.trim().parse().expect("the release begins with a version");
    match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(data) => check(&Btf::parse(&data).expect("the kernel's BTF is valid"), version),
        Err(error) => eprintln!("SKIP {test}: no kernel BTF: {error}"),
    }
}

fn tables() -> Vec<&'static Table> {
    let by_type = (1..64).filter_map(|raw| super::table(ProgType::from_raw(raw)));
    by_type.chain([&SK_BUFF, &SOCK, &SOCK_COMMON, &TCP_SOCK, &XDP_SOCK]).collect()
}

/// Fields whose table row is a part of the struct's member, or that older kernels have wider.
fn is_part(field: &Field) -> bool {
    matches!(
        field.name,
        "" | "sample" | "replylong" | "bytes_received" | "bytes_acked" | "dst_port" | "remote_port"
    )
}

#[test]
fn tables_have_the_places_of_the_uapi() {
    types("tables_have_the_places_of_the_uapi", |btf, version| {
        let mut compared = 0;
        for table in tables() {
            let Some(id) = btf.find(table.name, Kind::Struct) else { continue };
            let known = |field: &&Field| field.since.is_none_or(|since| version >= since);
            for field in table.fields.iter().filter(known).filter(|field| !is_part(field)) {
                let found = btf.field(id, field.name).map(|found| (found.bit_offset / 8, found.bit_size / 8));
                let ours = (u64::from(field.at), u64::from(field.len));
                assert_eq!(found, Some(ours), "{}.{}", table.name, field.name);
                compared += 1;
            }
            let end = table.fields.iter().map(|field| field.at + field.len).max().unwrap_or(0);
            assert!(u64::from(end) <= btf.size_of(id).unwrap_or(0), "{} ends before its fields", table.name);
        }
        assert!(compared > 150, "only {compared} fields were found");
    });
}

#[test]
fn no_field_of_the_uapi_is_forgotten() {
    types("no_field_of_the_uapi_is_forgotten", |btf, _| {
        for table in tables() {
            // Views of a part of a struct have rows for that part only.
            let whole = tables().into_iter().filter(|other| other.name == table.name);
            let names: Vec<&str> =
                whole.flat_map(|table| table.fields.iter().map(|field| field.name)).collect();
            let members = btf.find(table.name, Kind::Struct).and_then(|id| btf.type_by_id(id));
            for member in members.into_iter().flat_map(|ty| ty.members()).filter(|m| !m.name.is_empty()) {
                assert!(names.contains(&member.name), "{}.{} has no row", table.name, member.name);
            }
        }
    });
}

#[test]
fn rows_do_not_overlap() {
    for table in tables() {
        for pair in table.fields.windows(2) {
            let [before, after] = pair else { continue };
            assert!(before.at + before.len <= after.at, "{}: {} and {}", table.name, before.name, after.name);
        }
    }
}

#[test]
fn widths_say_what_they_mean() {
    let fits = |width, off, size| {
        let field = Field::new("f", 8, 16).read(width);
        let asked = CtxAccess {
            off,
            size,
            write: false,
            sign_extends: false,
            version: Version::NEWEST,
            attach: None,
            capable: true,
        };
        field.check(&asked) == Some(Gives::Number)
    };
    // Sizes 1, 2, 4, 8 at the first byte, then at the place that is 4 further.
    let sizes = |width| [8, 12].map(|off| [1, 2, 4, 8].map(|size| fits(width, off, size)));
    let (yes, no) = (true, false);
    assert_eq!(sizes(Width::None), [[no; 4], [no; 4]]);
    assert_eq!(sizes(Width::Just(4)), [[no, no, yes, no], [no, no, yes, no]]);
    assert_eq!(sizes(Width::Narrow(4)), [[yes, yes, yes, no], [yes, yes, yes, no]]);
    assert_eq!(sizes(Width::NarrowFirst(4)), [[yes, yes, yes, no], [no, no, yes, no]]);
    assert_eq!(sizes(Width::Either(8, 2)), [[yes, yes, no, yes], [yes, yes, no, yes]]);
    assert_eq!(sizes(Width::Halves), [[no, yes, yes, no], [no, yes, yes, no]]);
    assert_eq!(sizes(Width::Wide), [[yes, yes, yes, yes], [yes, yes, yes, no]]);
    assert_eq!(sizes(Width::WideStore), [[no, no, yes, yes], [no, no, yes, no]]);
    assert_eq!(sizes(Width::Within), [[yes; 4], [yes; 4]]);
}
