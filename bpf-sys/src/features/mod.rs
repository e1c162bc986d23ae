//! What this kernel can do for this process, found out by trying and never by its version.
//!
//! A probe answers yes, no, or that it could not tell, and why; each is done once and remembered. [`ALL`] lists the
//! named features; [`prog_type`], [`map_type`] and [`helper`] answer for everything that has a number. No probe leaves
//! anything behind or attaches to anything.

mod answer;
pub(crate) mod attr_size;
mod btf_kinds;
mod insns;
mod links;
mod programs;
mod system;
mod types;

use std::sync::OnceLock;

pub use answer::Answer;
pub use system::{Capability, has_capability};
pub use types::{helper, map_type, prog_type, trial_map};

/// Something that a kernel may or may not have.
#[derive(Debug)]
pub struct Feature {
    name: &'static str,
    since: &'static str,
    purpose: &'static str,
    probe: fn() -> Answer,
    cache: OnceLock<Answer>,
}

impl Feature {
    const fn new(
        name: &'static str,
        since: &'static str,
        purpose: &'static str,
        probe: fn() -> Answer,
    ) -> Self {
        Feature { name, since, purpose, probe, cache: OnceLock::new() }
    }

    /// A short name in `snake_case`, which stays the same.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The first kernel release that has it, such as `5.18`.
    pub fn since(&self) -> &'static str {
        self.since
    }

    /// What it is good for, in one line.
    pub fn purpose(&self) -> &'static str {
        self.purpose
    }

    /// Whether this kernel has it. The first call tries it out; later ones remember.
    pub fn answer(&self) -> &Answer {
        self.cache.get_or_init(self.probe)
    }
}

macro_rules! features {
    ($( $CONST:ident, $has:ident, $name:literal, $since:literal, $purpose:literal, $probe:expr; )*) => {
        $(
            #[doc = concat!($purpose, ". Since Linux ", $since, ".")]
            pub static $CONST: Feature = Feature::new($name, $since, $purpose, $probe);

            #[doc = concat!("The answer of [`", stringify!($CONST), "`]: ", $purpose, ". Since Linux ", $since, ".")]
            pub fn $has() -> Answer {
                $CONST.answer().clone()
            }
        )*

        /// Every named feature.
        pub static ALL: &[&Feature] = &[ $( &$CONST, )* ];
    };
}

features! {
    BPF, has_bpf, "bpf", "4.4", "The bpf(2) system call, for this process", system::bpf;
    BTF, has_btf, "btf", "4.18", "Types of programs and maps: names in dumps, local storage maps", btf_kinds::int;
    VMLINUX_BTF, has_vmlinux_btf, "vmlinux_btf", "5.4", "The kernel's own types: kernel structures without headers", system::vmlinux_btf;
    KPROBE_MULTI, has_kprobe_multi, "kprobe_multi", "5.18", "Thousands of kernel functions attached to by one call", links::kprobe_multi;
    KPROBE_SESSION, has_kprobe_session, "kprobe_session", "6.10", "One program at a kernel function's entry and return", links::kprobe_session;
    UPROBE_MULTI, has_uprobe_multi, "uprobe_multi", "6.6", "Many user functions attached to by one call", links::uprobe_multi;
    UPROBE_SESSION, has_uprobe_session, "uprobe_session", "6.13", "One program at a user function's entry and return", links::uprobe_session;
    PERF_LINK, has_perf_link, "perf_link", "5.15", "Links to perf events: cookies, and detaching with the descriptor", links::perf_link;
    COOKIE, has_cookie, "perf_cookie", "5.15", "One program for many perf probes, told apart by their cookies", links::perf_cookie;
    MULTI_COOKIE, has_multi_cookie, "multi_cookie", "5.18", "One program for all functions of a kprobe.multi link, told apart by cookies", links::multi_cookie;
    RAW_TRACEPOINT_COOKIE, has_raw_tracepoint_cookie, "raw_tracepoint_cookie", "6.10", "Cookies of raw tracepoints", links::raw_tracepoint_cookie;
    SYSCALL_TRACEPOINTS, has_syscall_tracepoints, "syscall_tracepoints", "4.17", "All system calls through one raw tracepoint", links::syscall_tracepoints;
    PERF_KPROBE, has_perf_kprobe, "perf_kprobe", "4.17", "Kernel functions attached to one by one, without tracefs", system::perf_kprobe;
    PERF_UPROBE, has_perf_uprobe, "perf_uprobe", "4.17", "User functions attached to one by one, without tracefs", system::perf_uprobe;
    GET_FUNC_IP, has_get_func_ip, "get_func_ip", "5.15", "A kprobe program learns which function it runs for", programs::get_func_ip;
    GET_ATTACH_COOKIE, has_get_attach_cookie, "get_attach_cookie", "5.15", "A kprobe program learns its cookie", programs::get_attach_cookie;
    RINGBUF, has_ringbuf, "ringbuf", "5.8", "A ring buffer that all processors share: ordered events, less memory", programs::ringbuf;
    MMAPABLE, has_mmapable, "mmapable_array", "5.5", "Counters that are read without a system call", programs::mmapable;
    BATCH, has_batch, "map_batch", "5.6", "Whole maps read by a few calls", programs::batch;
    LOOKUP_AND_DELETE_HASH, has_lookup_and_delete_hash, "hash_lookup_and_delete", "5.14", "Hash tables emptied without losing an update", programs::lookup_and_delete_hash;
    GLOBAL_DATA, has_global_data, "global_data", "5.2", "Programs with global variables", programs::global_data;
    BOUNDED_LOOPS, has_bounded_loops, "bounded_loops", "5.3", "Loops that the verifier can see the end of", programs::bounded_loops;
    BPF_LOOP, has_bpf_loop, "bpf_loop", "5.17", "Loops by a helper, verified once whatever their length", programs::bpf_loop;
    LARGE_PROGRAMS, has_large_programs, "large_programs", "5.2", "Programs of up to a million instructions instead of 4096", programs::large_programs;
    ATOMIC_FETCH, has_atomic_fetch, "atomic_fetch", "5.12", "Atomic operations that give the old value (instruction set v3)", programs::atomic_fetch;
    ISA_V4, has_isa_v4, "isa_v4", "6.6", "Sign extension, byte swaps, signed division, long jumps (instruction set v4)", programs::isa_v4;
    LOAD_ACQUIRE, has_load_acquire, "load_acquire", "6.15", "Load-acquire and store-release instructions", programs::load_acquire;
    SLEEPABLE, has_sleepable_uprobes, "sleepable_uprobes", "6.0", "Uprobe programs that may page in user memory", programs::sleepable_kprobe;
    MEMCG_ACCOUNTING, has_memcg_accounting, "memcg_accounting", "5.11", "Memory charged to the cgroup, so RLIMIT_MEMLOCK needs no raising", system::memcg_accounting;
    RUN_STATS, has_run_stats, "run_stats", "5.8", "The cost of each program's runs, switched on by a descriptor", system::run_stats;
    BTF_FUNC, has_btf_func, "btf_func", "5.0", "BTF kind FUNC: functions with prototypes", btf_kinds::func;
    BTF_FUNC_GLOBAL, has_btf_func_global, "btf_func_global", "5.6", "Linkage of BTF functions: those verified on their own", btf_kinds::func_global;
    BTF_DATASEC, has_btf_datasec, "btf_datasec", "5.2", "BTF kinds VAR and DATASEC: global variables", btf_kinds::datasec;
    BTF_EMPTY_DATASEC, has_btf_empty_datasec, "btf_empty_datasec", "5.12", "BTF data sections without variables", btf_kinds::empty_datasec;
    BTF_FLOAT, has_btf_float, "btf_float", "5.13", "BTF kind FLOAT", btf_kinds::float;
    BTF_DECL_TAG, has_btf_decl_tag, "btf_decl_tag", "5.16", "BTF kind DECL_TAG", btf_kinds::decl_tag;
    BTF_TYPE_TAG, has_btf_type_tag, "btf_type_tag", "5.17", "BTF kind TYPE_TAG", btf_kinds::type_tag;
    BTF_ENUM64, has_btf_enum64, "btf_enum64", "6.0", "BTF kind ENUM64", btf_kinds::enum64;
    BTF_SECTION_NAMES, has_btf_section_names, "btf_section_names", "6.9", "Names of BTF data sections with any printable character", btf_kinds::section_names;
    BTF_TAG_FLAGS, has_btf_tag_flags, "btf_tag_flags", "6.15", "BTF tags that stand for any attribute", btf_kinds::tag_flags;
    BTF_LAYOUT, has_btf_layout, "btf_layout", "7.1", "BTF that tells the length of records of unknown kinds", btf_kinds::layout;
    BTF_LARGE_COUNTS, has_btf_large_counts, "btf_large_counts", "7.2", "BTF types of more than 65,535 members or values", btf_kinds::large_counts;
    JIT, has_jit, "jit", "3.18", "Programs run as machine code", system::jit;
}

/// The feature of this name.
pub fn by_name(name: &str) -> Option<&'static Feature> {
    ALL.iter().copied().find(|feature| feature.name == name)
}
