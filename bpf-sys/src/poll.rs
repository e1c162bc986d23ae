//! Waiting for several descriptors: a small wrapper of epoll(7).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::{Errno, Error, Result, syscall};

/// A set of descriptors, each with a number of the caller's.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// A descriptor that has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The number that it was added with.
    pub token: u64,
    /// There is something to read.
    pub readable: bool,
    /// The other side is gone (of a perf event: its task or processor), or the descriptor is in error.
    pub hangup: bool,
}

impl AsFd for Epoll {
    /// Itself readable when one of its descriptors is: epolls nest.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`], such as EMFILE.
    pub fn new() -> Result<Self> {
        // SAFETY: takes a number only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::sys("epoll_create1", "wait for several descriptors", Errno::last()));
        }
        // SAFETY: the call returned a new descriptor.
        Ok(Epoll(unsafe { syscall::own(i64::from(fd)) }))
    }

    /// Adds a descriptor; it is reported as long as there is something to read. Closing its last duplicate takes it out.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`] (EPERM: such a descriptor cannot be waited for; EEXIST: it is in the set).
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event, "add a descriptor")
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`] (ENOENT: it is not in the set).
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        self.control(libc::EPOLL_CTL_DEL, fd, &mut event, "take a descriptor out")
    }

    fn control(&self, op: i32, fd: BorrowedFd<'_>, event: &mut libc::epoll_event, what: &str) -> Result<()> {
        // SAFETY: `event` is a live structure that the call only reads.
        let ret = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd.as_raw_fd(), event) };
        if ret == 0 { Ok(()) } else { Err(Error::sys("epoll_ctl", what, Errno::last())) }
    }

    /// Waits until something is ready or the time is over (`None`: for ever), and puts what is ready into `ready`. A signal
    /// ends the wait as the end of the time does, with nothing ready, so that the caller can look at its flags.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<()> {
        const MOST: usize = 64;
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        // SAFETY: the call writes at most MOST events into `events`.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), MOST as i32, milliseconds(timeout))
        };
        let Ok(count) = usize::try_from(count) else {
            return match Errno::last() {
                Errno::EINTR => Ok(()),
                errno => Err(Error::sys("epoll_wait", "wait for several descriptors", errno)),
            };
        };
        ready.extend(events[..count.min(MOST)].iter().map(|event| {
            let (events, token) = (event.events, event.u64);
            Ready {
                token,
                readable: events & libc::EPOLLIN as u32 != 0,
                hangup: events & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0,
            }
        }));
        Ok(())
    }
}

/// Waits for one descriptor to become readable; `false` when the time is over or a signal came.
pub(crate) fn wait_one(fd: BorrowedFd<'_>, timeout: Option<Duration>, what: &str) -> Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live structure that the call reads and writes.
    match unsafe { libc::poll(&mut entry, 1, milliseconds(timeout)) } {
        0 => Ok(false),
        1.. => Ok(entry.revents & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) != 0),
        _ => match Errno::last() {
            Errno::EINTR => Ok(false),
            errno => Err(Error::sys("poll", what, errno)),
        },
    }
}

/// As poll(2) and epoll_wait(2) want it: rounded up, so that a short time is not none; -1 for ever.
fn milliseconds(timeout: Option<Duration>) -> i32 {
    timeout.map_or(-1, |t| i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn reports_who_is_ready_and_who_is_gone() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(reader.as_fd(), 42).unwrap();
        assert!(epoll.add(reader.as_fd(), 1).unwrap_err().is_errno(Errno::EEXIST));
        let mut ready = Vec::new();
        epoll.wait(Some(Duration::from_millis(1)), &mut ready).unwrap();
        assert_eq!(ready, []);
        assert!(!wait_one(reader.as_fd(), Some(Duration::ZERO), "a pipe").unwrap());
        writer.write_all(b"x").unwrap();
        epoll.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready { token: 42, readable: true, hangup: false }]);
        assert!(wait_one(reader.as_fd(), None, "a pipe").unwrap());
        drop(writer);
        epoll.wait(None, &mut ready).unwrap();
        assert!(ready[0].hangup);
        epoll.remove(reader.as_fd()).unwrap();
        assert!(epoll.remove(reader.as_fd()).unwrap_err().is_errno(Errno::ENOENT));
    }

    #[test]
    fn short_times_are_not_none() {
        assert_eq!(milliseconds(None), -1);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::MAX)), i32::MAX);
    }
}
