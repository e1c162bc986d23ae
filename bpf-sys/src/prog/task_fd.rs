//! Which program hangs on a perf event. Since Linux 4.18.

use std::os::fd::{AsFd, AsRawFd};

use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr_mut, text};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

/// What kind of event a program hangs on: `enum bpf_task_fd_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskFdType {
    /// A raw tracepoint.
    RawTracepoint,
    /// A tracepoint.
    Tracepoint,
    /// A kernel function's entry.
    Kprobe,
    /// A kernel function's return.
    Kretprobe,
    /// A user function's entry.
    Uprobe,
    /// A user function's return.
    Uretprobe,
    /// A number that this crate does not know.
    Other(u32),
}

/// What the kernel tells about a perf event with a program. Since Linux 4.18.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskFd {
    /// The program.
    pub prog_id: u32,
    /// The kind of event.
    pub fd_type: TaskFdType,
    /// The function, tracepoint or file; empty for a probe at an address.
    pub name: String,
    /// The offset in the function or file.
    pub probe_offset: u64,
    /// A kernel function's address.
    pub probe_addr: u64,
}

/// What the program on this process's perf event `event` hangs on; `None` where it has no program. For kernels before
/// 6.6, where links do not tell. Needs CAP_SYS_ADMIN (CAP_PERFMON since 5.8). Since Linux 4.18.
#[doc(alias = "BPF_TASK_FD_QUERY")]
pub fn task_fd_query(event: impl AsFd) -> Result<Option<TaskFd>> {
    let mut name = vec![0u8; 4096];
    let mut attr = attr::TaskFdQuery {
        pid: std::process::id(),
        fd: event.as_fd().as_raw_fd() as u32,
        buf_len: name.len() as u32,
        buf: addr_mut(&mut name),
        ..Default::default()
    };
    // SAFETY: the name's address goes with the length of its buffer.
    match unsafe { syscall::bpf(Cmd::TASK_FD_QUERY, &mut attr) } {
        Ok(_) | Err(Errno::ENOSPC) => {}
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => {
            let context = format!("ask which program is on descriptor {}", attr.fd);
            return Err(Error::sys("bpf(BPF_TASK_FD_QUERY)", context, errno));
        }
    }
    let fd_type = match attr.fd_type {
        0 => TaskFdType::RawTracepoint,
        1 => TaskFdType::Tracepoint,
        2 => TaskFdType::Kprobe,
        3 => TaskFdType::Kretprobe,
        4 => TaskFdType::Uprobe,
        5 => TaskFdType::Uretprobe,
        other => TaskFdType::Other(other),
    };
    Ok(Some(TaskFd {
        prog_id: attr.prog_id,
        fd_type,
        name: text(&name),
        probe_offset: attr.probe_offset,
        probe_addr: attr.probe_addr,
    }))
}
