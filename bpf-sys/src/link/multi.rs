//! Many functions with one link: kprobe.multi and uprobe.multi.

use std::os::fd::AsFd;
use std::path::Path;

use super::{LINK_CREATE, Link, SymTable};
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::types::AttachType;
use crate::abi::util::{addr, count_field, cpath, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

bitflags::bitflags! {
    /// How many functions are attached to at once.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct MultiFlags: u32 {
        /// At their returns instead of their entries; not with `SESSION`.
        #[doc(alias = "BPF_F_KPROBE_MULTI_RETURN")]
        #[doc(alias = "BPF_F_UPROBE_MULTI_RETURN")]
        const RETURN = 1 << 0;
        /// At both, one program for the pair. Kernel functions since Linux 6.10, user functions since 6.13. This is an
        /// attach type in the ABI, which the program must have been loaded with.
        #[doc(alias = "BPF_TRACE_KPROBE_SESSION")]
        #[doc(alias = "BPF_TRACE_UPROBE_SESSION")]
        const SESSION = 1 << 31;
    }
}

impl MultiFlags {
    fn abi(self) -> Result<u32> {
        if self.contains(MultiFlags::SESSION | MultiFlags::RETURN) {
            return Err(Error::invalid(
                "a session runs at entries and returns: give SESSION or RETURN, not both",
            ));
        }
        Ok((self & MultiFlags::RETURN).bits())
    }
}

/// The kernel functions of [`kprobe_multi`]: names or addresses, not both.
#[derive(Debug, Clone, Copy, Default)]
pub struct KprobeMulti<'a> {
    /// Their names.
    pub syms: Option<&'a SymTable<'a>>,
    /// Or their addresses, as /proc/kallsyms gives them.
    pub addrs: &'a [u64],
    /// What `bpf_get_attach_cookie` gives for each of them; empty for none.
    pub cookies: &'a [u64],
    /// Entries, returns or both.
    pub flags: MultiFlags,
}

/// Attaches a program to many kernel functions at once. Since Linux 5.18 (with CONFIG_FPROBE).
///
/// The program must have been loaded with the attach type [`AttachType::TraceKprobeMulti`], or
/// [`AttachType::TraceKprobeSession`] for a session. Addresses are attached to faster than names.
///
/// # Errors
///
/// [`Error::Unsupported`] where the kernel has none of it; ESRCH or EINVAL where one function does not exist or
/// cannot be traced, and then nothing is attached; EADDRNOTAVAIL likewise for names since Linux 6.6.
#[doc(alias = "BPF_TRACE_KPROBE_MULTI")]
pub fn kprobe_multi(prog: impl AsFd, functions: &KprobeMulti<'_>) -> Result<Link> {
    let session = functions.flags.contains(MultiFlags::SESSION);
    let syms = functions.syms.map_or(&[][..], SymTable::addrs);
    if syms.is_empty() == functions.addrs.is_empty() {
        return Err(Error::invalid("kprobe.multi takes names or addresses, at least one of one kind"));
    }
    let count = syms.len().max(functions.addrs.len());
    check_len("cookies", functions.cookies, count)?;
    let attach_type = if session { AttachType::TraceKprobeSession } else { AttachType::TraceKprobeMulti };
    let mut attr = attr::LinkCreateKprobeMulti {
        base: base(&prog, attach_type),
        flags: functions.flags.abi()?,
        cnt: count_field("functions", count)?,
        syms: addr(syms),
        addrs: addr(functions.addrs),
        cookies: addr(functions.cookies),
    };
    // SAFETY: the lists have `cnt` elements each, or are null; the names are NUL-terminated and outlive the call
    // through the table's lifetime.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }.map(Link::from_owned).map_err(|errno| {
        let hint = match errno {
            Errno::EINVAL if session => {
                "; the program must have been loaded with the attach type TraceKprobeSession, \
                 and the kernel be Linux 6.10 or newer with CONFIG_FPROBE (`features::has_kprobe_session`)"
            }
            Errno::EINVAL => {
                "; the program must have been loaded with the attach type TraceKprobeMulti, every function \
                 must be traceable, and the kernel be Linux 5.18 or newer with CONFIG_FPROBE \
                 (`features::has_kprobe_multi`)"
            }
            Errno::EOPNOTSUPP | Errno::ENOTSUPP => {
                "; the kernel was built without CONFIG_FPROBE: attach through perf events instead"
            }
            Errno::ESRCH | Errno::EADDRNOTAVAIL | Errno::ENOENT => {
                "; one of them does not exist in this kernel or cannot be traced"
            }
            Errno::E2BIG => "; the kernel takes at most 1048576 at once",
            _ => "",
        };
        Error::sys(LINK_CREATE, format!("attach to {count} kernel functions{hint}"), errno)
    })
}

/// The user functions of [`uprobe_multi`].
#[derive(Debug, Clone, Copy)]
pub struct UprobeMulti<'a> {
    /// The ELF file that they are in.
    pub path: &'a Path,
    /// Where they are, in bytes from the file's start.
    pub offsets: &'a [u64],
    /// Where the semaphore of each USDT probe is, in bytes from the file's start; empty for none, 0 for one without.
    pub ref_ctr_offsets: &'a [u64],
    /// What `bpf_get_attach_cookie` gives for each of them; empty for none.
    pub cookies: &'a [u64],
    /// Only in this process (all of its threads); 0 for every process.
    pub pid: u32,
    /// Entries, returns or both.
    pub flags: MultiFlags,
}

/// Attaches a program to many functions of one file at once. Since Linux 6.6.
///
/// The program must have been loaded with the attach type [`AttachType::TraceUprobeMulti`], or
/// [`AttachType::TraceUprobeSession`] for a session. Before Linux 6.11 `pid` let only the one thread through in some
/// releases, so that a program should filter by itself as well.
///
/// # Errors
///
/// ENOENT where there is no such file, ESRCH no such process, EINVAL where an offset is not executable or the kernel is
/// too old ([`crate::features::has_uprobe_multi`] tells), EBADF where the path is no regular file.
#[doc(alias = "BPF_TRACE_UPROBE_MULTI")]
pub fn uprobe_multi(prog: impl AsFd, functions: &UprobeMulti<'_>) -> Result<Link> {
    let count = functions.offsets.len();
    if count == 0 {
        return Err(Error::invalid("uprobe.multi takes at least one offset"));
    }
    check_len("cookies", functions.cookies, count)?;
    check_len("reference counters", functions.ref_ctr_offsets, count)?;
    let session = functions.flags.contains(MultiFlags::SESSION);
    let attach_type = if session { AttachType::TraceUprobeSession } else { AttachType::TraceUprobeMulti };
    let path = cpath(functions.path)?;
    let mut attr = attr::LinkCreateUprobeMulti {
        base: base(&prog, attach_type),
        path: addr(path.as_bytes_with_nul()),
        offsets: addr(functions.offsets),
        ref_ctr_offsets: addr(functions.ref_ctr_offsets),
        cookies: addr(functions.cookies),
        cnt: count_field("functions", count)?,
        flags: functions.flags.abi()?,
        pid: functions.pid,
        path_fd: 0,
    };
    // SAFETY: the lists have `cnt` elements each, or are null; the path is NUL-terminated; all outlive the call.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }.map(Link::from_owned).map_err(|errno| {
        let hint = match errno {
            Errno::EINVAL => {
                "; the program must have been loaded with the attach type of uprobe.multi, every offset be in the \
                 file's code, and the kernel be Linux 6.6 or newer (6.13 for sessions; `features::has_uprobe_multi`)"
            }
            Errno::ENOENT => "; there is no such file",
            Errno::ESRCH => "; there is no such process",
            Errno::EBADF => "; the path must be a regular file",
            Errno::E2BIG => "; the kernel takes at most 1048576 at once",
            _ => "",
        };
        let file = functions.path.display();
        Error::sys(LINK_CREATE, format!("attach to {count} functions of {file}{hint}"), errno)
    })
}

fn base(prog: &impl AsFd, attach_type: AttachType) -> attr::LinkCreate {
    attr::LinkCreate {
        prog_fd: fd_field(prog.as_fd()),
        target_fd: 0,
        attach_type: attach_type.raw(),
        flags: 0,
    }
}

fn check_len(what: &str, list: &[u64], count: usize) -> Result<()> {
    if list.is_empty() || list.len() == count {
        return Ok(());
    }
    Err(Error::invalid(format!("{} {what} for {count} functions: give one for each, or none", list.len())))
}
