//! Arguments of every helper, of every kind, beside the running kernel.

use super::proto::{ArgType, PROTOS, Proto};
use crate::kernel::{Kernel, Version};
use crate::program::Program;
use crate::verifier::{Options, verify};
use asm::{Helper, Insn};
use bpf_sys::map::{Map, MapCreate, MapType};
use bpf_sys::prog::{AttachType, ProgFlags, ProgLoad, ProgType};
use btf::{Btf, Kind};
use loader::MapSpec;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};

/// What an argument is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Unset,
    Number(i32),
    Unknown,
    Ctx,
    CtxPlus,
    /// Stack at this offset; the first 64 bytes are zeroed.
    Stack(i32),
    /// The map of this index itself.
    Map(u32),
    Element,
    ElementPlus,
    OrNull,
    Packet,
    PacketEnd,
    /// A kernel object, and what lies in it.
    Task,
    TaskPlus,
}

const VALUES: [Value; 22] = [
    Value::Unset,
    Value::Number(0),
    Value::Number(8),
    Value::Number(-1),
    Value::Unknown,
    Value::Ctx,
    Value::CtxPlus,
    Value::Stack(-16),
    Value::Stack(-13),
    Value::Stack(-256),
    Value::Stack(0),
    Value::Stack(-600),
    Value::Map(0),
    Value::Map(1),
    Value::Map(2),
    Value::Element,
    Value::ElementPlus,
    Value::OrNull,
    Value::Packet,
    Value::PacketEnd,
    Value::Task,
    Value::TaskPlus,
];

/// Maps that the programs use, by index.
const MAPS: [(MapType, u32, u32, u32); 11] = [
    (MapType::Array, 4, 16, 4),
    (MapType::Hash, 8, 16, 4),
    (MapType::Ringbuf, 0, 0, 4096),
    (MapType::ProgArray, 4, 4, 4),
    (MapType::PerfEventArray, 4, 4, 4),
    (MapType::StackTrace, 4, 80, 4),
    (MapType::CgroupArray, 4, 4, 4),
    (MapType::Queue, 0, 16, 4),
    (MapType::PercpuArray, 4, 16, 4),
    (MapType::Devmap, 4, 4, 4),
    (MapType::UserRingbuf, 0, 0, 4096),
];

/// The map that a helper takes, of those.
fn usual_map(helper: Helper) -> u32 {
    match helper {
        Helper::TAIL_CALL => 3,
        Helper::PERF_EVENT_READ
        | Helper::PERF_EVENT_OUTPUT
        | Helper::PERF_EVENT_READ_VALUE
        | Helper::SKB_OUTPUT
        | Helper::XDP_OUTPUT => 4,
        Helper::RINGBUF_OUTPUT
        | Helper::RINGBUF_RESERVE
        | Helper::RINGBUF_QUERY
        | Helper::RINGBUF_RESERVE_DYNPTR => 2,
        Helper::GET_STACKID => 5,
        Helper::SKB_UNDER_CGROUP | Helper::CURRENT_TASK_UNDER_CGROUP => 6,
        Helper::MAP_PUSH_ELEM | Helper::MAP_POP_ELEM | Helper::MAP_PEEK_ELEM => 7,
        Helper::MAP_LOOKUP_PERCPU_ELEM => 8,
        Helper::REDIRECT_MAP => 9,
        Helper::USER_RINGBUF_DRAIN => 10,
        _ => 0,
    }
}

/// A value that will often do.
fn usual(kind: ArgType, helper: Helper) -> Value {
    match kind {
        ArgType::None => Value::Unset,
        ArgType::Ctx => Value::Ctx,
        ArgType::Map => Value::Map(usual_map(helper)),
        ArgType::Anything | ArgType::Scalar => Value::Number(0),
        ArgType::Size | ArgType::SizeOrZero | ArgType::AllocSize => Value::Number(8),
        ArgType::Btf("task_struct") => Value::Task,
        ArgType::Timer | ArgType::SpinLock | ArgType::KptrDest | ArgType::ConstStr => Value::Element,
        _ => Value::Stack(-16),
    }
}

const CALL: u8 = 0x85;
const MOV: u8 = 0xb7;
const MOV_REG: u8 = 0xbf;
const ADD: u8 = 0x07;
const EXIT: u8 = 0x95;
const LD_IMM64: u8 = 0x18;

fn set(insns: &mut Vec<Insn>, regno: u8, value: Value) {
    let mut add = |opcode, src, off, imm| insns.push(Insn::new(opcode, regno, src, off, imm));
    let mut from = |src, plus| {
        add(MOV_REG, src, 0, 0);
        if plus != 0 {
            add(ADD, 0, 0, plus);
        }
    };
    match value {
        Value::Unset => {}
        Value::Number(number) => add(MOV, 0, 0, number),
        Value::Unknown => from(8, 0),
        Value::Ctx => from(6, 0),
        Value::CtxPlus => from(6, 4),
        Value::Stack(off) => from(10, off),
        Value::Map(map) => {
            insns.push(Insn::new(LD_IMM64, regno, 1, 0, map as i32));
            insns.push(Insn::new(0, 0, 0, 0, 0));
        }
        Value::Element => {
            insns.push(Insn::new(LD_IMM64, regno, 2, 0, 0));
            insns.push(Insn::new(0, 0, 0, 0, 0));
        }
        Value::ElementPlus => {
            insns.push(Insn::new(LD_IMM64, regno, 2, 0, 0));
            insns.push(Insn::new(0, 0, 0, 0, 12));
        }
        Value::OrNull => from(7, 0),
        // data at 76, data_end at 80 of struct __sk_buff; 0 and 4 of struct xdp_md.
        Value::Packet => add(0x61, 6, 76, 0),
        Value::PacketEnd => add(0x61, 6, 80, 0),
        Value::Task => from(9, 0),
        Value::TaskPlus => from(9, 64),
    }
}

fn program(proto: &Proto, values: [Value; 5]) -> Vec<Insn> {
    let mut insns = vec![Insn::new(MOV_REG, 6, 1, 0, 0)];
    for slot in 1..=8i16 {
        insns.push(Insn::new(0x7a, 10, 0, -8 * slot, 0));
    }
    if values.contains(&Value::OrNull) {
        set(&mut insns, 1, Value::Map(1));
        set(&mut insns, 2, Value::Stack(-8));
        insns.push(Insn::new(CALL, 0, 0, 0, Helper::MAP_LOOKUP_ELEM.0 as i32));
        insns.push(Insn::new(MOV_REG, 7, 0, 0, 0));
    }
    if values.contains(&Value::Unknown) {
        insns.push(Insn::new(CALL, 0, 0, 0, Helper::GET_PRANDOM_U32.0 as i32));
        insns.push(Insn::new(MOV_REG, 8, 0, 0, 0));
    }
    if values.iter().any(|value| matches!(value, Value::Task | Value::TaskPlus)) {
        insns.push(Insn::new(CALL, 0, 0, 0, Helper::GET_CURRENT_TASK_BTF.0 as i32));
        insns.push(Insn::new(MOV_REG, 9, 0, 0, 0));
    }
    for (regno, value) in (1..).zip(values) {
        set(&mut insns, regno, value);
    }
    insns.push(Insn::new(CALL, 0, 0, 0, proto.helper.0 as i32));
    insns.push(Insn::new(MOV, 0, 0, 0, 0));
    insns.push(Insn::new(EXIT, 0, 0, 0, 0));
    insns
}

/// Log without addresses of maps and without the last line.
fn reason(log: &str) -> &str {
    let mut lines =
        log.lines().filter(|line| !line.starts_with("processed ") && !line.starts_with("verification time"));
    lines.next_back().unwrap_or("")
}

/// The maps as the kernel has them.
fn make_maps() -> Vec<Map> {
    let made = MAPS.iter().map(|(map_type, key_size, value_size, max_entries)| {
        let spec = MapCreate {
            map_type: *map_type,
            key_size: *key_size,
            value_size: *value_size,
            max_entries: *max_entries,
            ..MapCreate::default()
        };
        spec.create()
    });
    made.collect::<Result<_, _>>().expect("maps")
}

/// Types of programs to try, with what they are attached to. A helper is tried in the first that is offered it, one with
/// several prototypes in all.
const TYPES: [(ProgType, Option<AttachType>, &str); 21] = [
    (ProgType::SchedCls, None, ""),
    (ProgType::Kprobe, None, ""),
    (ProgType::Xdp, None, ""),
    (ProgType::SockOps, Some(AttachType::CgroupSockOps), ""),
    (ProgType::CgroupSkb, Some(AttachType::CgroupInetEgress), ""),
    (ProgType::SkSkb, None, ""),
    (ProgType::SkMsg, None, ""),
    (ProgType::LwtXmit, None, ""),
    (ProgType::LwtIn, None, ""),
    (ProgType::LwtSeg6local, None, ""),
    (ProgType::CgroupSysctl, Some(AttachType::CgroupSysctl), ""),
    (ProgType::CgroupSockAddr, Some(AttachType::CgroupInet4Connect), ""),
    (ProgType::CgroupSock, Some(AttachType::CgroupInetSockCreate), ""),
    (ProgType::SkReuseport, Some(AttachType::SkReuseportSelect), ""),
    (ProgType::PerfEvent, None, ""),
    (ProgType::RawTracepoint, None, ""),
    (ProgType::Tracing, Some(AttachType::TraceIter), "bpf_iter_task"),
    (ProgType::Tracing, Some(AttachType::TraceFentry), "bpf_fentry_test1"),
    (ProgType::Lsm, Some(AttachType::LsmMac), "bpf_lsm_file_open"),
    (ProgType::SkLookup, Some(AttachType::SkLookup), ""),
    (ProgType::Syscall, None, ""),
];

#[test]
fn root_every_kind_of_argument_is_judged_as_by_the_kernel() {
    let test = "root_every_kind_of_argument_is_judged_as_by_the_kernel";
    if let Err(e) = bpf_sys::memlock::ensure() {
        eprintln!("SKIP {test}: {e}");
        return;
    }
    let trial = MapCreate { key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() };
    if trial.create().is_err() {
        eprintln!("SKIP {test}: maps cannot be created");
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: Version = release.parse().expect("a release");
    if ![Version(6, 12), Version(6, 18)].contains(&version) {
        eprintln!(
            "SKIP {test}: the rules of 6.12 and 6.18 are followed to the letter, and this is {version}"
        );
        return;
    }
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let btf = Btf::parse(&bytes).ok();
    let mut kernel = Kernel::new(version, btf.as_ref());
    kernel.cpus = bpf_sys::cpus::possible().map_or(1, |cpus| cpus.limit());
    let maps = make_maps();
    let specs: Vec<MapSpec> = MAPS
        .iter()
        .map(|(map_type, key, value, max)| MapSpec::new(map_type.name(), *map_type, *key, *value, *max))
        .collect();
    let mut tried = 0;
    let mut verdicts: Vec<String> = Vec::new();
    let mut words: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    // Emulated guests take a hundredth of a second for each program.
    let stride = if std::env::var_os("TRACEWELL_GUEST").is_some() { 7 } else { 1 };
    for variants in PROTOS.iter().step_by(stride) {
        let Some(proto) = variants.last() else { continue };
        // Types of programs differ in the prototypes that they are given.
        let differs = variants.iter().any(|other| !other.variant.is_empty());
        for (prog_type, attach, hook) in TYPES {
            let mut program = Program::new("arguments", prog_type, Vec::new());
            if !hook.is_empty() {
                let id = btf.as_ref().and_then(|btf| btf.find(hook, Kind::Func));
                let Some(id) = id else { continue };
                program.attach_btf_id = Some(id);
            }
            if prog_type == ProgType::Syscall {
                program.flags = ProgFlags::SLEEPABLE;
            }
            program.expected_attach_type = attach;
            program.maps.clone_from(&specs);
            let count = proto.args.iter().filter(|arg| arg.kind != ArgType::None).count();
            let usual = proto.args.map(|arg| usual(arg.kind, proto.helper));
            let mut cases = vec![usual];
            for at in 0..count {
                cases.extend(VALUES.iter().map(|value| {
                    let mut values = usual;
                    values[at] = *value;
                    values
                }));
            }
            let mut offered = true;
            for values in cases {
                let packet = |value: &Value| matches!(value, Value::Packet | Value::PacketEnd);
                if values.iter().any(packet) && prog_type != ProgType::SchedCls {
                    continue;
                }
                let task = |value: &Value| matches!(value, Value::Task | Value::TaskPlus);
                let has_task = matches!(prog_type, ProgType::Kprobe | ProgType::Tracing | ProgType::Lsm);
                if values.iter().any(task) && !has_task && values != usual {
                    continue;
                }
                program.insns = self::program(proto, values);
                let word = |insn: &Insn| {
                    let mut insn = *insn;
                    if insn.opcode == LD_IMM64 {
                        insn.imm = maps[insn.imm as usize].as_fd().as_raw_fd();
                    }
                    insn.to_u64()
                };
                let insns: Vec<u64> = program.insns.iter().map(word).collect();
                let load = ProgLoad {
                    prog_type,
                    insns: &insns,
                    license: "GPL",
                    expected_attach_type: attach,
                    attach_btf_id: program.attach_btf_id.map_or(0, |id| id.0),
                    prog_flags: program.flags,
                    log_level: 1,
                    ..ProgLoad::default()
                };
                let (accepted, log) = match load.load_with_log() {
                    Ok((_, log)) => (true, log),
                    Err(bpf_sys::Error::ProgLoad(e)) => (false, e.log),
                    Err(e) => (false, e.to_string()),
                };
                // What may not be attached here has no log of its instructions.
                if log.contains("program of this type cannot use helper")
                    || !accepted && !log.contains("processed")
                {
                    offered = false;
                    break;
                }
                tried += 1;
                let ours = verify(&program, &kernel, &Options::default());
                let case = format!("{:?} in {}: {values:?}", proto.helper, prog_type.name());
                if accepted != ours.accepted {
                    verdicts.push(format!(
                        "{case}\n  kernel {accepted}: {}\n  ours: {}",
                        reason(&log),
                        reason(&ours.log)
                    ));
                } else if !accepted && reason(&log) != reason(&ours.log) {
                    let pair = (reason(&log).to_owned(), reason(&ours.log).to_owned());
                    words.entry(pair).or_default().push(case);
                }
            }
            if offered && !differs {
                break;
            }
        }
    }
    for ((theirs, ours), cases) in &words {
        eprintln!("{} times\n  kernel: {theirs}\n  ours:   {ours}\n  {}", cases.len(), cases[0]);
    }
    for verdict in verdicts.iter().take(60) {
        eprintln!("{verdict}");
    }
    eprintln!(
        "{tried} programs, {} other verdicts, {} other words",
        verdicts.len(),
        words.values().map(Vec::len).sum::<usize>()
    );
    assert!(tried > 3000 / stride, "{tried}");
    assert!(verdicts.is_empty() && words.is_empty());
}
