//! An open event: its switches, its links to BPF programs and its counter.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::attr::{PerfAttr, RawAttr, Source};
use super::counts::Counts;
use super::types::{OpenFlags, ReadFormat};
use crate::{Errno, Error, Result, syscall};

// The requests of perf_event_open(2): _IO('$', n), _IOW, _IOR and _IOWR with the size of what they carry.
const fn request(direction: u64, number: u64, size: u64) -> u64 {
    // Most architectures agree on these bits; on mips, powerpc and sparc "no direction" is 1 and the size has 13 bits.
    if cfg!(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc64"
    )) {
        let direction = match direction {
            0 => 1,
            1 => 4,
            2 => 2,
            _ => 6,
        };
        direction << 29 | size << 16 | 0x24 << 8 | number
    } else {
        direction << 30 | size << 16 | 0x24 << 8 | number
    }
}

const PTR: u64 = size_of::<usize>() as u64;
const ENABLE: u64 = request(0, 0, 0);
const DISABLE: u64 = request(0, 1, 0);
const REFRESH: u64 = request(0, 2, 0);
const RESET: u64 = request(0, 3, 0);
const PERIOD: u64 = request(1, 4, 8);
const SET_OUTPUT: u64 = request(0, 5, 0);
const SET_FILTER: u64 = request(1, 6, PTR);
const ID: u64 = request(2, 7, PTR);
const SET_BPF: u64 = request(1, 8, 4);
const PAUSE_OUTPUT: u64 = request(1, 9, 4);
const QUERY_BPF: u64 = request(3, 10, PTR);
const MODIFY_ATTRIBUTES: u64 = request(1, 11, PTR);

/// An open event. Closing it (dropping the value) takes it away, with the programs that were attached to it.
#[derive(Debug)]
pub struct PerfEvent(OwnedFd);

impl From<OwnedFd> for PerfEvent {
    /// Takes over a descriptor that perf_event_open(2) made elsewhere.
    fn from(fd: OwnedFd) -> Self {
        PerfEvent(fd)
    }
}

impl From<PerfEvent> for OwnedFd {
    fn from(event: PerfEvent) -> Self {
        event.0
    }
}

impl AsFd for PerfEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PerfEvent {
    /// Opens an event for a task (`pid`, 0 for the caller, -1 for all) on a processor (`cpu`, -1 for all; not both -1),
    /// in the group of `group` if that is given. The descriptor is close-on-exec. See perf_event_open(2).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the kernel's attribute structure is too old for a field that is set; else
    /// [`Error::Sys`] that says what was to be opened and what its errno means there.
    #[doc(alias = "perf_event_open")]
    pub fn open(
        attr: &PerfAttr,
        pid: i32,
        cpu: i32,
        group: Option<BorrowedFd<'_>>,
        flags: OpenFlags,
    ) -> Result<Self> {
        let mut raw = attr.raw();
        let told = raw.size;
        // SAFETY: `RawAttr` is laid out as the kernel's structure and states at most its own size; the strings that
        // config1 may point to are owned by `attr`, which outlives the call.
        match unsafe { syscall::perf_event_open(&mut raw, pid, cpu, group, flags.bits()) } {
            Ok(fd) => Ok(PerfEvent(fd)),
            Err(errno) => Err(open_error(attr, &raw, told, pid, cpu, errno)),
        }
    }

    /// Switches the event on.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; as for all of these requests.
    #[doc(alias = "PERF_EVENT_IOC_ENABLE")]
    pub fn enable(&self) -> Result<()> {
        self.number(ENABLE, 0, "ioctl(PERF_EVENT_IOC_ENABLE)", "switch the event on")
    }

    /// Switches the event off.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    #[doc(alias = "PERF_EVENT_IOC_DISABLE")]
    pub fn disable(&self) -> Result<()> {
        self.number(DISABLE, 0, "ioctl(PERF_EVENT_IOC_DISABLE)", "switch the event off")
    }

    /// Switches the event and its whole group on.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    pub fn enable_group(&self) -> Result<()> {
        self.number(ENABLE, 1, "ioctl(PERF_EVENT_IOC_ENABLE)", "switch the group on")
    }

    /// Switches the event and its whole group off.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    pub fn disable_group(&self) -> Result<()> {
        self.number(DISABLE, 1, "ioctl(PERF_EVENT_IOC_DISABLE)", "switch the group off")
    }

    /// Sets the count to 0; the times stay.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    #[doc(alias = "PERF_EVENT_IOC_RESET")]
    pub fn reset(&self) -> Result<()> {
        self.number(RESET, 0, "ioctl(PERF_EVENT_IOC_RESET)", "set the count to 0")
    }

    /// Lets `count` more overflows happen, then the event switches itself off. For sampling events that are not inherited.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    #[doc(alias = "PERF_EVENT_IOC_REFRESH")]
    pub fn refresh(&self, count: u32) -> Result<()> {
        let what = "let some more overflows happen";
        self.number(REFRESH, u64::from(count), "ioctl(PERF_EVENT_IOC_REFRESH)", what)
    }

    /// Sets a new sampling period (a frequency if the event samples by frequency).
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    #[doc(alias = "PERF_EVENT_IOC_PERIOD")]
    pub fn set_period(&self, period: u64) -> Result<()> {
        // SAFETY: the request reads one u64, which outlives the call.
        unsafe { self.pointer(PERIOD, (&raw const period) as u64) }
            .map_err(|e| Error::sys("ioctl(PERF_EVENT_IOC_PERIOD)", format!("set the period to {period}"), e))
    }

    /// Sends this event's records to the ring of `target` (on the same processor or task, with the same clock), or
    /// nowhere.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; EINVAL where the two do not go together or this event has a ring of its own.
    #[doc(alias = "PERF_EVENT_IOC_SET_OUTPUT")]
    pub fn set_output(&self, target: Option<BorrowedFd<'_>>) -> Result<()> {
        let fd = target.map_or(-1, |fd| fd.as_raw_fd());
        let what = "send the records to another event's ring";
        self.number(SET_OUTPUT, fd as u64, "ioctl(PERF_EVENT_IOC_SET_OUTPUT)", what)
    }

    /// Sets a tracepoint's filter expression, or the address filter of a hardware tracer.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; EINVAL for an expression that the kernel cannot read.
    #[doc(alias = "PERF_EVENT_IOC_SET_FILTER")]
    pub fn set_filter(&self, filter: &CStr) -> Result<()> {
        // SAFETY: the request reads a NUL-terminated string, which outlives the call.
        unsafe { self.pointer(SET_FILTER, filter.as_ptr() as u64) }.map_err(|e| {
            let what = format!("set the filter `{}`", filter.to_string_lossy());
            Error::sys("ioctl(PERF_EVENT_IOC_SET_FILTER)", what, e)
        })
    }

    /// The event's id, as records and group counters hold it.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    #[doc(alias = "PERF_EVENT_IOC_ID")]
    pub fn id(&self) -> Result<u64> {
        let mut id = 0u64;
        // SAFETY: the request writes one u64, which outlives the call.
        unsafe { self.pointer(ID, (&raw mut id) as u64) }
            .map_err(|e| Error::sys("ioctl(PERF_EVENT_IOC_ID)", "ask for the event's id", e))?;
        Ok(id)
    }

    /// Attaches a BPF program; it stays until the event is closed. Kprobe, uprobe and tracepoint events take several
    /// programs (since Linux 4.15), others one (since Linux 4.9).
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; EINVAL where the program's type does not fit the event, EEXIST where it is attached already or the
    /// event takes one only, E2BIG where it has 64.
    #[doc(alias = "PERF_EVENT_IOC_SET_BPF")]
    pub fn set_bpf(&self, prog: BorrowedFd<'_>) -> Result<()> {
        self.number(SET_BPF, prog.as_raw_fd() as u64, "ioctl(PERF_EVENT_IOC_SET_BPF)", "attach a BPF program")
    }

    /// The ids of the programs that are attached to this tracepoint, by any process; also of one that was made through the
    /// `kprobe_events` or `uprobe_events` file. Since Linux 4.16.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; EINVAL for any other event, perf kprobes and uprobes among them.
    #[doc(alias = "PERF_EVENT_IOC_QUERY_BPF")]
    pub fn query_bpf(&self) -> Result<Vec<u32>> {
        // The kernel attaches 64 at most; ids_len, prog_cnt, then the ids.
        let mut words = [0u32; 2 + 64];
        words[0] = 64;
        // SAFETY: the request reads ids_len and writes prog_cnt and at most ids_len ids, all inside of `words`.
        unsafe { self.pointer(QUERY_BPF, words.as_mut_ptr() as u64) }.map_err(|e| {
            Error::sys("ioctl(PERF_EVENT_IOC_QUERY_BPF)", "ask which BPF programs are attached", e)
        })?;
        let count = usize::try_from(words[1]).unwrap_or(usize::MAX).min(64);
        Ok(words[2..2 + count].to_vec())
    }

    /// Gives a breakpoint another address or length. Since Linux 4.17; the kernel takes breakpoints only.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; EOPNOTSUPP for events that are not breakpoints.
    #[doc(alias = "PERF_EVENT_IOC_MODIFY_ATTRIBUTES")]
    pub fn modify_attributes(&self, attr: &PerfAttr) -> Result<()> {
        let mut raw = attr.raw();
        // SAFETY: the request reads the structure for the size that it states, and may write its size field; the strings
        // that it may point to outlive the call.
        unsafe { self.pointer(MODIFY_ATTRIBUTES, (&raw mut raw) as u64) }.map_err(|e| {
            let what = format!("change the event into {}", attr.describe());
            Error::sys("ioctl(PERF_EVENT_IOC_MODIFY_ATTRIBUTES)", what, e)
        })
    }

    /// Stops the ring from being written, or lets it go on. Since Linux 4.7.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`]; EINVAL where the event has no ring.
    #[doc(alias = "PERF_EVENT_IOC_PAUSE_OUTPUT")]
    pub fn pause_output(&self, pause: bool) -> Result<()> {
        let what = if pause { "pause the ring" } else { "let the ring go on" };
        self.number(PAUSE_OUTPUT, u64::from(pause), "ioctl(PERF_EVENT_IOC_PAUSE_OUTPUT)", what)
    }

    /// Reads the counter, or the group's, into `buffer`. `format` is that of the event's description.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`] (ENOSPC: `buffer` is too small for the group), and [`Error::Unexpected`] for an answer that does not
    /// have this format, such as none at all from a pinned event that found no place on the hardware.
    pub fn read_counts<'b>(&self, format: ReadFormat, buffer: &'b mut [u8]) -> Result<Counts<'b>> {
        let size = loop {
            // SAFETY: `buffer` is writable for its length.
            let n = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            match usize::try_from(n) {
                Ok(size) => break size.min(buffer.len()),
                Err(_) if Errno::last() == Errno::EINTR => {}
                Err(_) => {
                    let what = format!("read a counter into {} bytes", buffer.len());
                    return Err(Error::sys("read", what, Errno::last()));
                }
            }
        };
        match Counts::parse(format, &buffer[..size]) {
            Some((counts, _)) => Ok(counts),
            None => Err(Error::Unexpected {
                place: "read of a perf event".into(),
                what: format!(
                    "{size} bytes do not hold the format {format:?}; an empty answer means that a pinned event found no \
                     place on the hardware"
                ),
            }),
        }
    }

    /// The count of an event that was opened without a read format or with any that has no group.
    ///
    /// # Errors
    ///
    /// As for [`read_counts`](Self::read_counts).
    pub fn read_count(&self) -> Result<u64> {
        let mut buffer = [0u8; 64];
        Ok(self.read_counts(ReadFormat::empty(), &mut buffer)?.value())
    }

    /// A second descriptor of the same event.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`], such as EMFILE.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self.0.try_clone().map_err(|e| {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EINVAL));
            Error::sys("fcntl(F_DUPFD_CLOEXEC)", "duplicate a perf event's descriptor", errno)
        })?;
        Ok(PerfEvent(fd))
    }

    fn number(&self, request: u64, argument: u64, call: &'static str, what: &str) -> Result<()> {
        // SAFETY: the requests that come here take numbers, not addresses.
        match unsafe { syscall::ioctl(self.0.as_fd(), request, argument) } {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::sys(call, what, errno)),
        }
    }

    /// # Safety
    ///
    /// `address` must be valid for what `request` reads and writes there.
    unsafe fn pointer(&self, request: u64, address: u64) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { syscall::ioctl(self.0.as_fd(), request, address) }.map(|_| ())
    }
}

fn open_error(attr: &PerfAttr, raw: &RawAttr, told: u32, pid: i32, cpu: i32, errno: Errno) -> Error {
    let what = attr.describe();
    // With E2BIG the kernel leaves its own structure's size behind, unless it meant the name.
    if errno == Errno::E2BIG && raw.size < told {
        let fields = raw.beyond(raw.size).join(", ");
        return Error::Unsupported {
            feature: "a field of perf_event_attr",
            since: field_release(&fields),
            how: format!(
                "perf_event_open of {what}: this kernel's structure ends after {} bytes and does not hold {fields}; leave \
                 that at 0",
                raw.size
            ),
        };
    }
    let place = match (pid, cpu) {
        (-1, cpu) => format!("processor {cpu}"),
        (pid, -1) => format!("task {pid}"),
        (pid, cpu) => format!("task {pid} on processor {cpu}"),
    };
    let why = open_reason(attr, pid, cpu, errno);
    let colon = if why.is_empty() { "" } else { ": " };
    Error::sys("perf_event_open", format!("open {what} for {place}{colon}{why}"), errno)
}

fn field_release(fields: &str) -> &'static str {
    match fields.rsplit(", ").next() {
        Some("config4") => "6.18",
        Some("config3") => "6.3",
        Some("sig_data") => "5.13",
        Some("aux_action") => "6.13",
        Some("aux_sample_size") => "5.5",
        _ => "4.8",
    }
}

/// What an errno means for this kind of event, where it means something that [`Error`] cannot know.
fn open_reason(attr: &PerfAttr, pid: i32, cpu: i32, errno: Errno) -> &'static str {
    let (kprobe, uprobe) =
        (matches!(attr.source, Source::Kprobe { .. }), matches!(attr.source, Source::Uprobe { .. }));
    let tracepoint = matches!(attr.source, Source::Tracepoint(_));
    match errno {
        Errno::ESRCH => "there is no such process or thread (any more)",
        Errno::EINVAL if pid == -1 && cpu == -1 => "a task or a processor must be named, not both -1",
        Errno::ENODEV if cpu >= 0 => "that processor is offline, or the hardware has no such counter",
        Errno::EBUSY => "another event has the hardware for itself",
        Errno::E2BIG if kprobe => "the function's name is longer than kernel symbols are",
        Errno::ENOENT | Errno::EADDRNOTAVAIL if kprobe => {
            "the kernel has no such function (inlined, in a module that is not loaded, or of another version)"
        }
        Errno::EINVAL if kprobe => {
            "the function cannot be probed: it is on the kprobe blacklist (see debugfs kprobes/blacklist), marked \
             notrace, or the offset is outside of it"
        }
        Errno::EILSEQ if kprobe => {
            "the offset is not at the start of an instruction: take one from a disassembly, or leave it out"
        }
        Errno::EPERM if kprobe => "kprobes may be forbidden by the kernel's lockdown mode",
        Errno::ENOENT if uprobe => "no such file",
        Errno::EINVAL if uprobe => {
            "not a regular file, an offset outside of it, or a reference counter that another probe there does not share"
        }
        Errno::EIO if uprobe => "the file's system cannot hold uprobes",
        Errno::EOPNOTSUPP if uprobe => "the instruction there cannot be probed",
        Errno::ENOENT | Errno::EINVAL if tracepoint => {
            "no tracepoint has this id: read it again from events/CATEGORY/NAME/id in tracefs"
        }
        Errno::ENOENT | Errno::EOPNOTSUPP => {
            "this machine has no such event (virtual machines often have no hardware counters); try a software event"
        }
        Errno::EINVAL => "the kernel or the PMU does not know this combination of settings",
        Errno::ENOSPC => "the hardware has no free breakpoint",
        Errno::EMFILE => "each probe and processor needs one descriptor",
        _ => "",
    }
}
