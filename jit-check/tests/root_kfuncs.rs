//! Kernel functions beside the running kernel: every one of them, called from every kind of program, with arguments of
//! several shapes, asked of the kernel and of the simulator.

mod followed;

use asm::Insn;
use bpf_sys::prog::{AttachType, ProgFlags, ProgLoad, ProgType};
use bpf_sys::{Error, memlock};
use btf::{Btf, Kind, TypeId};
use followed::reason;
use std::collections::BTreeMap;
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Version};
use tracewell_jit_check::verifier::{Options, verify};

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

fn copy(dst: u8, src: u8) -> Insn {
    Insn::new(0xbf, dst, src, 0, 0)
}

fn add(dst: u8, imm: i32) -> Insn {
    Insn::new(0x07, dst, 0, 0, imm)
}

fn call(id: u32) -> Insn {
    Insn::new(0x85, 0, 2, 0, id as i32)
}

/// A kind of program that calls.
#[derive(Clone)]
struct Caller {
    name: String,
    prog_type: ProgType,
    attach: Option<AttachType>,
    btf_id: u32,
    flags: ProgFlags,
    returns: i32,
}

impl Caller {
    fn new(prog_type: ProgType, attach: Option<AttachType>) -> Caller {
        let name = match attach {
            Some(attach) => format!("{}/{}", prog_type.name(), attach.name()),
            None => prog_type.name(),
        };
        let flags = if prog_type == ProgType::Syscall { ProgFlags::SLEEPABLE } else { ProgFlags::empty() };
        Caller { name, prog_type, attach, btf_id: 0, flags, returns: 0 }
    }

    fn typed(prog_type: ProgType, attach: AttachType, name: &str, id: TypeId, flags: ProgFlags) -> Caller {
        let plain = Caller::new(prog_type, Some(attach));
        Caller { name: format!("{} {name} {flags:?}", plain.name), btf_id: id.0, flags, ..plain }
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
        (
            verdict.accepted,
            if verdict.accepted { verdict.unmodelled.join(", ") } else { reason(&verdict.log) },
        )
    }
}

fn callers(btf: &Btf<'_>) -> Vec<Caller> {
    use AttachType as A;
    use ProgType as P;
    let plain: [(P, Option<A>); 26] = [
        (P::SocketFilter, None),
        (P::SchedCls, None),
        (P::SchedAct, None),
        (P::Xdp, Some(A::Xdp)),
        (P::CgroupSkb, Some(A::CgroupInetIngress)),
        (P::CgroupSock, Some(A::CgroupInetSockCreate)),
        (P::CgroupSockAddr, Some(A::CgroupInet4Connect)),
        (P::CgroupDevice, Some(A::CgroupDevice)),
        (P::CgroupSysctl, Some(A::CgroupSysctl)),
        (P::CgroupSockopt, Some(A::CgroupSetsockopt)),
        (P::SockOps, Some(A::CgroupSockOps)),
        (P::LwtIn, None),
        (P::LwtXmit, None),
        (P::SkSkb, None),
        (P::SkMsg, Some(A::SkMsgVerdict)),
        (P::SkReuseport, Some(A::SkReuseportSelect)),
        (P::SkLookup, Some(A::SkLookup)),
        (P::FlowDissector, None),
        (P::Netfilter, Some(A::Netfilter)),
        (P::Kprobe, None),
        (P::Kprobe, Some(A::TraceKprobeSession)),
        (P::Tracepoint, None),
        (P::PerfEvent, None),
        (P::RawTracepoint, None),
        (P::LircMode2, None),
        (P::Syscall, None),
    ];
    let mut callers: Vec<Caller> =
        plain.into_iter().map(|(prog_type, attach)| Caller::new(prog_type, attach)).collect();
    let none = ProgFlags::empty();
    let mut typed = |prog_type, attach, name: &str, kind, flags| {
        if let Some(id) = btf.find(name, kind) {
            callers.push(Caller::typed(prog_type, attach, name, id, flags));
        }
    };
    typed(P::Tracing, A::TraceFentry, "bpf_fentry_test1", Kind::Func, none);
    typed(P::Tracing, A::TraceFentry, "bpf_fentry_test1", Kind::Func, ProgFlags::SLEEPABLE);
    typed(P::Tracing, A::TraceRawTp, "btf_trace_task_rename", Kind::Typedef, none);
    typed(P::Tracing, A::TraceIter, "bpf_iter_task", Kind::Func, none);
    typed(P::Lsm, A::LsmMac, "bpf_lsm_file_open", Kind::Func, none);
    typed(P::Lsm, A::LsmMac, "bpf_lsm_file_open", Kind::Func, ProgFlags::SLEEPABLE);
    callers
}

/// What the arguments are: the instructions before the call.
fn shapes() -> Vec<(&'static str, Vec<Insn>)> {
    let zero = |regs: std::ops::RangeInclusive<u8>| regs.map(|reg| mov(reg, 0));
    let stack = |dst: u8, off: i32| [copy(dst, 10), add(dst, off)];
    let cleared = || (1..=16).map(|slot| Insn::new(0x7a, 10, 0, slot * -8, 0));
    let mut shapes = vec![
        ("zeros", zero(1..=5).collect::<Vec<_>>()),
        ("the context", zero(2..=5).collect()),
        ("contexts", (2..=5).map(|reg| copy(reg, 1)).collect()),
    ];
    let mut memory: Vec<Insn> = cleared().collect();
    for reg in 1..=5 {
        memory.extend(stack(reg, -128 + 8 * (i32::from(reg) - 1)));
    }
    shapes.push(("stack", memory));
    let mut sized: Vec<Insn> = cleared().collect();
    sized.extend(stack(1, -128));
    sized.push(mov(2, 8));
    sized.extend(stack(3, -64));
    sized.push(mov(4, 8));
    sized.push(mov(5, 0));
    shapes.push(("memory and sizes", sized));
    let mut second: Vec<Insn> = cleared().collect();
    second.push(mov(1, 1));
    second.extend(stack(2, -128));
    second.push(mov(3, 8));
    second.extend(stack(4, -64));
    second.push(mov(5, 8));
    shapes.push(("sizes and memory", second));
    // The current task, trusted since it is the running one's.
    let mut task = vec![Insn::new(0x85, 0, 0, 0, 158), copy(1, 0)];
    task.extend(zero(2..=5));
    shapes.push(("the task", task.clone()));
    let mut tasks = vec![Insn::new(0x85, 0, 0, 0, 158)];
    tasks.extend((1..=5).map(|reg| copy(reg, 0)));
    shapes.push(("tasks", tasks));
    let mut first: Vec<Insn> = cleared().collect();
    first.extend(stack(1, -128));
    first.extend(zero(2..=5));
    shapes.push(("stack and zeros", first));
    let mut places = vec![Insn::new(0x85, 0, 0, 0, 158), copy(2, 0)];
    places.extend(cleared());
    places.extend(stack(1, -128));
    places.extend(zero(3..=5));
    shapes.push(("stack and the task", places));
    let mut after = vec![Insn::new(0x85, 0, 0, 0, 158), copy(1, 0)];
    after.extend(cleared());
    after.extend(stack(2, -128));
    after.push(mov(3, 8));
    after.extend(stack(4, -64));
    after.push(mov(5, 8));
    shapes.push(("the task and memory", after));
    let mut apart = vec![copy(6, 1)];
    apart.extend(cleared());
    apart.push(copy(1, 6));
    apart.push(mov(2, 0));
    apart.extend(stack(3, -128));
    apart.push(mov(4, 8));
    apart.push(mov(5, 0));
    shapes.push(("the context and memory", apart));
    shapes
}

/// The kernel's own list of such functions: those that are tagged, or (before the tags) those that the simulator knows.
fn kernel_functions(btf: &Btf<'_>) -> Vec<(u32, String)> {
    let tagged: Vec<(u32, String)> = btf
        .functions()
        .filter(|(id, _)| btf.decl_tags(*id).any(|(_, tag)| tag == "bpf_kfunc"))
        .map(|(id, name)| (id.0, name.to_owned()))
        .collect();
    if !tagged.is_empty() {
        return tagged;
    }
    let known = ["bpf_", "scx_bpf_", "crash_kexec", "cubictcp_", "bbr_", "tcp_", "dctcp_"];
    btf.functions()
        .filter(|(_, name)| known.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(id, name)| (id.0, name.to_owned()))
        .collect()
}

#[test]
fn root_kernel_functions_take_what_the_kernel_takes() {
    let test = "root_kernel_functions_take_what_the_kernel_takes";
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
    if version < Version(5, 18) {
        eprintln!("SKIP {test}: Linux {version} has no kernel functions for programs");
        return;
    }
    let kernel = Kernel::new(version, Some(&btf));
    let functions = kernel_functions(&btf);
    let callers: Vec<Caller> = callers(&btf)
        .into_iter()
        .filter(|caller| {
            let (loads, why) = caller.ask_kernel(&[mov(0, caller.returns), EXIT]);
            if !loads {
                eprintln!("{}: not loaded here: {why}", caller.name);
            }
            loads
        })
        .collect();
    assert!(callers.len() > 8, "most kinds of programs load");
    let (mut tried, mut accepted) = (0, 0);
    let mut different: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, (shape, before)) in shapes().into_iter().enumerate() {
        // With all kinds of programs once; what arguments may be hardly depends on the kind.
        let some = |caller: &&Caller| {
            let kinds =
                [ProgType::SchedCls, ProgType::Xdp, ProgType::Syscall, ProgType::Tracing, ProgType::Lsm];
            number == 0 || kinds.contains(&caller.prog_type)
        };
        for caller in callers.iter().filter(some) {
            for (id, name) in
                functions.iter().skip(number % followed::stride(13)).step_by(followed::stride(13))
            {
                let mut insns = before.clone();
                insns.extend([call(*id), mov(0, caller.returns), EXIT]);
                let (theirs, ours) = (caller.ask_kernel(&insns), caller.ask_simulator(&insns, &kernel));
                tried += 1;
                accepted += usize::from(theirs.0);
                if theirs != ours {
                    let key = format!("{name} ({shape}): kernel {theirs:?}, simulator {ours:?}");
                    different.entry(key).or_default().push(caller.name.clone());
                }
            }
        }
    }
    eprintln!("Linux {version}: {tried} calls of {} functions, {accepted} accepted", functions.len());
    let differ: usize = different.values().map(Vec::len).sum();
    let shown: Vec<String> =
        different.iter().take(200).map(|(what, callers)| format!("{what}: {}", callers.join(" "))).collect();
    assert!(differ == 0, "{differ} of {tried} answers differ:\n{}", shown.join("\n"));
}
