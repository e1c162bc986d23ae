//! Ways to attach. Each is tried with something that cannot be attached to, so that nothing ever is: the kernel then
//! complains about that where it knows the way, and about the way itself where it does not.

use std::os::fd::AsFd;

use super::Answer;
use super::insns::{EXIT, RETURN_0, insn, mov_imm};
use super::types::probe_helper;
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::link;
use crate::prog::{AttachType, Prog, ProgLoad, ProgType};
use crate::syscall;

const HELPER_GET_ATTACH_COOKIE: u32 = 174;

fn kprobe(attach_type: Option<AttachType>) -> ProgLoad<'static> {
    ProgLoad {
        prog_type: ProgType::Kprobe,
        insns: &RETURN_0,
        license: "GPL",
        expected_attach_type: attach_type,
        ..ProgLoad::default()
    }
}

fn base(prog: &Prog, target_fd: u32, attach_type: AttachType) -> attr::LinkCreate {
    attr::LinkCreate { prog_fd: fd_field(prog.as_fd()), target_fd, attach_type: attach_type.raw(), flags: 0 }
}

/// Creates a link that must fail, and reads the answer: `yes` is what a kernel says that knows this way.
///
/// # Safety
///
/// As for [`syscall::bpf`] with `BPF_LINK_CREATE`.
unsafe fn try_link<A>(attr: &mut A, yes: &[Errno]) -> Answer {
    // SAFETY: the caller's promise.
    match unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, attr) } {
        Ok(_) => Answer::Yes,
        Err(errno) if yes.contains(&errno) => Answer::Yes,
        Err(errno) => {
            let error = Error::sys(link::LINK_CREATE, "a trial link", errno);
            Answer::of_error(&error, &[Errno::EINVAL, Errno::EOPNOTSUPP, Errno::ENOTSUPP, Errno::E2BIG])
        }
    }
}

fn with_prog(prog: Result<Prog>, probe: impl FnOnce(&Prog) -> Answer) -> Answer {
    match prog {
        Ok(prog) => probe(&prog),
        // The type or attach type of the program is unknown already.
        Err(error) => Answer::of_error(&error, &[Errno::EINVAL, Errno::E2BIG]),
    }
}

/// A kernel that knows kprobe.multi reads the name before anything else: here from where there is none.
fn try_kprobe_multi(attach_type: AttachType) -> Answer {
    with_prog(kprobe(Some(attach_type)).load(), |prog| {
        let nowhere = [1u64];
        let mut attr = attr::LinkCreateKprobeMulti {
            base: base(prog, 0, attach_type),
            cnt: 1,
            syms: addr(&nowhere),
            ..Default::default()
        };
        // SAFETY: the list has one element; the kernel checks the address in it, and only reads.
        unsafe { try_link(&mut attr, &[Errno::EFAULT]) }
    })
}

pub(super) fn kprobe_multi() -> Answer {
    try_kprobe_multi(AttachType::TraceKprobeMulti)
}

pub(super) fn kprobe_session() -> Answer {
    try_kprobe_multi(AttachType::TraceKprobeSession)
}

/// A kernel that knows uprobe.multi finds out that a directory is no file to attach to.
fn try_uprobe_multi(attach_type: AttachType) -> Answer {
    with_prog(kprobe(Some(attach_type)).load(), |prog| {
        let offsets = [0u64];
        let mut attr = attr::LinkCreateUprobeMulti {
            base: base(prog, 0, attach_type),
            path: addr(b"/\0"),
            offsets: addr(&offsets),
            cnt: 1,
            ..Default::default()
        };
        // SAFETY: the list has one element and the path is NUL-terminated.
        unsafe { try_link(&mut attr, &[Errno::EBADF]) }
    })
}

pub(super) fn uprobe_multi() -> Answer {
    try_uprobe_multi(AttachType::TraceUprobeMulti)
}

pub(super) fn uprobe_session() -> Answer {
    try_uprobe_multi(AttachType::TraceUprobeSession)
}

/// A kernel that knows perf links looks for the perf event, of which this descriptor is none.
fn try_perf_link(cookie: u64) -> Answer {
    let prog = ProgLoad { prog_type: ProgType::Tracepoint, ..kprobe(None) };
    with_prog(prog.load(), |prog| {
        let mut attr =
            attr::LinkCreatePerf { base: base(prog, u32::MAX, AttachType::PerfEvent), bpf_cookie: cookie };
        // SAFETY: descriptors and a number only.
        unsafe { try_link(&mut attr, &[Errno::EBADF]) }
    })
}

pub(super) fn perf_link() -> Answer {
    try_perf_link(0)
}

pub(super) fn perf_cookie() -> Answer {
    try_perf_link(1).and(|| probe_helper(kprobe(None), HELPER_GET_ATTACH_COOKIE))
}

pub(super) fn multi_cookie() -> Answer {
    kprobe_multi().and(|| probe_helper(kprobe(Some(AttachType::TraceKprobeMulti)), HELPER_GET_ATTACH_COOKIE))
}

/// A raw tracepoint program that reads more arguments than any tracepoint has can be loaded but not attached.
fn greedy_raw_tracepoint() -> Result<Prog> {
    // r0 = *(u64 *)(r1 + 88): the twelfth argument.
    let insns = [insn(0x79, 0, 1, 88, 0), mov_imm(0, 0), EXIT];
    ProgLoad { prog_type: ProgType::RawTracepoint, insns: &insns, license: "GPL", ..ProgLoad::default() }
        .load()
}

pub(super) fn syscall_tracepoints() -> Answer {
    with_prog(greedy_raw_tracepoint(), |prog| match link::raw_tracepoint_open(prog, "sys_enter") {
        Ok(_) => Answer::Yes,
        Err(error) if error.is_errno(Errno::EINVAL) => Answer::Yes,
        Err(error) if error.is_errno(Errno::ENOENT) => {
            Answer::no("there is no raw tracepoint sys_enter: CONFIG_FTRACE_SYSCALLS is off")
        }
        Err(error) => Answer::of_error(&error, &[]),
    })
}

/// A name that no tracepoint has is ENOENT where the cookie is known, and EINVAL where it is not.
pub(super) fn raw_tracepoint_cookie() -> Answer {
    with_prog(greedy_raw_tracepoint(), |prog| match link::raw_tracepoint(prog, "no_such_tracepoint", 1) {
        Ok(_) => Answer::Yes,
        Err(error) if error.is_errno(Errno::ENOENT) => Answer::Yes,
        Err(error) => Answer::of_error(&error, &[Errno::EINVAL]),
    })
}
