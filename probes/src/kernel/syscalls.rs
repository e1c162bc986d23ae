//! System calls by number, under the names that the `syscalls:sys_enter_*` tracepoints use.
//!
//! Those names are the kernel's functions, not the C library's: `fstat(2)` is `newfstat`, `uname(2)` is `newuname`.
//! [`number`] knows both. The tables are the kernel's ABI, so they only ever grow; a call newer than them has a
//! tracepoint and no entry here.

mod aarch64;
mod x86_64;

/// An architecture whose table is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86; not the x32 and 32-bit calls.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Arch {
    /// The one that this program was built for, if its table is known.
    pub const fn current() -> Option<Arch> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Arch::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_pointer_width = "64")) {
            Some(Arch::Aarch64)
        } else {
            None
        }
    }

    /// All names by number; an empty name is a hole.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Arch::X86_64 => x86_64::NAMES,
            Arch::Aarch64 => aarch64::NAMES,
        }
    }
}

/// What C programs call a system call, and what its tracepoint is called, where that differs.
const ALIASES: &[(&str, &str)] = &[
    ("stat", "newstat"),
    ("fstat", "newfstat"),
    ("lstat", "newlstat"),
    ("fstatat", "newfstatat"),
    ("uname", "newuname"),
    ("umount2", "umount"),
    ("sendfile", "sendfile64"),
    ("pread", "pread64"),
    ("pwrite", "pwrite64"),
    ("fadvise64", "fadvise64_64"),
    ("posix_fadvise", "fadvise64"),
    ("personality", "arm64_personality"),
    ("_sysctl", "sysctl"),
];

/// All names of the running architecture by number; a hole is an empty name, and an architecture without a table
/// has none.
pub fn names() -> &'static [&'static str] {
    Arch::current().map_or(&[], Arch::names)
}

/// The name of system call `number` on the running architecture.
pub fn name(number: u32) -> Option<&'static str> {
    names().get(number as usize).copied().filter(|name| !name.is_empty())
}

/// The number of the system call `name`, which may be the tracepoint's name or the C library's.
pub fn number(name: &str) -> Option<u32> {
    number_on(Arch::current()?, name)
}

/// [`number`] on another architecture.
pub fn number_on(arch: Arch, name: &str) -> Option<u32> {
    let find = |name: &str| arch.names().iter().position(|n| *n == name && !n.is_empty());
    let index = find(name).or_else(|| {
        let mut aliases = ALIASES.iter().filter(|(alias, _)| *alias == name);
        aliases.find_map(|(_, name)| find(name))
    })?;
    u32::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library's crate has its own copy of the table.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_are_those_of_libc() {
        for (name, want) in [
            ("read", libc::SYS_read),
            ("stat", libc::SYS_stat),
            ("fstat", libc::SYS_fstat),
            ("sendfile", libc::SYS_sendfile),
            ("uname", libc::SYS_uname),
            ("umount2", libc::SYS_umount2),
            ("newfstatat", libc::SYS_newfstatat),
            ("openat", libc::SYS_openat),
            ("perf_event_open", libc::SYS_perf_event_open),
            ("bpf", libc::SYS_bpf),
            ("rseq", libc::SYS_rseq),
            ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
            ("futex_waitv", libc::SYS_futex_waitv),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(number_on(Arch::X86_64, name).map(i64::from), Some(want), "{name}");
        }
    }

    #[test]
    fn every_name_leads_back_to_its_number() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            for (index, name) in arch.names().iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                assert_eq!(number_on(arch, name), u32::try_from(index).ok(), "{arch:?} {name}");
            }
        }
        assert_eq!(number_on(Arch::Aarch64, "openat"), Some(56));
        assert_eq!(number_on(Arch::Aarch64, "write"), Some(64));
        assert_eq!(number_on(Arch::Aarch64, "fstat"), Some(80));
        assert_eq!(number_on(Arch::Aarch64, "clone3"), Some(435));
        assert_eq!(number_on(Arch::Aarch64, "open"), None);
        assert_eq!(number_on(Arch::X86_64, ""), None);
    }
}
