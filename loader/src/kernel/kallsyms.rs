//! Kernel symbols from `/proc/kallsyms` by name.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::lines;

/// Where the kernel lists its symbols.
pub const PATH: &str = "/proc/kallsyms";

/// One line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The address; 0 when the kernel hides it (`kernel.kptr_restrict`).
    pub addr: u64,
    /// The type letter as in nm(1): `t` and `T` are functions.
    pub kind: u8,
    /// The name; not necessarily UTF-8.
    pub name: &'a [u8],
    /// The module, without brackets; `bpf` for BPF programs.
    pub module: Option<&'a [u8]>,
}

impl Line<'_> {
    /// Whether this is code: `t`, `T`, and the weak `w`, `W`.
    pub fn is_text(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }

    /// Whether this is padding in front of a function, or a mapping symbol, which names no code of its own.
    pub fn is_padding(&self) -> bool {
        self.name.starts_with(b"__pfx_") || self.name.starts_with(b"__cfi_") || self.name.starts_with(b"$")
    }
}

/// Parses one line: `ffffffff81000000 T _text` with an optional tab and `[module]`. `None` for anything else.
pub fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let space = line.iter().take(17).position(|&b| b == b' ')?;
    let addr = hex(line.get(..space)?)?;
    let (&kind, rest) = line.get(space + 1..)?.split_first()?;
    let rest = rest.strip_prefix(b" ")?;
    let end = rest.iter().position(|&b| b == b'\t' || b == b' ').unwrap_or(rest.len());
    let (name, tail) = rest.split_at(end);
    if name.is_empty() {
        return None;
    }
    let module =
        tail.trim_ascii().strip_prefix(b"[").and_then(|m| m.strip_suffix(b"]")).filter(|m| !m.is_empty());
    Some(Line { addr, kind, name, module })
}

/// Up to 16 hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            b'A'..=b'F' => b - b'A' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// Calls `each` for every symbol of the running kernel until it breaks off.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn scan(mut each: impl FnMut(Line<'_>) -> ControlFlow<()>) -> io::Result<()> {
    lines::for_each_in(Path::new(PATH), |line| parse_line(line).map_or(ControlFlow::Continue(()), &mut each))
}

/// A symbol that was looked for by name: which of the names, the address (0 when the kernel hides it), the type letter
/// as in nm(1), and the module without brackets (`None` for the kernel itself).
pub type Found = (usize, u64, u8, Option<String>);

/// Every symbol with one of `names`, in the file's order.
///
/// Hidden addresses are 0 here; the name alone may be what is wanted.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn find(names: &[&str]) -> io::Result<Vec<Found>> {
    // There are a few hundred thousand symbols; of a name that is given twice the first counts.
    let mut wanted: HashMap<&[u8], usize> = HashMap::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        wanted.entry(name.as_bytes()).or_insert(index);
    }
    let mut found = Vec::new();
    scan(|line| {
        let index = match names {
            // Comparing is cheaper than hashing then.
            [name] => (name.as_bytes() == line.name).then_some(0),
            _ => wanted.get(line.name).copied(),
        };
        if let Some(index) = index {
            found.push((index, line.addr, line.kind, line.module.map(lossy)));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
