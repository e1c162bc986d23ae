//! Arguments of kernel functions.

use super::classify::{Arg, ArgKind, ends, is_scalar};
use super::flags::{Flag, Kfunc};
use super::special::Special;
use crate::verifier::env::{EACCES, EFAULT, EINVAL, Env, Reject, Res, reject};
use crate::verifier::log::types::type_name;
use crate::verifier::objects::{Field, IterArg, IterStep, is_projection, kind_name, sized};
use crate::verifier::reg::{Base, BtfIdx, DynptrKind, Extra, Flags, Reg};
use crate::verifier::state::RefKind;
use bpf_sys::prog::{AttachType, ProgType};
use btf::{Kind, TypeId};

/// What was learned from the arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    pub ref_obj_id: u32,
    pub release_regno: u8,
    pub r0_rdonly: bool,
    pub r0_size: u64,
    /// A constant that is part of the call: a size, or a type.
    pub constant: Option<u64>,
    pub owning: bool,
    /// Type of an object that the program made.
    pub object: Option<(BtfIdx, u32)>,
    pub list: Option<Field>,
    pub tree: Option<Field>,
    /// Frame and slot of an iterator.
    pub iter: Option<(usize, usize)>,
    pub dynptr: Option<(u32, DynptrKind, u32)>,
    pub map: Option<(u32, bool, u32)>,
    pub subprog: u32,
    pub ctx_type: Option<u32>,
}

/// Flags that a trusted pointer may have, for the log.
const TRUSTED: Flags = Flags::ALLOC.union(Flags::TRUSTED).union(Flags::NON_OWN_REF);

impl<'a> Env<'a> {
    /// How the log calls an argument: by its place from 0 behind `word`; by its register since Linux 7.1.
    pub(in crate::verifier) fn arg_name(&self, at: usize, word: &str) -> String {
        if self.since(7, 1) { format!("R{}", at + 1) } else { format!("{word}{at}") }
    }

    /// Checks all arguments in turn.
    pub(super) fn check_kfunc_args(
        &mut self,
        kfunc: &Kfunc<'a>,
        learned: &mut Learned,
        insn_idx: usize,
    ) -> Res {
        let count = kfunc.params.len();
        if count > 5 {
            reject!(self, EINVAL, "Function {} has {count} > 5 args", kfunc.name);
        }
        let flags = kfunc.flags.unwrap_or_default();
        let releases = flags.contains(Flag::RELEASE);
        let trusted = flags.contains(Flag::TRUSTED) || releases;
        let rcu = flags.contains(Flag::RCU);
        let mut index = 0;
        while index < count {
            let at = index;
            index += 1;
            let regno = at as u8 + 1;
            let reg = *self.reg(regno);
            let Some(arg) = self.kfunc_arg(kfunc, at) else { return Err(Reject(EINVAL)) };
            if ends(&arg.param, "__ign") || ends(&arg.param, "__prog") && self.since(6, 17) {
                continue;
            }
            if is_scalar(&arg.ty) {
                self.check_scalar_arg(&arg, regno, &reg, learned)?;
                continue;
            }
            if arg.ty.kind() != Kind::Ptr {
                reject!(self, EINVAL, "Unrecognized arg#{at} type {}", kind_name(arg.ty.kind()));
            }
            if (trusted || rcu) && (reg.is_null() || reg.may_be_null()) && !ends(&arg.param, "__nullable") {
                reject!(self, EACCES, "Possibly NULL pointer passed to trusted {}", self.arg_name(at, "arg"));
            }
            if releases && self.since(7, 1) && reg.ref_obj_id == 0 && learned.release_regno == 0 {
                let func = kfunc.name;
                reject!(
                    self,
                    EINVAL,
                    "release kfunc {func} expects referenced PTR_TO_BTF_ID passed to R{regno}"
                );
            }
            if reg.ref_obj_id != 0 {
                if releases && learned.ref_obj_id != 0 {
                    let (id, before) = (reg.ref_obj_id, learned.ref_obj_id);
                    reject!(
                        self,
                        EFAULT,
                        "verifier internal error: more than one arg with ref_obj_id R{regno} {id} {before}"
                    );
                }
                learned.ref_obj_id = reg.ref_obj_id;
                if releases {
                    learned.release_regno = regno;
                }
            }
            let kind = self.classify_arg(kfunc, at, &arg)?;
            if kind == ArgKind::Null {
                continue;
            }
            if kind == ArgKind::Map {
                self.check_map_arg(&reg, regno, learned)?;
            }
            if matches!(kind, ArgKind::Map | ArgKind::AllocObject | ArgKind::Object)
                && (trusted || rcu)
                && !reg.is_trusted()
            {
                if !rcu {
                    reject!(self, EINVAL, "R{regno} must be referenced or trusted");
                }
                if !reg.is_rcu() {
                    reject!(self, EINVAL, "R{regno} must be a rcu pointer");
                }
            }
            let arg_releases = releases && reg.ref_obj_id != 0
                || kfunc.special == Special::DynptrFileDiscard && kind == ArgKind::Dynptr;
            self.check_func_arg_reg_off(regno, &reg, arg_releases, kind == ArgKind::Dynptr)?;
            if self.check_pointer_arg(kfunc, at, kind, &arg, learned, insn_idx)? {
                // Its size was checked with it.
                index += 1;
            }
        }
        if releases && learned.release_regno == 0 {
            reject!(self, EINVAL, "release kernel function {} expects refcounted PTR_TO_BTF_ID", kfunc.name);
        }
        Ok(())
    }

    fn check_scalar_arg(&mut self, arg: &Arg<'a>, regno: u8, reg: &Reg, learned: &mut Learned) -> Res {
        if !reg.is(Base::Scalar) {
            reject!(self, EINVAL, "R{regno} is not a scalar");
        }
        let is_const = reg.var_off.mask == 0;
        let value = reg.var_off.value;
        let mut returns_buffer = false;
        if ends(&arg.param, "__k") {
            if learned.constant.is_some() {
                reject!(self, EFAULT, "verifier internal error: only one constant argument permitted");
            }
            if !is_const {
                reject!(self, EINVAL, "R{regno} must be a known constant");
            }
            self.mark_chain_precision(regno)?;
            learned.constant = Some(value);
        } else if arg.param.name == "rdonly_buf_size" {
            learned.r0_rdonly = true;
            returns_buffer = true;
        } else if arg.param.name == "rdwr_buf_size" {
            returns_buffer = true;
        }
        if returns_buffer {
            if learned.r0_size != 0 {
                self.say(format_args!("2 or more rdonly/rdwr_buf_size parameters for kfunc"));
                return Err(Reject(EINVAL));
            }
            if !is_const {
                reject!(self, EINVAL, "R{regno} is not a const");
            }
            learned.r0_size = value;
            if value > u64::from(u32::MAX) {
                reject!(self, EINVAL, "R{regno} rdonly/rdwr_buf_size exceeds u32 max");
            }
            self.mark_chain_precision(regno)?;
        }
        Ok(())
    }

    fn check_map_arg(&mut self, reg: &Reg, regno: u8, learned: &mut Learned) -> Res {
        let map = match reg.extra {
            Extra::Map { map, inner, uid } => Some((map, inner, uid)),
            Extra::None | Extra::Range(_) | Extra::Mem { .. } | Extra::Subprog(_) => {
                reject!(self, EINVAL, "pointer in R{regno} isn't map pointer");
            }
            _ => None,
        };
        let info = map.and_then(|(map, inner, _)| self.map_info(map, inner));
        let record = info.and_then(|info| info.record.as_ref());
        let has = |what: Option<u32>| what.is_some();
        let name = match record {
            Some(record) if has(record.workqueue) => Some("workqueue"),
            Some(record) if record.has(crate::verifier::objects::FieldKind::TaskWork) => {
                Some("bpf_task_work")
            }
            _ => None,
        };
        if let (Some(before), Some(name)) = (learned.map, name)
            && Some(before) != map
        {
            let (a, b) = (before.2, map.map_or(0, |map| map.2));
            reject!(
                self,
                EINVAL,
                "{name} pointer in R1 map_uid={a} doesn't match map pointer in R2 map_uid={b}"
            );
        }
        learned.map = map;
        Ok(())
    }

    /// Checks a pointer argument of a known kind; whether the next argument was checked with it.
    #[allow(clippy::too_many_lines)]
    fn check_pointer_arg(
        &mut self,
        kfunc: &Kfunc<'a>,
        at: usize,
        kind: ArgKind,
        arg: &Arg<'a>,
        learned: &mut Learned,
        insn_idx: usize,
    ) -> Res<bool> {
        let regno = at as u8 + 1;
        let reg = *self.reg(regno);
        match kind {
            ArgKind::Null => {}
            ArgKind::Ctx => {
                if !reg.is(Base::Ctx) {
                    reject!(
                        self,
                        EINVAL,
                        "{} expected pointer to ctx, but got {}",
                        self.arg_name(at, "arg#"),
                        reg.type_name()
                    );
                }
                if kfunc.special == Special::CastToKernCtx {
                    let Some(id) = self.kernel_ctx_type() else { return Err(Reject(EINVAL)) };
                    learned.ctx_type = Some(id);
                }
            }
            ArgKind::AllocObject => {
                let object = reg.base == Base::BtfId;
                if object && reg.flags == Flags::ALLOC {
                    if kfunc.special != Special::ObjDrop {
                        reject!(
                            self,
                            EINVAL,
                            "{} expected for bpf_obj_drop_impl()",
                            self.arg_name(at, "arg#")
                        );
                    }
                } else if object && reg.flags == Flags::ALLOC | Flags::PERCPU {
                    if kfunc.special != Special::PercpuObjDrop {
                        reject!(
                            self,
                            EINVAL,
                            "{} expected for bpf_percpu_obj_drop_impl()",
                            self.arg_name(at, "arg#")
                        );
                    }
                } else {
                    reject!(
                        self,
                        EINVAL,
                        "{} expected pointer to allocated object",
                        self.arg_name(at, "arg#")
                    );
                }
                if reg.ref_obj_id == 0 {
                    reject!(self, EINVAL, "allocated object must be referenced");
                }
                if kfunc.btf == BtfIdx::KERNEL {
                    learned.object = reg.btf();
                }
            }
            ArgKind::Dynptr => self.check_dynptr_arg(kfunc, arg, regno, &reg, learned, insn_idx)?,
            ArgKind::Iter => self.check_iter_arg(kfunc, arg, regno, learned, insn_idx)?,
            ArgKind::ListHead | ArgKind::RbRoot => {
                let allocated = reg.base == Base::BtfId && reg.flags == Flags::ALLOC;
                if !reg.is(Base::MapValue) && !allocated {
                    reject!(
                        self,
                        EINVAL,
                        "{} expected pointer to map value or allocated object",
                        self.arg_name(at, "arg#")
                    );
                }
                if allocated && reg.ref_obj_id == 0 {
                    reject!(self, EINVAL, "allocated object must be referenced");
                }
                self.check_graph_root(kfunc, regno, &reg, kind == ArgKind::ListHead, learned)?;
            }
            ArgKind::ListNode => {
                self.check_owned(at, &reg)?;
                self.check_graph_node(regno, &reg, true, learned)?;
            }
            ArgKind::RbNode => {
                self.check_rbtree_node(kfunc, at, &reg)?;
                self.check_graph_node(regno, &reg, false, learned)?;
            }
            ArgKind::Map | ArgKind::Object => self.check_object_arg(kfunc, at, kind, arg, &reg)?,
            ArgKind::Mem => {
                let size = sized(self.btf(kfunc.btf), arg.pointee_id).map(|sized| sized.size);
                let Some(size) = size else {
                    let (kind, name) = (kind_name(arg.pointee.kind()), arg.pointee.name());
                    reject!(
                        self,
                        EINVAL,
                        "arg#{at} reference type('{kind} {name}') size cannot be determined: -22"
                    );
                };
                self.check_mem_reg(regno, size)?;
            }
            ArgKind::MemSize => {
                self.check_mem_size_arg(kfunc, at, arg, learned)?;
                return Ok(true);
            }
            ArgKind::Callback => {
                let Extra::Subprog(subprog) = reg.extra else {
                    reject!(self, EINVAL, "{} expected pointer to func", self.arg_name(at, "arg"));
                };
                learned.subprog = subprog;
            }
            ArgKind::RefcountedKptr => {
                if !reg.is_alloc_object() {
                    reject!(
                        self,
                        EINVAL,
                        "{} is neither owning or non-owning ref",
                        self.arg_name(at, "arg#")
                    );
                }
                if !reg.is_non_owning() && reg.ref_obj_id != 0 {
                    learned.owning = true;
                }
                let Some(record) = self.reg_record(&reg) else {
                    reject!(self, EFAULT, "verifier internal error: Couldn't find btf_record");
                };
                if record.refcount.is_none() {
                    reject!(
                        self,
                        EINVAL,
                        "{} doesn't point to a type with bpf_refcount field",
                        self.arg_name(at, "arg#")
                    );
                }
                learned.object = reg.btf();
            }
            ArgKind::ConstStr => {
                if !reg.is(Base::MapValue) {
                    reject!(self, EINVAL, "{} doesn't point to a const string", self.arg_name(at, "arg#"));
                }
                self.check_const_str(regno)?;
            }
            ArgKind::Workqueue | ArgKind::TaskWork | ArgKind::Timer => {
                if !reg.is(Base::MapValue) {
                    reject!(self, EINVAL, "{} doesn't point to a map value", self.arg_name(at, "arg#"));
                }
                self.check_async_field(kind, &reg, learned)?;
            }
            ArgKind::IrqFlag => {
                let save = matches!(kfunc.special, Special::LocalIrqSave | Special::ResSpinLockIrqsave);
                let lock =
                    matches!(kfunc.special, Special::ResSpinLockIrqsave | Special::ResSpinUnlockIrqrestore);
                self.process_irq_flag(regno, save, lock)?;
            }
            ArgKind::ResSpinLock => {
                let allocated = reg.base == Base::BtfId && reg.flags == Flags::ALLOC;
                if !reg.is(Base::MapValue) && !allocated {
                    reject!(
                        self,
                        EINVAL,
                        "{} doesn't point to map value or allocated object",
                        self.arg_name(at, "arg#")
                    );
                }
                let lock = matches!(kfunc.special, Special::ResSpinLock | Special::ResSpinLockIrqsave);
                let irq =
                    matches!(kfunc.special, Special::ResSpinLockIrqsave | Special::ResSpinUnlockIrqrestore);
                let kind = if irq { RefKind::ResLockIrq } else { RefKind::ResLock };
                // The path that got the lock is taken after the arguments are checked.
                if !lock {
                    self.process_lock(regno, false, kind)?;
                } else {
                    self.process_lock(regno, true, kind)?;
                }
            }
        }
        Ok(false)
    }

    fn check_async_field(&mut self, kind: ArgKind, reg: &Reg, learned: &mut Learned) -> Res {
        use crate::verifier::objects::FieldKind as F;
        let field = match kind {
            ArgKind::Workqueue => F::Workqueue,
            ArgKind::TaskWork => F::TaskWork,
            _ => F::Timer,
        };
        let off = (reg.var_off.value as i64).wrapping_add(i64::from(reg.off));
        let record = self.reg_record(reg);
        let at =
            record.and_then(|record| record.fields.iter().find(|at| at.kind == field)).map(|at| at.offset);
        if at.map(i64::from) != Some(off) {
            let at = at.map_or(-EINVAL, |at| at as i32);
            reject!(self, EINVAL, "off {off} doesn't point to 'struct {}' that is at {at}", field.name());
        }
        if let Extra::Map { map, inner, uid } = reg.extra {
            learned.map = Some((map, inner, uid));
        }
        Ok(())
    }

    fn check_dynptr_arg(
        &mut self,
        kfunc: &Kfunc<'a>,
        arg: &Arg<'a>,
        regno: u8,
        reg: &Reg,
        learned: &mut Learned,
        insn_idx: usize,
    ) -> Res {
        let mut flags = Flags::empty();
        let mut clone_ref = 0;
        if reg.is(Base::ConstDynptr) {
            flags |= Flags::RDONLY;
        }
        if ends(&arg.param, "__uninit") {
            flags |= Flags::UNINIT;
        }
        match kfunc.special {
            Special::DynptrFromSkb => flags |= Flags::DYNPTR_SKB,
            Special::DynptrFromXdp => flags |= Flags::DYNPTR_XDP,
            Special::DynptrFromSkbMeta => flags |= Flags::DYNPTR_SKB_META,
            Special::DynptrFromFile => flags |= Flags::DYNPTR_FILE,
            Special::DynptrFileDiscard => flags |= Flags::DYNPTR_FILE | Flags::OBJ_RELEASE,
            Special::DynptrClone if flags.contains(Flags::UNINIT) => {
                let Some((_, kind, reference)) =
                    learned.dynptr.filter(|(_, kind, _)| *kind != DynptrKind::Invalid)
                else {
                    reject!(self, EFAULT, "verifier internal error: no dynptr type for parent of clone");
                };
                flags |= kind.flag();
                clone_ref = reference;
                if kind.is_refcounted() && reference == 0 {
                    reject!(self, EFAULT, "verifier internal error: missing ref obj id for parent of clone");
                }
            }
            _ => {}
        }
        self.process_dynptr(regno, insn_idx, flags, clone_ref)?;
        if !flags.contains(Flags::UNINIT) {
            let found =
                (self.dynptr_id_of(regno), self.dynptr_kind_of(regno), self.dynptr_ref_obj_id_of(regno));
            let (Some(id), Some(kind), Some(reference)) = found else {
                reject!(self, EFAULT, "verifier internal error: failed to obtain dynptr id");
            };
            learned.dynptr = Some((id, kind, reference));
            if kfunc.special == Special::DynptrFileDiscard {
                self.unmark_dynptr(reg)?;
            }
        }
        Ok(())
    }

    fn check_iter_arg(
        &mut self,
        kfunc: &Kfunc<'a>,
        arg: &Arg<'a>,
        regno: u8,
        learned: &mut Learned,
        insn_idx: usize,
    ) -> Res {
        if kfunc.special == Special::IterCssTaskNew {
            let attach = self.program.expected_attach_type;
            let fits = match self.resolved_prog_type() {
                ProgType::Lsm => true,
                ProgType::Tracing if attach == Some(AttachType::TraceIter) => true,
                _ => self.in_sleepable(),
            };
            if !fits {
                reject!(
                    self,
                    EINVAL,
                    "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs"
                );
            }
        }
        let flags = kfunc.flags.unwrap_or_default();
        let step = if flags.contains(Flag::NEW) {
            IterStep::New
        } else if flags.contains(Flag::DESTROY) {
            IterStep::Destroy
        } else {
            IterStep::Next
        };
        let iter = IterArg {
            step,
            btf: kfunc.btf,
            id: if arg.pointee.kind() == Kind::Struct { arg.pointee_id } else { 0 },
            func: kfunc.name,
            rcu_protected: flags.contains(Flag::RCU_PROTECTED),
        };
        if let Some((frame, slot, reference)) = self.process_iter(regno, insn_idx, &iter)? {
            learned.iter = Some((frame, slot));
            learned.ref_obj_id = reference;
        }
        Ok(())
    }

    fn check_object_arg(
        &mut self,
        kfunc: &Kfunc<'a>,
        at: usize,
        kind: ArgKind,
        arg: &Arg<'a>,
        reg: &Reg,
    ) -> Res {
        let mut need = (kfunc.btf, arg.pointee_id);
        if kind == ArgKind::Map
            && let Some(id) = self.kernel_struct_id(Base::ConstMap)
        {
            need = (BtfIdx::KERNEL, id);
        }
        let other = self.kernel_struct_id(reg.base);
        if (reg.base != Base::BtfId || reg.has_unsafe_flags() && !reg.is_rcu()) && other.is_none() {
            self.say(format_args!("{} is {} ", self.arg_name(at, "arg#"), reg.type_name()));
            reject!(self, EINVAL, "expected {} or socket", type_name(reg.base, reg.flags & TRUSTED));
        }
        let have = match (reg.base, reg.btf(), other) {
            (Base::BtfId, Some(have), _) => have,
            (_, _, Some(id)) => (BtfIdx::KERNEL, id),
            _ => return Err(Reject(EINVAL)),
        };
        let flags = kfunc.flags.unwrap_or_default();
        let strict =
            flags.contains(Flag::RELEASE) && reg.ref_obj_id != 0 || self.is_no_cast_alias(have, need);
        let have_type = self.btf(have.0).resolve(TypeId(have.1));
        let (have_id, have_type) = have_type.ok_or(Reject(EINVAL))?;
        let have = (have.0, have_id.0);
        let same = self.struct_ids_match(have, reg.off, need, strict, !reg.flags.contains(Flags::ALLOC));
        let Some(need_type) = self.btf(need.0).type_by_id(TypeId(need.1)) else { return Err(Reject(EINVAL)) };
        if !same && !is_projection(need_type.name(), have_type.name()) {
            let func = kfunc.name;
            let (need_kind, have_kind) = (kind_name(need_type.kind()), kind_name(have_type.kind()));
            let (need_name, have_name) = (need_type.name(), have_type.name());
            reject!(
                self,
                EINVAL,
                "kernel function {func} {} expected pointer to {need_kind} {need_name} but R{} has a pointer to {have_kind} {have_name}",
                self.arg_name(at, "args#"),
                at + 1
            );
        }
        Ok(())
    }

    fn check_mem_size_arg(
        &mut self,
        kfunc: &Kfunc<'a>,
        at: usize,
        arg: &Arg<'a>,
        learned: &mut Learned,
    ) -> Res {
        let regno = at as u8 + 1;
        let reg = *self.reg(regno);
        let nullable = ends(&arg.param, "__opt") || self.since(7, 0) && ends(&arg.param, "__nullable");
        if !reg.is_null() || !nullable {
            let checked = self.check_kfunc_mem_size_reg(regno + 1);
            if let Err(refusal) = checked {
                self.say(format_args!(
                    "{}{}{} memory, len pair leads to invalid memory access\n",
                    self.arg_name(at, "arg#"),
                    if self.since(7, 1) { " and " } else { " " },
                    self.arg_name(at + 1, "arg#")
                ));
                return Err(refusal);
            }
        }
        if self.is_mem_size(kfunc, at + 1, "__szk") {
            if learned.constant.is_some() {
                reject!(self, EFAULT, "verifier internal error: only one constant argument permitted");
            }
            let size = *self.reg(regno + 1);
            if size.var_off.mask != 0 {
                reject!(self, EINVAL, "R{} must be a known constant", regno + 1);
            }
            learned.constant = Some(size.var_off.value);
        }
        Ok(())
    }
}
