//! What is refused before, around and after the walk: instructions that are none, control that goes astray, functions, exits,
//! attachments. Each case has the line that Linux 6.12 says; on a machine that lets us load programs the running kernel is
//! asked as well.

mod followed;

use asm::Insn;
use bpf_sys::prog::{AttachType, ProgFlags, ProgLoad, ProgType};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Privileges, Version};
use tracewell_jit_check::verifier::{Options, Verdict, verify};

/// The program of a case.
enum Code {
    Text(&'static str),
    /// Opcode, destination, source, offset, immediate.
    Words(&'static [(u8, u8, u8, i16, i32)]),
}
use Code::{Text, Words};

struct Case {
    name: &'static str,
    prog_type: ProgType,
    attach: Option<AttachType>,
    flags: ProgFlags,
    code: Code,
    /// The first kernel that says so.
    since: Version,
    /// Last line of the log; `None` where the program is accepted, empty where nothing is said.
    reason: Option<&'static str>,
}

const fn socket(name: &'static str, code: Code, reason: Option<&'static str>) -> Case {
    Case {
        name,
        prog_type: ProgType::SocketFilter,
        attach: None,
        flags: ProgFlags::empty(),
        code,
        since: Version(5, 10),
        reason,
    }
}

const fn since(major: u16, minor: u16, case: Case) -> Case {
    Case { since: Version(major, minor), ..case }
}

const fn typed(prog_type: ProgType, attach: Option<AttachType>, case: Case) -> Case {
    Case { prog_type, attach, ..case }
}

const EXIT: (u8, u8, u8, i16, i32) = (0x95, 0, 0, 0, 0);
const ZERO: (u8, u8, u8, i16, i32) = (0xb7, 0, 0, 0, 0);

const CASES: &[Case] = &[
    // Instructions.
    socket("nothing but an end", Text("r0 = 0\nexit"), None),
    socket("no opcode", Words(&[(0xff, 0, 0, 0, 0), EXIT]), Some("unknown opcode ff")),
    socket("a call of 32 bits", Words(&[(0x86, 0, 0, 0, 0), EXIT]), Some("unknown opcode 86")),
    socket(
        "a jump with an immediate",
        Words(&[ZERO, (0x05, 0, 0, 0, 1), EXIT]),
        Some("BPF_JA uses reserved fields"),
    ),
    socket(
        "an exit with an immediate",
        Words(&[ZERO, (0x95, 0, 0, 0, 1)]),
        Some("BPF_EXIT uses reserved fields"),
    ),
    socket(
        "a call with a destination",
        Words(&[(0x85, 1, 0, 0, 7), EXIT]),
        Some("BPF_CALL uses reserved fields"),
    ),
    socket(
        "a load with an immediate",
        Words(&[(0x61, 0, 1, 0, 1), EXIT]),
        Some("BPF_LDX uses reserved fields"),
    ),
    socket(
        "a store with an immediate",
        Words(&[ZERO, (0x7b, 10, 0, -8, 1), EXIT]),
        Some("BPF_STX uses reserved fields"),
    ),
    socket(
        "a store of a number with a source",
        Words(&[ZERO, (0x7a, 10, 1, -8, 1), EXIT]),
        Some("BPF_ST uses reserved fields"),
    ),
    socket(
        "half of an immediate load",
        Words(&[(0x18, 0, 0, 0, 1), EXIT]),
        Some("invalid bpf_ld_imm64 insn"),
    ),
    socket(
        "an immediate load of no kind",
        Words(&[(0x18, 0, 9, 0, 1), (0, 0, 0, 0, 0), EXIT]),
        Some("unrecognized bpf_ld_imm64 insn"),
    ),
    socket(
        "a value's address where a map's is loaded",
        Words(&[(0x18, 0, 1, 0, 1), (0, 0, 0, 0, 8), EXIT]),
        Some("unrecognized bpf_ld_imm64 insn"),
    ),
    socket(
        "an immediate load with an offset",
        Words(&[(0x18, 0, 0, 5, 1), (0, 0, 0, 0, 0), EXIT]),
        Some("BPF_LD_IMM64 uses reserved fields"),
    ),
    // Control flow.
    socket("no end", Words(&[ZERO]), Some("last insn is not an exit or jmp")),
    socket("unreachable", Text("goto a\nr0 = 1\na: r0 = 0\nexit"), Some("unreachable insn 1")),
    socket("beyond the end", Words(&[(0x05, 0, 0, 5, 0), EXIT]), Some("jump out of range from insn 0 to 6")),
    socket(
        "before the start",
        Words(&[(0x05, 0, 0, -5, 0), EXIT]),
        Some("jump out of range from insn 0 to -4"),
    ),
    socket(
        "into an immediate load",
        Words(&[ZERO, (0x15, 0, 0, 1, 0), (0x18, 0, 0, 0, 1), (0, 0, 0, 0, 0), EXIT]),
        Some("jump into the middle of ldimm64 insn 2"),
    ),
    socket("a long jump", Words(&[ZERO, (0x06, 0, 0, 0, 1), EXIT, EXIT]), Some("unreachable insn 2")),
    since(6, 6, socket("a long jump to the next", Words(&[ZERO, (0x06, 0, 0, 0, 0), EXIT]), None)),
    socket("a loop without end", Text("r0 = 0\na: r0 = 0\ngoto a\nexit"), Some("unreachable insn 3")),
    socket("a loop that goes nowhere", Text("a: r0 = 0\ngoto a"), Some("infinite loop detected at insn 0")),
    socket("a loop with a bound", Text("r0 = 0\na: r0 += 1\nif r0 < 50 goto a\nexit"), None),
    since(6, 9, socket("a loop that ends of itself", Text("r0 = 0\na: may_goto b\ngoto a\nb: exit"), None)),
    // Functions.
    socket("a call beyond the end", Words(&[(0x85, 0, 1, 0, 7), EXIT]), Some("call to invalid destination")),
    socket("a call", Text("call f\nr0 = 0\nexit\nf: r0 = 1\nexit"), None),
    socket("a result that is none", Text("call f\nexit\nf: r1 = 0\nexit"), Some("R0 !read_ok")),
    socket(
        "the stack of one that is gone",
        Text("call f\nr0 = 0\nexit\nf: r0 = r10\nexit"),
        Some("cannot return stack pointer to the caller"),
    ),
    socket(
        "registers after a call",
        Text("r2 = 1\ncall f\nr0 = r2\nexit\nf: r0 = 1\nexit"),
        Some("R2 !read_ok"),
    ),
    socket(
        "without end",
        Text("call f\nexit\nf: call f\nr0 = 0\nexit"),
        Some("the call stack of 9 frames is too deep"),
    ),
    since(
        6,
        8,
        socket(
            "much stack in all",
            Text("*(u64 *)(r10 -400) = 1\ncall f\nr0 = 0\nexit\nf: *(u64 *)(r10 -200) = 1\nr0 = 0\nexit"),
            Some("combined stack size of 2 calls is 608. Too large"),
        ),
    ),
    socket(
        "a function goes on into the next",
        Text("call f\nr0 = 0\nexit\nf: r0 = 0\ng: r0 = 1\nif r0 == 1 goto h\ncall g\nh: exit"),
        Some("last insn is not an exit or jmp"),
    ),
    socket(
        "a jump into another function",
        Text("call f\nh: r0 = 0\nexit\nf: r0 = 0\ngoto h"),
        Some("jump out of range from insn 4 to 1"),
    ),
    socket(
        "a tail call in a function without types",
        Text("call f\nr0 = 0\nexit\nf: r0 = 0\ncall bpf_tail_call\nexit"),
        Some("tail_call is not allowed in subprogs without BTF"),
    ),
    socket(
        "a function's address without types",
        Words(&[(0x18, 2, 4, 0, 3), (0, 0, 0, 0, 0), ZERO, EXIT, ZERO, EXIT]),
        Some("missing btf func_info"),
    ),
    // Results.
    socket("no result", Text("exit"), Some("R0 !read_ok")),
    typed(
        ProgType::CgroupSock,
        Some(AttachType::CgroupInetSockCreate),
        socket(
            "a result out of range",
            Text("r0 = 2\nexit"),
            Some("At program exit the register R0 has smin=2 smax=2 should have been in [0, 1]"),
        ),
    ),
    typed(
        ProgType::CgroupSock,
        Some(AttachType::CgroupInetSockCreate),
        socket(
            "a pointer as a result",
            Text("r0 = r1\nexit"),
            Some("At program exit the register R0 is not a known value (ctx)"),
        ),
    ),
    typed(
        ProgType::CgroupSkb,
        Some(AttachType::CgroupInetEgress),
        socket(
            "more than egress may say",
            Text("r0 = *(u32 *)(r1 +0)\nr0 &= 7\nexit"),
            Some("At program exit the register R0 has smin=0 smax=7 should have been in [0, 3]"),
        ),
    ),
    typed(
        ProgType::CgroupSkb,
        Some(AttachType::CgroupInetEgress),
        socket("egress", Text("r0 = 3\nexit"), None),
    ),
    typed(
        ProgType::SkLookup,
        Some(AttachType::SkLookup),
        socket(
            "what no lookup says",
            Text("r0 = -1\nexit"),
            Some("At program exit the register R0 has smin=-1 smax=-1 should have been in [0, 1]"),
        ),
    ),
    // Kinds of programs.
    typed(
        ProgType::SkLookup,
        None,
        socket("an attach type that is left out", Text("r0 = 1\nexit"), Some("")),
    ),
    typed(
        ProgType::CgroupSockopt,
        Some(AttachType::CgroupInet4Bind),
        socket("another type's attach type", Text("r0 = 1\nexit"), Some("")),
    ),
    typed(
        ProgType::Syscall,
        None,
        since(
            5,
            14,
            socket(
                "a system call that doesn't sleep",
                Text("r0 = 0\nexit"),
                Some("Syscall programs can only be sleepable"),
            ),
        ),
    ),
    Case {
        flags: ProgFlags::SLEEPABLE,
        ..since(
            6,
            4,
            socket(
                "a filter that sleeps",
                Text("r0 = 0\nexit"),
                Some(
                    "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
                ),
            ),
        )
    },
    typed(
        ProgType::Tracing,
        Some(AttachType::TraceFentry),
        socket("tracing nothing", Text("r0 = 0\nexit"), Some("Tracing programs must provide btf_id")),
    ),
    typed(
        ProgType::Xdp,
        None,
        socket(
            "a socket's load in another program",
            Text("r6 = r1\nr0 = *(u32 *)skb[0]\nexit"),
            Some("BPF_LD_[ABS|IND] instructions not allowed for this program type"),
        ),
    ),
];

impl Case {
    fn insns(&self) -> Vec<Insn> {
        match self.code {
            Text(text) => {
                asm::assemble(text).unwrap_or_else(|error| panic!("{}: {error}", self.name)).program.insns
            }
            Words(words) => {
                words.iter().map(|(op, dst, src, off, imm)| Insn::new(*op, *dst, *src, *off, *imm)).collect()
            }
        }
    }

    fn verify(&self, version: Version, level: u32, privileges: Privileges) -> Verdict {
        let mut program = Program::new(self.name, self.prog_type, self.insns());
        program.expected_attach_type = self.attach;
        program.flags = self.flags;
        let mut options = Options::default();
        options.log_level = level;
        options.privileges = privileges;
        verify(&program, &Kernel::new(version, None), &options)
    }
}

/// The last line before the statistics.
fn reason(log: &str) -> &str {
    // The states that an endless loop comes back to are no reason.
    let other = ["processed ", "verification time", "stack depth", "cur state:", "old state:"];
    let mut lines = log.lines().rev().map(str::trim_end);
    lines.find(|line| !line.is_empty() && !other.iter().any(|word| line.starts_with(word))).unwrap_or("")
}

#[test]
fn each_case_is_judged_as_by_linux_6_12() {
    for case in CASES {
        for level in [0, 1, 2, 4] {
            let verdict = case.verify(Version(6, 12), level, Privileges::Full);
            assert_eq!(verdict.accepted, case.reason.is_none(), "{}: {}", case.name, verdict.log);
            assert_eq!(verdict.errno == 0, verdict.accepted, "{}", case.name);
            assert_eq!(verdict.reason, case.reason.unwrap_or(""), "{}, level {level}", case.name);
        }
    }
}

#[test]
fn the_unprivileged_may_less() {
    let reason = |name: &str| {
        let case = CASES.iter().find(|case| case.name == name).expect(name);
        let verdict = case.verify(Version(6, 12), 1, Privileges::None);
        (verdict.accepted, verdict.errno, verdict.reason)
    };
    assert_eq!(reason("nothing but an end"), (true, 0, String::new()));
    assert_eq!(reason("a loop with a bound"), (false, 22, "back-edge from insn 2 to 1".to_owned()));
    let calls = "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN";
    assert_eq!(reason("a call"), (false, 1, calls.to_owned()));
    assert_eq!(reason("a result out of range"), (false, 1, String::new()));
}

#[test]
fn the_log_is_that_of_the_kernel() {
    let case = CASES.iter().find(|case| case.name == "a call").expect("a case");
    let verdict = case.verify(Version(6, 12), 2, Privileges::Full);
    expect_test::expect![[r#"
        func#0 @0
        func#1 @3
        0: R1=ctx() R10=fp0
        0: (85) call pc+2
        caller:
         R10=fp0
        callee:
         frame1: R1=ctx() R10=fp0
        3: frame1: R1=ctx() R10=fp0
        3: (b7) r0 = 1                        ; frame1: R0_w=1
        4: (95) exit
        returning from callee:
         frame1: R0_w=1 R1=ctx() R10=fp0
        to caller at 1:
         R0_w=1 R10=fp0

        from 4 to 1: R0_w=1 R10=fp0
        1: (b7) r0 = 0                        ; R0_w=0
        2: (95) exit
        processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
    "#]]
    .assert_eq(&verdict.log);
}

#[test]
fn root_engine_cases_are_judged_as_by_the_running_kernel() {
    if !followed::is_followed("root_engine_cases_are_judged_as_by_the_running_kernel") {
        return;
    }
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let Some(version) = version.and_then(|text| text.trim().parse::<Version>().ok()) else {
        eprintln!("SKIP root_engine_cases_are_judged_as_by_the_running_kernel: no version in osrelease");
        return;
    };
    let plain = ProgLoad { license: "GPL", log_level: 1, ..ProgLoad::default() };
    let trial = [Insn::new(0xb7, 0, 0, 0, 0).to_u64(), Insn::new(0x95, 0, 0, 0, 0).to_u64()];
    let able = bpf_sys::memlock::ensure().and_then(|_| {
        ProgLoad { prog_type: ProgType::SocketFilter, insns: &trial, ..plain }.load().map(drop)?;
        ProgLoad { prog_type: ProgType::Xdp, insns: &trial, ..plain }.load().map(drop)
    });
    if let Err(error) = able {
        eprintln!("SKIP root_engine_cases_are_judged_as_by_the_running_kernel: {error}");
        return;
    }
    let mut wrong = Vec::new();
    for case in CASES.iter().filter(|case| case.since <= version) {
        let words: Vec<u64> = case.insns().iter().map(|insn| insn.to_u64()).collect();
        let load = ProgLoad {
            prog_type: case.prog_type,
            insns: &words,
            expected_attach_type: case.attach,
            prog_flags: case.flags,
            ..plain
        };
        let (accepted, log) = match load.load_with_log() {
            Ok((_, log)) => (true, log),
            // Where tracing is forbidden nobody looks at the program.
            Err(bpf_sys::Error::ProgLoad(error))
                if case.prog_type == ProgType::Tracing && error.errno == bpf_sys::Errno::EPERM =>
            {
                continue;
            }
            Err(bpf_sys::Error::ProgLoad(error)) => (false, error.log.clone()),
            Err(error) => panic!("{}: {error}", case.name),
        };
        let ours = case.verify(version, 1, Privileges::Full);
        if ours.accepted != accepted || (!accepted && ours.reason != reason(&log)) {
            let (theirs, name) = (reason(&log), case.name);
            wrong.push(format!(
                "{name}: kernel {accepted} {theirs:?}, ours {} {:?}",
                ours.accepted, ours.reason
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
