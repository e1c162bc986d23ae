//! Relocation of whole objects against described kernels: configuration, kernel symbols and functions, kernel
//! operations, and what becomes of programs that are not to be loaded.

use asm::Insn;
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use btf::ext::CoreReloKind;
use btf::{Btf, Builder, Endian, IntEncoding, Kind, Linkage, NewMember, TypeId};
use expect_test::expect;
use loader::relocate::struct_ops;
use loader::{
    CoreRelo, Extern, ExternKind, MapKind, MapSpec, ModuleBtf, Object, ProgramSpec, StructOps, Target,
};

fn int(builder: &mut Builder, name: &str, size: u32, signed: bool, bool: bool) -> TypeId {
    builder.int(name, size, IntEncoding { bits: (size * 8) as u8, offset: 0, signed, char: false, bool })
}

fn member(name: &str, type_id: TypeId, bit_offset: u32) -> NewMember<'_> {
    NewMember { name, type_id, bit_offset, bitfield_size: None }
}

/// One configuration value against the text of a configuration.
fn kconfig(name: &str, type_name: &str, size: u32, weak: bool, config: &str) -> String {
    let mut types = Builder::new(Endian::Little);
    let char = int(&mut types, "char", 1, true, false);
    int(&mut types, "bool", 1, false, true);
    int(&mut types, "u8", 1, false, false);
    int(&mut types, "u16", 2, false, false);
    int(&mut types, "s16", 2, true, false);
    let index = int(&mut types, "u32", 4, false, false);
    int(&mut types, "u64", 8, false, false);
    int(&mut types, "s64", 8, true, false);
    types.enumeration("libbpf_tristate", 4, false, &[("TRI_NO", 0), ("TRI_YES", 1), ("TRI_MODULE", 2)]);
    types.enumeration("color", 4, false, &[("RED", 0)]);
    let text = types.array(char, index, size);
    types.typedef("text", text);
    let types = types.finish();
    let type_id = Btf::parse(&types).unwrap().find_where(type_name, |_, _| true).unwrap();
    let mut object = Object::new("o");
    object.btf = Some(types);
    object.endian = Endian::Little;
    object.maps.push(MapSpec::new_data(".kconfig", MapKind::Kconfig, vec![0xee; 4 + size as usize]));
    let kind = ExternKind::Kconfig { type_id, offset: 4, size };
    object.externs.push(Extern { name: name.to_owned(), weak, kind, resolution: None });
    let target = Target::described(None).config_is(config).version_is(0x06_0c_30).features_are(true, false);
    match object.relocate(&target) {
        Ok(object) => format!(
            "{:02x?} {:?}",
            &object.maps[0].data.as_deref().unwrap()[4..],
            object.externs[0].resolution.as_ref().unwrap()
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn configuration() {
    let config = "CONFIG_Y=y\nCONFIG_M=m\n# CONFIG_OFF is not set\nCONFIG_N=250\nCONFIG_HEX=0xffff\nCONFIG_NEG=-5\n\
                  CONFIG_TEXT=\"(none)\"\nCONFIG_BAD=abc\nCONFIG_N=7\nCONFIG_OPEN=\"x\n";
    let mut all = String::new();
    for (name, ty, size, weak) in [
        ("CONFIG_Y", "bool", 1, false),
        ("CONFIG_Y", "libbpf_tristate", 4, false),
        ("CONFIG_Y", "char", 1, false),
        ("CONFIG_Y", "u32", 4, false),
        ("CONFIG_M", "bool", 1, false),
        ("CONFIG_M", "libbpf_tristate", 4, false),
        ("CONFIG_OFF", "bool", 1, true),
        ("CONFIG_OFF", "bool", 1, false),
        ("CONFIG_N", "u8", 1, false),
        ("CONFIG_N", "char", 1, false),
        ("CONFIG_N", "u64", 8, false),
        ("CONFIG_N", "libbpf_tristate", 4, false),
        ("CONFIG_N", "bool", 1, false),
        ("CONFIG_HEX", "u16", 2, false),
        ("CONFIG_HEX", "s16", 2, false),
        ("CONFIG_NEG", "s16", 2, false),
        ("CONFIG_NEG", "u16", 2, false),
        ("CONFIG_NEG", "u64", 8, false),
        ("CONFIG_TEXT", "text", 8, false),
        ("CONFIG_TEXT", "text", 4, false),
        ("CONFIG_TEXT", "u32", 4, false),
        ("CONFIG_OPEN", "text", 8, false),
        ("CONFIG_BAD", "u32", 4, false),
        ("CONFIG_Y", "color", 4, false),
        ("LINUX_KERNEL_VERSION", "u32", 4, false),
        ("LINUX_KERNEL_VERSION", "u16", 2, false),
        ("LINUX_HAS_BPF_COOKIE", "bool", 1, true),
        ("LINUX_HAS_SYSCALL_WRAPPER", "bool", 1, true),
        ("LINUX_HAS_NOTHING", "bool", 1, true),
        ("LINUX_HAS_NOTHING", "bool", 1, false),
        ("OTHER", "bool", 1, true),
    ] {
        all.push_str(&format!("{name} {ty}: {}\n", kconfig(name, ty, size, weak, config)));
    }
    expect![[r#"
        CONFIG_Y bool: [01] Value
        CONFIG_Y libbpf_tristate: [01, 00, 00, 00] Value
        CONFIG_Y char: [79] Value
        CONFIG_Y u32: extern `CONFIG_Y`: is `y`: declare it bool, char or enum libbpf_tristate
        CONFIG_M bool: extern `CONFIG_M`: is `m` (a module), which a bool cannot be: declare it `enum libbpf_tristate`
        CONFIG_M libbpf_tristate: [02, 00, 00, 00] Value
        CONFIG_OFF bool: [00] Value
        CONFIG_OFF bool: extern `CONFIG_OFF`: is not set in the configuration given; take a kernel that has it, or declare the variable __weak, which makes it 0
        CONFIG_N u8: [fa] Value
        CONFIG_N char: extern `CONFIG_N`: is 250, which does not fit into its 1 bytes: declare it larger
        CONFIG_N u64: [fa, 00, 00, 00, 00, 00, 00, 00] Value
        CONFIG_N libbpf_tristate: extern `CONFIG_N`: is the number 250: declare it an integer
        CONFIG_N bool: extern `CONFIG_N`: is 250, which does not fit into its 1 bytes: declare it larger
        CONFIG_HEX u16: [ff, ff] Value
        CONFIG_HEX s16: extern `CONFIG_HEX`: is 65535, which does not fit into its 2 bytes: declare it larger
        CONFIG_NEG s16: [fb, ff] Value
        CONFIG_NEG u16: extern `CONFIG_NEG`: is -5, which does not fit into its 2 bytes: declare it larger
        CONFIG_NEG u64: [fb, ff, ff, ff, ff, ff, ff, ff] Value
        CONFIG_TEXT text: [28, 6e, 6f, 6e, 65, 29, 00, 00] Value
        CONFIG_TEXT text: [28, 6e, 6f, 00] Value
        CONFIG_TEXT u32: extern `CONFIG_TEXT`: is the text "(none)": declare it an array of char
        CONFIG_OPEN text: extern `CONFIG_OPEN`: the value "x has no closing quote
        CONFIG_BAD u32: extern `CONFIG_BAD`: the value abc is no number
        CONFIG_Y color: extern `CONFIG_Y`: its type is none that a configuration value can have: take bool, char, an integer, enum libbpf_tristate or an array of char
        LINUX_KERNEL_VERSION u32: [30, 0c, 06, 00] Value
        LINUX_KERNEL_VERSION u16: extern `LINUX_KERNEL_VERSION`: is 396336, which does not fit into its 2 bytes: declare it larger
        LINUX_HAS_BPF_COOKIE bool: [01] Value
        LINUX_HAS_SYSCALL_WRAPPER bool: [00] Value
        LINUX_HAS_NOTHING bool: [00] Value
        LINUX_HAS_NOTHING bool: extern `LINUX_HAS_NOTHING`: is no value that loaders know: there are CONFIG_*, LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE and LINUX_HAS_SYSCALL_WRAPPER
        OTHER bool: extern `OTHER`: is no value that loaders know: there are CONFIG_*, LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE and LINUX_HAS_SYSCALL_WRAPPER
    "#]]
    .assert_eq(&all);
}

/// The object's and the kernel's side of variables and functions.
fn symbols(kernel: bool) -> Vec<u8> {
    let mut types = Builder::new(Endian::Little);
    let number = int(&mut types, "int", 4, true, false);
    let long = int(&mut types, "long", 8, true, false);
    let flag = types.composite(Kind::Struct, "rq", 8, &[member("a", number, 0)]);
    let pointer = types.ptr(flag);
    let constant = types.modifier(Kind::Const, flag);
    let other = if kernel { pointer } else { number };
    let proto = types.func_proto(pointer, &[("p", pointer)]);
    let params = [("a", number), ("b", long)];
    let changed = types.func_proto(number, if kernel { &params } else { &params[..1] });
    types.var("runqueues", if kernel { flag } else { constant }, Linkage::Global);
    types.var("other_type", other, Linkage::Global);
    types.func("acquire", proto, Linkage::Global);
    types.func("changed", changed, Linkage::Global);
    if !kernel {
        types.func("changed___v2", changed, Linkage::Extern);
        types.func("acquire___v2", proto, Linkage::Extern);
        types.func("in_module", proto, Linkage::Extern);
        types.func("nowhere", proto, Linkage::Extern);
        types.var("nowhere_var", number, Linkage::Extern);
    }
    types.finish()
}

fn symbol(name: &str, weak: bool, untyped: bool) -> String {
    let (local, kernel) = (symbols(false), symbols(true));
    let kernel = Btf::parse(&kernel).unwrap();
    let mut module = Builder::new_split(&kernel);
    let proto = Btf::parse(&local).unwrap().func_proto("acquire").unwrap().0;
    assert_eq!(kernel.type_by_id(proto).unwrap().kind(), Kind::FuncProto);
    module.func("in_module", proto, Linkage::Global);
    let module = module.finish();
    let module = Btf::parse_split(&module, &kernel).unwrap();
    let target = Target::described(Some(&kernel))
        .modules_are(vec![ModuleBtf { name: "m".to_owned(), btf: &module }])
        .symbols_are(
            [("once", 1), ("twice", 2), ("twice", 3), ("same", 4), ("same", 4), ("hidden", 0)]
                .map(|(name, address)| (name.to_owned(), address << 12)),
        );
    let types = Btf::parse(&local).unwrap();
    let kind = match types.find_where(name, |_, ty| matches!(ty.kind(), Kind::Func | Kind::Var)) {
        _ if untyped => ExternKind::KsymUntyped,
        Some(id) if types.type_by_id(id).unwrap().kind() == Kind::Func => ExternKind::Kfunc(id),
        Some(id) => ExternKind::KsymTyped(types.type_by_id(id).unwrap().type_id().unwrap()),
        None => panic!("no {name}"),
    };
    let mut object = Object::new("o");
    object.btf = Some(local.clone());
    object.externs.push(Extern { name: name.to_owned(), weak, kind, resolution: None });
    match object.relocate(&target) {
        Ok(object) => format!("{:?}", object.externs[0].resolution.as_ref().unwrap()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn kernel_symbols() {
    let mut all = String::new();
    for (name, weak, untyped) in [
        ("runqueues", false, false),
        ("other_type", false, false),
        ("other_type", true, false),
        ("nowhere_var", true, false),
        ("nowhere_var", false, false),
        ("acquire", false, false),
        ("acquire___v2", false, false),
        ("in_module", false, false),
        ("changed", false, false),
        ("changed___v2", true, false),
        ("nowhere", true, false),
        ("nowhere", false, false),
        ("once", false, true),
        ("twice", false, true),
        ("same", false, true),
        ("hidden", false, true),
        ("none", true, true),
        ("none", false, true),
    ] {
        let how = if weak { "weak" } else { "strong" };
        all.push_str(&format!("{name} {how}: {}\n", symbol(name, weak, untyped)));
    }
    expect![[r#"
        runqueues strong: Variable { btf_id: TypeId(8), module: None }
        other_type strong: extern `other_type`: the variable in the kernel has another type than the object declares
        other_type weak: extern `other_type`: the variable in the kernel has another type than the object declares
        nowhere_var weak: Missing
        nowhere_var strong: extern `nowhere_var`: no variable of this name is in the types of the kernel or of its loaded modules: load the module that has it, take another kernel, or declare it __weak and ask whether it is there
        acquire strong: Function { btf_id: TypeId(10), module: None }
        acquire___v2 strong: Function { btf_id: TypeId(10), module: None }
        in_module strong: Function { btf_id: TypeId(12), module: Some("m") }
        changed strong: extern `changed`: the function in the kernel takes or returns something else than declared
        changed___v2 weak: Missing
        nowhere weak: Missing
        nowhere strong: extern `nowhere`: no function of this name is in the types of the kernel or of its loaded modules: load the module that has it, take another kernel, or declare it __weak and ask whether it is there
        once strong: Address(4096)
        twice strong: extern `twice`: several symbols have this name, at 0x2000 and 0x3000: there is no telling which is meant
        same strong: Address(16384)
        hidden strong: extern `hidden`: the kernel hides the addresses of its symbols from this process: run as root, or with CAP_SYSLOG, and see the sysctl kernel.kptr_restrict
        none weak: Missing
        none strong: extern `none`: no symbol of this name is in /proc/kallsyms: load the module that has it, take another kernel, or declare it __weak and ask whether it is there
    "#]]
    .assert_eq(&all);
}

/// `struct ops` as the object has it, or the kernel, which wraps it.
fn ops(kernel: bool) -> Vec<u8> {
    let mut types = Builder::new(Endian::Little);
    let number = int(&mut types, "int", 4, true, false);
    let char = int(&mut types, "char", 1, true, false);
    let proto = types.func_proto(number, &[]);
    let function = types.ptr(proto);
    let text = types.array(char, number, 8);
    if kernel {
        let members = [
            member("flags", number, 0),
            member("second", function, 64),
            member("first", function, 128),
            member("name", text, 192),
        ];
        let id = types.composite(Kind::Struct, "ops", 32, &members);
        let common = [member("state", number, 0), member("data", id, 512)];
        types.composite(Kind::Struct, "bpf_struct_ops_ops", 128, &common);
        types.composite(Kind::Struct, "not_for_programs", 8, &members[..1]);
    } else {
        let members = [
            member("first", function, 0),
            member("name", text, 64),
            member("gone", function, 128),
            member("new_number", number, 192),
            member("flags", number, 224),
        ];
        types.composite(Kind::Struct, "ops___mine", 32, &members);
        types.composite(Kind::Struct, "not_for_programs", 4, &[member("flags", number, 0)]);
        types.composite(Kind::Struct, "nowhere", 4, &[member("flags", number, 0)]);
        types.composite(Kind::Struct, "ops", 8, &[member("flags", function, 0)]);
        types.composite(Kind::Struct, "ops___long", 8, &[member("flags", text, 0)]);
        types.composite(Kind::Struct, "ops___less", 8, &[member("name", number, 0)]);
    }
    types.finish()
}

fn convert(type_name: &str, data: Vec<u8>, funcs: Vec<(u32, usize)>) -> String {
    let (local, kernel) = (ops(false), ops(true));
    let (local, kernel) = (Btf::parse(&local).unwrap(), Btf::parse(&kernel).unwrap());
    let mut map = MapSpec::new("my_ops", MapType::StructOps, 4, 0, 1);
    map.kind = MapKind::StructOps;
    map.data = Some(data);
    let type_id = local.find(type_name, Kind::Struct).unwrap();
    map.struct_ops = Some(StructOps { type_name: type_name.to_owned(), type_id, funcs, link: false });
    match struct_ops::convert(&map, &local, &Target::described(Some(&kernel))) {
        Ok(made) => {
            let set: Vec<_> = made.value.iter().enumerate().filter(|(_, byte)| **byte != 0).collect();
            format!(
                "{} of {:?}, {} bytes, set {set:?}, {:?}, left out {:?}",
                made.struct_type.0,
                made.value_type,
                made.value.len(),
                made.funcs,
                made.left_out
            )
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn kernel_operations() {
    let mut data = vec![0; 32];
    data[8..11].copy_from_slice(b"abc");
    data[28] = 5;
    let mut all = convert("ops___mine", data.clone(), vec![(0, 3), (16, 4)]);
    data[24] = 1;
    for (name, data) in [
        ("ops___mine", data),
        ("ops___mine", vec![0; 20]),
        ("not_for_programs", vec![0; 4]),
        ("nowhere", vec![0; 4]),
        ("ops", vec![0; 8]),
        ("ops___long", vec![0; 8]),
        ("ops___less", vec![0; 8]),
    ] {
        all.push_str(&format!("\n{name}: {}", convert(name, data, vec![])));
    }
    expect![[r#"
        6 of TypeId(7), 128 bytes, set [(64, 5), (88, 97), (89, 98), (90, 99)], [OpsMember { program: 3, member: 2, offset: 80 }], left out [4]
        ops___mine: map `my_ops`: member `new_number`: the kernel's struct has none of this name, and it is set; set it to 0
        ops___mine: map `my_ops`: member `gone`: lies outside of the object's value; the file is damaged, compile it again
        not_for_programs: map `my_ops`: `struct not_for_programs` of this kernel cannot be implemented by programs
        nowhere: map `my_ops`: neither the kernel nor a loaded module has `struct nowhere` in its types
        ops: map `my_ops`: member `flags`: is Ptr in the object and Int in the kernel
        ops___long: map `my_ops`: member `flags`: is Array in the object and Int in the kernel
        ops___less: map `my_ops`: member `name`: is Int in the object and Array in the kernel"#]].assert_eq(&all);
}

/// A program of one load of a member that no target has, or that is damaged.
fn program(name: &str, autoload: bool, access: &str) -> ProgramSpec {
    let insns = vec![Insn::new(0x61, 0, 1, 0, 0), Insn::new(0x95, 0, 0, 0, 0)];
    let mut program = ProgramSpec::new(name, ProgType::SocketFilter, insns);
    program.autoload = autoload;
    program.core.push(CoreRelo {
        insn: 0,
        kind: CoreReloKind::FieldByteOffset,
        type_id: TypeId(2),
        access: access.to_owned(),
    });
    program
}

#[test]
fn programs() {
    let mut types = Builder::new(Endian::Little);
    let number = int(&mut types, "int", 4, true, false);
    types.composite(Kind::Struct, "s", 4, &[member("gone", number, 0)]);
    let types = types.finish();
    let kernel = Builder::new(Endian::Little).finish();
    let kernel = Btf::parse(&kernel).unwrap();
    let target = Target::described(Some(&kernel));
    let mut object = Object::new("o");
    object.btf = Some(types);
    object.programs = vec![program("loaded", true, "0:0"), program("not_loaded", false, "0:9")];
    let relocated = object.relocate(&target).unwrap();
    assert_eq!(object.programs[0].poisoned, [], "the object itself stays as it is");
    expect![[r#"
        [
            (
                [
                    Insn(85 dst=0 src=0 off=0 imm=0xbad2310),
                    Insn(95 dst=0 src=0 off=0 imm=0x0),
                ],
                [
                    Poison {
                        insn: 0,
                        what: "struct s.gone (offset 0:0): no struct s in the target",
                    },
                ],
            ),
            (
                [
                    Insn(85 dst=0 src=0 off=0 imm=0xbad2310),
                    Insn(95 dst=0 src=0 off=0 imm=0x0),
                ],
                [
                    Poison {
                        insn: 0,
                        what: "struct s (offset 0:9): `0:9` asks for member 9 of struct s, which has 1; the object is damaged, compile it again",
                    },
                ],
            ),
        ]
    "#]]
    .assert_debug_eq(&relocated.programs.iter().map(|p| (&p.insns, &p.poisoned)).collect::<Vec<_>>());
    assert_eq!(relocated, object.relocate(&target).unwrap(), "the same again");
    assert!(relocated.relocate(&target).unwrap_err().to_string().contains("relocated already"));
    object.programs[1].autoload = true;
    expect![[r#"
        program `not_loaded`, instruction 0: CO-RE: struct s (offset 0:9): `0:9` asks for member 9 of struct s, which has 1; the object is damaged, compile it again"#]]
    .assert_eq(&object.relocate(&target).unwrap_err().to_string());
    object.btf = None;
    expect!["program `loaded`, instruction 0: has CO-RE relocations, but the object has no BTF: compile it with -g, and do not strip .BTF"]
        .assert_eq(&object.relocate(&target).unwrap_err().to_string());
}
