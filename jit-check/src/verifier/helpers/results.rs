//! What r0 holds after a helper.

use super::proto::{Proto, RetType};
use super::{CallMeta, shown};
use crate::verifier::env::{EFAULT, EINVAL, Env, Reject, Res, reject};
use crate::verifier::objects::FieldKind;
use crate::verifier::reg::{Base, BtfIdx, DEF_NOT_SUBREG, Extra, Flags};
use asm::Helper;
use bpf_sys::map::MapType;
use btf::{Kind, TypeId};

/// The largest `errno` that a helper gives, negative.
const MAX_ERRNO: i64 = 4095;

/// Whether what it gives must be given back.
fn acquires(helper: Helper, map_type: Option<MapType>) -> bool {
    match helper {
        Helper::SK_LOOKUP_TCP
        | Helper::SK_LOOKUP_UDP
        | Helper::SKC_LOOKUP_TCP
        | Helper::RINGBUF_RESERVE
        | Helper::KPTR_XCHG => true,
        Helper::MAP_LOOKUP_ELEM => matches!(map_type, Some(MapType::Sockmap | MapType::Sockhash)),
        _ => false,
    }
}

/// Whether it gives the same object under another type.
fn casts(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::TCP_SOCK
            | Helper::SK_FULLSOCK
            | Helper::SKC_TO_TCP_SOCK
            | Helper::SKC_TO_TCP6_SOCK
            | Helper::SKC_TO_UDP6_SOCK
            | Helper::SKC_TO_MPTCP_SOCK
            | Helper::SKC_TO_TCP_TIMEWAIT_SOCK
            | Helper::SKC_TO_TCP_REQUEST_SOCK
    )
}

impl Env<'_> {
    /// Sets r0 by the prototype and what the arguments were.
    pub(super) fn set_helper_result(
        &mut self,
        proto: &Proto,
        meta: &CallMeta,
        insn_idx: usize,
        percpu_object: bool,
    ) -> Res {
        self.reg_mut(0).subreg_def = DEF_NOT_SUBREG;
        let helper = proto.helper;
        match proto.ret {
            RetType::Integer => self.mark_reg_unknown(0)?,
            RetType::Void => self.reg_mut(0).base = Base::NotInit,
            RetType::MapValue => self.set_map_value(proto, meta)?,
            RetType::Socket => self.set_pointer(Base::Socket, proto.ret_flags, Extra::None),
            RetType::SockCommon => self.set_pointer(Base::SockCommon, proto.ret_flags, Extra::None),
            RetType::TcpSock => self.set_pointer(Base::TcpSock, proto.ret_flags, Extra::None),
            RetType::Mem => {
                let dynptr_id = if helper == Helper::DYNPTR_DATA { meta.dynptr_id } else { 0 };
                let extra = Extra::Mem { size: meta.mem_size as u32, dynptr_id };
                self.set_pointer(Base::Mem, proto.ret_flags, extra);
            }
            RetType::MemOrBtf => self.set_mem_or_object(proto, meta, percpu_object)?,
            RetType::Btf(name) => self.set_object(proto, meta, name)?,
        }
        if self.reg(0).may_be_null() {
            let id = self.new_id();
            self.reg_mut(0).id = id;
        }
        let map_type = meta.map.map(|(map, inner, _)| self.map_spec(map, inner).map_type);
        if casts(helper) || helper == Helper::DYNPTR_DATA {
            self.reg_mut(0).ref_obj_id = meta.ref_obj_id;
        } else if acquires(helper, map_type) {
            let id = self.acquire_reference(insn_idx);
            let reg = self.reg_mut(0);
            reg.id = id;
            reg.ref_obj_id = id;
        }
        self.refine_result(proto, meta)
    }

    fn set_pointer(&mut self, base: Base, flags: Flags, extra: Extra) {
        self.mark_reg_known_zero(0);
        let reg = self.reg_mut(0);
        reg.base = base;
        reg.flags = flags;
        reg.extra = extra;
    }

    /// A value of the map; sockets' maps give sockets once the value is known not to be NULL.
    fn set_map_value(&mut self, proto: &Proto, meta: &CallMeta) -> Res {
        let Some((map, inner, uid)) = meta.map else {
            reject!(self, EINVAL, "kernel subsystem misconfigured verifier");
        };
        let entries = i64::from(self.map_spec(map, inner).max_entries);
        let certain = proto.helper == Helper::MAP_LOOKUP_ELEM
            && meta.constant_key.is_some_and(|key| (0..entries).contains(&key));
        let mut flags = proto.ret_flags;
        if certain {
            flags.remove(Flags::MAYBE_NULL);
        }
        self.set_pointer(Base::MapValue, flags, Extra::Map { map, inner, uid });
        let record = self.map_info(map, inner).and_then(|info| info.record.as_ref());
        let locked = record.is_some_and(|record| {
            let is_lock = |kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResSpinLock);
            record.fields.iter().any(|field| is_lock(field.kind))
        });
        if !flags.contains(Flags::MAYBE_NULL) && locked {
            let id = self.new_id();
            self.reg_mut(0).id = id;
        }
        Ok(())
    }

    /// A per-CPU variable of the kernel: memory, or an object where it is a struct.
    fn set_mem_or_object(&mut self, proto: &Proto, meta: &CallMeta, percpu_object: bool) -> Res {
        let Some((btf, id)) = meta.ret_btf else {
            self.unmodelled("a per-CPU variable without a type");
            return Err(Reject(EFAULT));
        };
        let types = self.btf(btf);
        let (id, ty) = match types.resolve(TypeId(id)) {
            Some((resolved, ty)) if ty.kind() != Kind::Var => (resolved, Some(ty)),
            _ => (TypeId(id), None),
        };
        if ty.is_some_and(|ty| ty.kind().is_composite()) {
            let flags = if percpu_object {
                Flags::ALLOC | Flags::RCU
            } else {
                proto.ret_flags.difference(Flags::RDONLY)
            };
            let original = meta.ret_btf.map_or(id.0, |(_, id)| id);
            self.set_pointer(Base::BtfId, flags, Extra::Btf { btf, id: original });
            return Ok(());
        }
        let Some(size) = types.size_of(id) else {
            let name = ty.map_or("", |ty| ty.name());
            reject!(self, EINVAL, "unable to resolve the size of type '{name}': -22");
        };
        let extra = Extra::Mem { size: u32::try_from(size).unwrap_or(u32::MAX), dynptr_id: 0 };
        self.set_pointer(Base::Mem, proto.ret_flags, extra);
        Ok(())
    }

    /// A kernel object, or what was in the kptr field.
    fn set_object(&mut self, proto: &Proto, meta: &CallMeta, name: &str) -> Res {
        let mut flags = proto.ret_flags;
        let target = if proto.helper == Helper::KPTR_XCHG {
            let Some((kind, target)) = meta.kptr_field_target else {
                self.unmodelled("bpf_kptr_xchg without a field");
                return Err(Reject(EFAULT));
            };
            if target.0 == BtfIdx::PROGRAM {
                flags |= Flags::ALLOC;
                if kind == FieldKind::KptrPercpu {
                    flags |= Flags::PERCPU;
                }
            }
            Some(target)
        } else {
            let id = self.btf(BtfIdx::KERNEL).find(name, Kind::Struct);
            id.map(|id| (BtfIdx::KERNEL, id.0))
        };
        let Some((btf, id)) = target else {
            let func = shown(proto.helper.0 as i32);
            reject!(self, EINVAL, "invalid return type 8 of func {func}");
        };
        self.set_pointer(Base::BtfId, flags, Extra::Btf { btf, id });
        Ok(())
    }

    /// Numbers of which more is known.
    fn refine_result(&mut self, proto: &Proto, meta: &CallMeta) -> Res {
        if proto.ret != RetType::Integer {
            return Ok(());
        }
        let mut reg = *self.reg(0);
        match proto.helper {
            Helper::GET_STACK
            | Helper::GET_TASK_STACK
            | Helper::PROBE_READ_STR
            | Helper::PROBE_READ_KERNEL_STR
            | Helper::PROBE_READ_USER_STR => {
                reg.smax = meta.msize_max_value as i64;
                reg.s32_max = meta.msize_max_value as i32;
                reg.smin = -MAX_ERRNO;
                reg.s32_min = -MAX_ERRNO as i32;
            }
            Helper::GET_SMP_PROCESSOR_ID if self.since(6, 5) => {
                let last = self.kernel.cpus.saturating_sub(1);
                (reg.umin, reg.umax) = (0, u64::from(last));
                (reg.smin, reg.smax) = (0, i64::from(last));
                (reg.u32_min, reg.u32_max) = (0, last);
                (reg.s32_min, reg.s32_max) = (0, last as i32);
            }
            _ => return Ok(()),
        }
        self.bounds_sync(&mut reg);
        let checked = self.check_bounds(&mut reg, "retval");
        *self.reg_mut(0) = reg;
        checked
    }
}
