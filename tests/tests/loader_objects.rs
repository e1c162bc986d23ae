//! Each own object of `tests/bpf` does on every kernel what its source says, or is refused for the reason that is expected
//! there.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use bpf_sys::map::Map;
use bpf_sys::prog::TestRun;
use loader::{Collection, Error, LoadOptions, Loader, Object, Target};
use tracewell_tests::object;
use tracewell_tests::objects::{load, load_only, run, run_marked};
use tracewell_tests::support::{is_root, kernel_has, kernel_release, kernel_version, skip};

/// Loads an object that a kernel of at least this version takes; on older ones it has to be refused, which gives `None`.
#[track_caller]
fn load_since(object: &Object, since: (u32, u32)) -> Option<Collection> {
    match load(object) {
        Ok(collection) => {
            assert!(kernel_version() >= since, "{} loads before {since:?}", object.name);
            Some(collection)
        }
        Err(error) => {
            assert!(kernel_version() < since, "{}: {error}", object.name);
            None
        }
    }
}

fn entry(map: &Map, key: u32) -> Option<u64> {
    let mut value = [0; 8];
    map.lookup(&key.to_ne_bytes(), &mut value).unwrap().then(|| u64::from_ne_bytes(value))
}

fn loaded_map(id: u32) -> Map {
    Map::from_id(id).expect("the map is there as long as the outer one holds it")
}

#[test]
fn root_object_maps() {
    if !is_root("root_object_maps") {
        return;
    }
    let mut object = object!("maps");
    if kernel_version() < (5, 16) {
        let error = load(&object).expect_err("bloom filters came with Linux 5.16");
        assert!(error.to_string().contains("bloom"), "{error}");
        object.maps.iter_mut().find(|map| map.name == "bloom").unwrap().autocreate = false;
    }
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "count"), 3);
    assert_eq!(run(&collection, "count"), 3);

    // The key holds the packet's length, which is shorter by the Ethernet header.
    let typed = collection.typed_map::<[u8; 8], [u8; 16]>("typed").unwrap();
    let mut key = [0; 8];
    key[..4].copy_from_slice(&50_u32.to_ne_bytes());
    key[4..].copy_from_slice(b"abc\0");
    let keys = typed.keys().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0][4..], key[4..]);
    let value = typed.get(&keys[0]).unwrap().unwrap();
    assert_eq!(value[..12], [2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);

    let shape = |name: &str| {
        let info = collection.map(name).unwrap_or_else(|| panic!("no map {name}")).info().unwrap();
        (info.map_type.raw(), info.key_size, info.value_size, info.max_entries, info.flags.bits())
    };
    assert_eq!(shape("typed"), (1, 8, 16, 16, 1));
    assert_eq!(shape("sized"), (2, 4, 24, 3, 0x400));
    assert_eq!(shape("on_node"), (1, 8, 8, 4, 4));
    assert_eq!(shape("per_cpu"), (6, 4, 8, 2, 0));
    assert_eq!(shape("trie"), (11, 8, 4, 4, 1));
    assert_eq!(shape("queue"), (22, 0, 4, 4, 0));
    let cpus = bpf_sys::cpus::possible().unwrap().limit();
    assert_eq!(shape("events").3, cpus);
    if kernel_version() >= (5, 16) {
        assert_eq!(shape("bloom"), (30, 0, 8, 100, 0));
        assert_eq!(collection.map("bloom").unwrap().info().unwrap().map_extra, 3);
    }
    let long = collection.map("a_map_with_a_rather_long_name").unwrap();
    assert_eq!(long.info().unwrap().name, "a_map_with_a_ra");
    // Keys and values have types in the kernel, too.
    let info = collection.map("typed").unwrap().info().unwrap();
    assert!(info.btf_key_type_id != 0 && info.btf_value_type_id != 0);
    let per_cpu: u64 = collection.typed_map::<u32, u64>("per_cpu").unwrap().get_all(&0).unwrap().iter().sum();
    assert_eq!(per_cpu, 2);
    assert_eq!(collection.typed_map::<u64, u64>("on_node").unwrap().get(&42).unwrap(), Some(42));
}

/// A folder of pins of its own, removed in the end.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(format!("/sys/fs/bpf/tracewell-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        Self(folder)
    }

    fn options(&self) -> LoadOptions {
        LoadOptions { pin_dir: Some(self.0.clone()), ..LoadOptions::default() }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // Nothing else is in there; when it is gone already, that is what is wanted.
        let _ = fs::remove_file(self.0.join("tracewell_shared"));
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn root_object_maps_shared_by_a_pin() {
    if !is_root("root_object_maps_shared_by_a_pin") {
        return;
    }
    let pins = Pins::new("shared");
    let target = Target::running().unwrap();
    let object = object!("pinned");
    let first = Loader::new(&target, pins.options()).load(&object).unwrap();
    run(&first, "add_one");
    drop(first);
    let second = Loader::new(&target, pins.options()).load(&object).unwrap();
    run(&second, "add_one");
    assert_eq!(entry(second.map("tracewell_shared").unwrap(), 0), Some(2));
    assert!(second.loaded_map("tracewell_shared").unwrap().reused);
    // The pin is another map than this object defines.
    let error = Loader::new(&target, pins.options()).load(&object!("pinned_other")).unwrap_err();
    assert!(matches!(error, Error::Map { .. }), "{error:?}");
    let text = error.to_string();
    assert!(["tracewell_shared", "max_entries", "1", "2"].iter().all(|w| text.contains(w)), "{text}");
}

#[test]
fn root_object_maps_of_maps_and_programs() {
    if !is_root("root_object_maps_of_maps_and_programs") {
        return;
    }
    let collection = load(&object!("inner")).unwrap();
    for (mark, expected) in [(1, 11), (3, 33), (2, 7), (99, 7)] {
        assert_eq!(run_marked(&collection, "tail_call", mark), expected, "slot {mark}");
    }
    run(&collection, "write_inner");
    assert_eq!(entry(collection.map("first").unwrap(), 0), Some(100));
    assert_eq!(entry(collection.map("second").unwrap(), 0), Some(102));
    // What user space reads from a map of maps are their ids.
    let ids = |outer: &str, key: u32| {
        let mut id = [0; 4];
        let there = collection.map(outer).unwrap().lookup(&key.to_ne_bytes(), &mut id);
        there.unwrap_or(false).then(|| u32::from_ne_bytes(id))
    };
    let second = collection.map("second").unwrap().info().unwrap().id;
    assert_eq!(ids("outer", 2), Some(second));
    assert_eq!(ids("outer", 1), None);
    assert_eq!(ids("outer_hash", 1), Some(second));
    assert_eq!(entry(&loaded_map(ids("outer", 0).unwrap()), 0), Some(100));
}

#[test]
fn root_object_legacy_maps() {
    if !is_root("root_object_legacy_maps") {
        return;
    }
    let collection = load(&object!("legacy")).unwrap();
    assert_eq!(run(&collection, "fill"), 5);
    assert_eq!(entry(collection.map("old_hash").unwrap(), 1), Some(0x1234));
    assert_eq!(entry(collection.map("old_array").unwrap(), 1), Some(0x1234));
    let info = collection.map("old_hash").unwrap().info().unwrap();
    assert_eq!((info.max_entries, info.flags.bits()), (7, 1));
}

#[test]
fn root_object_without_btf() {
    if !is_root("root_object_without_btf") {
        return;
    }
    let object = object!("nobtf");
    assert_eq!(object.btf, None);
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "count"), 6);
    assert_eq!(entry(collection.map("plain").unwrap(), 0), Some(7));
    assert_eq!(collection.variable::<u64>("total").unwrap().get().unwrap(), 7);
}

#[test]
fn root_object_spin_lock() {
    if !is_root("root_object_spin_lock") {
        return;
    }
    let collection = load(&object!("spin_lock")).unwrap();
    for _ in 0..3 {
        assert_eq!(run(&collection, "add_locked"), 0);
    }
    let locks = collection.typed_map::<u32, [u64; 2]>("locks").unwrap();
    assert_eq!(locks.get(&0).unwrap().unwrap()[0], 15);
}

#[test]
fn root_object_timer() {
    if !is_root("root_object_timer") {
        return;
    }
    let Some(collection) = load_since(&object!("timer"), (5, 15)) else { return };
    assert_eq!(run(&collection, "start"), 0);
    let fired = collection.variable::<u64>("fired").unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while fired.get().unwrap() == 0 {
        assert!(std::time::Instant::now() < until, "the timer does not fire");
        std::thread::yield_now();
    }
    assert_eq!(fired.get().unwrap(), 1);
}

#[test]
fn root_object_kptr() {
    if !is_root("root_object_kptr") {
        return;
    }
    // Older kernels take the map, and see a number where the pointer is.
    let collection = load(&object!("kptr")).unwrap();
    assert_eq!(run(&collection, "look"), 0);
    let holders = collection.typed_map::<u32, [u64; 2]>("holders").unwrap();
    assert_eq!(holders.get(&0).unwrap(), Some([0, 3]));
    // Before Linux 6.4 the tag had another name.
    if kernel_version() >= (6, 4) {
        // Only programs may write a pointer: what user space writes there is left out.
        holders.set(&0, &[4711, 5]).unwrap();
        assert_eq!(holders.get(&0).unwrap(), Some([0, 5]));
    }
}

#[test]
fn root_object_task_storage() {
    if !is_root("root_object_task_storage") {
        return;
    }
    let Some(collection) = load_since(&object!("storage"), (5, 11)) else { return };
    let info = collection.map("storage").unwrap().info().unwrap();
    assert_eq!((info.map_type.raw(), info.key_size, info.value_size), (29, 4, 8));
    assert!(info.btf_key_type_id != 0 && info.btf_value_type_id != 0);
}

#[test]
fn root_object_globals() {
    if !is_root("root_object_globals") {
        return;
    }
    let mut object = object!("globals");
    assert_eq!(object.get::<u32>("limit").unwrap(), 10);
    assert_eq!(object.get::<[u8; 16]>("name").unwrap(), *b"default\0\0\0\0\0\0\0\0\0");
    assert_eq!(object.get::<i64>("negative").unwrap(), -7);
    assert!((object.get::<f32>("ratio").unwrap() - 0.5).abs() < f32::EPSILON);
    object.set("limit", 32_u32).unwrap();
    object.set("enabled", true).unwrap();
    object.set("name", *b"tracewell\0\0\0\0\0\0\0").unwrap();
    object.set("mode", 5_u32).unwrap();
    object.set("counter", 2000_u64).unwrap();
    object.set("zeroed", 1_u64).unwrap();
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "add"), 18);
    let number = |name: &str| collection.variable::<u64>(name).unwrap().get().unwrap();
    assert_eq!(number("counter"), 2032);
    assert_eq!(number("sum"), (-4_i64).cast_unsigned());
    assert_eq!(number("zeroed"), 0xeeee);
    assert_eq!(collection.variable::<i16>("small").unwrap().get().unwrap(), -4);
    assert_eq!(collection.variable::<u32>("hidden").unwrap().get().unwrap(), 18);
    assert_eq!(collection.variable::<u32>("extra").unwrap().get().unwrap(), 0xabcd + 5);
    assert_eq!(
        collection.variable::<[u8; 16]>("copied").unwrap().get().unwrap(),
        *b"tracewell\0\0\0\0\0\0\0"
    );
    assert_eq!(collection.variable::<[u32; 5]>("table").unwrap().get().unwrap(), [0, 99, 198, 297, 396]);
    collection.variable::<u64>("counter").unwrap().set(1).unwrap();
    run(&collection, "add");
    assert_eq!(number("counter"), 33);
    assert!(collection.variable::<u32>("limit").unwrap().set(5).is_err());
}

#[test]
fn object_of_another_byte_order() {
    let big = object!("bigendian");
    assert_eq!(big.endian, btf::Endian::Big);
    // It is read as well as any other.
    assert_eq!(big.programs[0].name, "add");
    assert!(big.variable("counter").is_some());
    let names = |object: &Object| object.maps.iter().map(|map| map.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&big), names(&object!("globals")));
}

#[test]
fn root_object_of_another_byte_order_is_refused() {
    if !is_root("root_object_of_another_byte_order_is_refused") {
        return;
    }
    let error = load(&object!("bigendian")).unwrap_err().to_string();
    assert!(error.contains("endian") || error.contains("byte order"), "{error}");
}

#[test]
fn root_object_kconfig() {
    let test = "root_object_kconfig";
    if !is_root(test) {
        return;
    }
    let release = kernel_release();
    let plain = format!("/boot/config-{release}");
    let text = match fs::read_to_string(&plain) {
        Ok(text) => text,
        Err(_) if PathBuf::from("/proc/config.gz").exists() => {
            let out =
                std::process::Command::new("zcat").arg("/proc/config.gz").output().expect("gzip is there");
            String::from_utf8_lossy(&out.stdout).into_owned()
        }
        Err(error) => {
            return skip(test, &format!("this kernel's configuration is nowhere: {plain}: {error}"));
        }
    };
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let letter = |name| match value(name) {
        Some("y") => 1,
        Some("m") => 2,
        _ => 0,
    };
    let collection = load(&object!("kconfig")).unwrap();
    run(&collection, "read");
    let out = collection.variable::<[u64; 16]>("out").unwrap().get().unwrap();
    let (major, minor) = kernel_version();
    assert_eq!((out[0] >> 16, out[0] >> 8 & 255), (u64::from(major), u64::from(minor)));
    assert_eq!(out[1], u64::from(kernel_version() >= (5, 15)), "cookies");
    let wrapper = kernel_has("__x64_sys_bpf") || kernel_has("__arm64_sys_bpf");
    assert_eq!(out[2], u64::from(wrapper), "wrappers of system calls");
    assert_eq!(out[3], letter("CONFIG_BPF_SYSCALL"));
    assert_eq!(out[4], letter("CONFIG_DUMMY"));
    assert_eq!(out[5], letter("CONFIG_BPF_JIT"));
    assert_eq!(Some(out[6].to_string().as_str()), value("CONFIG_HZ"));
    assert_eq!(out[7..10], [0; 3]);
    let text = collection.variable::<[u8; 16]>("text").unwrap().get().unwrap();
    let hostname = value("CONFIG_DEFAULT_HOSTNAME").unwrap_or_default().trim_matches('"');
    assert_eq!(text.split(|b| *b == 0).next().unwrap(), hostname.as_bytes());
}

#[test]
fn root_object_strong_externs_that_are_missing() {
    if !is_root("root_object_strong_externs_that_are_missing") {
        return;
    }
    for (object, name) in [
        (object!("kconfig_strong"), "CONFIG_TRACEWELL_STRONG"),
        (object!("ksyms_strong"), "tracewell_no_symbol"),
    ] {
        let error = load(&object).unwrap_err();
        assert!(matches!(&error, Error::Extern { name: n, .. } if n == name), "{error:?}");
    }
}

#[test]
fn root_object_ksyms() {
    let test = "root_object_ksyms";
    if !is_root(test) {
        return;
    }
    if !kernel_has("runqueues") {
        return skip(test, "this kernel lists no variables in /proc/kallsyms (CONFIG_KALLSYMS_ALL)");
    }
    let target = Target::running().unwrap();
    if target.btf().is_none_or(|types| types.find("runqueues", btf::Kind::Var).is_none()) {
        return skip(test, "this kernel's types have no variables");
    }
    let object = object!("ksyms");
    let collection = load_only(&object, "look", &target).unwrap();
    let program = &collection.program("look").unwrap().prog;
    program.test_run(TestRun { ctx: &[0; 16], ..TestRun::default() }).unwrap();
    let out = collection.variable::<[u64; 8]>("out").unwrap().get().unwrap();
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
    let address = symbols.lines().find_map(|line| {
        let (address, rest) = line.split_once(' ')?;
        (rest.split(' ').nth(1)? == "vfs_fallocate").then(|| u64::from_str_radix(address, 16).ok())?
    });
    assert_eq!(out[1], 1, "the run queue of processor 0");
    assert_eq!(Some(out[2]), address);
    assert_eq!(out[3..5], [0, 1], "what is weak and missing is zero");
    let collection = load_only(&object, "active", &target).unwrap();
    let program = &collection.program("active").unwrap().prog;
    program.test_run(TestRun { ctx: &[0; 16], ..TestRun::default() }).unwrap();
}

#[test]
fn root_object_kfuncs() {
    let test = "root_object_kfuncs";
    if !is_root(test) {
        return;
    }
    let collection = load(&object!("kfuncs")).unwrap();
    let acquires = kernel_has("bpf_task_acquire");
    let program = collection.program("new_task").unwrap();
    let attachment = match probes::object::attach(program, &probes::object::AttachOptions::default()) {
        Ok(attachment) => attachment,
        Err(error) => return skip(test, &format!("tp_btf programs do not attach: {error}")),
    };
    std::thread::spawn(|| ()).join().unwrap();
    drop(attachment);
    let out = collection.variable::<[u64; 4]>("out").unwrap().get().unwrap();
    assert!(out[0] > 0, "no task was seen");
    assert_eq!(out[1], if acquires { out[0] } else { 0 });
    assert_eq!(out[2], 0);
}

#[test]
fn root_object_subprograms() {
    if !is_root("root_object_subprograms") {
        return;
    }
    let object = object!("subprograms");
    let collection = load(&object).unwrap();
    assert_eq!(run(&collection, "first"), 20 + 30 + 5);
    assert_eq!(run(&collection, "second"), 20 + 9);
    assert_eq!(collection.variable::<u64>("calls").unwrap().get().unwrap(), 2 + 100 + 100 + 1);
    // Only what is called is in a program, the program first.
    let names = |program: &str| {
        let program = collection.program(program).unwrap();
        let mut names: Vec<&str> = program.spec.funcs.iter().map(|f| f.name.as_str()).collect();
        names[1..].sort_unstable();
        names.join(" ")
    };
    assert_eq!(names("first"), "first global leaf middle");
    assert_eq!(names("second"), "second global global_hidden leaf");
}

#[test]
fn root_object_callbacks() {
    if !is_root("root_object_callbacks") {
        return;
    }
    let target = Target::running().unwrap();
    let object = object!("callbacks");
    for (program, since, returned) in [("for_each", (5, 13), 4), ("loop", (5, 17), 7)] {
        match load_only(&object, program, &target) {
            Ok(collection) => {
                assert!(kernel_version() >= since, "{program}");
                if program == "for_each" {
                    collection.typed_map::<u32, u64>("numbers").unwrap().set(&2, &40).unwrap();
                }
                assert_eq!(run(&collection, program), returned, "{program}");
                let name = if program == "loop" { "turns" } else { "sum" };
                let expected = if program == "loop" { 7 } else { 40 + 6 };
                assert_eq!(collection.variable::<u64>(name).unwrap().get().unwrap(), expected);
            }
            Err(error) => assert!(kernel_version() < since, "{program}: {error}"),
        }
    }
}

#[test]
fn root_object_freplace() {
    let test = "root_object_freplace";
    if !is_root(test) {
        return;
    }
    let target = Target::running().unwrap();
    let replaced = load(&object!("replaced")).unwrap();
    assert_eq!(run(&replaced, "caller"), 11);
    // It has to be told whose function it replaces.
    let error = load(&object!("freplace")).unwrap_err().to_string();
    assert!(error.contains("replacement"), "{error}");
    let caller = replaced.program("caller").unwrap().prog.try_clone().unwrap();
    let options =
        LoadOptions { attach_progs: vec![("replacement".to_owned(), caller)], ..LoadOptions::default() };
    let replacement = match Loader::new(&target, options).load(&object!("freplace")) {
        Ok(collection) => collection,
        Err(error) if error.to_string().contains("EPERM") => {
            return skip(test, &format!("this kernel loads no tracing programs: {error}"));
        }
        Err(error) => panic!("{error}"),
    };
    let program = replacement.program("replacement").unwrap();
    let attached = probes::object::attach(program, &probes::object::AttachOptions::default()).unwrap();
    assert_eq!(run(&replaced, "caller"), 12);
    drop(attached);
    assert_eq!(run(&replaced, "caller"), 11);
}

#[test]
fn root_object_syscall_program() {
    if !is_root("root_object_syscall_program") {
        return;
    }
    let Some(collection) = load_since(&object!("syscall"), (5, 14)) else { return };
    let mut context = [0; 16];
    context[..8].copy_from_slice(&21_u64.to_ne_bytes());
    let program = &collection.program("answer").unwrap().prog;
    let mut after = [0; 16];
    let run = TestRun { ctx: &context, ctx_out: &mut after, ..TestRun::default() };
    assert_eq!(program.test_run(run).unwrap().retval, 21);
    assert_eq!(after[8..], 42_u64.to_ne_bytes());
    assert_eq!(collection.variable::<u64>("last").unwrap().get().unwrap(), 42);
}

#[test]
fn root_object_of_a_static_linker() {
    if !is_root("root_object_of_a_static_linker") {
        return;
    }
    let collection = load(&object!("linked")).unwrap();
    assert_eq!(run(&collection, "from_a"), 2);
    assert_eq!(run(&collection, "from_b"), 55);
    assert_eq!(entry(collection.map("shared_map").unwrap(), 0), Some(42));
    assert_eq!(collection.variable::<u64>("shared_variable").unwrap().get().unwrap(), 105);
}

#[test]
fn root_object_of_each_instruction_set() {
    if !is_root("root_object_of_each_instruction_set") {
        return;
    }
    for object in [object!("cpu_v1"), object!("cpu_v2"), object!("cpu"), object!("cpu_v4")] {
        let since = if object.name == "cpu_v4" { (6, 6) } else { (5, 10) };
        let Some(collection) = load_since(&object, since) else { continue };
        assert_eq!(run(&collection, "compute"), 9, "{}", object.name);
        let out = collection.variable::<[u64; 8]>("out").unwrap().get().unwrap();
        let negative = (-15_i64).cast_unsigned();
        let quotient = u64::from((-100_i32).cast_unsigned() / 7);
        assert_eq!(out[..6], [1, negative, 100, 0x4433_2211, 7, quotient], "{}", object.name);
    }
}
