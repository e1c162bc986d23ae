//! Random programs through the simulator and through a kernel: what both say on the way.
//!
//! `TRACEWELL_PROGRAMS=100000` draws more of them, `TRACEWELL_SEED` others, `TRACEWELL_FIRST` leaves the first
//! out; `TRACEWELL_SHOW=5` prints so many differences.
//! `TRACEWELL_KEEP=FILE` writes what the kernel says, `TRACEWELL_KEPT=FILE` reads it on another machine. Without
//! capabilities (`TRACEWELL_UNPRIVILEGED=1`) the kernel's rules for the unprivileged are compared.

use asm::Insn;
use bpf_sys::map::{Map, MapCreate, MapType};
use bpf_sys::prog::{ProgLoad, ProgType};
use loader::MapSpec;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Privileges, Version};
use tracewell_jit_check::verifier::{Options, verify};

/// Bytes of a value of the map that programs may use: the immediate of a map load is 0.
pub const VALUE_SIZE: u32 = 48;

/// A small generator of numbers (xorshift64*): the same on every machine.
pub struct Draw(u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    #[allow(dead_code)]
    /// A constant: an edge of some width, a small number, or any.
    pub fn constant(&mut self) -> i32 {
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

/// What a kernel says of a program: whether it takes it, and the lines on the way.
type Said = (bool, Vec<String>);

/// A line without what differs from kernel to kernel and from load to load.
fn normal(line: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        // `R1_w=` says of liveness what Linux 6.17 and newer no longer do.
        Some((name, value)) => format!("{}={value}", name.split('_').next().unwrap_or(name)),
        // Addresses of maps.
        None if word.starts_with("0xff") && word.len() == 18 => "<address>".to_owned(),
        None => word.to_owned(),
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Lines that say something of the walk: all that is not about time, memory or liveness.
fn lines(log: &str) -> Vec<String> {
    const LEFT_OUT: [&str; 9] = [
        "processed ",
        "verification time",
        "stack depth",
        "func#",
        "Live regs",
        "mark_precise:",
        "propagating",
        "last_idx",
        // Which slots are still read, as Linux 6.18 finds it.
        "(",
    ];
    // The table of live registers that newer kernels print first has no bracket and no state.
    let walk = log.find("\n0: R1=").map_or(log, |at| &log[at..]);
    walk.lines()
        .filter(|line| !line.is_empty() && !LEFT_OUT.iter().any(|start| line.starts_with(start)))
        .map(normal)
        .collect()
}

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn unprivileged() -> bool {
    number_of("TRACEWELL_UNPRIVILEGED", 0) != 0
}

fn ask(prog_type: ProgType, insns: &[Insn], map: Option<&Map>) -> Said {
    let mut insns = insns.to_vec();
    for insn in insns.iter_mut().filter(|insn| insn.opcode == 0x18 && insn.src().number() == 1) {
        insn.imm = map.map_or(-1, |map| map.as_fd().as_raw_fd());
    }
    let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
    let load = ProgLoad { prog_type, license: "GPL", insns: &words, log_level: 2, ..ProgLoad::default() };
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
            (None, Some(last)) => last.1.push(normal(line)),
            (None, None) => {}
        }
    }
    (version, said)
}

/// The kernel to compare with: its version, and what it said where that is kept. `None` (with a line that says so) where it
/// cannot be asked.
fn kernel_of(test: &str) -> Option<(Version, Option<Vec<Said>>)> {
    if let Ok(path) = std::env::var("TRACEWELL_KEPT") {
        let (version, said) = kept(&path);
        return Some((version, Some(said)));
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let Ok(version) = release.trim().parse::<Version>() else {
        eprintln!("SKIP {test}: /proc/sys/kernel/osrelease tells no version");
        return None;
    };
    let trivial = ProgLoad { license: "GPL", insns: &[0xb7, 0x95], ..ProgLoad::default() };
    // Who may not raise the limit needs a kernel that knows none (5.11).
    let ready = if unprivileged() { Ok(()) } else { bpf_sys::memlock::ensure().map(drop) };
    if let Err(error) = ready.and_then(|()| trivial.load().map(drop)) {
        eprintln!("SKIP {test}: {error}");
        return None;
    }
    Some((version, None))
}

/// Draws programs, and compares what kernel and simulator say of each.
pub fn compare(test: &str, count: u64, draw_program: fn(&mut Draw, Version) -> (ProgType, Vec<Insn>)) {
    let Some((version, before)) = kernel_of(test) else { return };
    let (mut count, seed) = (number_of("TRACEWELL_PROGRAMS", count), number_of("TRACEWELL_SEED", 1));
    let show = number_of("TRACEWELL_SHOW", 3);
    if let Some(said) = &before {
        count = count.min(said.len() as u64);
    }
    let map = MapCreate {
        map_type: MapType::Array,
        key_size: 4,
        value_size: VALUE_SIZE,
        max_entries: 1,
        ..MapCreate::default()
    };
    let map = if before.is_none() { map.create().ok() } else { None };
    let mut keep = std::env::var("TRACEWELL_KEEP").ok().map(|path| {
        let mut file =
            std::io::BufWriter::new(std::fs::File::create(path).expect("TRACEWELL_KEEP can be made"));
        writeln!(file, "{version}").expect("TRACEWELL_KEEP can be written");
        file
    });
    let kernel = Kernel::new(version, None);
    let mut options = Options::default();
    options.log_level = 2;
    if unprivileged() {
        options.privileges = Privileges::None;
    }
    let (mut differ, mut said_count, mut accepted_count) = (0, 0, 0);
    let mut told = String::new();
    for at in number_of("TRACEWELL_FIRST", 0)..count {
        let mut draw = Draw((seed << 32 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (prog_type, insns) = draw_program(&mut draw, version);
        let (accepted, theirs) = match &before {
            Some(said) => said[at as usize].clone(),
            None => ask(prog_type, &insns, map.as_ref()),
        };
        if let Some(file) = &mut keep {
            writeln!(file, "accepted: {accepted}\n{}", theirs.join("\n"))
                .expect("TRACEWELL_KEEP can be written");
        }
        let mut program = Program::new("random", prog_type, insns);
        program.maps = vec![MapSpec::new("", MapType::Array, 4, VALUE_SIZE, 1)];
        let verdict = verify(&program, &kernel, &options);
        let mut ours = lines(&verdict.log);
        let mut theirs = theirs;
        if version < Version(6, 12) || version >= Version(7, 0) {
            // States and reasons are written otherwise: the verdict is what can be compared.
            theirs.clear();
            ours.clear();
        }
        said_count += theirs.len();
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
        "{test}: {count} programs, {accepted_count} accepted, {said_count} lines, {differ} programs differ"
    );
    assert_eq!(differ, 0, "{differ} of {count} programs differ\n{told}");
}
