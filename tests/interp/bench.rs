//! The interpreter beside those of the crates `rbpf` and `solana-sbpf`: the same loops, in one process, in turn. All three
//! check memory. `tests/bench interp` builds this in a crate of its own, in the cache, so that no peer is a dependency of
//! the workspace.

use asm::{Builder, Helper, Insn, MapRef, R0, R1, R2, R3, R4, R6, R10, Size};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use jit_check::Program;
use jit_check::interp::{Input, Machine, Options};
use loader::MapSpec;
use solana_sbpf::elf::Executable;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinProgram, SBPFVersion};
use solana_sbpf::vm::{CallFrame, Config, ContextObject, EbpfVm, ExecutionMode};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

/// Turns of each loop.
const TURNS: i32 = 4_000_000;
/// Runs of each engine in turn, of which the median counts.
const ROUNDS: usize = 7;
/// Bytes of memory.
const MEMORY: usize = 65536;

struct Loop {
    name: &'static str,
    /// Instructions of a turn.
    insns: f64,
    ours: Program,
    /// The same for `rbpf`, where it has to be another.
    rbpf: Option<Vec<Insn>>,
    /// The same in the assembly of `solana-sbpf`; empty where it cannot.
    sbpf: String,
}

fn program(name: &str, build: impl FnOnce(&mut Builder)) -> Program {
    let mut b = Builder::new();
    build(&mut b);
    Program::new(name, ProgType::SocketFilter, b.finish().unwrap().insns)
}

fn loops() -> Vec<Loop> {
    let alu = program("alu", |b| {
        let top = b.label();
        b.mov_imm(R0, 1).mov_imm(R1, 7).mov_imm(R2, 0).mov_imm(R3, TURNS).bind(top);
        b.add(R0, R1).xor_imm(R0, 0x5bd1).mul_imm(R0, 31).rsh_imm(R0, 3).add(R1, R0).and_imm(R1, 0xffff);
        b.add_imm(R2, 1).jne(R2, R3, top).exit();
    });
    let stack = program("stack", |b| {
        let top = b.label();
        b.mov_imm(R0, 0).mov_imm(R2, 0).mov_imm(R1, 1);
        b.store(Size::DW, R10, -8, R0).store(Size::DW, R10, -16, R0).store(Size::DW, R10, -24, R0).bind(top);
        b.load(Size::DW, R1, R10, -8).add_imm(R1, 3).store(Size::DW, R10, -8, R1).load(
            Size::DW,
            R3,
            R10,
            -16,
        );
        b.store(Size::DW, R10, -24, R3).load(Size::DW, R4, R10, -24).store(Size::DW, R10, -16, R1);
        b.add_imm(R2, 1).jne_imm(R2, TURNS, top).load(Size::DW, R0, R10, -8).exit();
    });
    let array = program("array", |b| {
        let top = b.label();
        b.mov(R6, R1).mov_imm(R0, 0).mov_imm(R2, 0).bind(top);
        b.mov(R3, R2).and_imm(R3, 0xfff8).add(R3, R6).load(Size::DW, R4, R3, 0).add(R0, R4).add(R4, R2);
        b.store(Size::DW, R3, 0, R4).add_imm(R2, 8).jne_imm(R2, TURNS * 8, top).exit();
    });
    // A hash map of 1,024 elements; `rbpf` has a function instead that is given the key and gives the value.
    let mut lookup = program("lookup", |b| {
        let (top, out) = (b.label(), b.label());
        b.mov_imm(R6, 0).mov_imm(asm::R7, 0).bind(top);
        b.mov(R1, R6).and_imm(R1, 1023).store(Size::W, R10, -4, R1).ld_map(R1, MapRef(0)).mov(R2, R10);
        b.add_imm(R2, -4).call(Helper::MAP_LOOKUP_ELEM).jeq_imm(R0, 0, out).load(Size::DW, R0, R0, 0);
        b.add(asm::R7, R0).add_imm(R6, 1).jne_imm(R6, TURNS, top).bind(out).mov(R0, asm::R7).exit();
    });
    lookup.maps.push(MapSpec::new("values", MapType::Hash, 4, 8, 1024));
    let theirs = program("lookup", |b| {
        let (top, out) = (b.label(), b.label());
        b.mov_imm(R6, 0).mov_imm(asm::R7, 0).bind(top);
        b.mov(R1, R6).and_imm(R1, 1023).store(Size::W, R10, -4, R1).mov(R4, R10).mov(R2, R10);
        b.add_imm(R2, -4).call(Helper::MAP_LOOKUP_ELEM).jeq_imm(R0, 0, out).mov(R0, R0);
        b.add(asm::R7, R0).add_imm(R6, 1).jne_imm(R6, TURNS, top).bind(out).mov(R0, asm::R7).exit();
    });
    vec![
        Loop {
            name: "ALU loop",
            insns: 8.0,
            ours: alu,
            rbpf: None,
            sbpf: format!(
                "mov64 r0, 1\nmov64 r1, 7\nmov64 r2, 0\nmov64 r3, {TURNS}\ntop:\nadd64 r0, r1\nxor64 r0, 0x5bd1\n\
                 mul64 r0, 31\nrsh64 r0, 3\nadd64 r1, r0\nand64 r1, 0xffff\nadd64 r2, 1\njne r2, r3, top\nexit"
            ),
        },
        Loop {
            name: "stack loop",
            insns: 9.0,
            ours: stack,
            rbpf: None,
            sbpf: format!(
                "mov64 r0, 0\nmov64 r2, 0\nmov64 r1, 1\nstxdw [r10-8], r0\nstxdw [r10-16], r0\nstxdw [r10-24], r0\ntop:\n\
                 ldxdw r1, [r10-8]\nadd64 r1, 3\nstxdw [r10-8], r1\nldxdw r3, [r10-16]\nstxdw [r10-24], r3\n\
                 ldxdw r4, [r10-24]\nstxdw [r10-16], r1\nadd64 r2, 1\njne r2, {TURNS}, top\nldxdw r0, [r10-8]\nexit"
            ),
        },
        Loop {
            name: "array loop, 64 KiB",
            insns: 9.0,
            ours: array,
            rbpf: None,
            sbpf: format!(
                "mov64 r6, r1\nmov64 r0, 0\nmov64 r2, 0\ntop:\nmov64 r3, r2\nand64 r3, 0xfff8\nadd64 r3, r6\n\
                 ldxdw r4, [r3+0]\nadd64 r0, r4\nadd64 r4, r2\nstxdw [r3+0], r4\nadd64 r2, 8\njne r2, {}, top\nexit",
                TURNS * 8
            ),
        },
        Loop {
            name: "map lookup loop",
            insns: 12.0,
            ours: lookup,
            rbpf: Some(theirs.insns),
            sbpf: String::new(),
        },
    ]
}

struct Context {
    remaining: u64,
    mapping: MemoryMapping,
}

impl ContextObject for Context {
    fn consume(&mut self, amount: u64) {
        self.remaining = self.remaining.saturating_sub(amount);
    }

    fn get_remaining(&self) -> u64 {
        self.remaining
    }

    fn active_mapping_ptr(&mut self) -> NonNull<MemoryMapping> {
        NonNull::from(&mut self.mapping)
    }
}

/// r0 and seconds.
fn sbpf(text: &str) -> (u64, f64) {
    let config = Config { enabled_sbpf_versions: SBPFVersion::V0..=SBPFVersion::V0, ..Config::default() };
    let loader = Arc::new(BuiltinProgram::<Context>::new_loader(config));
    let executable: Executable<Context> =
        solana_sbpf::assembler::assemble(text, Arc::clone(&loader)).unwrap();
    let config = executable.get_config();
    let (mut stack, mut memory) =
        (vec![0u8; config.stack_size()].into_boxed_slice(), vec![0u8; MEMORY].into_boxed_slice());
    let regions = vec![
        executable.get_ro_region(),
        MemoryRegion::new_gapped(
            &raw mut *stack,
            solana_sbpf::ebpf::MM_STACK_START,
            if config.enable_stack_frame_gaps { config.stack_frame_size as u64 } else { 0 },
        ),
        MemoryRegion::new(&raw mut *memory, solana_sbpf::ebpf::MM_INPUT_START),
    ];
    // SAFETY: the regions' memory lives to the end of this function, and nothing else touches it while the machine runs.
    let mapping = unsafe { MemoryMapping::new(regions, config, executable.get_sbpf_version()) }.unwrap();
    let mut context = Context { remaining: u64::MAX / 4, mapping };
    let mut frames = vec![CallFrame::default(); config.max_call_depth];
    let mut vm = EbpfVm::new(loader, executable.get_sbpf_version(), &mut context, stack.len());
    vm.registers[1] = solana_sbpf::ebpf::MM_INPUT_START;
    let start = Instant::now();
    let (_, result) = vm.execute_program(&executable, &mut ExecutionMode::Interpreted, &mut frames);
    let seconds = start.elapsed().as_secs_f64();
    let result: Result<u64, _> = result.into();
    (result.unwrap(), seconds)
}

thread_local! {
    static VALUES: RefCell<HashMap<u32, u64>> = RefCell::new((0..1024).map(|n| (n, u64::from(n) + 1)).collect());
}

fn value_of(key: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    VALUES.with_borrow(|values| values.get(&(key as u32)).copied().unwrap_or(0))
}

fn rbpf(insns: &[Insn]) -> (u64, f64) {
    let bytes: Vec<u8> = insns.iter().flat_map(|insn| insn.to_bytes_le()).collect();
    let mut vm = rbpf::EbpfVmRaw::new(Some(&bytes)).unwrap();
    vm.register_helper(1, value_of).unwrap();
    let mut memory = vec![0u8; MEMORY];
    let start = Instant::now();
    (vm.execute_program(&mut memory).unwrap(), start.elapsed().as_secs_f64())
}

fn ours(program: &Program) -> (u64, f64) {
    let mut machine = Machine::new(program, Options::default()).unwrap();
    if !program.maps.is_empty() {
        for n in 0..1024u32 {
            machine.maps().update(0, &n.to_ne_bytes(), &(u64::from(n) + 1).to_ne_bytes(), 0).unwrap();
        }
    }
    let input = Input::memory(vec![0; MEMORY]);
    let start = Instant::now();
    (machine.run(&input).unwrap().r0, start.elapsed().as_secs_f64())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    println!("| what, million instructions a second | tracewell | other | ours / theirs |");
    println!("| --- | ---: | ---: | ---: |");
    for one in loops() {
        let rate = |seconds: f64| one.insns * f64::from(TURNS) / seconds / 1e6;
        let (mut all, mut results) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
        let theirs = one.rbpf.as_ref().unwrap_or(&one.ours.insns);
        for _ in 0..ROUNDS {
            let mut note = |which: usize, (r0, seconds): (u64, f64)| {
                all[which].push(rate(seconds));
                results.push(r0);
            };
            note(0, ours(&one.ours));
            note(1, rbpf(theirs));
            if !one.sbpf.is_empty() {
                note(2, sbpf(&one.sbpf));
            }
        }
        assert!(results.windows(2).all(|w| w[0] == w[1]), "{}: the engines disagree: {results:x?}", one.name);
        let [mine, rbpf, sbpf] = all;
        let mine = median(mine);
        for (name, theirs) in [("rbpf", rbpf), ("solana-sbpf", sbpf)] {
            if theirs.is_empty() {
                println!("| {} | {mine:.0} | {name} has none | |", one.name);
                continue;
            }
            let theirs = median(theirs);
            println!("| {} | {mine:.0} | {name} {theirs:.0} | {:.2} |", one.name, mine / theirs);
        }
    }
}
