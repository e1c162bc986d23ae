//! Error numbers of the kernel, with their symbolic names.

use std::fmt;
use std::io;

/// An error number as a system call returned it; prints as `EPERM (Operation not permitted)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

/// `ENOTSUPP`: a number that the kernel means to keep to itself but that several BPF commands let out.
const ENOTSUPP: i32 = 524;

macro_rules! errno_table {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $name: Errno = Errno(libc::$name);
            )*

            /// The symbolic name, such as `"EPERM"`; `None` for a number that this table does not hold.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( libc::$name => Some(stringify!($name)), )*
                    ENOTSUPP => Some("ENOTSUPP"),
                    _ => None,
                }
            }
        }
    };
}

errno_table! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EILSEQ EOVERFLOW ENODATA ETIME EPROTO EBADMSG
    EADDRINUSE EADDRNOTAVAIL ENETDOWN ENOBUFS ENOTCONN ETIMEDOUT ECONNREFUSED EALREADY EINPROGRESS ESTALE EDQUOT
    ECANCELED EOPNOTSUPP EMSGSIZE ENOPROTOOPT EPROTONOSUPPORT EAFNOSUPPORT ENOTSOCK EUSERS EREMOTE
}

impl Errno {
    /// `ENOTSUPP` (524): "not supported", as several BPF commands say it.
    pub const ENOTSUPP: Errno = Errno(ENOTSUPP);

    /// The error number `raw`, which is positive as in C's `errno`.
    pub const fn from_raw(raw: i32) -> Self {
        Errno(raw)
    }

    /// The number, positive as in C's `errno`.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The calling thread's `errno`, as the last failed system call left it.
    pub fn last() -> Self {
        Errno(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// The error number behind an `io::Error`; 0 where it has none.
    pub fn from_io(error: &io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or(0))
    }

    /// What the number means, in the C library's words: `Operation not permitted`.
    pub fn description(self) -> String {
        if self.0 == ENOTSUPP {
            return "Operation not supported by this kernel".to_owned();
        }
        let mut text = io::Error::from_raw_os_error(self.0).to_string();
        if let Some(cut) = text.find(" (os error") {
            text.truncate(cut);
        }
        text
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.description()),
            None => write!(f, "errno {} ({})", self.0, self.description()),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        io::Error::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_name_and_meaning() {
        assert_eq!(Errno::EPERM.to_string(), "EPERM (Operation not permitted)");
        assert_eq!(Errno::EINVAL.to_string(), "EINVAL (Invalid argument)");
        assert_eq!(Errno::ENOTSUPP.to_string(), "ENOTSUPP (Operation not supported by this kernel)");
        assert_eq!(format!("{:?}", Errno::ENOENT), "ENOENT");
        assert!(Errno::from_raw(4095).to_string().starts_with("errno 4095 ("));
    }
}
