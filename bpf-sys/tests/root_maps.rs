//! Maps on the running kernel.

mod common;

use tracewell_bpf_sys::map::{BatchCursor, Map, MapCreate, MapFlags, MapType, UpdateFlags};
use tracewell_bpf_sys::{Errno, Error, cpus, ids, percpu};

fn array(flags: MapFlags) -> Map {
    MapCreate { name: "tw_array", key_size: 4, value_size: 8, max_entries: 16, flags, ..MapCreate::default() }
        .create()
        .unwrap()
}

fn hash() -> Map {
    MapCreate {
        name: "tw_hash",
        map_type: MapType::Hash,
        key_size: 4,
        value_size: 8,
        max_entries: 1024,
        ..MapCreate::default()
    }
    .create()
    .unwrap()
}

#[test]
fn root_elements_come_and_go() {
    skip_unless_bpf!("root_elements_come_and_go");
    let map = hash();
    let mut value = [0; 8];
    assert!(!map.lookup(&1u32.to_ne_bytes(), &mut value).unwrap());
    map.update(&1u32.to_ne_bytes(), &7u64.to_ne_bytes(), UpdateFlags::NOEXIST).unwrap();
    assert!(map.lookup(&1u32.to_ne_bytes(), &mut value).unwrap());
    assert_eq!(u64::from_ne_bytes(value), 7);
    let again = map.update(&1u32.to_ne_bytes(), &8u64.to_ne_bytes(), UpdateFlags::NOEXIST).unwrap_err();
    assert!(again.is_errno(Errno::EEXIST), "{again}");
    let absent = map.update(&2u32.to_ne_bytes(), &8u64.to_ne_bytes(), UpdateFlags::EXIST).unwrap_err();
    assert!(absent.is_errno(Errno::ENOENT), "{absent}");
    map.update(&2u32.to_ne_bytes(), &8u64.to_ne_bytes(), UpdateFlags::ANY).unwrap();

    let mut keys = Vec::new();
    map.for_each_key(|key| keys.push(u32::from_ne_bytes(key.try_into().unwrap()))).unwrap();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2]);

    assert!(map.delete(&1u32.to_ne_bytes()).unwrap());
    assert!(!map.delete(&1u32.to_ne_bytes()).unwrap());
}

#[test]
fn root_taking_from_a_hash_table() {
    skip_unless_bpf!("root_taking_from_a_hash_table");
    let map = hash();
    map.update(&5u32.to_ne_bytes(), &9u64.to_ne_bytes(), UpdateFlags::ANY).unwrap();
    let mut value = [0; 8];
    match map.lookup_and_delete(&5u32.to_ne_bytes(), &mut value) {
        Ok(found) => {
            assert!(found);
            assert_eq!(u64::from_ne_bytes(value), 9);
            assert!(!map.lookup(&5u32.to_ne_bytes(), &mut value).unwrap());
        }
        // Hash tables have it since 5.14.
        Err(e) if e.is_errno(Errno::ENOTSUPP) => eprintln!("SKIP root_taking_from_a_hash_table: {e}"),
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn root_wrong_lengths_never_reach_the_kernel() {
    skip_unless_bpf!("root_wrong_lengths_never_reach_the_kernel");
    let map = array(MapFlags::empty());
    let key = 0u32.to_ne_bytes();
    for error in [
        map.lookup(&key, &mut [0; 7]).unwrap_err(),
        map.lookup(&key, &mut []).unwrap_err(),
        map.lookup(&[0; 3], &mut [0; 8]).unwrap_err(),
        map.update(&key, &[0; 4], UpdateFlags::ANY).unwrap_err(),
        map.next_key(None, &mut [0; 3]).unwrap_err(),
        map.next_key(Some(&[0; 2]), &mut [0; 4]).unwrap_err(),
        map.delete(&[]).unwrap_err(),
        map.lookup_batch(&mut BatchCursor::new(), &mut [0; 8], &mut [0; 15], UpdateFlags::ANY).unwrap_err(),
        map.update_batch(&[0; 7], &[0; 8], UpdateFlags::ANY).unwrap_err(),
        map.delete_batch(&[0; 6]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
}

#[test]
fn root_a_value_for_each_processor() {
    skip_unless_bpf!("root_a_value_for_each_processor");
    let map = MapCreate {
        map_type: MapType::PercpuArray,
        key_size: 4,
        value_size: 4,
        max_entries: 2,
        ..MapCreate::default()
    }
    .create()
    .unwrap();
    let cpus = cpus::possible().unwrap().limit() as usize;
    assert_eq!(map.value_len(), cpus * 8);
    let values: Vec<u8> = (0..cpus as u64).flat_map(|cpu| (cpu + 1).to_ne_bytes()).collect();
    map.update(&1u32.to_ne_bytes(), &values, UpdateFlags::ANY).unwrap();
    let mut out = vec![0; map.value_len()];
    assert!(map.lookup(&1u32.to_ne_bytes(), &mut out).unwrap());
    let numbers: Vec<u32> =
        percpu::split(&out, 4).map(|value| u32::from_ne_bytes(value.try_into().unwrap())).collect();
    assert_eq!(numbers, (1..=cpus as u32).collect::<Vec<_>>());
    assert_eq!(percpu::sum_u64(&out), (cpus * (cpus + 1) / 2) as u64);

    // One processor's slot alone is for newer kernels; older ones must say so and write nothing.
    let mut one = [0; 8];
    match map.lookup_flags(&1u32.to_ne_bytes(), &mut one, UpdateFlags::on_cpu(0)) {
        Ok(found) => {
            assert!(found);
            assert_eq!(one[..4], 1u32.to_ne_bytes());
        }
        Err(e) => assert!(e.is_errno(Errno::EINVAL), "{e}"),
    }
}

#[test]
fn root_batches_write_read_take_and_delete() {
    skip_unless_bpf!("root_batches_write_read_take_and_delete");
    let map = hash();
    let keys: Vec<u8> = (0..100u32).flat_map(u32::to_ne_bytes).collect();
    let values: Vec<u8> = (0..100u64).flat_map(|n| (n * 3).to_ne_bytes()).collect();
    assert_eq!(map.update_batch(&keys, &values, UpdateFlags::ANY).unwrap(), 100);

    let read = |take: bool| {
        let mut cursor = BatchCursor::new();
        let mut found = Vec::new();
        while !cursor.is_done() {
            let (mut keys, mut values) = (vec![0; 4 * 32], vec![0; 8 * 32]);
            let n = match take {
                true => map.lookup_and_delete_batch(&mut cursor, &mut keys, &mut values, UpdateFlags::ANY),
                false => map.lookup_batch(&mut cursor, &mut keys, &mut values, UpdateFlags::ANY),
            }
            .unwrap();
            for (key, value) in keys.chunks(4).zip(values.chunks(8)).take(n) {
                let key = u32::from_ne_bytes(key.try_into().unwrap());
                assert_eq!(u64::from_ne_bytes(value.try_into().unwrap()), u64::from(key) * 3);
                found.push(key);
            }
        }
        found.sort_unstable();
        found
    };
    assert_eq!(read(false), (0..100).collect::<Vec<_>>());
    assert_eq!(map.delete_batch(&keys[..4 * 40]).unwrap(), 40);
    let error = map.delete_batch(&keys[..4 * 40]).unwrap_err();
    assert!(error.is_errno(Errno::ENOENT) && error.to_string().contains("0 of 40 elements done"), "{error}");
    assert_eq!(read(true), (40..100).collect::<Vec<_>>());
    assert_eq!(read(false), [0; 0]);
}

#[test]
fn root_queues_have_no_keys() {
    skip_unless_bpf!("root_queues_have_no_keys");
    let map = MapCreate { map_type: MapType::Queue, value_size: 4, max_entries: 4, ..MapCreate::default() };
    let map = map.create().unwrap();
    for n in 1..=3u32 {
        map.update(&[], &n.to_ne_bytes(), UpdateFlags::ANY).unwrap();
    }
    let mut out = [0; 4];
    assert!(map.lookup(&[], &mut out).unwrap());
    assert_eq!(out, 1u32.to_ne_bytes());
    for n in 1..=3u32 {
        assert!(map.lookup_and_delete(&[], &mut out).unwrap());
        assert_eq!(out, n.to_ne_bytes());
    }
    assert!(!map.lookup_and_delete(&[], &mut out).unwrap());
}

#[test]
fn root_a_frozen_map_is_read_only() {
    skip_unless_bpf!("root_a_frozen_map_is_read_only");
    let map = array(MapFlags::empty());
    map.update(&3u32.to_ne_bytes(), &5u64.to_ne_bytes(), UpdateFlags::ANY).unwrap();
    map.freeze().unwrap();
    let error = map.update(&3u32.to_ne_bytes(), &6u64.to_ne_bytes(), UpdateFlags::ANY).unwrap_err();
    assert!(error.is_errno(Errno::EPERM), "{error}");
    let mut value = [0; 8];
    assert!(map.lookup(&3u32.to_ne_bytes(), &mut value).unwrap());
    assert_eq!(u64::from_ne_bytes(value), 5);
}

#[test]
fn root_maps_are_found_by_id_and_pin() {
    skip_unless_bpf!("root_maps_are_found_by_id_and_pin");
    let map = array(MapFlags::MMAPABLE);
    let info = map.info().unwrap();
    assert_eq!(
        (info.name.as_str(), info.map_type, info.flags),
        ("tw_array", MapType::Array, MapFlags::MMAPABLE)
    );
    assert!(ids::maps().any(|id| id.unwrap() == info.id));
    let same = Map::from_id(info.id).unwrap();
    assert_eq!((same.key_size(), same.value_len(), same.max_entries()), (4, 8, 16));
    assert_eq!(same.info().unwrap(), info);

    let Some(bpffs) = common::bpffs("root_maps_are_found_by_id_and_pin") else { return };
    let path = bpffs.join(format!("tw_map_{}", std::process::id()));
    map.pin(&path).unwrap();
    let error = map.pin(&path).unwrap_err();
    assert!(error.is_errno(Errno::EEXIST), "{error}");
    let pinned = Map::open_pinned(&path);
    let prog = tracewell_bpf_sys::prog::Prog::open_pinned(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(pinned.unwrap().info().unwrap().id, info.id);
    let error = prog.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "a map is no program: {error}");
    assert!(error.to_string().contains("not a BPF program but anon_inode:bpf-map"), "{error}");
}

/// One map of each type that user space can create without anything else being there.
#[test]
fn root_every_type_is_created_or_explained() {
    skip_unless_bpf!("root_every_type_is_created_or_explained");
    let mut created = Vec::new();
    for &map_type in MapType::ALL {
        match tracewell_bpf_sys::features::trial_map(map_type) {
            Ok(map) => {
                assert_eq!(map.map_type(), map_type);
                assert_eq!(map.info().unwrap().map_type, map_type);
                created.push(map_type);
            }
            Err(e) => eprintln!("{map_type}: {e}"),
        }
    }
    // These are in every kernel since 5.10, whatever its configuration.
    for must in [
        MapType::Hash,
        MapType::Array,
        MapType::ProgArray,
        MapType::PerfEventArray,
        MapType::PercpuHash,
        MapType::PercpuArray,
        MapType::LruHash,
        MapType::LruPercpuHash,
        MapType::LpmTrie,
        MapType::ArrayOfMaps,
        MapType::HashOfMaps,
        MapType::Queue,
        MapType::Stack,
        MapType::Ringbuf,
        MapType::StackTrace,
        MapType::SkStorage,
    ] {
        assert!(created.contains(&must), "{must}");
    }
}

#[test]
fn root_what_the_kernel_does_not_take_is_explained() {
    skip_unless_bpf!("root_what_the_kernel_does_not_take_is_explained");
    let error = MapCreate { name: "odd", key_size: 8, value_size: 8, max_entries: 1, ..MapCreate::default() }
        .create()
        .unwrap_err();
    assert!(error.is_errno(Errno::EINVAL), "{error}");
    assert!(
        error.to_string().starts_with(
            "bpf(BPF_MAP_CREATE): create map `odd` (array, key 8 bytes, value 8 bytes, 1 entries); this type came \
             with Linux 3.19"
        ),
        "{error}"
    );
    let error = Map::from_id(u32::MAX).unwrap_err();
    assert!(error.is_errno(Errno::ENOENT) || error.is_errno(Errno::EINVAL), "{error}");
}
