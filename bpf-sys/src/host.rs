//! Two questions to the C library that have no safe form elsewhere: the local time and the terminal's size.

use std::os::fd::{AsRawFd, BorrowedFd};

/// A time of day in the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60 (a leap second).
    pub second: u8,
}

/// The local time of day `unix` seconds after 1970, as `TZ` or `/etc/localtime` say; `None` where the year does
/// not fit. See localtime_r(3).
pub fn local_time(unix: i64) -> Option<LocalTime> {
    // SAFETY: `tm` is plain data (integers and a pointer that may be null), for which all zeroes are a valid value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    #[allow(
        deprecated,
        reason = "libc announces a wider type for 32-bit musl; the cast is right with either"
    )]
    let unix = unix as libc::time_t;
    // SAFETY: both pointers are to live locals. The environment is not changed by this single-threaded use: Rust's
    // own `set_var` is `unsafe` for exactly that reason.
    let done = unsafe { libc::localtime_r(&unix, &mut tm) };
    let byte = |n: libc::c_int| u8::try_from(n).ok();
    if done.is_null() {
        return None;
    }
    Some(LocalTime { hour: byte(tm.tm_hour)?, minute: byte(tm.tm_min)?, second: byte(tm.tm_sec)? })
}

/// Rows and columns of the terminal behind `fd`; `None` where it is not one or does not know. See ioctl_tty(2).
#[doc(alias = "TIOCGWINSZ")]
pub fn terminal_size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    // SAFETY: `winsize` is four integers, for which all zeroes are a valid value.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and TIOCGWINSZ writes one `winsize` to the address of a live local.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    (ret == 0 && size.ws_row != 0 && size.ws_col != 0).then_some((size.ws_row, size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_and_seconds_are_those_of_utc() {
        // Every zone in use today is whole quarters of an hour away from UTC.
        let t = local_time(1_763_688_896).expect("a time of this century");
        assert_eq!((t.minute % 15, t.second), (34 % 15, 56));
    }

    #[test]
    fn a_file_has_no_terminal_size() {
        let file = std::fs::File::open("/proc/self/exe").expect("own executable");
        assert_eq!(terminal_size(std::os::fd::AsFd::as_fd(&file)), None);
    }
}
