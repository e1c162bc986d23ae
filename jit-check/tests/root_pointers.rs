//! Random pointer arithmetic and comparisons through the simulator and through the running kernel: map values, packets,
//! stack and context, moved and read through; the same states and the same refusals.

mod random;

use asm::Insn;
use bpf_sys::prog::ProgType;
use random::{Draw, VALUE_SIZE, compare};
use tracewell_jit_check::kernel::Version;

/// Registers that instructions are drawn of; r6 keeps the context.
const REGS: [u8; 8] = [0, 2, 3, 4, 5, 7, 8, 9];
const JUMPS: [u8; 11] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
const ADD: u8 = 0x00;
const SUB: u8 = 0x10;

/// A map value in r7, not yet compared with NULL in one of four programs, and an index in r8.
fn with_map_value(draw: &mut Draw, insns: &mut Vec<Insn>) {
    insns.extend([
        Insn::new(0x61, 0, 6, 8, 0),
        Insn::new(0x63, 10, 0, -4, 0),
        Insn::new(0x18, 1, 1, 0, 0),
        Insn::new(0, 0, 0, 0, 0),
        Insn::new(0xbf, 2, 10, 0, 0),
        Insn::new(0x07, 2, 0, 0, -4),
        Insn::new(0x85, 0, 0, 0, 1),
    ]);
    if draw.below(4) != 0 {
        insns.extend([Insn::new(0x55, 0, 0, 1, 0), Insn::new(0x95, 0, 0, 0, 0)]);
    }
    insns.extend([Insn::new(0xbf, 7, 0, 0, 0), Insn::new(0x71, 8, 6, 0, 0)]);
    if draw.below(3) != 0 {
        insns.push(Insn::new(0x57, 8, 0, 0, draw.below(u64::from(VALUE_SIZE)) as i32));
    }
    insns.push(Insn::new(0xbf, 9, 10, 0, 0));
}

/// Packet in r7, its end in r8, its meta data in r9 (classifiers), or as near as it comes.
fn with_packet(draw: &mut Draw, insns: &mut Vec<Insn>) {
    insns.extend([
        Insn::new(0x61, 7, 6, 76, 0),
        Insn::new(0x61, 8, 6, 80, 0),
        Insn::new(0x61, 9, 6, if draw.below(2) == 0 { 140 } else { 76 }, 0),
        Insn::new(0x61, 0, 6, 0, 0),
    ]);
    if draw.below(2) == 0 {
        insns.push(Insn::new(0x57, 0, 0, 0, 63));
    }
}

fn draw_program(draw: &mut Draw, _: Version) -> (ProgType, Vec<Insn>) {
    let mut insns = vec![Insn::new(0xbf, 6, 1, 0, 0)];
    let unprivileged = std::env::var_os("TRACEWELL_UNPRIVILEGED").is_some();
    let packets = !unprivileged && draw.below(2) == 0;
    if packets {
        with_packet(draw, &mut insns);
    } else {
        with_map_value(draw, &mut insns);
    }
    for regno in [2, 3, 4, 5] {
        insns.push(match draw.below(5) {
            0 => Insn::new(0xb7, regno, 0, 0, draw.below(70) as i32 - 6),
            1 => Insn::new(0x61, regno, 6, 0, 0),
            2 => Insn::new(0x71, regno, 6, 8, 0),
            _ => Insn::new(0xbf, regno, draw.of(&[7, 8, 9, 0]), 0, 0),
        });
    }
    let start = insns.len();
    let end = start + 3 + draw.below(14) as usize;
    for at in start..end {
        let (dst, src) = (draw.of(&REGS), draw.of(&REGS));
        insns.push(match draw.below(20) {
            0..=4 => Insn::new(0x0f | if draw.below(4) == 0 { SUB } else { ADD }, dst, src, 0, 0),
            5..=8 => Insn::new(
                0x07 | if draw.below(4) == 0 { SUB } else { ADD },
                dst,
                0,
                0,
                draw.below(40) as i32 - 8,
            ),
            9 => Insn::new(0x57, dst, 0, 0, draw.below(64) as i32),
            10 => Insn::new(0xbf, dst, src, 0, 0),
            11 => Insn::new(draw.of(&[0x0c, 0x1c, 0x4f, 0x5f, 0x2f, 0x87, 0xbc, 0x67]), dst, src, 0, 0),
            12..=14 => {
                let (opcode, off) = (draw.of(&[0x71, 0x69, 0x61, 0x79]), draw.below(24) as i16 - 4);
                Insn::new(opcode, dst, draw.of(&[7, 9, 2, 3, 4]), off, 0)
            }
            15 => Insn::new(0x72, draw.of(&[7, 9, 2, 3, 4]), 0, draw.below(24) as i16 - 8, 1),
            _ => {
                let op = draw.of(&JUMPS) | if draw.below(6) == 0 { 6 } else { 5 };
                let off = draw.below((end - at) as u64) as i16;
                if draw.below(3) != 0 {
                    let (dst, src) =
                        if packets && draw.below(2) == 0 { (draw.of(&[7, 9, 2]), 8) } else { (dst, src) };
                    Insn::new(op | 8, dst, src, off, 0)
                } else {
                    Insn::new(op, dst, 0, off, draw.of(&[0, 0, 1, 7, 40, -1, 64]))
                }
            }
        });
    }
    insns.push(Insn::new(0xb7, 0, 0, 0, 0));
    insns.push(Insn::new(0x95, 0, 0, 0, 0));
    (if packets { ProgType::SchedCls } else { ProgType::SocketFilter }, insns)
}

#[test]
fn root_random_pointers_are_moved_as_the_kernel_moves_them() {
    compare("root_random_pointers_are_moved_as_the_kernel_moves_them", 1000, draw_program);
}
