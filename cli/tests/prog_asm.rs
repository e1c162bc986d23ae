//! `tracewell prog asm` and `tracewell prog disasm`, and the ways to name a program that other verbs share.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use bpf::*;
use common::*;
use expect_test::{Expect, expect};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs it on this standard input.
fn piped(args: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(BIN)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads its input");
    child.wait_with_output().expect("it ends").into()
}

fn prints(args: &[&str], expected: Expect) {
    let run = tracewell(args);
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    // What all lines are indented by is not compared.
    let least = run
        .out
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min();
    let lines = run.out.split('\n').map(|line| line.get(least.unwrap_or(0)..).unwrap_or_default());
    expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

fn refuses(args: &[&str], status: i32, expected: Expect) {
    let run = tracewell(args);
    assert_eq!((run.status, run.out.as_str()), (Some(status), ""), "{run:?}");
    expected.assert_eq(&run.err);
}

#[test]
fn texts_are_assembled() {
    prints(
        &["prog", "asm", "-e", "r0 = 42; r1 = 5 ll", "-e", "exit"],
        expect![[r#"
               0: b7 00 00 00 2a 00 00 00  r0 = 42
               1: 18 01 00 00 05 00 00 00  r1 = 0x5 ll
                  00 00 00 00 00 00 00 00
               3: 95 00 00 00 00 00 00 00  exit
        "#]],
    );
    prints(
        &["prog", "asm", "--hex", "-e", "r0 = 42; r1 = 5 ll; exit"],
        expect![[r#"
        b70000002a000000
        18010000050000000000000000000000
        9500000000000000
    "#]],
    );
    let text = ".map m type=hash key=4 value=8 entries=2\n.type kprobe\n.func f\nr1 = map[m]\nr0 = 0\nexit";
    prints(
        &["-p", "prog", "asm", "-e", text],
        expect![[r#"
            {
                "type": "kprobe",
                "maps": [
                    {
                        "name": "m",
                        "type": "hash",
                        "key_size": 4,
                        "value_size": 8,
                        "max_entries": 2,
                        "flags": 0
                    }
                ],
                "functions": [
                    {
                        "name": "f",
                        "insn": 0
                    }
                ],
                "insns": [
                    {
                        "insn": 0,
                        "bytes": "18110000000000000000000000000000",
                        "text": "r1 = map[m]",
                        "line": 4,
                        "source": "r1 = map[m]"
                    },
                    {
                        "insn": 2,
                        "bytes": "b700000000000000",
                        "text": "r0 = 0",
                        "line": 5,
                        "source": "r0 = 0"
                    },
                    {
                        "insn": 3,
                        "bytes": "9500000000000000",
                        "text": "exit",
                        "line": 6,
                        "source": "exit"
                    }
                ]
            }
        "#]],
    );
}

#[test]
fn mistakes_have_places() {
    refuses(
        &["prog", "asm", "-e", "r0 = 42; exti\nr1 = r12"],
        1,
        expect![[r#"
        tracewell: error: 2 mistakes in the assembly text
        -e:1:10: no instruction `exti`; did you mean `exit`?
            r0 = 42; exti
                     ^^^^
        -e:2:6: there is no register `r12`; registers are r0 to r10, their lower halves w0 to w10
            r1 = r12
                 ^^^
    "#]],
    );
    refuses(
        &["prog", "asm"],
        2,
        expect![[r#"
        error: the text is missing: asm { FILE | - | -e TEXT }

        For more information, try '--help'.
    "#]],
    );
    refuses(
        &["prog", "disasm", "--hex", "/nonexistent"],
        1,
        expect![[r#"
        tracewell: error: cannot read /nonexistent: No such file or directory (os error 2)
    "#]],
    );
    refuses(
        &["prog", "disasm"],
        2,
        expect![[r#"
        error: which program? Give an object or assembly file, `id N`, -e TEXT or --hex FILE

        For more information, try '--help'.
    "#]],
    );
    refuses(
        &["prog", "disasm", "-e", "exit", "--type", "kprobes"],
        2,
        expect![[r#"
        error: there is no type of programs `kprobes`; there are socket_filter, kprobe, sched_cls, sched_act, tracepoint, xdp, perf_event, cgroup_skb, cgroup_sock, lwt_in, lwt_out, lwt_xmit, sock_ops, sk_skb, cgroup_device, sk_msg, raw_tracepoint, cgroup_sock_addr, lwt_seg6local, lirc_mode2, sk_reuseport, flow_dissector, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, tracing, struct_ops, ext, lsm, sk_lookup, syscall, netfilter

        For more information, try '--help'.
    "#]],
    );
    refuses(
        &["prog", "disasm", "-e", ".map m type=hsah key=4 value=4 entries=1; exit"],
        1,
        expect![[r#"
        tracewell: error: -e: map `m`: there is no type of maps `hsah`; there are hash, array, prog_array, perf_event_array, percpu_hash, percpu_array, stack_trace, cgroup_array, lru_hash, lru_percpu_hash, lpm_trie, array_of_maps, hash_of_maps, devmap, sockmap, cpumap, xskmap, sockhash, cgroup_storage, reuseport_sockarray, percpu_cgroup_storage, queue, stack, sk_storage, devmap_hash, struct_ops, ringbuf, inode_storage, task_storage, bloom_filter, user_ringbuf, cgrp_storage, arena, insn_array, rhash
    "#]],
    );
    refuses(
        &["prog", "disasm", "-e", ".type nothing; exit"],
        1,
        expect![[r#"
        tracewell: error: -e: there is no type of programs `nothing`; there are socket_filter, kprobe, sched_cls, sched_act, tracepoint, xdp, perf_event, cgroup_skb, cgroup_sock, lwt_in, lwt_out, lwt_xmit, sock_ops, sk_skb, cgroup_device, sk_msg, raw_tracepoint, cgroup_sock_addr, lwt_seg6local, lirc_mode2, sk_reuseport, flow_dissector, cgroup_sysctl, raw_tracepoint_writable, cgroup_sockopt, tracing, struct_ops, ext, lsm, sk_lookup, syscall, netfilter
    "#]],
    );
    refuses(
        &["prog", "disasm", "-e", "exit", "opcodez"],
        1,
        expect![[r#"
        tracewell: error: cannot read opcodez: No such file or directory (os error 2)
    "#]],
    );
    let run = piped(&["prog", "disasm", "--hex", "-"], b"b700000000000000 95");
    run.fails_with(&["18 hexadecimal digits are no whole instructions"]);
    piped(&["prog", "disasm", "--hex"], b"b7 zz").fails_with(&["line 1: `z` is no hexadecimal digit"]);
    piped(&["prog", "disasm", "-"], b"\0\xff\x01").fails_with(&["no object file, no text, and with 3 bytes"]);
}

#[test]
fn programs_are_disassembled() {
    let text = "if r1 == 0 goto 1f; r0 = *(u8 *)(r1 +3); 1: exit";
    prints(
        &["prog", "disasm", "-e", text],
        expect![[r#"
                if r1 == 0x0 goto L2
                r0 = *(u8 *)(r1 +3)
        L2:
                exit
    "#]],
    );
    prints(
        &["prog", "disasm", "-e", text, "--syntax", "mnemonic", "opcodes", "linum"],
        expect![[r#"
        .line none
        .line 1 1 "" "if r1 == 0 goto 1f; r0 = *(u8 *)(r1 +3); 1: exit"
                jeq r1, 0, L2                            // 15 01 01 00 00 00 00 00
                ldxb r0, [r1+3]                          // 71 10 03 00 00 00 00 00
        L2:
                exit                                     // 95 00 00 00 00 00 00 00
    "#]],
    );
    let run = piped(
        &["prog", "disasm", "--hex", "-", "--type", "kprobe/vfs_read"],
        b"b7000000 2a000000\n9500000000000000",
    );
    expect![[r#"
        .section "kprobe/vfs_read"
        .license "GPL"
        .func prog
                r0 = 42
                exit
    "#]]
    .assert_eq(&run.out);
}

/// What `asm -o` writes, `disasm` reads; what `disasm` prints of an object, `asm` takes.
#[test]
fn files_go_both_ways() {
    let dir = scratch("prog_asm");
    let path = |name: &str| dir.join(name).display().to_string();
    let raw = path("raw.bin");
    prints(&["prog", "asm", "-e", "r0 = 7; exit", "-o", &raw], expect![""]);
    assert_eq!(std::fs::read(&raw).expect("it was written").len(), 16);
    let run = tracewell(&["prog", "disasm", &raw]);
    assert!(run.out.ends_with("        r0 = 7\n        exit\n"), "{run:?}");
    let object = path("subprograms.o");
    std::fs::write(&object, SUBPROGRAMS).expect("a file");
    for syntax in ["kernel", "mnemonic"] {
        let args = ["prog", "disasm", &object, "--program", "first", "--syntax", syntax];
        let first = tracewell(&[&args[..], &["linum"]].concat());
        assert_eq!(first.status, Some(0), "{first:?}");
        let source = path("first.s");
        std::fs::write(&source, &first.out).expect("a file");
        let again = tracewell(&["prog", "disasm", &source, "--syntax", syntax, "linum"]);
        assert_eq!(again.out, first.out);
    }
    let all = tracewell(&["prog", "disasm", &object]);
    assert!(all.out.contains(": first\n") && all.out.contains("\n\n// "), "{all:?}");
    let missing = tracewell(&["prog", "disasm", &object, "--program", "none"]);
    missing.fails_with(&["there is no program `none`; there are first"]);
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn root_loaded_programs_are_disassembled() {
    let Some(place) = Place::new("prog_disasm") else { return };
    let file = place.object("subprograms.o", SUBPROGRAMS);
    good(&["prog", "loadall", &file, &place.pin("all")]);
    let first = place.pin("all/first");
    let id = id(&["prog", "show", "pinned", &first]);
    let text = good(&["prog", "disasm", "id", &id]).out;
    for part in
        [".type \"socket_filter\"\n", ".func first\n", "; return middle(10)", "call L", "        exit\n"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(good(&["prog", "disasm", "pinned", &first]).out, text);
    let typed = place.object("typed.o", TYPED);
    good(&["prog", "loadall", &typed, &place.pin("typed")]);
    let pinned = std::fs::read_dir(place.pin("typed")).expect("pins").next().expect("a pin").expect("a pin");
    let text = good(&["prog", "disasm", "pinned", &pinned.path().display().to_string()]).out;
    assert!(text.contains("\n.map ") && text.contains(" = map["), "{text}");
}
