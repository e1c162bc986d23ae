//! Values of the kernel's configuration, in the types that the object declares them with.

use crate::spec::Extern;
use crate::target::Target;
use crate::{Error, Result};
use btf::{Btf, Endian, Kind, TypeId};

/// What a variable of the configuration can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Bool,
    /// `enum libbpf_tristate`.
    Tristate,
    Char,
    Int {
        signed: bool,
    },
    Text,
}

fn shape(types: &Btf<'_>, id: TypeId) -> Option<Shape> {
    let (_, ty) = types.resolve(id)?;
    match ty.kind() {
        Kind::Int => {
            let int = ty.int()?;
            match ty.size()? {
                1 if int.bool => Some(Shape::Bool),
                _ if int.bool => None,
                1 => Some(Shape::Char),
                2 | 4 | 8 => Some(Shape::Int { signed: int.signed }),
                _ => None,
            }
        }
        Kind::Enum => (ty.size() == Some(4) && ty.name() == "libbpf_tristate").then_some(Shape::Tristate),
        Kind::Array => {
            let array = ty.array()?;
            (array.len != 0 && shape(types, array.element)? == Shape::Char).then_some(Shape::Text)
        }
        _ => None,
    }
}

/// Bytes of the value that `wanted` has in the target.
pub(super) fn value(
    wanted: &Extern,
    types: &Btf<'_>,
    type_id: TypeId,
    size: u32,
    endian: Endian,
    target: &Target<'_>,
) -> Result<Vec<u8>> {
    let name = wanted.name.as_str();
    let fail = |what: String| Error::Extern { name: name.to_owned(), what };
    let shape = shape(types, type_id).ok_or_else(|| {
        fail(
            "its type is none that a configuration value can have: take bool, char, an integer, enum \
             libbpf_tristate or an array of char"
                .to_owned(),
        )
    })?;
    // A signed char is a number like others.
    let signed = types.resolve(type_id).is_some_and(|(_, ty)| ty.is_signed());
    let number = |value: u64| number(shape, signed, size, endian, value).map_err(fail);
    match name {
        "LINUX_KERNEL_VERSION" => return number(u64::from(target.version()?)),
        "LINUX_HAS_BPF_COOKIE" => return number(u64::from(target.has_bpf_cookie())),
        "LINUX_HAS_SYSCALL_WRAPPER" => return number(u64::from(target.has_syscall_wrapper()?)),
        _ => {}
    }
    let zeros = vec![0; size as usize];
    if !name.starts_with("CONFIG_") {
        return match wanted.weak && name.starts_with("LINUX_") {
            true => Ok(zeros),
            false => Err(fail(
                "is no value that loaders know: there are CONFIG_*, LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE and \
                 LINUX_HAS_SYSCALL_WRAPPER"
                    .to_owned(),
            )),
        };
    }
    let options = target.options();
    let Some(text) = options.get(name) else {
        if wanted.weak {
            return Ok(zeros);
        }
        return Err(fail(match options.place() {
            Some(place) => format!(
                "is not set in {place}; take a kernel that has it, or declare the variable __weak, which makes it 0"
            ),
            None => {
                "no configuration of this kernel can be read: not /proc/config.gz, /boot/config-RELEASE or \
                     /lib/modules/RELEASE/config; declare the variable __weak, which makes it 0"
                    .to_owned()
            }
        }));
    };
    match text.as_bytes().first() {
        Some(b'y' | b'n' | b'm') => tristate(shape, endian, text).map_err(fail),
        Some(b'"') => quoted(shape, size, text).map_err(fail),
        _ => number(integer(text).ok_or_else(|| fail(format!("the value {text} is no number")))?),
    }
}

fn tristate(shape: Shape, endian: Endian, text: &str) -> Result<Vec<u8>, String> {
    let letter = text.bytes().next().unwrap_or(b'n');
    match shape {
        Shape::Bool if letter == b'm' => {
            Err("is `m` (a module), which a bool cannot be: declare it `enum libbpf_tristate`".to_owned())
        }
        Shape::Bool => Ok(vec![u8::from(letter == b'y')]),
        Shape::Char => Ok(vec![letter]),
        Shape::Tristate => {
            let value = match letter {
                b'y' => 1,
                b'm' => 2,
                _ => 0,
            };
            Ok(bytes(value, 4, endian))
        }
        _ => Err(format!("is `{text}`: declare it bool, char or enum libbpf_tristate")),
    }
}

fn quoted(shape: Shape, size: u32, text: &str) -> Result<Vec<u8>, String> {
    if shape != Shape::Text {
        return Err(format!("is the text {text}: declare it an array of char"));
    }
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| format!("the value {text} has no closing quote"))?;
    let size = size as usize;
    // What is too long is cut, and ends in a zero byte all the same.
    let mut value: Vec<u8> = inner.bytes().take(size.saturating_sub(1)).collect();
    value.resize(size, 0);
    Ok(value)
}

fn integer(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

fn number(shape: Shape, signed: bool, size: u32, endian: Endian, value: u64) -> Result<Vec<u8>, String> {
    let fits = match shape {
        Shape::Bool => value <= 1,
        Shape::Char | Shape::Int { .. } => {
            let bits = size.saturating_mul(8);
            let spare = 64_u32.saturating_sub(bits);
            match signed {
                true => (((value << spare) as i64) >> spare) as u64 == value,
                false => (value << spare) >> spare == value,
            }
        }
        Shape::Tristate | Shape::Text => {
            return Err(format!("is the number {}: declare it an integer", value as i64));
        }
    };
    match fits {
        true => Ok(bytes(value, size as usize, endian)),
        false => {
            Err(format!("is {}, which does not fit into its {size} bytes: declare it larger", value as i64))
        }
    }
}

fn bytes(value: u64, size: usize, endian: Endian) -> Vec<u8> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.truncate(size);
    if endian == Endian::Big {
        bytes.reverse();
    }
    bytes
}
