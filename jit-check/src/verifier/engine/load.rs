//! What is refused before the verifier looks at the program.

use super::super::env::{E2BIG, EINVAL, EPERM, Options, Reject, Res};
use crate::kernel::Privileges;
use crate::program::Program;
use bpf_sys::prog::{AttachType as At, ProgType};

/// Most instructions of the unprivileged.
const MAX_INSNS_UNPRIVILEGED: usize = 4096;

pub(super) fn check(program: &Program, options: &Options) -> Res {
    let full = options.privileges != Privileges::None;
    let most = if full { 1_000_000 } else { MAX_INSNS_UNPRIVILEGED };
    if program.insns.is_empty() || program.insns.len() > most {
        return Err(Reject(E2BIG));
    }
    if !full && !matches!(program.prog_type, ProgType::SocketFilter | ProgType::CgroupSkb) {
        return Err(Reject(EPERM));
    }
    let by_type =
        matches!(program.prog_type, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext);
    if program.attach_btf_id.is_some() && !by_type {
        return Err(Reject(EINVAL));
    }
    // A type that is left out is 0, which is a type too.
    let attach = program.expected_attach_type.unwrap_or(At::CgroupInetIngress);
    let fits = match program.prog_type {
        ProgType::CgroupSock => matches!(
            attach,
            At::CgroupInetIngress
                | At::CgroupInetSockCreate
                | At::CgroupInetSockRelease
                | At::CgroupInet4PostBind
                | At::CgroupInet6PostBind
        ),
        ProgType::CgroupSockAddr => matches!(
            attach,
            At::CgroupInet4Bind
                | At::CgroupInet6Bind
                | At::CgroupInet4Connect
                | At::CgroupInet6Connect
                | At::CgroupUnixConnect
                | At::CgroupInet4Getpeername
                | At::CgroupInet6Getpeername
                | At::CgroupUnixGetpeername
                | At::CgroupInet4Getsockname
                | At::CgroupInet6Getsockname
                | At::CgroupUnixGetsockname
                | At::CgroupUdp4Sendmsg
                | At::CgroupUdp6Sendmsg
                | At::CgroupUnixSendmsg
                | At::CgroupUdp4Recvmsg
                | At::CgroupUdp6Recvmsg
                | At::CgroupUnixRecvmsg
        ),
        ProgType::CgroupSkb => matches!(attach, At::CgroupInetIngress | At::CgroupInetEgress),
        ProgType::CgroupSockopt => matches!(attach, At::CgroupSetsockopt | At::CgroupGetsockopt),
        ProgType::SkLookup => attach == At::SkLookup,
        ProgType::SkReuseport => {
            matches!(attach, At::CgroupInetIngress | At::SkReuseportSelect | At::SkReuseportSelectOrMigrate)
        }
        ProgType::Netfilter => attach == At::Netfilter,
        ProgType::Syscall | ProgType::Ext => attach == At::CgroupInetIngress,
        _ => true,
    };
    if fits { Ok(()) } else { Err(Reject(EINVAL)) }
}
