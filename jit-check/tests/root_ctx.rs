//! Contexts beside the running kernel: for each kind of program, loads and stores of every size at every place, asked of
//! the kernel and of the simulator.

mod followed;

use asm::Insn;
use bpf_sys::prog::{AttachType, ProgFlags, ProgLoad, ProgType};
use bpf_sys::{Error, memlock};
use btf::{Btf, Kind, TypeId};
use followed::reason;
use std::time::{Duration, Instant};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Version};
use tracewell_jit_check::verifier::{Options, verify};

/// A kind of program, and the pointer in it that is tried.
struct Target {
    name: String,
    prog_type: ProgType,
    attach: Option<AttachType>,
    btf_id: u32,
    flags: ProgFlags,
    /// Leaves the pointer in r7.
    prologue: Vec<Insn>,
    /// What the program may return.
    returns: i32,
    /// Bytes that are tried from 0.
    bytes: i16,
    /// Single places that are tried beyond.
    beyond: &'static [i16],
    /// Whether just whole words are loaded.
    words_only: bool,
}

/// An access, as an instruction on r7.
#[derive(Clone, Copy, Debug)]
struct Trial {
    insn: Insn,
    is_store: bool,
}

const MOV: u8 = 0xb7;
const MOV_REG: u8 = 0xbf;
const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);
const SIZES: [(i16, u8); 4] = [(1, 0x10), (2, 0x08), (4, 0x00), (8, 0x18)];

fn movi(dst: u8, imm: i32) -> Insn {
    Insn::new(MOV, dst, 0, 0, imm)
}

impl Target {
    fn new(prog_type: ProgType, attach: Option<AttachType>) -> Target {
        let name = match attach {
            Some(attach) => format!("{}/{}", prog_type.name(), attach.name()),
            None => prog_type.name(),
        };
        let flags = if prog_type == ProgType::Syscall { ProgFlags::SLEEPABLE } else { ProgFlags::empty() };
        let prologue = vec![Insn::new(MOV_REG, 7, 1, 0, 0)];
        Target {
            name,
            prog_type,
            attach,
            btf_id: 0,
            flags,
            prologue,
            returns: 0,
            bytes: 200,
            beyond: &[],
            words_only: false,
        }
    }

    fn typed(prog_type: ProgType, attach: Option<AttachType>, name: &str, id: TypeId) -> Target {
        let plain = Target::new(prog_type, attach);
        Target { name: format!("{} {name}", plain.name), btf_id: id.0, bytes: 104, ..plain }
    }

    fn insns(&self, trial: Option<Trial>) -> Vec<Insn> {
        let mut insns = self.prologue.clone();
        if let Some(trial) = trial {
            if trial.is_store {
                insns.extend([movi(2, 0), trial.insn]);
            } else {
                // The second load tells what the first one gave: no pointer may be read one byte below.
                insns.extend([trial.insn, Insn::new(0x71, 2, 2, -1, 0)]);
            }
        }
        insns.extend([movi(0, self.returns), EXIT]);
        insns
    }

    fn ask_kernel(&self, insns: &[Insn]) -> (bool, String) {
        let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
        let load = ProgLoad {
            prog_type: self.prog_type,
            insns: &words,
            license: "GPL",
            expected_attach_type: self.attach,
            attach_btf_id: self.btf_id,
            prog_flags: self.flags,
            log_level: 0,
            ..ProgLoad::default()
        };
        match load.load() {
            Ok(_) => (true, String::new()),
            Err(Error::ProgLoad(e)) => (false, reason(&e.log)),
            Err(e) => (false, e.to_string()),
        }
    }

    fn ask_simulator(&self, insns: &[Insn], kernel: &Kernel<'_>) -> (bool, String) {
        let mut program = Program::new("", self.prog_type, insns.to_vec());
        program.expected_attach_type = self.attach;
        program.attach_btf_id = (self.btf_id != 0).then_some(TypeId(self.btf_id));
        program.flags = self.flags;
        let verdict = verify(&program, kernel, &Options::default());
        let unmodelled = verdict.unmodelled.join(", ");
        (verdict.accepted, if verdict.accepted { unmodelled } else { reason(&verdict.log) })
    }
}

/// One of how many accesses are tried: all of them, but where the kernel takes long (in a guest without hardware support)
/// only some, other ones of each target.
fn stride(target: &Target) -> usize {
    const ENOUGH: usize = 41;
    let start = Instant::now();
    let insns = target.insns(None);
    for _ in 0..20 {
        target.ask_kernel(&insns);
    }
    if start.elapsed() > Duration::from_millis(20) { ENOUGH } else { 1 }
}

fn trials(target: &Target, version: Version) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |mode: u8, class: u8, off: i16, bits: u8| {
        let is_store = class == 3;
        let (dst, src) = if is_store { (7, 2) } else { (2, 7) };
        trials.push(Trial { insn: Insn::new(mode | class | bits, dst, src, off, 0), is_store });
    };
    for (size, bits) in SIZES {
        let places = (0..target.bytes).chain(target.beyond.iter().copied()).chain([-8, -1]);
        for off in places {
            if off % size != 0 && off > 8 || target.words_only && (size < 8 || off % 8 != 0) {
                continue;
            }
            add(0x60, 1, off, bits);
            if target.words_only {
                continue;
            }
            if off % 4 == 0 || size > 1 {
                add(0x60, 3, off, bits);
            }
            if off % 4 == 0 && size < 8 && version >= Version(6, 6) {
                add(0x80, 1, off, bits);
            }
        }
    }
    trials
}

/// Targets whose contexts are structs.
fn structs() -> Vec<Target> {
    use AttachType as A;
    use ProgType as P;
    let both = |types: &[(P, &[Option<A>])]| -> Vec<Target> {
        types
            .iter()
            .flat_map(|(prog_type, attach)| attach.iter().map(|attach| Target::new(*prog_type, *attach)))
            .collect()
    };
    let mut targets = both(&[
        (P::SocketFilter, &[None]),
        (P::SchedCls, &[None]),
        (P::SchedAct, &[None]),
        (P::Xdp, &[None, Some(A::Xdp), Some(A::XdpDevmap), Some(A::XdpCpumap)]),
        (P::CgroupSkb, &[Some(A::CgroupInetIngress), Some(A::CgroupInetEgress)]),
        (
            P::CgroupSock,
            &[
                Some(A::CgroupInetSockCreate),
                Some(A::CgroupInetSockRelease),
                Some(A::CgroupInet4PostBind),
                Some(A::CgroupInet6PostBind),
            ],
        ),
        (P::LwtIn, &[None]),
        (P::LwtOut, &[None]),
        (P::LwtXmit, &[None]),
        (P::LwtSeg6local, &[None]),
        (P::SockOps, &[Some(A::CgroupSockOps)]),
        (P::SkSkb, &[None, Some(A::SkSkbStreamParser), Some(A::SkSkbStreamVerdict)]),
        (P::CgroupDevice, &[Some(A::CgroupDevice)]),
        (P::SkMsg, &[Some(A::SkMsgVerdict)]),
        (
            P::CgroupSockAddr,
            &[
                Some(A::CgroupInet4Bind),
                Some(A::CgroupInet6Bind),
                Some(A::CgroupInet4Connect),
                Some(A::CgroupInet6Connect),
                Some(A::CgroupUdp4Sendmsg),
                Some(A::CgroupUdp6Sendmsg),
                Some(A::CgroupUdp4Recvmsg),
                Some(A::CgroupUdp6Recvmsg),
                Some(A::CgroupInet4Getpeername),
                Some(A::CgroupInet6Getpeername),
                Some(A::CgroupInet4Getsockname),
                Some(A::CgroupInet6Getsockname),
                Some(A::CgroupUnixConnect),
                Some(A::CgroupUnixRecvmsg),
            ],
        ),
        (P::LircMode2, &[None]),
        (P::SkReuseport, &[Some(A::SkReuseportSelect), Some(A::SkReuseportSelectOrMigrate)]),
        (P::FlowDissector, &[None]),
        (P::CgroupSysctl, &[Some(A::CgroupSysctl)]),
        (P::CgroupSockopt, &[Some(A::CgroupGetsockopt), Some(A::CgroupSetsockopt)]),
        (P::SkLookup, &[Some(A::SkLookup)]),
        (P::Netfilter, &[Some(A::Netfilter)]),
        (P::Kprobe, &[None]),
        (P::Tracepoint, &[None]),
        (P::PerfEvent, &[None]),
        (P::RawTracepoint, &[None]),
        (P::RawTracepointWritable, &[None]),
        (P::Syscall, &[None]),
    ]);
    for target in &mut targets {
        target.returns = match target.attach {
            Some(
                A::CgroupUdp4Recvmsg
                | A::CgroupUdp6Recvmsg
                | A::CgroupInet4Getpeername
                | A::CgroupInet6Getpeername
                | A::CgroupInet4Getsockname
                | A::CgroupInet6Getsockname
                | A::CgroupUnixRecvmsg,
            ) => 1,
            _ => 0,
        };
        target.beyond = &[2040, 2044, 2048, 8184, 8188, 8191, 8192, 32760];
    }
    targets
}

/// Sockets and flow keys behind pointers.
fn pointers() -> Vec<Target> {
    let or_leave = |reg: u8| [Insn::new(0x55, reg, 0, 2, 0), movi(0, 0), EXIT];
    let skb = |name: &str, more: &[Insn]| {
        let mut prologue = vec![Insn::new(0x79, 1, 1, 168, 0)];
        prologue.extend(or_leave(1));
        prologue.extend_from_slice(more);
        let plain = Target::new(ProgType::CgroupSkb, Some(AttachType::CgroupInetIngress));
        Target { name: name.to_owned(), prologue, bytes: 120, ..plain }
    };
    let found = |helper: i32| {
        let mut insns = vec![Insn::new(0x85, 0, 0, 0, helper)];
        insns.extend(or_leave(0));
        insns.push(Insn::new(MOV_REG, 7, 0, 0, 0));
        insns
    };
    let keys = Target::new(ProgType::FlowDissector, None);
    vec![
        skb("sock_common", &[Insn::new(MOV_REG, 7, 1, 0, 0)]),
        skb("sock", &found(95)),
        skb("tcp_sock", &found(96)),
        Target {
            name: "flow keys".to_owned(),
            prologue: vec![Insn::new(0x79, 7, 1, 144, 0)],
            bytes: 72,
            ..keys
        },
    ]
}

/// Targets whose contexts are arguments that the kernel's types tell of.
fn arguments(btf: &Btf<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    let functions = [
        "bpf_fentry_test1",
        "bpf_fentry_test3",
        "bpf_fentry_test5",
        "bpf_fentry_test7",
        "bpf_fentry_test9",
        "bpf_fentry_test10",
        "bpf_modify_return_test",
        "vfs_read",
        "tcp_connect",
        "do_unlinkat",
        "inet_sendmsg",
        "__x64_sys_nanosleep",
    ];
    for name in functions {
        let Some(id) = btf.find(name, Kind::Func) else { continue };
        for attach in [AttachType::TraceFentry, AttachType::TraceFexit, AttachType::ModifyReturn] {
            targets.push(Target::typed(ProgType::Tracing, Some(attach), name, id));
        }
    }
    // Loading one of each takes its time: a few in all ways, the others by whole words.
    let thorough =
        ["sched_switch", "kfree_skb", "signal_generate", "mm_page_alloc", "sys_enter", "task_rename"];
    for (id, ty) in btf.types().filter(|(_, ty)| ty.kind() == Kind::Typedef) {
        let Some(name) = ty.name().strip_prefix("btf_trace_") else { continue };
        let target = Target::typed(ProgType::Tracing, Some(AttachType::TraceRawTp), name, id);
        let words_only = !thorough.contains(&name);
        targets.push(Target { words_only, bytes: if words_only { 48 } else { target.bytes }, ..target });
    }
    for (id, name) in btf.functions().filter(|(_, name)| name.starts_with("bpf_iter_")) {
        targets.push(Target::typed(ProgType::Tracing, Some(AttachType::TraceIter), name, id));
    }
    let hooks = [
        "file_open",
        "bprm_check_security",
        "task_free",
        "inode_getattr",
        "socket_create",
        "sk_free_security",
    ];
    for name in hooks {
        let Some(id) = btf.find(&format!("bpf_lsm_{name}"), Kind::Func) else { continue };
        targets.push(Target::typed(ProgType::Lsm, Some(AttachType::LsmMac), name, id));
    }
    for operations in ["tcp_congestion_ops", "bpf_dummy_ops", "sched_ext_ops"] {
        let Some(id) = btf.find(operations, Kind::Struct) else { continue };
        let members = btf.type_by_id(id).map(|ty| ty.members().count()).unwrap_or(0);
        for member in 0..members as u32 {
            let name = format!("{operations} {member}");
            let attach = AttachType::from_raw(member);
            targets.push(Target::typed(ProgType::StructOps, Some(attach), &name, id));
        }
    }
    targets
}

fn sweep(test: &str, wanted: usize, targets: impl FnOnce(&Btf<'_>) -> Vec<Target>) {
    if !followed::is_followed(test) {
        return;
    }
    if let Err(error) = memlock::ensure() {
        eprintln!("SKIP {test}: {error}");
        return;
    }
    let data = match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(data) => data,
        Err(error) => {
            eprintln!("SKIP {test}: no kernel BTF: {error}");
            return;
        }
    };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    btf.index_names();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel says its release");
    let version: Version = release.trim().parse().expect("the release begins with a version");
    let kernel = Kernel::new(version, Some(&btf));
    let (mut tried, mut loaded, mut different) = (0, 0, Vec::new());
    let mut step = None;
    for (nth, target) in targets(&btf).into_iter().enumerate() {
        let (plain, why) = target.ask_kernel(&target.insns(None));
        if !plain {
            println!("{}: this kernel doesn't load it: {why}", target.name);
            continue;
        }
        loaded += 1;
        let step = *step.get_or_insert_with(|| stride(&target));
        for trial in trials(&target, version).into_iter().skip(nth % step).step_by(step) {
            tried += 1;
            let insns = target.insns(Some(trial));
            let theirs = target.ask_kernel(&insns);
            let ours = target.ask_simulator(&insns, &kernel);
            // Pointers of tracepoints that may be errors: 6.12's updates refuse them by an offset of -1, in other words.
            let masked =
                |said: &(bool, String)| !said.0 && said.1.contains("invalid negative access: off=-1");
            if theirs != ours && (ours.0 || !masked(&theirs)) {
                different.push(format!("{} {:?}: kernel {theirs:?}, ours {ours:?}", target.name, trial.insn));
            }
        }
    }
    if loaded < wanted {
        eprintln!("SKIP {test}: this kernel loads {loaded} of the programs");
        return;
    }
    let shown = different.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} of {tried} accesses differ:\n{shown}", different.len());
    println!("{tried} accesses of {loaded} kinds of programs are judged as the kernel does");
}

#[test]
fn root_contexts_are_judged_as_by_the_kernel() {
    sweep("root_contexts_are_judged_as_by_the_kernel", 20, |_| structs());
}

#[test]
fn root_sockets_and_flow_keys_are_judged_as_by_the_kernel() {
    sweep("root_sockets_and_flow_keys_are_judged_as_by_the_kernel", 3, |_| pointers());
}

#[test]
fn root_arguments_are_judged_as_by_the_kernel() {
    sweep("root_arguments_are_judged_as_by_the_kernel", 10, arguments);
}
