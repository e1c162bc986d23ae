//! Instructions that touch memory.

use super::Access;
use super::region::{is_packet, is_socket};
use crate::verifier::env::{EACCES, EINVAL, Env, Res, reject};
use crate::verifier::reg::{Base, DEF_NOT_SUBREG, Flags, Reg};
use crate::verifier::states::Use;
use asm::Insn;
use bpf_sys::prog::ProgType;

const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const IND: u8 = 0x40;
const CLASS: u8 = 0x07;
const STORE_IMM: u8 = 0x02;
const FETCH: i32 = 0x01;
const XCHG: i32 = 0xe1;
const CMPXCHG: i32 = 0xf1;
const LOAD_ACQUIRE: i32 = 0x100;
const STORE_RELEASE: i32 = 0x110;

/// Bytes that the instruction moves.
fn size_of(insn: Insn) -> u32 {
    match insn.opcode & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// Whether one instruction may meet pointers of this kind on one path and of another on the next.
fn mixes(reg: &Reg) -> bool {
    !matches!(
        reg.base,
        Base::Ctx
            | Base::Socket
            | Base::SockCommon
            | Base::TcpSock
            | Base::XdpSock
            | Base::BtfId
            | Base::Arena
    )
}

impl Env<'_> {
    /// The kind of pointer that the current instruction works on has to be the one it had on other paths, where loads and
    /// stores of that kind are rewritten.
    pub(in crate::verifier) fn save_ptr_type(&mut self, reg: &Reg, allow_trust_mismatch: bool) -> Res {
        let Some(before) = self.aux().ptr_type.filter(|before| before.base != Base::NotInit) else {
            self.aux_mut().ptr_type = Some(*reg);
            return Ok(());
        };
        let same = (reg.base, reg.flags) == (before.base, before.flags);
        if same || mixes(reg) && mixes(&before) {
            return Ok(());
        }
        let objects = reg.base == Base::BtfId && before.base == Base::BtfId;
        if !(allow_trust_mismatch && objects && self.since(6, 4)) {
            reject!(self, EINVAL, "same insn cannot be used with different pointers");
        }
        self.aux_mut().ptr_type = Some(Reg { flags: Flags::UNTRUSTED, ..before });
        Ok(())
    }

    /// `dst = *(size *)(src + off)`, sign-extending and acquire loads and arena forms included.
    pub(in crate::verifier) fn check_load(&mut self, insn: Insn) -> Res {
        let is_ldsx = insn.opcode & MODE == MEMSX;
        self.load(insn, false, is_ldsx, true, "ldx")
    }

    fn load(
        &mut self,
        insn: Insn,
        strict: bool,
        is_ldsx: bool,
        allow_trust_mismatch: bool,
        place: &str,
    ) -> Res {
        let (src, dst) = (insn.src().number(), insn.dst().number());
        self.check_reg_arg(src, Use::Src)?;
        self.check_reg_arg(dst, Use::DstNoMark)?;
        let pointer = *self.reg(src);
        let (insn_idx, off) = (self.insn_idx, i32::from(insn.off));
        self.check_mem_access(insn_idx, src, off, size_of(insn), Access::Read, Some(dst), strict, is_ldsx)?;
        self.save_ptr_type(&pointer, allow_trust_mismatch)?;
        let mut loaded = *self.reg(dst);
        if loaded.bounds_violation().is_some() {
            let checked = self.check_bounds(&mut loaded, place);
            *self.reg_mut(dst) = loaded;
            checked?;
        }
        Ok(())
    }

    /// Stores of registers and of immediates.
    pub(in crate::verifier) fn check_store(&mut self, insn: Insn) -> Res {
        if insn.opcode & CLASS != STORE_IMM {
            if insn.opcode & MODE != MEM || insn.imm != 0 {
                reject!(self, EINVAL, "BPF_STX uses reserved fields");
            }
            return self.store_reg(insn, false);
        }
        let dst = insn.dst().number();
        if insn.opcode & MODE != MEM || insn.src().number() != 0 {
            reject!(self, EINVAL, "BPF_ST uses reserved fields");
        }
        self.check_reg_arg(dst, Use::Src)?;
        let pointer = *self.reg(dst);
        if pointer.is(Base::Ctx) && !self.since(6, 4) {
            let name = pointer.type_name();
            reject!(self, EACCES, "BPF_ST stores into R{dst} {name} is not allowed");
        }
        let (insn_idx, off) = (self.insn_idx, i32::from(insn.off));
        self.check_mem_access(insn_idx, dst, off, size_of(insn), Access::Write, None, false, false)?;
        if self.since(6, 4) { self.save_ptr_type(&pointer, false) } else { Ok(()) }
    }

    fn store_reg(&mut self, insn: Insn, strict: bool) -> Res {
        let (src, dst) = (insn.src().number(), insn.dst().number());
        self.check_reg_arg(src, Use::Src)?;
        self.check_reg_arg(dst, Use::Src)?;
        let pointer = *self.reg(dst);
        let (insn_idx, off) = (self.insn_idx, i32::from(insn.off));
        self.check_mem_access(insn_idx, dst, off, size_of(insn), Access::Write, Some(src), strict, false)?;
        self.save_ptr_type(&pointer, false)
    }

    /// Whether atomic instructions work on memory that such a pointer leads to.
    fn is_atomic_memory(&self, reg: &Reg) -> bool {
        !(reg.is(Base::Ctx)
            || is_packet(reg)
            || reg.is(Base::FlowKeys)
            || is_socket(reg)
            || reg.is(Base::Arena) && !self.kernel.jit)
    }

    /// Atomic instructions, load_acquire and store_release.
    pub(in crate::verifier) fn check_atomic(&mut self, insn: Insn) -> Res {
        const PLAIN: [i32; 4] = [0x00, 0x50, 0x40, 0xa0];
        let size = size_of(insn);
        if PLAIN.contains(&insn.imm)
            || PLAIN.contains(&(insn.imm & !FETCH))
            || matches!(insn.imm, XCHG | CMPXCHG)
        {
            return self.check_atomic_change(insn);
        }
        if self.since(6, 15) && insn.imm == LOAD_ACQUIRE {
            let src = insn.src().number();
            self.check_atomic_order(size)?;
            // The source's own checks come before those of what it may point to.
            self.check_reg_arg(src, Use::Src)?;
            self.check_atomic_kind(src, "loads from")?;
            return self.load(insn, true, false, false, "atomic_load");
        }
        if self.since(6, 15) && insn.imm == STORE_RELEASE {
            let dst = insn.dst().number();
            self.check_atomic_order(size)?;
            self.check_reg_arg(dst, Use::Src)?;
            self.check_atomic_kind(dst, "stores into")?;
            return self.store_reg(insn, true);
        }
        reject!(self, EINVAL, "BPF_ATOMIC uses invalid atomic opcode {:02x}", insn.imm);
    }

    fn check_atomic_order(&mut self, size: u32) -> Res {
        if size == 8 && cfg!(target_pointer_width = "32") {
            reject!(self, EINVAL, "64-bit load-acquires are only supported on 64-bit arches");
        }
        Ok(())
    }

    fn check_atomic_kind(&mut self, regno: u8, what: &str) -> Res {
        let reg = *self.reg(regno);
        if !self.is_atomic_memory(&reg) {
            let name = reg.type_name();
            reject!(self, EACCES, "BPF_ATOMIC {what} R{regno} {name} is not allowed");
        }
        Ok(())
    }

    fn check_atomic_change(&mut self, insn: Insn) -> Res {
        let size = size_of(insn);
        let (src, dst) = (insn.src().number(), insn.dst().number());
        if size != 4 && size != 8 {
            reject!(self, EINVAL, "invalid atomic operand size");
        }
        self.check_reg_arg(src, Use::Src)?;
        self.check_reg_arg(dst, Use::Src)?;
        if insn.imm == CMPXCHG {
            self.check_reg_arg(0, Use::Src)?;
            if self.leaks_pointer(self.reg(0)) {
                reject!(self, EACCES, "R0 leaks addr into mem");
            }
        }
        if self.leaks_pointer(self.reg(src)) {
            reject!(self, EACCES, "R{src} leaks addr into mem");
        }
        self.check_atomic_kind(dst, "stores into")?;
        let load_reg = match insn.imm {
            CMPXCHG => Some(0),
            imm if imm & FETCH != 0 => Some(src),
            _ => None,
        };
        if let Some(load_reg) = load_reg {
            self.check_reg_arg(load_reg, Use::Dst)?;
        }
        let (insn_idx, off) = (self.insn_idx, i32::from(insn.off));
        // First whether it can be read at all, then once more to fill the register.
        self.check_mem_access(insn_idx, dst, off, size, Access::Read, None, true, false)?;
        if load_reg.is_some() {
            self.check_mem_access(insn_idx, dst, off, size, Access::Read, load_reg, true, false)?;
        }
        let pointer = *self.reg(dst);
        if self.since(6, 10) || pointer.is(Base::Arena) {
            self.save_ptr_type(&pointer, false)?;
        }
        self.check_mem_access(insn_idx, dst, off, size, Access::Write, None, true, false)
    }

    /// Legacy packet access.
    pub(in crate::verifier) fn check_ld_abs(&mut self, insn: Insn) -> Res {
        const CTX: u8 = 6;
        if !matches!(self.prog_type(), ProgType::SocketFilter | ProgType::SchedCls | ProgType::SchedAct) {
            reject!(self, EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
        }
        if self.cur.frames.iter().skip(1).any(|frame| frame.in_callback) {
            reject!(self, EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        let is_ind = insn.opcode & MODE == IND;
        let (src, dst) = (insn.src().number(), insn.dst().number());
        if dst != 0 || insn.off != 0 || size_of(insn) == 8 || !is_ind && src != 0 {
            reject!(self, EINVAL, "BPF_LD_[ABS|IND] uses reserved fields");
        }
        self.check_reg_arg(CTX, Use::Src)?;
        self.check_ld_abs_resources()?;
        if !self.reg(CTX).is(Base::Ctx) {
            reject!(self, EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
        }
        if is_ind {
            self.check_reg_arg(src, Use::Src)?;
        }
        self.check_ptr_off_reg(CTX, false)?;
        for regno in 0..=5 {
            self.mark_reg_not_init(regno);
            self.check_reg_arg(regno, Use::DstNoMark)?;
        }
        self.mark_reg_unknown(0)?;
        let subreg_def = self.insn_idx as u32 + 1;
        self.reg_mut(0).subreg_def = subreg_def;
        self.leave_after_ld_abs()
    }

    /// A packet that is too short ends the function with zero: in a subprogram that is a way back to the caller.
    fn leave_after_ld_abs(&mut self) -> Res {
        if self.cur.curframe() == 0 || !self.since(6, 12) {
            return Ok(());
        }
        self.mark_reg_scratched(0);
        let now = self.insn_idx;
        self.push_state(now + 1, now, false)?;
        self.mark_reg_known_zero(0);
        self.prepare_func_exit()?;
        // The walk goes on one further.
        self.insn_idx -= 1;
        Ok(())
    }

    /// The instruction may end the program: nothing that has to be given back may be held.
    fn check_ld_abs_resources(&mut self) -> Res {
        if self.since(6, 13) {
            return self.check_resource_leak(false, true, "BPF_LD_[ABS|IND]");
        }
        if let Err(refusal) = self.check_reference_leak(false) {
            self.say(format_args!("BPF_LD_[ABS|IND] cannot be mixed with socket references\n"));
            return Err(refusal);
        }
        if self.cur.active_locks != 0 {
            reject!(self, EINVAL, "BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region");
        }
        if self.cur.active_rcu_lock != 0 {
            reject!(self, EINVAL, "BPF_LD_[ABS|IND] cannot be used inside bpf_rcu_read_lock-ed region");
        }
        if self.cur.active_preempt_locks != 0 {
            reject!(self, EINVAL, "BPF_LD_[ABS|IND] cannot be used inside bpf_preempt_disable-ed region");
        }
        Ok(())
    }

    /// A register gets what a load from the context gives.
    pub(super) fn mark_ctx_load(&mut self, regno: u8, value: super::ctx::CtxValue) -> Res {
        if value.base == Base::Scalar {
            self.mark_reg_unknown(regno)?;
            if value.is_retval
                && let Some((min, max)) = self.hook_return_range()
            {
                self.mark_reg_s32_range(regno, min, max)?;
            }
        } else {
            self.mark_reg_known_zero(regno);
            let id = if value.flags.contains(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
            let reg = self.reg_mut(regno);
            reg.id = id;
            reg.subreg_def = DEF_NOT_SUBREG;
            if let Some((btf, id)) = value.btf {
                reg.extra = crate::verifier::reg::Extra::Btf { btf, id };
            }
        }
        let reg = self.reg_mut(regno);
        (reg.base, reg.flags) = (value.base, value.flags);
        Ok(())
    }

    /// What an LSM hook returns, where the kernel looks at it.
    fn hook_return_range(&self) -> Option<(i32, i32)> {
        const BOOLEAN: [&str; 3] =
            ["bpf_lsm_xfrm_state_pol_flow_match", "bpf_lsm_audit_rule_known", "bpf_lsm_inode_xattr_skipcap"];
        if self.prog_type() != ProgType::Lsm || self.attach.returns_void || !self.since(6, 12) {
            return None;
        }
        let is_bool = BOOLEAN.contains(&self.attach.name.as_str());
        Some(if is_bool { (0, 1) } else { (-4095, 0) })
    }
}
