//! What programs are attached to: the function, tracepoint, hook, iterator or member whose types their context has.

use super::super::env::{EINVAL, ENOTSUPP, EOPNOTSUPP, Env, Reject, Res, reject};
use super::super::reg::BtfIdx;
use super::super::state::RetRange;
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};
use btf::raw::kind_name;
use btf::{Kind, Type, TypeId};

/// Most parameters of a function that is attached to.
const MAX_FUNC_ARGS: usize = 12;
const MAX_ERRNO: i32 = 4095;

/// Functions that tracing would recurse into.
const NEVER_TRACED: [&str; 7] = [
    "migrate_disable",
    "migrate_enable",
    "rcu_read_unlock_strict",
    "preempt_count_add",
    "preempt_count_sub",
    "__rcu_read_lock",
    "__rcu_read_unlock",
];

/// Functions that don't return.
const NO_RETURN: [&str; 12] = [
    "__ia32_sys_exit",
    "__ia32_sys_exit_group",
    "__kunit_abort",
    "kunit_try_catch_throw",
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "kthread_exit",
    "make_task_dead",
];

/// Functions that are there to have their result changed, and whether programs on them may sleep.
const MODIFIABLE: [(&str, bool); 11] = [
    ("bpf_modify_return_test", false),
    ("bpf_modify_return_test2", false),
    ("bpf_modify_return_test_tp", false),
    ("bpf_fentry_test1", true),
    ("bpf_rstat_flush", false),
    ("update_socket_protocol", false),
    ("__hid_bpf_tail_call", false),
    ("hid_bpf_device_event", false),
    ("hid_bpf_rdesc_fixup", true),
    ("should_failslab", false),
    ("should_fail_alloc_page", false),
];

/// Hooks that programs can't do the work of. Since Linux 6.12.
const DISABLED_HOOKS: [&str; 12] = [
    "bpf_lsm_vm_enough_memory",
    "bpf_lsm_inode_need_killpriv",
    "bpf_lsm_inode_getsecurity",
    "bpf_lsm_inode_listsecurity",
    "bpf_lsm_inode_copy_up_xattr",
    "bpf_lsm_getselfattr",
    "bpf_lsm_getprocattr",
    "bpf_lsm_setprocattr",
    "bpf_lsm_key_getsecurity",
    "bpf_lsm_audit_rule_match",
    "bpf_lsm_xfrm_decode_session",
    "bpf_lsm_ismaclabel",
];

/// Hooks that answer yes or no.
const BOOL_HOOKS: [&str; 3] =
    ["bpf_lsm_xfrm_state_pol_flow_match", "bpf_lsm_audit_rule_known", "bpf_lsm_inode_xattr_skipcap"];

/// Members of kernel operations that programs can't be.
const UNSUPPORTED_MEMBERS: [(&str, &str); 1] = [("tcp_congestion_ops", "get_info")];

/// Members of kernel operations that may sleep, of structs in which not all may.
const SLEEPABLE_MEMBERS: [(&str, &[&str]); 2] = [
    ("bpf_dummy_ops", &["test_sleepable"]),
    (
        "sched_ext_ops",
        &[
            "init_task",
            "cgroup_init",
            "cgroup_exit",
            "cgroup_prep_move",
            "cpu_online",
            "cpu_offline",
            "init",
            "exit",
        ],
    ),
];

impl<'a> Env<'a> {
    /// Whether the program may be attached to what it names; notes the types of its context.
    pub(super) fn check_attach(&mut self) -> Res {
        self.fault = None;
        let ty = self.prog_type();
        let sleepable = self.program.flags.contains(ProgFlags::SLEEPABLE);
        if ty == ProgType::Syscall {
            if sleepable {
                return Ok(());
            }
            reject!(self, EINVAL, "Syscall programs can only be sleepable");
        }
        if sleepable && !self.can_be_sleepable() {
            let which = if self.since(6, 4) {
                "fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops"
            } else if self.since(6, 0) {
                "fentry/fexit/fmod_ret, lsm, iter, and uprobes"
            } else {
                "fentry/fexit/fmod_ret and lsm"
            };
            reject!(self, EINVAL, "Only {which} programs can be sleepable");
        }
        match ty {
            ProgType::StructOps => self.check_struct_ops(sleepable),
            ProgType::Tracing | ProgType::Lsm | ProgType::Ext => self.check_target(sleepable),
            _ => Ok(()),
        }
    }

    fn can_be_sleepable(&self) -> bool {
        use AttachType as At;
        let attach = self.program.expected_attach_type;
        match self.prog_type() {
            ProgType::Tracing => {
                matches!(attach, Some(At::TraceFentry | At::TraceFexit | At::ModifyReturn | At::TraceIter))
            }
            ProgType::Lsm => attach != Some(At::LsmCgroup),
            ProgType::Kprobe => self.since(6, 0),
            ProgType::StructOps => self.since(6, 4),
            _ => false,
        }
    }

    /// The struct and member of a struct_ops program.
    fn check_struct_ops(&mut self, sleepable: bool) -> Res {
        if !self.program.gpl {
            reject!(self, EINVAL, "struct ops programs must have a GPL compatible license");
        }
        let Some(id) = self.program.attach_btf_id else { return Err(Reject(ENOTSUPP)) };
        let kernel = self.btf(BtfIdx::KERNEL);
        let ty = kernel.type_by_id(id).filter(|ty| ty.kind() == Kind::Struct);
        let known =
            |ty: &Type<'_>| kernel.find(&format!("bpf_struct_ops_{}", ty.name()), Kind::Struct).is_some();
        let Some(ty) = ty.filter(known) else {
            reject!(self, ENOTSUPP, "attach_btf_id {} is not a supported struct", id.0);
        };
        let name = ty.name();
        let index = self.program.expected_attach_type.map_or(0, |attach| attach.raw());
        let Some(member) = ty.members().nth(index as usize) else {
            reject!(self, EINVAL, "attach to invalid member idx {index} of struct {name}");
        };
        let proto = kernel
            .resolve(member.type_id)
            .filter(|(_, ty)| ty.kind() == Kind::Ptr)
            .and_then(|(_, pointer)| kernel.resolve(pointer.type_id()?))
            .filter(|(_, ty)| ty.kind() == Kind::FuncProto);
        let Some((proto_id, proto)) = proto else {
            let member = member.name;
            reject!(self, EINVAL, "attach to invalid member {member}(@idx {index}) of struct {name}");
        };
        let unsupported = UNSUPPORTED_MEMBERS.contains(&(name, member.name));
        let sleeps = SLEEPABLE_MEMBERS.iter().find(|(of, _)| *of == name);
        let wrongly = sleepable && sleeps.is_some_and(|(_, members)| !members.contains(&member.name));
        if unsupported || wrongly {
            let errno = if unsupported { ENOTSUPP } else { EINVAL };
            let member = member.name;
            reject!(self, errno, "attach to unsupported member {member} of struct {name}");
        }
        self.attach.btf = BtfIdx::KERNEL;
        self.attach.id = Some(id.0);
        self.attach.proto = Some(proto_id.0);
        self.attach.name = member.name.to_owned();
        self.attach.struct_name = name.to_owned();
        self.attach.returns_void = proto.type_id() == Some(TypeId(0));
        Ok(())
    }

    /// The function, tracepoint or iterator of a tracing program, the hook of an LSM program.
    fn check_target(&mut self, sleepable: bool) -> Res {
        use AttachType as At;
        let ty = self.prog_type();
        let is_ext = ty == ProgType::Ext;
        let Some(id) = self.program.attach_btf_id.filter(|id| id.0 != 0) else {
            reject!(self, EINVAL, "Tracing programs must provide btf_id");
        };
        let in_module = self.program.attach_module.as_deref();
        let module = in_module.and_then(|name| self.kernel.modules.iter().position(|(has, _)| *has == name));
        let idx = module.map_or(BtfIdx::KERNEL, |at| BtfIdx(at as u16 + 2));
        let types = self.btf(idx);
        if self.kernel.btf.is_none() {
            reject!(
                self,
                EINVAL,
                "FENTRY/FEXIT program can only be attached to another program annotated with BTF"
            );
        }
        let Some(target) = types.type_by_id(id) else {
            reject!(self, EINVAL, "attach_btf_id {} is invalid", id.0);
        };
        if target.name().is_empty() {
            reject!(self, EINVAL, "attach_btf_id {} doesn't have a name", id.0);
        }
        if is_ext {
            reject!(self, EINVAL, "Cannot replace kernel functions");
        }
        let attach = self.program.expected_attach_type;
        let name = target.name();
        self.attach.btf = idx;
        self.attach.id = Some(id.0);
        self.attach.name = name.to_owned();
        match attach {
            Some(At::TraceRawTp) => return self.check_tracepoint(id, target),
            Some(
                At::TraceIter
                | At::ModifyReturn
                | At::LsmMac
                | At::LsmCgroup
                | At::TraceFentry
                | At::TraceFexit,
            ) => {}
            _ => return Err(Reject(EINVAL)),
        }
        if target.kind() != Kind::Func {
            reject!(self, EINVAL, "attach_btf_id {} is not a function", id.0);
        }
        let proto = target.type_id().and_then(|id| Some((id, types.type_by_id(id)?)));
        let Some((proto_id, proto)) = proto.filter(|(_, ty)| ty.kind() == Kind::FuncProto) else {
            return Err(Reject(EINVAL));
        };
        self.attach.proto = Some(proto_id.0);
        self.attach.returns_void = proto.type_id() == Some(TypeId(0));
        self.check_signature(idx, name, proto)?;
        if attach == Some(At::TraceIter) {
            return if name.starts_with("bpf_iter_") { Ok(()) } else { Err(Reject(EINVAL)) };
        }
        let modifiable = MODIFIABLE.iter().find(|(known, _)| *known == name);
        if sleepable {
            let allowed = match ty {
                ProgType::Tracing => {
                    self.may_be_changed(name) || modifiable.is_some_and(|(_, sleepable)| *sleepable)
                }
                _ => {
                    crate::tables::is_sleepable_lsm_hook(name.strip_prefix("bpf_lsm_").unwrap_or(name))
                        || crate::tables::is_sleepable_lsm_hook(name)
                }
            };
            if !allowed {
                reject!(self, EINVAL, "{name} is not sleepable");
            }
        } else if attach == Some(At::ModifyReturn) {
            let injected = self.may_be_changed(name);
            if modifiable.is_none() && !injected && !name.starts_with("security_") {
                reject!(self, EINVAL, "{name}() is not modifiable");
            }
        }
        self.check_named_target(ty, attach, id, name)
    }

    /// Targets that are refused by name.
    fn check_named_target(
        &mut self,
        ty: ProgType,
        attach: Option<AttachType>,
        id: TypeId,
        name: &str,
    ) -> Res {
        if ty == ProgType::Lsm {
            if !self.program.gpl {
                reject!(self, EINVAL, "LSM programs must have a GPL compatible license");
            }
            let disabled = self.since(6, 12) && DISABLED_HOOKS.contains(&name)
                || self.since(7, 0) && name == "bpf_lsm_file_alloc_security";
            if disabled {
                reject!(self, EINVAL, "attach_btf_id {} points to disabled hook {name}", id.0);
            }
            if !name.starts_with("bpf_lsm_") {
                reject!(self, EINVAL, "attach_btf_id {} points to wrong type name {name}", id.0);
            }
            return Ok(());
        }
        if NEVER_TRACED.contains(&name) {
            if self.since(6, 17) {
                reject!(self, EINVAL, "Attaching tracing programs to function '{name}' is rejected.");
            }
            return Err(Reject(EINVAL));
        }
        let by_return = matches!(attach, Some(AttachType::TraceFexit | AttachType::ModifyReturn));
        if by_return && self.since(6, 12) && NO_RETURN.contains(&name) {
            if self.since(6, 17) {
                reject!(
                    self,
                    EINVAL,
                    "Attaching fexit/fsession/fmod_ret to __noreturn function '{name}' is rejected."
                );
            }
            reject!(self, EINVAL, "Attaching fexit/fmod_ret to __noreturn functions is rejected.");
        }
        Ok(())
    }

    fn check_tracepoint(&mut self, id: TypeId, target: Type<'_>) -> Res {
        if target.kind() != Kind::Typedef {
            reject!(self, EINVAL, "attach_btf_id {} is not a typedef", id.0);
        }
        let Some(name) = target.name().strip_prefix("btf_trace_") else {
            let name = target.name();
            reject!(self, EINVAL, "attach_btf_id {} points to wrong type name {name}", id.0);
        };
        let types = self.btf(self.attach.btf);
        // The function that calls programs knows the parameters' names.
        let caller = types.find(&format!("__bpf_trace_{name}"), Kind::Func);
        let by_caller = caller.and_then(|func| types.type_by_id(func)?.type_id());
        let by_typedef = || types.type_by_id(target.type_id()?)?.type_id();
        let proto = by_caller.or_else(by_typedef);
        let found = proto.and_then(|proto| types.type_by_id(proto));
        if found.is_none_or(|ty| ty.kind() != Kind::FuncProto) {
            return Err(Reject(EINVAL));
        }
        self.attach.name = name.to_owned();
        self.attach.proto = proto.map(|proto| proto.0);
        self.attach.is_tracepoint = true;
        Ok(())
    }

    /// Whether the trampoline can carry the parameters and the result.
    fn check_signature(&mut self, idx: BtfIdx, name: &str, proto: Type<'_>) -> Res {
        let types = self.btf(idx);
        let size = |id: TypeId| {
            if id.0 == 0 {
                return Ok(0);
            }
            let (_, ty) = types.resolve(id).ok_or("UNKNOWN")?;
            match ty.kind() {
                Kind::Ptr => Ok(8),
                Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Struct | Kind::Union => {
                    Ok(ty.size().unwrap_or(0))
                }
                kind => Err(kind_name(kind)),
            }
        };
        let count = proto.len();
        if count > MAX_FUNC_ARGS {
            reject!(self, EINVAL, "The function {name} has {count} arguments. Too many.");
        }
        let returned = proto.type_id().unwrap_or(TypeId(0));
        let composite = types.resolve(returned).filter(|(_, ty)| ty.kind().is_composite());
        let what = composite.map(|(_, ty)| kind_name(ty.kind())).or(size(returned).err());
        if let Some(what) = what {
            reject!(self, EINVAL, "The function {name} return type {what} is unsupported.");
        }
        if size(returned).is_ok_and(|size| size > 8) {
            let attach = self.program.expected_attach_type;
            if matches!(attach, Some(AttachType::ModifyReturn | AttachType::TraceFexit)) {
                reject!(
                    self,
                    EOPNOTSUPP,
                    "Attach to function {name} with a >8 byte return value is not supported for this attach type"
                );
            }
        }
        for (at, param) in proto.params().enumerate() {
            if at + 1 == count && param.type_id.0 == 0 {
                reject!(self, EINVAL, "The function {name} with variable args is unsupported.");
            }
            match size(param.type_id) {
                Ok(0) => reject!(self, EINVAL, "The function {name} has malformed void argument."),
                Ok(size) if size <= 16 => {}
                other => {
                    let resolved = types.resolve(param.type_id);
                    let by_size = resolved.map_or("UNKNOWN", |(_, ty)| kind_name(ty.kind()));
                    let what = other.err().unwrap_or(by_size);
                    reject!(self, EINVAL, "The function {name} arg{at} type {what} is unsupported.");
                }
            }
        }
        Ok(())
    }

    /// What the hook may return; `None` where that is anything.
    pub(super) fn lsm_return_range(&self) -> Option<RetRange> {
        let ranged = self.since(6, 12) && self.program.expected_attach_type == Some(AttachType::LsmMac);
        if !ranged || self.attach.returns_void {
            return None;
        }
        Some(match BOOL_HOOKS.contains(&self.attach.name.as_str()) {
            true => RetRange { min: 0, max: 1 },
            false => RetRange { min: -MAX_ERRNO, max: 0 },
        })
    }

    /// Whether a function of this name is a system call whose result programs may change, and which may sleep: where errors
    /// can be injected, and since 7.2 also where not.
    fn may_be_changed(&self, name: &str) -> bool {
        (self.kernel.error_injection || self.since(7, 2)) && name.starts_with("__x64_sys_")
    }
}
