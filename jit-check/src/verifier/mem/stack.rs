//! The stack: spills and fills of registers, bytes that hold numbers, zeros or nothing.

use super::Access;
use crate::verifier::env::{EACCES, EFAULT, EINVAL, Env, Reject, Res, reject};
use crate::verifier::helpers::CallMeta;
use crate::verifier::reg::{Base, Live, Reg};
use crate::verifier::state::{Slot, SlotType};
use crate::verifier::states::JUMP_STACK_ACCESS;

/// Bytes of stack that a frame may have.
pub(super) const MAX_STACK: i64 = 512;
/// Variable offsets from here on count as unbounded.
pub(super) const MAX_VAR_OFF: i64 = 1 << 29;
/// No fill or spill lies below.
const NO_FASTCALL: i32 = i16::MIN as i32;

/// Slot of a byte of the stack.
fn slot_of(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}

/// Place of a byte in its slot.
fn byte_of(off: i32) -> usize {
    ((-off - 1) % 8) as usize
}

/// Whether such a register keeps what is known of it when it is spilled.
pub(super) fn is_spillable(base: Base) -> bool {
    !matches!(base, Base::NotInit | Base::Scalar | Base::TpBuffer | Base::ConstDynptr)
}

fn is_special(slot: &Slot) -> bool {
    match slot.types[7] {
        SlotType::Spill | SlotType::Dynptr | SlotType::Iter | SlotType::IrqFlag => true,
        SlotType::Invalid | SlotType::Misc | SlotType::Zero => false,
    }
}

fn scrub(byte: &mut SlotType) {
    if *byte != SlotType::Invalid {
        *byte = SlotType::Misc;
    }
}

/// A write of data ends what was spilled there.
fn scrub_special(slot: &mut Slot) {
    slot.spilled.base = Base::NotInit;
    slot.spilled.flags = crate::verifier::reg::Flags::empty();
    if is_special(slot) {
        slot.types.iter_mut().for_each(scrub);
    }
}

impl Env<'_> {
    fn stack_slot(&self, frame: usize, slot: usize) -> &Slot {
        &self.cur.frames[frame].stack[slot]
    }

    fn stack_slot_mut(&mut self, frame: usize, slot: usize) -> &mut Slot {
        &mut self.cur.frames[frame].stack[slot]
    }

    fn allocated(&self, frame: usize) -> i64 {
        self.cur.frames[frame].stack.len() as i64 * 8
    }

    /// Whether the value is a pointer that the loader may not learn.
    pub(super) fn leaks_pointer(&self, reg: &Reg) -> bool {
        !self.allow_ptr_leaks && !reg.is_scalar()
    }

    fn grow_stack(&mut self, frame: usize, bytes: i64) {
        let slots = (bytes.max(0) as usize).div_ceil(8);
        let state = &mut self.cur.frames[frame];
        if state.stack.len() >= slots {
            return;
        }
        state.stack.resize(slots, Slot::default());
        let subprog = state.subprogno as usize;
        let depth = slots as u32 * 8;
        if let Some(subprog) = self.subprogs.get_mut(subprog)
            && subprog.stack_depth < depth
        {
            subprog.stack_depth = depth;
        }
    }

    /// Whether the current instruction stores an immediate.
    fn stores_imm(&self, insn_idx: usize) -> Option<i32> {
        let insn = self.insns.get(insn_idx)?;
        (insn.opcode & 0xe7 == 0x62).then_some(insn.imm)
    }

    /// The access lies within the stack that may be used; the stack grows to hold it.
    pub(super) fn check_stack_bounds(
        &mut self,
        regno: u8,
        off: i32,
        size: i32,
        for_helper: bool,
        access: Access,
    ) -> Res {
        let reg = *self.reg(regno);
        let frame = reg.frameno as usize;
        let text = match access {
            _ if for_helper && !self.since(6, 14) => " indirect access to",
            Access::Read => " read from",
            Access::Write => " write to",
        };
        let is_const = reg.var_off.is_const();
        let (min, max) = if is_const {
            let min = (reg.var_off.value as i64).wrapping_add(i64::from(off));
            (min, min.wrapping_add(i64::from(size)))
        } else {
            if reg.smax >= MAX_VAR_OFF || reg.smin <= -MAX_VAR_OFF {
                reject!(self, EACCES, "invalid unbounded variable-offset{text} stack R{regno}");
            }
            (reg.smin + i64::from(off), reg.smax + i64::from(off) + i64::from(size))
        };
        let may_grow = access == Access::Write || for_helper && !self.since(6, 14) || self.allow_uninit_stack;
        let lowest = if may_grow { -MAX_STACK } else { -self.allocated(frame) };
        let errno = if min < lowest || min > -1 {
            EACCES
        } else if max > 0 {
            EINVAL
        } else if size < 0 {
            EFAULT
        } else {
            self.grow_stack(frame, -min);
            return Ok(());
        };
        if is_const {
            reject!(self, errno, "invalid{text} stack R{regno} off={off} size={size}");
        }
        let bits = reg.var_off;
        reject!(
            self,
            errno,
            "invalid variable-offset{text} stack R{regno} var_off={bits} off={off} size={size}"
        );
    }

    /// Something but a call's own spills touches the stack that those spills use: calls clobber registers again.
    fn check_fastcall_contract(&mut self, frame: usize, insn_idx: usize, off: i32) {
        let subprogno = self.cur.frames[frame].subprogno as usize;
        let is_pattern = self.aux.get(insn_idx).is_some_and(|aux| aux.fastcall_pattern);
        let next = self.subprogs.get(subprogno + 1).map_or(self.aux.len(), |next| next.start);
        let Some(subprog) = self.subprogs.get_mut(subprogno) else { return };
        if subprog.fastcall_stack_off <= off || is_pattern {
            return;
        }
        subprog.fastcall_stack_off = NO_FASTCALL;
        let start = subprog.start.min(next);
        for aux in self.aux.get_mut(start..next).unwrap_or_default() {
            aux.fastcall_spills = 0;
            aux.fastcall_pattern = false;
        }
    }

    fn spill(&mut self, frame: usize, slot: usize, reg: &Reg, size: u32) {
        let keep_zero = self.since(6, 8);
        let slot = self.stack_slot_mut(frame, slot);
        slot.spilled.copy_value(reg);
        if size == 8 {
            slot.spilled.live.add(Live::WRITTEN);
        }
        let from = 8 - size as usize;
        for (n, byte) in slot.types.iter_mut().enumerate() {
            if n >= from {
                *byte = SlotType::Spill;
            } else if !(keep_zero && *byte == SlotType::Zero) {
                scrub(byte);
            }
        }
    }

    /// Whether this kernel tracks a number of this kind on the stack.
    fn tracks_spilled(&self, reg: &Reg) -> bool {
        if self.since(6, 9) {
            return true;
        }
        let unbounded = reg.smin == i64::MIN
            && reg.smax == i64::MAX
            && reg.umin == 0
            && reg.umax == u64::MAX
            && (reg.s32_min, reg.s32_max) == (i32::MIN, i32::MAX)
            && (reg.u32_min, reg.u32_max) == (0, u32::MAX);
        !unbounded && (self.since(6, 8) || !reg.var_off.is(0))
    }

    /// A store at a known place.
    fn write_fixed(
        &mut self,
        frame: usize,
        off: i32,
        size: u32,
        value_regno: Option<u8>,
        insn_idx: usize,
    ) -> Res {
        let at = slot_of(off);
        let old = self.stack_slot(frame, at);
        if !self.allow_ptr_leaks && old.is_spilled_reg() && !old.spilled.is_scalar() && size != 8 {
            reject!(self, EACCES, "attempt to corrupt spilled pointer on stack");
        }
        let current = self.cur.curframe();
        let imm = if value_regno.is_none() { self.stores_imm(insn_idx) } else { None };
        self.destroy_if_dynptr_slot(frame, at as u32)?;
        self.check_fastcall_contract(frame, insn_idx, off);
        self.mark_slot_scratched(at as u32);
        let reg = value_regno.map(|regno| *self.reg(regno));
        let aligned = off % 8 == 0;
        let is_register = match (reg, imm) {
            (Some(mut reg), _)
                if aligned && reg.is_scalar() && self.bpf_capable && self.tracks_spilled(&reg) =>
            {
                let fits = reg.width() <= size * 8;
                if let Some(regno) = value_regno.filter(|_| fits && self.since(6, 8)) {
                    self.assign_scalar_id(regno);
                    reg = *self.reg(regno);
                }
                self.spill(frame, at, &reg, size);
                if !fits {
                    self.stack_slot_mut(frame, at).spilled.id = 0;
                }
                true
            }
            (None, Some(imm))
                if aligned && self.bpf_capable && self.since(6, 1) && (imm != 0 || self.since(6, 8)) =>
            {
                let number = Reg::known(i64::from(imm) as u64);
                self.spill(frame, at, &number, size);
                true
            }
            (Some(reg), _) if is_spillable(reg.base) => {
                if size != 8 {
                    self.print_line_info(insn_idx, format_args!("; "));
                    reject!(self, EACCES, "invalid size of register spill");
                }
                if frame != current && reg.is(Base::Stack) {
                    reject!(self, EINVAL, "cannot spill pointers to stack into stack frame of the caller");
                }
                self.spill(frame, at, &reg, size);
                true
            }
            (reg, imm) => {
                let slot = self.stack_slot_mut(frame, at);
                scrub_special(slot);
                if size == 8 {
                    slot.spilled.live.add(Live::WRITTEN);
                }
                let is_zero = reg.is_some_and(|reg| reg.is_const(false) && reg.var_off.is(0));
                let mut byte = SlotType::Misc;
                if is_zero || imm == Some(0) {
                    if let Some(regno) = value_regno {
                        self.mark_chain_precision(regno)?;
                    }
                    byte = SlotType::Zero;
                }
                let slot = self.stack_slot_mut(frame, at);
                for n in 0..size as i32 {
                    slot.types[byte_of(off + n)] = byte;
                }
                false
            }
        };
        if is_register { self.push_stack_jump(frame, at) } else { Ok(()) }
    }

    fn push_stack_jump(&mut self, frame: usize, slot: usize) -> Res {
        let frameno = self.cur.frames[frame].frameno as u16;
        self.push_jump(frameno | (slot as u16) << 3 | JUMP_STACK_ACCESS, 0)
    }

    /// A store somewhere in a range.
    fn write_variable(
        &mut self,
        frame: usize,
        regno: u8,
        off: i32,
        size: u32,
        value_regno: Option<u8>,
        insn_idx: usize,
    ) -> Res {
        let pointer = *self.reg(regno);
        let min = pointer.smin as i32 + off;
        let max = pointer.smax as i32 + off + size as i32;
        let writes_zero = match value_regno {
            Some(regno) => self.reg(regno).is_const(false) && self.reg(regno).var_off.is(0),
            None => self.stores_imm(insn_idx) == Some(0),
        };
        for byte in min..max {
            self.destroy_if_dynptr_slot(frame, slot_of(byte) as u32)?;
        }
        self.check_fastcall_contract(frame, insn_idx, min);
        let mut zero_used = false;
        for byte in min..max {
            let at = slot_of(byte);
            self.mark_slot_scratched(at as u32);
            let slot = *self.stack_slot(frame, at);
            let was = slot.types[byte_of(byte)];
            if !self.allow_ptr_leaks && !matches!(was, SlotType::Misc | SlotType::Zero) {
                self.say(format_args!(
                    "spilled ptr in range of var-offset stack write; insn {insn_idx}, ptr off: {byte}"
                ));
                return Err(Reject(EINVAL));
            }
            let spilled_zero = was == SlotType::Spill
                && slot.is_spilled_reg()
                && slot.spilled.is_scalar()
                && slot.spilled.var_off.is(0);
            if writes_zero && spilled_zero && self.since(6, 8) {
                zero_used = true;
                continue;
            }
            let slot = self.stack_slot_mut(frame, at);
            scrub_special(slot);
            let was = slot.types[byte_of(byte)];
            let becomes = if writes_zero && was == SlotType::Zero {
                zero_used = true;
                SlotType::Zero
            } else {
                SlotType::Misc
            };
            if was == SlotType::Invalid && !self.allow_uninit_stack {
                self.say(format_args!(
                    "uninit stack in range of var-offset write prohibited for !root; insn {insn_idx}, off: {byte}"
                ));
                return Err(Reject(EINVAL));
            }
            self.stack_slot_mut(frame, at).types[byte_of(byte)] = becomes;
        }
        match value_regno {
            Some(regno) if zero_used => self.mark_chain_precision(regno),
            _ => Ok(()),
        }
    }

    /// A store.
    pub(super) fn check_stack_write(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        value_regno: Option<u8>,
        insn_idx: usize,
    ) -> Res {
        let reg = *self.reg(regno);
        let frame = reg.frameno as usize;
        if reg.var_off.is_const() {
            let off = off.wrapping_add(reg.var_off.value as i32);
            self.write_fixed(frame, off, size, value_regno, insn_idx)
        } else {
            self.write_variable(frame, regno, off, size, value_regno, insn_idx)
        }
    }

    fn mark_const_zero(&mut self, regno: u8) {
        let precise = !self.bpf_capable;
        let reg = self.reg_mut(regno);
        reg.mark_known(0);
        (reg.base, reg.flags) = (Base::Scalar, crate::verifier::reg::Flags::empty());
        reg.precise = precise;
    }

    /// Bytes that are no whole spilled register go to a register.
    fn fill_from_bytes(&mut self, frame: usize, min: i32, max: i32, dst: u8) -> Res {
        let mut zeros = 0;
        for byte in min..max {
            self.mark_slot_scratched(slot_of(byte) as u32);
            if self.stack_slot(frame, slot_of(byte)).types[byte_of(byte)] != SlotType::Zero {
                break;
            }
            zeros += 1;
        }
        if zeros == max - min {
            self.mark_const_zero(dst);
            if !self.since(6, 8) {
                self.reg_mut(dst).precise = true;
            }
        } else {
            self.mark_reg_unknown(dst)?;
        }
        self.reg_mut(dst).live.add(Live::WRITTEN);
        Ok(())
    }

    fn refuse_unread(&mut self, off: i32, at: i32, size: u32) -> Res {
        reject!(self, EACCES, "invalid read from stack off {off}+{at} size {size}");
    }

    /// A load from a known place.
    fn read_fixed(&mut self, frame: usize, off: i32, size: u32, dst: Option<u8>) -> Res {
        let at = slot_of(off);
        let slot = *self.stack_slot(frame, at);
        self.mark_slot_scratched(at as u32);
        let (current, insn_idx) = (self.cur.curframe(), self.insn_idx);
        self.check_fastcall_contract(current, insn_idx, off);
        let reg = slot.spilled;
        let bytes = (0..size as i32).map(|n| (n, slot.types[byte_of(off + n)]));
        let may_be_unwritten = self.allow_uninit_stack;
        let readable = |byte: SlotType| match byte {
            SlotType::Misc | SlotType::Zero => true,
            SlotType::Invalid => may_be_unwritten,
            _ => false,
        };
        if !slot.is_spilled_reg() {
            if let Some((n, _)) = bytes.clone().find(|(_, byte)| !readable(*byte)) {
                return self.refuse_unread(off, n, size);
            }
            self.mark_slot_read(frame, at as u32);
            return match dst {
                Some(dst) => self.fill_from_bytes(frame, off, off + size as i32, dst),
                None => Ok(()),
            };
        }
        let spilled = slot.types.iter().rev().take_while(|byte| **byte == SlotType::Spill).count() as u32;
        let mut is_fill = true;
        if size != 8 || spilled != 8 {
            if !reg.is_scalar() {
                self.print_line_info(insn_idx, format_args!("; "));
                reject!(self, EACCES, "invalid size of register fill");
            }
            self.mark_slot_read(frame, at as u32);
            let Some(dst) = dst else { return Ok(()) };
            let whole = if self.since(6, 9) { size <= spilled } else { size == spilled };
            if whole && off % 8 == 0 {
                let subreg_def = self.reg(dst).subreg_def;
                let to = self.reg_mut(dst);
                to.copy_value(&reg);
                to.subreg_def = subreg_def;
                if reg.width() > size * 8 {
                    to.clear_scalar_id();
                }
            } else {
                let mut from_register = 0;
                let mut zeros = 0;
                for (n, byte) in bytes {
                    match byte {
                        SlotType::Spill => from_register += 1,
                        SlotType::Zero => zeros += 1,
                        other if readable(other) => {}
                        _ => return self.refuse_unread(off, n, size),
                    }
                }
                if from_register == size && reg.var_off.is(0) && self.since(6, 8) {
                    self.mark_const_zero(dst);
                } else {
                    is_fill = false;
                    if zeros == size && self.since(6, 8) {
                        self.mark_const_zero(dst);
                    } else {
                        self.mark_reg_unknown(dst)?;
                    }
                }
            }
            self.reg_mut(dst).live.add(Live::WRITTEN);
        } else if let Some(dst) = dst {
            let to = self.reg_mut(dst);
            to.copy_value(&reg);
            to.live.add(Live::WRITTEN);
        } else if self.leaks_pointer(&reg) {
            reject!(self, EACCES, "leaking pointer from stack off {off}");
        }
        self.mark_slot_read(frame, at as u32);
        if is_fill { self.push_stack_jump(frame, at) } else { Ok(()) }
    }

    /// A load.
    pub(super) fn check_stack_read(&mut self, regno: u8, off: i32, size: u32, dst: Option<u8>) -> Res {
        let reg = *self.reg(regno);
        let frame = reg.frameno as usize;
        if reg.var_off.is_const() {
            let off = off.wrapping_add(reg.var_off.value as i32);
            return self.read_fixed(frame, off, size, dst);
        }
        let Some(dst) = dst else {
            let bits = reg.var_off;
            reject!(
                self,
                EACCES,
                "variable offset stack pointer cannot be passed into helper function; var_off={bits} off={off} size={size}"
            );
        };
        self.check_stack_range_initialized(regno, off, size, false, false, Access::Read, None)?;
        let min = reg.smin as i32 + off;
        let max = reg.smax as i32 + off;
        self.fill_from_bytes(frame, min, max + size as i32, dst)?;
        let insn_idx = self.insn_idx;
        self.check_fastcall_contract(frame, insn_idx, min);
        Ok(())
    }

    /// Stack bytes must be initialised (or become so).
    #[allow(clippy::too_many_arguments)]
    pub(in crate::verifier) fn check_stack_range_initialized(
        &mut self,
        regno: u8,
        off: i32,
        access_size: u32,
        zero_size_allowed: bool,
        for_helper: bool,
        access: Access,
        meta: Option<&mut CallMeta>,
    ) -> Res {
        let reg = *self.reg(regno);
        let frame = reg.frameno as usize;
        let text = if for_helper && !self.since(6, 14) { " indirect" } else { "" };
        if access_size == 0 && !zero_size_allowed {
            reject!(self, EACCES, "invalid zero-sized read");
        }
        let size = access_size as i32;
        // Before Linux 6.14 any helper was taken to write what it is given.
        let clobbers = if self.since(6, 14) { access == Access::Write } else { for_helper };
        self.check_stack_bounds(regno, off, size, for_helper, access)?;
        let raw = meta.filter(|meta| meta.raw_mode);
        let (min, max) = if reg.var_off.is_const() {
            let at = off.wrapping_add(reg.var_off.value as i32);
            (at, at)
        } else {
            if !self.bypass_spec_v1 {
                let bits = reg.var_off;
                reject!(
                    self,
                    EACCES,
                    "R{regno}{text} variable offset stack access prohibited for !root, var_off={bits}"
                );
            }
            (reg.smin as i32 + off, reg.smax as i32 + off)
        };
        if let Some(meta) = raw.filter(|_| reg.var_off.is_const()) {
            for byte in min..max + size {
                let slot = self.cur.frames[frame].stack.get(slot_of(byte));
                if slot.is_some_and(|slot| slot.types[byte_of(byte)] == SlotType::Dynptr) {
                    reject!(self, EACCES, "potential write to dynptr at off={byte} disallowed");
                }
            }
            meta.access_size = access_size;
            meta.regno = regno;
            return Ok(());
        }
        for byte in min..max + size {
            let at = slot_of(byte);
            let may_be_unwritten = self.allow_uninit_stack;
            let leaks = self.allow_ptr_leaks;
            let Some(slot) = self.cur.frames[frame].stack.get(at).copied() else {
                self.say(format_args!("verifier bug: allocated_stack too small"));
                return Err(Reject(EFAULT));
            };
            let was = slot.types[byte_of(byte)];
            let readable = match was {
                SlotType::Misc => true,
                SlotType::Zero => {
                    if clobbers {
                        self.stack_slot_mut(frame, at).types[byte_of(byte)] = SlotType::Misc;
                    }
                    true
                }
                SlotType::Invalid if may_be_unwritten => {
                    if clobbers {
                        self.stack_slot_mut(frame, at).types[byte_of(byte)] = SlotType::Misc;
                    }
                    true
                }
                _ => false,
            };
            if !readable {
                if !(slot.is_spilled_reg() && (slot.spilled.is_scalar() || leaks)) {
                    let n = byte - min;
                    if reg.var_off.is_const() {
                        reject!(
                            self,
                            EACCES,
                            "invalid{text} read from stack R{regno} off {min}+{n} size {size}"
                        );
                    }
                    let bits = reg.var_off;
                    reject!(
                        self,
                        EACCES,
                        "invalid{text} read from stack R{regno} var_off {bits}+{n} size {size}"
                    );
                }
                if clobbers {
                    let mut spilled = slot.spilled;
                    self.forget(&mut spilled);
                    let slot = self.stack_slot_mut(frame, at);
                    slot.spilled = spilled;
                    slot.types.iter_mut().for_each(scrub);
                }
            }
            self.mark_slot_read(frame, at as u32);
        }
        Ok(())
    }
}
