//! Loads of 64-bit immediates: numbers, maps, values in maps, kernel variables, subprograms.

use super::super::env::{E2BIG, EFAULT, EINVAL, ENOENT, EOPNOTSUPP, EPERM, Env, Res, reject};
use super::super::reg::{Base, BtfIdx, Extra, Flags, Reg};
use super::super::scalar::Tnum;
use super::super::states::Use;
use super::pointer;
use super::walk::{Parts, op, target};
use crate::kernel::Version;
use asm::Insn;
use bpf_sys::map::MapType;
use btf::{Kind, TypeId};

/// Most maps of a program.
const MAX_USED_MAPS: usize = 64;
/// Bounds of offsets.
const MAX_VAR_OFF: u32 = 1 << 29;
const EBADF: i32 = 9;
const EBUSY: i32 = 16;
const EPROTO: i32 = 71;

impl<'a> Env<'a> {
    /// Before the walk: every immediate load is of something that exists and may be used, and every opcode is one.
    pub(super) fn resolve_imm64(&mut self) -> Res {
        let mut used: Vec<u32> = Vec::new();
        let mut at = 0;
        while at < self.insns.len() {
            let insn = self.insns[at];
            self.fault = Some(at);
            if insn.class() == op::LDX {
                let other = match insn.mode() {
                    op::MEM => false,
                    op::MEMSX => !self.since(6, 6),
                    _ => true,
                };
                if other || insn.imm != 0 {
                    reject!(self, EINVAL, "BPF_LDX uses reserved fields");
                }
            }
            if insn.opcode == op::LD_IMM64 {
                self.resolve_one(at, insn, &mut used)?;
                at += 2;
                continue;
            }
            if !opcode_exists(insn.opcode, self.kernel.version) {
                reject!(self, EINVAL, "unknown opcode {:02x}", insn.opcode);
            }
            at += 1;
        }
        self.fault = None;
        Ok(())
    }

    fn resolve_one(&mut self, at: usize, insn: Insn, used: &mut Vec<u32>) -> Res {
        let second = self.insns.get(at + 1).copied();
        let Some(second) = second.filter(|word| word.opcode == 0 && word.regs == 0 && word.off == 0) else {
            reject!(self, EINVAL, "invalid bpf_ld_imm64 insn");
        };
        match insn.src_no() {
            0 | op::PSEUDO_FUNC => return Ok(()),
            op::PSEUDO_BTF_ID => return self.resolve_btf_id(at, insn, second),
            op::PSEUDO_MAP_VALUE => (),
            op::PSEUDO_MAP_FD if second.imm == 0 => (),
            op::PSEUDO_MAP_IDX_VALUE => reject!(self, EPROTO, "fd_idx without fd_array is invalid"),
            op::PSEUDO_MAP_IDX if second.imm == 0 => {
                reject!(self, EPROTO, "fd_idx without fd_array is invalid")
            }
            _ => reject!(self, EINVAL, "unrecognized bpf_ld_imm64 insn"),
        }
        let map = insn.imm as u32;
        let program = self.program;
        let Some(spec) = program.maps.get(map as usize) else {
            // Descriptors 0 to 2 are open, and no maps.
            let fd = if insn.imm < 0 { !insn.imm } else { insn.imm };
            let errno = if (0..=2).contains(&fd) { EINVAL } else { EBADF };
            reject!(self, errno, "fd {fd} is not pointing to valid bpf_map");
        };
        let reused = used.contains(&map);
        if !reused {
            if used.len() >= MAX_USED_MAPS {
                reject!(
                    self,
                    E2BIG,
                    "The total number of maps per program has reached the limit of {MAX_USED_MAPS}"
                );
            }
            used.push(map);
        }
        self.aux[at].map = Some(map);
        self.map_prog_compatible(map)?;
        if insn.src_no() == op::PSEUDO_MAP_VALUE {
            let off = second.imm as u32;
            let is_arena = spec.map_type == MapType::Arena;
            if off >= MAX_VAR_OFF {
                reject!(self, EINVAL, "direct value offset of {off} is not allowed");
            }
            if !is_arena && !matches!(spec.map_type, MapType::Array | MapType::InsnArray) {
                reject!(self, EINVAL, "no direct value access support for this map type");
            }
            let refused = match is_arena {
                true if u64::from(off) / 4096 > u64::from(spec.max_entries) => Some(34),
                false if spec.max_entries != 1 => Some(524),
                false if off >= spec.value_size => Some(EINVAL),
                _ => None,
            };
            if let Some(errno) = refused {
                let size = spec.value_size;
                reject!(self, errno, "invalid access to map value pointer, value_size={size} off={off}");
            }
            self.aux[at].map_off = off;
        }
        if reused {
            return Ok(());
        }
        let ty = spec.map_type;
        let is_twice = used.iter().any(|other| *other != map && program.maps[*other as usize].map_type == ty);
        if matches!(ty, MapType::CgroupStorage | MapType::PercpuCgroupStorage) && is_twice {
            reject!(self, EBUSY, "only one cgroup storage of each type is allowed");
        }
        if ty == MapType::Arena {
            if is_twice {
                reject!(self, EBUSY, "Only one arena per program");
            }
            if !self.allow_ptr_leaks || !self.bpf_capable {
                reject!(self, EPERM, "CAP_BPF and CAP_PERFMON are required to use arena");
            }
            if !self.kernel.jit {
                reject!(self, EOPNOTSUPP, "JIT is required to use arena");
            }
        }
        Ok(())
    }

    /// A kernel variable or function by its id.
    fn resolve_btf_id(&mut self, at: usize, insn: Insn, second: Insn) -> Res {
        let id = insn.imm as u32;
        if self.kernel.btf.is_none() {
            reject!(
                self,
                EINVAL,
                "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig."
            );
        }
        let btf_idx = match second.imm {
            0 => BtfIdx::KERNEL,
            module => BtfIdx((module as u16).saturating_add(1)),
        };
        if usize::from(btf_idx.0) >= self.btfs.len() {
            reject!(self, EINVAL, "invalid module BTF object FD specified.");
        }
        let btf = self.btf(btf_idx);
        let Some(ty) = btf.type_by_id(TypeId(id)) else {
            reject!(self, ENOENT, "ldimm64 insn specifies invalid btf_id {}.", insn.imm);
        };
        if !matches!(ty.kind(), Kind::Var | Kind::Func) {
            reject!(self, EINVAL, "pseudo btf_id {id} in ldimm64 isn't KIND_VAR or KIND_FUNC");
        }
        let read_only = |size| {
            let mut reg = pointer(Base::Mem);
            reg.flags = Flags::RDONLY;
            reg.extra = Extra::Mem { size, dynptr_id: 0 };
            reg
        };
        if ty.kind() == Kind::Func {
            self.aux[at].ptr_type = Some(read_only(0));
            return Ok(());
        }
        let percpu = btf
            .types()
            .filter(|(_, section)| section.kind() == Kind::Datasec && section.name() == ".data..percpu")
            .any(|(_, section)| section.section_vars().any(|var| var.type_id == TypeId(id)));
        let var_type = ty.type_id().unwrap_or(TypeId(0));
        let resolved = btf.resolve(var_type);
        let is_struct = resolved.is_some_and(|(_, ty)| ty.kind().is_composite());
        let object = |flags| {
            let mut reg = pointer(Base::BtfId);
            reg.flags = flags;
            reg.extra = Extra::Btf { btf: btf_idx, id: var_type.0 };
            reg
        };
        let reg = if percpu {
            object(Flags::PERCPU)
        } else if is_struct {
            object(Flags::empty())
        } else {
            let Some(size) = btf.size_of(var_type) else {
                let name = resolved.map_or("", |(_, ty)| ty.name());
                reject!(self, EINVAL, "ldimm64 unable to resolve the size of type '{name}': -22");
            };
            read_only(size as u32)
        };
        self.aux[at].ptr_type = Some(reg);
        Ok(())
    }

    /// During the walk: the register gets what is loaded.
    pub(super) fn check_imm64(&mut self, insn: Insn) -> Res {
        if insn.opcode != op::LD_IMM64 {
            reject!(self, EINVAL, "invalid BPF_LD_IMM insn");
        }
        if insn.off != 0 {
            reject!(self, EINVAL, "BPF_LD_IMM64 uses reserved fields");
        }
        let dst = insn.dst_no();
        self.check_reg_arg(dst, Use::Dst)?;
        let at = self.insn_idx;
        let mut value = match insn.src_no() {
            0 => {
                let high = self.insns.get(at + 1).map_or(0, |second| second.imm);
                known(u64::from(high as u32) << 32 | u64::from(insn.imm as u32))
            }
            op::PSEUDO_BTF_ID => match self.aux[at].ptr_type {
                Some(reg) => reg,
                None => reject!(self, EFAULT, "bpf verifier is misconfigured"),
            },
            op::PSEUDO_FUNC => self.func_address(insn)?,
            src => {
                let Some(map) = self.aux[at].map else {
                    reject!(self, EINVAL, "bpf verifier is misconfigured");
                };
                let is_value = src == op::PSEUDO_MAP_VALUE;
                if is_value && self.program.maps[map as usize].map_type == MapType::Arena {
                    return self.mark_reg_unknown(dst);
                }
                let mut reg = pointer(if is_value { Base::MapValue } else { Base::ConstMap });
                reg.extra = Extra::Map { map, inner: false, uid: 0 };
                if is_value {
                    reg.off = self.aux[at].map_off as i32;
                }
                reg
            }
        };
        let place = self.reg_mut(dst);
        (value.precise, value.subreg_def) = (place.precise, place.subreg_def);
        place.copy_value(&value);
        Ok(())
    }

    fn func_address(&mut self, insn: Insn) -> Res<Reg> {
        let start = target(self.insn_idx, i64::from(insn.imm));
        let subprog = usize::try_from(start).ok().and_then(|start| self.find_subprog(start));
        if !self.has_func_info() {
            reject!(self, EINVAL, "missing btf func_info");
        }
        let is_static = subprog.filter(|subprog| !self.subprogs[*subprog as usize].is_global);
        let Some(subprog) = is_static else { reject!(self, EINVAL, "callback function not static") };
        if subprog == 0 {
            reject!(self, EINVAL, "callback function cannot be the main program");
        }
        let mut reg = pointer(Base::Func);
        reg.extra = Extra::Subprog(subprog);
        Ok(reg)
    }
}

/// A number that is known.
fn known(value: u64) -> Reg {
    Reg {
        base: Base::Scalar,
        var_off: Tnum { value, mask: 0 },
        smin: value as i64,
        smax: value as i64,
        umin: value,
        umax: value,
        s32_min: value as i32,
        s32_max: value as i32,
        u32_min: value as u32,
        u32_max: value as u32,
        ..Reg::NOT_INIT
    }
}

/// Whether the kernel has an instruction with this opcode.
fn opcode_exists(opcode: u8, version: Version) -> bool {
    let (class, kind, is_reg, mode) = (opcode & 7, opcode >> 4, opcode & 8 != 0, opcode & 0xe0);
    let cpu_v4 = version >= Version(6, 6);
    match class {
        op::ALU | op::ALU64 => match kind {
            8 => !is_reg,
            13 if class == op::ALU64 => !is_reg && cpu_v4,
            kind => kind <= 13,
        },
        op::JMP => match kind {
            0 => !is_reg || version >= Version(6, 19),
            8 | 9 => !is_reg,
            14 => !is_reg && version >= Version(6, 9),
            kind => kind <= 13,
        },
        op::JMP32 => match kind {
            0 => !is_reg && cpu_v4,
            8 | 9 => false,
            kind => kind <= 13,
        },
        op::LD => match mode {
            op::IMM => opcode == op::LD_IMM64,
            op::ABS | op::IND => opcode & 0x18 != 0x18,
            _ => false,
        },
        op::LDX => mode == op::MEM || (mode == op::MEMSX && opcode & 0x18 != 0x18 && cpu_v4),
        op::ST => mode == op::MEM,
        // Half words and bytes are there since there are loads and stores with order.
        _ => {
            mode == op::MEM
                || (mode == op::ATOMIC && (matches!(opcode & 0x18, 0x00 | 0x18) || version >= Version(6, 15)))
        }
    }
}
