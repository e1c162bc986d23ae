//! Objects as they are read, in text. The objects' sources are in `data/`; their programs and types were compared with
//! what libbpf 1.7 hands to the kernel.

use expect_test::{Expect, expect};
use loader::{MapSpec, Object, ProgramSpec, RelocKind};
use std::fmt::Write;

const LINKING: &[u8] = include_bytes!("data/linking.o");
const LINKED: &[u8] = include_bytes!("data/linked.o");
const ARENA: &[u8] = include_bytes!("data/arena.o");

fn map_line(map: &MapSpec) -> String {
    let mut line = format!("map {} ({}): {:?} {}", map.name, map.kernel_name, map.kind, map.map_type);
    let _ = write!(line, ", {} -> {} bytes, {} entries", map.key_size, map.value_size, map.max_entries);
    if !map.flags.is_empty() {
        let _ =
            write!(line, ", {}", map.flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join("|"));
    }
    if let Some(data) = &map.data {
        let _ = write!(line, ", {} bytes of data", data.len());
    }
    if let Some(inner) = &map.inner {
        let _ = write!(line, ", of maps {} -> {} bytes", inner.key_size, inner.value_size);
    }
    for slot in &map.slots {
        let _ = write!(line, ", [{}] = {:?}", slot.index, slot.target);
    }
    line.push('\n');
    for variable in &map.variables {
        let _ = writeln!(line, "    {} at {}, {} bytes", variable.name, variable.offset, variable.size);
    }
    line
}

fn program_lines(object: &Object, program: &ProgramSpec) -> String {
    let mut text = format!("program {} [{}] {:?}", program.name, program.section, program.prog_type);
    if let Some(attach_type) = program.expected_attach_type {
        let _ = write!(text, " at {attach_type:?}");
    }
    let _ = writeln!(text, "{}", if program.autoload { "" } else { ", not loaded" });
    for func in &program.funcs {
        let typed = if func.type_id.is_some() { "" } else { ", without a type" };
        let _ = writeln!(text, "    {:3} {}{typed}", func.insn, func.name);
    }
    for reloc in &program.relocs {
        let what = match reloc.kind {
            RelocKind::Map(map) => object.maps[map].name.clone(),
            RelocKind::MapValue { map, offset } => format!("{}+{offset}", object.maps[map].name),
            RelocKind::Extern(index) => object.externs[index].name.clone(),
            other => format!("{other:?}"),
        };
        let _ = writeln!(text, "    {:3} <- {what}", reloc.insn);
    }
    text
}

/// Where calls and addresses of functions go, by name.
fn calls(program: &ProgramSpec) -> String {
    let mut text = String::new();
    for (at, insn) in program.insns.iter().enumerate() {
        let how = match (insn.opcode, insn.src().number()) {
            (0x85, 1) => "calls",
            (0x18, 4) => "takes the address of",
            _ => continue,
        };
        let to = (at as i64 + 1 + i64::from(insn.imm)) as usize;
        let name = program.funcs.iter().find(|func| func.insn == to).map_or("?", |func| &func.name);
        let from = program.funcs.iter().rev().find(|func| func.insn <= at).map_or("?", |func| &func.name);
        let _ = writeln!(text, "{from} {how} {name} at {at}");
    }
    text
}

fn parse(name: &str, bytes: &[u8]) -> Object {
    Object::parse(name, bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn check(name: &str, bytes: &[u8], expected: Expect) {
    let object = parse(name, bytes);
    let mut text = format!("licence {:?}\n", object.license);
    for map in &object.maps {
        text += &map_line(map);
    }
    for program in &object.programs {
        text += &program_lines(&object, program);
    }
    expected.assert_eq(&text);
}

#[test]
fn functions_are_linked_and_data_sections_are_maps() {
    check(
        "linking",
        LINKING,
        expect![[r#"
            licence "GPL"
            map .rodata (linking.rodata): Rodata array, 4 -> 10 bytes, 1 entries, RDONLY_PROG|MMAPABLE, 10 bytes of data
                text at 0, 6 bytes
                constant at 6, 4 bytes
            map .data.mine (.data.mine): Data array, 4 -> 4 bytes, 1 entries, MMAPABLE, 4 bytes of data
                mine at 0, 4 bytes
            map .data.local (.data.local): Data array, 4 -> 4 bytes, 1 entries, 4 bytes of data
                local at 0, 4 bytes
            map .data.hidden (.data.hidden): Data array, 4 -> 4 bytes, 1 entries, 4 bytes of data
                hidden at 0, 4 bytes
            map .rodata.seven (.rodata.seven): Rodata array, 4 -> 4 bytes, 1 entries, RDONLY_PROG|MMAPABLE, 4 bytes of data
                seven at 0, 4 bytes
            map .bss.zero (.bss.zero): Bss array, 4 -> 4 bytes, 1 entries, MMAPABLE
                zero at 0, 4 bytes
            map .bss.grows (.bss.grows): Bss array, 4 -> 8 bytes, 1 entries, MMAPABLE
                grows at 0, 8 bytes
            map .rodata.str1.1 (.rodata.str1.1): Rodata array, 4 -> 9 bytes, 1 entries, RDONLY_PROG, 9 bytes of data
            program everything [tc] SchedCls, not loaded
                  0 everything
                 27 step
                 34 twice
                 37 global_step
                 39 other
                 43 unseen
                 47 replaceable
                 50 caught
                 52 rethrow
            program two [tc] SchedCls
                  0 two
                  7 replaceable
                 10 unseen
            program variables [tc] SchedCls
                  0 variables
                  0 <- .data.mine+0
                  5 <- .data.local+0
                 10 <- .data.hidden+0
                 15 <- .bss.zero+0
                 20 <- .bss.grows+0
                 25 <- .rodata.str1.1+0
                 30 <- .rodata.seven+0
                 34 <- .rodata+6
                 40 <- .rodata+0
            program nowhere [somewhere/else] Other(0)
                  0 nowhere
        "#]],
    );
}

#[test]
fn calls_and_addresses_go_where_the_functions_are() {
    let object = parse("linking", LINKING);
    expect![[r#"
        everything takes the address of step at 5
        everything takes the address of global_step at 10
        everything calls other at 16
        everything calls unseen at 19
        everything calls twice at 23
        step calls twice at 28
        other calls twice at 40
        unseen calls replaceable at 44
        caught calls rethrow at 50
        rethrow calls twice at 52
    "#]]
    .assert_eq(&calls(object.program("everything").unwrap()));
}

#[test]
fn objects_of_a_static_linker() {
    check(
        "linked",
        LINKED,
        expect![[r#"
        licence "GPL"
        map both (both): Btf hash, 4 -> 8 bytes, 10 entries
        map first (first): Btf hash, 4 -> 8 bytes, 11 entries
        map .data (linked.data): Data array, 4 -> 16 bytes, 1 entries, MMAPABLE, 16 bytes of data
            of_a at 0, 4 bytes
            local_of_a at 4, 4 bytes
            of_b at 8, 4 bytes
            local_of_b at 12, 4 bytes
        program program_a [tc] SchedCls
              0 program_a
             38 weak
             41 global
             49 same_name
             52 same_name
              4 <- both
              8 <- first
             12 <- .data+0
             17 <- .data+4
             22 <- .data+8
        program program_b [tc] SchedCls
              0 program_b
             29 weak
             32 global
             40 same_name
              4 <- both
              7 <- .data+8
             12 <- .data+12
        program program_k [kprobe/do_something] Kprobe
              0 program_k
              8 same_name
              0 <- .data+12
    "#]],
    );
}

#[test]
fn globals_of_an_arena_are_in_its_map() {
    check(
        "arena",
        ARENA,
        expect![[r#"
        licence "GPL"
        map arena (arena): Arena arena, 0 -> 0 bytes, 10 entries, MMAPABLE, 48 bytes of data
            counter at 0, 4 bytes
            numbers at 4, 40 bytes
            local at 44, 4 bytes
        program count [syscall] Syscall
              0 count
              0 <- arena+4
              5 <- arena+0
             11 <- arena+44
             17 <- arena
    "#]],
    );
}

#[test]
fn the_same_bytes_give_the_same_object() {
    for bytes in [LINKING, LINKED, ARENA] {
        assert_eq!(parse("name", bytes), parse("name", bytes));
        // However the bytes lie in memory.
        let mut moved = vec![0];
        moved.extend_from_slice(bytes);
        assert_eq!(parse("name", bytes), parse("name", &moved[1..]));
    }
}

#[test]
fn types_are_what_a_kernel_takes() {
    let object = parse("linking", LINKING);
    let btf = object.btf().unwrap();
    let mut text = String::new();
    for (_, ty) in btf.own_types().filter(|(_, ty)| ty.kind() == btf::Kind::Datasec) {
        let _ = writeln!(text, "{} {} bytes", ty.name(), ty.size().unwrap());
        for var in ty.section_vars() {
            let var_type = btf.type_by_id(var.type_id).unwrap();
            let _ = writeln!(
                text,
                "    {} at {}, {} bytes, {:?}",
                var_type.name(),
                var.offset,
                var.size,
                var_type.linkage().unwrap()
            );
        }
    }
    for (_, ty) in btf.own_types().filter(|(_, ty)| ty.kind() == btf::Kind::Func) {
        let _ = writeln!(text, "{} {:?}", ty.name(), ty.linkage().unwrap());
    }
    expect![[r#"
        .bss.grows 8 bytes
            grows at 0, 8 bytes, Global
        .bss.zero 4 bytes
            zero at 0, 4 bytes, Global
        .data.hidden 4 bytes
            hidden at 0, 4 bytes, Static
        .data.local 4 bytes
            local at 0, 4 bytes, Static
        .data.mine 4 bytes
            mine at 0, 4 bytes, Global
        .rodata 10 bytes
            text at 0, 6 bytes, Global
            constant at 6, 4 bytes, Static
        .rodata.seven 4 bytes
            seven at 0, 4 bytes, Global
        license 4 bytes
            license_text at 0, 4 bytes, Global
        rethrow Global
        twice Static
        caught Global
        other Global
        replaceable Global
        unseen Static
        global_step Global
        everything Global
        step Static
        two Global
        nowhere Global
        variables Global
    "#]]
    .assert_eq(&text);
}

#[test]
fn objects_are_changed_before_they_are_loaded() {
    let mut object = parse("linking", LINKING);
    object.set_variable("text", b"HELLO\0").unwrap();
    object.set_variable("zero", &7_u32.to_ne_bytes()).unwrap();
    object.program_mut("everything").unwrap().autoload = true;
    object.map_mut(".data.mine").unwrap().max_entries = 1;
    assert_eq!(object.get::<[u8; 6]>("text").unwrap(), *b"HELLO\0");
    assert_eq!(object.get::<u32>("zero").unwrap(), 7);

    object.resize(".bss.zero", 64).unwrap();
    let map = object.map(".bss.zero").unwrap();
    assert_eq!((map.value_size, map.data.as_ref().unwrap().len()), (64, 64));
    assert_eq!(object.variable("zero").unwrap().size, 64);
    assert_eq!(map.value_type, None, "it is no array");
    object.resize(".bss.zero", 4).unwrap();
    assert_eq!(object.variable("zero").unwrap().size, 4);

    object.resize(".bss.grows", 80).unwrap();
    let btf = object.btf().unwrap();
    let datasec = btf.type_by_id(object.map(".bss.grows").unwrap().value_type.unwrap()).unwrap();
    assert_eq!(datasec.size(), Some(80));
    let variable = object.variable("grows").unwrap();
    assert_eq!(variable.size, 80);
    assert_eq!(btf.type_by_id(variable.type_id.unwrap()).unwrap().array().unwrap().len, 10);
    object.resize(".bss.grows", 79).unwrap();
    assert_eq!(object.map(".bss.grows").unwrap().value_type, None, "elements have eight bytes");

    let error = |result: loader::Result<()>| result.unwrap_err().to_string();
    expect![
        "`tex`: no such global variable; there are text, zero, mine, seven, local, hidden, grows, constant"
    ]
    .assert_eq(&error(object.set_variable("tex", b"")));
    expect!["`text`: the variable has 6 bytes, the value 5: give exactly as many"]
        .assert_eq(&error(object.set_variable("text", b"HELLO")));
    expect!["`every`: no such program; there are everything, two, nowhere, variables"]
        .assert_eq(&error(object.program_mut("every").map(drop)));
    expect!["`.data.min`: no such map; there are .data.mine, .data.hidden, .data.local, .rodata, .rodata.seven, .bss.zero, .rodata.str1.1, .bss.grows"].assert_eq(&error(object.map_mut(".data.min").map(drop)));
    expect!["`.bss.zero`: 0 bytes would cut off `zero`, which begins at byte 0"]
        .assert_eq(&error(object.resize(".bss.zero", 0)));
    expect!["`text`: no such map; there are .rodata, .bss.zero, .data.mine, .data.local, .bss.grows, .data.hidden, .rodata.seven, .rodata.str1.1"].assert_eq(&error(object.resize("text", 3)));
}

#[test]
fn sections_of_any_file_are_found() {
    assert_eq!(loader::object::section(LINKING, "license"), Some(&b"GPL\0"[..]));
    assert_eq!(loader::object::section(LINKING, "licence"), None);
    assert_eq!(loader::object::section(b"no file", "license"), None);
    let own = std::fs::read("/proc/self/exe").unwrap();
    assert!(loader::object::section(&own, ".text").is_some_and(|text| !text.is_empty()));
}
