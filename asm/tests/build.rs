//! The builder: labels, long jumps, maps, source lines, and its refusals.

use asm::*;
use expect_test::{Expect, expect};

fn text(program: &Program) -> String {
    disassemble(&program.insns).map(|(at, text)| format!("{at}: {text}\n")).collect()
}

fn check(build: impl FnOnce(&mut Builder), expected: Expect) {
    let mut b = Builder::new();
    build(&mut b);
    expected.assert_eq(&match b.finish() {
        Ok(program) => text(&program),
        Err(error) => format!("error: {error}\n"),
    });
}

#[test]
fn labels_count_words_not_instructions() {
    check(
        |b| {
            let (start, end, function) = (b.label(), b.label(), b.label());
            b.bind(start)
                .jeq_imm(R1, 1, end)
                .ld_imm64(R2, u64::MAX)
                .ld_func(R3, function)
                .call_local(function)
                .jsgt32(R2, R3, start)
                .may_goto(end)
                .jmp_long(start)
                .jmp(end)
                .bind(end)
                .exit()
                .bind(function)
                .mov(R0, R1)
                .exit();
        },
        expect![[r#"
            0: if r1 == 0x1 goto pc+9
            1: r2 = 0xffffffffffffffff ll
            3: r3 = subprog[+7]
            5: call pc+5
            6: if w2 s> w3 goto pc-7
            7: may_goto pc+2
            8: gotol pc-9
            9: goto pc+0
            10: exit
            11: r0 = r1
            12: exit
        "#]],
    );
}

#[test]
fn mistakes() {
    check(
        |b| {
            let never = b.label();
            b.ld_imm64(R0, 1).jmp(never).exit();
        },
        expect![[r#"
            error: instruction 2 refers to label 0, which is never bound; call `bind` where it shall point
        "#]],
    );
    check(
        |b| {
            let twice = b.label();
            b.bind(twice).exit().bind(twice);
        },
        expect![[r#"
            error: label 0 is bound again at instruction 1; use a new label for each place
        "#]],
    );
    check(
        |b| {
            let mut other = Builder::new();
            other.label();
            let foreign = other.label();
            b.jmp(foreign).exit();
        },
        expect![[r#"
            error: instruction 0 uses label 1, which this builder did not make
        "#]],
    );
    check(
        |b| {
            b.atomic_add(Size::H, R1, 0, R2);
        },
        expect![[r#"
            error: an atomic operation does not exist for H operands; allowed: W, DW
        "#]],
    );
}

#[test]
fn level_is_kept() {
    let refuse = |isa, build: &dyn Fn(&mut Builder)| {
        let mut b = Builder::with_isa(isa);
        b.mov_imm(R0, 0);
        build(&mut b);
        b.exit();
        b.finish().map_or_else(|error| format!("{error}\n"), |program| text(&program))
    };
    let out = [
        refuse(Isa::V3, &|b| {
            b.load_sx(Size::B, R0, R1, 0);
        }),
        refuse(Isa::V3, &|b| {
            b.sdiv_imm(R0, 2);
        }),
        refuse(Isa::V2, &|b| {
            let next = b.label();
            b.jeq32_imm(R0, 0, next).bind(next);
        }),
        refuse(Isa::V2, &|b| {
            b.atomic(AtomicOp::FetchAdd, Size::DW, R1, 0, R2);
        }),
        refuse(Isa::V1, &|b| {
            let next = b.label();
            b.jlt_imm(R0, 0, next).bind(next);
        }),
        refuse(Isa::V1, &|b| {
            let next = b.label();
            b.jgt_imm(R0, 0, next).bind(next);
        }),
    ]
    .concat();
    expect![[r#"
        instruction 1 needs ISA V4 but the builder is limited to V3; load, then shift left and arithmetically right instead
        instruction 1 needs ISA V4 but the builder is limited to V3; divide absolute values instead
        instruction 1 needs ISA V3 but the builder is limited to V2; zero-extend and compare 64 bits instead
        instruction 1 needs ISA V3 but the builder is limited to V2; only the plain atomic add is older
        instruction 1 needs ISA V2 but the builder is limited to V1; exchange the operands or invert the condition instead
        0: r0 = 0
        1: if r0 > 0x0 goto pc+0
        2: exit
    "#]].assert_eq(&out);
}

/// `jump` to an end that is `filler` words away, then the same again backwards.
fn far(isa: Isa, filler: usize, jump: impl Fn(&mut Builder, Label)) -> Result<Program, BuildError> {
    let mut b = Builder::with_isa(isa);
    let (start, end) = (b.label(), b.label());
    b.bind(start);
    jump(&mut b, end);
    for _ in 0..filler {
        b.mov_imm(R0, 0);
    }
    b.bind(end);
    jump(&mut b, start);
    b.exit();
    b.finish()
}

fn without_filler(program: &Program) -> String {
    let lines = disassemble(&program.insns).filter(|(_, text)| text != "r0 = 0");
    lines.map(|(at, text)| format!("{at}: {text}\n")).collect()
}

#[test]
fn jumps_grow_where_they_must() {
    type Jump<'a> = &'a dyn Fn(&mut Builder, Label);
    let kinds: [Jump<'_>; 4] = [
        &|b, to| {
            b.jmp(to);
        },
        &|b, to| {
            b.jeq_imm(R1, 5, to);
        },
        &|b, to| {
            b.jset(R1, R2, to);
        },
        &|b, to| {
            b.may_goto(to);
        },
    ];
    let mut out = String::new();
    for (kind, jump) in kinds.iter().enumerate() {
        // 32767 forward is the last short one; back it is one word more than the filler and the jump itself.
        for filler in [32_766, 32_767, 32_768] {
            let program = far(Isa::V4, filler, jump).expect("ISA v4 reaches everything");
            out.push_str(&format!("kind {kind}, filler {filler}\n{}", without_filler(&program)));
        }
    }
    expect![[r#"
        kind 0, filler 32766
        0: goto pc+32766
        32767: goto pc-32768
        32768: exit
        kind 0, filler 32767
        0: goto pc+32767
        32768: gotol pc-32769
        32769: exit
        kind 0, filler 32768
        0: gotol pc+32768
        32769: gotol pc-32770
        32770: exit
        kind 1, filler 32766
        0: if r1 == 0x5 goto pc+32766
        32767: if r1 == 0x5 goto pc-32768
        32768: exit
        kind 1, filler 32767
        0: if r1 == 0x5 goto pc+32767
        32768: if r1 != 0x5 goto pc+1
        32769: gotol pc-32770
        32770: exit
        kind 1, filler 32768
        0: if r1 != 0x5 goto pc+1
        1: gotol pc+32768
        32770: if r1 != 0x5 goto pc+1
        32771: gotol pc-32772
        32772: exit
        kind 2, filler 32766
        0: if r1 & r2 goto pc+32766
        32767: if r1 & r2 goto pc-32768
        32768: exit
        kind 2, filler 32767
        0: if r1 & r2 goto pc+32767
        32768: if r1 & r2 goto pc+1
        32769: goto pc+1
        32770: gotol pc-32771
        32771: exit
        kind 2, filler 32768
        0: if r1 & r2 goto pc+1
        1: goto pc+1
        2: gotol pc+32768
        32771: if r1 & r2 goto pc+1
        32772: goto pc+1
        32773: gotol pc-32774
        32774: exit
        kind 3, filler 32766
        0: may_goto pc+32766
        32767: may_goto pc-32768
        32768: exit
        kind 3, filler 32767
        0: may_goto pc+32767
        32768: may_goto pc+1
        32769: goto pc+1
        32770: gotol pc-32771
        32771: exit
        kind 3, filler 32768
        0: may_goto pc+1
        1: goto pc+1
        2: gotol pc+32768
        32771: may_goto pc+1
        32772: goto pc+1
        32773: gotol pc-32774
        32774: exit
    "#]]
    .assert_eq(&out);

    let error = far(Isa::V3, 40_000, kinds[0]).expect_err("no long jump below v4");
    expect!["the jump at instruction 0 spans 40000 instructions, more than 16 bits hold, and ISA V3 has no long jump; shorten the program or build with Isa::V4"].assert_eq(&error.to_string());
    let error = far(Isa::V3, 40_000, kinds[1]).expect_err("no long jump below v4");
    expect!["the jump at instruction 0 spans 40000 instructions, more than 16 bits hold, and ISA V3 has no long jump; shorten the program or build with Isa::V4"].assert_eq(&error.to_string());
}

#[test]
fn maps_are_filled_in() {
    let mut b = Builder::new();
    b.ld_imm64(R0, 7).ld_map(R1, MapRef(1)).ld_map_value(R2, MapRef(0), 12).exit();
    let program = b.finish().expect("a valid program");
    expect![[r#"
        [
            MapUse {
                insn: 2,
                map: MapRef(
                    1,
                ),
            },
            MapUse {
                insn: 4,
                map: MapRef(
                    0,
                ),
            },
        ]
    "#]]
    .assert_debug_eq(&program.map_refs);
    let words = program.resolve_maps(&[30, 31]).expect("both maps are given");
    let insns: Vec<Insn> = words.into_iter().map(Insn::from_u64).collect();
    let lines: String = disassemble(&insns).map(|(at, text)| format!("{at}: {text}\n")).collect();
    expect![[r#"
        0: r0 = 0x7 ll
        2: r1 = map[id:31]
        4: r2 = map[id:30][0]+12
        6: exit
    "#]]
    .assert_eq(&lines);
    let refused = [program.resolve_maps(&[30]), program.resolve_maps(&[30, -1])];
    let errors: String =
        refused.into_iter().map(|r| format!("{}\n", r.expect_err("must be refused"))).collect();
    expect![[r#"
        instruction 2 refers to map 1, but the list given ends before it (length 1); add its file descriptor
        map 1, used by instruction 2, has the invalid file descriptor -1; create the map first
    "#]]
    .assert_eq(&errors);
}

#[test]
fn source_lines_follow_words() {
    let mut b = Builder::new();
    let line = |line| SourceLine { file: "a.tw".into(), line, column: 1, text: format!("text {line}") };
    b.mov_imm(R0, 0).source_line(line(1)).ld_imm64(R1, 1).source_line(line(2)).exit();
    let program = b.finish().expect("a valid program");
    let lines: Vec<Option<u32>> =
        (0..program.insns.len()).map(|insn| program.source_of(insn).map(|source| source.line)).collect();
    assert_eq!(lines, [None, Some(1), Some(1), Some(2)]);
}

#[test]
fn names_are_used() {
    struct Some;
    impl Names for Some {
        fn kfunc(&self, btf_id: i32, _: i16) -> Option<std::borrow::Cow<'_, str>> {
            Option::Some(format!("kfunc_{btf_id}").into())
        }
        fn subprogram(&self, insn: usize) -> Option<std::borrow::Cow<'_, str>> {
            Option::Some(format!("sub_at_{insn}").into())
        }
        fn imm64(&self, value: Imm64) -> Option<std::borrow::Cow<'_, str>> {
            matches!(value, Imm64::MapFd(3)).then(|| "&counts".into())
        }
    }
    let mut b = Builder::new();
    let function = b.label();
    b.ld_map(R1, MapRef(3))
        .ld_imm64(R2, 16)
        .call_kfunc(99, 0)
        .call_local(function)
        .exit()
        .bind(function)
        .exit();
    let program = b.finish().expect("a valid program");
    let options = DisasmOptions { names: &Some, opcodes: true, ..DisasmOptions::default() };
    let lines: String =
        disassemble_with(&program.insns, options).map(|(at, text)| format!("{at}: {text}\n")).collect();
    expect![[r#"
        0: (18) r1 = &counts
        2: (18) r2 = 0x10
        4: (85) call kfunc_99#99
        5: (85) call pc+1#sub_at_7
        6: (95) exit
        7: (95) exit
    "#]]
    .assert_eq(&lines);
}

#[test]
fn helpers_by_name() {
    assert_eq!(Helper::by_name("map_lookup_elem"), Some(Helper::MAP_LOOKUP_ELEM));
    assert_eq!(Helper::by_name("bpf_get_stackid"), Some(Helper::GET_STACKID));
    assert_eq!(Helper::by_name("BPF_FUNC_cgrp_storage_delete"), Some(Helper(211)));
    assert_eq!(Helper::by_name("no_such"), None);
    assert_eq!(Helper(212).name(), None);
    assert_eq!(Helper::KTIME_GET_NS.short_name(), Some("ktime_get_ns"));
    assert!(Helper::all().all(|helper| Helper::by_name(helper.name().expect("in table")) == Some(helper)));
}
