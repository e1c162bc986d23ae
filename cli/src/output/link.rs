//! What `tracewell link list` prints.

use super::jsonw::Json;
use super::prog::{places, places_json};
use crate::objects::pids::Holder;
use bpf_sys::link::{LinkDetails, LinkType, PerfEventInfo, PerfEventType};
use std::collections::HashMap;
use std::io::{self, Write};

/// A link of the list.
#[derive(Debug)]
pub struct LinkRow<'a> {
    /// Its id.
    pub id: u32,
    /// What kind it is.
    pub link_type: LinkType,
    /// The program that it attaches.
    pub prog_id: u32,
    /// That program's type, where it says something: tracing links.
    pub prog_type: Option<String>,
    /// What it hangs on.
    pub details: &'a LinkDetails,
    /// The name of the network device it hangs on.
    pub device: Option<String>,
    /// Where it is pinned.
    pub pins: Vec<String>,
    /// Who holds it.
    pub pids: Vec<Holder>,
}

/// Kernel functions by their addresses, with their modules.
pub type Symbols = HashMap<u64, (String, Option<String>)>;

const PROTOCOLS: [(u32, &str); 6] =
    [(1, "inet"), (2, "ip"), (3, "arp"), (5, "netdev"), (7, "bridge"), (10, "ip6")];
const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
const ARP_HOOKS: [&str; 3] = ["input", "output", "forward"];
const EVENT_TYPES: [&str; 6] = ["hardware", "software", "tracepoint", "hw-cache", "raw", "breakpoint"];
const HARDWARE: [&str; 10] = [
    "cpu-cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branch-instructions",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
];
const SOFTWARE: [&str; 11] = [
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
];

fn hook_name(pf: u32, hook: u32) -> Option<&'static str> {
    let names: &[&str] = if pf == 3 { &ARP_HOOKS } else { &HOOKS };
    names.get(usize::try_from(hook).ok()?).copied()
}

/// The type and the configuration of a perf event, as perf(1) names them.
fn event_names(event: &PerfEventInfo) -> (String, String) {
    let kind = usize::try_from(event.addr).unwrap_or(usize::MAX);
    let table: &[&str] = match kind {
        0 => &HARDWARE,
        1 => &SOFTWARE,
        _ => &[],
    };
    let name = usize::try_from(event.offset).ok().and_then(|config| table.get(config));
    (
        EVENT_TYPES.get(kind).map_or_else(|| event.addr.to_string(), |name| name.to_string()),
        name.map_or_else(|| event.offset.to_string(), |name| name.to_string()),
    )
}

fn is_return(event: PerfEventType) -> bool {
    matches!(event, PerfEventType::Kretprobe | PerfEventType::Uretprobe)
}

/// One link as text.
pub fn text(out: &mut dyn Write, row: &LinkRow<'_>, symbols: &Symbols) -> io::Result<()> {
    write!(out, "{}: {}  ", row.id, row.link_type)?;
    match row.details {
        LinkDetails::Map { map_id, .. } if row.link_type == LinkType::StructOps => {
            write!(out, "map {map_id}  ")?;
        }
        _ => write!(out, "prog {}  ", row.prog_id)?,
    }
    details_text(out, row, symbols)?;
    places(out, &row.pins, &row.pids)?;
    writeln!(out)
}

fn details_text(out: &mut dyn Write, row: &LinkRow<'_>, symbols: &Symbols) -> io::Result<()> {
    match row.details {
        LinkDetails::RawTracepoint { name, cookie } => {
            write!(out, "\n\ttp '{name}'  ")?;
            if *cookie != 0 {
                write!(out, "cookie {cookie}  ")?;
            }
        }
        LinkDetails::Tracing { attach_type, target_obj_id, target_btf_id, cookie } => {
            if let Some(prog_type) = &row.prog_type {
                write!(out, "\n\tprog_type {prog_type}  attach_type {attach_type}  ")?;
            } else {
                write!(out, "\n\tattach_type {attach_type}  ")?;
            }
            if *target_obj_id != 0 || *target_btf_id != 0 {
                write!(out, "\n\ttarget_obj_id {target_obj_id}  target_btf_id {target_btf_id}  ")?;
            }
            if *cookie != 0 {
                write!(out, "\n\tcookie {cookie}  ")?;
            }
        }
        LinkDetails::Cgroup { cgroup_id, attach_type } => {
            write!(out, "\n\tcgroup_id {cgroup_id}  attach_type {attach_type}  ")?;
        }
        LinkDetails::Iter { target, map_id, cgroup, task } => {
            write!(out, "target_name {target}  ")?;
            if *map_id != 0 {
                write!(out, "map_id {map_id}  ")?;
            }
            if *cgroup != (0, 0) {
                write!(out, "cgroup_id {}  order {}  ", cgroup.0, iter_order(cgroup.1))?;
            }
            for (key, id) in [("tid", task.0), ("pid", task.1)] {
                if id != 0 {
                    write!(out, "{key} {id}  ")?;
                }
            }
        }
        LinkDetails::Netns { netns_ino, attach_type } => {
            write!(out, "\n\tnetns_ino {netns_ino}  attach_type {attach_type}  ")?;
        }
        LinkDetails::Device { ifindex, attach_type } => {
            match (&row.device, ifindex) {
                (_, 0) => write!(out, "\n\tifindex (detached)  ")?,
                (Some(name), n) => write!(out, "\n\tifindex {name}({n})  ")?,
                (None, n) => write!(out, "\n\tifindex {n}  ")?,
            }
            if let Some(attach_type) = attach_type {
                write!(out, "attach_type {attach_type}  ")?;
            }
        }
        LinkDetails::Map { map_id, attach_type } => {
            if row.link_type != LinkType::StructOps {
                write!(out, "\n\tmap_id {map_id}  ")?;
            }
            if let Some(attach_type) = attach_type {
                write!(out, "attach_type {attach_type}  ")?;
            }
        }
        LinkDetails::Netfilter { pf, hooknum, priority, flags } => {
            match PROTOCOLS.iter().find(|(number, _)| number == pf) {
                Some((_, name)) => write!(out, "\n\t{name}")?,
                None => write!(out, "\n\tpf: {pf}")?,
            }
            match hook_name(*pf, *hooknum) {
                Some(name) => write!(out, " {name}")?,
                None => write!(out, ", hook {hooknum},")?,
            }
            write!(out, " prio {priority}")?;
            if *flags != 0 {
                write!(out, " flags {flags:#x}")?;
            }
        }
        LinkDetails::KprobeMulti { count, flags, missed, addrs, cookies } => {
            let kind = if flags & 1 != 0 { "kretprobe" } else { "kprobe" };
            write!(out, "\n\t{kind}.multi  func_cnt {count}  ")?;
            if *missed != 0 {
                write!(out, "missed {missed}  ")?;
            }
            if !addrs.is_empty() {
                write!(out, "\n\t{:<16} {:<16} func [module]", "addr", "cookie")?;
            }
            for (i, addr) in addrs.iter().enumerate() {
                let cookie = cookies.get(i).copied().unwrap_or(0);
                write!(out, "\n\t{addr:016x} {cookie:<16x} ")?;
                match symbols.get(addr) {
                    Some((name, Some(module))) => write!(out, "{name} [{module}]")?,
                    Some((name, None)) => write!(out, "{name}")?,
                    None => {}
                }
            }
        }
        LinkDetails::UprobeMulti { path, count, flags, pid, offsets, ref_ctr_offsets, cookies } => {
            let kind = if flags & 1 != 0 { "uretprobe" } else { "uprobe" };
            write!(out, "\n\t{kind}.multi  path {path}  func_cnt {count}  ")?;
            if *pid != 0 {
                write!(out, "pid {pid}  ")?;
            }
            if !offsets.is_empty() {
                write!(out, "\n\t{:<18} {:<18} {:<16}", "offset", "ref_ctr_offset", "cookies")?;
            }
            for (i, offset) in offsets.iter().enumerate() {
                let of = |list: &Vec<u64>| format!("{:#x}", list.get(i).copied().unwrap_or(0));
                let offset = format!("{offset:#x}");
                write!(out, "\n\t{offset:<18} {:<18} {:<18}", of(ref_ctr_offsets), of(cookies))?;
            }
        }
        LinkDetails::PerfEvent(event) => perf_text(out, event)?,
        _ => {}
    }
    Ok(())
}

fn perf_text(out: &mut dyn Write, event: &PerfEventInfo) -> io::Result<()> {
    match event.event_type {
        PerfEventType::Kprobe | PerfEventType::Kretprobe => {
            let kind = if is_return(event.event_type) { "kretprobe" } else { "kprobe" };
            write!(out, "\n\t{kind} ")?;
            if event.addr != 0 {
                write!(out, "{:x} ", event.addr)?;
            }
            write!(out, "{}", event.name)?;
            if event.offset != 0 {
                write!(out, "+{:#x}", event.offset)?;
            }
            write!(out, "  ")?;
            if event.missed != 0 {
                write!(out, "missed {}  ", event.missed)?;
            }
        }
        PerfEventType::Uprobe | PerfEventType::Uretprobe => {
            let kind = if is_return(event.event_type) { "uretprobe" } else { "uprobe" };
            write!(out, "\n\t{kind} {}+{:#x}  ", event.name, event.offset)?;
        }
        PerfEventType::Tracepoint => write!(out, "\n\ttracepoint {}  ", event.name)?,
        PerfEventType::Event => {
            let (kind, config) = event_names(event);
            write!(out, "\n\tevent {kind}:{config}  ")?;
        }
        _ => {}
    }
    if event.cookie != 0 {
        write!(out, "cookie {}  ", event.cookie)?;
    }
    if event.ref_ctr_offset != 0 {
        write!(out, "ref_ctr_offset {:#x}  ", event.ref_ctr_offset)?;
    }
    Ok(())
}

/// `enum bpf_cgroup_iter_order`
fn iter_order(order: u32) -> String {
    let names = ["order_unspec", "self_only", "descendants_pre", "descendants_post", "ancestors_up"];
    let name = usize::try_from(order).ok().and_then(|order| names.get(order));
    name.map_or_else(|| order.to_string(), |name| name.to_string())
}

/// One link as an object.
pub fn json(j: &mut Json<'_>, row: &LinkRow<'_>, symbols: &Symbols) -> io::Result<()> {
    j.begin_object()?;
    j.field("id", row.id)?;
    j.field_str("type", &row.link_type.to_string())?;
    match row.details {
        LinkDetails::Map { map_id, .. } if row.link_type == LinkType::StructOps => {
            j.field("map_id", map_id)?;
        }
        _ => j.field("prog_id", row.prog_id)?,
    }
    details_json(j, row, symbols)?;
    places_json(j, &row.pins, &row.pids)?;
    j.end_object()
}

fn details_json(j: &mut Json<'_>, row: &LinkRow<'_>, symbols: &Symbols) -> io::Result<()> {
    match row.details {
        LinkDetails::RawTracepoint { name, cookie } => {
            j.field_str("tp_name", name)?;
            j.field("cookie", cookie)?;
        }
        LinkDetails::Tracing { attach_type, target_obj_id, target_btf_id, cookie } => {
            if let Some(prog_type) = &row.prog_type {
                j.field_str("prog_type", prog_type)?;
            }
            j.field_str("attach_type", &attach_type.to_string())?;
            j.field("target_obj_id", target_obj_id)?;
            j.field("target_btf_id", target_btf_id)?;
            j.field("cookie", cookie)?;
        }
        LinkDetails::Cgroup { cgroup_id, attach_type } => {
            j.field("cgroup_id", cgroup_id)?;
            j.field_str("attach_type", &attach_type.to_string())?;
        }
        LinkDetails::Iter { target, map_id, cgroup, task } => {
            j.field_str("target_name", target)?;
            if *map_id != 0 {
                j.field("map_id", map_id)?;
            }
            if *cgroup != (0, 0) {
                j.field("cgroup_id", cgroup.0)?;
                j.field_str("order", &iter_order(cgroup.1))?;
            }
            for (key, id) in [("tid", task.0), ("pid", task.1)] {
                if id != 0 {
                    j.field(key, id)?;
                }
            }
        }
        LinkDetails::Netns { netns_ino, attach_type } => {
            j.field("netns_ino", netns_ino)?;
            j.field_str("attach_type", &attach_type.to_string())?;
        }
        LinkDetails::Device { ifindex, attach_type } => {
            if let Some(name) = &row.device {
                j.field_str("devname", name)?;
            }
            j.field("ifindex", ifindex)?;
            if let Some(attach_type) = attach_type {
                j.field_str("attach_type", &attach_type.to_string())?;
            }
        }
        LinkDetails::Map { map_id, attach_type } => {
            if row.link_type != LinkType::StructOps {
                j.field("map_id", map_id)?;
            }
            if let Some(attach_type) = attach_type {
                j.field_str("attach_type", &attach_type.to_string())?;
            }
        }
        LinkDetails::Netfilter { pf, hooknum, priority, flags } => {
            j.field("pf", pf)?;
            j.field("hook", hooknum)?;
            j.field("prio", priority)?;
            j.field("flags", flags)?;
        }
        LinkDetails::KprobeMulti { count, flags, missed, addrs, cookies } => {
            j.field("retprobe", flags & 1 != 0)?;
            j.field("func_cnt", count)?;
            j.field("missed", missed)?;
            j.key("funcs")?;
            j.begin_array()?;
            for (i, addr) in addrs.iter().enumerate() {
                j.begin_object()?;
                j.field("addr", addr)?;
                let symbol = symbols.get(addr);
                j.field_str("func", symbol.map_or("", |(name, _)| name))?;
                j.key("module")?;
                match symbol.and_then(|(_, module)| module.as_ref()) {
                    Some(module) => j.str(module)?,
                    None => j.raw("null")?,
                }
                j.field("cookie", cookies.get(i).copied().unwrap_or(0))?;
                j.end_object()?;
            }
            j.end_array()?;
        }
        LinkDetails::UprobeMulti { path, count, flags, pid, offsets, ref_ctr_offsets, cookies } => {
            j.field("retprobe", flags & 1 != 0)?;
            j.field_str("path", path)?;
            j.field("func_cnt", count)?;
            j.field("pid", pid)?;
            j.key("funcs")?;
            j.begin_array()?;
            for (i, offset) in offsets.iter().enumerate() {
                j.begin_object()?;
                j.field("offset", offset)?;
                j.field("ref_ctr_offset", ref_ctr_offsets.get(i).copied().unwrap_or(0))?;
                j.field("cookie", cookies.get(i).copied().unwrap_or(0))?;
                j.end_object()?;
            }
            j.end_array()?;
        }
        LinkDetails::PerfEvent(event) => perf_json(j, event)?,
        _ => {}
    }
    Ok(())
}

fn perf_json(j: &mut Json<'_>, event: &PerfEventInfo) -> io::Result<()> {
    match event.event_type {
        PerfEventType::Kprobe | PerfEventType::Kretprobe => {
            j.field("retprobe", is_return(event.event_type))?;
            j.field("addr", event.addr)?;
            j.field_str("func", &event.name)?;
            j.field("offset", event.offset)?;
            j.field("missed", event.missed)?;
        }
        PerfEventType::Uprobe | PerfEventType::Uretprobe => {
            j.field("retprobe", is_return(event.event_type))?;
            j.field_str("file", &event.name)?;
            j.field("offset", event.offset)?;
        }
        PerfEventType::Tracepoint => j.field_str("tracepoint", &event.name)?,
        PerfEventType::Event => {
            let (kind, config) = event_names(event);
            j.field_str("event_type", &kind)?;
            j.field_str("event_config", &config)?;
        }
        _ => return Ok(()),
    }
    j.field("cookie", event.cookie)?;
    if matches!(event.event_type, PerfEventType::Uprobe | PerfEventType::Uretprobe) {
        j.field("ref_ctr_offset", event.ref_ctr_offset)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf_sys::prog::AttachType;
    use expect_test::expect;

    fn row(link_type: LinkType, details: &LinkDetails) -> LinkRow<'_> {
        LinkRow {
            id: 1,
            link_type,
            prog_id: 2,
            prog_type: None,
            details,
            device: Some("lo".into()),
            pins: Vec::new(),
            pids: Vec::new(),
        }
    }

    #[test]
    fn kinds_have_their_details() {
        let symbols = Symbols::from([
            (0xffff_ffff_8100_0000, ("vfs_read".to_string(), None)),
            (0xffff_ffff_c000_0000, ("ext4_sync".to_string(), Some("ext4".to_string()))),
        ]);
        let all = [
            (LinkType::RawTracepoint, LinkDetails::RawTracepoint { name: "sys_enter".into(), cookie: 7 }),
            (
                LinkType::Tracing,
                LinkDetails::Tracing {
                    attach_type: AttachType::TraceFentry,
                    target_obj_id: 1,
                    target_btf_id: 99,
                    cookie: 0,
                },
            ),
            (
                LinkType::Cgroup,
                LinkDetails::Cgroup { cgroup_id: 614, attach_type: AttachType::CgroupInetEgress },
            ),
            (
                LinkType::Iter,
                LinkDetails::Iter { target: "bpf_map_elem".into(), map_id: 5, cgroup: (0, 0), task: (0, 0) },
            ),
            (LinkType::Tcx, LinkDetails::Device { ifindex: 1, attach_type: Some(AttachType::TcxIngress) }),
            (LinkType::StructOps, LinkDetails::Map { map_id: 9, attach_type: None }),
            (LinkType::Netfilter, LinkDetails::Netfilter { pf: 2, hooknum: 1, priority: -128, flags: 0 }),
            (
                LinkType::KprobeMulti,
                LinkDetails::KprobeMulti {
                    count: 2,
                    flags: 1,
                    missed: 4,
                    addrs: vec![0xffff_ffff_8100_0000, 0xffff_ffff_c000_0000],
                    cookies: vec![0x10, 0],
                },
            ),
        ];
        let (mut out, mut json_out) = (Vec::new(), Vec::new());
        for (link_type, details) in &all {
            text(&mut out, &row(*link_type, details), &symbols).unwrap();
            let mut j = Json::new(&mut json_out, false);
            json(&mut j, &row(*link_type, details), &symbols).unwrap();
            j.finish().unwrap();
        }
        expect![[r#"
            1: raw_tracepoint  prog 2  
            	tp 'sys_enter'  cookie 7  
            1: tracing  prog 2  
            	attach_type trace_fentry  
            	target_obj_id 1  target_btf_id 99  
            1: cgroup  prog 2  
            	cgroup_id 614  attach_type cgroup_inet_egress  
            1: iter  prog 2  target_name bpf_map_elem  map_id 5  
            1: tcx  prog 2  
            	ifindex lo(1)  attach_type tcx_ingress  
            1: struct_ops  map 9  
            1: netfilter  prog 2  
            	ip input prio -128
            1: kprobe_multi  prog 2  
            	kretprobe.multi  func_cnt 2  missed 4  
            	addr             cookie           func [module]
            	ffffffff81000000 10               vfs_read
            	ffffffffc0000000 0                ext4_sync [ext4]
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
        expect![[r#"
            {"id":1,"type":"raw_tracepoint","prog_id":2,"tp_name":"sys_enter","cookie":7}
            {"id":1,"type":"tracing","prog_id":2,"attach_type":"trace_fentry","target_obj_id":1,"target_btf_id":99,"cookie":0}
            {"id":1,"type":"cgroup","prog_id":2,"cgroup_id":614,"attach_type":"cgroup_inet_egress"}
            {"id":1,"type":"iter","prog_id":2,"target_name":"bpf_map_elem","map_id":5}
            {"id":1,"type":"tcx","prog_id":2,"devname":"lo","ifindex":1,"attach_type":"tcx_ingress"}
            {"id":1,"type":"struct_ops","map_id":9}
            {"id":1,"type":"netfilter","prog_id":2,"pf":2,"hook":1,"prio":-128,"flags":0}
            {"id":1,"type":"kprobe_multi","prog_id":2,"retprobe":true,"func_cnt":2,"missed":4,"funcs":[{"addr":18446744071578845184,"func":"vfs_read","module":null,"cookie":16},{"addr":18446744072635809792,"func":"ext4_sync","module":"ext4","cookie":0}]}
        "#]].assert_eq(&String::from_utf8(json_out).unwrap());
    }
}
