//! The stack beside the running kernel: random stores, loads, atomics and variable offsets, asked of the kernel and of the
//! simulator.

mod followed;

use asm::Insn;
use bpf_sys::prog::{ProgFlags, ProgLoad, ProgType};
use bpf_sys::{Error, memlock};
use followed::reason;
use std::time::{Duration, Instant};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Version};
use tracewell_jit_check::verifier::{Options, verify};

const PROGRAMS: u32 = 4000;
const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);
const SIZES: [(i16, u8); 4] = [(1, 0x10), (2, 0x08), (4, 0x00), (8, 0x18)];

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % n
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u32) as usize]
    }
}

/// A place on the stack, aligned to the size but for one in twenty.
fn place(dice: &mut Dice, size: i16) -> i16 {
    let at = -(dice.below(40 / size as u32) as i16 + 1) * size;
    if dice.below(60) == 0 { at + 1 } else { at }
}

/// What is stored in the beginning: r0 a number of 64 bits, r2 one of a byte, r3 zero, r4 a constant, r6 a small one.
fn prologue() -> Vec<Insn> {
    vec![
        Insn::new(0x85, 0, 0, 0, 7),
        Insn::new(0xbf, 2, 0, 0, 0),
        Insn::new(0x57, 2, 0, 0, 0xff),
        Insn::new(0xb7, 3, 0, 0, 0),
        Insn::new(0xb7, 4, 0, 0, -2),
        Insn::new(0xbf, 6, 0, 0, 0),
        Insn::new(0x57, 6, 0, 0, 0x18),
        Insn::new(0x1f, 6, 0, 0, 0),
        Insn::new(0xbf, 6, 2, 0, 0),
        Insn::new(0x57, 6, 0, 0, 0x18),
        Insn::new(0x17, 6, 0, 0, 40),
        // A pointer to somewhere in the stack.
        Insn::new(0xbf, 8, 10, 0, 0),
        Insn::new(0x0f, 8, 6, 0, 0),
    ]
}

fn program(dice: &mut Dice) -> Vec<Insn> {
    let mut insns = prologue();
    for _ in 0..dice.below(9) + 1 {
        let (size, bits) = dice.of(&SIZES);
        let at = place(dice, size);
        let value = dice.of(&[0, 2, 3, 4, 10]);
        insns.push(match dice.below(12) {
            0..=3 => Insn::new(0x63 & !0x18 | bits, 10, value, at, 0),
            4 | 5 => Insn::new(0x62 & !0x18 | bits, 10, 0, at, dice.of(&[0, 1, -1])),
            6 | 7 => Insn::new(0x61 & !0x18 | bits, dice.of(&[0, 2, 5]), 10, at, 0),
            8 => Insn::new(0x63 & !0x18 | bits, 8, value, 0, 0),
            9 => Insn::new(0x61 & !0x18 | bits, 5, 8, 0, 0),
            10 => Insn::new(
                if size == 4 { 0xc3 } else { 0xdb },
                10,
                dice.of(&[2, 3]),
                at & !7,
                dice.of(&[0, 1, 0xe1]),
            ),
            _ => Insn::new(0x81 & !0x18 | if size == 8 { 0 } else { bits }, 2, 10, at, 0),
        });
    }
    // What lies in a slot now: the offset it makes is told in the refusal.
    let (size, bits) = dice.of(&SIZES);
    if dice.below(3) == 0 {
        insns.extend([Insn::new(0xb7, 0, 0, 0, 0), EXIT]);
        return insns;
    }
    insns.extend([
        Insn::new(0x61 & !0x18 | bits, 7, 10, place(dice, size), 0),
        Insn::new(0xbf, 1, 10, 0, 0),
        Insn::new(0x0f, 1, 7, 0, 0),
        Insn::new(0x72, 1, 0, 0, 0),
        Insn::new(0xb7, 0, 0, 0, 0),
        EXIT,
    ]);
    insns
}

#[test]
fn root_stacks_are_judged_as_by_the_kernel() {
    const TEST: &str = "root_stacks_are_judged_as_by_the_kernel";
    if !followed::is_followed(TEST) {
        return;
    }
    if let Err(error) = memlock::ensure() {
        eprintln!("SKIP {TEST}: {error}");
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel says its release");
    let version: Version = release.trim().parse().expect("the release begins with a version");
    if version < Version(6, 6) {
        eprintln!("SKIP {TEST}: this kernel has no sign-extending loads");
        return;
    }
    let kernel = Kernel::new(version, None);
    let start = Instant::now();
    let (mut tried, mut dice, mut accepted, mut different) = (0, Dice(0x9e37_79b9_7f4a_7c15), 0, Vec::new());
    // A guest without hardware support gets through a part of them.
    while tried < PROGRAMS && (tried < 100 || start.elapsed() < Duration::from_secs(20)) {
        tried += 1;
        let insns = program(&mut dice);
        let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
        let load = ProgLoad {
            prog_type: ProgType::SocketFilter,
            insns: &words,
            license: "GPL",
            prog_flags: ProgFlags::empty(),
            ..ProgLoad::default()
        };
        let theirs = match load.load() {
            Ok(_) => (true, String::new()),
            Err(Error::ProgLoad(e)) => (false, reason(&e.log)),
            Err(e) => panic!("{e}"),
        };
        let program = Program::new("", ProgType::SocketFilter, insns.clone());
        let verdict = verify(&program, &kernel, &Options::default());
        let ours = (verdict.accepted, if verdict.accepted { String::new() } else { reason(&verdict.log) });
        accepted += u32::from(theirs.0);
        if theirs != ours {
            let text: Vec<String> = insns[13..].iter().map(|insn| format!("{insn:?}")).collect();
            different.push(format!("kernel {theirs:?}, ours {ours:?}\n  {}", text.join("\n  ")));
        }
    }
    assert!(
        different.is_empty(),
        "{} of {tried} differ:\n{}",
        different.len(),
        different.iter().take(6).cloned().collect::<Vec<_>>().join("\n")
    );
    println!("{tried} programs, {accepted} of them accepted, are judged as the kernel does");
}
