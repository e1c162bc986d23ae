//! The few instructions that trial programs are made of.

use crate::error::Result;
use crate::prog::{Prog, ProgLoad, ProgType};

/// One instruction as 8 bytes in memory: RFC 9669, section 3.
pub(super) const fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    let regs = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    let [o0, o1] = off.to_ne_bytes();
    let [i0, i1, i2, i3] = imm.to_ne_bytes();
    u64::from_ne_bytes([opcode, regs, o0, o1, i0, i1, i2, i3])
}

/// `dst = imm`
pub(super) const fn mov_imm(dst: u8, imm: i32) -> u64 {
    insn(0xb7, dst, 0, 0, imm)
}

/// `dst = src`
pub(super) const fn mov(dst: u8, src: u8) -> u64 {
    insn(0xbf, dst, src, 0, 0)
}

/// `dst += imm`
pub(super) const fn add_imm(dst: u8, imm: i32) -> u64 {
    insn(0x07, dst, 0, 0, imm)
}

/// `*(u64 *)(dst + off) = imm`
pub(super) const fn store_imm(dst: u8, off: i16, imm: i32) -> u64 {
    insn(0x7a, dst, 0, off, imm)
}

/// Calls a helper.
pub(super) const fn call(helper: i32) -> u64 {
    insn(0x85, 0, 0, 0, helper)
}

/// Returns `r0`.
pub(super) const EXIT: u64 = insn(0x95, 0, 0, 0, 0);

/// Loads `r0` with 0 and returns it.
pub(super) const RETURN_0: [u64; 2] = [mov_imm(0, 0), EXIT];

/// Loads a trial program of these instructions.
pub(super) fn load(prog_type: ProgType, insns: &[u64]) -> Result<Prog> {
    ProgLoad { prog_type, insns, license: "GPL", ..ProgLoad::default() }.load()
}
