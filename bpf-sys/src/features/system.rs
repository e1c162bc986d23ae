//! What the system around bpf(2) offers, and what this process may.

use std::path::Path;

use super::Answer;
use super::programs;
use crate::errno::Errno;
use crate::error::Result;
use crate::map::{MapCreate, MapFlags, MapType};
use crate::nofile::{Limit, Resource};
use crate::stats;

fn tiny_map() -> Result<crate::map::Map> {
    MapCreate { key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() }.create()
}

pub(super) fn bpf() -> Answer {
    Answer::of(tiny_map(), &[Errno::ENOSYS])
}

/// Tries to create a map that is charged far more than RLIMIT_MEMLOCK allows.
///
/// A trie is charged for all of its nodes when it is created but allocates them only when they are used.
pub(super) fn memcg_accounting() -> Answer {
    let limit = match Limit::get(Resource::Memlock) {
        Ok(limit) => limit.soft,
        Err(error) => return Answer::of_error(&error, &[]),
    };
    // The charge is 32 bits wide; with more room than that there is nothing to run into, and a helper that came with
    // the same release has to answer.
    const ENOUGH: u64 = 2 << 30;
    if limit > ENOUGH {
        return programs::ktime_get_coarse_ns();
    }
    if let Err(error) = tiny_map() {
        return Answer::of_error(&error, &[]);
    }
    let max_entries = (limit / 32 + 4096) as u32;
    let trie = MapCreate {
        map_type: MapType::LpmTrie,
        key_size: 8,
        value_size: 8,
        max_entries,
        flags: MapFlags::NO_PREALLOC,
        ..MapCreate::default()
    };
    match trie.create() {
        Ok(_) => Answer::Yes,
        Err(error) if error.is_errno(Errno::EPERM) => {
            Answer::no(format!("a map beyond RLIMIT_MEMLOCK ({limit} bytes) was refused"))
        }
        Err(error) => Answer::of_error(&error, &[]),
    }
}

pub(super) fn run_stats() -> Answer {
    Answer::of(stats::enable_runtime(), &[Errno::EINVAL])
}

fn file(path: &str, without: &str) -> Answer {
    match Path::new(path).try_exists() {
        Ok(true) => Answer::Yes,
        Ok(false) if Path::new("/sys/kernel").exists() => {
            Answer::no(format!("there is no {path}: {without}"))
        }
        Ok(false) => Answer::unknown(format!("there is no {path}, and no /sys is mounted here")),
        Err(error) => Answer::unknown(format!("{path}: {error}")),
    }
}

pub(super) fn vmlinux_btf() -> Answer {
    file("/sys/kernel/btf/vmlinux", "the kernel was built without CONFIG_DEBUG_INFO_BTF")
}

pub(super) fn perf_kprobe() -> Answer {
    file("/sys/bus/event_source/devices/kprobe/type", "the kernel was built without CONFIG_KPROBE_EVENTS")
}

pub(super) fn perf_uprobe() -> Answer {
    file("/sys/bus/event_source/devices/uprobe/type", "the kernel was built without CONFIG_UPROBE_EVENTS")
}

/// Loads a program and looks for its machine code.
pub(super) fn jit() -> Answer {
    let info = super::insns::load(crate::prog::ProgType::SocketFilter, &super::insns::RETURN_0)
        .and_then(|p| p.info());
    match info {
        Ok(info) if !info.jited.is_empty() => Answer::Yes,
        Ok(_) => match std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable") {
            Ok(text) if text.trim() == "0" => Answer::no("the sysctl net.core.bpf_jit_enable is 0"),
            _ => Answer::unknown("the kernel shows no machine code, which may be for want of CAP_SYS_ADMIN"),
        },
        Err(error) => Answer::of_error(&error, &[]),
    }
}

/// The capabilities that matter here: capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Everything that has no capability of its own, such as opening objects by id.
    SysAdmin,
    /// Loading programs and creating maps. Since Linux 5.8.
    Bpf,
    /// Tracing and perf events. Since Linux 5.8.
    Perfmon,
    /// Networking programs.
    NetAdmin,
    /// Raising limits beyond the hard limit.
    SysResource,
    /// Looking into other processes.
    SysPtrace,
}

impl Capability {
    /// All of them.
    pub const ALL: &'static [Capability] = &[
        Capability::SysAdmin,
        Capability::Bpf,
        Capability::Perfmon,
        Capability::NetAdmin,
        Capability::SysResource,
        Capability::SysPtrace,
    ];

    fn number(self) -> u32 {
        match self {
            Capability::NetAdmin => 12,
            Capability::SysPtrace => 19,
            Capability::SysAdmin => 21,
            Capability::SysResource => 24,
            Capability::Perfmon => 38,
            Capability::Bpf => 39,
        }
    }

    /// Its name, such as `CAP_BPF`.
    pub fn name(self) -> &'static str {
        match self {
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::SysResource => "CAP_SYS_RESOURCE",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        }
    }
}

/// Whether this thread has the capability in its effective set; asked anew each time.
pub fn has_capability(capability: Capability) -> Answer {
    let status = match std::fs::read_to_string("/proc/thread-self/status") {
        Ok(status) => status,
        Err(error) => return Answer::unknown(format!("/proc/thread-self/status: {error}")),
    };
    effective(&status, capability)
}

fn effective(status: &str, capability: Capability) -> Answer {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    match set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()) {
        Some(set) if set >> capability.number() & 1 == 1 => Answer::Yes,
        Some(_) => Answer::no(format!("{} is not in the effective set", capability.name())),
        None => Answer::unknown("/proc/thread-self/status has no CapEff line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits_of_a_line() {
        let status = "Name:\tx\nCapEff:\t0000008000200000\n";
        let yes: Vec<_> = Capability::ALL.iter().filter(|c| effective(status, **c).is_yes()).collect();
        assert_eq!(yes, [&Capability::SysAdmin, &Capability::Bpf]);
        assert!(effective(status, Capability::Perfmon).is_no());
        assert!(matches!(effective("Name:\tx\n", Capability::Bpf), Answer::Unknown { .. }));
        assert!(matches!(effective("CapEff:\tzz\n", Capability::Bpf), Answer::Unknown { .. }));
    }
}
