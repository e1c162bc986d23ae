//! What a pointer argument of a kernel function must be, by its type and name.

use super::flags::{Flag, Kfunc};
use super::special::Special;
use crate::verifier::env::{EINVAL, Env, Res, reject};
use crate::verifier::objects::kind_name;
use crate::verifier::reg::{Base, BtfIdx};
use btf::{Kind, Param, Type, TypeId};

/// Kinds of pointer arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ArgKind {
    Ctx,
    AllocObject,
    RefcountedKptr,
    Dynptr,
    Iter,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    Object,
    Mem,
    /// Its size is the next argument.
    MemSize,
    Callback,
    Null,
    ConstStr,
    Map,
    Workqueue,
    TaskWork,
    Timer,
    IrqFlag,
    ResSpinLock,
}

/// An argument with what its type comes to.
#[derive(Clone, Copy)]
pub(super) struct Arg<'a> {
    pub param: Param<'a>,
    /// Its type without modifiers.
    pub ty: Type<'a>,
    pub id: u32,
    /// What it points to, without modifiers.
    pub pointee: Type<'a>,
    pub pointee_id: u32,
}

/// Numbers: integers and enumerations.
pub(super) fn is_scalar(ty: &Type<'_>) -> bool {
    matches!(ty.kind(), Kind::Int | Kind::Enum | Kind::Enum64)
}

/// Whether a parameter's name ends so (and is more than that).
pub(super) fn ends(param: &Param<'_>, suffix: &str) -> bool {
    param.name.len() > suffix.len() && param.name.ends_with(suffix)
}

impl<'a> Env<'a> {
    /// The argument's types, `None` where the kernel's types are damaged.
    pub(super) fn kfunc_arg(&self, kfunc: &Kfunc<'a>, index: usize) -> Option<Arg<'a>> {
        let types = self.btf(kfunc.btf);
        let param = *kfunc.params.get(index)?;
        let (id, ty) = types.resolve(param.type_id)?;
        let (pointee_id, pointee) = match ty.kind() {
            Kind::Ptr => types.resolve(ty.type_id()?)?,
            _ => (id, ty),
        };
        Some(Arg { param, ty, id: id.0, pointee, pointee_id: pointee_id.0 })
    }

    fn points_to(&self, kfunc: &Kfunc<'a>, arg: &Arg<'a>, name: &str) -> bool {
        if arg.ty.kind() != Kind::Ptr || arg.pointee.kind() != Kind::Struct || arg.pointee.name() != name {
            return false;
        }
        let wanted = self.btf(BtfIdx::KERNEL).find(name, Kind::Struct);
        wanted.is_some_and(|id| self.same_type((kfunc.btf, arg.pointee_id), (BtfIdx::KERNEL, id.0)))
    }

    /// A struct of numbers (and arrays of them), four structs deep.
    pub(super) fn is_scalar_struct(&mut self, btf: BtfIdx, ty: &Type<'a>, depth: u32) -> bool {
        if !ty.kind().is_composite() {
            return false;
        }
        let types = self.btf(btf);
        for member in ty.members() {
            let Some((_, of)) = types.resolve(member.type_id) else { return false };
            if of.kind().is_composite() {
                if depth >= 3 {
                    self.say(format_args!("max struct nesting depth exceeded\n"));
                    return false;
                }
                if !self.is_scalar_struct(btf, &of, depth + 1) {
                    return false;
                }
                continue;
            }
            let element = match of.array() {
                Some(array) if array.len == 0 => return false,
                Some(array) => types.resolve(array.element).map(|(_, ty)| ty),
                None => Some(of),
            };
            if !element.is_some_and(|ty| is_scalar(&ty)) {
                return false;
            }
        }
        true
    }

    /// Whether the argument is the size of the memory before it, by this suffix.
    pub(super) fn is_mem_size(&self, kfunc: &Kfunc<'a>, index: usize, suffix: &str) -> bool {
        let Some(arg) = self.kfunc_arg(kfunc, index) else { return false };
        is_scalar(&arg.ty)
            && index < 5
            && self.reg(index as u8 + 1).is(Base::Scalar)
            && ends(&arg.param, suffix)
    }

    fn is_callback(&self, kfunc: &Kfunc<'a>, arg: &Arg<'a>) -> bool {
        let types = self.btf(kfunc.btf);
        let to = arg.ty.type_id().filter(|_| arg.ty.kind() == Kind::Ptr);
        to.and_then(|id: TypeId| types.resolve(id)).is_some_and(|(_, ty)| ty.kind() == Kind::FuncProto)
    }

    /// What a pointer argument must be.
    pub(super) fn classify_arg(&mut self, kfunc: &Kfunc<'a>, index: usize, arg: &Arg<'a>) -> Res<ArgKind> {
        let regno = index as u8 + 1;
        let reg = *self.reg(regno);
        let flags = kfunc.flags.unwrap_or_default();
        let session =
            self.since(7, 1) && matches!(kfunc.name, "bpf_session_cookie" | "bpf_session_is_return");
        if session
            || kfunc.special == Special::CastToKernCtx
            || self.is_ctx_type(kfunc.btf, arg.id, index as u32)
        {
            return Ok(ArgKind::Ctx);
        }
        let param = &arg.param;
        let sized = self.since(7, 0)
            && (self.is_mem_size(kfunc, index + 1, "__sz") || self.is_mem_size(kfunc, index + 1, "__szk"));
        if ends(param, "__nullable") && reg.is_null() && !sized {
            return Ok(ArgKind::Null);
        }
        if ends(param, "__alloc") {
            return Ok(ArgKind::AllocObject);
        }
        if ends(param, "__refcounted_kptr") {
            return Ok(ArgKind::RefcountedKptr);
        }
        if self.points_to(kfunc, arg, "bpf_dynptr") {
            return Ok(ArgKind::Dynptr);
        }
        let is_iter = flags.intersects(Flag::NEW | Flag::NEXT | Flag::DESTROY);
        if is_iter && index == 0 || !is_iter && ends(param, "__iter") {
            return Ok(ArgKind::Iter);
        }
        const STRUCTS: [(&str, ArgKind); 4] = [
            ("bpf_list_head", ArgKind::ListHead),
            ("bpf_list_node", ArgKind::ListNode),
            ("bpf_rb_root", ArgKind::RbRoot),
            ("bpf_rb_node", ArgKind::RbNode),
        ];
        for (name, kind) in STRUCTS {
            if self.points_to(kfunc, arg, name) {
                return Ok(kind);
            }
        }
        if ends(param, "__str") || self.since(6, 16) && ends(param, "__const_str") {
            return Ok(ArgKind::ConstStr);
        }
        if ends(param, "__map") {
            return Ok(ArgKind::Map);
        }
        if self.points_to(kfunc, arg, "bpf_wq") {
            return Ok(ArgKind::Workqueue);
        }
        if self.since(6, 18) && self.points_to(kfunc, arg, "bpf_task_work") {
            return Ok(ArgKind::TaskWork);
        }
        if self.since(7, 0) && self.points_to(kfunc, arg, "bpf_timer") {
            return Ok(ArgKind::Timer);
        }
        if ends(param, "__irq_flag") {
            return Ok(ArgKind::IrqFlag);
        }
        if self.since(6, 15) && self.points_to(kfunc, arg, "bpf_res_spin_lock") {
            return Ok(ArgKind::ResSpinLock);
        }
        let (kind, name) = (kind_name(arg.pointee.kind()), arg.pointee.name());
        if reg.base == Base::BtfId || self.kernel_struct_id(reg.base).is_some() {
            if !arg.pointee.kind().is_composite() {
                let func = kfunc.name;
                reject!(
                    self,
                    EINVAL,
                    "kernel function {func} {} pointer type {kind} {name} is not supported",
                    self.arg_name(index, "args#")
                );
            }
            return Ok(ArgKind::Object);
        }
        if self.is_callback(kfunc, arg) {
            return Ok(ArgKind::Callback);
        }
        let sized = index + 1 < kfunc.params.len()
            && (self.is_mem_size(kfunc, index + 1, "__sz") || self.is_mem_size(kfunc, index + 1, "__szk"));
        let is_void = arg.pointee_id == 0;
        let plain = is_scalar(&arg.pointee) || self.is_scalar_struct(kfunc.btf, &arg.pointee, 0);
        if !plain && (!sized || !is_void) {
            let void = if sized { "void, " } else { "" };
            reject!(
                self,
                EINVAL,
                "{} pointer type {kind} {name} must point to {void}scalar, or struct with scalar",
                self.arg_name(index, "arg#")
            );
        }
        Ok(if sized { ArgKind::MemSize } else { ArgKind::Mem })
    }
}
