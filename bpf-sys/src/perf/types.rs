//! The numbers and bit sets of `perf_event_attr`, in the order of perf_event_open(2).

use bitflags::bitflags;

bitflags! {
    /// Which fields a sample holds, in the order in which perf_event_open(2) lists them.
    #[doc(alias = "perf_event_sample_format")]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SampleType: u64 {
        /// The instruction pointer.
        #[doc(alias = "PERF_SAMPLE_IP")]
        const IP = 1 << 0;
        /// Process and thread id.
        #[doc(alias = "PERF_SAMPLE_TID")]
        const TID = 1 << 1;
        /// Time in nanoseconds of the event's clock.
        #[doc(alias = "PERF_SAMPLE_TIME")]
        const TIME = 1 << 2;
        /// The data address, where the event has one.
        #[doc(alias = "PERF_SAMPLE_ADDR")]
        const ADDR = 1 << 3;
        /// The counter's value, in the event's [`ReadFormat`].
        #[doc(alias = "PERF_SAMPLE_READ")]
        const READ = 1 << 4;
        /// The call chain, with context markers.
        #[doc(alias = "PERF_SAMPLE_CALLCHAIN")]
        const CALLCHAIN = 1 << 5;
        /// The id of the event's leader.
        #[doc(alias = "PERF_SAMPLE_ID")]
        const ID = 1 << 6;
        /// The processor.
        #[doc(alias = "PERF_SAMPLE_CPU")]
        const CPU = 1 << 7;
        /// The sampling period at this moment.
        #[doc(alias = "PERF_SAMPLE_PERIOD")]
        const PERIOD = 1 << 8;
        /// The id of the event itself.
        #[doc(alias = "PERF_SAMPLE_STREAM_ID")]
        const STREAM_ID = 1 << 9;
        /// Data of the event's own form: a tracepoint's fields, or what a BPF program wrote.
        #[doc(alias = "PERF_SAMPLE_RAW")]
        const RAW = 1 << 10;
        /// The last branches taken.
        #[doc(alias = "PERF_SAMPLE_BRANCH_STACK")]
        const BRANCH_STACK = 1 << 11;
        /// User registers.
        #[doc(alias = "PERF_SAMPLE_REGS_USER")]
        const REGS_USER = 1 << 12;
        /// A piece of the user stack.
        #[doc(alias = "PERF_SAMPLE_STACK_USER")]
        const STACK_USER = 1 << 13;
        /// How costly the event was, in the hardware's unit.
        #[doc(alias = "PERF_SAMPLE_WEIGHT")]
        const WEIGHT = 1 << 14;
        /// Where in the memory hierarchy the data came from.
        #[doc(alias = "PERF_SAMPLE_DATA_SRC")]
        const DATA_SRC = 1 << 15;
        /// The event's id, at a place that does not depend on the other fields. Since Linux 3.12.
        #[doc(alias = "PERF_SAMPLE_IDENTIFIER")]
        const IDENTIFIER = 1 << 16;
        /// Why a transaction was aborted.
        #[doc(alias = "PERF_SAMPLE_TRANSACTION")]
        const TRANSACTION = 1 << 17;
        /// Registers at the time of the interrupt. Since Linux 3.19.
        #[doc(alias = "PERF_SAMPLE_REGS_INTR")]
        const REGS_INTR = 1 << 18;
        /// The physical address of the data. Since Linux 4.14.
        #[doc(alias = "PERF_SAMPLE_PHYS_ADDR")]
        const PHYS_ADDR = 1 << 19;
        /// A piece of the AUX area. Since Linux 5.5.
        #[doc(alias = "PERF_SAMPLE_AUX")]
        const AUX = 1 << 20;
        /// The cgroup's id. Since Linux 5.7.
        #[doc(alias = "PERF_SAMPLE_CGROUP")]
        const CGROUP = 1 << 21;
        /// The size of the page that holds the data. Since Linux 5.11.
        #[doc(alias = "PERF_SAMPLE_DATA_PAGE_SIZE")]
        const DATA_PAGE_SIZE = 1 << 22;
        /// The size of the page that holds the instruction. Since Linux 5.11.
        #[doc(alias = "PERF_SAMPLE_CODE_PAGE_SIZE")]
        const CODE_PAGE_SIZE = 1 << 23;
        /// Like `WEIGHT`, as three numbers in one word. Since Linux 5.12.
        #[doc(alias = "PERF_SAMPLE_WEIGHT_STRUCT")]
        const WEIGHT_STRUCT = 1 << 24;
    }

    /// What reading a counter answers with besides its value.
    #[doc(alias = "perf_event_read_format")]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ReadFormat: u64 {
        /// Nanoseconds for which the event was enabled.
        #[doc(alias = "PERF_FORMAT_TOTAL_TIME_ENABLED")]
        const TOTAL_TIME_ENABLED = 1 << 0;
        /// Nanoseconds for which the event was on the hardware.
        #[doc(alias = "PERF_FORMAT_TOTAL_TIME_RUNNING")]
        const TOTAL_TIME_RUNNING = 1 << 1;
        /// The event's id.
        #[doc(alias = "PERF_FORMAT_ID")]
        const ID = 1 << 2;
        /// All counters of the group at once.
        #[doc(alias = "PERF_FORMAT_GROUP")]
        const GROUP = 1 << 3;
        /// How many samples were lost. Since Linux 6.0.
        #[doc(alias = "PERF_FORMAT_LOST")]
        const LOST = 1 << 4;
    }

    /// The yes-or-no settings of an event. `freq`, `watermark`, `use_clockid` and `precise_ip` are not among them: they
    /// follow from [`PerfAttr`](super::PerfAttr)'s other fields.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AttrFlags: u64 {
        /// Starts switched off.
        const DISABLED = 1 << 0;
        /// Children of the task are counted as well.
        const INHERIT = 1 << 1;
        /// Always on the hardware, or in an error state.
        const PINNED = 1 << 2;
        /// Not together with other groups on the hardware.
        const EXCLUSIVE = 1 << 3;
        /// Not in user mode.
        const EXCLUDE_USER = 1 << 4;
        /// Not in the kernel.
        const EXCLUDE_KERNEL = 1 << 5;
        /// Not in the hypervisor.
        const EXCLUDE_HV = 1 << 6;
        /// Not while idle.
        const EXCLUDE_IDLE = 1 << 7;
        /// `Mmap` records of executable mappings.
        const MMAP = 1 << 8;
        /// `Comm` records.
        const COMM = 1 << 9;
        /// Per-task values of inherited events are kept.
        const INHERIT_STAT = 1 << 11;
        /// Switched on by the next exec.
        const ENABLE_ON_EXEC = 1 << 12;
        /// `Fork` and `Exit` records.
        const TASK = 1 << 13;
        /// `Mmap` records of mappings that are not executable.
        const MMAP_DATA = 1 << 17;
        /// Every record ends with who, when and where ([`SampleId`](super::record::SampleId)).
        const SAMPLE_ID_ALL = 1 << 18;
        /// Not in the host.
        const EXCLUDE_HOST = 1 << 19;
        /// Not in a guest.
        const EXCLUDE_GUEST = 1 << 20;
        /// Call chains without the kernel's part.
        const EXCLUDE_CALLCHAIN_KERNEL = 1 << 21;
        /// Call chains without the user's part.
        const EXCLUDE_CALLCHAIN_USER = 1 << 22;
        /// `Mmap2` records in the place of `Mmap` records.
        const MMAP2 = 1 << 23;
        /// `Comm` records tell an exec from a renaming.
        const COMM_EXEC = 1 << 24;
        /// `Switch` records. Since Linux 4.3.
        const CONTEXT_SWITCH = 1 << 26;
        /// The ring is filled from its end. Since Linux 4.7; not for [`PerfRing`](super::ring::PerfRing).
        const WRITE_BACKWARD = 1 << 27;
        /// `Namespaces` records. Since Linux 4.12.
        const NAMESPACES = 1 << 28;
        /// `Ksymbol` records. Since Linux 5.1.
        const KSYMBOL = 1 << 29;
        /// `BpfEvent` records. Since Linux 5.1.
        const BPF_EVENT = 1 << 30;
        /// AUX records instead of events. Since Linux 5.4.
        const AUX_OUTPUT = 1 << 31;
        /// `Cgroup` records. Since Linux 5.7.
        const CGROUP = 1 << 32;
        /// `TextPoke` records. Since Linux 5.9.
        const TEXT_POKE = 1 << 33;
        /// `Mmap2` records hold a build id instead of the inode. Since Linux 5.12.
        const BUILD_ID = 1 << 34;
        /// Only threads inherit, not processes. Since Linux 5.13.
        const INHERIT_THREAD = 1 << 35;
        /// An exec removes the event. Since Linux 5.13.
        const REMOVE_ON_EXEC = 1 << 36;
        /// An event sends SIGTRAP to the task. Since Linux 5.13.
        const SIGTRAP = 1 << 37;
        /// User call chains are delivered later. Since Linux 6.19.
        const DEFER_CALLCHAIN = 1 << 38;
        /// This event receives other events' deferred call chains. Since Linux 6.19.
        const DEFER_OUTPUT = 1 << 39;
    }

    /// Which branches are recorded and with what, for [`SampleType::BRANCH_STACK`].
    #[doc(alias = "perf_branch_sample_type")]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct BranchSampleType: u64 {
        /// Targets in user space.
        const USER = 1 << 0;
        /// Targets in the kernel.
        const KERNEL = 1 << 1;
        /// Targets in the hypervisor.
        const HV = 1 << 2;
        /// Branches of any kind.
        const ANY = 1 << 3;
        /// Calls.
        const ANY_CALL = 1 << 4;
        /// Returns.
        const ANY_RETURN = 1 << 5;
        /// Indirect calls.
        const IND_CALL = 1 << 6;
        /// Transaction aborts.
        const ABORT_TX = 1 << 7;
        /// Inside a transaction.
        const IN_TX = 1 << 8;
        /// Outside of transactions.
        const NO_TX = 1 << 9;
        /// Conditional branches.
        const COND = 1 << 10;
        /// The hardware's call stack.
        const CALL_STACK = 1 << 11;
        /// Indirect jumps.
        const IND_JUMP = 1 << 12;
        /// Direct calls.
        const CALL = 1 << 13;
        /// No flags.
        const NO_FLAGS = 1 << 14;
        /// No cycle counts.
        const NO_CYCLES = 1 << 15;
        /// The kind of each branch.
        const TYPE_SAVE = 1 << 16;
        /// The hardware's index, one word in front of the entries. Since Linux 5.7.
        const HW_INDEX = 1 << 17;
        /// The privilege level. Since Linux 6.1.
        const PRIV_SAVE = 1 << 18;
        /// One word of event counts for each entry, behind all entries. Since Linux 6.8.
        const COUNTERS = 1 << 19;
    }

    /// What starts, stops or pauses AUX tracing. Since Linux 6.13.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AuxAction: u32 {
        /// The AUX event starts paused.
        const START_PAUSED = 1 << 0;
        /// An overflow of this event pauses AUX tracing.
        const PAUSE = 1 << 1;
        /// An overflow of this event resumes AUX tracing.
        const RESUME = 1 << 2;
    }

    /// Flags of perf_event_open(2); close-on-exec is always set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u64 {
        /// The group leader only serves as the target of [`FD_OUTPUT`](Self::FD_OUTPUT).
        #[doc(alias = "PERF_FLAG_FD_NO_GROUP")]
        const NO_GROUP = 1 << 0;
        /// Records go to the group leader's ring.
        #[doc(alias = "PERF_FLAG_FD_OUTPUT")]
        const FD_OUTPUT = 1 << 1;
        /// `pid` is a descriptor of a cgroup directory.
        #[doc(alias = "PERF_FLAG_PID_CGROUP")]
        const PID_CGROUP = 1 << 2;
    }
}

macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal, $alias:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u64)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vmeta])* #[doc(alias = $alias)] $variant = $value,)* }
    };
}

numbers! {
    /// Events that the kernel itself counts.
    #[doc(alias = "perf_sw_ids")]
    SoftwareEvent {
        /// A high-resolution timer per processor, in nanoseconds.
        CpuClock = 0, "PERF_COUNT_SW_CPU_CLOCK";
        /// The task's own running time, in nanoseconds.
        TaskClock = 1, "PERF_COUNT_SW_TASK_CLOCK";
        /// Page faults.
        PageFaults = 2, "PERF_COUNT_SW_PAGE_FAULTS";
        /// Context switches.
        ContextSwitches = 3, "PERF_COUNT_SW_CONTEXT_SWITCHES";
        /// Moves from one processor to another.
        CpuMigrations = 4, "PERF_COUNT_SW_CPU_MIGRATIONS";
        /// Page faults that needed no I/O.
        PageFaultsMin = 5, "PERF_COUNT_SW_PAGE_FAULTS_MIN";
        /// Page faults that needed I/O.
        PageFaultsMaj = 6, "PERF_COUNT_SW_PAGE_FAULTS_MAJ";
        /// Accesses that the kernel had to align.
        AlignmentFaults = 7, "PERF_COUNT_SW_ALIGNMENT_FAULTS";
        /// Instructions that the kernel had to emulate.
        EmulationFaults = 8, "PERF_COUNT_SW_EMULATION_FAULTS";
        /// Counts nothing; a carrier for `Mmap`, `Comm` and the like.
        Dummy = 9, "PERF_COUNT_SW_DUMMY";
        /// What BPF programs write with `bpf_perf_event_output`.
        BpfOutput = 10, "PERF_COUNT_SW_BPF_OUTPUT";
        /// Context switches to a task of another cgroup. Since Linux 5.13.
        CgroupSwitches = 11, "PERF_COUNT_SW_CGROUP_SWITCHES";
    }
}

numbers! {
    /// Events that most processors count.
    #[doc(alias = "perf_hw_id")]
    HardwareEvent {
        /// Cycles.
        CpuCycles = 0, "PERF_COUNT_HW_CPU_CYCLES";
        /// Retired instructions.
        Instructions = 1, "PERF_COUNT_HW_INSTRUCTIONS";
        /// Cache accesses, usually of the last level.
        CacheReferences = 2, "PERF_COUNT_HW_CACHE_REFERENCES";
        /// Cache misses, usually of the last level.
        CacheMisses = 3, "PERF_COUNT_HW_CACHE_MISSES";
        /// Retired branches.
        BranchInstructions = 4, "PERF_COUNT_HW_BRANCH_INSTRUCTIONS";
        /// Mispredicted branches.
        BranchMisses = 5, "PERF_COUNT_HW_BRANCH_MISSES";
        /// Bus cycles.
        BusCycles = 6, "PERF_COUNT_HW_BUS_CYCLES";
        /// Cycles in which nothing could be issued.
        StalledCyclesFrontend = 7, "PERF_COUNT_HW_STALLED_CYCLES_FRONTEND";
        /// Cycles in which nothing could be retired.
        StalledCyclesBackend = 8, "PERF_COUNT_HW_STALLED_CYCLES_BACKEND";
        /// Cycles of the reference clock, whatever the frequency is.
        RefCpuCycles = 9, "PERF_COUNT_HW_REF_CPU_CYCLES";
    }
}

numbers! {
    /// Which cache a [`Source::HwCache`](super::Source::HwCache) event counts.
    #[doc(alias = "perf_hw_cache_id")]
    Cache {
        /// First level, data.
        L1d = 0, "PERF_COUNT_HW_CACHE_L1D";
        /// First level, instructions.
        L1i = 1, "PERF_COUNT_HW_CACHE_L1I";
        /// Last level.
        LastLevel = 2, "PERF_COUNT_HW_CACHE_LL";
        /// Address translations of data.
        Dtlb = 3, "PERF_COUNT_HW_CACHE_DTLB";
        /// Address translations of instructions.
        Itlb = 4, "PERF_COUNT_HW_CACHE_ITLB";
        /// Branch prediction.
        BranchPrediction = 5, "PERF_COUNT_HW_CACHE_BPU";
        /// Memory of the local node.
        Node = 6, "PERF_COUNT_HW_CACHE_NODE";
    }
}

numbers! {
    /// Which accesses a cache event counts.
    CacheOp {
        /// Reads.
        Read = 0, "PERF_COUNT_HW_CACHE_OP_READ";
        /// Writes.
        Write = 1, "PERF_COUNT_HW_CACHE_OP_WRITE";
        /// Prefetches.
        Prefetch = 2, "PERF_COUNT_HW_CACHE_OP_PREFETCH";
    }
}

numbers! {
    /// Which outcome a cache event counts.
    CacheResult {
        /// Every access.
        Access = 0, "PERF_COUNT_HW_CACHE_RESULT_ACCESS";
        /// Misses.
        Miss = 1, "PERF_COUNT_HW_CACHE_RESULT_MISS";
    }
}

numbers! {
    /// On what a [`Source::Breakpoint`](super::Source::Breakpoint) event fires.
    BreakpointAccess {
        /// Reads.
        Read = 1, "HW_BREAKPOINT_R";
        /// Writes.
        Write = 2, "HW_BREAKPOINT_W";
        /// Reads and writes.
        ReadWrite = 3, "HW_BREAKPOINT_RW";
        /// Execution.
        Execute = 4, "HW_BREAKPOINT_X";
    }
}
