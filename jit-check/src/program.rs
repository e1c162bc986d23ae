//! The program as verifier and interpreter meet it: relocated, with its maps beside it.

use asm::Insn;
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};
use btf::TypeId;
use loader::{ExternKind, FuncSpec, LineSpec, MapKind, MapSpec, Object, RelocKind, Resolution};
use std::fmt;

/// A program that lacks nothing but a kernel. Plain data.
///
/// Loads of map addresses hold the index into [`maps`](Program::maps) as their immediate (in the second word the offset
/// into the value, where it is a value's address); calls of kernel functions hold BTF ids of the kernel (or of the module
/// that [`Kfuncs::modules`] names); subprogram calls and addresses are resolved.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Program {
    /// Name.
    pub name: String,
    /// Section it came from; empty where it was not made from an object.
    pub section: String,
    /// Type.
    pub prog_type: ProgType,
    /// Expected attach type, where one is asked for.
    pub expected_attach_type: Option<AttachType>,
    /// `FUNC` (or tracepoint typedef) in the kernel's BTF that it is to be attached to.
    pub attach_btf_id: Option<TypeId>,
    /// Name of the module in whose types [`attach_btf_id`](Program::attach_btf_id) is; the kernel's own where `None`.
    pub attach_module: Option<String>,
    /// Load flags.
    pub flags: ProgFlags,
    /// Whether its licence lets it call GPL-only functions.
    pub gpl: bool,
    /// Instruction words, its subprograms' included.
    pub insns: Vec<Insn>,
    /// Maps.
    pub maps: Vec<MapSpec>,
    /// The program's own BTF.
    pub btf: Option<Vec<u8>>,
    /// Functions by rising instruction: itself first.
    pub funcs: Vec<FuncSpec>,
    /// Source lines by rising instruction.
    pub lines: Vec<LineSpec>,
    /// Where kernel functions come from.
    pub kfuncs: Kfuncs,
}

/// What `fd_array` says of kernel functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kfuncs {
    /// Names of modules: a call with offset `n` (from 1) is of a function of `modules[n - 1]`; 0 is the kernel itself.
    pub modules: Vec<String>,
}

/// A program of an object that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadProgram {
    /// The object has no program with this index.
    NoSuchProgram {
        /// The index.
        index: usize,
        /// How many it has.
        count: usize,
    },
    /// The object was not relocated before.
    NotRelocated,
    /// What it attaches to is not there.
    NoTarget {
        /// What was looked for, and where.
        what: String,
    },
}

impl fmt::Display for BadProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadProgram::NoSuchProgram { index, count } => {
                write!(f, "there is no program {index}: the object has {count}")
            }
            BadProgram::NotRelocated => {
                write!(f, "the object is not relocated: call Object::relocate before")
            }
            BadProgram::NoTarget { what } => write!(f, "there is nothing to attach to: {what}"),
        }
    }
}

impl std::error::Error for BadProgram {}

impl Program {
    /// A program made by hand: instructions without maps, types or lines.
    pub fn new(name: impl Into<String>, prog_type: ProgType, insns: Vec<Insn>) -> Program {
        Program {
            name: name.into(),
            section: String::new(),
            prog_type,
            expected_attach_type: None,
            attach_btf_id: None,
            attach_module: None,
            flags: ProgFlags::empty(),
            gpl: true,
            insns,
            maps: Vec::new(),
            btf: None,
            funcs: Vec::new(),
            lines: Vec::new(),
            kfuncs: Kfuncs::default(),
        }
    }

    /// The program of a relocated object.
    ///
    /// # Errors
    ///
    /// [`BadProgram`] where there is no such program, or the object is not relocated.
    pub fn of_object(object: &Object, index: usize) -> Result<Program, BadProgram> {
        let spec = object
            .programs
            .get(index)
            .ok_or(BadProgram::NoSuchProgram { index, count: object.programs.len() })?;
        if !object.relocated {
            return Err(BadProgram::NotRelocated);
        }
        let mut program = Program::new(spec.name.clone(), spec.prog_type, spec.insns.clone());
        program.section.clone_from(&spec.section);
        program.expected_attach_type = spec.expected_attach_type;
        program.flags = spec.flags;
        program.gpl = is_gpl(&object.license);
        program.maps.clone_from(&object.maps);
        program.btf.clone_from(&object.btf);
        program.funcs.clone_from(&spec.funcs);
        program.lines.clone_from(&spec.lines);
        program.mark_plain_maps();
        for reloc in &spec.relocs {
            program.fill_in(object, reloc.insn, reloc.kind);
        }
        Ok(program)
    }

    /// Loads of maps that the object names by descriptor are of no map here: no index says so.
    fn mark_plain_maps(&mut self) {
        for insn in &mut self.insns {
            if insn.opcode == LD_IMM64 && matches!(insn.regs >> 4, PSEUDO_MAP_FD | PSEUDO_MAP_VALUE) {
                insn.imm = !insn.imm;
            }
        }
    }

    fn fill_in(&mut self, object: &Object, at: usize, kind: RelocKind) {
        let (low, high) = match kind {
            RelocKind::Map(map) => ((Some(PSEUDO_MAP_FD), map as i32), None),
            RelocKind::MapValue { map, offset } => {
                ((Some(PSEUDO_MAP_VALUE), map as i32), Some(offset as i32))
            }
            RelocKind::Extern(at_extern) => {
                let Some(ext) = object.externs.get(at_extern) else { return };
                let is_call = self.insns.get(at).is_some_and(|insn| insn.opcode == CALL);
                match (&ext.resolution, is_call) {
                    (Some(Resolution::Function { btf_id, module }), true) => {
                        let index = self.module_index(module.as_deref());
                        if let Some(insn) = self.insns.get_mut(at) {
                            *insn = Insn {
                                regs: PSEUDO_KFUNC_CALL << 4,
                                off: index,
                                imm: btf_id.0 as i32,
                                ..*insn
                            };
                        }
                        return;
                    }
                    (_, true) => {
                        // As loaders write it: a helper that no kernel has, refused where it is reached.
                        if let Some(insn) = self.insns.get_mut(at) {
                            *insn = Insn { regs: 0, off: 0, imm: NO_KFUNC + at_extern as i32, ..*insn };
                        }
                        return;
                    }
                    (Some(Resolution::Value), false) => {
                        let kconfig = object.maps.iter().position(|map| map.kind == MapKind::Kconfig);
                        let offset = match ext.kind {
                            ExternKind::Kconfig { offset, .. } => offset,
                            _ => 0,
                        };
                        let map = kconfig.map_or(-1, |map| map as i32);
                        ((Some(PSEUDO_MAP_VALUE), map), Some(offset as i32))
                    }
                    (
                        Some(Resolution::Function { btf_id, .. } | Resolution::Variable { btf_id, .. }),
                        false,
                    ) => ((Some(PSEUDO_BTF_ID), btf_id.0 as i32), None),
                    (Some(Resolution::Address(address)), false) => {
                        ((Some(0), *address as i32), Some((*address >> 32) as i32))
                    }
                    // A weak symbol that is nowhere has no address.
                    (_, false) => ((Some(0), 0), Some(0)),
                }
            }
            _ => return,
        };
        let (src, imm) = low;
        if let Some(insn) = self.insns.get_mut(at) {
            insn.imm = imm;
            if let Some(src) = src {
                insn.regs = insn.regs & 0xf | src << 4;
            }
        }
        if let (Some(imm), Some(insn)) = (high, self.insns.get_mut(at + 1)) {
            insn.imm = imm;
        }
    }

    fn module_index(&mut self, module: Option<&str>) -> i16 {
        let Some(module) = module else { return 0 };
        let known = &mut self.kfuncs.modules;
        let at = known.iter().position(|name| name == module).unwrap_or_else(|| {
            known.push(module.to_owned());
            known.len() - 1
        });
        at as i16 + 1
    }
}

const CALL: u8 = 0x85;
const LD_IMM64: u8 = 0x18;
/// First of the numbers of helpers that stand for kernel functions that are not there.
const NO_KFUNC: i32 = 2_002_000_000;
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_KFUNC_CALL: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;

/// Whether the kernel takes this licence as compatible with the GPL (`include/linux/license.h`).
pub(crate) fn is_gpl(license: &str) -> bool {
    matches!(
        license,
        "GPL" | "GPL v2" | "GPL and additional rights" | "Dual BSD/GPL" | "Dual MIT/GPL" | "Dual MPL/GPL"
    )
}
