//! Facts about kernels that are data: who may call which helper, which types there are.
//!
//! The helper tables were made by asking the kernels: one program for each helper, program type and place of attachment,
//! and what the verifier said. `tests/root_tables.rs` asks again.

mod offers;
mod types;

pub(crate) use offers::{helper_count, offers_helper};

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Functions at which `bpf_d_path` may be called from tracing programs.
pub(crate) const D_PATH_CALLERS: &[&str] = &[
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];

static SLEEPABLE_LSM_HOOKS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let text = include_str!("sleepable_lsm_hooks.txt");
    text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
});

/// Whether programs at this hook (`bpf_lsm_file_open`) may sleep.
pub(crate) fn is_sleepable_lsm_hook(name: &str) -> bool {
    name.strip_prefix("bpf_lsm_").is_some_and(|hook| SLEEPABLE_LSM_HOOKS.contains(hook))
}

#[cfg(test)]
mod tests {
    use super::is_sleepable_lsm_hook;

    #[test]
    fn hooks_by_their_functions() {
        assert!(is_sleepable_lsm_hook("bpf_lsm_file_open"));
        assert!(!is_sleepable_lsm_hook("bpf_lsm_file_permission"));
        assert!(!is_sleepable_lsm_hook("file_open"));
    }
}
