//! Memory that functions are handed.

use super::Access;
use crate::verifier::env::{EACCES, EINVAL, Env, Reject, Res, reject};
use crate::verifier::helpers::CallMeta;
use crate::verifier::reg::{Base, Extra, Flags};

/// Sizes from here on count as unbounded.
const MAX_VAR_SIZE: u64 = 1 << 29;

impl Env<'_> {
    /// A function accesses memory through an argument.
    pub(in crate::verifier) fn check_helper_mem_access(
        &mut self,
        regno: u8,
        access_size: u32,
        access: Access,
        zero_size_allowed: bool,
        meta: Option<&mut CallMeta>,
    ) -> Res {
        let reg = *self.reg(regno);
        let is_write = access == Access::Write;
        match reg.base {
            Base::Packet | Base::PacketMeta => {
                return self.check_packet_access(regno, reg.off, access_size, zero_size_allowed);
            }
            Base::MapKey => {
                if is_write {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} cannot write into {name}");
                }
                let Some(spec) = self.reg_map_spec(&reg) else { return Err(Reject(EINVAL)) };
                return self.check_mem_region_access(regno, reg.off, access_size, spec.key_size, false);
            }
            Base::MapValue => {
                self.check_map_access_type(regno, reg.off, access_size, access)?;
                return self.check_map_access(regno, reg.off, access_size, zero_size_allowed, true);
            }
            Base::Mem => {
                if is_write && reg.flags.contains(Flags::RDONLY) {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} cannot write into {name}");
                }
                let Extra::Mem { size, .. } = reg.extra else { return Err(Reject(EINVAL)) };
                return self.check_mem_region_access(regno, reg.off, access_size, size, zero_size_allowed);
            }
            Base::Buf => {
                let read_only = reg.flags.contains(Flags::RDONLY);
                if is_write && read_only {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} cannot write into {name}");
                }
                let what = if read_only { "rdonly" } else { "rdwr" };
                return self.check_buffer_access(regno, what, reg.off, access_size);
            }
            Base::Stack => {
                return self.check_stack_range_initialized(
                    regno,
                    reg.off,
                    access_size,
                    zero_size_allowed,
                    true,
                    access,
                    meta,
                );
            }
            Base::BtfId => {
                return self.check_object_access(regno, reg.off, access_size, Access::Read, None);
            }
            Base::Ctx if self.ctx_is_memory() => {
                if access_size == 0 {
                    return if zero_size_allowed { Ok(()) } else { Err(Reject(EACCES)) };
                }
                let (insn_idx, last) = (self.insn_idx, access_size as i32 - 1);
                return self.check_mem_access(insn_idx, regno, last, 1, access, None, false, false);
            }
            _ => {}
        }
        if zero_size_allowed && access_size == 0 && reg.is_null() {
            return Ok(());
        }
        let name = reg.type_name();
        self.say(format_args!("R{regno} type={name} "));
        reject!(self, EACCES, "expected=fp");
    }

    /// Memory argument regno - 1 with its size in regno.
    pub(in crate::verifier) fn check_mem_size_reg(
        &mut self,
        regno: u8,
        access: Access,
        zero_size_allowed: bool,
        meta: &mut CallMeta,
    ) -> Res {
        let reg = *self.reg(regno);
        meta.msize_max_value = reg.umax;
        // A size that varies may leave a part as it was: the program has to write all of it before.
        let known = reg.var_off.is_const();
        if reg.smin < 0 {
            reject!(self, EACCES, "R{regno} min value is negative, either use unsigned or 'var &= const'");
        }
        if reg.umin == 0 && !zero_size_allowed {
            if self.since(6, 8) {
                let (min, max) = (reg.umin as i64, reg.umax as i64);
                reject!(self, EACCES, "R{regno} invalid zero-sized read: u64=[{min},{max}]");
            }
            self.check_helper_mem_access(
                regno - 1,
                0,
                access,
                zero_size_allowed,
                known.then_some(&mut *meta),
            )?;
        }
        if reg.umax >= MAX_VAR_SIZE {
            reject!(
                self,
                EACCES,
                "R{regno} unbounded memory access, use 'var &= const' or 'if (var < const)'"
            );
        }
        let size = reg.umax as u32;
        self.check_helper_mem_access(regno - 1, size, access, zero_size_allowed, known.then_some(meta))?;
        self.mark_chain_precision(regno)
    }

    /// A memory argument of a subprogram or kernel function, of fixed size, read and written; may be NULL by its type.
    pub(in crate::verifier) fn check_mem_reg(&mut self, regno: u8, mem_size: u32) -> Res {
        let saved = *self.reg(regno);
        if saved.is_null() {
            return Ok(());
        }
        // What it is if it is not NULL has to fit; the register itself stays as it is.
        if saved.may_be_null() {
            let mut reg = saved;
            self.mark_not_null(&mut reg);
            *self.reg_mut(regno) = reg;
        }
        let readable = self.check_helper_mem_access(regno, mem_size, Access::Read, true, None);
        let result =
            readable.and_then(|()| self.check_helper_mem_access(regno, mem_size, Access::Write, true, None));
        if saved.may_be_null() {
            *self.reg_mut(regno) = saved;
        }
        result
    }

    /// A kernel function's memory argument regno - 1 with its size in regno; it is read and written.
    pub(in crate::verifier) fn check_kfunc_mem_size_reg(&mut self, regno: u8) -> Res {
        let saved = *self.reg(regno - 1);
        if saved.may_be_null() {
            let mut reg = saved;
            self.mark_not_null(&mut reg);
            *self.reg_mut(regno - 1) = reg;
        }
        let mut meta = CallMeta::default();
        let readable = self.check_mem_size_reg(regno, Access::Read, true, &mut meta);
        let result = readable.and_then(|()| self.check_mem_size_reg(regno, Access::Write, true, &mut meta));
        if saved.may_be_null() {
            *self.reg_mut(regno - 1) = saved;
        }
        result
    }
}
