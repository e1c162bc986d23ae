//! The event's description: `struct perf_event_attr`, typed.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::pmu::ProbePmu;
use super::record::RecordFormat;
use super::types::*;
use crate::{Error, Result};

/// What an event is made of: its type, and the parts of the structure that mean something else for each type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// An event that most processors count.
    #[doc(alias = "PERF_TYPE_HARDWARE")]
    Hardware(HardwareEvent),
    /// An event that the kernel counts.
    #[doc(alias = "PERF_TYPE_SOFTWARE")]
    Software(SoftwareEvent),
    /// A tracepoint, by the number in its `id` file in tracefs.
    #[doc(alias = "PERF_TYPE_TRACEPOINT")]
    Tracepoint(u64),
    /// Accesses to a cache.
    #[doc(alias = "PERF_TYPE_HW_CACHE")]
    HwCache {
        /// The cache.
        cache: Cache,
        /// Which accesses.
        op: CacheOp,
        /// With which outcome.
        result: CacheResult,
    },
    /// The processor's own event numbers.
    #[doc(alias = "PERF_TYPE_RAW")]
    Raw(PmuConfig),
    /// Accesses to an address.
    #[doc(alias = "PERF_TYPE_BREAKPOINT")]
    Breakpoint {
        /// Which accesses.
        access: BreakpointAccess,
        /// The address.
        addr: u64,
        /// How many bytes are watched: 1, 2, 4 or 8; the size of a `long` for [`BreakpointAccess::Execute`].
        len: u64,
    },
    /// A kprobe or kretprobe; made by [`PerfAttr::kprobe`] and [`PerfAttr::kprobe_addr`]. Since Linux 4.17.
    Kprobe {
        /// The number of the `kprobe` PMU.
        pmu: u32,
        /// The return bit.
        config: u64,
        /// The function, or `None` where `offset` is an address.
        func: Option<CString>,
        /// Bytes behind the function's start, or the address.
        offset: u64,
    },
    /// A uprobe or uretprobe; made by [`PerfAttr::uprobe`]. Since Linux 4.17.
    Uprobe {
        /// The number of the `uprobe` PMU.
        pmu: u32,
        /// The return bit and the reference counter's offset.
        config: u64,
        /// The file.
        path: CString,
        /// The offset in the file, in bytes.
        offset: u64,
    },
    /// Any other PMU, by its number ([`pmu_type`](super::pmu_type)).
    Pmu {
        /// The number.
        pmu: u32,
        /// What that PMU is to count.
        config: PmuConfig,
    },
}

/// The five words whose meaning each PMU defines in its `format` folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuConfig {
    /// `config`.
    pub config: u64,
    /// `config1`.
    pub config1: u64,
    /// `config2`.
    pub config2: u64,
    /// `config3`. Since Linux 6.3.
    pub config3: u64,
    /// `config4`. Since Linux 6.18.
    pub config4: u64,
}

/// When an event makes a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Never: it only counts.
    #[default]
    Never,
    /// Each time that it has counted so many.
    Period(u64),
    /// So many times a second; the kernel adapts the period. At most the sysctl kernel.perf_event_max_sample_rate.
    Frequency(u64),
}

/// When a sleeping reader of the ring is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// After so many samples; 0 leaves it to the kernel (at half of the ring).
    Events(u32),
    /// After so many bytes.
    Bytes(u32),
}

impl Default for Wakeup {
    fn default() -> Self {
        Wakeup::Events(0)
    }
}

/// The description of an event: `struct perf_event_attr` of perf_event_open(2), typed.
///
/// The kernel is told the smallest published size of the structure that holds everything that is set, so that the same
/// description works on any kernel that knows its fields.
///
/// ```
/// use tracewell_bpf_sys::perf::{AttrFlags, PerfAttr, ReadFormat, SoftwareEvent};
///
/// let mut attr = PerfAttr::software(SoftwareEvent::PageFaults);
/// attr.flags |= AttrFlags::DISABLED;
/// attr.read_format = ReadFormat::TOTAL_TIME_ENABLED;
/// assert_eq!(attr.used_size(), 64);
/// ```
#[doc(alias = "perf_event_attr")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfAttr {
    /// What is counted.
    pub source: Source,
    /// When a sample is made.
    pub sampling: Sampling,
    /// Which fields a sample holds.
    pub sample_type: SampleType,
    /// What reading the counter answers with.
    pub read_format: ReadFormat,
    /// The yes-or-no settings.
    pub flags: AttrFlags,
    /// How far a sample's instruction pointer may be off: 0 any skid, 1 constant skid, 2 please none, 3 none at all.
    pub precise_ip: u8,
    /// When a sleeping reader is woken.
    pub wakeup: Wakeup,
    /// Which branches are recorded.
    pub branch_sample_type: BranchSampleType,
    /// The user registers to record: one bit for each, in the architecture's `asm/perf_regs.h` order.
    pub sample_regs_user: u64,
    /// Bytes of the user stack to record; a multiple of 8.
    pub sample_stack_user: u32,
    /// The clock of the `time` fields, as for clock_gettime(2); the kernel's own perf clock if `None`.
    pub clockid: Option<i32>,
    /// The registers of the interrupted context to record.
    pub sample_regs_intr: u64,
    /// Bytes of the AUX area after which a reader is woken.
    pub aux_watermark: u32,
    /// The longest call chain; 0 for the sysctl kernel.perf_event_max_stack.
    pub sample_max_stack: u16,
    /// Bytes of the AUX area in a sample. Since Linux 5.5.
    pub aux_sample_size: u32,
    /// AUX pausing. Since Linux 6.13.
    pub aux_action: AuxAction,
    /// A number for the handler of SIGTRAP. Since Linux 5.13.
    pub sig_data: u64,
}

impl PerfAttr {
    /// An event that counts `source` and nothing else.
    pub fn new(source: Source) -> Self {
        PerfAttr {
            source,
            sampling: Sampling::Never,
            sample_type: SampleType::empty(),
            read_format: ReadFormat::empty(),
            flags: AttrFlags::empty(),
            precise_ip: 0,
            wakeup: Wakeup::default(),
            branch_sample_type: BranchSampleType::empty(),
            sample_regs_user: 0,
            sample_stack_user: 0,
            clockid: None,
            sample_regs_intr: 0,
            aux_watermark: 0,
            sample_max_stack: 0,
            aux_sample_size: 0,
            aux_action: AuxAction::empty(),
            sig_data: 0,
        }
    }

    /// An event that the kernel itself counts.
    pub fn software(event: SoftwareEvent) -> Self {
        Self::new(Source::Software(event))
    }

    /// An event that the processor counts.
    pub fn hardware(event: HardwareEvent) -> Self {
        Self::new(Source::Hardware(event))
    }

    /// A tracepoint, by the number in its `id` file in tracefs. Each hit is a sample (period 1), as BPF programs need it.
    pub fn tracepoint(id: u64) -> Self {
        PerfAttr { sampling: Sampling::Period(1), ..Self::new(Source::Tracepoint(id)) }
    }

    /// The timer of a processor, `frequency` times a second: what profilers sample with.
    pub fn cpu_clock(frequency: u64) -> Self {
        PerfAttr { sampling: Sampling::Frequency(frequency), ..Self::software(SoftwareEvent::CpuClock) }
    }

    /// What BPF programs write with `bpf_perf_event_output`: raw samples, a wake-up for each.
    pub fn bpf_output() -> Self {
        PerfAttr {
            sampling: Sampling::Period(1),
            sample_type: SampleType::RAW,
            wakeup: Wakeup::Events(1),
            ..Self::software(SoftwareEvent::BpfOutput)
        }
    }

    /// A kprobe `offset` bytes behind the start of a kernel function (`module:function` for a module's own), or its
    /// return. Since Linux 4.17.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the kernel has no `kprobe` PMU; [`Error::Invalid`] for a name with a NUL byte or an
    /// offset at a return probe.
    pub fn kprobe(func: &str, offset: u64, ret: bool) -> Result<Self> {
        if ret && offset != 0 {
            return Err(Error::invalid(format!(
                "return probe of `{func}` at offset {offset:#x}: a return probe has no offset"
            )));
        }
        let name = c_string("function name", func.as_bytes())?;
        Self::kprobe_source(Some(name), offset, ret)
    }

    /// A kprobe at a kernel address, or at the return of the function that starts there. Since Linux 4.17.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the kernel has no `kprobe` PMU; [`Error::Invalid`] for address 0.
    pub fn kprobe_addr(addr: u64, ret: bool) -> Result<Self> {
        if addr == 0 {
            return Err(Error::invalid(
                "kprobe at address 0: the address was hidden by the sysctl kernel.kptr_restrict; read \
                 /proc/kallsyms as root, or give the function's name",
            ));
        }
        Self::kprobe_source(None, addr, ret)
    }

    fn kprobe_source(func: Option<CString>, offset: u64, ret: bool) -> Result<Self> {
        let pmu = ProbePmu::kprobe()?;
        let config = if ret { pmu.retprobe } else { 0 };
        let source = Source::Kprobe { pmu: pmu.number, config, func, offset };
        Ok(PerfAttr { sampling: Sampling::Period(1), ..Self::new(source) })
    }

    /// A uprobe at a file's offset (of the file, not a virtual address), or at the return of the function that starts
    /// there. `ref_ctr` is the file offset of a USDT semaphore, 0 for none (since Linux 4.20). Since Linux 4.17.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the kernel has no `uprobe` PMU or no reference counters; [`Error::Invalid`] for a
    /// path with a NUL byte or a counter's offset of more than the kernel's field holds (32 bits).
    pub fn uprobe(path: impl AsRef<Path>, offset: u64, ret: bool, ref_ctr: u64) -> Result<Self> {
        let path: &OsStr = path.as_ref().as_os_str();
        let path = c_string("path", path.as_bytes())?;
        let pmu = ProbePmu::uprobe()?;
        let mut config = if ret { pmu.retprobe } else { 0 };
        if ref_ctr != 0 {
            let Some(bits) = &pmu.ref_ctr else {
                return Err(Error::Unsupported {
                    feature: "reference counters of uprobes",
                    since: "4.20",
                    how: "the uprobe PMU has no format `ref_ctr_offset`; set the semaphore through /proc/PID/mem".into(),
                });
            };
            if bits.place(ref_ctr) >> bits.low != ref_ctr {
                return Err(Error::invalid(format!(
                    "the reference counter's file offset {ref_ctr:#x} does not fit the kernel's field of {} bits",
                    bits.high - bits.low + 1
                )));
            }
            config |= bits.place(ref_ctr);
        }
        let source = Source::Uprobe { pmu: pmu.number, config, path, offset };
        Ok(PerfAttr { sampling: Sampling::Period(1), ..Self::new(source) })
    }

    /// How the records of this event are to be read.
    pub fn record_format(&self) -> RecordFormat {
        RecordFormat {
            sample_type: self.sample_type,
            sample_id_all: self.flags.contains(AttrFlags::SAMPLE_ID_ALL),
            read_format: self.read_format,
            branch: self.branch_sample_type,
            regs_user: self.sample_regs_user,
            regs_intr: self.sample_regs_intr,
        }
    }

    /// The size of the structure that the kernel is told, in bytes: the oldest published one that holds all that is set.
    pub fn used_size(&self) -> u32 {
        self.raw().size
    }

    pub(super) fn raw(&self) -> RawAttr {
        let mut raw = RawAttr::default();
        let words = |c: &PmuConfig| (c.config, c.config1, c.config2, c.config3, c.config4);
        let (kind, (config, config1, config2, config3, config4)) = match &self.source {
            Source::Hardware(e) => (0, (*e as u64, 0, 0, 0, 0)),
            Source::Software(e) => (1, (*e as u64, 0, 0, 0, 0)),
            Source::Tracepoint(id) => (2, (*id, 0, 0, 0, 0)),
            Source::HwCache { cache, op, result } => {
                (3, (*cache as u64 | (*op as u64) << 8 | (*result as u64) << 16, 0, 0, 0, 0))
            }
            Source::Raw(c) => (4, words(c)),
            Source::Breakpoint { access, addr, len } => {
                raw.bp_type = *access as u32;
                (5, (0, *addr, *len, 0, 0))
            }
            Source::Kprobe { pmu, config, func, offset } => {
                (*pmu, (*config, func.as_ref().map_or(0, |f| f.as_ptr() as u64), *offset, 0, 0))
            }
            Source::Uprobe { pmu, config, path, offset } => {
                (*pmu, (*config, path.as_ptr() as u64, *offset, 0, 0))
            }
            Source::Pmu { pmu, config } => (*pmu, words(config)),
        };
        raw.kind = kind;
        (raw.config, raw.config1, raw.config2, raw.config3, raw.config4) =
            (config, config1, config2, config3, config4);
        raw.sample_type = self.sample_type.bits();
        raw.read_format = self.read_format.bits();
        raw.flags = self.flags.bits() | u64::from(self.precise_ip.min(3)) << 15;
        match self.sampling {
            Sampling::Never => {}
            Sampling::Period(period) => raw.sample_period = period,
            Sampling::Frequency(hertz) => {
                raw.sample_period = hertz;
                raw.flags |= 1 << 10;
            }
        }
        match self.wakeup {
            Wakeup::Events(n) => raw.wakeup = n,
            Wakeup::Bytes(n) => {
                raw.wakeup = n;
                raw.flags |= 1 << 14;
            }
        }
        if let Some(clock) = self.clockid {
            raw.clockid = clock;
            raw.flags |= 1 << 25;
        }
        raw.branch_sample_type = self.branch_sample_type.bits();
        raw.sample_regs_user = self.sample_regs_user;
        raw.sample_stack_user = self.sample_stack_user;
        raw.sample_regs_intr = self.sample_regs_intr;
        raw.aux_watermark = self.aux_watermark;
        raw.sample_max_stack = self.sample_max_stack;
        raw.aux_sample_size = self.aux_sample_size;
        raw.aux_action = self.aux_action.bits();
        raw.sig_data = self.sig_data;
        raw.size = raw.used_size();
        raw
    }

    /// What is counted, for error messages.
    pub(super) fn describe(&self) -> String {
        match &self.source {
            Source::Hardware(e) => format!("hardware event {e:?}"),
            Source::Software(e) => format!("software event {e:?}"),
            Source::Tracepoint(id) => format!("tracepoint with id {id}"),
            Source::HwCache { cache, op, result } => format!("cache event {cache:?} {op:?} {result:?}"),
            Source::Raw(c) => format!("raw event {:#x}", c.config),
            Source::Breakpoint { access, addr, len } => {
                format!("breakpoint ({access:?}) on {len} bytes at {addr:#x}")
            }
            Source::Kprobe { config, func, offset, .. } => {
                let kind = if *config & 1 != 0 { "kretprobe" } else { "kprobe" };
                match func {
                    Some(f) if *offset == 0 => format!("{kind} `{}`", f.to_string_lossy()),
                    Some(f) => format!("{kind} `{}+{offset:#x}`", f.to_string_lossy()),
                    None => format!("{kind} at address {offset:#x}"),
                }
            }
            Source::Uprobe { config, path, offset, .. } => {
                let kind = if *config & 1 != 0 { "uretprobe" } else { "uprobe" };
                format!("{kind} `{}` at file offset {offset:#x}", path.to_string_lossy())
            }
            Source::Pmu { pmu, config } => format!("event {:#x} of PMU {pmu}", config.config),
        }
    }
}

fn c_string(what: &str, bytes: &[u8]) -> Result<CString> {
    CString::new(bytes)
        .map_err(|_| Error::invalid(format!("{what} `{}` holds a NUL byte", String::from_utf8_lossy(bytes))))
}

/// The structure as the kernel lays it out.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct RawAttr {
    pub kind: u32,
    pub size: u32,
    pub config: u64,
    pub sample_period: u64,
    pub sample_type: u64,
    pub read_format: u64,
    pub flags: u64,
    pub wakeup: u32,
    pub bp_type: u32,
    pub config1: u64,
    pub config2: u64,
    pub branch_sample_type: u64,
    pub sample_regs_user: u64,
    pub sample_stack_user: u32,
    pub clockid: i32,
    pub sample_regs_intr: u64,
    pub aux_watermark: u32,
    pub sample_max_stack: u16,
    pub reserved_2: u16,
    pub aux_sample_size: u32,
    pub aux_action: u32,
    pub sig_data: u64,
    pub config3: u64,
    pub config4: u64,
}

const _: () = assert!(size_of::<RawAttr>() == 144);

impl RawAttr {
    /// The published sizes, each with whether anything behind the size before it is set.
    fn used_size(&self) -> u32 {
        let growth = [
            (144, self.config4 != 0),
            (136, self.config3 != 0),
            (128, self.sig_data != 0),
            (120, self.aux_sample_size != 0 || self.aux_action != 0),
            (112, self.aux_watermark != 0 || self.sample_max_stack != 0),
            (104, self.sample_regs_intr != 0),
            (96, self.sample_regs_user != 0 || self.sample_stack_user != 0 || self.clockid != 0),
            (80, self.branch_sample_type != 0),
            (72, self.config2 != 0),
        ];
        growth.iter().find(|(_, set)| *set).map_or(64, |(size, _)| *size)
    }

    /// Names of what lies behind the first `known` bytes and is set; for the error where a kernel knows no more.
    pub fn beyond(&self, known: u32) -> Vec<&'static str> {
        let fields = [
            (72, "config2", self.config2 != 0),
            (80, "branch_sample_type", self.branch_sample_type != 0),
            (88, "sample_regs_user", self.sample_regs_user != 0),
            (92, "sample_stack_user", self.sample_stack_user != 0),
            (96, "clockid", self.clockid != 0),
            (104, "sample_regs_intr", self.sample_regs_intr != 0),
            (108, "aux_watermark", self.aux_watermark != 0),
            (110, "sample_max_stack", self.sample_max_stack != 0),
            (116, "aux_sample_size", self.aux_sample_size != 0),
            (120, "aux_action", self.aux_action != 0),
            (128, "sig_data", self.sig_data != 0),
            (136, "config3", self.config3 != 0),
            (144, "config4", self.config4 != 0),
        ];
        fields.iter().filter(|(end, _, set)| *set && *end > known).map(|(_, name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_used_size_is_the_oldest_that_holds_everything() {
        let mut attr = PerfAttr::software(SoftwareEvent::CpuClock);
        assert_eq!(attr.used_size(), 64);
        attr.source = Source::Breakpoint { access: BreakpointAccess::Write, addr: 8, len: 4 };
        assert_eq!(attr.used_size(), 72);
        attr.branch_sample_type = BranchSampleType::ANY;
        assert_eq!(attr.used_size(), 80);
        attr.sample_stack_user = 8;
        assert_eq!(attr.used_size(), 96);
        attr.sample_regs_intr = 1;
        assert_eq!(attr.used_size(), 104);
        attr.sample_max_stack = 1;
        assert_eq!(attr.used_size(), 112);
        attr.aux_action = AuxAction::PAUSE;
        assert_eq!(attr.used_size(), 120);
        attr.sig_data = 1;
        assert_eq!(attr.used_size(), 128);
        assert_eq!(attr.raw().beyond(112), ["aux_action", "sig_data"]);
        attr.source = Source::Raw(PmuConfig { config3: 1, ..PmuConfig::default() });
        assert_eq!(attr.used_size(), 136);
        attr.source = Source::Pmu { pmu: 9, config: PmuConfig { config4: 1, ..PmuConfig::default() } };
        assert_eq!(attr.used_size(), 144);
        assert_eq!(attr.raw().beyond(136), ["config4"]);
    }

    #[test]
    fn derived_bits_are_where_the_kernel_looks_for_them() {
        let mut attr = PerfAttr::cpu_clock(99);
        attr.wakeup = Wakeup::Bytes(4096);
        attr.clockid = Some(1);
        attr.precise_ip = 2;
        let raw = attr.raw();
        assert_eq!((raw.kind, raw.config, raw.sample_period, raw.wakeup, raw.clockid), (1, 0, 99, 4096, 1));
        assert_eq!(raw.flags, 1 << 10 | 1 << 14 | 2 << 15 | 1 << 25);
        let cache = Source::HwCache { cache: Cache::Dtlb, op: CacheOp::Write, result: CacheResult::Miss };
        assert_eq!(PerfAttr::new(cache).raw().config, 0x1_01_03);
    }

    #[test]
    fn what_can_never_be_right_is_refused_before_the_kernel_is_asked() {
        let error = PerfAttr::kprobe("vfs_read", 4, true).unwrap_err();
        assert_eq!(
            error.to_string(),
            "return probe of `vfs_read` at offset 0x4: a return probe has no offset"
        );
        assert!(PerfAttr::kprobe_addr(0, false).unwrap_err().to_string().contains("kptr_restrict"));
        assert!(PerfAttr::uprobe("a\0b", 0, false, 0).unwrap_err().to_string().contains("NUL byte"));
    }
}
