//! Small programs through the simulator and through the running kernel: the same walk, state for state.
//!
//! Verdicts are compared on every kernel, counts on those whose way of keeping states is the simulator's (6.12 to 6.18),
//! the whole text of level 2 on Linux 6.12, whose words the simulator speaks.

mod followed;

use bpf_sys::prog::{ProgLoad, ProgType};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Version};
use tracewell_jit_check::verifier::{Options, Statistics, verify};

/// What a case is about, and its text: a socket filter.
const CASES: &[(&str, &str)] = &[
    ("straight", "r0 = 0\nexit"),
    (
        "branches that join",
        "r6 = *(u32 *)(r1 +0)
         r0 = 0
         if r6 == 1 goto a
         if r6 == 2 goto a
         if r6 == 3 goto a
         r7 = 1
         r8 = 2
         r7 += r8
         a: r0 = 1
         if r6 > 7 goto b
         r0 = 2
         b: exit",
    ),
    (
        "a bounded loop",
        "r1 = 0
         loop: r1 += 1
         if r1 < 100 goto loop
         r0 = 0
         exit",
    ),
    (
        "nested loops",
        "r6 = 0
         outer: r7 = 0
         inner: r7 += 1
         if r7 < 10 goto inner
         r6 += 1
         if r6 < 10 goto outer
         r0 = 0
         exit",
    ),
    (
        "an endless loop",
        "r6 = *(u32 *)(r1 +0)
         r0 = 0
         loop: r0 = 0
         r2 = 1
         if r6 == 7 goto loop
         goto loop",
    ),
    (
        "precision through copies, arithmetic and the stack",
        "r6 = *(u32 *)(r1 +0)
         r6 &= 7
         r7 = r6
         *(u64 *)(r10 -8) = r7
         r8 = 1
         if r6 > 3 goto a
         r8 = 2
         a: r9 = *(u64 *)(r10 -8)
         r9 += r8
         r2 = r10
         r2 += -64
         r2 += r9
         *(u8 *)(r2 +0) = 1
         r0 = 0
         exit",
    ),
    (
        "linked numbers",
        "r6 = *(u32 *)(r1 +0)
         r7 = r6
         r8 = r6
         if r7 > 7 goto out
         r2 = r10
         r2 += -8
         r2 += r8
         *(u8 *)(r2 +0) = 0
         out: r0 = 0
         exit",
    ),
    (
        "subprograms and what their results are used for",
        "r6 = *(u32 *)(r1 +0)
         r1 = r6
         call low
         r2 = r10
         r2 += -8
         r2 += r0
         *(u8 *)(r2 +0) = 1
         r1 = r6
         call low
         r0 = 0
         exit
         low: r0 = r1
         r0 &= 7
         if r0 == 3 goto three
         exit
         three: r0 = 1
         exit",
    ),
    (
        "a slot read by one branch only",
        "r6 = *(u32 *)(r1 +0)
         *(u64 *)(r10 -8) = r6
         r7 = 0
         if r6 == 0 goto a
         r7 = 1
         a: if r6 == 5 goto b
         r3 = *(u64 *)(r10 -8)
         r3 += 1
         b: r4 = r7
         r4 += 5
         r5 = r4
         r0 = 0
         exit",
    ),
    (
        "pointers of two kinds",
        "r6 = *(u32 *)(r1 +0)
         r7 = r1
         if r6 == 0 goto a
         r7 = r10
         a: r0 = 0
         r2 = 1
         r3 = 2
         r4 = 3
         if r2 == 7 goto b
         r0 = 1
         b: exit",
    ),
    (
        "what cannot be traced back",
        "r2 = r10
         r3 = r10
         r3 -= r2
         r4 = *(u32 *)(r1 +0)
         r5 = 1
         if r4 == 5 goto a
         r5 = 2
         a: r3 += r5
         r2 += -16
         r2 += r3
         *(u8 *)(r2 +0) = 0
         r0 = 0
         exit",
    ),
    ("an unreadable register", "r0 = r7\nexit"),
    ("the frame pointer is not written", "r10 = 1\nr0 = 0\nexit"),
];

fn kernel_release() -> Option<Version> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().parse().ok()
}

/// The counts of the last line of a log.
fn counts(log: &str) -> Option<[u32; 4]> {
    let line = log.lines().rev().find(|line| line.starts_with("processed "))?;
    let words: Vec<&str> = line.split(' ').collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse().ok()
    };
    Some([after("processed")?, after("max_states_per_insn")?, after("total_states")?, after("peak_states")?])
}

fn ours(stats: &Statistics) -> [u32; 4] {
    [stats.insns, stats.max_states_per_insn, stats.total_states, stats.peak_states]
}

/// Lines that say the same on each load: times are left out.
fn lines(log: &str) -> Vec<&str> {
    log.lines().filter(|line| !line.starts_with("verification time")).map(str::trim_end).collect()
}

#[test]
fn root_states_are_those_of_the_kernel() {
    if !followed::is_followed("root_states_are_those_of_the_kernel") {
        return;
    }
    let Some(version) = kernel_release() else {
        eprintln!("SKIP root_states_are_those_of_the_kernel: /proc/sys/kernel/osrelease tells no version");
        return;
    };
    let trivial = [0xb7, 0x95];
    let try_load = ProgLoad {
        prog_type: ProgType::SocketFilter,
        insns: &trivial,
        license: "GPL",
        ..ProgLoad::default()
    };
    if let Err(error) = bpf_sys::memlock::ensure().and_then(|_| try_load.load().map(drop)) {
        eprintln!("SKIP root_states_are_those_of_the_kernel: {error}");
        return;
    }
    let kernel = Kernel::new(version, None);
    let mut wrong = Vec::new();
    for (name, text) in CASES {
        let insns = asm::assemble(text).expect(name).program.insns;
        let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
        let loaded = ProgLoad { insns: &words, log_level: 2, ..try_load }.load_with_log().map(|(_, log)| log);
        let (accepted, log) = match loaded {
            Ok(log) => (true, log),
            Err(bpf_sys::Error::ProgLoad(error)) => (false, error.log.clone()),
            Err(error) => panic!("{name}: {error}"),
        };
        let mut options = Options::default();
        options.log_level = 2;
        let verdict = verify(&Program::new("case", ProgType::SocketFilter, insns), &kernel, &options);
        if verdict.accepted != accepted {
            wrong.push(format!(
                "{name}: kernel {accepted}, simulator {}\n{log}\n{}",
                verdict.accepted, verdict.log
            ));
            continue;
        }
        let comparable = (Version(6, 12)..=Version(6, 18)).contains(&version);
        if comparable && counts(&log) != Some(ours(&verdict.stats)) {
            wrong.push(format!("{name}: counts {:?} and {:?}", counts(&log), ours(&verdict.stats)));
        }
        if version == Version(6, 12) {
            let (theirs, mine) = (lines(&log), lines(&verdict.log));
            let differs = theirs.iter().zip(&mine).position(|(theirs, mine)| theirs != mine);
            if let Some(at) = differs {
                wrong
                    .push(format!("{name}: line {at}\n  kernel    {}\n  simulator {}", theirs[at], mine[at]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
