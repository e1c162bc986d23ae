//! Contexts that are arguments of a kernel function, tracepoint, hook or operation: their kinds come from its prototype.

use super::CtxValue;
use super::iter;
use super::null_args::{self, Odd};
use crate::verifier::env::Env;
use crate::verifier::objects::{kind_name, shown_name};
use crate::verifier::reg::{Base, BtfIdx, Flags};
use bpf_sys::prog::{AttachType, ProgType};
use btf::{Btf, Kind, Type, TypeId};

/// Arguments that a program can have where nothing is known of its target.
const UNTYPED_ARGS: u32 = 5;
/// Bytes of the longest argument list.
const MAX_BYTES: i32 = 96;
/// Hooks whose arguments are just being made or freed.
const UNTRUSTED_HOOKS: &[&str] = &[
    "bpf_lsm_bpf_map_free",
    "bpf_lsm_bpf_map_free_security",
    "bpf_lsm_bpf_prog_free",
    "bpf_lsm_bpf_prog_free_security",
    "bpf_lsm_file_alloc_security",
    "bpf_lsm_file_free_security",
    "bpf_lsm_sk_alloc_security",
    "bpf_lsm_sk_free_security",
    "bpf_lsm_task_free",
];

/// Bytes of an argument, rounded up to a word.
fn slot_size(btf: &Btf<'_>, id: TypeId) -> u32 {
    match btf.resolve(id) {
        Some((_, ty)) if ty.kind() == Kind::Ptr => 8,
        Some((_, ty)) => ty.size().unwrap_or(0).next_multiple_of(8),
        None => 0,
    }
}

/// Which argument lies at a byte; their number for the return value, more for none.
fn argument_at(btf: &Btf<'_>, proto: Option<Type<'_>>, off: u32) -> u32 {
    let Some(proto) = proto else { return off / 8 };
    let mut end = 0;
    let mut args = 0;
    for param in proto.params() {
        end += slot_size(btf, param.type_id);
        if off < end {
            return args;
        }
        args += 1;
    }
    end += proto.type_id().map_or(0, |id| slot_size(btf, id));
    if off < end { args } else { args + 1 }
}

fn is_small_int(ty: &Type<'_>) -> bool {
    ty.kind() == Kind::Int
        && ty.size().is_some_and(|size| matches!(size, 1 | 2 | 4 | 8))
        && ty.int().is_some_and(|int| int.offset == 0 && u32::from(int.bits) == ty.size().unwrap_or(0) * 8)
}

impl Env<'_> {
    /// Whether what the target hands over is alive and stays so.
    fn args_trusted(&self) -> bool {
        if !self.since(6, 2) {
            return false;
        }
        match self.prog_type() {
            ProgType::Tracing => matches!(
                self.program.expected_attach_type,
                Some(AttachType::TraceRawTp | AttachType::TraceIter)
            ),
            ProgType::Lsm => !UNTRUSTED_HOOKS.contains(&self.attach.name.as_str()),
            ProgType::StructOps => true,
            _ => false,
        }
    }

    /// What a read of the arguments gives; `None`, with the reason in the log, where it is refused.
    pub(super) fn typed_ctx(&mut self, off: i32, size: u32, write: bool) -> Option<CtxValue> {
        // LSM programs have no bound but that of their arguments, and may write to them.
        let bounded = self.prog_type() != ProgType::Lsm;
        let at = u32::try_from(off).ok()?;
        if bounded && (write || off >= MAX_BYTES || !at.is_multiple_of(size)) {
            return None;
        }
        if let Some(value) = self.scheduler_task(at) {
            return Some(value);
        }
        let mut value = self.argument(at, size)?;
        if self.prog_type() == ProgType::StructOps {
            self.promote_socket(&mut value);
        }
        Some(value)
    }

    fn argument(&mut self, off: u32, size: u32) -> Option<CtxValue> {
        let attach = self.attach.clone();
        let (btf, name) = (self.btf(attach.btf), attach.name.as_str());
        if !off.is_multiple_of(8) {
            self.say(format_args!("func '{name}' offset {off} is not multiple of 8\n"));
            return None;
        }
        let proto = attach.proto.and_then(|id| btf.type_by_id(TypeId(id)));
        let arg = argument_at(btf, proto, off);
        let skipped = u32::from(attach.is_tracepoint);
        let count = proto.map_or(UNTYPED_ARGS, |proto| proto.len() as u32).saturating_sub(skipped);
        if arg > count {
            self.say(format_args!("func '{name}' doesn't have {}-th argument\n", arg + 1));
            return None;
        }
        let attach_type = self.program.expected_attach_type;
        let mut is_retval = false;
        let param = proto.and_then(|proto| proto.params().nth((arg + skipped) as usize));
        let type_id = if arg == count {
            match attach_type {
                Some(AttachType::LsmMac | AttachType::LsmCgroup | AttachType::TraceFexit) => {
                    is_retval = attach_type == Some(AttachType::LsmMac);
                    let Some(proto) = proto else { return Some(CtxValue { is_retval, ..CtxValue::NUMBER }) };
                    proto.type_id().unwrap_or(TypeId(0))
                }
                Some(AttachType::ModifyReturn) => {
                    let id = proto?.type_id().unwrap_or(TypeId(0));
                    let (_, ty) = btf.resolve(id)?;
                    if !is_small_int(&ty) {
                        let kind = kind_name(ty.kind());
                        self.say(format_args!("ret type {kind} not allowed for fmod_ret\n"));
                        return None;
                    }
                    id
                }
                _ => {
                    self.say(format_args!("func '{name}' doesn't have {}-th argument\n", arg + 1));
                    return None;
                }
            }
        } else if proto.is_none() {
            return Some(CtxValue::NUMBER);
        } else {
            param?.type_id
        };
        let (_, ty) = btf.resolve(type_id)?;
        let by_value = ty.kind() == Kind::Struct || ty.kind() == Kind::Union && self.since(6, 18);
        if is_small_int(&ty) || matches!(ty.kind(), Kind::Enum | Kind::Enum64) || by_value {
            return Some(CtxValue { is_retval, ..CtxValue::NUMBER });
        }
        if ty.kind() != Kind::Ptr {
            self.say(format_args!(
                "func '{name}' arg{arg} '{}' has type {}. Only pointer access is allowed\n",
                shown_name(&ty),
                kind_name(ty.kind())
            ));
            return None;
        }
        if size != 8 {
            self.say(format_args!("func '{name}' size {size} must be 8\n"));
            return None;
        }
        let listed = self.listed_argument(off);
        if let Some(value) = listed
            && value.base == Base::Buf
        {
            return Some(value);
        }
        let target = ty.type_id().unwrap_or(TypeId(0));
        let (pointee, ty) = btf.resolve(target)?;
        let is_void = target.0 == 0 || pointee.0 == 0 && self.since(6, 16);
        if is_void || ty.kind() == Kind::Int {
            return Some(CtxValue::NUMBER);
        }
        if listed.is_some() {
            return listed;
        }
        let param_name = param.map_or("", |param| param.name);
        self.object_argument(arg, target, param_name)
    }

    /// A pointer to an object of the kernel.
    fn object_argument(&mut self, arg: u32, target: TypeId, param: &str) -> Option<CtxValue> {
        let attach = self.attach.clone();
        let (btf, name) = (self.btf(attach.btf), attach.name.as_str());
        let mut flags = Flags::empty();
        if self.args_trusted() {
            flags |= Flags::TRUSTED;
        }
        if self.since(6, 12) && param.ends_with("__nullable") {
            flags |= Flags::MAYBE_NULL;
        }
        let mut is_error = false;
        if self.program.expected_attach_type == Some(AttachType::TraceRawTp) && self.since(6, 12) {
            match null_args::odd(self.kernel.version, name, arg) {
                Some(Odd::Null) => flags |= Flags::MAYBE_NULL,
                Some(Odd::Error) => is_error = true,
                None if attach.btf != BtfIdx::KERNEL && !null_args::is_known(self.kernel.version, name) => {
                    flags |= Flags::MAYBE_NULL;
                }
                None => {}
            }
        }
        let tagged = btf.type_by_id(target)?;
        if tagged.kind() == Kind::TypeTag && self.since(5, 18) {
            match tagged.name() {
                "user" => flags |= Flags::USER,
                "percpu" => flags |= Flags::PERCPU,
                _ => {}
            }
        }
        let (id, ty) = btf.resolve(target)?;
        if !ty.kind().is_composite() {
            let kind = kind_name(ty.kind());
            self.say(format_args!("func '{name}' arg{arg} type {kind} is not a struct\n"));
            return None;
        }
        self.say(format_args!(
            "func '{name}' arg{arg} has btf_id {} type {} '{}'\n",
            id.0,
            kind_name(ty.kind()),
            shown_name(&ty)
        ));
        if is_error {
            self.say(format_args!("marking pointer arg{arg} as scalar as it may encode error"));
            return Some(CtxValue::NUMBER);
        }
        Some(CtxValue { base: Base::BtfId, flags, btf: Some((attach.btf, id.0)), is_retval: false })
    }

    /// An argument that a list says more of than its type: those of iterators, and those that operations mark as NULL at
    /// times.
    fn listed_argument(&self, off: u32) -> Option<CtxValue> {
        if self.program.expected_attach_type == Some(AttachType::TraceIter)
            && self.prog_type() == ProgType::Tracing
        {
            let target = self.attach.name.strip_prefix("bpf_iter_")?;
            let arg = iter::ARGS.iter().find(|arg| arg.target == target && arg.off == off)?;
            let object = match arg.object {
                "" => None,
                object => Some((BtfIdx::KERNEL, self.btf(BtfIdx::KERNEL).find(object, Kind::Struct)?.0)),
            };
            let mut flags = arg.flags;
            if !self.since(6, 2) {
                flags.remove(Flags::TRUSTED);
            }
            return Some(CtxValue { base: arg.base, flags, btf: object, is_retval: false });
        }
        if self.prog_type() == ProgType::StructOps && self.since(6, 9) {
            return self.stub_argument(off);
        }
        None
    }

    /// Arguments of operations whose stub function names them `..__nullable`.
    fn stub_argument(&self, off: u32) -> Option<CtxValue> {
        let btf = self.btf(self.attach.btf);
        let operations = btf.type_by_id(TypeId(self.attach.id?))?;
        let stub = format!("{}__{}", operations.name(), self.attach.name);
        let stub = btf.type_by_id(btf.find(&stub, Kind::Func)?)?;
        let stub = btf.type_by_id(stub.type_id()?)?;
        let proto = btf.type_by_id(TypeId(self.attach.proto?))?;
        if !off.is_multiple_of(8) || stub.len() != proto.len() {
            return None;
        }
        let arg = argument_at(btf, Some(proto), off) as usize;
        if !stub.params().nth(arg)?.name.ends_with("__nullable") {
            return None;
        }
        let (_, pointer) = btf.resolve(proto.params().nth(arg)?.type_id)?;
        let (id, ty) = btf.resolve(pointer.type_id()?)?;
        ty.kind().is_composite().then_some(CtxValue {
            base: Base::BtfId,
            flags: Flags::TRUSTED | Flags::MAYBE_NULL,
            btf: Some((self.attach.btf, id.0)),
            is_retval: false,
        })
    }

    fn is_operation_of(&self, name: &str) -> bool {
        self.prog_type() == ProgType::StructOps
            && self
                .attach
                .id
                .and_then(|id| self.btf(self.attach.btf).type_by_id(TypeId(id)))
                .is_some_and(|ty| ty.name() == name)
    }

    /// Tasks that a scheduler gets and that may be missing.
    fn scheduler_task(&self, off: u32) -> Option<CtxValue> {
        if off != 8
            || !self.is_operation_of("sched_ext_ops")
            || !matches!(self.attach.name.as_str(), "dispatch" | "yield")
        {
            return None;
        }
        let task = self.btf(BtfIdx::KERNEL).find("task_struct", Kind::Struct)?;
        Some(CtxValue {
            base: Base::BtfId,
            flags: Flags::TRUSTED | Flags::MAYBE_NULL,
            btf: Some((BtfIdx::KERNEL, task.0)),
            is_retval: false,
        })
    }

    /// Congestion control gets TCP sockets, though the prototype says sockets.
    fn promote_socket(&self, value: &mut CtxValue) {
        let unsafe_flags = value.flags - (Flags::ALLOC | Flags::TRUSTED | Flags::NON_OWN_REF);
        if value.base != Base::BtfId
            || !unsafe_flags.is_empty()
            || !self.is_operation_of("tcp_congestion_ops")
        {
            return;
        }
        let kernel = self.btf(BtfIdx::KERNEL);
        let (Some(sock), Some(tcp)) =
            (kernel.find("sock", Kind::Struct), kernel.find("tcp_sock", Kind::Struct))
        else {
            return;
        };
        if value.btf == Some((BtfIdx::KERNEL, sock.0)) {
            value.btf = Some((BtfIdx::KERNEL, tcp.0));
        }
    }
}
