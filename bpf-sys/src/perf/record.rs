//! The records of a perf ring: what their bytes mean.
//!
//! Everything here works on bytes alone and never panics, whatever they hold. Numbers are in the machine's own byte order.

use std::fmt;

use super::counts::Counts;
use super::sample::{Callchain, Sample};
use super::types::{BranchSampleType, ReadFormat, SampleType};

/// How the records of an event are laid out: the parts of its description that decide it
/// ([`PerfAttr::record_format`](super::PerfAttr::record_format)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFormat {
    /// The fields of a sample.
    pub sample_type: SampleType,
    /// Whether records that are no samples end with a [`SampleId`].
    pub sample_id_all: bool,
    /// The layout of counter values.
    pub read_format: ReadFormat,
    /// What accompanies branch stacks.
    pub branch: BranchSampleType,
    /// The user registers, one bit for each.
    pub regs_user: u64,
    /// The interrupted context's registers, one bit for each.
    pub regs_intr: u64,
}

/// A run of 64-bit numbers in borrowed bytes, which need not be aligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Words(&bytes[..bytes.len() / 8 * 8])
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.0.len() / 8
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number at an index.
    pub fn get(&self, index: usize) -> Option<u64> {
        let start = index.checked_mul(8)?;
        let bytes = self.0.get(start..start.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// The numbers in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + use<'a> {
        self.0.chunks_exact(8).map(|c| {
            let mut word = [0; 8];
            word.copy_from_slice(c);
            u64::from_ne_bytes(word)
        })
    }
}

/// A record as it lies in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// The type (`PERF_RECORD_*`).
    pub kind: u32,
    /// Flags whose meaning depends on the type, and the processor mode in the lowest three bits.
    pub misc: u16,
    /// What follows the header.
    pub body: &'a [u8],
}

impl RawRecord<'_> {
    pub(super) fn header(bytes: &[u8]) -> Option<(u32, u16, u16)> {
        let mut fields = Fields { rest: bytes };
        Some((fields.u32()?, fields.u16()?, fields.u16()?))
    }
}

/// A record whose bytes do not hold what its type and the event's format promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The type of the record.
    pub kind: u32,
    /// The bytes behind its header.
    pub len: usize,
    /// What could not be read.
    pub field: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { kind, len, field } = self;
        write!(
            f,
            "a perf record of type {kind} with {len} bytes ends before its {field}: was it read with another event's format?"
        )
    }
}

impl std::error::Error for Malformed {}

/// Borrowed bytes that are taken from the front.
pub(super) struct Fields<'a> {
    pub rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// As many 64-bit numbers as `count` says.
    pub fn words(&mut self, count: u64) -> Option<Words<'a>> {
        let bytes = usize::try_from(count).ok()?.checked_mul(8)?;
        self.take(bytes).map(Words::new)
    }

    /// Everything up to a NUL byte, or all that is left.
    fn string(&mut self) -> &'a [u8] {
        let bytes = std::mem::take(&mut self.rest);
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        &bytes[..end]
    }
}

/// Who, when and where: those of the six fields that the event's `sample_type` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleId {
    /// The process, as the reader's namespace numbers it.
    pub pid: Option<u32>,
    /// The thread.
    pub tid: Option<u32>,
    /// Nanoseconds of the event's clock.
    pub time: Option<u64>,
    /// The event's id (the leader's, unless `IDENTIFIER` was asked for).
    pub id: Option<u64>,
    /// The event's own id.
    pub stream_id: Option<u64>,
    /// The processor.
    pub cpu: Option<u32>,
}

const TRAILER: [SampleType; 6] = [
    SampleType::TID,
    SampleType::TIME,
    SampleType::ID,
    SampleType::STREAM_ID,
    SampleType::CPU,
    SampleType::IDENTIFIER,
];

impl SampleId {
    fn parse(sample_type: SampleType, fields: &mut Fields<'_>) -> Option<Self> {
        let mut id = SampleId::default();
        for kind in TRAILER.into_iter().filter(|kind| sample_type.contains(*kind)) {
            match kind {
                SampleType::TID => (id.pid, id.tid) = (Some(fields.u32()?), Some(fields.u32()?)),
                SampleType::TIME => id.time = Some(fields.u64()?),
                SampleType::STREAM_ID => id.stream_id = Some(fields.u64()?),
                SampleType::CPU => (id.cpu, _) = (Some(fields.u32()?), fields.u32()?),
                // ID and IDENTIFIER are the same number.
                _ => id.id = Some(fields.u64()?),
            }
        }
        Some(id)
    }
}

/// A mapping that appeared in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// The process.
    pub pid: u32,
    /// The thread that made it.
    pub tid: u32,
    /// Where it starts.
    pub addr: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The offset in the file, in bytes.
    pub pgoff: u64,
    /// The file as the process names it, or `[vdso]`, `[heap]`, `//anon`, ...
    pub filename: &'a [u8],
}

/// How an `Mmap2` record names its file beyond the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileId<'a> {
    /// By device and inode.
    Inode {
        /// The device's major number.
        major: u32,
        /// The device's minor number.
        minor: u32,
        /// The inode.
        inode: u64,
        /// Its generation.
        generation: u64,
    },
    /// By build id; where [`AttrFlags::BUILD_ID`](super::AttrFlags::BUILD_ID) asked for it and the file has one.
    BuildId(&'a [u8]),
}

/// A process or thread that came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The process.
    pub pid: u32,
    /// The parent process.
    pub parent_pid: u32,
    /// The thread.
    pub tid: u32,
    /// The parent thread.
    pub parent_tid: u32,
    /// Nanoseconds of the event's clock.
    pub time: u64,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "borrowed and short-lived; a box for each sample would cost more"
)]
pub enum Record<'a> {
    /// A sample.
    #[doc(alias = "PERF_RECORD_SAMPLE")]
    Sample(Sample<'a>),
    /// Records were lost because the ring was full.
    #[doc(alias = "PERF_RECORD_LOST")]
    Lost {
        /// The event's id.
        id: u64,
        /// How many.
        lost: u64,
    },
    /// The hardware lost samples. Since Linux 4.2.
    #[doc(alias = "PERF_RECORD_LOST_SAMPLES")]
    LostSamples {
        /// How many.
        lost: u64,
    },
    /// A mapping.
    #[doc(alias = "PERF_RECORD_MMAP")]
    Mmap(Mapping<'a>),
    /// A mapping, with more about its file.
    #[doc(alias = "PERF_RECORD_MMAP2")]
    Mmap2 {
        /// The mapping.
        mapping: Mapping<'a>,
        /// The file.
        file: FileId<'a>,
        /// The protection bits of mmap(2).
        prot: u32,
        /// The flags of mmap(2).
        flags: u32,
    },
    /// A thread has a new name.
    #[doc(alias = "PERF_RECORD_COMM")]
    Comm {
        /// The process.
        pid: u32,
        /// The thread.
        tid: u32,
        /// The name.
        name: &'a [u8],
        /// Whether by an exec; known with [`AttrFlags::COMM_EXEC`](super::AttrFlags::COMM_EXEC).
        exec: bool,
    },
    /// A process or thread was made.
    #[doc(alias = "PERF_RECORD_FORK")]
    Fork(Task),
    /// A process or thread is gone.
    #[doc(alias = "PERF_RECORD_EXIT")]
    Exit(Task),
    /// There were too many samples, the event is held back (`on`) or goes on.
    #[doc(alias = "PERF_RECORD_THROTTLE")]
    #[doc(alias = "PERF_RECORD_UNTHROTTLE")]
    Throttle {
        /// Whether it is held back.
        on: bool,
        /// Nanoseconds of the event's clock.
        time: u64,
        /// The leader's id.
        id: u64,
        /// The event's own id.
        stream_id: u64,
    },
    /// The counters of a task that is gone.
    #[doc(alias = "PERF_RECORD_READ")]
    Read {
        /// The process.
        pid: u32,
        /// The thread.
        tid: u32,
        /// The counters.
        counts: Counts<'a>,
    },
    /// The kernel has a new symbol, or one less. Since Linux 5.1.
    #[doc(alias = "PERF_RECORD_KSYMBOL")]
    Ksymbol {
        /// Its address.
        addr: u64,
        /// Its length in bytes.
        len: u32,
        /// What it is: 1 a BPF program, 2 code that the kernel made otherwise.
        kind: u16,
        /// Whether it is gone.
        unregister: bool,
        /// Its name.
        name: &'a [u8],
    },
    /// A BPF program was loaded (1) or unloaded (2). Since Linux 5.1.
    #[doc(alias = "PERF_RECORD_BPF_EVENT")]
    BpfEvent {
        /// What happened.
        event: u16,
        /// Flags; none are defined.
        flags: u16,
        /// The program's id.
        id: u32,
        /// The program's tag.
        tag: [u8; 8],
    },
    /// The task was switched in or out. Since Linux 4.3.
    #[doc(alias = "PERF_RECORD_SWITCH")]
    #[doc(alias = "PERF_RECORD_SWITCH_CPU_WIDE")]
    Switch {
        /// Out, not in.
        out: bool,
        /// Out while it could have run on.
        preempted: bool,
        /// The process and thread on the other side, where the event watches a whole processor.
        other: Option<(u32, u32)>,
    },
    /// A cgroup was made. Since Linux 5.7.
    #[doc(alias = "PERF_RECORD_CGROUP")]
    Cgroup {
        /// Its id.
        id: u64,
        /// Its path, from the root of the hierarchy.
        path: &'a [u8],
    },
    /// The kernel changed its own code. Since Linux 5.9.
    #[doc(alias = "PERF_RECORD_TEXT_POKE")]
    TextPoke {
        /// Where.
        addr: u64,
        /// The bytes before.
        old: &'a [u8],
        /// The bytes now.
        new: &'a [u8],
    },
    /// A process's namespaces: pairs of device and inode. Since Linux 4.12.
    #[doc(alias = "PERF_RECORD_NAMESPACES")]
    Namespaces {
        /// The process.
        pid: u32,
        /// The thread.
        tid: u32,
        /// Device and inode, by turns.
        ids: Words<'a>,
    },
    /// Data arrived in the AUX area.
    #[doc(alias = "PERF_RECORD_AUX")]
    Aux {
        /// Where it starts.
        offset: u64,
        /// Its length.
        size: u64,
        /// Whether it was cut, overwritten and so on.
        flags: u64,
    },
    /// A user call chain that a sample announced by its cookie. Since Linux 6.19.
    #[doc(alias = "PERF_RECORD_CALLCHAIN_DEFERRED")]
    DeferredCallchain {
        /// The cookie, as the sample's chain holds it.
        cookie: u64,
        /// The chain.
        chain: Callchain<'a>,
    },
    /// Anything else, as its bytes (without the [`SampleId`]).
    Other {
        /// The type.
        kind: u32,
        /// The body.
        body: &'a [u8],
    },
}

/// A record, its flags, and who, when and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// What it says.
    pub record: Record<'a>,
    /// Flags whose meaning depends on the type, and the processor mode in the lowest three bits.
    pub misc: u16,
    /// Who, when and where: of a sample the same as its fields, of others what `SAMPLE_ID_ALL` adds.
    pub id: SampleId,
}

const MISC_BIT_13: u16 = 1 << 13;
const MISC_BIT_14: u16 = 1 << 14;

impl RecordFormat {
    /// Reads a record. Never panics, whatever its bytes are.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where the bytes end before what the format promises.
    pub fn parse<'a>(&self, raw: RawRecord<'a>) -> Result<Entry<'a>, Malformed> {
        let malformed = |field| Malformed { kind: raw.kind, len: raw.body.len(), field };
        let mut fields = Fields { rest: raw.body };
        if raw.kind == 9 {
            let sample = Sample::parse(self, &mut fields).map_err(malformed)?;
            let id = sample.id;
            return Ok(Entry { record: Record::Sample(sample), misc: raw.misc, id });
        }
        let mut id = SampleId::default();
        if self.sample_id_all && raw.kind < 64 {
            let size = 8 * TRAILER.iter().filter(|kind| self.sample_type.contains(**kind)).count();
            let body = raw.body.len().checked_sub(size).ok_or_else(|| malformed("sample id"))?;
            let (front, mut trailer) = (&raw.body[..body], Fields { rest: &raw.body[body..] });
            id = SampleId::parse(self.sample_type, &mut trailer).ok_or_else(|| malformed("sample id"))?;
            fields.rest = front;
        }
        let record = self.body(raw.kind, raw.misc, &mut fields).ok_or_else(|| malformed("fields"))?;
        Ok(Entry { record, misc: raw.misc, id })
    }

    fn body<'a>(&self, kind: u32, misc: u16, f: &mut Fields<'a>) -> Option<Record<'a>> {
        Some(match kind {
            1 => {
                let mapping = mapping(f)?;
                Record::Mmap(Mapping { filename: f.string(), ..mapping })
            }
            2 => Record::Lost { id: f.u64()?, lost: f.u64()? },
            3 => {
                let (pid, tid) = (f.u32()?, f.u32()?);
                Record::Comm { pid, tid, name: f.string(), exec: misc & MISC_BIT_13 != 0 }
            }
            4 => Record::Exit(task(f)?),
            5 | 6 => Record::Throttle { on: kind == 5, time: f.u64()?, id: f.u64()?, stream_id: f.u64()? },
            7 => Record::Fork(task(f)?),
            8 => {
                let (pid, tid) = (f.u32()?, f.u32()?);
                Record::Read { pid, tid, counts: Counts::parse(self.read_format, f.rest)?.0 }
            }
            10 => {
                let mapping = mapping(f)?;
                let mut file = Fields { rest: f.take(24)? };
                let file = if misc & MISC_BIT_14 != 0 {
                    let size = usize::from(*file.take(4)?.first()?);
                    FileId::BuildId(file.take(size)?)
                } else {
                    let (major, minor, inode) = (file.u32()?, file.u32()?, file.u64()?);
                    FileId::Inode { major, minor, inode, generation: file.u64()? }
                };
                let (prot, flags) = (f.u32()?, f.u32()?);
                Record::Mmap2 { mapping: Mapping { filename: f.string(), ..mapping }, file, prot, flags }
            }
            11 => Record::Aux { offset: f.u64()?, size: f.u64()?, flags: f.u64()? },
            13 => Record::LostSamples { lost: f.u64()? },
            14 | 15 => {
                let other = if kind == 15 { Some((f.u32()?, f.u32()?)) } else { None };
                let out = misc & MISC_BIT_13 != 0;
                Record::Switch { out, preempted: out && misc & MISC_BIT_14 != 0, other }
            }
            16 => {
                let (pid, tid, count) = (f.u32()?, f.u32()?, f.u64()?);
                Record::Namespaces { pid, tid, ids: f.words(count.checked_mul(2)?)? }
            }
            17 => {
                let (addr, len, kind, flags) = (f.u64()?, f.u32()?, f.u16()?, f.u16()?);
                Record::Ksymbol { addr, len, kind, unregister: flags & 1 != 0, name: f.string() }
            }
            18 => {
                let (event, flags, id) = (f.u16()?, f.u16()?, f.u32()?);
                Record::BpfEvent { event, flags, id, tag: f.array()? }
            }
            19 => Record::Cgroup { id: f.u64()?, path: f.string() },
            20 => {
                let (addr, old, new) = (f.u64()?, f.u16()?, f.u16()?);
                Record::TextPoke { addr, old: f.take(old.into())?, new: f.take(new.into())? }
            }
            22 => {
                let (cookie, count) = (f.u64()?, f.u64()?);
                Record::DeferredCallchain { cookie, chain: Callchain::new(f.words(count)?) }
            }
            kind => Record::Other { kind, body: f.rest },
        })
    }
}

/// The part that both kinds of mapping records have in front; the file's name comes later.
fn mapping<'a>(f: &mut Fields<'a>) -> Option<Mapping<'a>> {
    let (pid, tid) = (f.u32()?, f.u32()?);
    Some(Mapping { pid, tid, addr: f.u64()?, len: f.u64()?, pgoff: f.u64()?, filename: &[] })
}

fn task(f: &mut Fields<'_>) -> Option<Task> {
    let (pid, parent_pid) = (f.u32()?, f.u32()?);
    let (tid, parent_tid) = (f.u32()?, f.u32()?);
    Some(Task { pid, parent_pid, tid, parent_tid, time: f.u64()? })
}
