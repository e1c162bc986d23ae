//! Any bytes as a program of the interpreter: the body of the fuzz target `interp` and of a proptest.

use asm::Insn;
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use loader::MapSpec;
use std::time::{Duration, Instant};
use tracewell_jit_check::Program;
use tracewell_jit_check::interp::{Input, Machine, Options};

const TYPES: [ProgType; 8] = [
    ProgType::SocketFilter,
    ProgType::SchedCls,
    ProgType::Xdp,
    ProgType::RawTracepoint,
    ProgType::Kprobe,
    ProgType::Syscall,
    ProgType::Tracing,
    ProgType::CgroupSkb,
];

const MAPS: [(MapType, u32, u32, u32); 10] = [
    (MapType::Array, 4, 16, 4),
    (MapType::Hash, 4, 16, 4),
    (MapType::PercpuArray, 4, 8, 4),
    (MapType::LruHash, 8, 8, 4),
    (MapType::LpmTrie, 8, 8, 4),
    (MapType::Queue, 0, 8, 4),
    (MapType::Ringbuf, 0, 0, 4096),
    (MapType::ProgArray, 4, 4, 4),
    (MapType::PerfEventArray, 4, 4, 4),
    (MapType::TaskStorage, 4, 8, 0),
];

/// Moves a word towards something that is executed: with random opcodes alone nothing gets far.
fn bent(word: [u8; 8], len: usize, at: usize) -> Insn {
    let mut insn = Insn::from_bytes(word);
    // The first byte's upper bit says whether the word is left as it is.
    if word[0] & 0x80 != 0 {
        return insn;
    }
    const CODES: [u8; 40] = [
        0x07, 0x0f, 0x17, 0x1f, 0x27, 0x37, 0x3f, 0x47, 0x57, 0x67, 0x6f, 0x77, 0x87, 0x97, 0x9f, 0xa7, 0xb7,
        0xbf, 0xc7, 0xd4, 0xdc, 0x04, 0x0c, 0xbc, 0x05, 0x15, 0x1d, 0x2d, 0x55, 0x65, 0xb5, 0x16, 0x61, 0x79,
        0x63, 0x7b, 0x7a, 0xdb, 0x85, 0x95,
    ];
    insn.opcode = CODES[word[0] as usize % CODES.len()];
    insn.regs = ((insn.regs & 0xf) % 10) | (((insn.regs >> 4) % 11) << 4);
    match insn.opcode {
        0x85 => {
            // Helpers, subprograms, none else.
            insn.regs = if word[1] & 0x30 == 0x10 { 0x10 } else { 0 };
            insn.off = 0;
            insn.imm = if insn.regs == 0 {
                insn.imm.rem_euclid(213)
            } else {
                insn.imm.rem_euclid(len as i32) - at as i32 - 1
            };
        }
        0x95 => insn = Insn::new(0x95, 0, 0, 0, 0),
        code if code & 7 >= 5 && code & 7 != 7 => {
            insn.off = insn.off.rem_euclid(len as i16).wrapping_sub(at as i16);
            if code & 8 != 0 || code == 0x05 {
                insn.imm = 0;
            }
            if code & 8 == 0 {
                insn.regs &= 0x0f;
            }
            if code == 0x05 {
                insn.regs = 0;
            }
        }
        code if code & 7 == 7 || code & 7 == 4 => {
            insn.off = 0;
            match (code & 0xf0, code & 8) {
                (0x80, _) => (insn.imm, insn.regs) = (0, insn.regs & 0xf),
                (0xd0, _) => (insn.imm, insn.regs) = (16 << (word[4] % 3), insn.regs & 0xf),
                (_, 8) => insn.imm = 0,
                _ => insn.regs &= 0xf,
            }
        }
        0xdb => insn.imm = [0, 1, 0xe1, 0xf1, 0x40, 0xa1][word[4] as usize % 6],
        code if code & 7 == 2 => insn.regs &= 0xf,
        _ => insn.imm = 0,
    }
    insn
}

/// Runs the program that these bytes are made into: to an end, a trap or a limit, and never for long.
pub fn run(data: &[u8]) {
    let Some((&[first, second], rest)) = data.split_first_chunk::<2>() else { return };
    let words = rest.as_chunks::<8>().0;
    let mut insns = Vec::new();
    // Maps and the context where programs have them.
    for (reg, map) in [(7, first % 10), (8, second % 10)] {
        insns.push(Insn::new(0x18, reg, 1, 0, map.into()));
        insns.push(Insn::default());
    }
    insns.push(Insn::new(0xbf, 6, 1, 0, 0));
    for (at, word) in words.iter().enumerate() {
        insns.push(bent(*word, words.len(), at));
    }
    insns.push(Insn::new(0x95, 0, 0, 0, 0));
    let mut program = Program::new("any", TYPES[first as usize % TYPES.len()], insns);
    for (n, (map_type, keys, values, entries)) in MAPS.into_iter().enumerate() {
        program.maps.push(MapSpec::new(format!("m{n}"), map_type, keys, values, entries));
    }
    let mut options = Options::default();
    options.max_insns = 20_000;
    options.max_memory = 16 << 20;
    options.strict = second & 1 != 0;
    options.coverage = second & 2 != 0;
    let Ok(mut machine) = Machine::new(&program, options) else { return };
    let _ = machine.set_tail_call(7, 0, 0);
    let input = match second >> 2 & 3 {
        0 => Input::memory(rest.get(..16).unwrap_or_default()),
        1 => Input::context(rest.get(..24).unwrap_or_default()),
        _ => Input::packet(rest),
    };
    let start = Instant::now();
    for _ in 0..2 {
        match machine.run(&input) {
            Ok(exit) => assert!(exit.insns > 0),
            Err(trap) => assert!(!trap.to_string().is_empty()),
        }
        let _ = machine.fire_timers();
    }
    for map in 0..MAPS.len() {
        let _ = machine.maps().entries(map);
        let _ = machine.maps().drain(map);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "it takes too long");
}
