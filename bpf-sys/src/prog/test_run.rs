//! Running a program on made-up input. Since Linux 4.12, for tracing types later.

use std::os::fd::AsFd;
use std::time::Duration;

use super::Prog;
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr, addr_mut, count_field, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

bitflags::bitflags! {
    /// How a test run is done.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct TestFlags: u32 {
        /// On the processor [`TestRun::cpu`] (raw tracepoints). Since Linux 5.10.
        #[doc(alias = "BPF_F_TEST_RUN_ON_CPU")]
        const RUN_ON_CPU = 1 << 0;
        /// With live packets (XDP). Since Linux 5.18.
        #[doc(alias = "BPF_F_TEST_XDP_LIVE_FRAMES")]
        const XDP_LIVE_FRAMES = 1 << 1;
        /// Leave the packet's checksum to the device (skb). Since Linux 6.14.
        #[doc(alias = "BPF_F_TEST_SKB_CHECKSUM_COMPLETE")]
        const SKB_CHECKSUM_COMPLETE = 1 << 2;
        /// Flags that newer kernels bring.
        const _ = !0;
    }
}

/// The input of a test run.
#[derive(Debug, Default)]
pub struct TestRun<'a> {
    /// The packet, for networking types: at least 14 bytes.
    pub data: &'a [u8],
    /// Where the packet goes afterwards; empty for nowhere.
    pub data_out: &'a mut [u8],
    /// The context: a `__sk_buff`, `xdp_md`, or a raw tracepoint's 64-bit arguments.
    pub ctx: &'a [u8],
    /// Where the context goes afterwards; empty for nowhere.
    pub ctx_out: &'a mut [u8],
    /// How often to run; 0 and 1 are once. Raw tracepoints and syscall programs take 0 only.
    pub repeat: u32,
    /// How it is done.
    pub flags: TestFlags,
    /// The processor of [`TestFlags::RUN_ON_CPU`].
    pub cpu: u32,
    /// Packets at once with [`TestFlags::XDP_LIVE_FRAMES`]; 0 for the kernel's choice.
    pub batch_size: u32,
}

/// What came of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestRunOut {
    /// What the program returned last.
    pub retval: u32,
    /// The mean time of one run; zero for types that are not timed.
    pub duration: Duration,
    /// Bytes of the packet afterwards; `data_out` has as many of them as fit.
    pub data_len: usize,
    /// Bytes of the context afterwards; `ctx_out` has as many of them as fit.
    pub ctx_len: usize,
    /// Whether something did not fit `data_out` or `ctx_out` and was cut off.
    pub truncated: bool,
}

impl Prog {
    /// Runs the program on made-up input.
    ///
    /// # Errors
    ///
    /// ENOTSUPP for types that cannot be run so (kprobes and tracepoints among them), EINVAL for input that the type
    /// does not take.
    #[doc(alias = "BPF_PROG_TEST_RUN")]
    #[doc(alias = "BPF_PROG_RUN")]
    pub fn test_run(&self, run: TestRun<'_>) -> Result<TestRunOut> {
        // Syscall programs take no room for the context's new content: the kernel writes it over the old one.
        let mut ctx = run.ctx.to_vec();
        let mut attr = attr::TestRun {
            prog_fd: fd_field(self.as_fd()),
            data_size_in: count_field("bytes of data", run.data.len())?,
            data_size_out: count_field("bytes of data", run.data_out.len())?,
            data_in: addr(run.data),
            data_out: addr_mut(run.data_out),
            repeat: run.repeat,
            ctx_size_in: count_field("bytes of context", ctx.len())?,
            ctx_size_out: count_field("bytes of context", run.ctx_out.len())?,
            ctx_in: addr_mut(&mut ctx),
            ctx_out: addr_mut(run.ctx_out),
            flags: run.flags.bits(),
            cpu: run.cpu,
            batch_size: run.batch_size,
            ..Default::default()
        };
        // SAFETY: every address is that of a slice, given with its length, and an empty one is null, for which the
        // kernel writes nothing. What it writes to, the context's copy included, is borrowed mutably.
        let mut answer = unsafe { syscall::bpf(Cmd::PROG_TEST_RUN, &mut attr) };
        if matches!(answer, Err(Errno::EINVAL)) && !run.ctx_out.is_empty() && !ctx.is_empty() {
            (attr.ctx_out, attr.ctx_size_out) = (0, 0);
            // SAFETY: as above.
            answer = unsafe { syscall::bpf(Cmd::PROG_TEST_RUN, &mut attr) };
            if answer.is_ok() {
                let len = ctx.len().min(run.ctx_out.len());
                run.ctx_out[..len].copy_from_slice(&ctx[..len]);
                attr.ctx_size_out = ctx.len() as u32;
            }
        }
        let truncated = matches!(answer, Err(Errno::ENOSPC));
        match answer {
            Err(errno) if !truncated => {
                let hint = match errno {
                    Errno::ENOTSUPP | Errno::EOPNOTSUPP => {
                        "; the kernel cannot test-run programs of this type"
                    }
                    Errno::EINVAL => "; the type does not take this data, context, repeat count or flag",
                    _ => "",
                };
                Err(Error::sys("bpf(BPF_PROG_TEST_RUN)", format!("run a program on test input{hint}"), errno))
            }
            _ => Ok(TestRunOut {
                retval: attr.retval,
                duration: Duration::from_nanos(attr.duration.into()),
                data_len: attr.data_size_out as usize,
                ctx_len: attr.ctx_size_out as usize,
                truncated,
            }),
        }
    }
}
