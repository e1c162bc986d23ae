//! Why the kernel refused a program.

use std::fmt;

use super::ProgType;
use crate::errno::Errno;

/// A program that the kernel refused, with everything that it said about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProgLoadError {
    /// The program's name; empty where it has none.
    pub name: String,
    /// The program's type.
    pub prog_type: ProgType,
    /// The kernel's answer to the load.
    pub errno: Errno,
    /// The verifier's log, in full; empty where the kernel wrote none.
    pub log: String,
    /// How many instructions the program has.
    pub insn_count: usize,
    /// The licence that it was loaded under.
    pub license: String,
}

impl ProgLoadError {
    /// What to do next, as far as the errno and the log tell.
    pub fn remedy(&self) -> Option<String> {
        let log = &self.log;
        let has = |text: &str| log.contains(text);
        if has("GPL") && has("cannot call") || has("from non-GPL compatible") {
            return Some(format!(
                "the program's licence is {:?}: load it under \"GPL\" to use this helper",
                self.license
            ));
        }
        if has("unknown func") || has("program of this type cannot use helper") {
            return Some(format!(
                "the kernel does not offer this helper to {} programs: `features::helper` tells which it does",
                self.prog_type
            ));
        }
        if has("too many") && has("insn") || has("BPF program is too large") {
            return Some(
                "the verifier gave up on the program's size: make loops shorter or split the program".into(),
            );
        }
        if !log.trim().is_empty() && self.errno != Errno::EPERM {
            return None;
        }
        Some(match self.errno {
            Errno::EPERM => "run as root, or with CAP_BPF and (for tracing) CAP_PERFMON, CAP_SYS_ADMIN before Linux \
                 5.8; without them the sysctl kernel.unprivileged_bpf_disabled must be 0 and only socket filters load; \
                 before Linux 5.11 RLIMIT_MEMLOCK (ulimit -l) may be too small as well"
                .into(),
            Errno::E2BIG if self.insn_count > 4096 => format!(
                "{} instructions are too many: 1,000,000 with CAP_BPF since Linux 5.2, else 4096",
                self.insn_count
            ),
            Errno::E2BIG if self.insn_count == 0 => "the program has no instructions".into(),
            Errno::EINVAL => format!(
                "without a log the kernel did not get as far as verifying: either it does not know {} programs \
                 (`features::prog_type` tells), or the attach type, the flags or the licence string are none it takes",
                self.prog_type
            ),
            Errno::ENOTSUPP | Errno::EOPNOTSUPP => format!(
                "the kernel was built without what {} programs of this kind need (for fentry: \
                 CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)",
                self.prog_type
            ),
            Errno::ENOENT | Errno::ESRCH => "the BTF type that it attaches to is not there".into(),
            _ => return None,
        })
    }
}

impl fmt::Display for ProgLoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bpf(BPF_PROG_LOAD): load {} program `{}` ({} instructions): {}",
            self.prog_type, self.name, self.insn_count, self.errno
        )?;
        if let Some(remedy) = self.remedy() {
            write!(f, "; {remedy}")?;
        }
        f.write_str(&crate::error::log_block(&self.log))
    }
}

impl std::error::Error for ProgLoadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno, log: &str) -> ProgLoadError {
        ProgLoadError {
            name: "count".into(),
            prog_type: ProgType::Kprobe,
            errno,
            log: log.into(),
            insn_count: 12,
            license: "MIT".into(),
        }
    }

    #[test]
    fn the_text_has_the_kernels_words_in_full() {
        let text =
            error(Errno::EACCES, "0: (79) r0 = *(u64 *)(r1 +200)\ninvalid bpf_context access\n").to_string();
        assert_eq!(
            text,
            "bpf(BPF_PROG_LOAD): load kprobe program `count` (12 instructions): EACCES (Permission denied)\n\
             the kernel says:\n0: (79) r0 = *(u64 *)(r1 +200)\ninvalid bpf_context access"
        );
    }

    #[test]
    fn remedies_follow_errno_and_log() {
        let remedy = |errno, log| error(errno, log).remedy().unwrap_or_default();
        assert!(remedy(Errno::EPERM, "").contains("kernel.unprivileged_bpf_disabled"));
        assert!(remedy(Errno::EINVAL, "").contains("features::prog_type"));
        assert!(
            remedy(Errno::EINVAL, "cannot call GPL-restricted function from non-GPL compatible program")
                .contains("GPL")
        );
        assert!(remedy(Errno::EINVAL, "unknown func bpf_x#999").contains("features::helper"));
        assert!(remedy(Errno::E2BIG, "BPF program is too large. Processed 1000001 insn").contains("split"));
        assert_eq!(error(Errno::EACCES, "R1 invalid mem access 'inv'").remedy(), None);
    }
}
