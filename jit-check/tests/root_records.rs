//! Special fields of map values beside the running kernel: locks, timers, work queues, kernel pointers, lists, trees, in
//! every pair, in several types of maps, and what programs may do at their places.

mod followed;

use asm::Insn;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::map::{Map, MapCreate, MapType};
use bpf_sys::prog::{ProgLoad, ProgType};
use bpf_sys::{Error, memlock};
use btf::{Btf, Builder, Endian, IntEncoding, Kind, NewMember, TypeId};
use followed::reason;
use loader::MapSpec;
use std::os::fd::{AsFd, AsRawFd};
use tracewell_jit_check::Program;
use tracewell_jit_check::kernel::{Kernel, Version};
use tracewell_jit_check::verifier::{Options, verify};

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

fn copy(dst: u8, src: u8) -> Insn {
    Insn::new(0xbf, dst, src, 0, 0)
}

fn add(dst: u8, imm: i32) -> Insn {
    Insn::new(0x07, dst, 0, 0, imm)
}

fn helper(id: i32) -> Insn {
    Insn::new(0x85, 0, 0, 0, id)
}

/// The types that values are made of.
struct Types {
    builder: Builder,
    int: TypeId,
    key: TypeId,
    /// Name, type, size, alignment, and the tag that its member gets.
    fields: Vec<(&'static str, TypeId, u32, u32, &'static str)>,
}

fn member<'n>(name: &'n str, type_id: TypeId, bytes: u32) -> NewMember<'n> {
    NewMember { name, type_id, bit_offset: bytes * 8, bitfield_size: None }
}

impl Types {
    fn new() -> Types {
        let mut builder = Builder::new(Endian::Little);
        let encoding = |bits, signed| IntEncoding { bits, offset: 0, signed, char: false, bool: false };
        let key = builder.int("int", 4, encoding(32, true));
        let int = builder.int("long", 8, encoding(64, true));
        let opaque = |builder: &mut Builder, name: &str, size: u32| {
            let (element, len) = if size == 4 { (key, 1) } else { (int, size / 8) };
            let words = builder.array(element, key, len);
            builder.composite(Kind::Struct, name, size, &[member("words", words, 0)])
        };
        let lock = opaque(&mut builder, "bpf_spin_lock", 4);
        let timer = opaque(&mut builder, "bpf_timer", 16);
        let queue = opaque(&mut builder, "bpf_wq", 16);
        let head = opaque(&mut builder, "bpf_list_head", 16);
        let list_node = opaque(&mut builder, "bpf_list_node", 24);
        let root = opaque(&mut builder, "bpf_rb_root", 16);
        let tree_node = opaque(&mut builder, "bpf_rb_node", 32);
        let refcount = opaque(&mut builder, "bpf_refcount", 4);
        builder.composite(Kind::Struct, "foo", 32, &[member("node", list_node, 0), member("x", int, 24)]);
        builder.composite(Kind::Struct, "bar", 40, &[member("node", tree_node, 0), member("x", int, 32)]);
        let own = builder.composite(Kind::Struct, "own_object", 8, &[member("x", int, 0)]);
        let task = builder.composite(Kind::Struct, "task_struct", 8, &[member("x", int, 0)]);
        let file = builder.composite(Kind::Struct, "file", 8, &[member("x", int, 0)]);
        let pointer = |builder: &mut Builder, tag: &str, to: TypeId| {
            let tagged = builder.type_tag(tag, to);
            builder.ptr(tagged)
        };
        let kptr_task = pointer(&mut builder, "kptr", task);
        let kptr_untrusted = pointer(&mut builder, "kptr_untrusted", file);
        let kptr_file = pointer(&mut builder, "kptr", file);
        let kptr_own = pointer(&mut builder, "kptr", own);
        let percpu = pointer(&mut builder, "percpu_kptr", own);
        let unknown = pointer(&mut builder, "other", own);
        let kptrs = builder.array(kptr_task, key, 2);
        let locks = builder.array(lock, key, 2);
        let inner =
            builder.composite(Kind::Struct, "inner", 16, &[member("k", kptr_task, 0), member("l", lock, 8)]);
        let inners = builder.array(inner, key, 2);
        let union =
            builder.composite(Kind::Union, "either", 8, &[member("k", kptr_task, 0), member("x", int, 0)]);
        let fields = vec![
            ("number", int, 8, 8, ""),
            ("lock", lock, 4, 4, ""),
            ("timer", timer, 16, 8, ""),
            ("queue", queue, 16, 8, ""),
            ("list", head, 16, 8, "contains:foo:node"),
            ("list without tag", head, 16, 8, ""),
            ("list of nothing", head, 16, 8, "contains:none:node"),
            ("list of no node", head, 16, 8, "contains:foo:x"),
            ("tree", root, 16, 8, "contains:bar:node"),
            ("refcount", refcount, 4, 4, ""),
            ("task", kptr_task, 8, 8, ""),
            ("untrusted", kptr_untrusted, 8, 8, ""),
            ("file", kptr_file, 8, 8, ""),
            ("own object", kptr_own, 8, 8, ""),
            ("for each processor", percpu, 8, 8, ""),
            ("other tag", unknown, 8, 8, ""),
            ("tasks", kptrs, 16, 8, ""),
            ("locks", locks, 8, 4, ""),
            ("inner", inner, 16, 8, ""),
            ("inners", inners, 32, 8, ""),
            ("either", union, 8, 8, ""),
        ];
        Types { builder, int, key, fields }
    }

    /// A value of two fields and a number: its type and size, and the places of the fields.
    fn value(&mut self, one: usize, two: usize) -> (TypeId, u32, [u32; 2]) {
        let (a, b) = (self.fields[one], self.fields[two]);
        let second = a.2.next_multiple_of(b.3);
        let end = (second + b.2).next_multiple_of(8);
        let members = [member("a", a.1, 0), member("b", b.1, second), member("n", self.int, end)];
        let value = self.builder.composite(Kind::Struct, "value", end + 8, &members);
        for (component, tag) in [(0, a.4), (1, b.4)] {
            if !tag.is_empty() {
                self.builder.decl_tag(tag, value, component);
            }
        }
        (value, end + 8, [0, second])
    }
}

/// What a program does with the place in r7 of the value in r6; `map` is the map's descriptor or index.
fn trials(map: i32) -> Vec<(&'static str, Vec<Insn>)> {
    let ld_map = [Insn::new(0x18, 2, 1, 0, map), Insn::new(0, 0, 0, 0, 0)];
    let mut init = vec![copy(1, 7)];
    init.extend(ld_map);
    init.extend([mov(3, 1), helper(169)]);
    vec![
        ("locks", vec![copy(1, 7), helper(93), copy(1, 7), helper(94)]),
        ("locks twice", vec![copy(1, 7), helper(93), copy(1, 7), helper(93)]),
        ("locks only", vec![copy(1, 7), helper(93)]),
        ("sets a timer up", init),
        ("starts a timer", vec![copy(1, 7), mov(2, 0), mov(3, 0), helper(170)]),
        ("takes a pointer out", vec![copy(1, 7), mov(2, 0), helper(194)]),
        ("reads eight bytes", vec![Insn::new(0x79, 1, 7, 0, 0)]),
        (
            "reads through",
            vec![Insn::new(0x79, 1, 7, 0, 0), Insn::new(0x15, 1, 0, 1, 0), Insn::new(0x79, 1, 1, 0, 0)],
        ),
        ("reads one byte", vec![Insn::new(0x71, 1, 7, 1, 0)]),
        ("writes zeros", vec![Insn::new(0x7a, 7, 0, 0, 0)]),
        ("writes one", vec![Insn::new(0x62, 7, 0, 0, 1)]),
        ("compares", vec![mov(1, 0), Insn::new(0xdb, 7, 1, 0, 0)]),
    ]
}

fn program(map: i32, place: u32, trial: &[Insn]) -> Vec<Insn> {
    let mut insns = vec![
        Insn::new(0x62, 10, 0, -4, 0),
        copy(2, 10),
        add(2, -4),
        Insn::new(0x18, 1, 1, 0, map),
        Insn::new(0, 0, 0, 0, 0),
        helper(1),
        Insn::new(0x55, 0, 0, 2, 0),
        mov(0, 0),
        EXIT,
        copy(6, 0),
        copy(7, 6),
        add(7, place as i32),
    ];
    insns.extend_from_slice(trial);
    insns.extend([mov(0, 0), EXIT]);
    insns
}

fn ask_kernel(insns: &[Insn]) -> (bool, String) {
    let words: Vec<u64> = insns.iter().map(|insn| insn.to_u64()).collect();
    match (ProgLoad { prog_type: ProgType::SchedCls, insns: &words, license: "GPL", ..ProgLoad::default() })
        .load()
    {
        Ok(_) => (true, String::new()),
        Err(Error::ProgLoad(e)) => (false, reason(&e.log)),
        Err(e) => (false, e.to_string()),
    }
}

#[test]
fn root_special_fields_are_what_the_kernel_finds() {
    let test = "root_special_fields_are_what_the_kernel_finds";
    if !followed::is_followed(test) {
        return;
    }
    if let Err(error) = memlock::ensure() {
        eprintln!("SKIP {test}: {error}");
        return;
    }
    let data = match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(data) => data,
        Err(error) => {
            eprintln!("SKIP {test}: no kernel BTF: {error}");
            return;
        }
    };
    let btf = Btf::parse(&data).expect("the kernel's BTF is valid");
    btf.index_names();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel says its release");
    let version: Version = release.trim().parse().expect("the release begins with a version");
    if version < Version(6, 11) {
        eprintln!("SKIP {test}: Linux {version} finds fewer of them");
        return;
    }
    let kernel = Kernel::new(version, Some(&btf));
    let count = Types::new().fields.len();
    let (mut tried, mut accepted, mut different) = (0, 0, Vec::new());
    let pairs = (0..count).flat_map(|one| (0..count).map(move |two| (one, two)));
    for (one, two) in pairs.step_by(followed::stride(17)) {
        let mut types = Types::new();
        let (value, size, places) = types.value(one, two);
        let names = [types.fields[one].0, types.fields[two].0];
        let bytes = types.builder.finish();
        let object = BtfObj::load(&bytes).ok();
        for map_type in [MapType::Array, MapType::Hash, MapType::LruHash, MapType::PercpuArray] {
            let plain = MapCreate {
                name: "m",
                map_type,
                key_size: 4,
                value_size: size,
                max_entries: 1,
                ..MapCreate::default()
            };
            let typed = object.as_ref().and_then(|object| {
                MapCreate {
                    btf: Some(object.as_fd()),
                    btf_key_type_id: types.key.0,
                    btf_value_type_id: value.0,
                    ..plain
                }
                .create()
                .ok()
            });
            // As loaders do: a map without types where the kernel does not take them.
            let map: Map = typed.unwrap_or_else(|| plain.create().expect("a plain map is made"));
            let mut spec = MapSpec::new("m", map_type, 4, size, 1);
            (spec.key_type, spec.value_type) = (Some(types.key), Some(value));
            for (at, place) in places.iter().enumerate() {
                let theirs = trials(map.as_fd().as_raw_fd());
                for ((what, theirs), (_, ours)) in theirs.into_iter().zip(trials(0)) {
                    let kernel_says = ask_kernel(&program(map.as_fd().as_raw_fd(), *place, &theirs));
                    let mut simulated = Program::new("", ProgType::SchedCls, program(0, *place, &ours));
                    simulated.maps = vec![spec.clone()];
                    simulated.btf = Some(bytes.clone());
                    let verdict = verify(&simulated, &kernel, &Options::default());
                    let ours = if verdict.accepted { String::new() } else { reason(&verdict.log) };
                    tried += 1;
                    accepted += usize::from(kernel_says.0);
                    if kernel_says != (verdict.accepted, ours.clone()) {
                        different.push(format!(
                            "{names:?} in {map_type:?} at {at}: {what}: kernel {kernel_says:?}, simulator {:?}",
                            (verdict.accepted, ours)
                        ));
                    }
                }
            }
        }
    }
    eprintln!("Linux {version}: {tried} programs, {accepted} accepted");
    let shown = different.iter().take(100).cloned().collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} of {tried} answers differ:\n{shown}", different.len());
}
