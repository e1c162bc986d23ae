//! Random arithmetic and jumps through the simulator and through the running kernel: the same ranges and bits of every
//! register after every instruction.

mod random;

use asm::Insn;
use bpf_sys::prog::ProgType;
use random::{Draw, compare};
use tracewell_jit_check::kernel::Version;

const ALU: [u8; 10] = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xc0];
const JUMPS: [u8; 11] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
/// Fields of `struct __sk_buff` that are numbers of 32 bits of which nothing is known.
const FIELDS: [i16; 4] = [0, 8, 16, 32];

fn draw_program(draw: &mut Draw, version: Version) -> (ProgType, Vec<Insn>) {
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
    (ProgType::SocketFilter, insns)
}

#[test]
fn root_random_arithmetic_has_the_kernels_ranges() {
    compare("root_random_arithmetic_has_the_kernels_ranges", 400, draw_program);
}
