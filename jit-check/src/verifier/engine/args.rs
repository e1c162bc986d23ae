//! What a function's arguments must be, by its types and tags.

use super::super::env::{
    ArgInfo, ArgKind, EACCES, EFAULT, EINVAL, ENOENT, EOPNOTSUPP, Env, Reject, Res, reject,
};
use super::super::reg::{Base, BtfIdx, Flags};
use bpf_sys::prog::{AttachType, ProgType};
use btf::raw::kind_name;
use btf::{Btf, Kind, Type, TypeId};

/// Arguments that fit into registers.
const MAX_ARGS: usize = 5;
const ESRCH: i32 = 3;

/// What tags say of one argument.
#[derive(Clone, Copy, Default, PartialEq)]
struct Tags {
    ctx: bool,
    trusted: bool,
    nonnull: bool,
    nullable: bool,
    arena: bool,
    untrusted: bool,
}

const NO_TAGS: Tags =
    Tags { ctx: false, trusted: false, nonnull: false, nullable: false, arena: false, untrusted: false };

/// Name of the type that a program's context has for the program; `None` where it has no name of its own.
fn context_type(ty: ProgType) -> Option<&'static str> {
    Some(match ty {
        ProgType::SocketFilter
        | ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::CgroupSkb
        | ProgType::LwtIn
        | ProgType::LwtOut
        | ProgType::LwtXmit
        | ProgType::LwtSeg6local
        | ProgType::SkSkb
        | ProgType::FlowDissector => "__sk_buff",
        ProgType::Xdp => "xdp_md",
        ProgType::CgroupSock => "bpf_sock",
        ProgType::CgroupSockAddr => "bpf_sock_addr",
        ProgType::SockOps => "bpf_sock_ops",
        ProgType::SkMsg => "sk_msg_md",
        ProgType::Kprobe => "pt_regs",
        ProgType::PerfEvent => "bpf_perf_event_data",
        ProgType::RawTracepoint | ProgType::RawTracepointWritable => "bpf_raw_tracepoint_args",
        ProgType::CgroupDevice => "bpf_cgroup_dev_ctx",
        ProgType::CgroupSysctl => "bpf_sysctl",
        ProgType::CgroupSockopt => "bpf_sockopt",
        ProgType::SkReuseport => "sk_reuseport_md",
        ProgType::SkLookup => "bpf_sk_lookup",
        ProgType::Netfilter => "bpf_nf_ctx",
        _ => return None,
    })
}

fn is_scalar(ty: &Type<'_>) -> bool {
    matches!(ty.kind(), Kind::Int | Kind::Enum | Kind::Enum64)
}

fn is_u64(ty: &Type<'_>) -> bool {
    ty.kind() == Kind::Int && ty.size() == Some(8)
}

/// The typedef in front of a pointer's target, with qualifiers left out.
fn first_typedef<'d>(own: &Btf<'d>, mut id: TypeId) -> Option<&'d str> {
    for _ in 0..32 {
        let ty = own.type_by_id(id)?;
        match ty.kind() {
            Kind::Typedef => return Some(ty.name()),
            kind if kind.is_wrapper() => id = ty.type_id()?,
            _ => return None,
        }
    }
    None
}

fn is_dynptr(own: &Btf<'_>, pointee: TypeId) -> bool {
    own.resolve(pointee).is_some_and(|(_, ty)| {
        let is_struct = ty.kind().is_composite() || (ty.kind() == Kind::Fwd && !ty.is_union_fwd());
        is_struct && ty.name() == "bpf_dynptr"
    })
}

impl<'a> Env<'a> {
    /// Works out what the arguments of a function must be (once).
    pub(super) fn prepare_func_args(&mut self, subprog: u32) -> Res {
        let sub = &self.subprogs[subprog as usize];
        if sub.args_cached {
            return Ok(());
        }
        let (is_global, name, unreliable) = (sub.is_global, sub.name.clone(), sub.unreliable);
        let func = sub.type_id.unwrap_or(0);
        if !self.has_func_info() {
            reject!(self, EFAULT, "Verifier bug");
        }
        if unreliable {
            reject!(self, EFAULT, "Verifier bug in function {name}()");
        }
        let own = self.btfs[1];
        let proto = own.type_by_id(TypeId(func)).and_then(|func| own.type_by_id(func.type_id()?));
        let Some(proto) = proto.filter(|ty| ty.kind() == Kind::FuncProto) else {
            reject!(self, EFAULT, "Invalid type of function {name}()");
        };
        let params: Vec<_> = proto.params().collect();
        let returned = proto.type_id().and_then(|id| own.resolve(id)).map(|(_, ty)| ty);
        // Of static functions types are a help only, and nobody hears of types that are none.
        let returns_void = self.since(7, 1) && proto.type_id().is_none_or(|id| id.0 == 0);
        let returns_scalar = returns_void || returned.is_some_and(|ty| is_scalar(&ty));
        if !is_global && (params.len() > MAX_ARGS || !returns_scalar) {
            return Err(Reject(EINVAL));
        }
        if params.len() > MAX_ARGS {
            let count = params.len();
            reject!(self, EINVAL, "Global function {name}() with {count} > {MAX_ARGS} args. Buggy compiler.");
        }
        if !returns_scalar && self.since(7, 1) {
            reject!(
                self,
                EOPNOTSUPP,
                "Global function {name}() return value not void or scalar. Only those are supported."
            );
        }
        if !returns_scalar {
            reject!(
                self,
                EINVAL,
                "Global function {name}() doesn't return scalar. Only those are supported."
            );
        }
        self.subprogs[subprog as usize].returns_void = returns_void;
        let mut args = Vec::with_capacity(params.len());
        for (at, param) in params.iter().enumerate() {
            let tags = self.arg_tags(func, at, is_global)?;
            args.push(self.prepare_arg(at, param.type_id, tags, is_global, &name)?);
        }
        let sub = &mut self.subprogs[subprog as usize];
        (sub.args, sub.args_cached) = (args, true);
        Ok(())
    }

    fn arg_tags(&mut self, func: u32, at: usize, is_global: bool) -> Res<Tags> {
        let mut tags = NO_TAGS;
        if !self.since(6, 8) {
            return Ok(tags);
        }
        let own = self.btfs[1];
        for (component, tag) in own.decl_tags(TypeId(func)) {
            let Some(tag) = tag.strip_prefix("arg:").filter(|_| component == at as i32) else { continue };
            if !is_global {
                reject!(self, EOPNOTSUPP, "arg#{at} type tag is not supported in static functions");
            }
            match tag {
                "ctx" => tags.ctx = true,
                "trusted" => tags.trusted = true,
                "untrusted" if self.since(6, 17) => tags.untrusted = true,
                "nonnull" => tags.nonnull = true,
                "nullable" => tags.nullable = true,
                "arena" => tags.arena = true,
                _ => reject!(self, EOPNOTSUPP, "arg#{at} has unsupported set of tags"),
            }
        }
        Ok(tags)
    }

    fn prepare_arg(
        &mut self,
        at: usize,
        id: TypeId,
        tags: Tags,
        is_global: bool,
        name: &str,
    ) -> Res<ArgInfo> {
        let own = self.btfs[1];
        let plain = |kind| ArgInfo { kind, mem_size: 0, btf: None, may_be_null: false };
        let Some((_, ty)) = own.resolve(id) else { return Err(Reject(EFAULT)) };
        if let Some(pointee) = ty.type_id().filter(|_| ty.kind() == Kind::Ptr) {
            if tags.ctx || self.is_ctx_pointer(pointee) {
                if tags != (Tags { ctx: tags.ctx, ..NO_TAGS }) {
                    reject!(self, EINVAL, "arg#{at} has invalid combination of tags");
                }
                if tags.ctx {
                    self.check_ctx_arg(at, pointee)?;
                }
                return Ok(plain(ArgKind::Ctx));
            }
            if self.since(6, 8) && is_dynptr(own, pointee) {
                if tags != NO_TAGS {
                    reject!(self, EINVAL, "arg#{at} has invalid combination of tags");
                }
                return Ok(plain(ArgKind::Dynptr));
            }
            if tags.trusted {
                if tags.nonnull {
                    reject!(self, EINVAL, "arg#{at} has invalid combination of tags");
                }
                let btf = Some((BtfIdx::KERNEL, self.kernel_type_of(at, pointee)?));
                return Ok(ArgInfo { btf, may_be_null: tags.nullable, ..plain(ArgKind::Btf) });
            }
            if tags.untrusted {
                if tags != (Tags { untrusted: true, ..NO_TAGS }) {
                    reject!(self, EINVAL, "arg#{at} untrusted cannot be combined with any other tags");
                }
                return self.prepare_untrusted(at, pointee);
            }
            if tags.arena {
                if tags != (Tags { arena: true, ..NO_TAGS }) {
                    reject!(self, EINVAL, "arg#{at} arena cannot be combined with any other tags");
                }
                return Ok(plain(ArgKind::Arena));
            }
            if is_global {
                if tags.nullable {
                    reject!(self, EINVAL, "arg#{at} has invalid combination of tags");
                }
                let Some(size) = own.size_of(pointee).and_then(|size| u32::try_from(size).ok()) else {
                    let target = own.resolve(pointee).map(|(_, ty)| ty);
                    let (kind, name) = target.map_or(("UNKNOWN", ""), |ty| (kind_name(ty.kind()), ty.name()));
                    reject!(
                        self,
                        EINVAL,
                        "arg#{at} reference type('{kind} {name}') size cannot be determined: -22"
                    );
                };
                return Ok(ArgInfo { mem_size: size, may_be_null: !tags.nonnull, ..plain(ArgKind::Mem) });
            }
        }
        if tags != NO_TAGS {
            reject!(self, EINVAL, "arg#{at} has pointer tag, but is not a pointer type");
        }
        if is_scalar(&ty) {
            return Ok(plain(ArgKind::Anything));
        }
        if !is_global {
            return Err(Reject(EINVAL));
        }
        reject!(self, EINVAL, "Arg#{at} type {} in {name}() is not supported yet.", kind_name(ty.kind()));
    }

    fn prepare_untrusted(&mut self, at: usize, pointee: TypeId) -> Res<ArgInfo> {
        let untrusted = |kind, btf| ArgInfo { kind, mem_size: 0, btf, may_be_null: false };
        let target = self.btfs[1].resolve(pointee).map(|(_, ty)| ty);
        if target.is_none_or(|ty| is_scalar(&ty) || matches!(ty.kind(), Kind::Void | Kind::Float)) {
            return Ok(untrusted(ArgKind::UntrustedMem, None));
        }
        let id = self.kernel_type_of(at, pointee)?;
        let found = self.btf(BtfIdx::KERNEL).type_by_id(TypeId(id));
        if let Some(found) = found.filter(|ty| !ty.kind().is_composite()) {
            let (kind, name) = (kind_name(found.kind()), found.name());
            reject!(
                self,
                EINVAL,
                "arg#{at} has type {kind} '{name}', but only struct or primitive types are allowed"
            );
        }
        Ok(untrusted(ArgKind::UntrustedBtf, Some((BtfIdx::KERNEL, id))))
    }

    /// The kernel's type of this name, of which there must be one.
    fn kernel_type_of(&mut self, at: usize, pointee: TypeId) -> Res<u32> {
        let Some((_, ty)) = self.btfs[1].resolve(pointee) else { return Err(Reject(EINVAL)) };
        let (mut found, mut count) = (0, 0);
        self.btf(BtfIdx::KERNEL).find_where(btf::essential_name(ty.name()), |id, other| {
            if other.kind() == ty.kind() {
                (found, count) = (id.0, count + 1);
            }
            false
        });
        if count == 1 {
            return Ok(found);
        }
        let (kind, name) = (kind_name(ty.kind()), ty.name());
        let (what, errno) = if count == 0 { ("has no matches", ENOENT) } else { ("is ambiguous", ESRCH) };
        reject!(self, errno, "arg#{at} reference type('{kind} {name}') {what}");
    }

    /// Whether the pointer's target has the name of the program's context.
    fn is_ctx_pointer(&self, pointee: TypeId) -> bool {
        let own = self.btfs[1];
        let ty = self.prog_type();
        if ty == ProgType::Kprobe && first_typedef(own, pointee) == Some("bpf_user_pt_regs_t") {
            return true;
        }
        let target = own.resolve(pointee).filter(|(_, ty)| ty.kind().is_composite());
        let Some((_, target)) = target else { return false };
        context_type(ty).is_some_and(|wanted| match (wanted, target.name()) {
            ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff") | ("pt_regs", "bpf_user_pt_regs_t") => true,
            (wanted, name) => name == wanted,
        })
    }

    /// Whether the target of a parameter that is tagged as the context can be one.
    fn check_ctx_arg(&mut self, at: usize, pointee: TypeId) -> Res {
        use AttachType as At;
        let own = self.btfs[1];
        let ty = self.prog_type();
        let with_typedef = matches!(ty, ProgType::Kprobe | ProgType::PerfEvent);
        if with_typedef && first_typedef(own, pointee) == Some("bpf_user_pt_regs_t") {
            return Ok(());
        }
        let Some((_, target)) = own.resolve(pointee) else { return Err(Reject(EINVAL)) };
        if target.kind() == Kind::Void {
            return Ok(());
        }
        let (name, is_struct) = (target.name(), target.kind().is_composite());
        if name.is_empty() {
            reject!(self, EINVAL, "arg#{at} type doesn't have a name");
        }
        let fits = match ty {
            ProgType::Kprobe | ProgType::PerfEvent => is_struct && name == "pt_regs",
            ProgType::RawTracepoint | ProgType::RawTracepointWritable => is_u64(&target),
            ProgType::Tracing => match self.program.expected_attach_type {
                Some(At::TraceRawTp) => (is_struct && name == "bpf_raw_tracepoint_args") || is_u64(&target),
                Some(At::TraceIter) => is_struct && name.starts_with("bpf_iter__"),
                Some(At::TraceFentry | At::TraceFexit | At::ModifyReturn) => is_u64(&target),
                _ => false,
            },
            ProgType::Lsm | ProgType::StructOps => is_u64(&target),
            ProgType::Tracepoint | ProgType::Syscall | ProgType::Ext => true,
            _ => false,
        };
        match context_type(ty) {
            _ if fits => Ok(()),
            Some(wanted) if is_struct && name == wanted => Ok(()),
            Some(wanted) => reject!(self, EINVAL, "arg#{at} should be `struct {wanted} *`"),
            None => reject!(self, EINVAL, "arg#{at} should be void pointer"),
        }
    }

    /// The register for a parameter that is a trusted kernel object.
    pub(super) fn check_global_btf_arg(&mut self, regno: u8, arg: &ArgInfo) -> Res {
        let reg = *self.reg(regno);
        let ignored = if arg.may_be_null { Flags::MAYBE_NULL } else { Flags::empty() };
        let flags = reg.flags - ignored;
        let fits =
            reg.base == Base::BtfId && (flags.is_empty() || flags == Flags::TRUSTED || flags == Flags::RCU);
        let (Some(have), Some(need), true) = (reg.btf(), arg.btf, fits) else {
            let shown = reg.type_name();
            reject!(self, EACCES, "R{regno} type={shown} expected=ptr_, trusted_ptr_, rcu_ptr_");
        };
        if !self.struct_ids_match(have, reg.off, need, false, true) {
            let name =
                |(btf, id): (BtfIdx, u32)| self.btf(btf).type_by_id(TypeId(id)).map_or("", |ty| ty.name());
            let (has, wants) = (name(have), name(need));
            reject!(self, EACCES, "R{regno} is of type {has} but {wants} is expected");
        }
        Ok(())
    }
}
