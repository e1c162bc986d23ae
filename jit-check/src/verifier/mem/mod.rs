//! Memory: stack, context, map values, packets, kernel objects.

pub(in crate::verifier) mod ctx;
mod helper;
mod insn;
mod map;
mod object;
mod region;
mod stack;

use super::env::{EACCES, EINVAL, Env, Reject, Res, reject};
use super::reg::{Base, Extra, Flags};
use region::{is_packet, is_socket};

/// Reading or writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Env<'_> {
    /// An access of `size` bytes at register + off; `value_regno` is where a read value goes or a written one comes from.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::verifier) fn check_mem_access(
        &mut self,
        insn_idx: usize,
        regno: u8,
        off: i32,
        size: u32,
        access: Access,
        value_regno: Option<u8>,
        strict_alignment_once: bool,
        is_ldsx: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        let is_write = access == Access::Write;
        self.check_alignment(regno, off, size, strict_alignment_once)?;
        let off = off.wrapping_add(reg.off);
        // Where plain data is read, the register becomes a number.
        let mut reads_number = !is_write;
        match reg.base {
            Base::MapKey if reg.flags.is_empty() => {
                if is_write {
                    reject!(self, EACCES, "write to change key R{regno} not allowed");
                }
                let Some(spec) = self.reg_map_spec(&reg) else { return Err(Reject(EINVAL)) };
                self.check_mem_region_access(regno, off, size, spec.key_size, false)?;
            }
            Base::MapValue if reg.flags.is_empty() => {
                self.check_map_value_access(regno, off, size, access, value_regno, insn_idx, is_ldsx)?;
                reads_number = false;
            }
            Base::Mem => {
                let read_only = reg.flags.contains(Flags::RDONLY);
                if reg.may_be_null() {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} invalid mem access '{name}'");
                }
                if is_write && read_only {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} cannot write into {name}");
                }
                self.check_leak(is_write, value_regno, "mem")?;
                let Extra::Mem { size: mem_size, .. } = reg.extra else { return Err(Reject(EINVAL)) };
                // Memory that nobody vouches for is read with faults caught, wherever it is.
                if !(reg.flags.contains(Flags::UNTRUSTED) && self.since(6, 17)) {
                    self.check_mem_region_access(regno, off, size, mem_size, false)?;
                }
            }
            Base::Ctx if reg.flags.is_empty() => {
                self.check_leak(is_write, value_regno, "ctx")?;
                self.check_ptr_off(&reg, regno, false)?;
                let value = match self.check_ctx_access(off, size, access, is_ldsx) {
                    Ok(value) => value,
                    Err(refusal) => {
                        self.print_line_info(insn_idx, format_args!("; "));
                        return Err(refusal);
                    }
                };
                if let Some(dst) = value_regno.filter(|_| !is_write) {
                    self.mark_ctx_load(dst, value)?;
                }
                reads_number = false;
            }
            Base::Stack if reg.flags.is_empty() => {
                self.check_stack_bounds(regno, off, size as i32, false, access)?;
                if is_write {
                    self.check_stack_write(regno, off, size, value_regno, insn_idx)?;
                } else {
                    self.check_stack_read(regno, off, size, value_regno)?;
                }
                reads_number = false;
            }
            _ if is_packet(&reg) => {
                if is_write && !self.may_access_packet(None, access) {
                    reject!(self, EACCES, "cannot write into packet");
                }
                self.check_leak(is_write, value_regno, "packet")?;
                self.check_packet_access(regno, off, size, false)?;
            }
            Base::FlowKeys if reg.flags.is_empty() => {
                self.check_leak(is_write, value_regno, "flow keys")?;
                self.check_flow_keys_access(off, size)?;
            }
            _ if is_socket(&reg) => {
                if is_write {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} cannot write into {name}");
                }
                self.check_sock_access(regno, off, size)?;
            }
            Base::TpBuffer if reg.flags.is_empty() => {
                self.check_buffer_access(regno, "tracepoint", off, size)?;
            }
            Base::BtfId if !reg.may_be_null() => {
                self.check_object_access(regno, off, size, access, value_regno)?;
                reads_number = false;
            }
            Base::ConstMap if reg.flags.is_empty() => {
                self.check_map_object_access(regno, off, size, access, value_regno)?;
                reads_number = false;
            }
            Base::Buf if !reg.may_be_null() => {
                let read_only = reg.flags.contains(Flags::RDONLY);
                if is_write && read_only {
                    let name = reg.type_name();
                    reject!(self, EACCES, "R{regno} cannot write into {name}");
                }
                let what = if read_only { "rdonly" } else { "rdwr" };
                self.check_buffer_access(regno, what, off, size)?;
            }
            Base::Arena if reg.flags.is_empty() => {}
            _ => {
                let name = reg.type_name();
                reject!(self, EACCES, "R{regno} invalid mem access '{name}'");
            }
        }
        let Some(dst) = value_regno.filter(|_| !is_write) else { return Ok(()) };
        if reads_number {
            self.mark_reg_unknown(dst)?;
        }
        if size < 8 && self.reg(dst).is_scalar() {
            let version = self.kernel.version;
            let to = self.reg_mut(dst);
            if is_ldsx {
                to.sign_extend_64(size);
            } else {
                to.coerce_to_size(size, version);
            }
        }
        Ok(())
    }

    /// Pointers that the loader may not learn must not be stored where it can read them.
    fn check_leak(&mut self, is_write: bool, value_regno: Option<u8>, place: &str) -> Res {
        if let Some(value) = value_regno.filter(|_| is_write)
            && self.leaks_pointer(self.reg(value))
        {
            reject!(self, EACCES, "R{value} leaks addr into {place}");
        }
        Ok(())
    }
}
