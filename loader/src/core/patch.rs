//! Values put into instructions.

use asm::Insn;

/// Class bits of an opcode (RFC 9669, section 3.2).
const CLASS: u8 = 0x07;
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const ALU64: u8 = 0x07;
/// The bit of arithmetic with a register instead of an immediate.
const SOURCE: u8 = 0x08;
/// The bits that say how much a load or store moves.
const SIZE: u8 = 0x18;
/// A 64-bit immediate load, of two words.
const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;

/// Number of the helper that a poisoned instruction calls; there is none. The same as libbpf's, so that whoever knows it
/// from the verifier's log knows what it means.
pub(crate) const POISON: i32 = 0x0bad_2310;

/// What a relocation puts into an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What the compiler should have put there; `None` where that is not compared.
    pub expect: Option<u64>,
    pub value: u64,
    /// What a load or store moves in the object and in the target, where that differs: bytes.
    pub resize: Option<(u64, u64)>,
    /// Whether a load or store of the target's size would give another value than the program means.
    pub resize_changes_value: bool,
}

/// What became of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patched {
    Done,
    /// It must be poisoned, as its size cannot be adjusted.
    WrongAccess,
}

/// Replaces the instruction at `at` by one that the verifier refuses.
pub(crate) fn poison(insns: &mut [Insn], at: usize) {
    let bad = Insn::new(CALL, 0, 0, 0, POISON);
    let wide = insns.get(at).is_some_and(|insn| insn.opcode == LD_IMM64);
    for insn in insns.iter_mut().skip(at).take(if wide { 2 } else { 1 }) {
        *insn = bad;
    }
}

/// Puts the value into the instruction at `at`. The error says why the instruction cannot take it.
pub(crate) fn patch(insns: &mut [Insn], at: usize, change: &Change) -> Result<Patched, String> {
    let Some(insn) = insns.get(at).copied() else {
        return Err(format!("there is no instruction {at}; the object is damaged, compile it again"));
    };
    let check = |found: u64, what: &str| match change.expect {
        Some(expect) if expect != found => Err(format!(
            "the {what} is {}, and the object's types say {}: the object was changed after it was compiled, or is damaged",
            found as i64, expect as i64
        )),
        _ => Ok(()),
    };
    let mut new = insn;
    match insn.opcode & CLASS {
        ALU | ALU64 => {
            if insn.opcode & SOURCE != 0 {
                return Err("arithmetic between registers has no place for a value".to_owned());
            }
            check(insn.imm as u64, "immediate value")?;
            let value = change.value;
            if i32::try_from(value as i64).is_err() && u32::try_from(value).is_err() {
                return Err(format!("the value {value:#x} does not fit into the 32 bits of the instruction"));
            }
            new.imm = value as i32;
        }
        LDX | ST | STX => {
            check(insn.off as u64, "offset")?;
            new.off = i16::try_from(change.value).map_err(|_| {
                format!(
                    "the offset {} in the target does not fit into the 16 bits of a load or store; take the address \
                     first (bpf_core_read())",
                    change.value
                )
            })?;
            if change.resize_changes_value {
                return Ok(Patched::WrongAccess);
            }
            if let Some((from, to)) = change.resize {
                let moved = access_bytes(insn.opcode);
                if moved != from {
                    return Err(format!("the access moves {moved} bytes, and the field has {from}"));
                }
                new.opcode = (insn.opcode & !SIZE)
                    | size_bits(to)
                        .ok_or_else(|| format!("no load or store moves the {to} bytes of the field there"))?;
            }
        }
        LD => {
            let next = insns.get(at + 1).copied().filter(|next| {
                insn.opcode == LD_IMM64
                    && insn.regs >> 4 == 0
                    && insn.off == 0
                    && (next.opcode, next.regs, next.off) == (0, 0, 0)
            });
            let Some(mut next) = next else {
                return Err("only loads of 64-bit values can be relocated, not this form of load".to_owned());
            };
            let found = u64::from(insn.imm as u32) | (u64::from(next.imm as u32) << 32);
            check(found, "64-bit value")?;
            new.imm = change.value as i32;
            next.imm = (change.value >> 32) as i32;
            if let Some(place) = insns.get_mut(at + 1) {
                *place = next;
            }
        }
        _ => return Err("jumps cannot be relocated".to_owned()),
    }
    if let Some(place) = insns.get_mut(at) {
        *place = new;
    }
    Ok(Patched::Done)
}

fn access_bytes(opcode: u8) -> u64 {
    match opcode & SIZE {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

fn size_bits(bytes: u64) -> Option<u8> {
    match bytes {
        4 => Some(0x00),
        2 => Some(0x08),
        1 => Some(0x10),
        8 => Some(0x18),
        _ => None,
    }
}
