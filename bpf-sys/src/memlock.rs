//! RLIMIT_MEMLOCK, which the kernel charged maps and programs to before Linux 5.11.

use crate::error::Result;
use crate::features::{self, Answer};
use crate::nofile;

/// Lifts RLIMIT_MEMLOCK for this process where the kernel charges it; elsewhere does nothing.
///
/// Since Linux 5.11 memory is charged to the cgroup instead, and a limit that was raised needlessly would only hide
/// mistakes. Returns whether the limit was lifted.
///
/// # Errors
///
/// Where the limit may not be raised: the hard limit, and CAP_SYS_RESOURCE that it takes to pass it.
pub fn ensure() -> Result<bool> {
    match features::has_memcg_accounting() {
        Answer::Yes => Ok(false),
        answer => {
            let limit = nofile::Limit::get(nofile::Resource::Memlock)?;
            if limit.soft == nofile::Limit::INFINITE {
                return Ok(false);
            }
            let lifted = nofile::Limit { soft: nofile::Limit::INFINITE, hard: nofile::Limit::INFINITE }
                .set(nofile::Resource::Memlock);
            match (lifted, answer) {
                (Ok(()), _) => Ok(true),
                // Who may not even ask the kernel lacks more than this limit: what is asked for next says what.
                (Err(_), Answer::Unknown { .. }) => Ok(false),
                (Err(error), _) => Err(error),
            }
        }
    }
}
