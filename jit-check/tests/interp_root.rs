//! The interpreter beside the running kernel: random programs, their results and what they did to packets.
//!
//! `TRACEWELL_PROGRAMS=100000` draws more of them, `TRACEWELL_SEED` others.

use asm::{AluOp, AtomicOp, Cond, Insn, Instruction, Operand, Reg, Size, Swap, Width};
use bpf_sys::prog::{ProgLoad, ProgType, TestRun};
use tracewell_jit_check::Program;
use tracewell_jit_check::interp::{Input, Machine, Options};
use tracewell_jit_check::kernel::Version;

/// xorshift64*: the same programs on every machine.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn value(&mut self) -> u64 {
        const EDGES: [u64; 12] = [
            0,
            1,
            u64::MAX,
            i64::MIN as u64,
            i64::MAX as u64,
            0x8000_0000,
            0x7fff_ffff,
            0xffff_ffff,
            0xffff_ffff_8000_0000,
            0x80,
            0x8000,
            63,
        ];
        if self.below(2) == 0 { self.of(&EDGES) } else { self.next() >> self.below(64) }
    }

    fn imm(&mut self) -> i32 {
        self.value() as i32
    }

    /// A register that holds a number.
    fn reg(&mut self) -> Reg {
        self.of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R7, Reg::R8, Reg::R9])
    }

    fn width(&mut self) -> Width {
        self.of(&[Width::W32, Width::W64])
    }
}

const REGS: [Reg; 9] = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R7, Reg::R8, Reg::R9];
/// Bytes of stack that are written at the start.
const SLOTS: i16 = 64;

/// Two slots behind those, for atomics alone. They hold bytes of which the verifier knows nothing: of spilled numbers
/// that an atomic operation fetches it loses track (Linux 6.18 does not follow precision through `fetch`, prunes a state
/// that it should not, and takes a branch out as dead that is not).
const ATOMIC_SLOTS: [i16; 2] = [-SLOTS - 8, -SLOTS - 16];

/// An aligned place on the stack.
fn place(draw: &mut Draw, size: Size) -> i16 {
    let bytes = size.bytes() as i16;
    -SLOTS + bytes * draw.below((SLOTS / bytes) as u64) as i16
}

/// Arithmetic, stack accesses, atomics: what a kernel of this version knows.
fn draw_insn(draw: &mut Draw, version: Version) -> Instruction {
    let v4 = version >= Version(6, 6);
    let sizes = [Size::B, Size::H, Size::W, Size::DW];
    match draw.below(if version >= Version(5, 12) { 14 } else { 12 }) {
        0..=5 => {
            let mut ops = vec![
                AluOp::Add,
                AluOp::Sub,
                AluOp::Mul,
                AluOp::Div,
                AluOp::Mod,
                AluOp::Or,
                AluOp::And,
                AluOp::Xor,
                AluOp::Lsh,
                AluOp::Rsh,
                AluOp::Arsh,
                AluOp::Mov,
            ];
            if v4 {
                ops.extend([AluOp::SDiv, AluOp::SMod]);
            }
            let (op, width) = (draw.of(&ops), draw.width());
            let src = if draw.below(2) == 0 {
                Operand::Reg(draw.reg())
            } else {
                // The verifier refuses counts and divisors that make no sense.
                let imm = match op {
                    AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                        draw.below(if width == Width::W64 { 64 } else { 32 }) as i32
                    }
                    AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod => match draw.imm() {
                        0 => 1,
                        other => other,
                    },
                    _ => draw.imm(),
                };
                Operand::Imm(imm)
            };
            Instruction::Alu { op, width, dst: draw.reg(), src }
        }
        6 => Instruction::Neg { width: draw.width(), dst: draw.reg() },
        7 => {
            let order = if v4 {
                draw.of(&[Swap::ToBe, Swap::ToLe, Swap::Bswap])
            } else {
                draw.of(&[Swap::ToBe, Swap::ToLe])
            };
            Instruction::Swap { order, size: draw.of(&[Size::H, Size::W, Size::DW]), dst: draw.reg() }
        }
        8 if v4 => {
            let width = draw.width();
            let from = if width == Width::W64 { draw.of(&sizes[..3]) } else { draw.of(&sizes[..2]) };
            Instruction::MovSx { width, from, dst: draw.reg(), src: draw.reg() }
        }
        8 | 9 => {
            let size = draw.of(&sizes);
            if v4 && size != Size::DW && draw.below(2) == 0 {
                Instruction::LoadSx { size, dst: draw.reg(), src: Reg::R10, off: place(draw, size) }
            } else {
                Instruction::Load { size, dst: draw.reg(), src: Reg::R10, off: place(draw, size) }
            }
        }
        10 | 11 => {
            let size = draw.of(&sizes);
            let src = if draw.below(2) == 0 { Operand::Reg(draw.reg()) } else { Operand::Imm(draw.imm()) };
            Instruction::Store { size, dst: Reg::R10, off: place(draw, size), src }
        }
        _ => {
            let size = draw.of(&[Size::W, Size::DW]);
            let op = draw.of(&[
                AtomicOp::Add,
                AtomicOp::Or,
                AtomicOp::And,
                AtomicOp::Xor,
                AtomicOp::FetchAdd,
                AtomicOp::FetchOr,
                AtomicOp::FetchAnd,
                AtomicOp::FetchXor,
                AtomicOp::Xchg,
                AtomicOp::CmpXchg,
            ]);
            let off = draw.of(&ATOMIC_SLOTS) + if size == Size::W { 4 * draw.below(2) as i16 } else { 0 };
            Instruction::Atomic { op, size, dst: Reg::R10, off, src: draw.reg() }
        }
    }
}

fn draw_cond(draw: &mut Draw, off: i16) -> Instruction {
    let cond = draw.of(&[
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Set,
        Cond::SGt,
        Cond::SGe,
        Cond::SLt,
        Cond::SLe,
    ]);
    let src = if draw.below(2) == 0 { Operand::Reg(draw.reg()) } else { Operand::Imm(draw.imm()) };
    Instruction::JumpIf { cond, width: draw.width(), dst: draw.reg(), src, off }
}

fn push(words: &mut Vec<Insn>, instruction: Instruction) {
    words.extend(instruction.encode().unwrap().iter());
}

/// Numbers in all registers and on the stack, something done to them, all folded into r0.
fn draw_program(draw: &mut Draw, version: Version) -> Vec<Insn> {
    let mut words = Vec::new();
    push(
        &mut words,
        Instruction::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R6, src: Reg::R1.into() },
    );
    // A number that the verifier knows nothing of, so that it has to take both ways.
    push(&mut words, Instruction::Load { size: Size::W, dst: Reg::R9, src: Reg::R6, off: 0 });
    for reg in REGS.into_iter().take(8) {
        push(&mut words, Instruction::LdImm64 { dst: reg, value: asm::Imm64::Value(draw.value()) });
        if draw.below(3) == 0 {
            push(
                &mut words,
                Instruction::Alu { op: AluOp::Add, width: Width::W64, dst: reg, src: Reg::R9.into() },
            );
        }
    }
    for slot in 1..=SLOTS / 8 {
        let src = Operand::Reg(draw.reg());
        push(&mut words, Instruction::Store { size: Size::DW, dst: Reg::R10, off: -8 * slot, src });
    }
    for off in ATOMIC_SLOTS {
        let src = Operand::Reg(draw.reg());
        push(&mut words, Instruction::Store { size: Size::DW, dst: Reg::R10, off, src });
        push(&mut words, Instruction::Store { size: Size::B, dst: Reg::R10, off: off + 1, src });
    }
    let count = 4 + draw.below(40);
    for left in (0..count).rev() {
        if draw.below(5) == 0 {
            // Everything behind is one word long, so any distance within it is a jump to an instruction.
            let off = draw.below(left.min(8) + 1) as i16;
            push(&mut words, draw_cond(draw, off));
        } else {
            let insn = draw_insn(draw, version);
            push(&mut words, insn);
            // Where the values are equal the processor leaves the upper half of r0 alone, and Linux 6.18 forgets to clear
            // it when the state behind was pruned.
            if let Instruction::Atomic { op: AtomicOp::CmpXchg, size: Size::W, .. } = insn {
                push(
                    &mut words,
                    Instruction::Alu { op: AluOp::Mov, width: Width::W32, dst: Reg::R0, src: Reg::R0.into() },
                );
            }
        }
    }
    for reg in &REGS[1..] {
        push(
            &mut words,
            Instruction::Alu { op: AluOp::Mul, width: Width::W64, dst: Reg::R0, src: Operand::Imm(31) },
        );
        push(
            &mut words,
            Instruction::Alu { op: AluOp::Xor, width: Width::W64, dst: Reg::R0, src: (*reg).into() },
        );
    }
    for slot in 1..=SLOTS / 8 + 2 {
        push(&mut words, Instruction::Load { size: Size::DW, dst: Reg::R1, src: Reg::R10, off: -8 * slot });
        push(
            &mut words,
            Instruction::Alu { op: AluOp::Mul, width: Width::W64, dst: Reg::R0, src: Operand::Imm(31) },
        );
        push(
            &mut words,
            Instruction::Alu { op: AluOp::Xor, width: Width::W64, dst: Reg::R0, src: Reg::R1.into() },
        );
    }
    push(
        &mut words,
        Instruction::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R1, src: Reg::R0.into() },
    );
    push(
        &mut words,
        Instruction::Alu { op: AluOp::Rsh, width: Width::W64, dst: Reg::R1, src: Operand::Imm(32) },
    );
    push(
        &mut words,
        Instruction::Alu { op: AluOp::Xor, width: Width::W64, dst: Reg::R0, src: Reg::R1.into() },
    );
    push(&mut words, Instruction::Exit);
    words
}

fn version() -> Version {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.trim().parse().unwrap()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// What the kernel makes of it: the return value and the packet afterwards.
fn in_the_kernel(prog_type: ProgType, words: &[Insn], data: &[u8]) -> Result<(u32, Vec<u8>), String> {
    let insns: Vec<u64> = words.iter().map(|w| w.to_u64()).collect();
    let load = ProgLoad { prog_type, insns: &insns, license: "GPL", ..ProgLoad::default() };
    let prog = load.load().map_err(|error| format!("load: {error}"))?;
    let mut data_out = vec![0; data.len() + 256];
    let run = TestRun { data, data_out: &mut data_out, ..TestRun::default() };
    let out = prog.test_run(run).map_err(|error| format!("run: {error}"))?;
    data_out.truncate(out.data_len);
    Ok((out.retval, data_out))
}

fn show(words: &[Insn]) -> String {
    asm::disassemble(words).map(|(at, text)| format!("{at}: {text}\n")).collect()
}

fn bytes_of(draw: &mut Draw, len: usize) -> Vec<u8> {
    (0..len).map(|_| draw.next() as u8).collect()
}

#[test]
fn root_random_programs_have_the_kernels_results() {
    const TEST: &str = "root_random_programs_have_the_kernels_results";
    let probe = [Insn::new(0xb7, 0, 0, 0, 1), Insn::new(0x95, 0, 0, 0, 0)];
    if let Err(error) = in_the_kernel(ProgType::SocketFilter, &probe, &[0; 64]) {
        eprintln!("SKIP {TEST}: programs cannot be loaded and run: {error}");
        return;
    }
    let version = version();
    if version < Version(6, 1) {
        eprintln!("SKIP {TEST}: this kernel gives other results to some programs than newer ones");
        return;
    }
    let mut draw = Draw(number("TRACEWELL_SEED", 0x5eed_1234));
    let programs = number("TRACEWELL_PROGRAMS", 1500);
    let (mut taken, mut refused) = (0, Vec::new());
    for n in 0..programs {
        let prog_type = if n % 2 == 0 { ProgType::SocketFilter } else { ProgType::SchedCls };
        let words = draw_program(&mut draw, version);
        let mut data = bytes_of(&mut draw, 20 + n as usize % 100);
        data[12..14].copy_from_slice(&[0x12, 0x34]);
        let (retval, data_out) = match in_the_kernel(prog_type, &words, &data) {
            Ok(result) => result,
            Err(why) => {
                refused.push((words, why));
                continue;
            }
        };
        taken += 1;
        let program = Program::new("random", prog_type, words);
        let mut machine = Machine::new(&program, Options::default()).unwrap();
        let exit = machine.run(&Input::packet(data)).unwrap_or_else(|trap| {
            panic!("program {n}: the kernel runs it, but {trap}\n{}", show(&program.insns))
        });
        assert_eq!(exit.r0 as u32, retval, "program {n}:\n{}", show(&program.insns));
        assert_eq!(exit.data_out, data_out, "program {n}: the packet\n{}", show(&program.insns));
    }
    println!("{programs} programs, {taken} accepted on Linux {version}");
    // They are made to be valid; a few are refused by old kernels' range tracking.
    if let Some((words, why)) = refused.first() {
        assert!(taken * 10 >= programs * 9, "most should be accepted, but {why}\n{}", show(words));
    }
}
