//! The kernel that is asked about: its version, types and what else changes a verdict.

use btf::Btf;
use std::fmt;
use std::str::FromStr;

/// Version of a kernel, as in `6.12`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u16, pub u16);

impl Version {
    /// The oldest kernel that is simulated.
    pub const OLDEST: Version = Version(5, 10);
    /// The newest kernel that is simulated.
    pub const NEWEST: Version = Version(7, 2);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `6.12`, `6.12.3` and whole releases such as `6.12.3+deb13-cloud-amd64`.
    fn from_str(text: &str) -> Result<Version, String> {
        let mut parts = text.split(['.', '-', '+', '~']);
        let mut number = || parts.next().and_then(|part| part.parse::<u16>().ok());
        match (number(), number()) {
            (Some(major), Some(minor)) => Ok(Version(major, minor)),
            _ => Err(format!("{text:?} is not a kernel version; write it as in 6.12")),
        }
    }
}

/// A kernel, as far as a program's verdict depends on it.
#[derive(Clone, Debug)]
pub struct Kernel<'k> {
    /// Version.
    pub version: Version,
    /// Its types; without them programs that need BTF (tracing, kernel functions) cannot be judged.
    pub btf: Option<&'k Btf<'k>>,
    /// Types of its modules by name.
    pub modules: Vec<(&'k str, &'k Btf<'k>)>,
    /// Whether programs are compiled for the processor: some instructions and calls need that.
    pub jit: bool,
    /// Whether memory may be accessed at any address (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`): yes on x86-64 and arm64.
    pub unaligned: bool,
    /// Whether the processor needs no guard against speculation for programs of the unprivileged (`mitigations=off`).
    pub mitigations_off: bool,
    /// Whether functions may be made to fail (`CONFIG_FUNCTION_ERROR_INJECTION`); distributions leave that out. Programs on
    /// system calls may sleep, and change what they return, only where it is there.
    pub error_injection: bool,
    /// `HZ`, timer interrupts a second.
    pub hz: u32,
    /// Number of possible processors.
    pub cpus: u32,
}

impl<'k> Kernel<'k> {
    /// A kernel of this version as distributions make it for x86-64, with these types.
    pub fn new(version: Version, btf: Option<&'k Btf<'k>>) -> Kernel<'k> {
        Kernel {
            version,
            btf,
            modules: Vec::new(),
            jit: true,
            unaligned: true,
            mitigations_off: false,
            error_injection: false,
            hz: 250,
            cpus: 1,
        }
    }
}

/// What the loader of a program may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Privileges {
    /// `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`: root.
    #[default]
    Full,
    /// `CAP_BPF` and `CAP_NET_ADMIN` without `CAP_PERFMON`: loops and subprograms are allowed, and neither addresses nor
    /// memory that was not initialised may get out. Since Linux 5.8.
    Bpf,
    /// None of them, where `kernel.unprivileged_bpf_disabled` is 0.
    None,
}
