//! Map values: special fields, kptrs, contents that are known beforehand.

use super::Access;
use crate::verifier::env::{EACCES, EINVAL, ENOTSUPP, Env, Reject, Res, reject};
use crate::verifier::objects::{Field, FieldKind};
use crate::verifier::reg::{BtfIdx, Flags, Reg};
use bpf_sys::map::{MapFlags, MapType};
use btf::TypeId;
use loader::MapKind;

/// Structs that RCU keeps, whether the pointer says so or not.
const RCU_PROTECTED: &[&str] =
    &["prog_test_ref_kfunc", "cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx"];

impl<'a> Env<'a> {
    /// Read-only and write-only maps.
    pub(in crate::verifier) fn check_map_access_type(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        access: Access,
    ) -> Res {
        let reg = *self.reg(regno);
        let Some(spec) = self.reg_map_spec(&reg) else { return Err(Reject(EINVAL)) };
        let value_size = spec.value_size;
        if access == Access::Write && spec.flags.contains(MapFlags::RDONLY_PROG) {
            reject!(self, EACCES, "write into map forbidden, value_size={value_size} off={off} size={size}");
        }
        let write_only = spec.flags.contains(MapFlags::WRONLY_PROG);
        if access == Access::Read && write_only && !spec.flags.contains(MapFlags::RDONLY_PROG) {
            reject!(self, EACCES, "read from map forbidden, value_size={value_size} off={off} size={size}");
        }
        Ok(())
    }

    /// Bytes of a map value: loads and stores may touch whole kptrs, functions no special field at all.
    pub(in crate::verifier) fn check_map_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        zero_size_allowed: bool,
        for_helper: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        let Some(spec) = self.reg_map_spec(&reg) else { return Err(Reject(EINVAL)) };
        self.check_mem_region_access(regno, off, size, spec.value_size, zero_size_allowed)?;
        let touched: Vec<Field> = {
            let Some(record) = self.reg_record(&reg) else { return Ok(()) };
            let first = reg.smin.wrapping_add(i64::from(off));
            let end = reg.umax.wrapping_add(off as i64 as u64).wrapping_add(u64::from(size));
            let touches = |field: &&Field| {
                // A negative start counts as a high number, as it does in the kernel.
                first < i64::from(field.offset + field.size) && u64::from(field.offset) < end
            };
            record.fields.iter().filter(touches).copied().collect()
        };
        for field in touched {
            match field.kind {
                kind if kind.is_kptr() || kind == FieldKind::Uptr => {
                    let name = if self.since(6, 13) { kind.name() } else { "kptr" };
                    if for_helper {
                        reject!(self, EACCES, "{name} cannot be accessed indirectly by helper");
                    }
                    if !reg.var_off.is_const() {
                        reject!(self, EACCES, "{name} access cannot have variable offset");
                    }
                    let at = reg.var_off.value.wrapping_add(i64::from(off) as u64);
                    if u64::from(field.offset) != at {
                        reject!(self, EACCES, "{name} access misaligned expected={} off={at}", field.offset);
                    }
                    if size != 8 {
                        reject!(self, EACCES, "{name} access size must be BPF_DW");
                    }
                }
                kind => {
                    reject!(self, EACCES, "{} cannot be accessed directly by load/store", kind.name());
                }
            }
        }
        Ok(())
    }

    /// The kptr at a byte of a map value.
    fn kptr_at(&self, reg: &Reg, off: i32) -> Option<Field> {
        if !reg.var_off.is_const() {
            return None;
        }
        let at = u32::try_from(i64::from(off).wrapping_add(reg.var_off.value as i64)).ok()?;
        let is_pointer = |kind: FieldKind| kind.is_kptr() || kind == FieldKind::Uptr;
        self.reg_record(reg)?.find(at, is_pointer).copied()
    }

    /// A load or store of a map value.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn check_map_value_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        access: Access,
        value_regno: Option<u8>,
        insn_idx: usize,
        is_ldsx: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        if access == Access::Write
            && let Some(value) = value_regno
            && self.leaks_pointer(self.reg(value))
        {
            reject!(self, EACCES, "R{value} leaks addr into map");
        }
        self.check_map_access_type(regno, off, size, access)?;
        self.check_map_access(regno, off, size, false, false)?;
        if let Some(field) = self.kptr_at(&reg, off) {
            return self.check_kptr_access(&field, value_regno, insn_idx);
        }
        let (Access::Read, Some(dst)) = (access, value_regno) else { return Ok(()) };
        match self.known_contents(&reg, off, size, is_ldsx)? {
            Some(number) => {
                let to = self.reg_mut(dst);
                to.base = crate::verifier::reg::Base::Scalar;
                to.flags = Flags::empty();
                to.mark_known(number);
                Ok(())
            }
            None => self.mark_reg_unknown(dst),
        }
    }

    /// What lies in a map that nobody can write to any more.
    fn known_contents(&self, reg: &Reg, off: i32, size: u32, is_ldsx: bool) -> Res<Option<u64>> {
        let Some(spec) = self.reg_map_spec(reg) else { return Ok(None) };
        let frozen = matches!(spec.kind, MapKind::Rodata | MapKind::Kconfig);
        if !reg.var_off.is_const()
            || !frozen
            || !spec.flags.contains(MapFlags::RDONLY_PROG)
            || spec.map_type != MapType::Array
        {
            return Ok(None);
        }
        if spec.max_entries != 1 {
            return Err(Reject(ENOTSUPP));
        }
        let at = usize::try_from(i64::from(off).wrapping_add(reg.var_off.value as i64)).unwrap_or(usize::MAX);
        let mut bytes = [0; 8];
        let data = spec.data.as_deref().unwrap_or(&[]);
        for (n, byte) in bytes.iter_mut().enumerate().take(size as usize) {
            // A shorter image is filled up with zeros.
            *byte = at.checked_add(n).and_then(|at| data.get(at)).copied().unwrap_or(0);
        }
        let number = u64::from_le_bytes(bytes);
        let shift = 64 - 8 * size;
        let extended = ((number << shift) as i64 >> shift) as u64;
        Ok(Some(if is_ldsx { extended } else { number }))
    }

    fn rcu_keeps(&self, field: &Field) -> bool {
        match (field.kind, field.target) {
            (FieldKind::KptrPercpu, _) => true,
            (FieldKind::KptrRef, Some((BtfIdx::PROGRAM, _))) => true,
            (FieldKind::KptrRef, Some((btf, id))) => {
                self.btf(btf).type_by_id(TypeId(id)).is_some_and(|ty| RCU_PROTECTED.contains(&ty.name()))
            }
            _ => false,
        }
    }

    /// Flags of a pointer that is loaded from a kptr.
    fn kptr_flags(&self, field: &Field) -> Flags {
        if !self.rcu_keeps(field) || !self.in_rcu_cs() || !self.since(6, 4) {
            return Flags::MAYBE_NULL | Flags::UNTRUSTED;
        }
        let mut flags = Flags::MAYBE_NULL | Flags::RCU;
        let Some((btf, id)) = field.target else { return flags };
        if field.kind == FieldKind::KptrPercpu {
            flags |= Flags::PERCPU;
        } else if btf == BtfIdx::PROGRAM {
            flags |= Flags::ALLOC;
        }
        let record = if btf == BtfIdx::PROGRAM { self.btf_record(btf, id) } else { None };
        if record.is_some_and(|record| record.has(FieldKind::ListNode) || record.has(FieldKind::RbNode)) {
            flags |= Flags::NON_OWN_REF;
        }
        flags
    }

    fn check_kptr_access(&mut self, field: &Field, value_regno: Option<u8>, insn_idx: usize) -> Res {
        let Some(insn) = self.insns.get(insn_idx).copied() else { return Err(Reject(EINVAL)) };
        let class = insn.opcode & 7;
        let (ldx, st, stx) = (class == 1, class == 2, class == 3);
        if insn.opcode & 0xe0 != 0x60 {
            reject!(self, EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode");
        }
        if !ldx && matches!(field.kind, FieldKind::KptrRef | FieldKind::KptrPercpu) {
            reject!(self, EACCES, "store to referenced kptr disallowed");
        }
        if !ldx && field.kind == FieldKind::Uptr {
            reject!(self, EACCES, "store to uptr disallowed");
        }
        match value_regno {
            Some(dst) if ldx => {
                if field.kind == FieldKind::Uptr {
                    return self.load_uptr(field, dst);
                }
                let flags = self.kptr_flags(field);
                let found = field.target.map(|(btf, id)| (btf, id, flags));
                self.mark_btf_load(dst, found)
            }
            Some(value) if stx => {
                let reg = *self.reg(value);
                if reg.is_null() {
                    return self.mark_chain_precision(value);
                }
                self.map_kptr_match_type(field, value, &reg).map_err(|_| Reject(EACCES))
            }
            _ if st => {
                if insn.imm != 0 {
                    reject!(
                        self,
                        EACCES,
                        "BPF_ST imm must be 0 when storing to kptr at off={}",
                        field.offset
                    );
                }
                Ok(())
            }
            _ => reject!(self, EACCES, "kptr in map can only be accessed using BPF_LDX/BPF_STX/BPF_ST"),
        }
    }

    /// Memory of user space that a task's storage holds. Since Linux 6.13.
    fn load_uptr(&mut self, field: &Field, dst: u8) -> Res {
        let size = field.target.and_then(|(btf, id)| self.btf(btf).size_of(TypeId(id)));
        self.mark_reg_known_zero(dst);
        let id = self.new_id();
        let reg = self.reg_mut(dst);
        (reg.base, reg.flags, reg.id) = (crate::verifier::reg::Base::Mem, Flags::MAYBE_NULL, id);
        reg.extra = crate::verifier::reg::Extra::Mem { size: size.unwrap_or(0) as u32, dynptr_id: 0 };
        Ok(())
    }
}
