//! `tracewell prog step`: what a walk through a program shows.

mod common;

use common::*;
use expect_test::{Expect, expect};
use std::io::Write;
use std::process::{Command, Stdio};

fn steps(commands: &str, args: &[&str], expected: Expect) {
    let run = tracewell(&[&["prog", "step", "--commands", commands], args].concat());
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    expected.assert_eq(&run.out);
}

const FIND: &str = ".map box type=array key=4 value=16 entries=16
.func main
    r6 = *(u32 *)(r1 +0)
    r6 &= 15
    *(u32 *)(r10 -4) = 9
    *(u32 *)(r10 -4) = r6
    r1 = map[box]
    r2 = r10
    r2 += -4
    call find
    if r0 == 0 goto out
    r0 += r6
    *(u8 *)(r0 +0) = 7
out: r0 = 0
    exit
.func find
    call bpf_map_lookup_elem
    exit";

#[test]
fn registers_and_what_the_verifier_knows() {
    steps(
        "s; s; r",
        &["-e", "r0 = *(u32 *)(r1 +0); r0 &= 15; r0 += 1; exit"],
        expect![[r#"
        the verifier accepts it
        >    0: r0 = *(u32 *)(r1 +0)
               r0  = 0x0                                            not written on this path
               r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
               r2  = 0x0                                            not written on this path
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
        > s
        >    1: r0 &= 15
             * r0  = 0x32                                           a number, from 0 to 0xffffffff
        > s
        >    2: r0 += 1
             * r0  = 0x2                                            a number, from 0 to 15
        > r
        >    2: r0 += 1
             * r0  = 0x2                                            a number, from 0 to 15
               r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
               r2  = 0x0                                            not written on this path
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
    "#]],
    );
}

#[test]
fn forward_and_back() {
    steps(
        "s 3; back; back 2; s; start; e; back; back 100; s",
        &["-e", "r0 = 1; r0 <<= 4; r0 += 2; exit"],
        expect![[r#"
            the verifier accepts it
            >    0: r0 = 1
                   r0  = 0x0                                            not written on this path
                   r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
                   r2  = 0x0                                            not written on this path
                   r3  = 0x0                                            not written on this path
                   r4  = 0x0                                            not written on this path
                   r5  = 0x0                                            not written on this path
                   r6  = 0x0                                            not written on this path
                   r7  = 0x0                                            not written on this path
                   r8  = 0x0                                            not written on this path
                   r9  = 0x0                                            not written on this path
                   r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
            > s 3
            >    3: exit
                 * r0  = 0x12                                           the number 18
            > back
            >    2: r0 += 2
                 * r0  = 0x10                                           the number 16
            > back 2
            >    0: r0 = 1
                 * r0  = 0x0                                            not written on this path
            > s
            >    1: r0 <<= 4
                 * r0  = 0x1                                            the number 1
            > start
            >    0: r0 = 1
                 * r0  = 0x0                                            not written on this path
            > e
            it ended after 4 instructions: r0 = 0x12; `back` goes back
            > back
            >    3: exit
                 * r0  = 0x12                                           the number 18
            > back 100
            >    0: r0 = 1
                 * r0  = 0x0                                            not written on this path
            > s
            >    1: r0 <<= 4
                 * r0  = 0x1                                            the number 1
        "#]],
    );
}

#[test]
fn breakpoints_functions_memory_and_maps() {
    steps(
        "b find; b 10; b; c; list 2; n; f; stack; c; s; maps; x r0-2 8; d 10; b; start; e",
        &["-e", FIND],
        expect![[r#"
            the verifier accepts it
            >    0: r6 = *(u32 *)(r1 +0)
                   r0  = 0x0                                            not written on this path
                   r1  = 0xff00000e00000000 (context+0)                 a pointer to the context
                   r2  = 0x0                                            not written on this path
                   r3  = 0x0                                            not written on this path
                   r4  = 0x0                                            not written on this path
                   r5  = 0x0                                            not written on this path
                   r6  = 0x0                                            not written on this path
                   r7  = 0x0                                            not written on this path
                   r8  = 0x0                                            not written on this path
                   r9  = 0x0                                            not written on this path
                   r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
            > b find
             b  14: call bpf_map_lookup_elem#1
            > b 10
             b  10: r0 += r6
            > b
             b  10: r0 += r6
             b  14: call bpf_map_lookup_elem#1
            > c
            >b  14: call bpf_map_lookup_elem#1, called at 8
                 * r1  = 0xff00000b00000000 (address of map "box"+0)    a map
                 * r2  = 0xff000001000001fc (stack of frame 0-4)        the frame pointer-4
                 * r6  = 0x2                                            not written on this path
                 * r10 = 0xff00000200000200 (stack of frame 1+0)        the frame pointer
            > list 2
                12: r0 = 0
                13: exit
            >b  14: call bpf_map_lookup_elem#1
                15: exit
            > n
            >   15: exit, called at 8
                 * r0  = 0xff00000f00000000 (value of map "box"+0)      a pointer to a map's value of 16 bytes, or NULL
            > f
            >    9: if r0 == 0x0 goto pc+2
                 * r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
            > stack
                   fp-8 = 0x0000000200000000
            > c
            >b  10: r0 += r6
            > s
            >   11: *(u8 *)(r0 +0) = 7
                 * r0  = 0xff00000f00000002 (value of map "box"+2)      a pointer to a map's value of 16 bytes, offset 0 plus from 0 to 15
            > maps
            map box (array)
            > x r0-2 8
                   0xff00000f00000000: 00 00 00 00 00 00 00 00                          ........
            > d 10
            > b
             b  14: call bpf_map_lookup_elem#1
            > start
            >    0: r6 = *(u32 *)(r1 +0)
                 * r0  = 0x0                                            not written on this path
                 * r1  = 0xff00000e00000000 (context+0)                 a pointer to the context
                 * r2  = 0x0                                            not written on this path
                 * r6  = 0x0                                            not written on this path
                 * fp-8 = 0x0
            > e
            it ended after 15 instructions: r0 = 0x0; `back` goes back
        "#]],
    );
}

#[test]
fn a_called_function_is_stepped_over_or_left() {
    let text = ".func main; r1 = 3; call twice; r0 += 1; exit; .func twice; r0 = r1; r0 += r0; exit"
        .replace("; ", "\n");
    steps(
        "s; n; back; s; s; f; n; n",
        &["-e", &text],
        expect![[r#"
        the verifier accepts it
        >    0: r1 = 3
               r0  = 0x0                                            not written on this path
               r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
               r2  = 0x0                                            not written on this path
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
        > s
        >    1: call pc+2
             * r1  = 0x3                                            the number 3
        > n
        >    2: r0 += 1
             * r0  = 0x6                                            the number 6
        > back
        >    6: exit, called at 1
             * r10 = 0xff00000200000200 (stack of frame 1+0)        the frame pointer
        > s
        >    2: r0 += 1
             * r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
        > s
        >    3: exit
             * r0  = 0x7                                            the number 7
        > f
        it ended after 7 instructions: r0 = 0x7; `back` goes back
        > n
        it ended after 7 instructions: r0 = 0x7; `back` goes back
        > n
        it ended after 7 instructions: r0 = 0x7; `back` goes back
    "#]],
    );
}

#[test]
fn the_stack_shows_what_changed() {
    steps(
        "s; s; s; stack",
        &["-e", "*(u64 *)(r10 -8) = 5; *(u32 *)(r10 -4) = 1; *(u64 *)(r10 -8) = r1; r0 = 0; exit"],
        expect![[r#"
            the verifier accepts it
            >    0: *(u64 *)(r10 -8) = 5
                   r0  = 0x0                                            not written on this path
                   r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
                   r2  = 0x0                                            not written on this path
                   r3  = 0x0                                            not written on this path
                   r4  = 0x0                                            not written on this path
                   r5  = 0x0                                            not written on this path
                   r6  = 0x0                                            not written on this path
                   r7  = 0x0                                            not written on this path
                   r8  = 0x0                                            not written on this path
                   r9  = 0x0                                            not written on this path
                   r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
            > s
            >    1: *(u32 *)(r10 -4) = 1
                 * fp-8 = 0x5
            > s
            >    2: *(u64 *)(r10 -8) = r1
                 * fp-8 = 0x100000005
            > s
            >    3: r0 = 0
                 * fp-8 = 0xff00000d00000000
            > stack
                   fp-8 = 0xff00000d00000000 (context+0)
        "#]],
    );
}

#[test]
fn a_rejected_program_runs_all_the_same() {
    steps(
        "s; c; back; r",
        &["-e", "r2 = 0; r0 = *(u64 *)(r2 +8); exit"],
        expect![[r#"
        the verifier rejects it at instruction 1: R2 invalid mem access 'scalar'
        >    0: r2 = 0
               r0  = 0x0                                            not written on this path
               r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
               r2  = 0x0                                            not written on this path
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
        > s
        >    1: r0 = *(u64 *)(r2 +8)
        > c
        it was stopped: instruction 1: it reads 8 bytes at 0x8, where there is no memory; `back` goes back
        > back
        >    1: r0 = *(u64 *)(r2 +8)
        > r
        >    1: r0 = *(u64 *)(r2 +8)
               r0  = 0x0                                            not written on this path
               r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
               r2  = 0x0                                            the number 0
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
    "#]],
    );
    steps(
        "c",
        &["--max-insns", "1000", "-e", "again: goto again; exit"],
        expect![[r#"
        the verifier rejects it at instruction 1: unreachable insn 1
        >    0: goto pc-1
               r0  = 0x0
               r1  = 0xff00000d00000000 (context+0)
               r2  = 0x0
               r3  = 0x0
               r4  = 0x0
               r5  = 0x0
               r6  = 0x0
               r7  = 0x0
               r8  = 0x0
               r9  = 0x0
               r10 = 0xff00000100000200 (stack of frame 0+0)
               the verifier did not come here with such values
        > c
        it was stopped: instruction 0: 1000 instructions were executed, which is the limit; raise max_insns; `back` goes back
    "#]],
    );
}

#[test]
fn memory_and_packets_are_given() {
    steps(
        "x r1 4; x r1 3; e",
        &["--mem", "01020304", "-e", "r0 = *(u8 *)(r1 +3); exit"],
        expect![[r#"
        the verifier accepts it
        >    0: r0 = *(u8 *)(r1 +3)
               r0  = 0x0                                            not written on this path
               r1  = 0xff00000b00000000 (memory+0)                  a pointer to the context
               r2  = 0x4                                            not written on this path
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
        > x r1 4
               0xff00000b00000000: 01 02 03 04                                      ....
        > x r1 3
               0xff00000b00000000: 01 02 03                                         ...
        > e
        it ended after 2 instructions: r0 = 0x4; `back` goes back
    "#]],
    );
}

/// Two paths lead to the third instruction; what is shown is known on the one that was taken.
#[test]
fn knowledge_is_of_the_path_taken() {
    let text = "r0 = *(u32 *)(r1 +8)\nr2 = 1\nif r0 == 0 goto next\nr2 = 2\nnext: r0 = r2\nexit";
    steps(
        "b 4; c",
        &["-e", text],
        expect![[r#"
        the verifier accepts it
        >    0: r0 = *(u32 *)(r1 +8)
               r0  = 0x0                                            not written on this path
               r1  = 0xff00000d00000000 (context+0)                 a pointer to the context
               r2  = 0x0                                            not written on this path
               r3  = 0x0                                            not written on this path
               r4  = 0x0                                            not written on this path
               r5  = 0x0                                            not written on this path
               r6  = 0x0                                            not written on this path
               r7  = 0x0                                            not written on this path
               r8  = 0x0                                            not written on this path
               r9  = 0x0                                            not written on this path
               r10 = 0xff00000100000200 (stack of frame 0+0)        the frame pointer
        > b 4
         b   4: r0 = r2
        > c
        >b   4: r0 = r2
             * r2  = 0x1                                            the number 1
    "#]],
    );
}

#[test]
fn help_lists_all_commands() {
    let run = tracewell(&["prog", "step", "--commands", "help; q; s", "-e", "r0 = 0; exit"]);
    assert_eq!(run.status, Some(0));
    for verb in [
        "step", "next", "finish", "continue", "end", "back", "start", "break", "delete", "stack", "maps",
        "quit",
    ] {
        assert!(run.out.contains(verb), "{verb}: {}", run.out);
    }
    assert!(!run.out.contains("> s\n"), "it went on after q: {}", run.out);
}

#[test]
fn commands_come_on_standard_input() {
    let mut child = Command::new(BIN)
        .args(["prog", "step", "-e", "r0 = 1; r0 <<= 4; exit"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(b"s; s\n\n  c  \n").expect("it reads its input");
    let run: Run = child.wait_with_output().expect("it ends").into();
    let (_, rest) = run.out.split_once("> s\n").expect("an echo");
    expect![[r#"
        >    1: r0 <<= 4
             * r0  = 0x1                                            the number 1
        > s
        >    2: exit
             * r0  = 0x10                                           the number 16
        > c
        it ended after 3 instructions: r0 = 0x10; `back` goes back
    "#]]
    .assert_eq(rest);
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""));
}

#[test]
fn wrong_commands_say_so() {
    let mut all = String::new();
    for commands in
        ["walk", "s x", "b 1000", "b nowhere", "d 1", "x", "x r11", "x r0", "x r1 0", "s 1 2", "x r1 4 5"]
    {
        let run = tracewell(&["prog", "step", "--commands", commands, "-e", "r0 = 0; exit"]);
        run.fails_with(&[]);
        all += &run.err;
    }
    expect![[r#"
        tracewell: error: no command `walk`; `help` lists them
        tracewell: error: `s x`: a number should follow
        tracewell: error: no instruction begins at 1000; `list` shows where they do
        tracewell: error: `nowhere` is neither an instruction's number nor a function of the program
        tracewell: error: instruction 1 has no breakpoint; `b` lists those that have
        tracewell: error: which memory? As in `x r10-8 8`
        tracewell: error: `r11` is no address; write it as r1, r10-8 or 0xff00000100000000
        tracewell: error: there are no 16 bytes at 0x0 that the program could read
        tracewell: error: `0` is no length from 1 to 4096
        tracewell: error: `s 1 2` has too many words; `help` lists the commands
        tracewell: error: `x r1 4 5` has too many words; `help` lists the commands
    "#]]
    .assert_eq(&all);
}
