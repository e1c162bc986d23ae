//! How many instructions a second are decoded and printed, and read back: `cargo run --release -p tracewell-asm --example
//! speed`.

use asm::{Builder, DisasmOptions, Helper, Insn, MapRef, Size, Syntax, assemble, decode, disassemble_with};
use asm::{R0, R1, R2, R6, R10};
use std::time::Instant;

/// What compilers make: loads, stores, arithmetic, jumps, calls, addresses of maps.
fn program(rounds: usize) -> Vec<Insn> {
    let mut b = Builder::new();
    for n in 0..rounds {
        let out = b.label();
        let n = (n % 100) as i32;
        b.load(Size::DW, R6, R1, 8)
            .store(Size::DW, R10, -8, R6)
            .store_imm(Size::W, R10, -12, n)
            .mov(R2, R10)
            .add_imm(R2, -12)
            .ld_map(R1, MapRef(0))
            .call(Helper::MAP_LOOKUP_ELEM)
            .jeq_imm(R0, 0, out)
            .load(Size::W, R1, R0, 4)
            .mov32_imm(R2, n)
            .and_imm(R1, 0xff)
            .lsh_imm(R1, 32)
            .jsgt_imm(R1, 1000, out)
            .atomic_add(Size::DW, R0, 0, R1)
            .bind(out)
            .mov_imm(R0, 0);
    }
    b.exit();
    b.finish().map(|program| program.insns).unwrap_or_default()
}

fn count(insns: &[Insn]) -> usize {
    let (mut at, mut count) = (0, 0);
    while let Some(Ok((_, slots))) = insns.get(at..).filter(|rest| !rest.is_empty()).map(decode) {
        at += slots;
        count += 1;
    }
    count
}

/// The best of several rounds, in millions a second.
fn best(count: usize, mut round: impl FnMut() -> usize) -> f64 {
    let mut best = f64::MAX;
    let mut check = 0;
    for _ in 0..200 {
        let start = Instant::now();
        check += std::hint::black_box(round());
        best = best.min(start.elapsed().as_secs_f64());
    }
    assert!(check > 0, "nothing was done");
    count as f64 / best / 1e6
}

fn main() {
    // Short rounds: on a busy machine some of them are not interrupted.
    let insns = program(2_000);
    let count = count(&insns);
    println!("{count} instructions");
    println!("decode             {:7.1} million/s", best(count, || self::count(&insns)));
    let mut text = String::new();
    for (name, syntax, opcodes) in [
        ("print, kernel  ", Syntax::Kernel, false),
        ("print, opcodes ", Syntax::Kernel, true),
        ("print, mnemonic", Syntax::Mnemonic, false),
    ] {
        let options = DisasmOptions { syntax, opcodes, ..DisasmOptions::default() };
        let rate = best(count, || {
            text.clear();
            let mut lines = disassemble_with(&insns, options);
            while lines.next_into(&mut text).is_some() {
                text.push('\n');
            }
            text.len()
        });
        println!("decode and {name} {rate:5.1} million/s");
    }
    text.clear();
    let mut lines = disassemble_with(&insns, DisasmOptions::default());
    while lines.next_into(&mut text).is_some() {
        text.push('\n');
    }
    for (name, head) in [("with line records", ""), ("without          ", ".line none\n")] {
        let text = format!("{head}{text}");
        let rate = best(count, || assemble(&text).map_or(0, |assembly| assembly.program.insns.len()));
        println!("assemble, {name} {rate:5.1} million/s");
    }
}
