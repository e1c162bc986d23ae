//! What a program wrote for people.

use std::os::fd::AsFd;

use super::Prog;
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr_mut, count_field, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

/// One of a program's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stream {
    /// What the program itself writes with `bpf_stream_vprintk`.
    #[doc(alias = "BPF_STREAM_STDOUT")]
    Stdout = 1,
    /// What the program and the kernel write about faults.
    #[doc(alias = "BPF_STREAM_STDERR")]
    Stderr = 2,
}

impl Prog {
    /// Takes text out of a stream and says how many bytes; 0 where there is none (more). Since Linux 6.17.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] before Linux 6.17.
    #[doc(alias = "BPF_PROG_STREAM_READ_BY_FD")]
    pub fn read_stream(&self, stream: Stream, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let mut attr = attr::StreamRead {
            stream_buf: addr_mut(out),
            stream_buf_len: count_field("bytes", out.len())?,
            stream_id: stream as u32,
            prog_fd: fd_field(self.as_fd()),
            _pad: 0,
        };
        // SAFETY: the buffer is as long as stated and lives until the call is over.
        match unsafe { syscall::bpf(Cmd::PROG_STREAM_READ_BY_FD, &mut attr) } {
            Ok(len) => Ok(usize::try_from(len).unwrap_or(0).min(out.len())),
            Err(Errno::EINVAL) => Err(Error::Unsupported {
                feature: "streams of programs",
                since: "6.17",
                how: "bpf(BPF_PROG_STREAM_READ_BY_FD) is no command that it knows; use bpf_trace_printk instead"
                    .into(),
            }),
            Err(errno) => Err(Error::sys("bpf(BPF_PROG_STREAM_READ_BY_FD)", "read a program's stream", errno)),
        }
    }
}
