//! Random arithmetic and jumps through the simulator and through the running kernel: the same ranges and bits of every
//! register after every instruction.
//!
//! `TRACEWELL_PROGRAMS=100000` draws more of them, `TRACEWELL_SEED` others; `TRACEWELL_SHOW=5` prints so many differences.
//! `TRACEWELL_KEEP=FILE` writes what the kernel says, `TRACEWELL_KEPT=FILE` reads it on another machine.

use asm::Insn;
use bpf_sys::prog::{ProgLoad, ProgType};
use std::io::Write;
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Version};
use tracewell_jit_check::verifier::{Options, verify};

/// A small generator of numbers (xorshift64*): the same on every machine.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A constant: an edge of some width, a small number, or any.
    fn constant(&mut self) -> i32 {
        const EDGES: [i32; 14] =
            [0, 1, 2, -1, -2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, i32::MAX, i32::MIN, i32::MIN + 1];
        match self.below(5) {
            0 | 1 => self.of(&EDGES),
            2 => self.below(64) as i32,
            3 => 1 << self.below(32),
            _ => self.next() as i32,
        }
    }
}

const ALU: [u8; 10] = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xc0];
const JUMPS: [u8; 11] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
/// Fields of `struct __sk_buff` that are numbers of 32 bits of which nothing is known.
const FIELDS: [i16; 4] = [0, 8, 16, 32];

fn draw_program(draw: &mut Draw, version: Version) -> Vec<Insn> {
    let mut insns = vec![Insn::new(0xbf, 6, 1, 0, 0)];
    // Numbers of 64 bits come from a helper; they outlive the next call in registers that calls leave alone.
    for regno in [7, 8, 9] {
        insns.push(Insn::new(0x85, 0, 0, 0, 7));
        insns.push(Insn::new(0xbf, regno, 0, 0, 0));
    }
    for regno in [0, 1, 2, 3, 4, 5] {
        match draw.below(6) {
            0 => insns.push(Insn::new(0x61, regno, 6, draw.of(&FIELDS), 0)),
            1 => insns.push(Insn::new(0x69, regno, 6, 0, 0)),
            2 => insns.push(Insn::new(0x71, regno, 6, 8, 0)),
            3 => insns.push(Insn::new(0xb7, regno, 0, 0, draw.constant())),
            4 => {
                insns.push(Insn::new(0x18, regno, 0, 0, draw.constant()));
                insns.push(Insn::new(0, 0, 0, 0, draw.constant()));
            }
            _ => insns.push(Insn::new(0xbf, regno, draw.of(&[7, 8, 9]), 0, 0)),
        }
    }
    let start = insns.len();
    let count = 4 + draw.below(20) as usize;
    let end = start + count;
    // Instructions of the body are one word each, so that any may be jumped to.
    for at in start..end {
        let dst = draw.of(&[0_u8, 1, 2, 3, 4, 5, 7, 8, 9]);
        let src = draw.of(&[0_u8, 1, 2, 3, 4, 5, 7, 8, 9]);
        let class = draw.of(&[4_u8, 7, 7]);
        insns.push(match draw.below(16) {
            0..=6 => {
                let op = draw.of(&ALU);
                let shift = matches!(op, 0x60 | 0x70 | 0xc0);
                if draw.below(2) == 0 && !(shift && draw.below(4) != 0) {
                    Insn::new(op | class | 8, dst, src, 0, 0)
                } else {
                    let imm = match op {
                        0x60 | 0x70 | 0xc0 => draw.below(if class == 7 { 64 } else { 32 }) as i32,
                        0x30 => 3,
                        _ => draw.constant(),
                    };
                    Insn::new(op | class, dst, 0, 0, imm)
                }
            }
            7 => {
                let off = if version >= Version(6, 6) {
                    draw.of(if class == 7 { &[0_i16, 8, 16, 32][..] } else { &[0_i16, 8, 16] })
                } else {
                    0
                };
                Insn::new(0xb0 | class | 8, dst, src, off, 0)
            }
            8 => Insn::new(0xbf, dst, src, 0, 0),
            9 => match draw.below(3) {
                0 => Insn::new(0x80 | class, dst, 0, 0, 0),
                1 => Insn::new(0xd4 | draw.of(&[0, 8]), dst, 0, 0, draw.of(&[16, 32, 64])),
                _ => Insn::new(0xb0 | class, dst, 0, 0, draw.constant()),
            },
            10 => Insn::new(0x7b, 10, dst, -8 * (1 + draw.below(2) as i16), 0),
            _ => {
                let op = draw.of(&JUMPS) | draw.of(&[5_u8, 6]);
                let off = draw.below((end - at) as u64) as i16;
                if draw.below(2) == 0 {
                    Insn::new(op | 8, dst, src, off, 0)
                } else {
                    Insn::new(op, dst, 0, off, draw.constant())
                }
            }
        });
    }
    insns.push(Insn::new(0xb7, 0, 0, 0, 0));
    insns.push(Insn::new(0x95, 0, 0, 0, 0));
    insns
}

/// What is known of the registers, line by line: all that is not about time, memory or liveness.
fn lines(log: &str) -> Vec<String> {
    let told = |line: &&str| {
        let from = line.starts_with("from ");
        from || line.contains("REG INV")
            || line.split_once(": ").is_some_and(|(at, _)| at.parse::<u32>().is_ok())
    };
    let word = |word: &str| match word.split_once('=') {
        // `R1_w=` says of liveness what Linux 6.17 and newer no longer do.
        Some((name, value)) => format!("{}={value}", name.split('_').next().unwrap_or(name)),
        None => word.to_owned(),
    };
    let words = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    // The table of live registers that newer kernels print first has no bracket and no state.
    let walk = log.find("\n0: R1=").map_or(log, |at| &log[at..]);
    walk.lines().filter(told).map(words).collect()
}

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a kernel says of a program: whether it takes it, and the states on the way.
type Said = (bool, Vec<String>);

fn ask(insns: &[Insn]) -> Said {
    let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
    let load = ProgLoad { license: "GPL", insns: &words, log_level: 2, ..ProgLoad::default() };
    match load.load_with_log() {
        Ok((_, log)) => (true, lines(&log)),
        Err(bpf_sys::Error::ProgLoad(error)) => (false, lines(&error.log)),
        Err(error) => panic!("{error}"),
    }
}

/// A file of what a kernel said: its version; per program a line and its states.
fn kept(path: &str) -> (Version, Vec<Said>) {
    let text = std::fs::read_to_string(path).expect("TRACEWELL_KEPT is a file that TRACEWELL_KEEP made");
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.parse().ok()).expect("the first line is a version");
    let mut said: Vec<Said> = Vec::new();
    for line in lines {
        match (line.strip_prefix("accepted: "), said.last_mut()) {
            (Some(accepted), _) => said.push((accepted == "true", Vec::new())),
            (None, Some(last)) => last.1.push(line.to_owned()),
            (None, None) => {}
        }
    }
    (version, said)
}

#[test]
fn root_random_arithmetic_has_the_kernels_ranges() {
    const TEST: &str = "root_random_arithmetic_has_the_kernels_ranges";
    let (mut count, seed) = (number_of("TRACEWELL_PROGRAMS", 400), number_of("TRACEWELL_SEED", 1));
    let show = number_of("TRACEWELL_SHOW", 3);
    let before = std::env::var("TRACEWELL_KEPT").ok().map(|path| kept(&path));
    let version = if let Some((version, said)) = &before {
        count = count.min(said.len() as u64);
        *version
    } else {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let Ok(version) = release.trim().parse::<Version>() else {
            eprintln!("SKIP {TEST}: /proc/sys/kernel/osrelease tells no version");
            return;
        };
        let trivial = ProgLoad { license: "GPL", insns: &[0xb7, 0x95], ..ProgLoad::default() };
        if let Err(error) = bpf_sys::memlock::ensure().and_then(|_| trivial.load().map(drop)) {
            eprintln!("SKIP {TEST}: {error}");
            return;
        }
        version
    };
    let mut keep = std::env::var("TRACEWELL_KEEP").ok().map(|path| {
        let mut file =
            std::io::BufWriter::new(std::fs::File::create(path).expect("TRACEWELL_KEEP can be made"));
        writeln!(file, "{version}").expect("TRACEWELL_KEEP can be written");
        file
    });
    let kernel = Kernel::new(version, None);
    let mut options = Options::default();
    options.log_level = 2;
    let (mut differ, mut states, mut accepted_count) = (0, 0, 0);
    let mut told = String::new();
    for at in 0..count {
        let mut draw = Draw((seed << 32 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let insns = draw_program(&mut draw, version);
        let (accepted, theirs) = match &before {
            Some((_, said)) => said[at as usize].clone(),
            None => ask(&insns),
        };
        if let Some(file) = &mut keep {
            writeln!(file, "accepted: {accepted}\n{}", theirs.join("\n"))
                .expect("TRACEWELL_KEEP can be written");
        }
        let verdict =
            verify(&Program::new("random", ProgType::SocketFilter, insns.clone()), &kernel, &options);
        let ours = lines(&verdict.log);
        states += theirs.len();
        accepted_count += u64::from(accepted);
        let first = theirs.iter().zip(&ours).position(|(theirs, ours)| theirs != ours);
        let first = first.or((theirs.len() != ours.len()).then_some(theirs.len().min(ours.len())));
        if first.is_none() && verdict.accepted == accepted {
            continue;
        }
        differ += 1;
        if differ > show {
            continue;
        }
        let line = first.unwrap_or(0);
        told += &format!(
            "program {at}: kernel {accepted}, simulator {} {:?}\n",
            verdict.accepted, verdict.unmodelled
        );
        for before in &theirs[line.saturating_sub(6).min(theirs.len())..line.min(theirs.len())] {
            told += &format!("            {before}\n");
        }
        let line_of = |lines: &[String]| lines.get(line).cloned().unwrap_or_default();
        told += &format!("  kernel    {}\n  simulator {}\n", line_of(&theirs), line_of(&ours));
    }
    println!(
        "{TEST}: {count} programs, {accepted_count} accepted, {states} lines of state, {differ} programs differ"
    );
    assert_eq!(differ, 0, "{differ} of {count} programs differ\n{told}");
}
