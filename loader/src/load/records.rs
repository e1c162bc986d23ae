//! Function and line records as the kernel takes them (`Documentation/bpf/btf.rst`), and which types it knows.

use crate::spec::ProgramSpec;
use bpf_sys::features::{self, Answer};
use btf::{Btf, Capabilities};

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

/// The object's types rewritten to what this kernel takes; `None` where there is nothing to rewrite. What they do not make
/// use of is not tried out.
pub(super) fn sanitized(bytes: &[u8], without: bool) -> Result<Option<Vec<u8>>, btf::Error> {
    if without {
        return btf::sanitize(bytes, &Capabilities::NONE);
    }
    let used = Capabilities::used_by(&Btf::parse(bytes)?);
    // What could not be tried out is left as it is: the kernel says then what it minds.
    let takes = |used: bool, probe: fn() -> Answer| !used || !probe().is_no();
    let mut kernel = Capabilities::ALL;
    kernel.func = takes(used.func, features::has_btf_func);
    kernel.func_global = takes(used.func_global, features::has_btf_func_global);
    kernel.datasec = takes(used.datasec, features::has_btf_datasec);
    kernel.float = takes(used.float, features::has_btf_float);
    kernel.decl_tag = takes(used.decl_tag, features::has_btf_decl_tag);
    kernel.type_tag = takes(used.type_tag, features::has_btf_type_tag);
    kernel.enum64 = takes(used.enum64, features::has_btf_enum64);
    kernel.empty_datasec = takes(used.empty_datasec, features::has_btf_empty_datasec);
    kernel.section_names = takes(used.section_names, features::has_btf_section_names);
    kernel.tag_flags = takes(used.tag_flags, features::has_btf_tag_flags);
    kernel.layout = takes(used.layout, features::has_btf_layout);
    kernel.large_counts = takes(used.large_counts, features::has_btf_large_counts);
    btf::sanitize(bytes, &kernel)
}
