//! What is left out or replaced on kernels that do not have it.

use asm::Insn;
use bpf_sys::features::{self, Answer};
use bpf_sys::map::{MapCreate, MapFlags, MapType};
use bpf_sys::prog::{AttachType, ProgLoad, ProgType};

/// Something that objects use but can do without, on kernels that lack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fallback {
    /// Names of maps and programs, since Linux 4.15: left out.
    Names,
    /// `bpf_probe_read_{kernel,user}` and their string forms, since Linux 5.5: `bpf_probe_read` and
    /// `bpf_probe_read_str`, which read both kinds of memory.
    ProbeReadKernel,
    /// Global data, since Linux 5.2: its maps are not created, and a program that uses one is refused.
    GlobalData,
    /// Arrays that can be mapped, since Linux 5.5: read and written by system calls.
    MmapableArrays,
    /// Kprobe programs of any version of the kernel, since Linux 5.0: they state the running one's.
    AnyVersion,
    /// Stating where a program will be attached where it needs not, since Linux 4.17: left out.
    ExpectedAttachType,
    /// BTF of objects, since Linux 4.18: left out, unless a map needs it.
    Btf,
    /// Kinds of BTF types, of which releases since 5.0 brought some: rewritten to what the kernel takes. Without, all of
    /// them are.
    BtfKinds,
    /// Keeping read-only data alive with programs that do not use it, since Linux 5.10: left out.
    BindMap,
    /// Links to many user functions, since Linux 6.6: programs of USDT probes are loaded for perf events.
    UprobeMulti,
}

impl Fallback {
    /// All of them.
    pub const ALL: &'static [Fallback] = &[
        Fallback::Names,
        Fallback::ProbeReadKernel,
        Fallback::GlobalData,
        Fallback::MmapableArrays,
        Fallback::AnyVersion,
        Fallback::ExpectedAttachType,
        Fallback::Btf,
        Fallback::BtfKinds,
        Fallback::BindMap,
        Fallback::UprobeMulti,
    ];

    /// Whether the kernel lacks it, by trying.
    pub(super) fn probe(self) -> bool {
        match self {
            Fallback::Names => {
                let named = |name| {
                    MapCreate { name, key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() }
                        .create()
                };
                named("trial").is_err() && named("").is_ok()
            }
            // Any type of program that has the older helper will do.
            Fallback::ProbeReadKernel => features::helper(ProgType::Kprobe, 113).is_no(),
            Fallback::GlobalData => features::has_global_data().is_no(),
            Fallback::MmapableArrays => features::has_mmapable().is_no(),
            Fallback::AnyVersion => {
                let trial = ProgLoad { prog_type: ProgType::Kprobe, ..trial() };
                let version = crate::kernel::version().unwrap_or(0);
                trial.load().is_err() && ProgLoad { kern_version: version, ..trial }.load().is_ok()
            }
            Fallback::ExpectedAttachType => {
                let trial = ProgLoad { prog_type: ProgType::CgroupSock, ..trial() };
                let stated =
                    ProgLoad { expected_attach_type: Some(AttachType::CgroupInetSockCreate), ..trial };
                trial.load().is_ok() && stated.load().is_err()
            }
            Fallback::Btf => features::has_btf().is_no(),
            // Found out by the answer to the real thing.
            Fallback::BindMap | Fallback::BtfKinds => false,
            Fallback::UprobeMulti => !matches!(features::has_uprobe_multi(), Answer::Yes),
        }
    }
}

/// A program that returns 0, to be given a type.
pub(super) fn trial() -> ProgLoad<'static> {
    const WORDS: [u64; 2] = [Insn::new(0xb7, 0, 0, 0, 0).to_u64(), Insn::new(0x95, 0, 0, 0, 0).to_u64()];
    ProgLoad { insns: &WORDS, license: "GPL", ..ProgLoad::default() }
}

/// Whether a map of this type takes no BTF ids of its key and value.
pub(super) fn refuses_btf_ids(map_type: MapType) -> bool {
    use MapType::*;
    matches!(
        map_type,
        PerfEventArray
            | CgroupArray
            | StackTrace
            | ArrayOfMaps
            | HashOfMaps
            | Devmap
            | DevmapHash
            | Cpumap
            | Xskmap
            | Sockmap
            | Sockhash
            | Queue
            | Stack
            | Arena
    )
}

/// Flags that the kernel sets itself, so that they tell nothing about how a map was defined.
pub(super) fn added_by_kernel(map_type: MapType) -> MapFlags {
    match map_type {
        MapType::Devmap | MapType::DevmapHash => MapFlags::RDONLY_PROG,
        _ => MapFlags::empty(),
    }
}
