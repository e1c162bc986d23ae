//! Counting stacks: kernel and user stacks by value, each distinct one once, with the number of its events.
//!
//! The kernel side compares stacks frame by frame where their hashes agree, so two stacks never share a count. A stack
//! that finds no room is counted as dropped. Entries stay while the session runs: readings are totals.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use bpf_sys::Errno;
use bpf_sys::map::{BatchCursor, Map, MapCreate, MapType, UpdateFlags};
use bpf_sys::prog::{AttachType, Prog};

use crate::attach::run::{Attached, Programs};
use crate::attach::{AttachMode, Skipped, Targets, Timings};
use crate::count::{Inspect, load};
use crate::filter::{Filter, FilterPlan, PidNs};
use crate::program::stack::{KEY_SIZE, Layout, SCRATCH_SLOTS, program};
use crate::program::{CGROUP, DATA, DROPPED, Frame, KEYS, Key, Kind, MAPS, SCRATCH};
use crate::{Error, Result};

/// The most frames of one stack that the kernel gives (`PERF_MAX_STACK_DEPTH`).
pub const MAX_FRAMES: usize = 127;

/// How many distinct stacks there is room for unless [`StackOptions::max_stacks`] says otherwise. The kernel allocates
/// them at the start, 2 KiB each with both parts at their longest.
pub const DEFAULT_STACKS: u32 = 4096;

/// How stacks are counted.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Which events count.
    pub filter: Filter,
    /// Which mechanism attaches.
    pub mode: AttachMode,
    /// Take the kernel's part of the stack.
    pub kernel: bool,
    /// Take the user part of the stack.
    pub user: bool,
    /// Keep the stacks of each process apart and tell its id and name.
    pub per_process: bool,
    /// Keep the stacks of each target apart and tell which it was; otherwise [`StackCount::target`] is 0.
    pub per_target: bool,
    /// How many distinct stacks there is room for.
    pub max_stacks: u32,
    /// Frames kept of each part, 1 to [`MAX_FRAMES`].
    pub max_frames: usize,
    /// Called with the name and the instructions of each generated program before it is loaded.
    pub inspect: Option<Inspect>,
}

impl Default for StackOptions {
    fn default() -> Self {
        StackOptions {
            filter: Filter::default(),
            mode: AttachMode::Auto,
            kernel: true,
            user: true,
            per_process: false,
            per_target: false,
            max_stacks: DEFAULT_STACKS,
            max_frames: MAX_FRAMES,
            inspect: None,
        }
    }
}

/// One distinct stack and how often it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCount<'a> {
    /// A number that stays the same for this stack as long as the session runs; for subtracting two readings.
    pub id: u64,
    /// Which target, with [`StackOptions::per_target`].
    pub target: u32,
    /// The process (tgid), with [`StackOptions::per_process`]; otherwise 0.
    pub pid: u32,
    /// The name of the thread that was seen first, up to its first NUL, with [`StackOptions::per_process`].
    pub comm: &'a [u8],
    /// Kernel addresses, leaf first.
    pub kernel: &'a [u64],
    /// User addresses, leaf first.
    pub user: &'a [u64],
    /// Events since the start.
    pub count: u64,
}

/// A running count of stacks. Dropping it detaches everything.
#[derive(Debug)]
pub struct StackSession {
    // First: nothing may run any more when the tables go.
    attached: Attached,
    targets: Targets,
    layout: Layout,
    table: Map,
    dropped: Map,
    timings: Timings,
}

/// Loads programs that count stacks.
struct Collecting<'a> {
    filter: &'a FilterPlan,
    targets: u32,
    layout: &'a Layout,
    fds: [i32; MAPS],
    inspect: Option<Inspect>,
}

impl Programs for Collecting<'_> {
    fn tells_targets_apart(&self) -> bool {
        self.layout.target
    }

    fn takes_kernel_stacks(&self) -> bool {
        self.layout.kernel
    }

    fn load(
        &self,
        kind: Kind,
        key: Key,
        keys: Option<&Map>,
        attach_type: Option<AttachType>,
    ) -> Result<Prog> {
        let mut fds = self.fds;
        fds[KEYS.0 as usize] = keys.map_or(-1, |map| map.as_fd().as_raw_fd());
        let make = |exchange| {
            let frame = Frame { kind, key, filter: self.filter, targets: self.targets, exchange };
            let program =
                program(&frame, self.layout).map_err(|source| Error::Build { name: "tw_stacks", source })?;
            if let Some(inspect) = self.inspect {
                inspect("tw_stacks", &program);
            }
            load("tw_stacks", kind, &program, &fds, attach_type)
        };
        let with = make(kind.preemptible());
        // Before Linux 5.12 there is no exchange, nor is it needed.
        if kind.preemptible() && with.is_err() { make(false).or(with) } else { with }
    }
}

impl StackSession {
    /// Loads the program and attaches it to all targets; counting begins before this returns.
    ///
    /// # Errors
    /// Where the options ask for no part of the stack or for too much, the filter names nothing, the kernel refuses
    /// the program, or nothing of what a spec stands for can be attached. Nothing remains attached then.
    pub fn start(targets: Targets, options: &StackOptions) -> Result<StackSession> {
        let layout = options.layout()?;
        let filter = FilterPlan::new(&options.filter)?;
        bpf_sys::memlock::ensure()?;
        let start = Instant::now();
        let table = MapCreate {
            map_type: MapType::Hash,
            key_size: KEY_SIZE,
            value_size: layout.value_size() as u32,
            max_entries: options.max_stacks,
            name: "tw_stacks",
            ..MapCreate::default()
        }
        .create()?;
        let scratch = MapCreate {
            map_type: MapType::PercpuArray,
            key_size: 4,
            value_size: layout.scratch_size() as u32,
            max_entries: SCRATCH_SLOTS,
            name: "tw_scratch",
            ..MapCreate::default()
        }
        .create()?;
        let dropped = MapCreate {
            map_type: MapType::PercpuArray,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            name: "tw_dropped",
            ..MapCreate::default()
        }
        .create()?;
        let cgroup = filter.cgroup_map()?;
        let mut fds = [-1; MAPS];
        fds[DATA.0 as usize] = table.as_fd().as_raw_fd();
        fds[SCRATCH.0 as usize] = scratch.as_fd().as_raw_fd();
        fds[DROPPED.0 as usize] = dropped.as_fd().as_raw_fd();
        fds[CGROUP.0 as usize] = cgroup.as_ref().map_or(-1, |map| map.as_fd().as_raw_fd());
        let count = u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
        let programs =
            Collecting { filter: &filter, targets: count, layout: &layout, fds, inspect: options.inspect };
        let maps = start.elapsed();
        let attached = Attached::attach(&targets, options.mode, &programs)?;
        let timings = Timings {
            resolve: targets.resolve_time,
            load: maps + attached.load,
            attach: start.elapsed().saturating_sub(maps + attached.load),
            kernel: attached.kernel,
        };
        Ok(StackSession { attached, targets, layout, table, dropped, timings })
    }

    /// The targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Calls `each` for every distinct stack seen since the start, with totals; the order is arbitrary.
    ///
    /// # Errors
    /// Where the kernel's table cannot be read.
    pub fn read(&self, mut each: impl FnMut(StackCount<'_>)) -> Result<()> {
        let (key_size, value_size) = (self.table.key_size(), self.table.value_len());
        let mut frames = (Vec::new(), Vec::new());
        let mut batch = self.table.max_entries().min(256) as usize;
        let mut cursor = BatchCursor::new();
        let mut keys = vec![0; batch * key_size];
        let mut values = vec![0; batch * value_size];
        while !cursor.is_done() {
            match self.table.lookup_batch(&mut cursor, &mut keys, &mut values, UpdateFlags::empty()) {
                Ok(read) => {
                    let pairs = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)).take(read);
                    for (key, value) in pairs {
                        self.entry(key, value, &mut frames, &mut each);
                    }
                }
                // A bucket holds more than fits.
                Err(e) if e.errno() == Some(Errno::ENOSPC) && batch < self.table.max_entries() as usize => {
                    batch *= 2;
                    keys.resize(batch * key_size, 0);
                    values.resize(batch * value_size, 0);
                }
                // Kernels without batches (before 5.6): one by one.
                Err(e) if e.errno() == Some(Errno::EINVAL) || e.errno() == Some(Errno::ENOTSUPP) => {
                    let mut value = vec![0; value_size];
                    let mut failed = None;
                    self.table.for_each_key(|key| match self.table.lookup(key, &mut value) {
                        Ok(true) => self.entry(key, &value, &mut frames, &mut each),
                        Ok(false) => {}
                        Err(e) => failed = Some(e),
                    })?;
                    return failed.map_or(Ok(()), |e| Err(e.into()));
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Takes an entry of the table apart.
    fn entry(
        &self,
        key: &[u8],
        value: &[u8],
        frames: &mut (Vec<u64>, Vec<u64>),
        each: &mut impl FnMut(StackCount<'_>),
    ) {
        let (hash, pid, target) = (u64_at(key, 0), u32_at(key, 8), u32_at(key, 12));
        take(&mut frames.0, value, self.layout.kernel_at(), u32_at(value, Layout::LENS));
        take(&mut frames.1, value, self.layout.user_at(), u32_at(value, Layout::LENS + 4));
        let comm = if self.layout.process { &value[Layout::COMM..Layout::COMM + 16] } else { &[] };
        let comm = comm.split(|byte| *byte == 0).next().unwrap_or_default();
        each(StackCount {
            // The hash differs between stacks; the process and target are mixed in.
            id: hash ^ (u64::from(pid) << 32 | u64::from(target)).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            target,
            pid,
            comm,
            kernel: &frames.0,
            user: &frames.1,
            count: u64_at(value, Layout::COUNT),
        });
    }

    /// Events whose stack found no room or could not be taken.
    ///
    /// # Errors
    /// Where the kernel's counters cannot be read.
    pub fn dropped(&self) -> Result<u64> {
        let mut counts = vec![0; self.dropped.value_len()];
        self.dropped.lookup(&0u32.to_ne_bytes(), &mut counts)?;
        Ok(bpf_sys::percpu::sum_u64(&counts))
    }

    /// How many events the kernel could not deliver to the program; see [`crate::count::CountSession::missed`].
    ///
    /// # Errors
    /// Where the kernel's answer cannot be had.
    pub fn missed(&self) -> Result<u64> {
        self.attached.missed()
    }

    /// The mechanisms in use, each once.
    pub fn modes(&self) -> &[AttachMode] {
        &self.attached.modes
    }

    /// Targets that the kernel refused; all others are attached.
    pub fn skipped(&self) -> &[Skipped] {
        &self.attached.skipped
    }

    /// How long the start took.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// How often the programs ran and for how long, while the kernel's statistics are on (`BPF_ENABLE_STATS`).
    ///
    /// # Errors
    /// Where the kernel's answer cannot be had.
    pub fn run_stats(&self) -> Result<(u64, Duration)> {
        self.attached.run_stats()
    }

    /// Detaches everything and says how long that took. Dropping does the same.
    pub fn stop(mut self) -> Duration {
        let start = Instant::now();
        self.attached.detach();
        start.elapsed()
    }
}

impl StackOptions {
    fn layout(&self) -> Result<Layout> {
        if !self.kernel && !self.user {
            return Err(Error::BadFilter {
                what: "neither the kernel's nor the user's part of the stack is asked for".into(),
                remedy: "ask for one of them".into(),
            });
        }
        if !(1..=MAX_FRAMES).contains(&self.max_frames) || self.max_stacks == 0 {
            return Err(Error::BadFilter {
                what: format!("{} frames and {} stacks cannot be kept", self.max_frames, self.max_stacks),
                remedy: format!("ask for 1 to {MAX_FRAMES} frames and at least one stack"),
            });
        }
        Ok(Layout {
            kernel: self.kernel,
            user: self.user,
            process: self.per_process,
            target: self.per_target,
            frames: self.max_frames as u32,
            ns: if self.per_process { PidNs::current() } else { None },
        })
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// The frames of one part: `len` bytes from `at`.
fn take(frames: &mut Vec<u64>, value: &[u8], at: usize, len: u32) {
    frames.clear();
    let bytes = value.get(at..at + len as usize).unwrap_or_default();
    frames.extend(bytes.chunks_exact(8).map(|frame| u64_at(frame, 0)));
}
