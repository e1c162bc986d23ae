//! Samples: the fields that an event's `sample_type` asks for, in the kernel's order.

use super::counts::Counts;
use super::record::{Fields, RecordFormat, SampleId, Words};
use super::types::{BranchSampleType, SampleType};

/// A sample. A field is there where the event's `sample_type` asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample<'a> {
    /// Who, when and where.
    pub id: SampleId,
    /// The instruction pointer.
    pub ip: Option<u64>,
    /// The data address.
    pub addr: Option<u64>,
    /// The sampling period.
    pub period: Option<u64>,
    /// The counters.
    pub read: Option<Counts<'a>>,
    /// The call chain.
    pub callchain: Option<Callchain<'a>>,
    /// The event's own data, with the padding that fills it up to a multiple of 8 bytes (less 4).
    pub raw: Option<&'a [u8]>,
    /// The last branches.
    pub branches: Option<Branches<'a>>,
    /// User registers; without values where the task had no user part.
    pub regs_user: Option<Registers<'a>>,
    /// The copied piece of the user stack, cut to what could be read.
    pub stack_user: Option<&'a [u8]>,
    /// The cost, in the hardware's unit; with `WEIGHT_STRUCT` three numbers, of 32, 16 and 16 bits.
    pub weight: Option<u64>,
    /// Where the data came from, in the bit fields of `perf_mem_data_src`.
    pub data_src: Option<u64>,
    /// Why a transaction was aborted.
    pub transaction: Option<u64>,
    /// Registers of the interrupted context.
    pub regs_intr: Option<Registers<'a>>,
    /// The data's physical address.
    pub phys_addr: Option<u64>,
    /// The cgroup's id.
    pub cgroup: Option<u64>,
    /// The size of the data's page.
    pub data_page_size: Option<u64>,
    /// The size of the instruction's page.
    pub code_page_size: Option<u64>,
    /// A piece of the AUX area.
    pub aux: Option<&'a [u8]>,
}

/// Registers that were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers<'a> {
    /// 0: none; 1: of a 32-bit task; 2: of a 64-bit task.
    pub abi: u64,
    /// One bit for each register that was asked for, in the architecture's `asm/perf_regs.h` order.
    pub mask: u64,
    /// Their values, those of lower bits first; none where `abi` is 0.
    pub values: Words<'a>,
}

impl Registers<'_> {
    /// The value of a register by its bit in the mask.
    pub fn get(&self, register: u32) -> Option<u64> {
        let bit = 1u64.checked_shl(register)?;
        if self.mask & bit == 0 {
            return None;
        }
        self.values.get((self.mask & (bit - 1)).count_ones() as usize)
    }
}

/// The last branches that the processor took, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branches<'a> {
    /// The hardware's index of the newest one, with [`BranchSampleType::HW_INDEX`].
    pub hw_index: Option<u64>,
    entries: Words<'a>,
    /// Event counts, one word for each branch, with [`BranchSampleType::COUNTERS`].
    pub counters: Option<Words<'a>>,
}

/// One branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Where it was.
    pub from: u64,
    /// Where it went.
    pub to: u64,
    /// Predicted, cycles, type and so on, in the bit fields of `perf_branch_entry`.
    pub flags: u64,
}

impl<'a> Branches<'a> {
    /// The branches.
    pub fn iter(&self) -> impl Iterator<Item = Branch> + use<'a> {
        let entries = self.entries;
        (0..entries.len() / 3).filter_map(move |i| {
            let (from, to) = (entries.get(3 * i)?, entries.get(3 * i + 1)?);
            Some(Branch { from, to, flags: entries.get(3 * i + 2)? })
        })
    }
}

/// In whose code the addresses of a call chain are, from its last marker on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Context {
    /// No marker came yet, or one that is not known.
    #[default]
    Unknown,
    /// The hypervisor.
    Hypervisor,
    /// The kernel.
    Kernel,
    /// User space.
    User,
    /// User space, to be delivered later; the one address is a cookie. Since Linux 6.19.
    UserDeferred,
    /// A guest.
    Guest,
    /// A guest's kernel.
    GuestKernel,
    /// A guest's user space.
    GuestUser,
}

impl Context {
    /// The meaning of a marker, or `None` for an address.
    #[doc(alias = "perf_callchain_context")]
    pub fn from_marker(word: u64) -> Option<Self> {
        let marker = word.wrapping_neg();
        if marker == 0 || marker > 4095 {
            return None;
        }
        Some(match marker {
            32 => Context::Hypervisor,
            128 => Context::Kernel,
            512 => Context::User,
            640 => Context::UserDeferred,
            2048 => Context::Guest,
            2176 => Context::GuestKernel,
            2560 => Context::GuestUser,
            _ => Context::Unknown,
        })
    }
}

/// A call chain, innermost first, with the markers that tell kernel from user addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callchain<'a>(Words<'a>);

impl<'a> Callchain<'a> {
    pub(super) fn new(words: Words<'a>) -> Self {
        Callchain(words)
    }

    /// The chain as the kernel wrote it, markers included.
    pub fn words(&self) -> Words<'a> {
        self.0
    }

    /// The addresses, each with the context that the markers give it.
    pub fn iter(&self) -> impl Iterator<Item = (Context, u64)> + use<'a> {
        let mut context = Context::Unknown;
        self.0.iter().filter_map(move |word| match Context::from_marker(word) {
            Some(new) => {
                context = new;
                None
            }
            None => Some((context, word)),
        })
    }
}

impl<'a> Sample<'a> {
    /// Reads a sample's body; the error names the field where the bytes end.
    pub(super) fn parse(format: &RecordFormat, f: &mut Fields<'a>) -> Result<Self, &'static str> {
        let mut s = Sample::default();
        let has = |kind| format.sample_type.contains(kind);
        let word = |f: &mut Fields<'a>, kind, name| match has(kind) {
            true => f.u64().map(Some).ok_or(name),
            false => Ok(None),
        };
        let identifier = word(f, SampleType::IDENTIFIER, "identifier")?;
        s.ip = word(f, SampleType::IP, "instruction pointer")?;
        if has(SampleType::TID) {
            let (pid, tid) = f.u32().zip(f.u32()).ok_or("process and thread")?;
            (s.id.pid, s.id.tid) = (Some(pid), Some(tid));
        }
        s.id.time = word(f, SampleType::TIME, "time")?;
        s.addr = word(f, SampleType::ADDR, "address")?;
        s.id.id = word(f, SampleType::ID, "id")?.or(identifier);
        s.id.stream_id = word(f, SampleType::STREAM_ID, "stream id")?;
        if has(SampleType::CPU) {
            let (cpu, _) = f.u32().zip(f.u32()).ok_or("processor")?;
            s.id.cpu = Some(cpu);
        }
        s.period = word(f, SampleType::PERIOD, "period")?;
        if has(SampleType::READ) {
            let (counts, used) = Counts::parse(format.read_format, f.rest).ok_or("counters")?;
            f.take(used).ok_or("counters")?;
            s.read = Some(counts);
        }
        if has(SampleType::CALLCHAIN) {
            let chain = f.u64().and_then(|count| f.words(count)).ok_or("call chain")?;
            s.callchain = Some(Callchain(chain));
        }
        if has(SampleType::RAW) {
            s.raw = Some(f.u32().and_then(|len| f.take(usize::try_from(len).ok()?)).ok_or("raw data")?);
        }
        if has(SampleType::BRANCH_STACK) {
            s.branches = Some(branches(format.branch, f).ok_or("branch stack")?);
        }
        if has(SampleType::REGS_USER) {
            s.regs_user = Some(registers(format.regs_user, f).ok_or("user registers")?);
        }
        if has(SampleType::STACK_USER) {
            s.stack_user = Some(user_stack(f).ok_or("user stack")?);
        }
        s.weight = match word(f, SampleType::WEIGHT, "weight")? {
            None => word(f, SampleType::WEIGHT_STRUCT, "weight")?,
            weight => weight,
        };
        s.data_src = word(f, SampleType::DATA_SRC, "data source")?;
        s.transaction = word(f, SampleType::TRANSACTION, "transaction")?;
        if has(SampleType::REGS_INTR) {
            s.regs_intr = Some(registers(format.regs_intr, f).ok_or("interrupted registers")?);
        }
        s.phys_addr = word(f, SampleType::PHYS_ADDR, "physical address")?;
        s.cgroup = word(f, SampleType::CGROUP, "cgroup")?;
        s.data_page_size = word(f, SampleType::DATA_PAGE_SIZE, "data page size")?;
        s.code_page_size = word(f, SampleType::CODE_PAGE_SIZE, "code page size")?;
        if has(SampleType::AUX) {
            s.aux = Some(f.u64().and_then(|len| f.take(usize::try_from(len).ok()?)).ok_or("AUX data")?);
        }
        Ok(s)
    }
}

fn branches<'a>(with: BranchSampleType, f: &mut Fields<'a>) -> Option<Branches<'a>> {
    let count = f.u64()?;
    let hw_index = if with.contains(BranchSampleType::HW_INDEX) { Some(f.u64()?) } else { None };
    let entries = f.words(count.checked_mul(3)?)?;
    let counters = if with.contains(BranchSampleType::COUNTERS) { Some(f.words(count)?) } else { None };
    Some(Branches { hw_index, entries, counters })
}

fn registers<'a>(mask: u64, f: &mut Fields<'a>) -> Option<Registers<'a>> {
    let abi = f.u64()?;
    let count = if abi == 0 { 0 } else { u64::from(mask.count_ones()) };
    Some(Registers { abi, mask, values: f.words(count)? })
}

fn user_stack<'a>(f: &mut Fields<'a>) -> Option<&'a [u8]> {
    let size = usize::try_from(f.u64()?).ok()?;
    if size == 0 {
        return Some(&[]);
    }
    let data = f.take(size)?;
    // How much of it was really copied comes behind it.
    let used = usize::try_from(f.u64()?).ok()?;
    Some(&data[..used.min(size)])
}
