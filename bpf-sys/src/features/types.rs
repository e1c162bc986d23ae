//! Everything that has a number: types of programs and maps, and helpers.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::Answer;
use super::btf_kinds;
use super::insns::{EXIT, RETURN_0, call, mov_imm};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::map::{Map, MapCreate, MapFlags, MapType};
use crate::prog::{AttachType, ProgFlags, ProgLoad, ProgType};

/// One answer for each number below 128; larger ones are asked for anew.
struct Cache([OnceLock<Answer>; 128]);

impl Cache {
    const fn new() -> Self {
        Cache([const { OnceLock::new() }; 128])
    }

    fn get(&self, number: u32, probe: impl FnOnce() -> Answer) -> Answer {
        match self.0.get(number as usize) {
            Some(slot) => slot.get_or_init(probe).clone(),
            None => probe(),
        }
    }
}

/// Whether programs of this type can be loaded.
pub fn prog_type(prog_type: ProgType) -> Answer {
    static CACHE: Cache = Cache::new();
    CACHE.get(prog_type.raw(), || probe_prog_type(prog_type))
}

/// A program of this type that asks for nothing but to be of it.
fn smallest(prog_type: ProgType) -> ProgLoad<'static> {
    let attach_type = match prog_type {
        ProgType::CgroupSockAddr => Some(AttachType::CgroupInet4Bind),
        ProgType::CgroupSockopt => Some(AttachType::CgroupGetsockopt),
        ProgType::SkLookup => Some(AttachType::SkLookup),
        ProgType::Netfilter => Some(AttachType::Netfilter),
        ProgType::Tracing => Some(AttachType::TraceFentry),
        ProgType::Lsm => Some(AttachType::LsmMac),
        _ => None,
    };
    let prog_flags = if prog_type == ProgType::Syscall { ProgFlags::SLEEPABLE } else { ProgFlags::empty() };
    ProgLoad {
        prog_type,
        insns: &RETURN_0,
        license: "GPL",
        expected_attach_type: attach_type,
        prog_flags,
        ..ProgLoad::default()
    }
}

fn probe_prog_type(prog_type: ProgType) -> Answer {
    match smallest(prog_type).load() {
        Ok(_) => Answer::Yes,
        // The verifier speaks only about programs of types that it knows.
        Err(Error::ProgLoad(e)) if e.errno != Errno::EPERM && !e.log.trim().is_empty() => Answer::Yes,
        Err(error) => Answer::of_error(&error, &[Errno::EINVAL]),
    }
}

/// Whether maps of this type can be created.
pub fn map_type(map_type: MapType) -> Answer {
    static CACHE: Cache = Cache::new();
    CACHE.get(map_type.raw(), || match trial_map(map_type) {
        // That is about the type id, which is a made-up one; an unknown map type is EINVAL.
        Err(error) if map_type == MapType::StructOps && error.is_errno(Errno::ENOTSUPP) => Answer::Yes,
        result => Answer::of(result, &[Errno::EINVAL, Errno::ENOTSUPP, Errno::EOPNOTSUPP]),
    })
}

/// The smallest map of this type. Of types that need more than numbers (struct_ops), what the kernel says instead.
///
/// # Errors
///
/// As [`MapCreate::create`].
pub fn trial_map(map_type: MapType) -> Result<Map> {
    let mut spec = MapCreate { map_type, key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() };
    let inner;
    let btf;
    match map_type {
        MapType::StackTrace | MapType::ReuseportSockarray => spec.value_size = 8,
        MapType::LpmTrie => {
            spec.key_size = 8;
            spec.flags = MapFlags::NO_PREALLOC;
        }
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            inner = trial_map(MapType::Array)?;
            spec.inner_map = Some(inner.as_fd());
        }
        // Their key is `struct bpf_cgroup_storage_key`, and there is one element for each cgroup.
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
            spec.key_size = 16;
            spec.max_entries = 0;
        }
        MapType::Queue | MapType::Stack | MapType::BloomFilter => spec.key_size = 0,
        MapType::SkStorage | MapType::InodeStorage | MapType::TaskStorage | MapType::CgrpStorage => {
            btf = btf_kinds::load_int()?;
            spec.btf = Some(btf.as_fd());
            spec.btf_key_type_id = 1;
            spec.btf_value_type_id = 1;
            spec.max_entries = 0;
            spec.flags = MapFlags::NO_PREALLOC;
        }
        MapType::StructOps => spec.btf_vmlinux_value_type_id = 1,
        MapType::Ringbuf | MapType::UserRingbuf => {
            spec.key_size = 0;
            spec.value_size = 0;
            // A power of two that is a multiple of every page size.
            spec.max_entries = 64 << 10;
        }
        MapType::Arena => {
            spec.key_size = 0;
            spec.value_size = 0;
            spec.flags = MapFlags::MMAPABLE;
        }
        MapType::InsnArray => spec.value_size = 16,
        MapType::Rhash => spec.flags = MapFlags::NO_PREALLOC,
        _ => {}
    }
    spec.create()
}

/// Whether programs of this type may call the helper with this number.
///
/// Types that cannot be loaded without a target in BTF (tracing, LSM, struct_ops, ext) are answered with
/// [`Answer::Unknown`]. A helper that is for GPL-compatible programs only is answered with yes.
pub fn helper(prog_type: ProgType, helper: u32) -> Answer {
    static CACHE: Mutex<BTreeMap<(u32, u32), Answer>> = Mutex::new(BTreeMap::new());
    let key = (prog_type.raw(), helper);
    let cached = CACHE.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(answer) = cached {
        return answer;
    }
    let answer = probe_helper(smallest(prog_type), helper);
    CACHE.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer.clone());
    answer
}

/// Loads `spec` with a body that does nothing but call the helper.
pub(super) fn probe_helper(spec: ProgLoad<'_>, helper: u32) -> Answer {
    let prog_type = spec.prog_type;
    if matches!(prog_type, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext) {
        return Answer::unknown(format!(
            "{prog_type} programs are verified for a target in BTF, and this probe has none"
        ));
    }
    let Ok(number) = i32::try_from(helper) else { return Answer::no("helpers have 31-bit numbers") };
    let insns = [call(number), mov_imm(0, 0), EXIT];
    match (ProgLoad { insns: &insns, ..spec }).load() {
        Ok(_) => Answer::Yes,
        Err(Error::ProgLoad(e)) if !e.log.trim().is_empty() => {
            // Whatever else the verifier has to say, arguments for example, it says about helpers that are there.
            let absent = ["unknown func ", "invalid func ", "program of this type cannot use helper"];
            let line = e.log.lines().find(|line| absent.iter().any(|text| line.contains(text)));
            line.map_or(Answer::Yes, |line| Answer::no(line.trim()))
        }
        Err(error) => Answer::of_error(&error, &[Errno::EINVAL]),
    }
}
