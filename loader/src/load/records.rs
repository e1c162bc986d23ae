//! Function and line records as the kernel takes them (`Documentation/bpf/btf.rst`), and which types it knows.

use crate::Result;
use crate::spec::ProgramSpec;

/// `struct bpf_func_info`: instruction and type of each function.
pub(super) const FUNC_SIZE: u32 = 8;
/// `struct bpf_line_info`: instruction, name of the file, text, line and column.
pub(super) const LINE_SIZE: u32 = 16;

/// Function records; empty where the type of any function is not known, as the kernel wants all or none.
pub(super) fn funcs(program: &ProgramSpec) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.funcs.len() * FUNC_SIZE as usize);
    for func in &program.funcs {
        let (Some(id), Ok(insn)) = (func.type_id, u32::try_from(func.insn)) else { return Vec::new() };
        bytes.extend([insn, id.0].map(u32::to_ne_bytes).as_flattened());
    }
    bytes
}

/// Line records.
pub(super) fn lines(program: &ProgramSpec) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.lines.len() * LINE_SIZE as usize);
    for line in &program.lines {
        let Ok(insn) = u32::try_from(line.insn) else { return Vec::new() };
        let record = [insn, line.file_name_off, line.line_off, line.line_col];
        bytes.extend(record.map(u32::to_ne_bytes).as_flattened());
    }
    bytes
}

pub(super) fn sanitized(_bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(None)
}
