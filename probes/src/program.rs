//! Generated BPF programs: what they have in common.
//!
//! Every program has the same skeleton: the filter, the index of the target, then what is to be done about the event.
//! `r6` holds the context and `r7` the index throughout.

pub(crate) mod count;
pub(crate) mod stack;
#[cfg(test)]
mod tests;

use asm::{Builder, Helper, Isa, Label, MapRef, R0, R1, R2, R3, R4, R6, R7, R10, Size};
use bpf_sys::prog::ProgType;

use crate::filter::FilterPlan;

/// The counters, or the table of stacks.
pub(crate) const DATA: MapRef = MapRef(0);
/// The control group.
pub(crate) const CGROUP: MapRef = MapRef(1);
/// Index by address, or by number of the system call.
pub(crate) const KEYS: MapRef = MapRef(2);
/// Room for one stack on each processor.
pub(crate) const SCRATCH: MapRef = MapRef(3);
/// Dropped stacks on each processor.
pub(crate) const DROPPED: MapRef = MapRef(4);
/// How many maps a program may refer to.
pub(crate) const MAPS: usize = 5;

/// How many system call numbers the table of [`Key::Syscall`] has room for.
pub(crate) const SYSCALLS: u32 = 1024;

/// What the program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Kprobe,
    /// Runs with preemption on since Linux 6.0.
    Uprobe,
    Tracepoint,
    /// A raw tracepoint `sys_enter` or `sys_exit`.
    RawSyscall,
}

impl Kind {
    pub fn prog_type(self) -> ProgType {
        match self {
            Kind::Kprobe | Kind::Uprobe => ProgType::Kprobe,
            Kind::Tracepoint => ProgType::Tracepoint,
            Kind::RawSyscall => ProgType::RawTracepoint,
        }
    }

    /// Whether another task may run the same program on the same processor before it ends.
    pub fn preemptible(self) -> bool {
        matches!(self, Kind::Uprobe | Kind::RawSyscall)
    }
}

/// How the program learns which target it runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// It is always this one.
    Constant(u32),
    /// The attachment's cookie. Since Linux 5.15.
    Cookie,
    /// The probe's address, from the saved instruction pointer, looked up in [`KEYS`].
    Address,
    /// The probed function's address, from the kernel's own books, looked up in [`KEYS`]. Since Linux 5.15.
    FuncIp,
    /// The number of the system call, looked up in [`KEYS`].
    Syscall { exit: bool },
}

/// Everything that a program is generated from, apart from its purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub kind: Kind,
    pub key: Key,
    pub filter: &'a FilterPlan,
    /// How many targets there are; at least 1.
    pub targets: u32,
    /// The kernel has the exchange instruction. Since Linux 5.12.
    pub exchange: bool,
}

/// Where things are in the saved registers of this architecture.
mod regs {
    #[cfg(target_arch = "x86_64")]
    mod arch {
        /// `ip`.
        pub const IP: i16 = 128;
        /// How far the saved instruction pointer is behind the probe: every kind of kprobe shows it behind the `int3`.
        pub const IP_AHEAD: i32 = 1;
        /// First byte of what a system call needs: `orig_ax`, `ip`, `cs`.
        pub const SYSCALL: i32 = 120;
        /// Where the number of the system call is in that.
        pub const NUMBER: i16 = 0;
        /// Where the word is in that which tells 32-bit code: `cs`.
        pub const MODE: i16 = 16;
        /// The selector of 32-bit user code.
        pub const IS_32BIT: i32 = 0x23;
        /// Which bits of the word count.
        pub const MODE_MASK: i32 = 0xffff;
    }
    #[cfg(not(target_arch = "x86_64"))]
    mod arch {
        /// `pc` of arm64.
        pub const IP: i16 = 256;
        pub const IP_AHEAD: i32 = 0;
        /// `pstate`, `orig_x0`, `syscallno`.
        pub const SYSCALL: i32 = 264;
        pub const NUMBER: i16 = 16;
        pub const MODE: i16 = 0;
        /// `PSR_MODE32_BIT`.
        pub const IS_32BIT: i32 = 0x10;
        pub const MODE_MASK: i32 = 0x10;
    }
    pub use arch::*;
}

impl Frame<'_> {
    /// A builder that uses what Linux 5.10 knows.
    pub fn builder(&self) -> Builder {
        Builder::with_isa(Isa::V3)
    }

    /// `r6 = ctx`, then leaves through `out` unless the event passes the filter.
    pub fn emit_filter(&self, b: &mut Builder, out: Label) {
        let filter = self.filter;
        b.mov(R6, R1);
        if let Some(cpu) = filter.cpu {
            b.call(Helper::GET_SMP_PROCESSOR_ID).jne32_imm(R0, cpu.cast_signed(), out);
        }
        if filter.pid.is_some() || filter.tid.is_some() {
            match filter.ns {
                None => {
                    b.call(Helper::GET_CURRENT_PID_TGID);
                    if let Some(tid) = filter.tid {
                        b.jne32_imm(R0, tid.cast_signed(), out);
                    }
                    if let Some(pid) = filter.pid {
                        b.rsh_imm(R0, 32).jne32_imm(R0, pid.cast_signed(), out);
                    }
                }
                Some(ns) => {
                    b.ld_imm64(R1, ns.dev).ld_imm64(R2, ns.ino);
                    b.mov(R3, R10).add_imm(R3, -8).mov_imm(R4, 8);
                    b.call(Helper::GET_NS_CURRENT_PID_TGID).jne_imm(R0, 0, out);
                    if let Some(tid) = filter.tid {
                        b.load(Size::W, R1, R10, -8).jne32_imm(R1, tid.cast_signed(), out);
                    }
                    if let Some(pid) = filter.pid {
                        b.load(Size::W, R1, R10, -4).jne32_imm(R1, pid.cast_signed(), out);
                    }
                }
            }
        }
        if filter.cgroup.is_some() {
            b.ld_map(R1, CGROUP).mov_imm(R2, 0).call(Helper::CURRENT_TASK_UNDER_CGROUP).jne_imm(R0, 1, out);
        }
    }

    /// `r7 = index of the target`, known to be less than `targets`; leaves through `out` if there is none.
    pub fn emit_key(&self, b: &mut Builder, out: Label) {
        let targets = self.targets.cast_signed();
        match self.key {
            Key::Constant(index) => {
                b.mov_imm(R7, index.cast_signed());
            }
            Key::Cookie => {
                b.mov(R1, R6).call(Helper::GET_ATTACH_COOKIE);
                b.mov(R7, R0).jge_imm(R7, targets, out);
            }
            Key::Address | Key::FuncIp => {
                if self.key == Key::Address {
                    b.load(Size::DW, R0, R6, regs::IP);
                    if regs::IP_AHEAD != 0 {
                        b.sub_imm(R0, regs::IP_AHEAD);
                    }
                } else {
                    b.mov(R1, R6).call(Helper::GET_FUNC_IP);
                }
                b.store(Size::DW, R10, -8, R0);
                b.ld_map(R1, KEYS)
                    .mov(R2, R10)
                    .add_imm(R2, -8)
                    .call(Helper::MAP_LOOKUP_ELEM)
                    .jeq_imm(R0, 0, out);
                b.load(Size::W, R7, R0, 0).jge_imm(R7, targets, out);
            }
            Key::Syscall { exit } => {
                // The tracepoints take no notice of 32-bit system calls, whose numbers mean something else.
                let (from, len) = if exit { (0, 24) } else { (regs::MODE, 8) };
                b.mov(R1, R10).add_imm(R1, -24).mov_imm(R2, len);
                b.load(Size::DW, R3, R6, 0).add_imm(R3, regs::SYSCALL + i32::from(from));
                b.call(Helper::PROBE_READ_KERNEL).jne_imm(R0, 0, out);
                b.load(Size::W, R1, R10, -24 + regs::MODE - from);
                b.and_imm(R1, regs::MODE_MASK).jeq_imm(R1, regs::IS_32BIT, out);
                if exit {
                    b.load(Size::W, R1, R10, -24 + regs::NUMBER);
                } else {
                    b.load(Size::DW, R1, R6, 8);
                }
                b.jge_imm(R1, SYSCALLS.cast_signed(), out);
                b.lsh_imm(R1, 2).ld_map_value(R2, KEYS, 0).add(R2, R1);
                // Holes of the table hold a number that is never less.
                b.load(Size::W, R7, R2, 0).jge_imm(R7, targets, out);
            }
        }
    }
}
