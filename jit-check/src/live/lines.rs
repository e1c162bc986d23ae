//! A source line for each instruction: the kernel then tells where each one's machine code begins.

use crate::program::Program;
use btf::{Builder, Endian, IntEncoding, Linkage};

/// Types and records that give instruction `n` the line `n + 1`.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The BTF.
    pub btf: Vec<u8>,
    /// Records of functions, 8 bytes each.
    pub funcs: Vec<u8>,
    /// Records of lines, 16 bytes each.
    pub lines: Vec<u8>,
}

/// A line for each instruction word that begins an instruction, and a function where each subprogram begins.
pub fn line_for_each_insn(program: &Program) -> Lines {
    let mut types = Builder::new(Endian::NATIVE);
    let int =
        types.int("int", 4, IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false });
    let file = types.string("program");
    let (mut funcs, mut lines) = (Vec::new(), Vec::new());
    for (nth, start) in function_starts(program).into_iter().enumerate() {
        let proto = types.func_proto(int, &[("a", int), ("b", int), ("c", int), ("d", int), ("e", int)]);
        let func = types.func(&format!("f{nth}"), proto, Linkage::Static);
        funcs.extend([start as u32, func.0].map(u32::to_ne_bytes).concat());
    }
    let mut at = 0;
    while let Some(insn) = program.insns.get(at) {
        let line = (at as u32 + 1) << 10;
        lines.extend([at as u32, file, file, line].map(u32::to_ne_bytes).concat());
        at += if insn.opcode == 0x18 { 2 } else { 1 };
    }
    Lines { btf: types.finish(), funcs, lines }
}

/// Where the program and its subprograms begin, by rising instruction.
fn function_starts(program: &Program) -> Vec<usize> {
    let mut starts = vec![0];
    for (at, insn) in program.insns.iter().enumerate() {
        let second = at > 0 && program.insns[at - 1].opcode == 0x18;
        let calls = insn.opcode == 0x85 && insn.regs >> 4 == 1 || insn.opcode == 0x18 && insn.regs >> 4 == 4;
        if calls && !second {
            starts.extend(usize::try_from(at as i64 + 1 + i64::from(insn.imm)));
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}
