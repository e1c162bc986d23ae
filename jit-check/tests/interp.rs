//! The instruction set as the interpreter executes it, its memory, its limits.

use asm::{AtomicOp, Builder, Helper, Insn, R0, R1, R2, R3, R4, R5, R6, R10, Size, Swap, Width};
use bpf_sys::prog::ProgType;
use tracewell_jit_check::Program;
use tracewell_jit_check::interp::{Error, Flow, Hook, Input, Machine, Options, State, Stop, TrapKind};

fn program(build: impl FnOnce(&mut Builder)) -> Program {
    let mut b = Builder::new();
    build(&mut b);
    Program::new("test", ProgType::SocketFilter, b.finish().unwrap().insns)
}

fn machine(build: impl FnOnce(&mut Builder)) -> Machine {
    Machine::new(&program(build), Options::default()).unwrap()
}

fn r0(build: impl FnOnce(&mut Builder)) -> u64 {
    machine(build).run(&Input::default()).unwrap().r0
}

fn trap(build: impl FnOnce(&mut Builder)) -> String {
    machine(build).run(&Input::default()).unwrap_err().to_string()
}

/// The operation on two values in r0 and r1.
fn op(a: u64, b: u64, op: impl FnOnce(&mut Builder)) -> u64 {
    r0(|builder| {
        builder.ld_imm64(R0, a).ld_imm64(R1, b);
        op(builder);
        builder.exit();
    })
}

#[test]
fn division_has_no_faults() {
    use asm::AluOp::{Div, Mod, SDiv, SMod};
    use asm::Width::{W32, W64};
    const MIN: u64 = i64::MIN as u64;
    const HIGH: u64 = 0xdead_beef_0000_0000;
    for (width, which, a, b, want) in [
        (W64, Div, 7, 0, 0),
        (W64, Mod, 7, 0, 7),
        (W32, Div, HIGH | 7, 0, 0),
        // Modulo zero keeps the value, of which a 32-bit operation keeps half.
        (W32, Mod, HIGH | 7, 0, 7),
        (W32, Mod, HIGH | 7, HIGH, 7),
        (W64, SDiv, MIN, u64::MAX, MIN),
        (W64, SMod, MIN, u64::MAX, 0),
        (W32, SDiv, 0x8000_0000, 0xffff_ffff, 0x8000_0000),
        (W32, SMod, 0x8000_0000, 0xffff_ffff, 0),
        (W64, SDiv, (-7i64) as u64, 2, (-3i64) as u64),
        (W64, SMod, (-7i64) as u64, 2, (-1i64) as u64),
        (W32, SDiv, (-7i32) as u32 as u64, 2, (-3i32) as u32 as u64),
        (W64, SDiv, 5, 0, 0),
        (W64, SMod, (-5i64) as u64, 0, (-5i64) as u64),
        (W64, Div, u64::MAX, 2, u64::MAX / 2),
        (W32, Div, u64::MAX, 2, u64::from(u32::MAX / 2)),
    ] {
        let got = op(a, b, |x| {
            x.alu(which, width, R0, R1);
        });
        assert_eq!(got, want, "{which:?} {width:?} {a:#x} {b:#x}");
    }
    // An immediate divisor is extended by its sign, also where the division is not signed.
    assert_eq!(
        op(u64::MAX, 0, |x| {
            x.div_imm(R0, -1);
        }),
        1
    );
}

#[test]
fn shifts_use_the_lower_bits_of_their_count() {
    let check = |a, b, want, f: fn(&mut Builder)| assert_eq!(op(a, b, f), want);
    check(1, 65, 2, |x| {
        x.lsh(R0, R1);
    });
    check(1, 33, 2, |x| {
        x.lsh32(R0, R1);
    });
    check(u64::MAX, 32, u64::from(u32::MAX), |x| {
        x.rsh32(R0, R1);
    });
    check(1 << 63, 63, u64::MAX, |x| {
        x.arsh(R0, R1);
    });
    check(0xffff_ffff_8000_0000, 31, 0xffff_ffff, |x| {
        x.arsh32(R0, R1);
    });
}

#[test]
fn moves_and_swaps_extend_as_they_say() {
    let check = |a, want, f: fn(&mut Builder)| assert_eq!(op(0, a, f), want);
    check(0x80, 0xffff_ffff_ffff_ff80, |x| {
        x.mov_sx(Width::W64, Size::B, R0, R1);
    });
    check(0x80, 0xffff_ff80, |x| {
        x.mov_sx(Width::W32, Size::B, R0, R1);
    });
    check(0x8000_0000, 0xffff_ffff_8000_0000, |x| {
        x.mov_sx(Width::W64, Size::W, R0, R1);
    });
    check(u64::MAX, 0xffff_ffff, |x| {
        x.mov32(R0, R1);
    });
    check(0, 0xffff_ffff, |x| {
        x.mov32_imm(R0, -1);
    });
    check(0x1122_3344_5566_7788, 0x8877, |x| {
        x.mov(R0, R1).swap(Swap::Bswap, Size::H, R0);
    });
    check(0x1122_3344_5566_7788, 0x8877_6655, |x| {
        x.mov(R0, R1).swap(Swap::ToBe, Size::W, R0);
    });
    check(0x1122_3344_5566_7788, 0x5566_7788, |x| {
        x.mov(R0, R1).swap(Swap::ToLe, Size::W, R0);
    });
}

#[test]
fn atomics_give_the_old_value() {
    let atomic = |size, which, memory: u64, r0_before: u64, src: u64| {
        let mut m = machine(|x| {
            x.ld_imm64(R3, memory).store(Size::DW, R10, -8, R3).ld_imm64(R0, r0_before).ld_imm64(R1, src);
            x.atomic(which, size, R10, -8, R1);
            x.load(Size::DW, R2, R10, -8).exit();
        });
        m.start(&Input::default()).unwrap();
        loop {
            let regs = m.state().registers();
            if m.step().unwrap().is_some() {
                return (regs[0], regs[1], regs[2]);
            }
        }
    };
    let high = 0xaaaa_aaaa_0000_0000;
    assert_eq!(atomic(Size::DW, AtomicOp::FetchAdd, 5, 0, 3), (0, 5, 8));
    assert_eq!(atomic(Size::W, AtomicOp::FetchAdd, high | 0xffff_ffff, 0, 2), (0, 0xffff_ffff, high | 1));
    assert_eq!(atomic(Size::DW, AtomicOp::Xchg, 5, 0, 3), (0, 5, 3));
    assert_eq!(atomic(Size::DW, AtomicOp::CmpXchg, 5, 5, 3), (5, 3, 3));
    assert_eq!(atomic(Size::DW, AtomicOp::CmpXchg, 5, 6, 3), (5, 3, 5));
    // Of r0 the lower half is compared, and r0 gets the old value zero-extended either way.
    assert_eq!(atomic(Size::W, AtomicOp::CmpXchg, high | 5, high | 5, 3), (5, 3, high | 3));
    assert_eq!(atomic(Size::W, AtomicOp::CmpXchg, high | 5, 6, 3), (5, 3, high | 5));
    assert_eq!(atomic(Size::DW, AtomicOp::Add, 5, 0, 3), (0, 3, 8));
}

#[test]
fn accesses_are_checked_against_what_is_there() {
    let reads = |off| {
        trap(move |x| {
            x.load(Size::DW, R0, R10, off).exit();
        })
    };
    assert_eq!(
        reads(0),
        "instruction 0: it reads 8 bytes at 0xff00000100000200, stack of frame 0+512 of 512 bytes"
    );
    assert_eq!(
        reads(-520),
        "instruction 0: it reads 8 bytes at 0xff000000fffffff8, stack of frame 0-8 of 512 bytes"
    );
    assert_eq!(
        trap(|x| {
            x.mov_imm(R1, 0).store_imm(Size::B, R1, 3, 1).exit();
        }),
        "instruction 1: it writes 1 bytes at 0x3, where there is no memory"
    );
    // The caller's frame may be used by the callee; the callee's is gone when it returned.
    assert_eq!(
        r0(|x| {
            let callee = x.label();
            x.store_imm(Size::DW, R10, -8, 41).mov(R1, R10).add_imm(R1, -8).call_local(callee).exit();
            x.bind(callee).load(Size::DW, R0, R1, 0).add_imm(R0, 1).exit();
        }),
        42
    );
    assert_eq!(
        trap(|x| {
            let callee = x.label();
            x.call_local(callee).load(Size::DW, R0, R0, -8).exit();
            x.bind(callee).mov(R0, R10).exit();
        }),
        "instruction 1: it reads 8 bytes at 0xff000002000001f8, stack of frame 1, which was given back before"
    );
}

#[test]
fn strict_machines_find_reads_of_what_was_not_written() {
    let strict = |build: fn(&mut Builder)| {
        let mut options = Options::default();
        options.strict = true;
        Machine::new(&program(build), options).unwrap().run(&Input::default())
    };
    let trap = strict(|x| {
        x.store_imm(Size::W, R10, -8, 1).load(Size::DW, R0, R10, -8).exit();
    });
    assert!(matches!(trap.unwrap_err().kind, TrapKind::Uninitialised { size: 8, offset: -8, .. }));
    let fine = strict(|x| {
        let callee = x.label();
        x.store_imm(Size::DW, R10, -8, 1).mov(R1, R10).call_local(callee).exit();
        x.bind(callee).load(Size::H, R0, R1, -6).exit();
    });
    assert_eq!(fine.unwrap().r0, 0);
    // A frame that was used before is as new in the next call.
    let stale = strict(|x| {
        let (writes, reads) = (x.label(), x.label());
        x.call_local(writes).call_local(reads).exit();
        x.bind(writes).store_imm(Size::DW, R10, -8, 7).mov_imm(R0, 0).exit();
        x.bind(reads).load(Size::DW, R0, R10, -8).exit();
    });
    let stale = stale.unwrap_err();
    assert_eq!((stale.insn, stale.callers), (6, vec![1]));
}

#[test]
fn subprograms_keep_their_callers_registers() {
    assert_eq!(
        r0(|x| {
            let callee = x.label();
            x.mov_imm(R6, 40).mov_imm(R1, 2).call_local(callee).add(R0, R6).exit();
            x.bind(callee).mov_imm(R6, 1).mov(R0, R1).exit();
        }),
        42
    );
    let deep = trap(|x| {
        let again = x.label();
        x.bind(again).call_local(again).exit();
    });
    assert!(deep.starts_with("instruction 0: calls are nested deeper than eight frames"), "{deep}");
}

#[test]
fn limits_end_what_does_not_end() {
    let endless = |x: &mut Builder| {
        let top = x.label();
        x.bind(top).mov_imm(R0, 1).jmp(top);
    };
    let mut options = Options::default();
    options.max_insns = 1000;
    let trap = Machine::new(&program(endless), options).unwrap().run(&Input::default()).unwrap_err();
    assert_eq!(trap.kind, TrapKind::InsnLimit { limit: 1000 });
    let mut options = Options::default();
    options.max_time = Some(std::time::Duration::from_millis(20));
    let trap = Machine::new(&program(endless), options).unwrap().run(&Input::default()).unwrap_err();
    assert_eq!(trap.kind, TrapKind::TimeLimit);
    let mut options = Options::default();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    options.stop = Some(stop);
    let trap = Machine::new(&program(endless), options).unwrap().run(&Input::default()).unwrap_err();
    assert_eq!(trap.kind, TrapKind::Stopped);
    // Callbacks count too.
    let mut options = Options::default();
    options.max_insns = 5000;
    let callbacks = program(|x| {
        let callback = x.label();
        x.mov_imm(R1, 1 << 20).ld_func(R2, callback).mov_imm(R3, 0).mov_imm(R4, 0).call(Helper::LOOP).exit();
        x.bind(callback).mov_imm(R0, 0).exit();
    });
    let trap = Machine::new(&callbacks, options).unwrap().run(&Input::default()).unwrap_err();
    assert_eq!(trap.kind, TrapKind::InsnLimit { limit: 5000 });
}

#[test]
fn may_goto_ends_a_loop() {
    let mut options = Options::default();
    options.may_goto_turns = 10;
    let counts = program(|x| {
        let (top, out) = (x.label(), x.label());
        x.mov_imm(R0, 0).bind(top).may_goto(out).add_imm(R0, 1).jmp(top).bind(out).exit();
    });
    let exit = Machine::new(&counts, options).unwrap().run(&Input::default()).unwrap();
    assert_eq!((exit.r0, exit.insns), (10, 1 + 3 * 10 + 1 + 1));
}

#[test]
fn instructions_are_counted_once_each() {
    let exit = machine(|x| {
        let (skip, callee, callback) = (x.label(), x.label(), x.label());
        x.ld_imm64(R6, 1).jne_imm(R6, 0, skip).mov_imm(R0, 1).exit();
        x.bind(skip).call_local(callee).mov_imm(R1, 3).ld_func(R2, callback).mov_imm(R3, 0).mov_imm(R4, 0);
        x.call(Helper::LOOP).exit();
        x.bind(callee).mov_imm(R0, 0).exit();
        x.bind(callback).mov_imm(R0, 0).exit();
    })
    .run(&Input::default())
    .unwrap();
    // Load, jump, call with 2; four moves, the helper with 3 turns of 2, exit.
    assert_eq!((exit.r0, exit.insns), (3, 3 + 2 + 4 + 1 + 3 * 2 + 1));
}

#[test]
fn what_is_no_instruction_is_a_trap_when_it_is_reached() {
    let words = [Insn::new(0xb7, 0, 0, 0, 1), Insn::new(0x95, 0, 0, 0, 0), Insn::new(0xff, 0, 0, 0, 0)];
    let fine = Program::new("x", ProgType::SocketFilter, words.to_vec());
    assert_eq!(Machine::new(&fine, Options::default()).unwrap().run(&Input::default()).unwrap().r0, 1);
    let bad = Program::new("x", ProgType::SocketFilter, words[2..].to_vec());
    let trap = Machine::new(&bad, Options::default()).unwrap().run(&Input::default()).unwrap_err();
    assert!(matches!(trap.kind, TrapKind::BadInstruction(_)), "{trap}");
    assert!(matches!(
        Machine::new(&Program::new("x", ProgType::Xdp, vec![]), Options::default()),
        Err(Error::Empty)
    ));
    let jump = Program::new("x", ProgType::Xdp, vec![Insn::new(0x05, 0, 0, 100, 0)]);
    let trap = Machine::new(&jump, Options::default()).unwrap().run(&Input::default()).unwrap_err();
    assert_eq!((trap.insn, trap.kind), (0, TrapKind::BadJump { target: 101 }));
    let open = Program::new("x", ProgType::Xdp, vec![Insn::new(0xb7, 0, 0, 0, 1)]);
    let trap = Machine::new(&open, Options::default()).unwrap().run(&Input::default()).unwrap_err();
    assert_eq!(trap.kind, TrapKind::FellOffTheEnd);
}

#[test]
fn memory_is_given_in_r1_and_r2() {
    let mut m = machine(|x| {
        x.mov(R0, R2).load(Size::B, R3, R1, 1).add(R0, R3).store_imm(Size::B, R1, 0, 9).exit();
    });
    let exit = m.run(&Input::memory([1, 40])).unwrap();
    assert_eq!((exit.r0, exit.ctx_out), (42, vec![9, 40]));
    let none = machine(|x| {
        x.mov(R0, R1).or(R0, R2).exit();
    })
    .run(&Input::memory([]));
    assert_eq!(none.unwrap().r0, 0);
}

#[test]
fn packets_are_seen_as_test_runs_show_them() {
    let direct = |x: &mut Builder| {
        let out = x.label();
        x.mov_imm(R0, -1).load(Size::W, R2, R1, 0).load(Size::W, R3, R1, 4);
        x.mov(R4, R2).add_imm(R4, 20).jgt(R4, R3, out);
        x.mov(R0, R3).sub(R0, R2).store_imm(Size::B, R2, 0, 7).bind(out).exit();
    };
    let mut b = Builder::new();
    direct(&mut b);
    let xdp = Program::new("x", ProgType::Xdp, b.finish().unwrap().insns);
    let exit = Machine::new(&xdp, Options::default()).unwrap().run(&Input::packet([1; 20])).unwrap();
    assert_eq!((exit.r0, exit.data_out[0], exit.data_out.len()), (20, 7, 20));
    // A socket filter sees no link header; packet loads are in network order, and end the program beyond the end.
    let mut data = vec![0; 20];
    data[14..18].copy_from_slice(&[1, 2, 3, 4]);
    let filter = |off| {
        let p = program(|x| {
            x.mov(R6, R1).mov_imm(R0, 5).load_abs(Size::W, off).add_imm(R0, 1).exit();
        });
        Machine::new(&p, Options::default()).unwrap().run(&Input::packet(data.clone())).unwrap()
    };
    assert_eq!(filter(0).r0, 0x0102_0305);
    assert_eq!(filter(2).r0, 0x0304_0001);
    assert_eq!(filter(3).r0, 0);
    assert_eq!(filter(-0x20_0000 + 13).r0, 0x0001_0204);
    assert_eq!(filter(0).data_out[..14], [0; 14]);
    // The packet was moved: what pointed to it is stale.
    let mut stale = program(|x| {
        x.mov(R6, R1).load(Size::W, R5, R1, 0).mov_imm(R2, -4).call(Helper::XDP_ADJUST_HEAD);
        x.load(Size::B, R0, R5, 0).exit();
    });
    stale.prog_type = ProgType::Xdp;
    let trap = Machine::new(&stale, Options::default()).unwrap().run(&Input::default());
    // r5 did not survive the call in the kernel; here it shows that the old packet is gone.
    assert!(trap.unwrap_err().to_string().contains("packet, which was given back before"));
}

struct Recorder(Vec<(usize, u64)>);

impl Hook for Recorder {
    fn before(&mut self, state: &State<'_>) -> Flow {
        self.0.push((state.insn(), state.registers()[0]));
        Flow::Continue
    }
}

#[test]
fn hooks_breakpoints_and_snapshots() {
    let build = |x: &mut Builder| {
        let top = x.label();
        x.mov_imm(R0, 0).ld_imm64(R1, 3).bind(top).add_imm(R0, 1).jne(R0, R1, top).exit();
    };
    let mut m = machine(build);
    let mut recorder = Recorder(Vec::new());
    let Ok(Stop::Exit(exit)) = m.run_hooked(&Input::default(), &mut recorder) else { panic!() };
    assert_eq!((exit.r0, exit.insns as usize), (3, recorder.0.len()));
    assert_eq!(recorder.0, [(0, 0), (1, 0), (3, 0), (4, 1), (3, 1), (4, 2), (3, 2), (4, 3), (5, 3)]);
    // Breakpoints stop before the instruction, snapshots go back to it.
    m.breakpoints.insert(4);
    m.start(&Input::default()).unwrap();
    assert_eq!(m.resume(), Ok(Stop::Breakpoint));
    let snapshot = m.snapshot();
    let at = |m: &Machine| (m.state().insn(), m.state().registers()[0], m.state().insns());
    assert_eq!(at(&m), (4, 1, 3));
    assert_eq!(m.resume(), Ok(Stop::Breakpoint));
    assert_eq!(at(&m), (4, 2, 5));
    m.restore(&snapshot);
    assert_eq!(at(&m), (4, 1, 3));
    m.breakpoints.clear();
    assert_eq!(m.resume(), Ok(Stop::Exit(exit)));
    let mut options = Options::default();
    options.coverage = true;
    let half = program(|x| {
        let out = x.label();
        x.mov_imm(R0, 0).jeq_imm(R0, 0, out).mov_imm(R0, 1).bind(out).exit();
    });
    let mut m = Machine::new(&half, options).unwrap();
    m.run(&Input::default()).unwrap();
    assert_eq!(m.coverage(), [0, 1, 3]);
}
