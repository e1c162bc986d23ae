//! Arguments of helpers against what the prototype asks for.

use super::CallMeta;
use super::proto::{Arg, ArgType, Proto};
use crate::verifier::env::{EACCES, EFAULT, EINVAL, ENOTSUPP, Env, Reject, Res, reject};
use crate::verifier::log::types::type_name;
use crate::verifier::mem::Access;
use crate::verifier::objects::shown_name;
use crate::verifier::reg::{Base, BtfIdx, Extra, Flags, Reg};
use crate::verifier::states::Use;
use asm::Helper;
use bpf_sys::map::{MapFlags, MapType};
use btf::{Kind, TypeId};
use loader::MapKind;

type Kinds = &'static [(Base, Flags)];

const PLAIN: Flags = Flags::empty();

const SOCKS: Kinds =
    &[(Base::SockCommon, PLAIN), (Base::Socket, PLAIN), (Base::TcpSock, PLAIN), (Base::XdpSock, PLAIN)];
const BTF_SOCKS: Kinds = &[
    (Base::SockCommon, PLAIN),
    (Base::Socket, PLAIN),
    (Base::TcpSock, PLAIN),
    (Base::XdpSock, PLAIN),
    (Base::BtfId, PLAIN),
    (Base::BtfId, Flags::TRUSTED),
];
const MEM: Kinds = &[
    (Base::Stack, PLAIN),
    (Base::Packet, PLAIN),
    (Base::PacketMeta, PLAIN),
    (Base::MapKey, PLAIN),
    (Base::MapValue, PLAIN),
    (Base::Mem, PLAIN),
    (Base::Mem, Flags::RINGBUF),
    (Base::Buf, PLAIN),
    (Base::BtfId, Flags::TRUSTED),
];
const LOCKED: Kinds = &[(Base::MapValue, PLAIN), (Base::BtfId, Flags::ALLOC)];
const OBJECTS: Kinds = &[(Base::BtfId, PLAIN), (Base::BtfId, Flags::TRUSTED), (Base::BtfId, Flags::RCU)];
const PERCPU: Kinds = &[
    (Base::BtfId, Flags::PERCPU),
    (Base::BtfId, Flags::PERCPU.union(Flags::RCU)),
    (Base::BtfId, Flags::PERCPU.union(Flags::TRUSTED)),
];

/// The kinds of values that will do for an argument, in the order in which the log names them.
fn accepted(kind: ArgType) -> Kinds {
    match kind {
        ArgType::MapKey | ArgType::MapValue | ArgType::Mem => MEM,
        ArgType::Size | ArgType::SizeOrZero | ArgType::AllocSize | ArgType::Scalar => {
            &[(Base::Scalar, PLAIN)]
        }
        ArgType::Map => &[(Base::ConstMap, PLAIN)],
        ArgType::Ctx => &[(Base::Ctx, PLAIN)],
        ArgType::SockCommon => SOCKS,
        ArgType::BtfSock => BTF_SOCKS,
        ArgType::Socket => &[(Base::Socket, PLAIN)],
        ArgType::Btf(_) => OBJECTS,
        ArgType::SpinLock | ArgType::KptrDest => LOCKED,
        ArgType::RingbufMem => &[(Base::Mem, Flags::RINGBUF)],
        ArgType::PercpuBtf => PERCPU,
        ArgType::Func => &[(Base::Func, PLAIN)],
        ArgType::Stack => &[(Base::Stack, PLAIN)],
        ArgType::ConstStr | ArgType::Timer => &[(Base::MapValue, PLAIN)],
        ArgType::Dynptr => &[(Base::Stack, PLAIN), (Base::ConstDynptr, PLAIN)],
        ArgType::None | ArgType::Anything => &[],
    }
}

/// Kinds of dynptrs as flags of memory.
const DYNPTR_KINDS: Flags = Flags::DYNPTR_LOCAL
    .union(Flags::DYNPTR_RINGBUF)
    .union(Flags::DYNPTR_SKB)
    .union(Flags::DYNPTR_XDP)
    .union(Flags::DYNPTR_SKB_META)
    .union(Flags::DYNPTR_FILE);

impl Env<'_> {
    /// An argument of a helper.
    pub(super) fn check_func_arg(
        &mut self,
        at: usize,
        meta: &mut CallMeta,
        proto: &Proto,
        insn_idx: usize,
    ) -> Res {
        let arg = proto.args[at];
        let regno = at as u8 + 1;
        if arg.kind == ArgType::None {
            return Ok(());
        }
        self.check_reg_arg(regno, Use::Src)?;
        let reg = *self.reg(regno);
        if arg.kind == ArgType::Anything {
            if !self.allow_ptr_leaks && !reg.is_scalar() {
                reject!(self, EACCES, "R{regno} leaks addr into helper function");
            }
            return Ok(());
        }
        let is_packet = matches!(reg.base, Base::Packet | Base::PacketMeta);
        if is_packet && !self.may_access_packet(Some(meta), Access::Read) {
            reject!(self, EACCES, "helper access to the packet is not allowed");
        }
        let arg = if arg.kind == ArgType::MapValue { self.resolve_map_value(arg, meta)? } else { arg };
        if reg.is_null() && arg.flags.contains(Flags::MAYBE_NULL) {
            // That it is NULL decides what is checked.
            if self.since(7, 0) {
                self.mark_chain_precision(regno)?;
            }
        } else {
            self.check_reg_type(regno, &arg, meta)?;
            let releases = arg.flags.contains(Flags::OBJ_RELEASE);
            self.check_func_arg_reg_off(regno, &reg, releases, arg.kind == ArgType::Dynptr)?;
        }
        if arg.flags.contains(Flags::OBJ_RELEASE) {
            self.helper_release_arg(regno, &reg, &arg, meta)?;
        }
        if reg.ref_obj_id != 0 && arg.kind != ArgType::KptrDest {
            if meta.ref_obj_id != 0 {
                let (new, old) = (reg.ref_obj_id, meta.ref_obj_id);
                reject!(
                    self,
                    EFAULT,
                    "verifier internal error: more than one arg with ref_obj_id R{regno} {new} {old}"
                );
            }
            meta.ref_obj_id = reg.ref_obj_id;
        }
        self.helper_arg_contents(at, regno, &arg, meta, proto, insn_idx)
    }

    /// What lies behind the argument.
    fn helper_arg_contents(
        &mut self,
        at: usize,
        regno: u8,
        arg: &Arg,
        meta: &mut CallMeta,
        proto: &Proto,
        insn_idx: usize,
    ) -> Res {
        let reg = *self.reg(regno);
        let access = |arg: &Arg| {
            if arg.flags.contains(Flags::WRITE) { Access::Write } else { Access::Read }
        };
        match arg.kind {
            ArgType::Map => self.helper_map_arg(&reg, meta),
            ArgType::MapKey => {
                let Some((map, inner, _)) = meta.map else {
                    reject!(self, EACCES, "invalid map_ptr to access map->key");
                };
                let size = self.map_spec(map, inner).key_size;
                self.check_helper_mem_access(regno, size, Access::Read, false, None)?;
                if self.since(6, 14) && self.look_up_may_be_certain(map, inner) {
                    meta.constant_key = self.constant_map_key(&reg, size)?;
                }
                Ok(())
            }
            ArgType::MapValue => {
                if arg.flags.contains(Flags::MAYBE_NULL) && reg.is_null() {
                    return Ok(());
                }
                let Some((map, inner, _)) = meta.map else {
                    reject!(self, EACCES, "invalid map_ptr to access map->value");
                };
                meta.raw_mode = arg.flags.contains(Flags::UNINIT);
                let size = self.map_spec(map, inner).value_size;
                self.check_helper_mem_access(regno, size, access(arg), false, Some(meta))
            }
            ArgType::PercpuBtf => {
                if reg.btf().is_none_or(|(_, id)| id == 0) {
                    reject!(self, EACCES, "Helper has invalid btf_id in R{regno}");
                }
                meta.ret_btf = reg.btf();
                Ok(())
            }
            ArgType::SpinLock => {
                if self.in_rbtree_lock_required_cb() {
                    reject!(self, EACCES, "can't spin_{{lock,unlock}} in rbtree cb");
                }
                self.process_spin_lock(regno, proto.helper == Helper::SPIN_LOCK)
            }
            ArgType::Timer => self.process_timer(regno, meta),
            ArgType::Func => {
                if let Extra::Subprog(subprog) = reg.extra {
                    meta.subprogno = subprog;
                }
                Ok(())
            }
            ArgType::Mem => {
                // Without a size of its own it is checked with the size that follows.
                meta.raw_mode = arg.flags.contains(Flags::UNINIT);
                if !arg.flags.contains(Flags::FIXED_SIZE) {
                    return Ok(());
                }
                self.check_helper_mem_access(regno, arg.size, access(arg), false, Some(meta))?;
                if arg.flags.contains(Flags::ALIGNED) {
                    self.check_alignment(regno, 0, arg.size, true)?;
                }
                Ok(())
            }
            ArgType::Size | ArgType::SizeOrZero => {
                let memory = at.checked_sub(1).map(|before| proto.args[before]).unwrap_or_default();
                self.check_mem_size_reg(regno, access(&memory), arg.kind == ArgType::SizeOrZero, meta)
            }
            ArgType::Dynptr => self.process_dynptr(regno, insn_idx, arg.flags, 0),
            ArgType::AllocSize => {
                if !reg.var_off.is_const() {
                    reject!(self, EACCES, "R{regno} is not a known constant'");
                }
                meta.mem_size = reg.var_off.value;
                self.mark_chain_precision(regno)
            }
            ArgType::ConstStr => self.check_const_str(regno),
            ArgType::KptrDest => self.process_kptr(regno, meta),
            _ => Ok(()),
        }
    }

    /// A map argument; where the call has two, they must be the same.
    fn helper_map_arg(&mut self, reg: &Reg, meta: &mut CallMeta) -> Res {
        let Extra::Map { map, inner, uid } = reg.extra else {
            self.unmodelled("a map pointer without a map");
            return Err(Reject(EINVAL));
        };
        if let Some((first, first_inner, first_uid)) = meta.map
            && (self.map_index(first, first_inner) != self.map_index(map, inner) || first_uid != uid)
        {
            reject!(
                self,
                EINVAL,
                "timer pointer in R1 map_uid={first_uid} doesn't match map pointer in R2 map_uid={uid}"
            );
        }
        meta.map = Some((map, inner, uid));
        meta.map_uid = uid;
        Ok(())
    }

    /// What a value of this map is for this helper: maps of sockets take sockets, a bloom filter's value is only read.
    fn resolve_map_value(&mut self, arg: Arg, meta: &CallMeta) -> Res<Arg> {
        let Some((map, inner, _)) = meta.map else {
            reject!(self, EACCES, "invalid map_ptr to access map->type");
        };
        match self.map_spec(map, inner).map_type {
            MapType::Sockmap | MapType::Sockhash => {
                if !arg.flags.is_empty() {
                    reject!(self, EINVAL, "invalid arg_type for sockmap/sockhash");
                }
                Ok(Arg { kind: ArgType::BtfSock, ..arg })
            }
            MapType::BloomFilter if meta.func_id == Helper::MAP_PEEK_ELEM.0 => {
                Ok(Arg { flags: Flags::empty(), ..arg })
            }
            _ => Ok(arg),
        }
    }

    /// An argument that the helper gives back.
    fn helper_release_arg(&mut self, regno: u8, reg: &Reg, arg: &Arg, meta: &mut CallMeta) -> Res {
        if arg.kind == ArgType::Dynptr {
            if !reg.is(Base::Stack) {
                reject!(self, EINVAL, "cannot release unowned const bpf_dynptr");
            }
            if self.dynptr_ref_obj_id_of(regno).is_none_or(|id| id == 0) {
                reject!(self, EINVAL, "arg {regno} is an unacquired reference");
            }
        } else if reg.ref_obj_id == 0 && !reg.is_null() {
            reject!(self, EINVAL, "R{regno} must be referenced when passed to release function");
        }
        if meta.release_regno != 0 {
            reject!(self, EFAULT, "verifier internal error: more than one release argument");
        }
        meta.release_regno = regno;
        Ok(())
    }

    /// Whether the register holds a kind of value that the argument may be.
    fn check_reg_type(&mut self, regno: u8, arg: &Arg, meta: &CallMeta) -> Res {
        let reg = *self.reg(regno);
        let helper = Helper(meta.func_id);
        let mut flags = reg.flags;
        // What the argument may be besides does not count.
        flags.remove(arg.flags & (Flags::RDONLY | Flags::MAYBE_NULL));
        if arg.kind == ArgType::Mem {
            flags.remove(DYNPTR_KINDS);
        }
        if helper == Helper::KPTR_XCHG && flags.contains(Flags::ALLOC) && regno == 2 {
            flags.remove(Flags::ALLOC | Flags::PERCPU);
        }
        let accepted = accepted(arg.kind);
        if !accepted.contains(&(reg.base, flags)) {
            let names: Vec<String> = accepted.iter().map(|(base, flags)| type_name(*base, *flags)).collect();
            reject!(self, EACCES, "R{regno} type={} expected={}", reg.type_name(), names.join(", "));
        }
        if reg.base != Base::BtfId {
            return Ok(());
        }
        if accepted == MEM {
            if !arg.flags.contains(Flags::RDONLY) {
                let name = helper.name().unwrap_or("unknown");
                let held = reg.type_name();
                reject!(self, EACCES, "{name}() may write into memory pointed by R{regno} type={held}");
            }
            return Ok(());
        }
        self.helper_object_arg(regno, &reg, arg, meta)
    }

    /// A kernel object must be of the type that the helper asks for.
    fn helper_object_arg(&mut self, regno: u8, reg: &Reg, arg: &Arg, meta: &CallMeta) -> Res {
        let helper = Helper(meta.func_id);
        let rest = reg.flags.difference(Flags::MAYBE_NULL);
        if rest.is_empty() || rest == Flags::TRUSTED || rest == Flags::RCU {
            // Sockets are all released as their first member.
            let releases = arg.flags.contains(Flags::OBJ_RELEASE);
            let strict = releases && helper != Helper::SK_RELEASE;
            if reg.may_be_null() && (!arg.flags.contains(Flags::MAYBE_NULL) || releases) {
                reject!(self, EACCES, "Possibly NULL pointer passed to helper arg{regno}");
            }
            if helper == Helper::KPTR_XCHG {
                return self.helper_kptr_arg(regno, reg, meta);
            }
            let wanted = match arg.kind {
                ArgType::Btf(name) => name,
                _ => "sock_common",
            };
            let Some(wanted_id) = self.btf(BtfIdx::KERNEL).find(wanted, Kind::Struct) else {
                self.unmodelled(format!("struct {wanted} of the kernel"));
                return Err(Reject(EFAULT));
            };
            let Some((btf, id)) = reg.btf() else {
                self.unmodelled("an object without a type");
                return Err(Reject(EFAULT));
            };
            let need = (BtfIdx::KERNEL, wanted_id.0);
            if !self.struct_ids_match((btf, id), reg.off, need, strict, !reg.flags.contains(Flags::ALLOC)) {
                let held = self.btf(btf).type_by_id(TypeId(id)).map_or("", |ty| shown_name(&ty));
                reject!(self, EACCES, "R{regno} is of type {held} but {wanted} is expected");
            }
            return Ok(());
        }
        let alloc = Flags::ALLOC;
        if rest == alloc || rest == alloc | Flags::PERCPU {
            if !matches!(helper, Helper::SPIN_LOCK | Helper::SPIN_UNLOCK | Helper::KPTR_XCHG) {
                reject!(self, EFAULT, "verifier internal error: unimplemented handling of MEM_ALLOC");
            }
            if helper == Helper::KPTR_XCHG && regno == 2 {
                return self.helper_kptr_arg(regno, reg, meta);
            }
            return Ok(());
        }
        // Per-CPU objects are the helper's own business.
        if rest.contains(Flags::PERCPU) && !reg.may_be_null() {
            return Ok(());
        }
        reject!(self, EFAULT, "verifier internal error: invalid PTR_TO_BTF_ID register for type match");
    }

    /// What is exchanged must be what the field holds.
    fn helper_kptr_arg(&mut self, regno: u8, reg: &Reg, meta: &CallMeta) -> Res {
        let dest = *self.reg(1);
        let field = meta.kptr_field.and_then(|at| self.reg_record(&dest)?.fields.get(at).copied());
        let Some(field) = field else {
            self.unmodelled("bpf_kptr_xchg without a field");
            return Err(Reject(EACCES));
        };
        self.map_kptr_match_type(&field, regno, reg).map_err(|_| Reject(EACCES))
    }

    /// A constant string: in memory that no one writes to, ended by a zero.
    pub(in crate::verifier) fn check_const_str(&mut self, regno: u8) -> Res {
        let reg = *self.reg(regno);
        let Extra::Map { map, inner, .. } = reg.extra else {
            return Err(Reject(EINVAL));
        };
        let spec = self.map_spec(map, inner);
        if !is_frozen(spec) {
            reject!(self, EACCES, "R{regno} does not point to a readonly map'");
        }
        if !reg.var_off.is_const() {
            reject!(self, EACCES, "R{regno} is not a constant address'");
        }
        if spec.map_type != MapType::Array && spec.map_type != MapType::Arena {
            reject!(self, EACCES, "no direct value access support for this map type");
        }
        let left = (i64::from(spec.value_size) - i64::from(reg.off)) as u32;
        self.check_map_access(regno, reg.off, left, false, true)?;
        if spec.max_entries != 1 {
            reject!(self, ENOTSUPP, "direct value access on string failed");
        }
        if self.const_string(&reg).is_none() {
            reject!(self, EINVAL, "string is not zero-terminated");
        }
        Ok(())
    }

    /// The string that a register points to in a frozen map, without its zero.
    pub(super) fn const_string(&self, reg: &Reg) -> Option<Vec<u8>> {
        let spec = self.reg_map_spec(reg)?;
        let at = usize::try_from(i64::from(reg.off) + reg.var_off.value as i64).ok()?;
        let size = spec.value_size as usize;
        if at >= size {
            return None;
        }
        let Some(data) = &spec.data else { return Some(Vec::new()) };
        let bytes = data.get(at..).unwrap_or_default();
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => Some(bytes[..end].to_vec()),
            // What the object leaves out is zero.
            None if data.len() < size => Some(bytes.to_vec()),
            None => None,
        }
    }
}

/// Whether neither programs nor user space write to it.
fn is_frozen(spec: &loader::MapSpec) -> bool {
    spec.flags.contains(MapFlags::RDONLY_PROG) && matches!(spec.kind, MapKind::Rodata | MapKind::Kconfig)
}
