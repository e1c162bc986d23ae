//! Decoding of x86-64.

use super::{Op, Symbols};
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter, OpKind};

/// Decodes `bytes`, which lie at `offset` of a function that begins at `addr` and is `len` bytes long.
pub(super) fn decode(bytes: &[u8], offset: usize, addr: u64, len: usize, symbols: &dyn Symbols) -> Vec<Op> {
    let mut decoder = Decoder::with_ip(64, bytes, addr.wrapping_add(offset as u64), DecoderOptions::NONE);
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    options.set_small_hex_numbers_in_decimal(true);
    options.set_uppercase_hex(false);
    let mut ops = Vec::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let from = decoder.position();
        decoder.decode_out(&mut instruction);
        let raw = bytes.get(from..decoder.position()).unwrap_or_default();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let mut note = None;
        if let Some(target) = branch_target(&instruction) {
            let within = target.wrapping_sub(addr);
            if within < len as u64 {
                // Within the function, as an offset: that is what the left column shows.
                let word = text.split(' ').next().unwrap_or_default().to_owned();
                text = format!("{word} {within:#x}");
            } else {
                note = symbols.at(target);
            }
        } else if let Some(symbol) = immediate(&instruction).and_then(|value| symbols.at(value)) {
            note = Some(symbol);
        }
        ops.push(Op { offset: offset + from, bytes: raw.to_vec(), text, note });
    }
    ops
}

fn branch_target(instruction: &Instruction) -> Option<u64> {
    (instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch_target())
}

/// A 64-bit immediate: perhaps an address.
fn immediate(instruction: &Instruction) -> Option<u64> {
    (0..instruction.op_count())
        .find(|at| instruction.op_kind(*at) == OpKind::Immediate64)
        .map(|at| instruction.immediate(at))
}
