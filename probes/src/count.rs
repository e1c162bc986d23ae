//! Counting events: one program for all targets, counters that user space maps and reads without a system call.
//!
//! Every processor has a row of 64-bit counters, one for each target. Counters are never set back while a session
//! runs, so nothing gets lost between reading and clearing: who wants intervals subtracts two readings.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use bpf_sys::map::{Map, MapCreate, MapFlags, MapType};
use bpf_sys::mapped::{Access, MappedArray};
use bpf_sys::prog::{AttachType, Prog, ProgLoad};

use crate::attach::run::{Attached, Programs};
use crate::attach::{AttachMode, Skipped, Targets, Timings};
use crate::filter::{Filter, FilterPlan};
use crate::program::count::{Rows, program};
use crate::program::{CGROUP, DATA, Frame, KEYS, Key, Kind, MAPS};
use crate::{Error, Result};

/// How events are counted.
#[derive(Clone, Debug, Default)]
pub struct CountOptions {
    /// Which events count.
    pub filter: Filter,
    /// Which mechanism attaches.
    pub mode: AttachMode,
    /// Called with the name and the instructions of each generated program before it is loaded.
    pub inspect: Option<Inspect>,
}

/// Looks at a generated program.
pub type Inspect = fn(&str, &asm::Program);

/// A running count. Dropping it detaches everything.
///
/// ```no_run
/// use tracewell_probes::attach::{self, ResolveOptions};
/// use tracewell_probes::count::{CountOptions, CountSession};
/// use tracewell_probes::spec::{self, Dialect, Syntax};
///
/// let spec = spec::parse("vfs_*", Dialect::Bcc, Syntax::Glob)?;
/// let targets = attach::resolve(&[spec], &ResolveOptions::default())?;
/// let session = CountSession::start(targets, &CountOptions::default())?;
/// std::thread::sleep(std::time::Duration::from_secs(1));
/// let mut totals = Vec::new();
/// session.read(&mut totals);
/// for (index, total) in totals.iter().enumerate().filter(|(_, total)| **total > 0) {
///     println!("{:36} {total:8}", session.name(index).unwrap_or("?"));
/// }
/// # Ok::<(), tracewell_probes::Error>(())
/// ```
#[derive(Debug)]
pub struct CountSession {
    // First: nothing may run any more when the counters go.
    attached: Attached,
    targets: Targets,
    counters: MappedArray,
    rows: Rows,
    timings: Timings,
}

/// Loads counting programs.
struct Counting<'a> {
    filter: &'a FilterPlan,
    targets: u32,
    rows: Rows,
    counters: &'a Map,
    cgroup: Option<&'a Map>,
    inspect: Option<Inspect>,
}

impl Programs for Counting<'_> {
    fn load(
        &self,
        kind: Kind,
        key: Key,
        keys: Option<&Map>,
        attach_type: Option<AttachType>,
    ) -> Result<Prog> {
        let frame = Frame { kind, key, filter: self.filter, targets: self.targets, exchange: false };
        let program =
            program(&frame, self.rows).map_err(|source| Error::Build { name: "tw_count", source })?;
        let mut fds = [-1; MAPS];
        fds[DATA.0 as usize] = self.counters.as_fd().as_raw_fd();
        fds[CGROUP.0 as usize] = self.cgroup.map_or(-1, |map| map.as_fd().as_raw_fd());
        fds[KEYS.0 as usize] = keys.map_or(-1, |map| map.as_fd().as_raw_fd());
        if let Some(inspect) = self.inspect {
            inspect("tw_count", &program);
        }
        load("tw_count", kind, &program, &fds, attach_type)
    }
}

/// Loads a generated program whose maps have these descriptors.
pub(crate) fn load(
    name: &'static str,
    kind: Kind,
    program: &asm::Program,
    fds: &[i32],
    attach_type: Option<AttachType>,
) -> Result<Prog> {
    let words = program.resolve_maps(fds).map_err(|source| Error::Build { name, source })?;
    let load = ProgLoad {
        prog_type: kind.prog_type(),
        name,
        insns: &words,
        license: "GPL",
        expected_attach_type: attach_type,
        ..ProgLoad::default()
    };
    Ok(load.load()?)
}

impl CountSession {
    /// Loads the program and attaches it to all targets; counting begins before this returns.
    ///
    /// # Errors
    /// Where the filter names nothing, the kernel refuses the program, or nothing of what a spec stands for can be
    /// attached. Nothing remains attached then.
    pub fn start(targets: Targets, options: &CountOptions) -> Result<CountSession> {
        let filter = FilterPlan::new(&options.filter)?;
        bpf_sys::memlock::ensure()?;
        let start = Instant::now();
        let count = u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
        let processors = bpf_sys::cpus::possible()?.limit();
        let rows = Rows::new(count, processors).ok_or_else(|| Error::Attach {
            target: format!("{count} targets"),
            mode: "counting",
            reason: "at most 524,272 targets have room in one session; use a narrower pattern".into(),
        })?;
        let counters = MapCreate {
            map_type: MapType::Array,
            key_size: 4,
            value_size: if rows.one_element { rows.stride * rows.count } else { rows.stride },
            max_entries: if rows.one_element { 1 } else { rows.count },
            flags: MapFlags::MMAPABLE,
            name: "tw_counters",
            ..MapCreate::default()
        }
        .create()?;
        let mapped = MappedArray::whole(&counters, Access::ReadOnly)?;
        let cgroup = filter.cgroup_map()?;
        let programs = Counting {
            filter: &filter,
            targets: count,
            rows,
            counters: &counters,
            cgroup: cgroup.as_ref(),
            inspect: options.inspect,
        };
        let maps = start.elapsed();
        let attached = Attached::attach(&targets, options.mode, &programs)?;
        let timings = Timings {
            resolve: targets.resolve_time,
            load: maps + attached.load,
            attach: start.elapsed().saturating_sub(maps + attached.load),
            kernel: attached.kernel,
        };
        Ok(CountSession { attached, targets, counters: mapped, rows, timings })
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are no targets.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The display name of a target.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.targets.name(index)
    }

    /// The targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Reads all counters: `totals[i]` becomes the number of events of target `i` since the start. No system call.
    pub fn read(&self, totals: &mut Vec<u64>) {
        totals.clear();
        totals.resize(self.len(), 0);
        // The mapping was made for these rows, so this cannot be out of bounds.
        let stride = self.rows.stride as usize / 8;
        let complete = self.counters.sum_rows(0, stride, self.rows.count as usize, totals);
        debug_assert!(complete, "the rows lie inside the map");
    }

    /// How many events the kernel could not deliver to the program since the start: probes hit while one was already
    /// being handled on that processor.
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
