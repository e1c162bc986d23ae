//! The three system calls that everything else here is made of.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::errno::Errno;

/// `bpf(cmd, attr, used)`, where `used` is how many bytes of `attr` the kernel is to look at.
///
/// A kernel refuses with E2BIG what it does not know and what is not zero, so that `used` is cut behind the last
/// byte that is not zero; EINTR and the verifier's EAGAIN are retried. See bpf(2).
///
/// # Safety
///
/// `A` must be the `#[repr(C)]` attribute structure of `cmd` without padding, and every address in it must be valid
/// for what `cmd` reads and writes there, for as long as the call lasts.
pub(crate) unsafe fn bpf<A>(cmd: u32, attr: &mut A) -> Result<i64, Errno> {
    // SAFETY: the caller's promise; trimmed sizes never exceed the structure's.
    unsafe { bpf_sized(cmd, attr, 0) }
}

/// [`bpf`] with a size of at least `min` bytes, for commands that look at the size to learn which answers to write.
///
/// # Safety
///
/// As for [`bpf`].
pub(crate) unsafe fn bpf_sized<A>(cmd: u32, attr: &mut A, min: usize) -> Result<i64, Errno> {
    let full = size_of::<A>();
    // SAFETY: `attr` is a live, initialised structure without padding (the caller's promise), so its bytes are readable.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(attr).cast::<u8>(), full) };
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    // Whole 32-bit words; and never nothing, since the kernel reads at least one field.
    let used = used.next_multiple_of(4).max(min).max(4).min(full);
    let mut retries = 0;
    loop {
        // SAFETY: `attr` is valid for `used` bytes, and writable, and the addresses in it are the caller's promise.
        let ret =
            unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, std::ptr::from_mut(attr), used) };
        if ret >= 0 {
            return Ok(ret);
        }
        let errno = Errno::last();
        // The verifier gives up with EAGAIN when a signal is pending; the load is then to be tried again.
        let again = errno == Errno::EINTR || (errno == Errno::EAGAIN && cmd == crate::abi::Cmd::PROG_LOAD);
        if !again || retries == 10 {
            return Err(errno);
        }
        retries += 1;
    }
}

/// A `bpf` command that answers with a new file descriptor.
///
/// # Safety
///
/// As for [`bpf`], and `cmd` must be one that returns a descriptor.
pub(crate) unsafe fn bpf_fd<A>(cmd: u32, attr: &mut A) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(cmd, attr) }?;
    // SAFETY: `cmd` returns a descriptor that nobody else owns (the caller's promise).
    Ok(unsafe { own(fd) })
}

/// Takes ownership of the descriptor that a system call returned.
///
/// # Safety
///
/// `fd` must be an open descriptor that has no owner yet.
pub(crate) unsafe fn own(fd: i64) -> OwnedFd {
    // SAFETY: the caller's promise. Descriptors fit an int.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// `perf_event_open(attr, pid, cpu, group, flags)`; the descriptor is close-on-exec. See perf_event_open(2).
///
/// # Safety
///
/// `A` must be laid out as `struct perf_event_attr`, its `size` field must not exceed `size_of::<A>()`, and the
/// addresses in it (`config1` of named kprobes and uprobes) must be NUL-terminated strings that outlive the call.
pub(crate) unsafe fn perf_event_open<A>(
    attr: &mut A,
    pid: i32,
    cpu: i32,
    group: Option<BorrowedFd<'_>>,
    flags: u64,
) -> Result<OwnedFd, Errno> {
    const PERF_FLAG_FD_CLOEXEC: u64 = 8;
    let group = group.map_or(-1, |fd| fd.as_raw_fd());
    loop {
        // SAFETY: `attr` is readable for the size that it states, its addresses are valid (the caller's promise), and
        // its size field is writable: that is where the kernel puts the size it knows when it answers E2BIG.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                std::ptr::from_mut(attr),
                pid,
                cpu,
                group,
                flags | PERF_FLAG_FD_CLOEXEC,
            )
        };
        if ret >= 0 {
            // SAFETY: the call returned a new descriptor.
            return Ok(unsafe { own(ret) });
        }
        let errno = Errno::last();
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
}

/// `ioctl(fd, request, argument)`; the argument is a number or an address.
///
/// # Safety
///
/// Where `request` takes an address, `argument` must be one that is valid for what `request` reads and writes there.
pub(crate) unsafe fn ioctl(fd: BorrowedFd<'_>, request: u64, argument: u64) -> Result<i64, Errno> {
    // SAFETY: the caller's promise. The request's type differs between C libraries, hence the cast.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument) };
    if ret >= 0 { Ok(i64::from(ret)) } else { Err(Errno::last()) }
}
