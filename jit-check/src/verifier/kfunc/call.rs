//! A call of a kernel function: what it does to the path, what it gives.

use super::args::Learned;
use super::classify::is_scalar;
use super::flags::{Flag, Kfunc};
use super::special::Special;
use crate::verifier::env::{EACCES, EFAULT, EINVAL, ENOTSUPP, Env, Reject, Res, reject};
use crate::verifier::objects::{kind_name, sized};
use crate::verifier::reg::{Base, BtfIdx, DEF_NOT_SUBREG, DynptrKind, Extra, Flags, Live, Reg};
use crate::verifier::state::{RetRange, SlotType, State};
use asm::Insn;
use bpf_sys::prog::ProgType;
use btf::{Kind, Type, TypeId};
use std::rc::Rc;

/// How large objects for each processor may be.
const PERCPU_OBJECT_MAX: u32 = 512;
const MAX_ERRNO: i64 = 4095;

impl<'a> Env<'a> {
    /// A call of a kernel function.
    pub(in crate::verifier) fn check_kfunc_call(&mut self, insn: Insn, insn_idx: &mut usize) -> Res {
        if insn.imm == 0 {
            return Ok(());
        }
        let Some(kfunc) = self.kfunc_of(insn).map(Rc::clone) else { return Err(Reject(EINVAL)) };
        let Some(flags) = kfunc.flags else {
            reject!(self, EACCES, "calling kernel function {} is not allowed", kfunc.name);
        };
        let insn_idx = *insn_idx;
        self.aux[insn_idx].is_iter_next = flags.contains(Flag::NEXT);
        match kfunc.special {
            Special::ResSpinLock | Special::ResSpinLockIrqsave => self.push_failed_lock(insn_idx)?,
            Special::Trap => {
                reject!(self, EFAULT, "unexpected __bpf_trap() due to uninitialized variable?");
            }
            _ => {}
        }
        if flags.contains(Flag::DESTRUCTIVE) && !self.allow_ptr_leaks {
            reject!(self, EACCES, "destructive kfunc calls require CAP_SYS_BOOT capability");
        }
        let sleepable = flags.contains(Flag::SLEEPABLE);
        if sleepable && !self.in_sleepable() {
            reject!(self, EACCES, "program must be sleepable to call sleepable kfunc {}", kfunc.name);
        }
        let mut learned = Learned::default();
        self.check_kfunc_args(&kfunc, &mut learned, insn_idx)?;
        self.check_dropped_fields(&kfunc, &learned)?;
        self.push_kfunc_callback(&kfunc, &learned, insn_idx)?;
        if flags.contains(Flag::RCU_PROTECTED) && self.since(6, 18) && !self.in_rcu_cs() {
            let name = kfunc.name;
            reject!(self, EACCES, "kernel func {name} requires RCU critical section protection");
        }
        if kfunc.special == Special::SessionCookie {
            (learned.r0_size, learned.r0_rdonly) = (8, false);
        }
        self.check_sections(&kfunc, sleepable)?;
        self.release_arguments(&kfunc, &mut learned)?;
        if kfunc.special == Special::Throw {
            if !self.kernel.jit {
                reject!(self, ENOTSUPP, "JIT does not support calling kfunc {}#{}", kfunc.name, kfunc.id);
            }
            self.seen_exception = true;
            if self.exception_callback.is_none() {
                self.check_return_code(1, "R1")?;
            }
        }
        for regno in 0..6 {
            self.mark_reg_not_init(regno);
        }
        self.set_kfunc_result(&kfunc, flags, &learned, insn_idx)?;
        let frame = self.cur.curframe();
        for (regno, param) in (1_u8..6).zip(&kfunc.params) {
            let Some((_, ty)) = self.btf(kfunc.btf).resolve(param.type_id) else { continue };
            let wide = ty.kind() == Kind::Ptr || ty.size() == Some(8);
            self.mark_reg_read_at(frame, regno, wide)?;
        }
        if flags.contains(Flag::NEXT)
            && let Some((frame, slot)) = learned.iter
        {
            self.process_iter_next(insn_idx, frame, slot)?;
        }
        if kfunc.special == Special::XdpPullData {
            self.clear_packet_pointers();
        }
        Ok(())
    }

    /// A lock that may fail: the path on which it did.
    fn push_failed_lock(&mut self, insn_idx: usize) -> Res {
        let capable = self.bpf_capable;
        let branch = self.push_state(insn_idx + 1, insn_idx, false)?;
        let Some(frame) = branch.frames.last_mut() else { return Err(Reject(EFAULT)) };
        for reg in &mut frame.regs[..6] {
            reg.set_not_init();
        }
        let r0 = &mut frame.regs[0];
        r0.mark_unknown();
        r0.precise = !capable;
        (r0.smin, r0.smax, r0.s32_min, r0.s32_max) = (-MAX_ERRNO, -1, -MAX_ERRNO as i32, -1);
        r0.live.add(Live::WRITTEN);
        r0.subreg_def = insn_idx as u32 + 1;
        let mut r0 = *r0;
        self.bounds_sync(&mut r0);
        if let Some(frame) = self.pending.last_mut().and_then(|pending| pending.state.frames.last_mut()) {
            frame.regs[0] = r0;
        }
        Ok(())
    }

    fn push_kfunc_callback(&mut self, kfunc: &Kfunc<'a>, learned: &Learned, insn_idx: usize) -> Res {
        let pushed = match kfunc.special {
            Special::RbtreeAdd => {
                let Some(field) = learned.tree else { return Err(Reject(EFAULT)) };
                let mut node = Reg::NOT_INIT;
                Self::graph_node_reg(&mut node, &field);
                self.set_non_owning(&mut node)?;
                self.push_callback_call(
                    learned.subprog,
                    insn_idx,
                    true,
                    &mut |state: &mut State, _, callee| {
                        let Some(frame) = state.frames.get_mut(callee) else { return Err(Reject(EFAULT)) };
                        for regno in [1, 2] {
                            frame.regs[regno].copy_value(&node);
                        }
                        for regno in [3, 4, 5] {
                            frame.regs[regno].set_not_init();
                        }
                        frame.in_callback = true;
                        frame.callback_ret_range = RetRange { min: 0, max: 1 };
                        Ok(())
                    },
                )
            }
            Special::WqSetCallback | Special::TaskWorkSchedule => {
                // The map that the field is in: by the first argument, for task work by the map argument.
                let from = if kfunc.special == Special::WqSetCallback { 1 } else { 3 };
                let map = match self.reg(from).extra {
                    Extra::Map { map, inner, uid } => Extra::Map { map, inner, uid },
                    _ => Extra::None,
                };
                self.push_callback_call(
                    learned.subprog,
                    insn_idx,
                    false,
                    &mut |state: &mut State, _, callee| {
                        let Some(frame) = state.frames.get_mut(callee) else { return Err(Reject(EFAULT)) };
                        for (regno, base) in [(1, Base::ConstMap), (2, Base::MapKey), (3, Base::MapValue)] {
                            let reg = &mut frame.regs[regno];
                            reg.mark_known(0);
                            (reg.base, reg.flags, reg.extra) = (base, Flags::empty(), map);
                        }
                        for regno in [4, 5] {
                            frame.regs[regno].set_not_init();
                        }
                        frame.in_async_callback = true;
                        frame.callback_ret_range = RetRange { min: 0, max: 1 };
                        Ok(())
                    },
                )
            }
            _ => return Ok(()),
        };
        if let Err(refusal) = pushed {
            self.say(format_args!("kfunc {}#{} failed callback verification\n", kfunc.name, kfunc.id));
            return Err(refusal);
        }
        Ok(())
    }

    /// RCU, preemption and interrupts: sections begin, end, or forbid sleeping.
    fn check_sections(&mut self, kfunc: &Kfunc<'a>, sleepable: bool) -> Res {
        let name = kfunc.name;
        let lock = kfunc.special == Special::RcuReadLock;
        let unlock = kfunc.special == Special::RcuReadUnlock;
        // Since Linux 6.19 sections nest.
        let nests = self.since(6, 19);
        if self.cur.active_rcu_lock != 0 {
            if (lock || unlock) && self.in_rbtree_lock_required_cb() {
                reject!(self, EACCES, "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback");
            }
            if lock && nests {
                self.cur.active_rcu_lock += 1;
            } else if lock {
                reject!(self, EINVAL, "nested rcu read lock (kernel function {name})");
            } else if unlock {
                self.cur.active_rcu_lock -= 1;
                if self.cur.active_rcu_lock == 0 {
                    self.end_rcu_section();
                }
            } else if sleepable {
                reject!(self, EACCES, "kernel func {name} is sleepable within rcu_read_lock region");
            }
        } else if lock {
            self.cur.active_rcu_lock = 1;
        } else if unlock {
            reject!(self, EINVAL, "unmatched rcu read unlock (kernel function {name})");
        }
        let disable = kfunc.special == Special::PreemptDisable;
        let enable = kfunc.special == Special::PreemptEnable;
        if disable {
            self.cur.active_preempt_locks += 1;
        } else if self.cur.active_preempt_locks != 0 {
            if enable {
                self.cur.active_preempt_locks -= 1;
            } else if sleepable {
                reject!(self, EACCES, "kernel func {name} is sleepable within non-preemptible region");
            }
        } else if enable {
            reject!(self, EINVAL, "unmatched attempt to enable preemption (kernel function {name})");
        }
        if self.cur.active_irq_id != 0 && sleepable {
            reject!(self, EACCES, "kernel func {name} is sleepable within IRQ-disabled region");
        }
        Ok(())
    }

    /// What RCU kept is no longer kept: registers, spilled ones, iterators.
    fn end_rcu_section(&mut self) {
        let clear = |reg: &mut Reg| {
            if reg.flags.contains(Flags::RCU) {
                reg.flags -= Flags::RCU | Flags::MAYBE_NULL;
                reg.flags |= Flags::UNTRUSTED;
            }
        };
        for frame in &mut self.cur.frames {
            frame.regs.iter_mut().for_each(clear);
            for slot in &mut frame.stack {
                if matches!(slot.types[7], SlotType::Spill | SlotType::Iter) {
                    clear(&mut slot.spilled);
                }
            }
        }
    }

    /// References that the call takes from the program.
    fn release_arguments(&mut self, kfunc: &Kfunc<'a>, learned: &mut Learned) -> Res {
        let not_acquired = |env: &mut Self, refusal: Reject| {
            env.say(format_args!(
                "kfunc {}#{} reference has not been acquired before\n",
                kfunc.name, kfunc.id
            ));
            refusal
        };
        if learned.release_regno != 0 {
            let id = self.reg(learned.release_regno).ref_obj_id;
            self.release_reference(id).map_err(|refusal| not_acquired(self, refusal))?;
        }
        if matches!(kfunc.special, Special::ListPushFront | Special::ListPushBack | Special::RbtreeAdd) {
            let id = self.reg(2).ref_obj_id;
            if let Err(refusal) = self.convert_to_non_owning(id) {
                self.say(format_args!(
                    "kfunc {}#{} conversion of owning ref to non-owning failed\n",
                    kfunc.name, kfunc.id
                ));
                return Err(refusal);
            }
            self.release_reference(id).map_err(|refusal| not_acquired(self, refusal))?;
        }
        Ok(())
    }

    /// Register 0, by the function's result.
    fn set_kfunc_result(
        &mut self,
        kfunc: &Kfunc<'a>,
        flags: Flag,
        learned: &Learned,
        insn_idx: usize,
    ) -> Res {
        let types = self.btf(kfunc.btf);
        let Some((_, ty)) = types.resolve(kfunc.result) else { return Err(Reject(EINVAL)) };
        let pointee = match ty.kind() {
            Kind::Ptr => types.resolve(ty.type_id().unwrap_or(TypeId(0))),
            _ => None,
        };
        let to_struct = pointee.is_some_and(|(_, ty)| ty.kind().is_composite());
        let acquires = flags.contains(Flag::ACQUIRE);
        let makes =
            matches!(kfunc.special, Special::ObjNew | Special::PercpuObjNew | Special::RefcountAcquire);
        if acquires && !to_struct && !makes {
            reject!(self, EINVAL, "acquire kernel function does not return PTR_TO_BTF_ID");
        }
        let insn_def = self.insn_idx as u32 + 1;
        if is_scalar(&ty) {
            self.mark_reg_unknown(0)?;
            let r0 = self.reg_mut(0);
            if matches!(kfunc.special, Special::ResSpinLock | Special::ResSpinLockIrqsave) {
                r0.mark_known(0);
            }
            r0.live.add(Live::WRITTEN);
            r0.subreg_def = if ty.size() == Some(8) { DEF_NOT_SUBREG } else { insn_def };
            return Ok(());
        }
        let Some((pointee_id, pointee)) = pointee else { return Ok(()) };
        let nullable =
            flags.contains(Flag::RET_NULL) && !(kfunc.special == Special::RefcountAcquire && learned.owning);
        if !self.set_special_result(kfunc, learned, insn_idx)? {
            self.set_plain_result(kfunc, flags, learned, pointee_id, pointee)?;
        }
        let id = if nullable { self.new_id() } else { 0 };
        let r0 = self.reg_mut(0);
        if nullable {
            r0.flags |= Flags::MAYBE_NULL;
            r0.id = id;
        }
        r0.live.add(Live::WRITTEN);
        r0.subreg_def = DEF_NOT_SUBREG;
        if acquires {
            let id = self.acquire_reference(insn_idx);
            let r0 = self.reg_mut(0);
            if nullable {
                r0.id = id;
            }
            r0.ref_obj_id = id;
        } else if matches!(
            kfunc.special,
            Special::RbtreeFirst
                | Special::RbtreeRoot
                | Special::RbtreeLeft
                | Special::RbtreeRight
                | Special::ListFront
                | Special::ListBack
        ) {
            let mut r0 = *self.reg(0);
            // The record is that of the pointer that is not NULL.
            self.set_non_owning(&mut r0)?;
            *self.reg_mut(0) = r0;
        }
        let r0 = *self.reg(0);
        if r0.id == 0 && self.may_point_to_lock(&r0) {
            let id = self.new_id();
            self.reg_mut(0).id = id;
        }
        Ok(())
    }

    /// Results of functions that are known by name; whether this is one.
    fn set_special_result(&mut self, kfunc: &Kfunc<'a>, learned: &Learned, insn_idx: usize) -> Res<bool> {
        if kfunc.btf != BtfIdx::KERNEL {
            return Ok(false);
        }
        let mut r0 = *self.reg(0);
        let object = |r0: &mut Reg, flags: Flags, (btf, id): (BtfIdx, u32)| {
            r0.mark_known(0);
            (r0.base, r0.flags, r0.extra) = (Base::BtfId, flags, Extra::Btf { btf, id });
        };
        match kfunc.special {
            Special::ObjNew | Special::PercpuObjNew => {
                let of = self.new_object_type(kfunc, learned)?;
                let percpu = if kfunc.special == Special::ObjNew { Flags::empty() } else { Flags::PERCPU };
                object(&mut r0, Flags::ALLOC | percpu, (BtfIdx::PROGRAM, of));
                self.aux[insn_idx].obj = Some((BtfIdx::PROGRAM, of));
            }
            Special::RefcountAcquire => {
                let Some(of) = learned.object else { return Err(Reject(EFAULT)) };
                object(&mut r0, Flags::ALLOC, of);
            }
            Special::ListPopFront | Special::ListPopBack | Special::ListFront | Special::ListBack => {
                let Some(field) = learned.list else { return Err(Reject(EFAULT)) };
                Self::graph_node_reg(&mut r0, &field);
            }
            special if special.is_rbtree() => {
                let Some(field) = learned.tree else { return Err(Reject(EFAULT)) };
                Self::graph_node_reg(&mut r0, &field);
            }
            Special::CastToKernCtx => {
                let Some(id) = learned.ctx_type else { return Err(Reject(EFAULT)) };
                object(&mut r0, Flags::TRUSTED, (BtfIdx::KERNEL, id));
            }
            Special::RdonlyCast => {
                let id = learned.constant.unwrap_or(0);
                let small = u32::try_from(id).ok();
                let ty = small.and_then(|id| self.btf(BtfIdx::KERNEL).type_by_id(TypeId(id)));
                // Since Linux 6.17 also memory of which nothing is known.
                if self.since(6, 17) && ty.is_some_and(|ty| ty.kind() == Kind::Void) {
                    r0.mark_known(0);
                    (r0.base, r0.flags) = (Base::Mem, Flags::RDONLY | Flags::UNTRUSTED);
                    r0.extra = Extra::Mem { size: 0, dynptr_id: 0 };
                } else if ty.is_some_and(|ty| ty.kind().is_composite()) {
                    object(&mut r0, Flags::UNTRUSTED, (BtfIdx::KERNEL, small.unwrap_or(0)));
                } else if self.since(6, 17) {
                    reject!(
                        self,
                        EINVAL,
                        "kfunc bpf_rdonly_cast type ID argument must be of a struct or void"
                    );
                } else {
                    reject!(self, EINVAL, "kfunc bpf_rdonly_cast type ID argument must be of a struct");
                }
            }
            Special::DynptrSlice | Special::DynptrSliceRdwr => {
                let (id, kind, _) = learned.dynptr.unwrap_or((0, DynptrKind::Invalid, 0));
                let Some(size) = learned.constant else {
                    reject!(
                        self,
                        EFAULT,
                        "verifier internal error: bpf_dynptr_slice(_rdwr) no constant size"
                    );
                };
                r0.mark_known(0);
                (r0.base, r0.flags) = (Base::Mem, kind.flag());
                if kfunc.special == Special::DynptrSlice {
                    r0.flags |= Flags::RDONLY;
                } else if !self.may_write_packets() {
                    reject!(self, EINVAL, "the prog does not allow writes to packet data");
                }
                if id == 0 {
                    reject!(self, EFAULT, "verifier internal error: no dynptr id");
                }
                r0.extra = Extra::Mem { size: size as u32, dynptr_id: id };
            }
            _ => return Ok(false),
        }
        *self.reg_mut(0) = r0;
        Ok(true)
    }

    /// Whether the program may write to packets; notes that it does.
    fn may_write_packets(&mut self) -> bool {
        use ProgType::*;
        match self.resolved_prog_type() {
            SchedCls | SchedAct | Xdp | LwtXmit | SkSkb | SkMsg | CgroupSockopt => {
                self.seen_direct_write = true;
                true
            }
            _ => false,
        }
    }

    /// The struct that `bpf_obj_new` is to make.
    fn new_object_type(&mut self, kfunc: &Kfunc<'a>, learned: &Learned) -> Res<u32> {
        let percpu = kfunc.special == Special::PercpuObjNew;
        let Ok(id) = u32::try_from(learned.constant.unwrap_or(0)) else {
            reject!(self, EINVAL, "local type ID argument must be in range [0, U32_MAX]");
        };
        if !self.own_types {
            if self.since(6, 6) {
                reject!(self, EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
            }
            reject!(self, EINVAL, "bpf_obj_new requires prog BTF");
        }
        let ty = self.btf(BtfIdx::PROGRAM).type_by_id(TypeId(id)).filter(|ty| ty.kind() == Kind::Struct);
        let Some(ty) = ty else {
            if self.since(6, 6) {
                reject!(self, EINVAL, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
            }
            reject!(self, EINVAL, "bpf_obj_new type ID argument must be of a struct");
        };
        if percpu {
            let size = ty.size().unwrap_or(0);
            if size > PERCPU_OBJECT_MAX {
                reject!(
                    self,
                    EINVAL,
                    "bpf_percpu_obj_new type size ({size}) is greater than {PERCPU_OBJECT_MAX}"
                );
            }
            if !self.is_scalar_struct(BtfIdx::PROGRAM, &ty, 0) {
                reject!(self, EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars");
            }
            if self.btf_record(BtfIdx::PROGRAM, id).is_some() {
                reject!(self, EINVAL, "bpf_percpu_obj_new type ID argument must not contain special fields");
            }
        }
        Ok(id)
    }

    /// Results that are what their type says.
    fn set_plain_result(
        &mut self,
        kfunc: &Kfunc<'a>,
        flags: Flag,
        learned: &Learned,
        pointee_id: TypeId,
        pointee: Type<'a>,
    ) -> Res {
        if pointee_id.0 == 0 {
            return self.mark_reg_unknown(0);
        }
        let mut r0 = *self.reg(0);
        if pointee.kind() != Kind::Struct {
            let (mut size, mut rdonly) = (learned.r0_size, learned.r0_rdonly);
            if size == 0
                && let Some(known) = sized(self.btf(kfunc.btf), pointee_id.0)
            {
                (size, rdonly) = (u64::from(known.size), true);
            }
            if size == 0 {
                let (name, kind, of) = (kfunc.name, kind_name(pointee.kind()), pointee.name());
                reject!(
                    self,
                    EINVAL,
                    "kernel function {name} returns pointer type {kind} {of} is not supported"
                );
            }
            r0.mark_known(0);
            (r0.base, r0.flags) = (Base::Mem, if rdonly { Flags::RDONLY } else { Flags::empty() });
            r0.extra = Extra::Mem { size: size as u32, dynptr_id: 0 };
            if learned.ref_obj_id != 0 {
                r0.ref_obj_id = learned.ref_obj_id;
            }
        } else {
            r0.mark_known(0);
            r0.base = Base::BtfId;
            r0.flags = Flags::empty();
            if kfunc.special == Special::GetKmemCache {
                r0.flags |= Flags::UNTRUSTED;
            } else if flags.contains(Flag::RCU_PROTECTED) && self.since(6, 18) {
                r0.flags |= Flags::RCU;
            } else if flags.contains(Flag::NEXT) {
                let iter = learned.iter.and_then(|(frame, slot)| {
                    Some(self.cur.frames.get(frame)?.stack.get(slot)?.spilled.flags)
                });
                let rcu = iter.is_some_and(|flags| flags.contains(Flags::RCU));
                r0.flags |= if rcu { Flags::RCU } else { Flags::TRUSTED };
            }
            r0.extra = Extra::Btf { btf: kfunc.btf, id: pointee_id.0 };
        }
        *self.reg_mut(0) = r0;
        Ok(())
    }

    /// The call may change packets: pointers into them are no longer valid.
    fn clear_packet_pointers(&mut self) {
        let leaks = self.allow_ptr_leaks;
        self.for_each_reg(&mut |reg| {
            let slice = reg.base == Base::Mem
                && reg.flags.intersects(Flags::DYNPTR_SKB | Flags::DYNPTR_XDP | Flags::DYNPTR_SKB_META);
            if slice || matches!(reg.base, Base::Packet | Base::PacketMeta | Base::PacketEnd) {
                if leaks { reg.mark_unknown() } else { reg.set_not_init() }
            }
        });
    }

    /// Functions that may be called while a spin lock is held.
    pub(in crate::verifier) fn is_kfunc_allowed_under_lock(&self, insn: Insn) -> bool {
        let Some(kfunc) = self.kfunc_of(insn).filter(|kfunc| kfunc.btf == BtfIdx::KERNEL) else {
            return false;
        };
        let special = kfunc.special;
        if special.is_list() || special.is_rbtree() || special == Special::RefcountAcquire {
            return true;
        }
        if self.since(6, 13)
            && matches!(kfunc.name, "bpf_iter_num_new" | "bpf_iter_num_next" | "bpf_iter_num_destroy")
        {
            return true;
        }
        let resilient = matches!(
            special,
            Special::ResSpinLock
                | Special::ResSpinUnlock
                | Special::ResSpinLockIrqsave
                | Special::ResSpinUnlockIrqrestore
        );
        resilient || self.since(6, 17) && kfunc.name.starts_with("bpf_stream_vprintk")
    }

    /// Whether the kernel function that is called may sleep.
    pub(in crate::verifier) fn kfunc_may_sleep(&self, insn: Insn) -> bool {
        self.kfunc_of(insn)
            .is_some_and(|kfunc| kfunc.flags.is_some_and(|flags| flags.contains(Flag::SLEEPABLE)))
    }

    /// Registers that a call leaves unusable by its prototype, a bit each.
    pub(in crate::verifier) fn kfunc_clobbers(&self, insn: Insn) -> Option<u16> {
        let kfunc = self.kfunc_of(insn)?;
        let result = u16::from(kfunc.result.0 != 0);
        Some((1..=kfunc.params.len().min(5) as u16).fold(result, |mask, regno| mask | 1 << regno))
    }

    /// Registers that a call with few clobbers leaves unusable, a bit each; `None` where the call is not such a one.
    pub(in crate::verifier) fn fastcall_kfunc_clobbers(&self, insn: Insn) -> Option<u16> {
        let kfunc = self.kfunc_of(insn)?;
        if !matches!(kfunc.special, Special::CastToKernCtx | Special::RdonlyCast) {
            return None;
        }
        let result = u16::from(kfunc.result.0 != 0);
        Some((1..=kfunc.params.len() as u16).fold(result, |mask, regno| mask | 1 << regno))
    }
}
