//! Statistics of all programs' runs. Since Linux 5.8.

use std::os::fd::OwnedFd;

use crate::abi::Cmd;
use crate::abi::attr;
use crate::error::{Error, Result};
use crate::syscall;

/// Switches on counting and timing of every program's runs, until the guard is dropped (and all others' guards are);
/// see [`RunStats`](crate::prog::RunStats). Costs each run some 20 to 30 ns. Needs CAP_SYS_ADMIN. Since Linux 5.8;
/// before, there is the sysctl kernel.bpf_stats_enabled.
#[doc(alias = "BPF_ENABLE_STATS")]
pub fn enable_runtime() -> Result<OwnedFd> {
    const RUN_TIME: u32 = 0;
    let mut attr = attr::EnableStats { stats_type: RUN_TIME };
    // SAFETY: the command takes a number only and returns a descriptor.
    unsafe { syscall::bpf_fd(Cmd::ENABLE_STATS, &mut attr) }
        .map_err(|errno| Error::sys("bpf(BPF_ENABLE_STATS)", "count and time the runs of programs", errno))
}
