//! Global functions that take the context through a pointer of any type (`arg:ctx`), on kernels before Linux 6.8, which know
//! the context by the name of its structure only: such parameters get that structure as their type.

use crate::spec::{FuncSpec, ProgramSpec};
use bpf_sys::prog::ProgType;
use btf::{Btf, Builder, Kind, Linkage, TypeId};

/// The tag of a parameter.
const TAG: &str = "arg:ctx";

/// The structure that programs of this type get as their context, by the name that kernels know it by.
fn context(prog_type: ProgType) -> Option<&'static str> {
    use ProgType::*;
    Some(match prog_type {
        SocketFilter | SchedCls | SchedAct | CgroupSkb | LwtIn | LwtOut | LwtXmit | LwtSeg6local | SkSkb
        | FlowDissector => "__sk_buff",
        Kprobe => "bpf_user_pt_regs_t",
        Xdp => "xdp_md",
        PerfEvent => "bpf_perf_event_data",
        RawTracepoint | RawTracepointWritable => "bpf_raw_tracepoint_args",
        CgroupDevice => "bpf_cgroup_dev_ctx",
        CgroupSock => "bpf_sock",
        CgroupSockAddr => "bpf_sock_addr",
        CgroupSockopt => "bpf_sockopt",
        CgroupSysctl => "bpf_sysctl",
        Netfilter => "bpf_nf_ctx",
        SkLookup => "bpf_sk_lookup",
        SkMsg => "sk_msg_md",
        SkReuseport => "sk_reuseport_md",
        SockOps => "bpf_sock_ops",
        _ => return None,
    })
}

/// The object's types with such functions once more, as older kernels understand them, and the program's functions with
/// these types; `None` where the program has no such function.
pub(super) fn retyped(types: &[u8], program: &ProgramSpec) -> Option<(Vec<u8>, Vec<FuncSpec>)> {
    let context = context(program.prog_type)?;
    let btf = Btf::parse(types).ok()?;
    let mut tagged: Vec<(TypeId, u32)> = btf
        .own_types()
        .filter(|(_, ty)| ty.kind() == Kind::DeclTag && ty.name() == TAG)
        .filter_map(|(_, tag)| Some((tag.type_id()?, u32::try_from(tag.component_index()?).ok()?)))
        .collect();
    tagged.retain(|(func, _)| program.funcs.iter().any(|own| own.type_id == Some(*func)));
    if tagged.is_empty() {
        return None;
    }
    let mut builder = Builder::from_btf(&btf);
    let structure = builder.composite(Kind::Struct, context, 0, &[]);
    let pointer = builder.ptr(structure);
    let mut funcs = program.funcs.clone();
    for func in &mut funcs {
        let Some(id) = func.type_id.filter(|id| tagged.iter().any(|(tagged, _)| tagged == id)) else {
            continue;
        };
        let ty = btf.type_by_id(id).filter(|ty| ty.linkage() == Some(Linkage::Global))?;
        let proto = btf.type_by_id(ty.type_id()?)?;
        let params: Vec<(&str, TypeId)> = proto
            .params()
            .zip(0_u32..)
            .map(|(param, index)| match tagged.contains(&(id, index)) {
                true => (param.name, pointer),
                false => (param.name, param.type_id),
            })
            .collect();
        let proto = builder.func_proto(proto.type_id()?, &params);
        func.type_id = Some(builder.func(ty.name(), proto, Linkage::Global));
    }
    Some((builder.finish(), funcs))
}
