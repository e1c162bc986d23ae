//! Who may call which helper, and which prototype a program is given.

use super::proto::{PROTOS, Proto};
use crate::kernel::Privileges;
use crate::tables;
use crate::verifier::env::Env;
use asm::Helper;
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};

/// Helpers that need `CAP_BPF` even where the program type offers them.
const NEEDS_BPF: &[Helper] = &[
    Helper::SPIN_LOCK,
    Helper::SPIN_UNLOCK,
    Helper::JIFFIES64,
    Helper::PER_CPU_PTR,
    Helper::THIS_CPU_PTR,
    Helper::TIMER_INIT,
    Helper::TIMER_SET_CALLBACK,
    Helper::TIMER_START,
    Helper::TIMER_CANCEL,
    Helper::KPTR_XCHG,
    Helper::FOR_EACH_MAP_ELEM,
    Helper::LOOP,
    Helper::USER_RINGBUF_DRAIN,
    Helper::RINGBUF_RESERVE_DYNPTR,
    Helper::RINGBUF_SUBMIT_DYNPTR,
    Helper::RINGBUF_DISCARD_DYNPTR,
    Helper::DYNPTR_FROM_MEM,
    Helper::DYNPTR_READ,
    Helper::DYNPTR_WRITE,
    Helper::DYNPTR_DATA,
    Helper::CGRP_STORAGE_GET,
    Helper::CGRP_STORAGE_DELETE,
    Helper::GET_CURRENT_CGROUP_ID,
    Helper::GET_CURRENT_ANCESTOR_CGROUP_ID,
];

/// Helpers that need `CAP_PERFMON`.
const NEEDS_PERFMON: &[Helper] = &[
    Helper::TRACE_PRINTK,
    Helper::TRACE_VPRINTK,
    Helper::GET_CURRENT_TASK,
    Helper::GET_CURRENT_TASK_BTF,
    Helper::PROBE_READ_USER,
    Helper::PROBE_READ_KERNEL,
    Helper::PROBE_READ_USER_STR,
    Helper::PROBE_READ_KERNEL_STR,
    Helper::SNPRINTF_BTF,
    Helper::SNPRINTF,
    Helper::TASK_PT_REGS,
    Helper::SKC_TO_TCP6_SOCK,
    Helper::SKC_TO_TCP_SOCK,
    Helper::SKC_TO_TCP_TIMEWAIT_SOCK,
    Helper::SKC_TO_TCP_REQUEST_SOCK,
    Helper::SKC_TO_UDP6_SOCK,
    Helper::SKC_TO_UNIX_SOCK,
    Helper::SKC_TO_MPTCP_SOCK,
];

impl Env<'_> {
    /// Highest id of the kernel's helpers, and one more.
    pub(super) fn helper_count(&self) -> u32 {
        tables::helper_count(self.kernel.version)
    }

    /// Whether the kernel lets programs of this type call it.
    pub(in crate::verifier) fn helper_allowed(&self, helper: Helper) -> bool {
        if self.options.privileges == Privileges::None
            && (NEEDS_BPF.contains(&helper) || NEEDS_PERFMON.contains(&helper))
        {
            return false;
        }
        tables::offers_helper(self.kernel.version, &self.names_in_tables(), helper.0)
    }

    /// What the program is called in the tables, the most telling name first.
    fn names_in_tables(&self) -> Vec<String> {
        let prog_type = self.prog_type().name();
        let mut names = Vec::new();
        if self.prog_type() == ProgType::StructOps {
            names.push(format!("{prog_type}/{}.{}", self.attach.struct_name, self.attach.name));
            names.push(format!("{prog_type}/{}", self.attach.struct_name));
        } else if let Some(attach) = self.program.expected_attach_type {
            if !self.attach.name.is_empty() {
                names.push(format!("{prog_type}/{}:{}", attach.name(), self.attach.name));
            }
            names.push(format!("{prog_type}/{}", attach.name()));
        }
        names.push(prog_type);
        names
    }

    /// The prototype that the program is given; `None` where it may not call the helper.
    pub(in crate::verifier) fn helper_proto(&self, helper: Helper) -> Option<Proto> {
        if !self.helper_allowed(helper) {
            return None;
        }
        let variants = PROTOS.get(helper.0 as usize)?;
        let wanted = self.helper_variant(helper);
        let version = self.kernel.version;
        let mut known = variants.iter().filter(|proto| proto.since.is_none_or(|since| since <= version));
        known.clone().find(|proto| proto.variant == wanted).or(known.next()).copied()
    }

    /// Which of a helper's prototypes the program's type is given.
    fn helper_variant(&self, helper: Helper) -> &'static str {
        use ProgType::*;
        let prog_type = self.prog_type();
        // Programs with the whole set of tracing helpers, and those that read their context by BTF.
        let by_btf = matches!(prog_type, Tracing | Lsm | Syscall);
        let traces = by_btf
            || matches!(prog_type, Kprobe | Tracepoint | PerfEvent | RawTracepoint | RawTracepointWritable);
        let cgroup =
            matches!(prog_type, CgroupSock | CgroupSockAddr | CgroupSockopt | CgroupSysctl | CgroupDevice);
        let lwt = matches!(prog_type, LwtIn | LwtOut | LwtXmit | LwtSeg6local);
        let sleepable = self.program.flags.contains(ProgFlags::SLEEPABLE);
        let multi = matches!(
            self.program.expected_attach_type,
            Some(
                AttachType::TraceKprobeMulti
                    | AttachType::TraceKprobeSession
                    | AttachType::TraceUprobeMulti
                    | AttachType::TraceUprobeSession
            )
        );
        match helper {
            Helper::GET_SMP_PROCESSOR_ID if traces || lwt => "inlined",
            Helper::GET_SMP_PROCESSOR_ID if matches!(prog_type, SchedCls | SchedAct | Xdp) => "inlined",
            Helper::GET_CGROUP_CLASSID if cgroup || prog_type == SkMsg => "current",
            Helper::GET_STACKID if prog_type == PerfEvent => "perf_event",
            Helper::GET_STACK if prog_type == Kprobe && sleepable => "sleepable",
            Helper::GET_STACK if by_btf || matches!(prog_type, RawTracepoint | RawTracepointWritable) => {
                "raw_tp"
            }
            Helper::GET_TASK_STACK if sleepable => "sleepable",
            Helper::GET_SOCKET_COOKIE if by_btf || prog_type == SkReuseport => "sock",
            Helper::SETSOCKOPT | Helper::GETSOCKOPT if !matches!(prog_type, SockOps | CgroupSockAddr) => {
                "sock"
            }
            Helper::SK_LOOKUP_TCP | Helper::SK_LOOKUP_UDP | Helper::SKC_LOOKUP_TCP
                if prog_type == CgroupSockAddr =>
            {
                "sock_addr"
            }
            Helper::SK_STORAGE_GET if prog_type == CgroupSock => "ctx",
            Helper::SK_STORAGE_GET | Helper::SK_STORAGE_DELETE if matches!(prog_type, Tracing | Syscall) => {
                "tracing"
            }
            Helper::SK_ASSIGN if prog_type == SkLookup => "sk_lookup",
            Helper::GET_FUNC_IP if prog_type == Kprobe && multi => "multi",
            Helper::XDP_GET_BUFF_LEN if by_btf => "tracing",
            _ => "",
        }
    }
}
