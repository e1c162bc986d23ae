//! What is left out or replaced on kernels that do not have it.

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
            Fallback::ExpectedAttachType => {
                let trial = ProgLoad {
                    prog_type: ProgType::CgroupSock,
                    // r0 = 0; exit
                    insns: &[
                        asm::Insn::new(0xb7, 0, 0, 0, 0).to_u64(),
                        asm::Insn::new(0x95, 0, 0, 0, 0).to_u64(),
                    ],
                    license: "GPL",
                    ..ProgLoad::default()
                };
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
