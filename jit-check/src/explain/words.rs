//! Knowledge in words.

use super::Entry;
use crate::verifier::{Numbers, Value};

/// The register that the verifier speaks of: `R3 invalid mem access`.
pub(super) fn register_meant(reason: &str) -> Option<u8> {
    let mut words = reason.split([' ', ';', ',', '(']);
    words.find_map(|word| word.strip_prefix('R')?.parse().ok())
}

/// Distance from the frame pointer of a pointer to the stack.
pub(super) fn stack_offset(value: &Value) -> Option<i32> {
    match value {
        Value::Pointer { kind: "fp", off, var_off, .. } => Some(off.wrapping_add(var_off.only()? as i32)),
        _ => None,
    }
}

/// What a register holds, for people.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Nothing => "not written on this path".to_owned(),
        Value::Number(numbers) => number(numbers),
        Value::Pointer { kind, off, var_off, maybe_null, size } => {
            let mut text = match (*kind, size) {
                ("fp", _) => return format!("the frame pointer{}{}", signed(*off), variable(var_off)),
                ("ctx", _) => "a pointer to the context".to_owned(),
                ("map_ptr", _) => return "a map".to_owned(),
                ("map_value", Some(size)) => format!("a pointer to a map's value of {size} bytes"),
                ("map_value", None) => "a pointer to a map's value".to_owned(),
                ("mem", Some(size)) => format!("a pointer to {size} bytes of memory"),
                ("pkt", Some(0) | None) => "a pointer into the packet, not compared with its end".to_owned(),
                ("pkt", Some(size)) => format!("a pointer into the packet, {size} bytes of it checked"),
                ("pkt_end", _) => "the packet's end".to_owned(),
                ("ptr_", _) => "a pointer to a kernel object".to_owned(),
                (kind, _) => format!("a pointer ({kind})"),
            };
            if *maybe_null {
                text += ", or NULL";
            }
            if *off != 0 || var_off.only() != Some(0) {
                text += &format!(", offset {}{}", off, variable(var_off));
            }
            text
        }
    }
}

fn signed(off: i32) -> String {
    if off == 0 { String::new() } else { format!("{off:+}") }
}

fn variable(off: &Numbers) -> String {
    match off.only() {
        Some(0) => String::new(),
        Some(only) => format!(" plus {}", only as i64),
        None => format!(" plus {}", range(off)),
    }
}

fn number(numbers: &Numbers) -> String {
    match numbers.only() {
        Some(only) if only as i64 >= 0 && only < 4096 => format!("the number {only}"),
        Some(only) => format!("the number {} ({only:#x})", only as i64),
        None => format!("a number, {}", range(numbers)),
    }
}

/// The narrower of both ranges.
fn range(numbers: &Numbers) -> String {
    let (least, most) = numbers.unsigned;
    let (low, high) = numbers.signed;
    if (least, most) == (0, u64::MAX) && (low, high) == (i64::MIN, i64::MAX) {
        return "which may be any".to_owned();
    }
    if low < 0 && high.wrapping_sub(low) as u64 <= most.wrapping_sub(least) {
        return format!("from {low} to {high}");
    }
    match most {
        0x10000.. => format!("from {least} to {most:#x}"),
        _ => format!("from {least} to {most}"),
    }
}

/// What to do, where what was known says more than the verifier's words alone.
pub(super) fn remedy(reason: &str, last: Option<&Entry>, regno: Option<u8>) -> Option<String> {
    let regno = regno?;
    let known = last?.regs.get(usize::from(regno))?;
    let out_of_range =
        ["outside of the allowed memory range", "invalid access to map value", "unbounded memory access"]
            .iter()
            .any(|words| reason.contains(words));
    match known {
        Value::Pointer { kind, off, var_off, size: Some(size), .. } if out_of_range && *kind != "pkt" => {
            let room = i64::from(*size) - i64::from(*off);
            if var_off.only().is_some() {
                return Some(format!(
                    "the last byte that may be accessed is {}; the value has {size}",
                    size - 1
                ));
            }
            let mask = if *size > 0 { (u64::from(*size) + 1).next_power_of_two() / 2 - 1 } else { 0 };
            Some(format!(
                "{} was added to the pointer, and less than {room} may be: mask the index (`& {mask:#x}`) or compare it \
                 (`if (i >= {size}) return 0;`) as an unsigned number before it is added",
                range(var_off)
            ))
        }
        _ => None,
    }
}
