//! Helper functions: prototypes, who may call them, arguments.

mod args;
mod callbacks;
mod format;
pub(in crate::verifier) mod maps;
mod offer;
pub(crate) mod proto;
mod results;
#[cfg(test)]
mod tests;

use super::env::{EACCES, EFAULT, EINVAL, ENOTSUPP, Env, MapPtrState, Reject, Res, reject};
use super::mem::Access;
use super::objects::FieldKind;
use super::reg::{Base, BtfIdx, DynptrKind, Flags, Reg};
use super::states::Use;
use asm::{Helper, Insn};
use bpf_sys::map::{MapFlags, MapType};
use bpf_sys::prog::{AttachType, ProgType};
pub(super) use proto::ArgType;
use proto::{Condition, Proto};

/// What was learned from the arguments of a call of a helper.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallMeta {
    pub func_id: u32,
    /// Map argument: index, and whether it is a map found in that map of maps, and its uid.
    pub map: Option<(u32, bool, u32)>,
    pub raw_mode: bool,
    pub pkt_access: bool,
    pub release_regno: u8,
    /// Register whose memory a raw access initialises, with size.
    pub regno: u8,
    pub access_size: u32,
    pub mem_size: u64,
    /// The key, where it is a constant.
    pub constant_key: Option<i64>,
    /// Highest value of the size register.
    pub msize_max_value: u64,
    pub ref_obj_id: u32,
    pub dynptr_id: u32,
    pub map_uid: u32,
    pub ret_btf: Option<(BtfIdx, u32)>,
    pub subprogno: u32,
    /// Special field of the map value (index into its record's fields).
    pub kptr_field: Option<usize>,
    /// What that field is, and what it points to.
    pub kptr_field_target: Option<(FieldKind, (BtfIdx, u32))>,
}

/// `bpf_name#id` as the log has it.
fn shown(func_id: i32) -> String {
    let name = u32::try_from(func_id).ok().and_then(|id| Helper(id).name());
    format!("{}#{func_id}", name.unwrap_or("unknown"))
}

/// Whether packet pointers are worth nothing after it.
pub(super) fn changes_packets(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::CLONE_REDIRECT
            | Helper::L3_CSUM_REPLACE
            | Helper::L4_CSUM_REPLACE
            | Helper::LWT_PUSH_ENCAP
            | Helper::LWT_SEG6_ACTION
            | Helper::LWT_SEG6_ADJUST_SRH
            | Helper::LWT_SEG6_STORE_BYTES
            | Helper::MSG_POP_DATA
            | Helper::MSG_PULL_DATA
            | Helper::MSG_PUSH_DATA
            | Helper::SKB_ADJUST_ROOM
            | Helper::SKB_CHANGE_HEAD
            | Helper::SKB_CHANGE_PROTO
            | Helper::SKB_CHANGE_TAIL
            | Helper::SKB_PULL_DATA
            | Helper::SKB_STORE_BYTES
            | Helper::SKB_VLAN_POP
            | Helper::SKB_VLAN_PUSH
            | Helper::STORE_HDR_OPT
            | Helper::XDP_ADJUST_HEAD
            | Helper::XDP_ADJUST_META
            | Helper::XDP_ADJUST_TAIL
            | Helper::TAIL_CALL
    )
}

/// Whether it calls a subprogram back before it returns.
pub(super) fn calls_back(helper: Helper) -> bool {
    matches!(helper, Helper::FOR_EACH_MAP_ELEM | Helper::FIND_VMA | Helper::LOOP | Helper::USER_RINGBUF_DRAIN)
}

/// Whether it has a subprogram called later.
pub(super) fn calls_back_later(helper: Helper) -> bool {
    helper == Helper::TIMER_SET_CALLBACK
}

/// Whether it gives (or makes) storage that belongs to an object.
fn gives_storage(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::SK_STORAGE_GET
            | Helper::INODE_STORAGE_GET
            | Helper::TASK_STORAGE_GET
            | Helper::CGRP_STORAGE_GET
    )
}

impl<'a> Env<'a> {
    /// A call of a helper.
    pub(super) fn check_helper_call(&mut self, insn: Insn, insn_idx: usize) -> Res {
        let proto = self.find_helper(insn.imm)?;
        let helper = proto.helper;
        let mut meta = CallMeta { func_id: helper.0, pkt_access: proto.pkt_access, ..CallMeta::default() };
        self.check_may_sleep(&proto, insn_idx)?;
        for at in 0..proto.args.len() {
            self.check_func_arg(at, &mut meta, &proto, insn_idx)?;
        }
        meta.kptr_field_target = self.exchanged_field(&meta);
        self.record_map(helper, &meta)?;
        self.record_key(helper, &meta)?;
        // What the helper fills in is written byte for byte, as far as the size is known.
        for off in 0..meta.access_size {
            self.check_mem_access(insn_idx, meta.regno, off as i32, 1, Access::Write, None, false, false)?;
        }
        if meta.release_regno != 0 {
            self.release_arg(&proto, &meta, insn.imm)?;
        }
        let mut changes_data = changes_packets(helper);
        let percpu_object = self.check_special(&proto, &mut meta, insn_idx, &mut changes_data)?;
        self.clear_caller_saved_regs()?;
        self.set_helper_result(&proto, &meta, insn_idx, percpu_object)?;
        self.check_map_func(meta.map, helper)?;
        if helper == Helper::GET_FUNC_IP {
            self.check_get_func_ip()?;
        }
        if changes_data {
            self.clear_all_pkt_pointers();
        }
        Ok(())
    }

    /// The prototype of the helper that is called, where the program may call it.
    fn find_helper(&mut self, func_id: i32) -> Res<Proto> {
        let known = u32::try_from(func_id).is_ok_and(|id| id < self.helper_count());
        if !known {
            reject!(self, EINVAL, "invalid func {}", shown(func_id));
        }
        let Some(proto) = self.helper_proto(Helper(func_id as u32)) else {
            if self.since(6, 10) {
                reject!(self, EINVAL, "program of this type cannot use helper {}", shown(func_id));
            }
            reject!(self, EINVAL, "unknown func {}", shown(func_id));
        };
        if proto.gpl_only && !self.program.gpl {
            reject!(self, EINVAL, "cannot call GPL-restricted function from non-GPL compatible program");
        }
        if proto.condition.is_some_and(|condition| !self.condition_holds(condition)) {
            reject!(self, EINVAL, "helper call is not allowed in probe");
        }
        if proto.might_sleep && !self.in_sleepable() {
            reject!(self, EINVAL, "helper call might sleep in a non-sleepable prog");
        }
        Ok(proto)
    }

    fn condition_holds(&self, condition: Condition) -> bool {
        let attach = self.program.expected_attach_type;
        let name = self.attach.name.as_str();
        match condition {
            Condition::DPath => match self.prog_type() {
                ProgType::Tracing if attach == Some(AttachType::TraceIter) => true,
                ProgType::Lsm => crate::tables::is_sleepable_lsm_hook(name),
                _ => crate::tables::D_PATH_CALLERS.contains(&name),
            },
            Condition::SleepableHook => crate::tables::is_sleepable_lsm_hook(name),
            Condition::SkStorage => match attach {
                Some(AttachType::TraceIter | AttachType::TraceRawTp) => true,
                Some(AttachType::TraceFentry | AttachType::TraceFexit) => !name.starts_with("bpf_sk_storage"),
                _ => false,
            },
        }
    }

    /// Helpers that sleep are not called where RCU or the scheduler are held off.
    fn check_may_sleep(&mut self, proto: &Proto, insn_idx: usize) -> Res {
        let (rcu, preempt, irq) =
            (self.cur.active_rcu_lock != 0, self.cur.active_preempt_locks != 0, self.cur.active_irq_id != 0);
        let name = shown(proto.helper.0 as i32);
        for (held, region) in [(rcu, "rcu_read_lock"), (preempt, "non-preemptible"), (irq, "IRQ-disabled")] {
            if !held {
                continue;
            }
            if proto.might_sleep {
                reject!(self, EINVAL, "sleepable helper {name} in {region} region");
            }
            if self.in_sleepable() && gives_storage(proto.helper) {
                self.aux[insn_idx].storage_get_atomic = true;
            }
        }
        Ok(())
    }

    /// Keeps which map the call had: one that differs between paths cannot be called directly.
    fn record_map(&mut self, helper: Helper, meta: &CallMeta) -> Res {
        let noted = matches!(
            helper,
            Helper::TAIL_CALL
                | Helper::MAP_LOOKUP_ELEM
                | Helper::MAP_UPDATE_ELEM
                | Helper::MAP_DELETE_ELEM
                | Helper::MAP_PUSH_ELEM
                | Helper::MAP_POP_ELEM
                | Helper::MAP_PEEK_ELEM
                | Helper::FOR_EACH_MAP_ELEM
                | Helper::REDIRECT_MAP
                | Helper::MAP_LOOKUP_PERCPU_ELEM
        );
        if !noted {
            return Ok(());
        }
        let Some((map, inner, _)) = meta.map else {
            reject!(self, EINVAL, "kernel subsystem misconfigured verifier");
        };
        let changes = matches!(
            helper,
            Helper::MAP_DELETE_ELEM | Helper::MAP_UPDATE_ELEM | Helper::MAP_PUSH_ELEM | Helper::MAP_POP_ELEM
        );
        if changes && self.map_spec(map, inner).flags.contains(MapFlags::RDONLY_PROG) {
            reject!(self, EACCES, "write into map forbidden");
        }
        let index = self.map_index(map, inner);
        let aux = self.aux_mut();
        aux.map_ptr = match aux.map_ptr {
            MapPtrState::None => MapPtrState::Known(index),
            MapPtrState::Known(known) if known == index => MapPtrState::Known(index),
            _ => MapPtrState::Poisoned,
        };
        Ok(())
    }

    /// A tail call's index, where it is known: its exact value decides what is called.
    fn record_key(&mut self, helper: Helper, meta: &CallMeta) -> Res {
        if helper != Helper::TAIL_CALL {
            return Ok(());
        }
        let spec = meta.map.map(|(map, inner, _)| self.map_spec(map, inner));
        let Some(spec) = spec.filter(|spec| spec.map_type == MapType::ProgArray) else {
            if self.since(6, 16) {
                // These words end without a line's end.
                self.say(format_args!("expected prog array map for tail call"));
                return Err(Reject(EINVAL));
            }
            reject!(self, EINVAL, "kernel subsystem misconfigured verifier");
        };
        let index = *self.reg(3);
        if index.is_const(false) && index.var_off.value < u64::from(spec.max_entries) {
            self.mark_chain_precision(3)?;
        }
        Ok(())
    }

    /// Gives back what the argument refers to.
    fn release_arg(&mut self, proto: &Proto, meta: &CallMeta, func_id: i32) -> Res {
        let regno = meta.release_regno;
        let reg = *self.reg(regno);
        let kind = proto.args[usize::from(regno) - 1].kind;
        let released = if kind == ArgType::Dynptr {
            self.unmark_dynptr(&reg)
        } else if proto.helper == Helper::KPTR_XCHG && meta.ref_obj_id != 0 {
            self.release_exchanged(meta.ref_obj_id)
        } else if meta.ref_obj_id != 0 {
            self.release_reference(meta.ref_obj_id)
        } else if reg.is_null() {
            Ok(())
        } else {
            Err(Reject(EINVAL))
        };
        if let Err(Reject(errno)) = released {
            reject!(self, errno, "func {} reference has not been acquired before", shown(func_id));
        }
        Ok(())
    }

    /// What the field that `bpf_kptr_xchg` exchanges holds.
    fn exchanged_field(&self, meta: &CallMeta) -> Option<(FieldKind, (BtfIdx, u32))> {
        let dest = *self.reg(1);
        let field = *self.reg_record(&dest)?.fields.get(meta.kptr_field?)?;
        Some((field.kind, field.target?))
    }

    /// The reference now belongs to a map. Under RCU a per-CPU object may still be read.
    fn release_exchanged(&mut self, ref_obj_id: u32) -> Res {
        let in_rcu = self.in_rcu_cs();
        let keeps = in_rcu && self.since(6, 7);
        if !keeps {
            return self.release_reference(ref_obj_id);
        }
        let percpu = Flags::ALLOC | Flags::PERCPU;
        self.for_each_reg(&mut |reg| {
            if reg.ref_obj_id == ref_obj_id && reg.flags.contains(percpu) {
                reg.ref_obj_id = 0;
                reg.flags.remove(Flags::ALLOC);
                reg.flags.insert(Flags::RCU);
            }
        });
        self.release_reference(ref_obj_id)
    }

    /// What only some helpers ask for. Gives whether a per-CPU object of the program is meant.
    fn check_special(
        &mut self,
        proto: &Proto,
        meta: &mut CallMeta,
        insn_idx: usize,
        changes_data: &mut bool,
    ) -> Res<bool> {
        match proto.helper {
            Helper::TAIL_CALL => self.check_tail_call()?,
            Helper::GET_LOCAL_STORAGE => {
                if !self.reg(2).is_null() {
                    reject!(self, EINVAL, "get_local_storage() doesn't support non-zero flags");
                }
                self.mark_chain_precision(2)?;
            }
            Helper::FOR_EACH_MAP_ELEM
            | Helper::TIMER_SET_CALLBACK
            | Helper::FIND_VMA
            | Helper::LOOP
            | Helper::USER_RINGBUF_DRAIN => self.call_back(proto.helper, meta.subprogno, insn_idx)?,
            Helper::SNPRINTF => self.check_snprintf()?,
            Helper::DYNPTR_FROM_MEM => {
                let reg = *self.reg(1);
                if !reg.is(Base::MapValue) {
                    let name = reg.type_name();
                    reject!(self, EACCES, "Unsupported reg type {name} for bpf_dynptr_from_mem data");
                }
            }
            Helper::SET_RETVAL => {
                let cgroup = self.program.expected_attach_type == Some(AttachType::LsmCgroup);
                if self.prog_type() == ProgType::Lsm && cgroup && self.attach.returns_void {
                    reject!(
                        self,
                        EINVAL,
                        "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!"
                    );
                }
            }
            Helper::DYNPTR_DATA => {
                let regno = dynptr_arg(proto);
                let (Some(id), Some(ref_obj_id)) =
                    (self.dynptr_id_of(regno), self.dynptr_ref_obj_id_of(regno))
                else {
                    reject!(self, EFAULT, "verifier internal error: failed to obtain dynptr id");
                };
                if meta.ref_obj_id != 0 {
                    reject!(self, EFAULT, "verifier internal error: meta.ref_obj_id already set");
                }
                meta.dynptr_id = id;
                meta.ref_obj_id = ref_obj_id;
            }
            Helper::DYNPTR_WRITE => match self.dynptr_kind_of(dynptr_arg(proto)) {
                None | Some(DynptrKind::Invalid) => return Err(Reject(EFAULT)),
                // The packet may move, and slices of it with it.
                Some(DynptrKind::Skb | DynptrKind::SkbMeta) => *changes_data = true,
                _ => {}
            },
            Helper::PER_CPU_PTR | Helper::THIS_CPU_PTR => {
                return Ok(self.reg(1).flags.contains(Flags::RCU));
            }
            _ => {}
        }
        Ok(false)
    }

    fn check_tail_call(&mut self) -> Res {
        if self.since(6, 13) {
            return self.check_resource_leak(false, true, "tail_call");
        }
        if self.cur.active_locks != 0 {
            reject!(self, EINVAL, "tail_call cannot be used inside bpf_spin_lock-ed region");
        }
        if let Err(Reject(errno)) = self.check_reference_leak(false) {
            reject!(self, errno, "tail_call would lead to reference leak");
        }
        if self.cur.active_rcu_lock != 0 {
            reject!(self, EINVAL, "tail_call cannot be used inside bpf_rcu_read_lock-ed region");
        }
        if self.cur.active_preempt_locks != 0 {
            reject!(self, EINVAL, "tail_call cannot be used inside bpf_preempt_disable-ed region");
        }
        Ok(())
    }

    fn check_get_func_ip(&mut self) -> Res {
        let name = shown(Helper::GET_FUNC_IP.0 as i32);
        match self.prog_type() {
            ProgType::Tracing if !self.has_trampoline() => {
                reject!(self, ENOTSUPP, "func {name} supported only for fentry/fexit/fmod_ret programs")
            }
            ProgType::Tracing | ProgType::Kprobe => Ok(()),
            other => reject!(self, ENOTSUPP, "func {name} not supported for program type {}", other.raw()),
        }
    }

    /// Whether the program is called through a trampoline at a function.
    pub(super) fn has_trampoline(&self) -> bool {
        matches!(
            self.program.expected_attach_type,
            Some(
                AttachType::TraceFentry
                    | AttachType::TraceFexit
                    | AttachType::ModifyReturn
                    | AttachType::LsmMac
                    | AttachType::TraceFsession
            )
        )
    }

    /// After a call r0 to r5 hold nothing.
    pub(super) fn clear_caller_saved_regs(&mut self) -> Res {
        for regno in 0..=5 {
            self.mark_reg_not_init(regno);
            self.check_reg_arg(regno, Use::DstNoMark)?;
        }
        Ok(())
    }

    /// The packet may have moved: pointers into it (and slices of dynptrs of it) are worth nothing.
    pub(super) fn clear_all_pkt_pointers(&mut self) {
        let mut gone = Reg::NOT_INIT;
        gone.precise = !self.bpf_capable;
        let leaky = self.allow_ptr_leaks;
        let slices = Flags::DYNPTR_SKB | Flags::DYNPTR_XDP | Flags::DYNPTR_SKB_META;
        self.for_each_reg(&mut |reg| {
            let packet = matches!(reg.base, Base::Packet | Base::PacketMeta | Base::PacketEnd);
            let slice = reg.base == Base::Mem && reg.flags.intersects(slices);
            if packet || slice {
                let subreg_def = reg.subreg_def;
                reg.copy_value(&gone);
                reg.subreg_def = subreg_def;
                if leaky {
                    reg.base = Base::Scalar;
                }
            }
        });
    }
}

/// Register of the only dynptr argument.
fn dynptr_arg(proto: &Proto) -> u8 {
    let at = proto.args.iter().position(|arg| arg.kind == ArgType::Dynptr);
    at.map_or(0, |at| at as u8 + 1)
}
