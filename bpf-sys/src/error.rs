//! The crate's error type.

use std::path::PathBuf;
use std::{fmt, io};

use crate::errno::Errno;
use crate::prog::ProgLoadError;

/// What any function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command could not be done: what was asked, of whom, the kernel's answer and what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    Sys {
        /// The call and its command, such as `bpf(BPF_MAP_CREATE)`.
        call: &'static str,
        /// What it was asked to do, such as ``create map `counts` (array, ..)``.
        context: String,
        /// The kernel's answer.
        errno: Errno,
    },

    /// The kernel refused a program; the verifier's log is inside.
    ProgLoad(Box<ProgLoadError>),

    /// The kernel refused a BTF blob; its log is inside.
    BtfLoad {
        /// Length of the blob in bytes.
        len: usize,
        /// The kernel's answer.
        errno: Errno,
        /// The kernel's log, empty where it wrote none.
        log: String,
    },

    /// This kernel cannot do what was asked, and that was found out by trying.
    Unsupported {
        /// What is missing.
        feature: &'static str,
        /// The release that brought it, such as `5.15`.
        since: &'static str,
        /// How the absence was seen, and what to use instead where there is something.
        how: String,
    },

    /// The caller's arguments can never be right; no system call was made.
    Invalid {
        /// Which argument, what is wrong with it, and what would be right.
        what: String,
    },

    /// The kernel or a file under `/proc` or `/sys` answered with something that this crate cannot read.
    Unexpected {
        /// Where the answer came from.
        place: String,
        /// What was read, and what was expected.
        what: String,
    },

    /// A file could not be read or written.
    File {
        /// What was tried: `read`, `open`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl Error {
    /// A failed system call, with what it was asked to do.
    pub fn sys(call: &'static str, context: impl Into<String>, errno: Errno) -> Self {
        Error::Sys { call, context: context.into(), errno }
    }

    /// Arguments that no kernel would take.
    pub fn invalid(what: impl Into<String>) -> Self {
        Error::Invalid { what: what.into() }
    }

    /// The kernel's error number, where the kernel answered with one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Sys { errno, .. } | Error::BtfLoad { errno, .. } => Some(*errno),
            Error::ProgLoad(e) => Some(e.errno),
            Error::File { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Error::Unsupported { .. } | Error::Invalid { .. } | Error::Unexpected { .. } => None,
        }
    }

    /// Whether the kernel answered with this error number.
    pub fn is_errno(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Sys { call, context, errno } => {
                write!(f, "{call}: {context}: {errno}{}", hint(call, *errno))
            }
            Error::ProgLoad(error) => error.fmt(f),
            Error::BtfLoad { len, errno, log } => {
                write!(f, "bpf(BPF_BTF_LOAD): load {len} bytes of BTF: {errno}{}", log_block(log))
            }
            Error::Unsupported { feature, since, how } => {
                write!(f, "this kernel does not support {feature} (since Linux {since}): {how}")
            }
            Error::Invalid { what } => f.write_str(what),
            Error::Unexpected { place, what } => write!(f, "{place}: {what}"),
            Error::File { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its message is this error's message already.
            Error::ProgLoad(error) => error.source(),
            Error::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What to do next about an errno that means the same whatever was asked; empty where nothing general can be said.
fn hint(call: &str, errno: Errno) -> &'static str {
    match (errno, call.starts_with("bpf"), call.starts_with("perf")) {
        (Errno::EPERM, true, _) => {
            "; run as root, or with CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8); \
             in a container also check its seccomp profile and the kernel's lockdown mode"
        }
        (Errno::EPERM | Errno::EACCES, _, true) => {
            "; run as root, or with CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8, and on some distributions' kernels where \
             kernel.perf_event_paranoid is above 2), or lower the sysctl kernel.perf_event_paranoid"
        }
        (Errno::ENOSYS, true, _) => "; the kernel was built without CONFIG_BPF_SYSCALL",
        (Errno::ENOSYS, _, true) => "; the kernel was built without CONFIG_PERF_EVENTS",
        (Errno::EMFILE, _, _) => "; this process has too many open files: raise RLIMIT_NOFILE (ulimit -n)",
        (Errno::ENFILE, _, _) => "; the system has too many open files: raise the sysctl fs.file-max",
        (Errno::ENOMEM, _, _) => "; not enough memory: ask for less, or raise the cgroup's memory limit",
        _ => "",
    }
}

pub(crate) fn log_block(log: &str) -> String {
    if log.trim().is_empty() { String::new() } else { format!("\nthe kernel says:\n{}", log.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_says_what_to_do_next() {
        let error = Error::sys("bpf(BPF_MAP_CREATE)", "create map `counts` (array)", Errno::EPERM);
        assert_eq!(
            error.to_string(),
            "bpf(BPF_MAP_CREATE): create map `counts` (array): EPERM (Operation not permitted); run as root, or with \
             CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8); in a container also check its seccomp profile \
             and the kernel's lockdown mode"
        );
        let error = Error::sys("perf_event_open", "open a kprobe", Errno::EACCES);
        assert!(error.to_string().ends_with("or lower the sysctl kernel.perf_event_paranoid"));
        let error = Error::sys("bpf(BPF_LINK_CREATE)", "attach", Errno::EMFILE);
        assert!(error.to_string().contains("RLIMIT_NOFILE"));
        assert!(error.is_errno(Errno::EMFILE));
    }

    #[test]
    fn unsupported_names_feature_and_release() {
        let error = Error::Unsupported {
            feature: "kprobe.multi links",
            since: "5.18",
            how: "the trial link was refused".into(),
        };
        assert_eq!(
            error.to_string(),
            "this kernel does not support kprobe.multi links (since Linux 5.18): the trial link was refused"
        );
        assert_eq!(error.errno(), None);
    }
}
