//! Holds every number and offset kept here against the running kernel's BTF, which is made from the same header.
//!
//! `TRACEWELL_BTF` may name the BTF of another kernel.

use std::collections::HashMap;

use btf::Btf;

use super::attr::*;
use super::types::*;
use super::{Cmd, info};
use crate::hook::AttachFlags;
use crate::link::MultiFlags;
use crate::map::{MapFlags, UpdateFlags};

type Fields = &'static [(&'static str, usize, usize)];

/// Names of fields here that are others in the header, with those.
type Renamed = [(&'static str, &'static str)];

/// The newest name of a kernel whose header this crate holds all of.
const NEWEST: (&str, &str) = ("bpf_map_type", "BPF_MAP_TYPE_RHASH");

struct Check<'a> {
    btf: Btf<'a>,
    /// All enumerators that begin with `BPF_`, of whichever enumeration: some are in one without a name.
    bpf: HashMap<&'a str, i64>,
    checked: usize,
    absent: Vec<String>,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn number(&mut self, enumeration: &str, name: &str, ours: u64) {
        let theirs = if enumeration.is_empty() {
            self.bpf.get(name).copied()
        } else {
            self.btf.enum_value(enumeration, name)
        };
        match theirs {
            Some(theirs) if theirs as u64 == ours => self.checked += 1,
            Some(theirs) => self.wrong.push(format!("{name}: {ours} here, {theirs} there")),
            None => self.absent.push(name.to_owned()),
        }
    }

    /// Every name of the kernel's `enumeration` must be one of `ours`.
    fn complete(&mut self, enumeration: &str, ours: &[&str]) {
        let kinds = [btf::Kind::Enum, btf::Kind::Enum64];
        let Some(id) = kinds.iter().find_map(|kind| self.btf.find(enumeration, *kind)) else {
            return self.absent.push(enumeration.to_owned());
        };
        let Some(ty) = self.btf.type_by_id(id) else { return };
        let names: Vec<String> = ty
            .enumerators()
            .map(|enumerator| enumerator.name.to_owned())
            .filter(|name| {
                !name.contains("MAX_BPF") && !name.ends_with("_UNSPEC") && !name.ends_with("_DEPRECATED")
            })
            .filter(|name| name != "BPF_PROG_RUN" && name != "BPF_COMMON_ATTRS")
            .filter(|name| !ours.contains(&name.as_str()))
            .collect();
        for name in names {
            eprintln!("this kernel's {enumeration} is newer: {name}");
        }
    }

    fn place(&mut self, composite: &str, path: &str, offset: usize, size: usize) {
        match self.btf.member_offset(composite, path) {
            Some((bits, width)) => {
                // A bit field is one bit of the word that stands for it.
                let fits = width == size as u64 * 8 || path == "gpl_compatible" && width == 1;
                if bits == offset as u64 * 8 && fits {
                    self.checked += 1;
                } else {
                    self.wrong.push(format!(
                        "{composite}.{path}: at {offset}, {size} bytes here; at {}, {} bytes there",
                        bits / 8,
                        width / 8
                    ));
                }
            }
            None => self.absent.push(format!("{composite}.{path}")),
        }
    }

    fn fields(&mut self, composite: &str, prefix: &str, fields: Fields, renamed: &Renamed) {
        for (name, offset, size) in fields {
            if *name == "_pad" || *name == "base" || *name == "body" {
                continue;
            }
            let name = renamed.iter().find(|(ours, _)| ours == name).map_or(*name, |(_, theirs)| *theirs);
            self.place(composite, &format!("{prefix}{name}"), *offset, *size);
        }
    }
}

fn attributes(check: &mut Check<'_>) {
    let all: &[(&str, Fields, &Renamed)] = &[
        ("", MapCreate::FIELDS, &[]),
        ("", MapElem::FIELDS, &[]),
        ("batch.", MapBatch::FIELDS, &[]),
        ("", ProgLoad::FIELDS, &[]),
        ("", Obj::FIELDS, &[]),
        ("test.", TestRun::FIELDS, &[]),
        ("", Id::FIELDS, &[]),
        ("info.", Info::FIELDS, &[]),
        ("raw_tracepoint.", RawTracepoint::FIELDS, &[]),
        ("", BtfLoad::FIELDS, &[]),
        ("link_create.", LinkCreate::FIELDS, &[]),
        ("link_create.", LinkCreateIter::FIELDS, &[]),
        ("link_create.perf_event.", LinkCreatePerf::FIELDS, &[]),
        ("link_create.kprobe_multi.", LinkCreateKprobeMulti::FIELDS, &[]),
        ("link_create.uprobe_multi.", LinkCreateUprobeMulti::FIELDS, &[]),
        ("link_create.tracing.", LinkCreateTracing::FIELDS, &[]),
        ("link_create.tcx.", LinkCreateOrdered::FIELDS, &[]),
        ("link_create.netkit.", LinkCreateOrdered::FIELDS, &[]),
        ("link_create.cgroup.", LinkCreateOrdered::FIELDS, &[]),
        ("link_create.netfilter.", LinkCreateNetfilter::FIELDS, &[]),
        ("", ProgAttach::FIELDS, &[]),
        ("query.", ProgQuery::FIELDS, &[]),
        ("token_create.", TokenCreate::FIELDS, &[]),
        ("prog_stream_read.", StreamRead::FIELDS, &[]),
        ("link_update.", LinkUpdate::FIELDS, &[]),
        ("link_detach.", LinkDetach::FIELDS, &[]),
        ("enable_stats.", EnableStats::FIELDS, &[("stats_type", "type")]),
        ("iter_create.", IterCreate::FIELDS, &[]),
        ("prog_bind_map.", ProgBindMap::FIELDS, &[]),
        ("task_fd_query.", TaskFdQuery::FIELDS, &[]),
    ];
    for (prefix, fields, renamed) in all {
        check.fields("bpf_attr", prefix, fields, renamed);
    }
}

fn infos(check: &mut Check<'_>) {
    check.fields("bpf_map_info", "", info::MapInfo::FIELDS, &[("map_type", "type")]);
    check.fields("bpf_prog_info", "", info::ProgInfo::FIELDS, &[("prog_type", "type")]);
    check.fields("bpf_btf_info", "", info::BtfInfo::FIELDS, &[]);
    check.fields("bpf_link_info", "", info::LinkInfo::FIELDS, &[("link_type", "type")]);
    // Bytes behind the start of the body, as `link::info` reads them.
    let body = std::mem::offset_of!(info::LinkInfo, body);
    for (path, offset, size) in [
        ("raw_tracepoint.tp_name", 0, 8),
        ("raw_tracepoint.tp_name_len", 8, 4),
        ("raw_tracepoint.cookie", 16, 8),
        ("tracing.attach_type", 0, 4),
        ("tracing.target_obj_id", 4, 4),
        ("tracing.target_btf_id", 8, 4),
        ("tracing.cookie", 16, 8),
        ("cgroup.cgroup_id", 0, 8),
        ("cgroup.attach_type", 8, 4),
        ("iter.target_name", 0, 8),
        ("iter.target_name_len", 8, 4),
        ("iter.map.map_id", 12, 4),
        ("iter.cgroup.cgroup_id", 16, 8),
        ("iter.cgroup.order", 24, 4),
        ("iter.task.tid", 16, 4),
        ("iter.task.pid", 20, 4),
        ("netns.netns_ino", 0, 4),
        ("netns.attach_type", 4, 4),
        ("xdp.ifindex", 0, 4),
        ("struct_ops.map_id", 0, 4),
        ("netfilter.pf", 0, 4),
        ("netfilter.hooknum", 4, 4),
        ("netfilter.priority", 8, 4),
        ("netfilter.flags", 12, 4),
        ("kprobe_multi.addrs", 0, 8),
        ("kprobe_multi.count", 8, 4),
        ("kprobe_multi.flags", 12, 4),
        ("kprobe_multi.missed", 16, 8),
        ("kprobe_multi.cookies", 24, 8),
        ("uprobe_multi.path", 0, 8),
        ("uprobe_multi.offsets", 8, 8),
        ("uprobe_multi.ref_ctr_offsets", 16, 8),
        ("uprobe_multi.cookies", 24, 8),
        ("uprobe_multi.path_size", 32, 4),
        ("uprobe_multi.count", 36, 4),
        ("uprobe_multi.flags", 40, 4),
        ("uprobe_multi.pid", 44, 4),
        ("perf_event.type", 0, 4),
        ("perf_event.uprobe.file_name", 8, 8),
        ("perf_event.uprobe.name_len", 16, 4),
        ("perf_event.uprobe.offset", 20, 4),
        ("perf_event.uprobe.cookie", 24, 8),
        ("perf_event.uprobe.ref_ctr_offset", 32, 8),
        ("perf_event.kprobe.func_name", 8, 8),
        ("perf_event.kprobe.name_len", 16, 4),
        ("perf_event.kprobe.offset", 20, 4),
        ("perf_event.kprobe.addr", 24, 8),
        ("perf_event.kprobe.missed", 32, 8),
        ("perf_event.kprobe.cookie", 40, 8),
        ("perf_event.tracepoint.tp_name", 8, 8),
        ("perf_event.tracepoint.name_len", 16, 4),
        ("perf_event.tracepoint.cookie", 24, 8),
        ("perf_event.event.config", 8, 8),
        ("perf_event.event.type", 16, 4),
        ("perf_event.event.cookie", 24, 8),
        ("tcx.ifindex", 0, 4),
        ("tcx.attach_type", 4, 4),
        ("netkit.ifindex", 0, 4),
        ("netkit.attach_type", 4, 4),
        ("sockmap.map_id", 0, 4),
        ("sockmap.attach_type", 4, 4),
    ] {
        check.place("bpf_link_info", path, body + offset, size);
    }
}

fn numbers(check: &mut Check<'_>) {
    for (name, number) in Cmd::ALL {
        check.number("bpf_cmd", name, (*number).into());
    }
    let names: Vec<&str> = Cmd::ALL.iter().map(|(name, _)| *name).collect();
    check.complete("bpf_cmd", &names);

    macro_rules! list {
        ($enumeration:literal, $Name:ident) => {
            let names: Vec<&str> = $Name::ALL.iter().filter_map(|value| value.abi_name()).collect();
            for value in $Name::ALL {
                check.number($enumeration, value.abi_name().unwrap(), value.raw().into());
            }
            check.complete($enumeration, &names);
        };
    }
    list!("bpf_map_type", MapType);
    list!("bpf_prog_type", ProgType);
    list!("bpf_attach_type", AttachType);
    list!("bpf_link_type", LinkType);
    list!("bpf_perf_event_type", PerfEventType);

    for (name, flag) in MapFlags::all().iter_names() {
        check.number("", &format!("BPF_F_{name}"), flag.bits().into());
    }
    for (name, flag) in [
        ("BPF_ANY", UpdateFlags::ANY),
        ("BPF_NOEXIST", UpdateFlags::NOEXIST),
        ("BPF_EXIST", UpdateFlags::EXIST),
        ("BPF_F_LOCK", UpdateFlags::LOCK),
        ("BPF_F_CPU", UpdateFlags::CPU),
        ("BPF_F_ALL_CPUS", UpdateFlags::ALL_CPUS),
    ] {
        check.number("", name, flag.bits());
    }
    for name in ["BPF_F_KPROBE_MULTI_RETURN", "BPF_F_UPROBE_MULTI_RETURN"] {
        check.number("", name, MultiFlags::RETURN.bits().into());
    }
    // What is a macro in the header is in no BTF: only those flags that are enumerators are looked up.
    check.number("", "BPF_F_LINK", AttachFlags::LINK.bits().into());
    check.number("bpf_stats_type", "BPF_STATS_RUN_TIME", 0);
    for (number, name) in
        ["RAW_TRACEPOINT", "TRACEPOINT", "KPROBE", "KRETPROBE", "UPROBE", "URETPROBE"].iter().enumerate()
    {
        check.number("bpf_task_fd_type", &format!("BPF_FD_TYPE_{name}"), number as u64);
    }
}

#[test]
fn root_numbers_and_offsets_are_the_kernels() {
    let path = std::env::var("TRACEWELL_BTF").unwrap_or_else(|_| "/sys/kernel/btf/vmlinux".to_owned());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) => {
            eprintln!("SKIP root_numbers_and_offsets_are_the_kernels: {path}: {e}");
            return;
        }
    };
    let btf = Btf::parse(&bytes).unwrap();
    let enumerators = btf.types().flat_map(|(_, ty)| ty.enumerators());
    let bpf = enumerators.filter(|e| e.name.starts_with("BPF_")).map(|e| (e.name, e.value)).collect();
    let mut check = Check { btf, bpf, checked: 0, absent: Vec::new(), wrong: Vec::new() };
    numbers(&mut check);
    attributes(&mut check);
    infos(&mut check);

    eprintln!("{} numbers and offsets checked; newer than this kernel: {:?}", check.checked, check.absent);
    assert!(check.wrong.is_empty(), "{:#?}", check.wrong);
    // Even Linux 5.10 has far more of them; whoever finds fewer has not looked.
    assert!(check.checked >= 200, "{}", check.checked);
    if check.btf.enum_value(NEWEST.0, NEWEST.1).is_some() {
        assert!(check.absent.is_empty(), "in no kernel: {:?}", check.absent);
    }
}

#[test]
fn structures_have_no_hidden_padding() {
    let all: &[(&str, Fields, usize)] = &[
        ("MapCreate", MapCreate::FIELDS, size_of::<MapCreate>()),
        ("MapElem", MapElem::FIELDS, size_of::<MapElem>()),
        ("MapBatch", MapBatch::FIELDS, size_of::<MapBatch>()),
        ("ProgLoad", ProgLoad::FIELDS, size_of::<ProgLoad>()),
        ("Obj", Obj::FIELDS, size_of::<Obj>()),
        ("TestRun", TestRun::FIELDS, size_of::<TestRun>()),
        ("Id", Id::FIELDS, size_of::<Id>()),
        ("Info", Info::FIELDS, size_of::<Info>()),
        ("RawTracepoint", RawTracepoint::FIELDS, size_of::<RawTracepoint>()),
        ("BtfLoad", BtfLoad::FIELDS, size_of::<BtfLoad>()),
        ("LinkCreate", LinkCreate::FIELDS, size_of::<LinkCreate>()),
        ("LinkCreateIter", LinkCreateIter::FIELDS, size_of::<LinkCreateIter>()),
        ("LinkCreatePerf", LinkCreatePerf::FIELDS, size_of::<LinkCreatePerf>()),
        ("LinkCreateKprobeMulti", LinkCreateKprobeMulti::FIELDS, size_of::<LinkCreateKprobeMulti>()),
        ("LinkCreateUprobeMulti", LinkCreateUprobeMulti::FIELDS, size_of::<LinkCreateUprobeMulti>()),
        ("LinkCreateTracing", LinkCreateTracing::FIELDS, size_of::<LinkCreateTracing>()),
        ("LinkCreateOrdered", LinkCreateOrdered::FIELDS, size_of::<LinkCreateOrdered>()),
        ("LinkCreateNetfilter", LinkCreateNetfilter::FIELDS, size_of::<LinkCreateNetfilter>()),
        ("ProgAttach", ProgAttach::FIELDS, size_of::<ProgAttach>()),
        ("ProgQuery", ProgQuery::FIELDS, size_of::<ProgQuery>()),
        ("TokenCreate", TokenCreate::FIELDS, size_of::<TokenCreate>()),
        ("StreamRead", StreamRead::FIELDS, size_of::<StreamRead>()),
        ("TaskFdQuery", TaskFdQuery::FIELDS, size_of::<TaskFdQuery>()),
        ("MapInfo", info::MapInfo::FIELDS, size_of::<info::MapInfo>()),
        ("ProgInfo", info::ProgInfo::FIELDS, size_of::<info::ProgInfo>()),
        ("BtfInfo", info::BtfInfo::FIELDS, size_of::<info::BtfInfo>()),
        ("LinkInfo", info::LinkInfo::FIELDS, size_of::<info::LinkInfo>()),
    ];
    for (name, fields, size) in all {
        let mut end = 0;
        for (field, offset, size) in *fields {
            assert_eq!(*offset, end, "{name}.{field} has a hole before it");
            end = offset + size;
        }
        assert_eq!(end, *size, "{name} has a hole at its end");
    }
}

#[test]
fn numbers_have_names_and_back() {
    assert_eq!(MapType::PercpuArray.name(), "percpu_array");
    assert_eq!(MapType::from_name("percpu_array"), Some(MapType::PercpuArray));
    assert_eq!(MapType::from_name("BPF_MAP_TYPE_HASH"), Some(MapType::Hash));
    assert_eq!(ProgType::from_raw(2), ProgType::Kprobe);
    assert_eq!(AttachType::TraceKprobeMulti.name(), "trace_kprobe_multi");
    assert_eq!(format!("{} {:?}", LinkType::Other(99), LinkType::from_raw(99)), "type 99 Other(99)");
    for value in AttachType::ALL {
        assert_eq!(AttachType::from_raw(value.raw()), *value);
        assert_eq!(AttachType::from_name(&value.name()), Some(*value));
    }
}
