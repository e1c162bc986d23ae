use super::log::{parse, value};
use super::{Broken, against_log, against_simulator, covered_against_log};
use crate::interp::Input;
use crate::kernel::{Kernel, Version};
use crate::program::Program;
use crate::verifier::Value;
use asm::{Builder, Helper, R0, R1, R6, R7};
use bpf_sys::prog::ProgType;
use expect_test::{Expect, expect};
use std::fmt::Write;

/// A value as the parser sees it.
fn seen(text: &str) -> String {
    let Some(printed) = value(text) else { return format!("{text}: not understood\n") };
    let what = match printed.value {
        Value::Nothing => "nothing".to_owned(),
        Value::Number(n) => {
            format!("{:?} {:x?} {:?} {:x?} {}", n.signed, n.unsigned, n.signed32, n.unsigned32, n.bits)
        }
        Value::Pointer { kind, off, var_off, maybe_null, size } => {
            format!("{kind}{off:+} null {maybe_null} size {size:?} var {:?} {}", var_off.signed, var_off.bits)
        }
    };
    let group = printed.group.map_or(String::new(), |group| format!(" id {} {:+}", group.id, group.off));
    format!("{text}\n    {what}{group}{}\n", if printed.is_linked { " linked" } else { "" })
}

#[test]
fn values_of_a_log() {
    let texts = [
        "0",
        "P-5",
        "0xffffffff80000000",
        "scalar()",
        "Pscalar(id=3,smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))",
        "scalar(smin=0xffffffff80000000,smax=0x7fffffff)",
        "scalar(id=7+4,umin=4)",
        "fp0",
        "fp-16",
        "fp[1]-8",
        "fp(off=-64,smin=umin=smin32=umin32=0,smax=umax=smax32=umax32=56,var_off=(0x0; 0x38))",
        "ctx()",
        "ctx(off=8)",
        "map_value(map=numbers,ks=4,vs=64,off=4,smax=umax=60,var_off=(0x0; 0x3c))",
        "map_value_or_null(id=2,map=names,ks=8,vs=48)",
        "pkt(id=4,off=14,r=34,imm=2)",
        "trusted_ptr_task_struct(id=1)",
        "=",
        "fp(off=1",
    ];
    let all = texts.into_iter().fold(String::new(), |mut all, text| {
        let _ = write!(all, "{}", seen(text));
        all
    });
    expect![[r#"
        0
            (0, 0) (0, 0) (0, 0) (0, 0) 0
        P-5
            (-5, -5) (fffffffffffffffb, fffffffffffffffb) (-5, -5) (fffffffb, fffffffb) 0xfffffffffffffffb
        0xffffffff80000000
            (-2147483648, -2147483648) (ffffffff80000000, ffffffff80000000) (-2147483648, -2147483648) (80000000, 80000000) 0xffffffff80000000
        scalar()
            (-9223372036854775808, 9223372036854775807) (0, ffffffffffffffff) (-2147483648, 2147483647) (0, ffffffff) (0x0; 0xffffffffffffffff)
        Pscalar(id=3,smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))
            (0, 255) (0, ff) (0, 255) (0, ff) (0x0; 0xff) id 3 +0
        scalar(smin=0xffffffff80000000,smax=0x7fffffff)
            (-2147483648, 2147483647) (0, ffffffffffffffff) (-2147483648, 2147483647) (0, ffffffff) (0x0; 0xffffffffffffffff)
        scalar(id=7+4,umin=4)
            (-9223372036854775808, 9223372036854775807) (4, ffffffffffffffff) (-2147483648, 2147483647) (0, ffffffff) (0x0; 0xffffffffffffffff) id 7 +0 linked
        fp0
            fp+0 null false size None var (0, 0) 0
        fp-16
            fp-16 null false size None var (0, 0) 0
        fp[1]-8
            fp-8 null false size None var (0, 0) 0
        fp(off=-64,smin=umin=smin32=umin32=0,smax=umax=smax32=umax32=56,var_off=(0x0; 0x38))
            fp-64 null false size None var (0, 56) (0x0; 0x38)
        ctx()
            ctx+0 null false size None var (0, 0) 0
        ctx(off=8)
            ctx+8 null false size None var (0, 0) 0
        map_value(map=numbers,ks=4,vs=64,off=4,smax=umax=60,var_off=(0x0; 0x3c))
            map_value+4 null false size Some(64) var (-9223372036854775808, 60) (0x0; 0x3c)
        map_value_or_null(id=2,map=names,ks=8,vs=48)
            map_value+0 null true size Some(48) var (0, 0) 0 id 2 +0
        pkt(id=4,off=14,r=34,imm=2)
            pkt+14 null false size Some(34) var (2, 2) 2 id 4 +14
        trusted_ptr_task_struct(id=1)
            ?+0 null false size None var (0, 0) 0 id 1 +0
        =: not understood
        fp(off=1: not understood
    "#]].assert_eq(&all);
}

const STATISTICS: &str =
    "processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n";

#[test]
fn paths_of_a_log() {
    let log = format!(
        "func#0 @0\n0: R1=ctx() R10=fp0\n0: (61) r6 = *(u32 *)(r1 +0)    ; R1=ctx() R6_w=scalar(umax=0xffffffff)\n\
         ; if (x) @ x.c:3\n1: (15) if r6 == 0x1 goto pc+2    ; R6=scalar()\n2: (7b) *(u64 *)(r10 -8) = r6 ; R10=fp0 fp-8_w=scalar()\n\
         mark_precise: frame0: last_idx 2 first_idx 0 subseq_idx -1\n3: (85) call pc+2\ncaller:\n R6=scalar() R10=fp0\ncallee:\n \
         frame1: R1=ctx() R10=fp0\n6: frame1: R1=ctx() R10=fp0\n6: (b7) r0 = 0 ; frame1: R0_w=0\n7: (95) exit\n\
         returning from callee:\n frame1: R0_w=0 R10=fp0\nto caller at 4:\n R0_w=0 R10=fp0 fp-8=0000mmmm\n\n\
         from 7 to 4: R0_w=0 R10=fp0 fp-8=0000mmmm\n4: safe\n\nfrom 1 to 4: R6=1 R10=fp0\n4: (b7) r0 = 1 ; R0_w=1\n5: (95) exit\n{STATISTICS}"
    );
    let trail = parse(&log).expect("a complete log");
    let text = trail.entries.iter().enumerate().fold(String::new(), |mut text, (at, entry)| {
        let known = entry.regs.iter().enumerate().filter(|(_, value)| **value != Value::Nothing);
        let known: Vec<usize> = known.map(|(number, _)| number).collect();
        let stack = entry.whole.as_ref().map(|whole| whole.stack.len());
        let _ = writeln!(
            text,
            "{at}: insn {} frame {} {:?} covered {} regs {known:?} stack {stack:?}",
            entry.insn, entry.frame, entry.from, entry.covered
        );
        text
    });
    expect![[r#"
        0: insn 0 frame 0 Start covered false regs [1, 10] stack Some(0)
        1: insn 1 frame 0 Entry(0) covered false regs [1, 6, 10] stack Some(0)
        2: insn 2 frame 0 Entry(1) covered false regs [1, 6, 10] stack Some(0)
        3: insn 3 frame 0 Entry(2) covered false regs [1, 6, 10] stack Some(1)
        4: insn 6 frame 1 Entry(3) covered false regs [1, 10] stack None
        5: insn 7 frame 1 Entry(4) covered false regs [0, 1, 10] stack None
        6: insn 4 frame 0 Insn(7) covered true regs [] stack None
        7: insn 4 frame 0 Insn(1) covered false regs [6, 10] stack Some(0)
        8: insn 5 frame 0 Entry(7) covered false regs [0, 6, 10] stack Some(0)
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_log_that_is_cut_off_is_refused() {
    let refused = |log: &str, expected: Expect| {
        expected.assert_eq(&parse(log).err().map_or("taken".to_owned(), |error| error.to_string()));
    };
    refused(
        "0: R1=ctx() R10=fp0\n0: (95) exit\n",
        expect![
            "line 2 of the log: the statistics at the end are missing; load the program with log level 2 and a buffer that holds all of it"
        ],
    );
    refused(
        STATISTICS,
        expect![
            "line 1 of the log: it says nothing of the first instruction; load the program with log level 2 and a buffer that holds all of it"
        ],
    );
}

/// r0 is a random number below 16, plus 1 where it is above 7.
fn program() -> Program {
    let mut b = Builder::new();
    let end = b.label();
    b.mov(R6, R1)
        .call(Helper::GET_PRANDOM_U32)
        .and_imm(R0, 15)
        .mov(R7, R0)
        .jle_imm(R7, 7, end)
        .add_imm(R0, 1);
    b.bind(end).exit();
    Program::new("p", ProgType::SocketFilter, b.finish().expect("it is right").insns)
}

#[test]
fn the_simulator_keeps_its_promises() {
    let inputs = vec![Input::default(); 16];
    let found = against_simulator(&program(), &Kernel::new(Version(6, 12), None), &inputs);
    assert_eq!(found.expect("it can be checked"), None);
}

#[test]
fn wrong_promises_are_found() {
    let right = "0: R1=ctx() R10=fp0\n0: (bf) r6 = r1 ; R1=ctx() R6_w=ctx()\n\
        1: (85) call bpf_get_prandom_u32#7 ; R0_w=scalar()\n\
        2: (57) r0 &= 15 ; R0_w=scalar(smin=smin32=0,smax=umax=smax32=umax32=15,var_off=(0x0; 0xf))\n\
        3: (bf) r7 = r0 ; R0_w=scalar(id=1,smin=smin32=0,smax=umax=smax32=umax32=15,var_off=(0x0; 0xf)) R7_w=scalar(id=1,umax=15)\n\
        4: (b5) if r7 <= 0x7 goto pc+1 ; R7=scalar(id=1,umin=8,umax=15)\n\
        5: (07) r0 += 1 ; R0=scalar(umin=9,umax=16)\n6: (95) exit\n\n\
        from 4 to 6: R0=scalar(umax=7) R6=ctx() R7=scalar(umax=7) R10=fp0\n6: (95) exit\n";
    let inputs = vec![Input::default(); 64];
    let look =
        |log: &str| against_log(&program(), &format!("{log}{STATISTICS}"), &inputs).expect("it can be read");
    let text = |log: &str| look(log).map_or("nothing".to_owned(), |found| found.to_string());

    assert_eq!(look(right), None);
    let (_, coverage) =
        covered_against_log(&program(), &format!("{right}{STATISTICS}"), &inputs).expect("likewise");
    assert_eq!(coverage.checked, coverage.executed);
    // A bound, a bit, a pointer, a way.
    expect!["before instruction 6: r0 is 0xe, which was to be 0x9..=0x8"]
        .assert_eq(&text(&right.replace("umax=16", "umax=8")));
    expect!["before instruction 3: r0 is 0xd, which was to be 0x0"]
        .assert_eq(&text(&right.replace("(0x0; 0xf)", "(0x0; 0x0)")));
    expect!["before instruction 1: r6 is 0xff00000d00000000, which was to be ctx+4 and 0x0"]
        .assert_eq(&text(&right.replace("R6_w=ctx()", "R6_w=ctx(off=4)")));
    let without = right.split("\n\nfrom 4").next().expect("there is a first half").to_owned() + "\n";
    let found = look(&without).expect("there is no such way");
    assert_eq!((found.insn, found.what), (6, Broken::Way { from: 4 }));
    // Nothing is asked of a path that was cut off, until a state is found that holds all.
    let cut = right.replace(
        "from 4 to 6: R0=scalar(umax=7) R6=ctx() R7=scalar(umax=7) R10=fp0\n6: (95) exit",
        "from 4 to 6: safe",
    );
    assert_eq!(look(&cut), None);
}

/// `r6 s>>= 31; r6 &= 1`: the verifier of 6.18 walks the second instruction once for each of 0 and -1.
#[test]
fn an_instruction_that_is_walked_twice() {
    let insn = asm::Insn::new;
    let insns = vec![
        insn(0x85, 0, 0, 0, 7),
        insn(0xbc, 6, 0, 0, 0),
        insn(0xbf, 6, 6, 32, 0),
        insn(0xc7, 6, 0, 0, 31),
        insn(0x57, 6, 0, 0, 1),
        insn(0xb7, 0, 0, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ];
    let program = Program::new("twice", ProgType::SocketFilter, insns);
    let inputs = vec![Input::default(); 32];
    let kernel = Kernel::new(Version(6, 18), None);
    let options = crate::verifier::Options { log_level: 2, ..crate::verifier::Options::default() };
    let log = crate::verifier::verify(&program, &kernel, &options).log;
    assert!(log.contains("from 4 to 4: "), "{log}");
    assert_eq!(against_simulator(&program, &kernel, &inputs).expect("it is accepted"), None);
    assert_eq!(against_log(&program, &log, &inputs).expect("it is complete"), None);
}
