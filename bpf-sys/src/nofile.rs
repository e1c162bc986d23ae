//! RLIMIT_NOFILE: how many descriptors a process may have. See getrlimit(2).

use crate::errno::Errno;
use crate::error::{Error, Result};

/// The limits that this crate touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Nofile,
    Memlock,
}

impl Resource {
    #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
    fn number(self) -> u32 {
        match self {
            Resource::Nofile => libc::RLIMIT_NOFILE as u32,
            Resource::Memlock => libc::RLIMIT_MEMLOCK as u32,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Resource::Nofile => "RLIMIT_NOFILE",
            Resource::Memlock => "RLIMIT_MEMLOCK",
        }
    }
}

/// A soft and a hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub soft: u64,
    pub hard: u64,
}

impl Limit {
    /// No limit at all.
    #[allow(clippy::unnecessary_cast, reason = "its width differs between C libraries")]
    pub const INFINITE: u64 = libc::RLIM_INFINITY as u64;

    pub fn get(resource: Resource) -> Result<Self> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is writable and lives until the call is over.
        let ret = unsafe { libc::prlimit(0, resource.number() as _, std::ptr::null(), &mut limit) };
        if ret != 0 {
            return Err(Error::sys("prlimit", format!("read {}", resource.name()), Errno::last()));
        }
        Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
    }

    pub fn set(self, resource: Resource) -> Result<()> {
        let limit = libc::rlimit { rlim_cur: self.soft, rlim_max: self.hard };
        // SAFETY: `limit` is readable and lives until the call is over.
        let ret = unsafe { libc::prlimit(0, resource.number() as _, &limit, std::ptr::null_mut()) };
        if ret == 0 {
            return Ok(());
        }
        let errno = Errno::last();
        let hint = if errno == Errno::EPERM {
            "; its hard limit is lower and raising that takes CAP_SYS_RESOURCE: \
             run as root, or raise it for the service or container"
        } else {
            ""
        };
        let to = if self.soft == Limit::INFINITE { "unlimited".to_owned() } else { self.soft.to_string() };
        Err(Error::sys("prlimit", format!("raise {} to {to}{hint}", resource.name()), errno))
    }
}

/// Descriptors that a process has open besides the ones that it counts on.
const SPARE: u64 = 64;

/// Makes room for `n` more descriptors: raises the soft limit, and with CAP_SYS_RESOURCE the hard one. Returns the soft
/// limit that is then in force.
///
/// # Errors
///
/// [`Error::Invalid`] that says how far the limit goes where it does not go far enough.
pub fn raise(n: usize) -> Result<u64> {
    let limit = Limit::get(Resource::Nofile)?;
    let open = std::fs::read_dir("/proc/self/fd").map_or(SPARE, |entries| entries.count() as u64);
    let need = (n as u64).saturating_add(open).saturating_add(SPARE);
    if limit.soft >= need {
        return Ok(limit.soft);
    }
    if limit.hard >= need {
        Limit { soft: need, hard: limit.hard }.set(Resource::Nofile)?;
        return Ok(need);
    }
    Limit { soft: need, hard: need }.set(Resource::Nofile).map(|()| need).map_err(|error| {
        let most = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
        let most = most.trim().parse::<u64>().ok().filter(|most| *most < need);
        let how = match most {
            Some(most) => format!("the sysctl fs.nr_open is {most}: raise it, or ask for fewer probes at once"),
            None => format!(
                "the hard limit is {} and raising it takes CAP_SYS_RESOURCE: run as root, or raise it with \
                 `ulimit -Hn {need}` in a root shell, LimitNOFILE= of the service, or ask for fewer probes at once",
                limit.hard
            ),
        };
        Error::invalid(format!(
            "{n} files have to be open at once, but RLIMIT_NOFILE does not go beyond {}; {how} ({})",
            limit.hard,
            error.errno().map_or_else(String::new, |errno| errno.to_string())
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_room_for_changes_nothing() {
        let before = Limit::get(Resource::Nofile).unwrap();
        assert!(raise(0).unwrap() <= before.soft.max(SPARE * 4));
        assert_eq!(Limit::get(Resource::Nofile).unwrap().hard, before.hard);
    }

    #[test]
    fn more_than_any_kernel_gives_is_refused_with_the_way_out() {
        let error = raise(1 << 40).unwrap_err().to_string();
        assert!(error.starts_with("1099511627776 files have to be open at once"), "{error}");
        assert!(error.contains("fs.nr_open") || error.contains("CAP_SYS_RESOURCE"), "{error}");
    }
}
