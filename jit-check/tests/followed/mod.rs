//! Kernels whose rules the simulator follows to the letter; of others it knows what decides most verdicts.

use tracewell_jit_check::kernel::Version;

/// Whether the running kernel is one of them. If not, the reason is printed.
pub fn is_followed(test: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let followed =
        release.trim().parse().is_ok_and(|version| [Version(6, 12), Version(6, 18)].contains(&version));
    if !followed {
        eprintln!(
            "SKIP {test}: the rules of 6.12 and 6.18 are followed to the letter, and this is {}",
            release.trim()
        );
    }
    followed
}

/// Of how many cases one is tried: emulated guests take a hundredth of a second for each.
#[allow(dead_code)]
pub fn stride(guests: usize) -> usize {
    if std::env::var_os("TRACEWELL_GUEST").is_some() { guests } else { 1 }
}

/// The last line before the statistics.
#[allow(dead_code)]
pub fn reason(log: &str) -> String {
    let mut lines = log.lines().filter(|line| !line.starts_with("processed ") && !line.is_empty());
    lines.next_back().unwrap_or("").to_owned()
}
