//! Instructions, limits and maps that trial programs find out about.

use std::os::fd::{AsFd, AsRawFd};

use super::Answer;
use super::insns::{EXIT, RETURN_0, add_imm, call, insn, load, mov, mov_imm, store_imm};
use super::types::{helper, map_type};
use crate::errno::Errno;
use crate::map::{MapCreate, MapFlags, MapType, UpdateFlags};
use crate::prog::{ProgFlags, ProgLoad, ProgType};

const TRIAL: ProgType = ProgType::SocketFilter;

/// What the verifier does not know, it refuses with one of these.
const REFUSED: &[Errno] = &[Errno::EINVAL, Errno::ENOTSUPP, Errno::EOPNOTSUPP];

pub(super) fn get_func_ip() -> Answer {
    helper(ProgType::Kprobe, 173)
}

pub(super) fn get_attach_cookie() -> Answer {
    helper(ProgType::Kprobe, 174)
}

pub(super) fn bpf_loop() -> Answer {
    helper(ProgType::Kprobe, 181)
}

pub(super) fn ringbuf() -> Answer {
    map_type(MapType::Ringbuf).and(|| helper(ProgType::Kprobe, 130))
}

pub(super) fn mmapable() -> Answer {
    let spec = MapCreate {
        flags: MapFlags::MMAPABLE,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapCreate::default()
    };
    Answer::of(spec.create(), &[Errno::EINVAL])
}

pub(super) fn batch() -> Answer {
    let spec = MapCreate { key_size: 4, value_size: 8, max_entries: 1, ..MapCreate::default() };
    match spec.create() {
        Ok(map) => Answer::of(
            map.update_batch(&0u32.to_ne_bytes(), &0u64.to_ne_bytes(), UpdateFlags::ANY),
            &[Errno::EINVAL, Errno::ENOTSUPP],
        ),
        Err(error) => Answer::of_error(&error, &[]),
    }
}

pub(super) fn lookup_and_delete_hash() -> Answer {
    let spec = MapCreate {
        map_type: MapType::Hash,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapCreate::default()
    };
    match spec.create() {
        Ok(map) => Answer::of(
            map.lookup_and_delete(&0u32.to_ne_bytes(), &mut [0; 8]),
            &[Errno::EINVAL, Errno::ENOTSUPP, Errno::EOPNOTSUPP],
        ),
        Err(error) => Answer::of_error(&error, &[]),
    }
}

pub(super) fn global_data() -> Answer {
    let map =
        match (MapCreate { key_size: 4, value_size: 16, max_entries: 1, ..MapCreate::default() }).create() {
            Ok(map) => map,
            Err(error) => return Answer::of_error(&error, &[]),
        };
    // r1 = the address 8 bytes into the map's only value; *r1 = 1
    let insns = [
        insn(0x18, 1, 2, 0, map.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 8),
        store_imm(1, 0, 1),
        mov_imm(0, 0),
        EXIT,
    ];
    Answer::of(load(TRIAL, &insns), REFUSED)
}

pub(super) fn bounded_loops() -> Answer {
    // r6 = 10; do { r6 -= 1 } while (r6 != 0)
    let insns = [mov_imm(6, 10), add_imm(6, -1), insn(0x55, 6, 0, -2, 0), mov_imm(0, 0), EXIT];
    Answer::of(load(TRIAL, &insns), REFUSED)
}

pub(super) fn large_programs() -> Answer {
    let mut insns = vec![mov_imm(0, 1); 5000];
    insns.push(EXIT);
    Answer::of(load(TRIAL, &insns), &[Errno::E2BIG, Errno::EINVAL])
}

pub(super) fn atomic_fetch() -> Answer {
    // r1 = fetch_add(fp - 8, r1)
    let insns = [store_imm(10, -8, 0), mov_imm(1, 1), insn(0xdb, 10, 1, -8, 0x01), mov_imm(0, 0), EXIT];
    Answer::of(load(TRIAL, &insns), REFUSED)
}

pub(super) fn isa_v4() -> Answer {
    // r0 = (s8)r0; gotol +0; r0 s/= 3
    let insns = [
        mov_imm(0, -1),
        insn(0xbf, 0, 0, 8, 0),
        insn(0x06, 0, 0, 0, 0),
        insn(0x37, 0, 0, 1, 3),
        mov_imm(0, 0),
        EXIT,
    ];
    Answer::of(load(TRIAL, &insns), REFUSED)
}

pub(super) fn load_acquire() -> Answer {
    // r0 = load_acquire(fp - 8)
    let insns = [store_imm(10, -8, 0), insn(0xdb, 0, 10, -8, 0x100), mov_imm(0, 0), EXIT];
    Answer::of(load(TRIAL, &insns), REFUSED)
}

pub(super) fn sleepable_kprobe() -> Answer {
    let spec = ProgLoad {
        prog_type: ProgType::Kprobe,
        insns: &RETURN_0,
        license: "GPL",
        prog_flags: ProgFlags::SLEEPABLE,
        ..ProgLoad::default()
    };
    Answer::of(spec.load(), REFUSED)
}

/// For RLIMIT_MEMLOCK: a helper that came with the release that stopped charging it.
pub(super) fn ktime_get_coarse_ns() -> Answer {
    let insns = [call(160), mov(6, 0), mov_imm(0, 0), EXIT];
    Answer::of(load(TRIAL, &insns), REFUSED)
}
