//! Objects made by hand, loaded into the running kernel.

mod common;

use asm::{Helper, MapRef, R0, R1, R2, R3, R10, Size};
use bpf_sys::features;
use bpf_sys::map::{MapFlags, MapType};
use bpf_sys::prog::ProgType;
use common::{data, load, load_with, object, program, run};

use loader::{
    Error, Extern, ExternKind, Fallback, LoadOptions, Loader, MapKind, MapSpec, Pinning, Reloc, RelocKind,
    Resolution, SlotTarget, Target,
};

/// A section of each kind, and a program that adds the constant to both others and returns the constant.
fn with_globals() -> loader::Object {
    let mut object = object("globals");
    object.maps = vec![
        data(".rodata", MapKind::Rodata, &[("pad", 4), ("step", 4)]),
        data(".data", MapKind::Data, &[("total", 8), ("small", 1), ("three", 3)]),
        data(".bss", MapKind::Bss, &[("count", 8)]),
    ];
    object.programs = vec![program("add", ProgType::SocketFilter, |b| {
        b.ld_map_value(R1, MapRef(0), 4)
            .load(Size::W, R0, R1, 0)
            .ld_map_value(R2, MapRef(1), 0)
            .atomic_add(Size::DW, R2, 0, R0)
            .ld_map_value(R2, MapRef(2), 0)
            .atomic_add(Size::DW, R2, 0, R0)
            .exit();
    })];
    object
}

#[test]
fn root_global_variables_are_read_and_written() {
    skip_unless_bpf!("root_global_variables_are_read_and_written");
    let mut object = with_globals();
    object.set("step", 7_u32).unwrap();
    object.set("total", 100_u64).unwrap();
    object.set("three", [1_u8, 2, 3]).unwrap();
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "add"), 7);
    let total = collection.variable::<u64>("total").unwrap();
    let count = collection.variable::<u64>("count").unwrap();
    assert_eq!((total.get().unwrap(), count.get().unwrap()), (107, 7));
    total.set(1).unwrap();
    run(&collection, "add");
    assert_eq!((total.get().unwrap(), count.get().unwrap()), (8, 14));
    let three = collection.variable::<[u8; 3]>("three").unwrap();
    assert_eq!(three.get().unwrap(), [1, 2, 3]);
    three.set([4, 5, 6]).unwrap();
    assert_eq!(three.get().unwrap(), [4, 5, 6]);
    assert_eq!(collection.variable::<u8>("small").unwrap().get().unwrap(), 0);

    let step = collection.variable::<u32>("step").unwrap();
    assert_eq!(step.get().unwrap(), 7);
    let error = step.set(8).unwrap_err().to_string();
    assert!(error.contains("constant") && error.contains("Object::set"), "{error}");
    let error = collection.variable::<u32>("total").unwrap_err().to_string();
    assert!(error.contains("8 bytes, the value 4"), "{error}");

    let counts = collection.typed_map::<u32, [u64; 1]>(".bss").unwrap();
    assert_eq!(counts.get(&0).unwrap(), Some([14]));
    // The kernel's name of the constants is theirs, too, and user space may not write to them any more.
    let rodata = collection.map(".rodata").unwrap();
    let frozen = rodata.update(&[0; 4], &[0; 8], bpf_sys::map::UpdateFlags::ANY).unwrap_err();
    assert!(frozen.is_errno(bpf_sys::Errno::EPERM), "{frozen}");
}

#[test]
fn root_globals_without_mapped_arrays() {
    skip_unless_bpf!("root_globals_without_mapped_arrays");
    let mut object = with_globals();
    object.set("step", 3_u32).unwrap();
    let target = Target::running().unwrap();
    let without =
        [Fallback::MmapableArrays, Fallback::Names, Fallback::ExpectedAttachType, Fallback::BindMap];
    let collection = Loader::new(&target, LoadOptions::default()).without(&without).load(&object).unwrap();
    assert_eq!(run(&collection, "add"), 3);
    let total = collection.variable::<u64>("total").unwrap();
    total.set(40).unwrap();
    run(&collection, "add");
    assert_eq!(total.get().unwrap(), 43);
    let info = collection.map(".data").unwrap().info().unwrap();
    assert!(!info.flags.contains(MapFlags::MMAPABLE));
    assert_eq!(info.name, "");
    assert_eq!(collection.program("add").unwrap().prog.info().unwrap().name, "");
}

#[test]
fn root_a_program_with_globals_says_that_there_are_none() {
    skip_unless_bpf!("root_a_program_with_globals_says_that_there_are_none");
    let mut object = with_globals();
    object.programs.push(program("plain", ProgType::SocketFilter, |b| {
        b.mov_imm(R0, 5).exit();
    }));
    let target = Target::running().unwrap();
    let loader = Loader::new(&target, LoadOptions::default()).without(&[Fallback::GlobalData]);
    let error = loader.load(&object).unwrap_err();
    let Error::Verifier(refused) = &error else { panic!("{error}") };
    assert_eq!(refused.insn, Some(0), "{}", refused.log);
    assert!(error.to_string().contains("does not support global data (since Linux 5.2)"), "{error}");
    // What uses none is loaded all the same.
    object.programs[0].autoload = false;
    let collection = loader.load(&object).unwrap();
    assert_eq!(run(&collection, "plain"), 5);
    assert!(collection.maps().is_empty());
}

#[test]
fn root_helpers_are_replaced_where_they_are_missing() {
    skip_unless_bpf!("root_helpers_are_replaced_where_they_are_missing");
    let mut object = object("probe_read");
    object.programs = vec![program("read", ProgType::Kprobe, |b| {
        b.mov(R1, R10).add_imm(R1, -8).mov_imm(R2, 8).mov_imm(R3, 0).call(Helper::PROBE_READ_KERNEL);
        b.mov(R1, R10).add_imm(R1, -8).mov_imm(R2, 8).mov_imm(R3, 0).call(Helper::PROBE_READ_USER_STR);
        b.mov_imm(R0, 0).exit();
    })];
    let target = Target::running().unwrap();
    let log = |without: &[Fallback]| {
        let options = LoadOptions { log_level: 2, ..LoadOptions::default() };
        let collection = Loader::new(&target, options).without(without).load(&object).unwrap();
        collection.program("read").unwrap().log.clone()
    };
    let as_is = log(&[]);
    assert!(as_is.contains("call bpf_probe_read_kernel#113"), "{as_is}");
    let replaced = log(&[Fallback::ProbeReadKernel]);
    assert!(replaced.contains("call bpf_probe_read#4"), "{replaced}");
    assert!(replaced.contains("call bpf_probe_read_str#45"), "{replaced}");
}

/// A map of this type with what it cannot do without.
fn of_type(map_type: MapType) -> MapSpec {
    let spec = |key, value, entries| MapSpec::new("every.type-of map", map_type, key, value, entries);
    match map_type {
        MapType::StackTrace | MapType::ReuseportSockarray => spec(4, 8, 16),
        MapType::LpmTrie => spec(8, 4, 16).with_flags(MapFlags::NO_PREALLOC),
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            MapSpec::new_outer("outer", map_type, 4, 4, MapSpec::new("inner", MapType::Ringbuf, 0, 0, 5000))
        }
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => spec(16, 8, 0),
        MapType::Queue | MapType::Stack | MapType::BloomFilter => spec(0, 8, 16),
        // Neither a power of two nor whole pages; no number of processors.
        MapType::Ringbuf | MapType::UserRingbuf => spec(0, 0, 5000),
        MapType::PerfEventArray => spec(4, 4, 0),
        MapType::Arena => spec(0, 0, 4).with_flags(MapFlags::MMAPABLE),
        MapType::InsnArray => spec(4, 16, 4),
        MapType::Rhash => spec(4, 4, 16).with_flags(MapFlags::NO_PREALLOC),
        _ => spec(4, 4, 16),
    }
}

#[test]
fn root_maps_of_every_type() {
    skip_unless_bpf!("root_maps_of_every_type");
    let typed = [
        MapType::SkStorage,
        MapType::InodeStorage,
        MapType::TaskStorage,
        MapType::CgrpStorage,
        MapType::StructOps,
    ];
    let mut created = 0;
    for &map_type in MapType::ALL.iter().filter(|map_type| !typed.contains(map_type)) {
        let mut object = object("types");
        object.maps = vec![of_type(map_type)];
        match load(&object) {
            Ok(collection) => {
                assert!(features::map_type(map_type).is_yes(), "{map_type}");
                let info = collection.maps()[0].map.info().unwrap();
                match map_type {
                    MapType::Ringbuf | MapType::UserRingbuf => assert_eq!(info.max_entries, 8192),
                    MapType::PerfEventArray => {
                        assert_eq!(info.max_entries, bpf_sys::cpus::possible().unwrap().limit());
                    }
                    _ => {}
                }
                let name = if object.maps[0].inner.is_some() { "outer" } else { "every.type_of_" };
                assert!(info.name.starts_with(name), "{}", info.name);
                created += 1;
            }
            Err(error) => {
                assert!(!features::map_type(map_type).is_yes(), "{map_type}: {error}");
                let since = map_type.since().unwrap();
                let said = format!("does not support BPF_MAP_TYPE_{}", map_type.name().to_uppercase());
                let error = error.to_string();
                assert!(error.contains(&said) && error.contains(since), "{error}");
            }
        }
    }
    assert!(created >= 25, "{created}");
}

#[test]
fn root_local_storage_without_types_is_explained() {
    skip_unless_bpf!("root_local_storage_without_types_is_explained");
    let mut object = object("storage");
    let sockets = MapSpec::new("sockets", MapType::SkStorage, 4, 8, 0);
    object.maps = vec![sockets.with_flags(MapFlags::NO_PREALLOC)];
    let error = load(&object).unwrap_err().to_string();
    assert_eq!(
        error,
        "map `sockets`: a sk_storage map needs BTF of its key and value; the object has none: compile it with -g"
    );
}

#[test]
fn root_what_a_newer_kernel_has_is_named() {
    skip_unless_bpf!("root_what_a_newer_kernel_has_is_named");
    let mut of_map = object("newer_map");
    of_map.maps = vec![MapSpec::new("newer", MapType::from_raw(999), 4, 4, 1)];
    let error = load(&of_map).unwrap_err().to_string();
    assert!(error.starts_with("map `newer`: this kernel does not support"), "{error}");

    let mut of_prog = object("newer_program");
    of_prog.programs = vec![program("newer", ProgType::from_raw(999), |b| {
        b.mov_imm(R0, 0).exit();
    })];
    let error = load(&of_prog).unwrap_err().to_string();
    assert!(error.starts_with("program `newer`: this kernel does not support"), "{error}");

    let mut of_helper = object("newer_helper");
    of_helper.programs = vec![program("newer", ProgType::SocketFilter, |b| {
        b.call_id(9999).mov_imm(R0, 0).exit();
    })];
    let Error::Verifier(refused) = load(&of_helper).unwrap_err() else { panic!("not the verifier's error") };
    assert_eq!(refused.insn, Some(0), "{}", refused.log);
    assert!(refused.to_string().contains("there is no helper number 9999 here"), "{refused}");
}

#[test]
fn root_maps_of_maps_and_programs_are_filled() {
    skip_unless_bpf!("root_maps_of_maps_and_programs_are_filled");
    let mut object = object("slots");
    let inner = |name: &str| MapSpec::new(name, MapType::Array, 4, 8, 2);
    object.maps = vec![
        // In front of the map that it holds.
        MapSpec::new_outer("outer", MapType::HashOfMaps, 4, 4, inner("template"))
            .with_slot(3, SlotTarget::Map(1)),
        inner("held"),
        MapSpec::new("jumps", MapType::ProgArray, 4, 4, 4).with_slot(2, SlotTarget::Program(1)),
    ];
    object.programs = vec![
        program("start", ProgType::SocketFilter, |b| {
            b.ld_map(R2, MapRef(2)).mov_imm(R3, 2).call(Helper::TAIL_CALL).mov_imm(R0, 1).exit();
        }),
        program("target", ProgType::SocketFilter, |b| {
            b.mov_imm(R0, 42).exit();
        }),
    ];
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "start"), 42);
    let outer = collection.typed_map::<u32, u32>("outer").unwrap();
    let held = collection.map("held").unwrap().info().unwrap().id;
    assert_eq!(outer.get(&3).unwrap(), Some(held));

    object.programs[1].autoload = false;
    let error = load(&object).unwrap_err().to_string();
    assert_eq!(error, "map `jumps`: entry 2 is program `target`, which is not loaded: switch it on");
}

#[test]
fn root_a_map_that_is_not_created_poisons() {
    skip_unless_bpf!("root_a_map_that_is_not_created_poisons");
    let mut object = object("poison");
    object.maps = vec![
        MapSpec::new("missing", MapType::Hash, 4, 8, 16),
        data(".rodata", MapKind::Rodata, &[("use_it", 4)]),
    ];
    object.maps[0].autocreate = false;
    object.programs = vec![program("lookup", ProgType::SocketFilter, |b| {
        let out = b.label();
        b.ld_map_value(R1, MapRef(1), 0)
            .load(Size::W, R0, R1, 0)
            .jeq_imm(R0, 0, out)
            .ld_map(R1, MapRef(0))
            .mov(R2, R10)
            .add_imm(R2, -4)
            .store_imm(Size::W, R10, -4, 0)
            .call(Helper::MAP_LOOKUP_ELEM)
            .bind(out)
            .mov_imm(R0, 0)
            .exit();
    })];
    // A constant keeps the verifier away.
    let collection = load(&object).unwrap();
    assert_eq!(collection.maps().len(), 1);
    object.set("use_it", 1_u32).unwrap();
    let Error::Verifier(refused) = load(&object).unwrap_err() else { panic!("not the verifier's error") };
    assert_eq!(
        refused.poison.as_deref(),
        Some("the map `missing`, which is not created (autocreate is off)")
    );
    assert_eq!(refused.insn, Some(4), "{}", refused.log);
    assert!(refused.remedy.as_ref().unwrap().starts_with("create the map"), "{refused}");
}

#[test]
fn root_weak_externs_that_are_missing() {
    skip_unless_bpf!("root_weak_externs_that_are_missing");
    let mut object = object("weak");
    let weak = |name: &str, kind| Extern {
        name: name.to_owned(),
        weak: true,
        kind,
        resolution: Some(Resolution::Missing),
    };
    object.externs = vec![
        weak("no_variable", ExternKind::KsymUntyped),
        weak("no_function", ExternKind::Kfunc(btf::TypeId(0))),
    ];
    let mut spec = program("weak", ProgType::SocketFilter, |b| {
        let there = b.label();
        b.ld_imm64(R0, 77).jne_imm(R0, 0, there).mov_imm(R0, 3).exit();
        b.bind(there).call_id(0).mov_imm(R0, 4).exit();
    });
    spec.relocs =
        vec![Reloc { insn: 0, kind: RelocKind::Extern(0) }, Reloc { insn: 5, kind: RelocKind::Extern(1) }];
    object.programs = vec![spec];
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "weak"), 3);
    object.externs[0].resolution = Some(Resolution::Address(5));
    let Error::Verifier(refused) = load(&object).unwrap_err() else { panic!("not the verifier's error") };
    assert_eq!(
        refused.poison.as_deref(),
        Some("the kernel function `no_function`, which this kernel lacks"),
        "{}",
        refused.log
    );
    assert!(refused.to_string().contains("bpf_ksym_exists()"), "{refused}");
}

#[test]
fn root_pins_are_shared_and_contradictions_named() {
    skip_unless_bpf!("root_pins_are_shared_and_contradictions_named");
    let Some(folder) = common::pin_folder("root_pins_are_shared_and_contradictions_named") else { return };
    let options = || LoadOptions { pin_dir: Some(folder.0.clone()), ..LoadOptions::default() };
    let mut object = object("pins");
    let shared = MapSpec::new("shared.map", MapType::Hash, 4, 8, 16);
    object.maps = vec![shared];
    object.maps[0].pinning = Pinning::ByName;
    let first = load_with(&object, options()).unwrap();
    first.typed_map::<u32, u64>("shared.map").unwrap().set(&1, &11).unwrap();
    drop(first);
    let second = load_with(&object, options()).unwrap();
    assert!(second.maps()[0].reused);
    assert_eq!(second.typed_map::<u32, u64>("shared.map").unwrap().get(&1).unwrap(), Some(11));

    object.maps[0].value_size = 16;
    object.maps[0].max_entries = 17;
    object.maps[0].flags = MapFlags::NO_PREALLOC;
    let error = load_with(&object, options()).unwrap_err().to_string();
    let fields = "value_size is 8 there and 16 here, max_entries is 16 there and 17 here, map_flags is 0x0 there and 0x1 here";
    assert!(error.starts_with("map `shared.map`: the map pinned at /") && error.contains(fields), "{error}");

    // A pin that this load made goes when something else fails.
    object.maps[0].name = "other".to_owned();
    object.programs = vec![program("bad", ProgType::SocketFilter, |b| {
        b.exit();
    })];
    assert!(load_with(&object, options()).is_err());
    assert!(!folder.0.join("other").exists());
    assert!(folder.0.join("shared_map").exists());
}

#[test]
fn root_everything_is_pinned_and_unpinned() {
    skip_unless_bpf!("root_everything_is_pinned_and_unpinned");
    let Some(folder) = common::pin_folder("root_everything_is_pinned_and_unpinned") else { return };
    let collection = load(&with_globals()).unwrap();
    let maps = collection.pin_maps(folder.0.join("maps")).unwrap();
    let programs = collection.pin_programs(folder.0.join("programs")).unwrap();
    assert_eq!((maps.len(), programs.len()), (3, 1));
    assert!(maps.iter().chain(&programs).all(|path| path.exists()), "{maps:?}");
    // The second time the first one is in the way, and nothing changes.
    let error = collection.pin_maps(folder.0.join("maps")).unwrap_err().to_string();
    assert!(error.contains("something is there already"), "{error}");
    assert!(maps.iter().all(|path| path.exists()));
    collection.unpin(folder.0.join("maps")).unwrap();
    assert!(!maps.iter().any(|path| path.exists()));
    collection.unpin(folder.0.join("programs")).unwrap();
}

#[test]
fn root_maps_and_types_may_come_from_the_caller() {
    skip_unless_bpf!("root_maps_and_types_may_come_from_the_caller");
    let first = load(&with_globals()).unwrap();
    run(&first, "add");
    let mut object = with_globals();
    object.set("step", 9_u32).unwrap();
    object.programs.push(program("other", ProgType::SocketFilter, |b| {
        b.exit();
    }));
    let total = first.map(".data").unwrap().try_clone().unwrap();
    let options = LoadOptions {
        reuse: vec![(".data".to_owned(), total)],
        only: Some(vec!["add".to_owned()]),
        prog_type: Some((ProgType::SchedCls, None)),
        ..LoadOptions::default()
    };
    let second = load_with(&object, options).unwrap();
    run(&second, "add");
    assert_eq!(first.variable::<u64>("total").unwrap().get().unwrap(), 9);
    assert_eq!(second.programs().len(), 1);
    assert_eq!(second.programs()[0].prog.info().unwrap().prog_type, ProgType::SchedCls);
    assert!(second.loaded_map(".data").unwrap().reused);
}

#[test]
fn root_check_says_it_for_each() {
    skip_unless_bpf!("root_check_says_it_for_each");
    let mut object = with_globals();
    object.programs.push(program("bad", ProgType::SocketFilter, |b| {
        b.exit();
    }));
    object.programs.push(program("off", ProgType::SocketFilter, |b| {
        b.mov_imm(R0, 0).exit();
    }));
    object.programs[2].autoload = false;
    let target = Target::running().unwrap();
    let verdicts = Loader::new(&target, LoadOptions::default()).check(&object).unwrap();
    let told: Vec<_> =
        verdicts.iter().map(|v| (v.program.as_str(), v.result.is_ok(), v.log.is_empty())).collect();
    assert_eq!(told, [("add", true, true), ("bad", false, false), ("off", true, true)]);
    // Loading is all or nothing.
    assert!(load(&object).is_err());
}

/// In a process of its own, as a user without any right.
#[test]
fn root_without_privileges_the_remedy_is_said() {
    const INSIDE: &str = "TRACEWELL_TEST_UNPRIVILEGED";
    let test = "root_without_privileges_the_remedy_is_said";
    if std::env::var_os(INSIDE).is_some() {
        println!("ERROR {}", load(&with_globals()).unwrap_err());
        return;
    }
    skip_unless_bpf!("root_without_privileges_the_remedy_is_said");
    use std::os::unix::process::CommandExt;
    let child = std::process::Command::new("/proc/self/exe")
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output();
    let output = match child {
        Ok(output) => output,
        Err(error) => {
            return eprintln!("SKIP {test}: this program cannot be started as another user: {error}");
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text.lines().find(|line| line.contains("ERROR ")).unwrap_or_else(|| panic!("{text}"));
    assert!(told.contains("EPERM") && told.contains("CAP_BPF"), "{told}");
}

/// A program and a global function that takes the context as `void *` with the tag `arg:ctx`.
fn with_tagged_function() -> loader::Object {
    use btf::{Builder, IntEncoding, Kind, Linkage, TypeId};
    let mut types =
        Builder::new(if cfg!(target_endian = "big") { btf::Endian::Big } else { btf::Endian::Little });
    let encoding = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };
    let int = types.int("int", 4, encoding);
    let context = types.composite(Kind::Struct, "__sk_buff", 0, &[]);
    let pointer = types.ptr(context);
    let anything = types.ptr(TypeId(0));
    let main_proto = types.func_proto(int, &[("ctx", pointer)]);
    let sub_proto = types.func_proto(int, &[("ctx", anything)]);
    let main = types.func("main", main_proto, Linkage::Global);
    let sub = types.func("sub", sub_proto, Linkage::Global);
    types.decl_tag("arg:ctx", sub, 0);
    // Of a kind that Linux 5.10 does not take.
    types.float("double", 8);

    let mut object = object("tagged");
    object.btf = Some(types.finish());
    let mut spec = program("main", ProgType::SocketFilter, |b| {
        let sub = b.label();
        b.call_local(sub).exit();
        b.bind(sub).load(Size::W, R0, R1, 0).exit();
    });
    let func = |name: &str, insn, id| loader::FuncSpec { name: name.to_owned(), insn, type_id: Some(id) };
    spec.funcs = vec![func("main", 0, main), func("sub", 2, sub)];
    object.programs = vec![spec];
    object
}

#[test]
fn root_tagged_contexts_work_on_all_kernels() {
    skip_unless_bpf!("root_tagged_contexts_work_on_all_kernels");
    let object = with_tagged_function();
    let collection = load(&object).unwrap();
    // The packet's length.
    assert_eq!(run(&collection, "main"), 64 - 14);
    let info = collection.program("main").unwrap().prog.info().unwrap();
    assert_ne!(info.btf_id, 0);
    assert_eq!(info.func_info.len(), 2 * info.func_info_rec_size as usize);
}

#[test]
fn root_types_are_rewritten_or_left_out() {
    skip_unless_bpf!("root_types_are_rewritten_or_left_out");
    let mut object = with_globals();
    object.btf = with_tagged_function().btf;
    let target = Target::running().unwrap();
    let load = |without: &[Fallback]| {
        let loader = Loader::new(&target, LoadOptions::default()).without(without);
        loader.load(&object).unwrap()
    };
    assert!(load(&[]).btf().is_some());
    let rewritten = load(&[Fallback::BtfKinds]);
    let bytes = rewritten.btf().unwrap().bytes().unwrap();
    let types = btf::Btf::parse(&bytes).unwrap();
    assert_eq!(types.functions().count(), 0);
    assert!(types.types().all(|(_, ty)| ty.kind() != btf::Kind::Float));
    assert_eq!(run(&rewritten, "add"), 0);
    assert!(load(&[Fallback::Btf]).btf().is_none());
}

/// In a process of its own, from which the kernel's types are hidden.
#[test]
fn root_a_kernel_without_types_says_so() {
    const INSIDE: &str = "TRACEWELL_TEST_WITHOUT_TYPES";
    let test = "root_a_kernel_without_types_says_so";
    if std::env::var_os(INSIDE).is_some() {
        let mut object = object("typed");
        let mut spec = program("typed", ProgType::Tracing, |b| {
            b.mov_imm(R0, 0).exit();
        });
        spec.section = "tp_btf/sched_switch".to_owned();
        spec.expected_attach_type = Some(bpf_sys::prog::AttachType::TraceRawTp);
        spec.attach = loader::AttachTarget::TracepointBtf { name: "sched_switch".to_owned() };
        object.programs = vec![spec];
        println!("ERROR {}", load(&object).unwrap_err());
        // What needs no types is loaded all the same.
        assert_eq!(run(&load(&with_globals()).unwrap(), "add"), 0);
        return;
    }
    skip_unless_bpf!("root_a_kernel_without_types_says_so");
    let own = std::env::current_exe().unwrap();
    let command =
        format!("mount -t tmpfs none /sys/kernel/btf && exec '{}' --exact {test} --nocapture", own.display());
    let child =
        std::process::Command::new("unshare").args(["-m", "sh", "-c", &command]).env(INSIDE, "1").output();
    let output = match child {
        Ok(output) => output,
        Err(error) => return eprintln!("SKIP {test}: no unshare(1) that could hide the types: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{complaint}");
    let told = text.lines().find(|line| line.contains("ERROR ")).unwrap_or_else(|| panic!("{text}"));
    assert!(told.contains("the kernel has no BTF") && told.contains("CONFIG_DEBUG_INFO_BTF"), "{told}");
}
