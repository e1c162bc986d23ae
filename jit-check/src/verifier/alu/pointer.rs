//! Pointers that are moved.

use super::super::env::{EACCES, EINVAL, Env, Res, reject};
use super::super::log::types::type_name;
use super::super::op;
use super::super::reg::{Base, Extra, Flags, Reg};
use super::null::MAX_VAR_OFF;
use super::sanitize::Window;
use asm::Insn;

impl Env<'_> {
    /// `ptr op= off` or, where `ptr_is_dst` does not hold, `off op= ptr`: the result is the new pointer. Both are copies
    /// of registers.
    pub(super) fn adjust_ptr(&mut self, insn: Insn, ptr: &Reg, off: &Reg, ptr_is_dst: bool) -> Res {
        let dst = insn.dst().number();
        let code = insn.opcode & 0xf0;
        let known = off.var_off.is_const();
        if (known && (off.smin != off.smax || off.umin != off.umax))
            || off.smin > off.smax
            || off.umin > off.umax
        {
            // An offset from a path that cannot be.
            return self.mark_reg_unknown(dst);
        }
        if insn.opcode & 7 != op::CLASS_ALU64 {
            if code == op::SUB && self.allow_ptr_leaks {
                return self.mark_reg_unknown(dst);
            }
            reject!(self, EACCES, "R{dst} 32-bit pointer arithmetic prohibited");
        }
        if ptr.may_be_null() {
            let name = ptr.type_name();
            reject!(self, EACCES, "R{dst} pointer arithmetic on {name} prohibited, null-check it first");
        }
        if !self.may_move(ptr, off, code) {
            let name = ptr.type_name();
            reject!(self, EACCES, "R{dst} pointer arithmetic on {name} prohibited");
        }
        if !ptr_is_dst {
            *self.reg_mut(dst) = *ptr;
        }
        if ptr.base == Base::Mem && ptr.flags.contains(Flags::UNTRUSTED) && self.since(6, 17) {
            // Accesses are guarded, so that any address will do.
            return Ok(());
        }
        self.check_sane_offset(off, ptr)?;
        self.check_sane_offset(ptr, ptr)?;

        let mut window = Window::default();
        let sanitized = matches!(code, op::ADD | op::SUB);
        if sanitized {
            self.sanitize_ptr(insn, ptr, off, ptr_is_dst, &mut window)?;
        }

        // What was moved is the pointer's register, where it stands in the destination.
        let mut new = *self.reg(dst);
        (new.base, new.flags, new.id) = (ptr.base, ptr.flags, ptr.id);
        new.unbound32();
        match code {
            op::ADD => self.move_up(&mut new, ptr, off, known),
            op::SUB => {
                if !ptr_is_dst {
                    reject!(self, EACCES, "R{dst} tried to subtract pointer from scalar");
                }
                if ptr.is(Base::Stack) {
                    reject!(self, EACCES, "R{dst} subtraction from stack pointer prohibited");
                }
                self.move_down(&mut new, ptr, off, known);
            }
            op::AND | op::OR | op::XOR => {
                let text = op::alu_text(code);
                reject!(self, EACCES, "R{dst} bitwise operator {text} on pointer prohibited");
            }
            _ => {
                let text = op::alu_text(code);
                reject!(self, EACCES, "R{dst} pointer arithmetic with {text} operator prohibited");
            }
        }
        *self.reg_mut(dst) = new;
        self.check_sane_offset(&new, ptr)?;
        self.bounds_sync(&mut new);
        *self.reg_mut(dst) = new;
        self.sanitize_bounds(insn, &new)?;
        if sanitized {
            self.sanitize_ptr_again(insn, &new, off, &window)?;
        }
        Ok(())
    }

    /// Whether such a pointer may be moved at all.
    fn may_move(&self, ptr: &Reg, off: &Reg, code: u8) -> bool {
        let known = off.var_off.is_const();
        match ptr.base {
            Base::Ctx
            | Base::MapValue
            | Base::MapKey
            | Base::Stack
            | Base::PacketMeta
            | Base::Packet
            | Base::TpBuffer
            | Base::BtfId
            | Base::Mem
            | Base::Buf
            | Base::Func
            | Base::ConstDynptr => true,
            Base::FlowKeys if known => true,
            Base::FlowKeys => !self.since(6, 8),
            Base::ConstMap => known && off.smin == 0 && code == op::ADD,
            _ => false,
        }
    }

    fn move_up(&mut self, new: &mut Reg, ptr: &Reg, off: &Reg, known: bool) {
        let fixed = i64::from(ptr.off).checked_add(off.smin).and_then(|sum| i32::try_from(sum).ok());
        if let (true, Some(fixed)) = (known, fixed) {
            keep_range(new, ptr);
            new.off = fixed;
            return;
        }
        match (ptr.smin.checked_add(off.smin), ptr.smax.checked_add(off.smax)) {
            (Some(min), Some(max)) => (new.smin, new.smax) = (min, max),
            _ => (new.smin, new.smax) = (i64::MIN, i64::MAX),
        }
        match (ptr.umin.checked_add(off.umin), ptr.umax.checked_add(off.umax)) {
            (Some(min), Some(max)) => (new.umin, new.umax) = (min, max),
            _ => (new.umin, new.umax) = (0, u64::MAX),
        }
        new.var_off = ptr.var_off.add(off.var_off);
        new.off = ptr.off;
        new.extra = ptr.extra;
        if is_packet_pointer(ptr) {
            new.id = self.new_id();
            new.extra = Extra::Range(0);
        }
    }

    fn move_down(&mut self, new: &mut Reg, ptr: &Reg, off: &Reg, known: bool) {
        let fixed = i64::from(ptr.off).checked_sub(off.smin).and_then(|sum| i32::try_from(sum).ok());
        if let (true, Some(fixed)) = (known, fixed) {
            keep_range(new, ptr);
            new.off = fixed;
            return;
        }
        match (ptr.smin.checked_sub(off.smax), ptr.smax.checked_sub(off.smin)) {
            (Some(min), Some(max)) => (new.smin, new.smax) = (min, max),
            _ => (new.smin, new.smax) = (i64::MIN, i64::MAX),
        }
        (new.umin, new.umax) = if ptr.umin < off.umax {
            (0, u64::MAX)
        } else {
            (ptr.umin - off.umax, ptr.umax.wrapping_sub(off.umin))
        };
        new.var_off = ptr.var_off.sub(off.var_off);
        new.off = ptr.off;
        new.extra = ptr.extra;
        if is_packet_pointer(ptr) {
            new.id = self.new_id();
            // A range holds for what lies before, too.
            if off.smin < 0 {
                new.extra = Extra::Range(0);
            }
        }
    }

    /// Offsets must be bounded below and small.
    fn check_sane_offset(&mut self, reg: &Reg, ptr: &Reg) -> Res {
        let (value, smin) = (reg.var_off.value as i64, reg.smin);
        let name = || type_name(ptr.base, ptr.flags);
        if reg.var_off.is_const() && (value >= MAX_VAR_OFF || value <= -MAX_VAR_OFF) {
            let name = name();
            reject!(self, EINVAL, "math between {name} pointer and {value} is not allowed");
        }
        if i64::from(reg.off) >= MAX_VAR_OFF || i64::from(reg.off) <= -MAX_VAR_OFF {
            let name = name();
            reject!(self, EINVAL, "{name} pointer offset {} is not allowed", reg.off);
        }
        if smin == i64::MIN {
            let name = name();
            reject!(
                self,
                EINVAL,
                "math between {name} pointer and register with unbounded min value is not allowed"
            );
        }
        if smin >= MAX_VAR_OFF || smin <= -MAX_VAR_OFF {
            let name = name();
            reject!(self, EINVAL, "value {smin} makes {name} pointer be out of bounds");
        }
        Ok(())
    }
}

fn is_packet_pointer(reg: &Reg) -> bool {
    reg.is(Base::Packet) || reg.is(Base::PacketMeta)
}

fn keep_range(new: &mut Reg, ptr: &Reg) {
    (new.smin, new.smax, new.umin, new.umax) = (ptr.smin, ptr.smax, ptr.umin, ptr.umax);
    new.var_off = ptr.var_off;
    new.extra = ptr.extra;
}
