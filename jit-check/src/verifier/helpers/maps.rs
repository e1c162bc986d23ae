//! Which helper goes with which type of map, and which program may use a map at all.

use crate::verifier::env::{EINVAL, Env, MapPtrState, Res, reject};
use crate::verifier::objects::{FieldKind, Record};
use crate::verifier::reg::{Base, Extra, Reg};
use crate::verifier::state::SlotType;
use asm::Helper;
use bpf_sys::map::{MapFlags, MapType};
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};
use loader::MapSpec;

/// Opcode of calls.
const CALL: u8 = 0x85;

/// Maps and the helpers that alone take them, by the map. Types without a line go with every helper that asks for no
/// other type.
const BY_MAP: &[(&[MapType], &[Helper])] = &[
    (&[MapType::ProgArray], &[Helper::TAIL_CALL]),
    (&[MapType::PerfEventArray], BY_HELPER[1].0),
    (&[MapType::Ringbuf], BY_HELPER[2].0),
    (&[MapType::UserRingbuf], &[Helper::USER_RINGBUF_DRAIN]),
    (&[MapType::StackTrace], &[Helper::GET_STACKID]),
    (&[MapType::CgroupArray], &[Helper::SKB_UNDER_CGROUP, Helper::CURRENT_TASK_UNDER_CGROUP]),
    (&[MapType::CgroupStorage, MapType::PercpuCgroupStorage], &[Helper::GET_LOCAL_STORAGE]),
    (
        &[MapType::Devmap, MapType::DevmapHash, MapType::Xskmap],
        &[Helper::REDIRECT_MAP, Helper::MAP_LOOKUP_ELEM],
    ),
    (&[MapType::Cpumap], &[Helper::REDIRECT_MAP]),
    (&[MapType::ArrayOfMaps, MapType::HashOfMaps], &[Helper::MAP_LOOKUP_ELEM]),
    (
        &[MapType::Sockmap],
        &[
            Helper::SK_REDIRECT_MAP,
            Helper::SOCK_MAP_UPDATE,
            Helper::MSG_REDIRECT_MAP,
            Helper::SK_SELECT_REUSEPORT,
            Helper::MAP_LOOKUP_ELEM,
        ],
    ),
    (
        &[MapType::Sockhash],
        &[
            Helper::SK_REDIRECT_HASH,
            Helper::SOCK_HASH_UPDATE,
            Helper::MSG_REDIRECT_HASH,
            Helper::SK_SELECT_REUSEPORT,
            Helper::MAP_LOOKUP_ELEM,
        ],
    ),
    (&[MapType::ReuseportSockarray], &[Helper::SK_SELECT_REUSEPORT]),
    (
        &[MapType::Queue, MapType::Stack],
        &[Helper::MAP_PEEK_ELEM, Helper::MAP_POP_ELEM, Helper::MAP_PUSH_ELEM],
    ),
    (&[MapType::SkStorage], &[Helper::SK_STORAGE_GET, Helper::SK_STORAGE_DELETE, Helper::KPTR_XCHG]),
    (&[MapType::InodeStorage], &[Helper::INODE_STORAGE_GET, Helper::INODE_STORAGE_DELETE, Helper::KPTR_XCHG]),
    (&[MapType::TaskStorage], &[Helper::TASK_STORAGE_GET, Helper::TASK_STORAGE_DELETE, Helper::KPTR_XCHG]),
    (&[MapType::CgrpStorage], &[Helper::CGRP_STORAGE_GET, Helper::CGRP_STORAGE_DELETE, Helper::KPTR_XCHG]),
    (&[MapType::BloomFilter], &[Helper::MAP_PEEK_ELEM, Helper::MAP_PUSH_ELEM]),
    (&[MapType::InsnArray], &[]),
];

/// The other way round: helpers and the maps that alone will do for them.
const BY_HELPER: &[(&[Helper], &[MapType])] = &[
    (&[Helper::TAIL_CALL], &[MapType::ProgArray]),
    (
        &[
            Helper::PERF_EVENT_READ,
            Helper::PERF_EVENT_OUTPUT,
            Helper::PERF_EVENT_READ_VALUE,
            Helper::SKB_OUTPUT,
            Helper::XDP_OUTPUT,
        ],
        &[MapType::PerfEventArray],
    ),
    (
        &[
            Helper::RINGBUF_OUTPUT,
            Helper::RINGBUF_RESERVE,
            Helper::RINGBUF_QUERY,
            Helper::RINGBUF_RESERVE_DYNPTR,
            Helper::RINGBUF_SUBMIT_DYNPTR,
            Helper::RINGBUF_DISCARD_DYNPTR,
        ],
        &[MapType::Ringbuf],
    ),
    (&[Helper::USER_RINGBUF_DRAIN], &[MapType::UserRingbuf]),
    (&[Helper::GET_STACKID], &[MapType::StackTrace]),
    (&[Helper::SKB_UNDER_CGROUP, Helper::CURRENT_TASK_UNDER_CGROUP], &[MapType::CgroupArray]),
    (&[Helper::REDIRECT_MAP], &[MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap]),
    (&[Helper::SK_REDIRECT_MAP, Helper::MSG_REDIRECT_MAP, Helper::SOCK_MAP_UPDATE], &[MapType::Sockmap]),
    (&[Helper::SK_REDIRECT_HASH, Helper::MSG_REDIRECT_HASH, Helper::SOCK_HASH_UPDATE], &[MapType::Sockhash]),
    (&[Helper::GET_LOCAL_STORAGE], &[MapType::CgroupStorage, MapType::PercpuCgroupStorage]),
    (&[Helper::SK_SELECT_REUSEPORT], &[MapType::ReuseportSockarray, MapType::Sockmap, MapType::Sockhash]),
    (&[Helper::MAP_POP_ELEM], &[MapType::Queue, MapType::Stack]),
    (
        &[Helper::MAP_PEEK_ELEM, Helper::MAP_PUSH_ELEM],
        &[MapType::Queue, MapType::Stack, MapType::BloomFilter],
    ),
    (&[Helper::MAP_LOOKUP_PERCPU_ELEM], &[MapType::PercpuArray, MapType::PercpuHash, MapType::LruPercpuHash]),
    (&[Helper::SK_STORAGE_GET, Helper::SK_STORAGE_DELETE], &[MapType::SkStorage]),
    (&[Helper::INODE_STORAGE_GET, Helper::INODE_STORAGE_DELETE], &[MapType::InodeStorage]),
    (&[Helper::TASK_STORAGE_GET, Helper::TASK_STORAGE_DELETE], &[MapType::TaskStorage]),
    (&[Helper::CGRP_STORAGE_GET, Helper::CGRP_STORAGE_DELETE], &[MapType::CgrpStorage]),
];

/// Map types that sleepable programs may use, and since when.
const SLEEPABLE: &[(MapType, (u16, u16))] = &[
    (MapType::Hash, (5, 10)),
    (MapType::LruHash, (5, 10)),
    (MapType::Array, (5, 10)),
    (MapType::PercpuHash, (5, 12)),
    (MapType::PercpuArray, (5, 12)),
    (MapType::LruPercpuHash, (5, 12)),
    (MapType::ArrayOfMaps, (5, 12)),
    (MapType::HashOfMaps, (5, 12)),
    (MapType::Ringbuf, (5, 10)),
    (MapType::UserRingbuf, (6, 1)),
    (MapType::InodeStorage, (5, 18)),
    (MapType::SkStorage, (5, 18)),
    (MapType::TaskStorage, (5, 18)),
    (MapType::CgrpStorage, (6, 2)),
    (MapType::Queue, (6, 6)),
    (MapType::Stack, (6, 6)),
    (MapType::Arena, (6, 9)),
    (MapType::InsnArray, (6, 19)),
    (MapType::ProgArray, (6, 19)),
    (MapType::LpmTrie, (7, 0)),
    (MapType::Rhash, (7, 2)),
];

/// Program types that run in places where locks and timers may not be used.
pub(in crate::verifier) fn is_tracing_prog_type(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::Kprobe
            | ProgType::Tracepoint
            | ProgType::PerfEvent
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
    )
}

impl<'a> Env<'a> {
    /// Index of a map's description: the inner map's where `inner` says that one found in `map` is meant.
    pub(in crate::verifier) fn map_index(&self, map: u32, inner: bool) -> u32 {
        if inner { self.find_map_of_maps(map).unwrap_or(map) } else { map }
    }

    /// How a map was defined.
    pub(in crate::verifier) fn map_spec(&self, map: u32, inner: bool) -> &'a MapSpec {
        let outer =
            if inner { Some(map) } else { self.maps.get(map as usize).and_then(|info| info.inner_of) };
        let maps = &self.program.maps;
        match outer.and_then(|outer| maps[outer as usize].inner.as_deref()) {
            Some(spec) => spec,
            None => &maps[map as usize],
        }
    }

    /// Whether a look-up in the map gives a value for certain when the key is a constant in range (since Linux 6.14).
    pub(super) fn look_up_may_be_certain(&self, map: u32, inner: bool) -> bool {
        let spec = self.map_spec(map, inner);
        // The maps in a map of maps may differ in size.
        let one_of_many = spec.flags.contains(MapFlags::INNER_MAP);
        !one_of_many && matches!(spec.map_type, MapType::Array | MapType::PercpuArray)
    }

    /// The key on the stack, where it is known; its value matters from then on.
    pub(super) fn constant_map_key(&mut self, key: &Reg, size: u32) -> Res<Option<i64>> {
        if !self.bpf_capable || !key.is(Base::Stack) || !key.var_off.is_const() {
            return Ok(None);
        }
        let below = -i64::from(key.off) - key.var_off.value as i64 - 1;
        let Ok(below) = usize::try_from(below) else { return Ok(None) };
        let (at, first) = (below / 8, below % 8);
        let frame = key.frameno as usize;
        let Some(slot) = self.cur.frames.get(frame).and_then(|frame| frame.stack.get(at)) else {
            return Ok(None);
        };
        let run = |of: SlotType| slot.types[..=first].iter().rev().take_while(|ty| **ty == of).count();
        if run(SlotType::Zero) >= size as usize {
            return Ok(Some(0));
        }
        let spilled = slot.spilled;
        let known = slot.is_spilled_reg() && spilled.is(Base::Scalar) && spilled.var_off.is_const();
        if !known || run(SlotType::Spill) != size as usize {
            return Ok(None);
        }
        self.mark_slot_precise(frame, at as u32)?;
        Ok(Some(spilled.var_off.value as i64))
    }

    /// How the map that a register belongs to was defined.
    pub(in crate::verifier) fn reg_map_spec(&self, reg: &Reg) -> Option<&'a MapSpec> {
        match reg.extra {
            Extra::Map { map, inner, .. } => Some(self.map_spec(map, inner)),
            _ => None,
        }
    }

    /// The description of a map of maps' inner maps (index into `Env::maps`).
    pub(in crate::verifier) fn find_map_of_maps(&self, map: u32) -> Option<u32> {
        let at = self.maps.iter().position(|info| info.inner_of == Some(map))?;
        Some(at as u32)
    }

    /// Whether the helper takes such a map.
    pub(super) fn check_map_func(&mut self, map: Option<(u32, bool, u32)>, helper: Helper) -> Res {
        let Some((map, inner, _)) = map else { return Ok(()) };
        let map_type = self.map_spec(map, inner).map_type;
        let takes = |list: &[(&[MapType], &[Helper])]| {
            list.iter()
                .find(|(types, _)| types.contains(&map_type))
                .map(|(_, helpers)| helpers.contains(&helper))
        };
        let is_sockets = matches!(map_type, MapType::Sockmap | MapType::Sockhash);
        let fits = takes(BY_MAP).unwrap_or(true) || is_sockets && self.may_update_sockmap(helper);
        let wanted = BY_HELPER.iter().find(|(helpers, _)| helpers.contains(&helper));
        if !fits || wanted.is_some_and(|(_, types)| !types.contains(&map_type)) {
            let name = helper.name().unwrap_or("unknown");
            reject!(self, EINVAL, "cannot pass map_type {} into func {name}#{}", map_type.raw(), helper.0);
        }
        if helper == Helper::TAIL_CALL && self.subprogs.len() > 2 && !self.kernel.jit {
            reject!(self, EINVAL, "tail_calls are not allowed in non-JITed programs with bpf-to-bpf calls");
        }
        Ok(())
    }

    /// After the walk: a tail call's map is compared at run time against speculation, for which there can be only one.
    pub(in crate::verifier) fn check_tail_call_maps(&mut self) -> Res {
        if self.bypass_spec_v1 {
            return Ok(());
        }
        let abused = self.insns.iter().zip(&self.aux).any(|(insn, aux)| {
            let calls = insn.opcode == CALL && insn.regs >> 4 == 0 && insn.imm == Helper::TAIL_CALL.0 as i32;
            calls && aux.map_ptr == MapPtrState::Poisoned
        });
        if abused {
            reject!(self, EINVAL, "tail_call abusing map_ptr");
        }
        Ok(())
    }

    /// Whether the program runs where a socket in a map cannot be locked: only then maps of sockets may be changed.
    fn may_update_sockmap(&mut self, helper: Helper) -> bool {
        if helper != Helper::MAP_UPDATE_ELEM && helper != Helper::MAP_DELETE_ELEM {
            return false;
        }
        let may = match self.prog_type() {
            ProgType::Tracing => self.program.expected_attach_type == Some(AttachType::TraceIter),
            ProgType::SockOps => helper == Helper::MAP_DELETE_ELEM,
            ProgType::SocketFilter
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::Xdp
            | ProgType::SkReuseport
            | ProgType::FlowDissector
            | ProgType::SkLookup => true,
            _ => false,
        };
        if !may {
            self.say(format_args!("cannot update sockmap in this context\n"));
        }
        may
    }

    /// Whether a program of this type may use such a map at all.
    pub(in crate::verifier) fn map_prog_compatible(&mut self, map: u32) -> Res {
        let prog_type = self.prog_type();
        let tracing = is_tracing_prog_type(prog_type);
        let record = self.maps.get(map as usize).and_then(|info| info.record.clone()).unwrap_or_default();
        let has = |record: &Record, kind| record.fields.iter().any(|field| field.kind == kind);
        let graph = has(&record, FieldKind::ListHead) || has(&record, FieldKind::RbRoot);
        if graph && tracing {
            reject!(self, EINVAL, "tracing progs cannot use bpf_{{list_head,rb_root}} yet");
        }
        if has(&record, FieldKind::SpinLock) || has(&record, FieldKind::ResSpinLock) {
            if prog_type == ProgType::SocketFilter {
                reject!(self, EINVAL, "socket filter progs cannot use bpf_spin_lock yet");
            }
            if tracing && has(&record, FieldKind::SpinLock) {
                reject!(self, EINVAL, "tracing progs cannot use bpf_spin_lock yet");
            }
        }
        // Since Linux 6.19 timers and work queues are safe everywhere.
        if tracing && has(&record, FieldKind::Timer) && !self.since(6, 19) {
            reject!(self, EINVAL, "tracing progs cannot use bpf_timer yet");
        }
        if tracing && has(&record, FieldKind::Workqueue) && !self.since(6, 19) {
            reject!(self, EINVAL, "tracing progs cannot use bpf_wq yet");
        }
        let map_type = self.map_spec(map, false).map_type;
        if map_type == MapType::StructOps {
            reject!(self, EINVAL, "bpf_struct_ops map cannot be used in prog");
        }
        if self.program.flags.contains(ProgFlags::SLEEPABLE) {
            let known = SLEEPABLE.iter().find(|(known, _)| *known == map_type);
            if !known.is_some_and(|(_, (major, minor))| self.since(*major, *minor)) {
                reject!(
                    self,
                    EINVAL,
                    "Sleepable programs can only use array, hash, ringbuf and local storage maps"
                );
            }
        }
        Ok(())
    }
}
