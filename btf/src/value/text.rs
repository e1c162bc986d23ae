//! Values as C initializers.

use super::{Entry, Value};
use std::fmt::{self, Display, Formatter};

/// So many equal elements in a row are written as a range.
const RUN: usize = 8;

/// On one line; with `{:#}` one member a line.
impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Value<'_> {
    fn write(&self, f: &mut Formatter<'_>, level: usize) -> fmt::Result {
        match self {
            Value::Signed(value) => write!(f, "{value}"),
            Value::Unsigned(value) => write!(f, "{value}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Char(value @ b' '..=b'~') => {
                let escape = if matches!(value, b'\'' | b'\\') { "\\" } else { "" };
                write!(f, "'{escape}{}'", char::from(*value))
            }
            Value::Char(value) => write!(f, "{value}"),
            Value::Enum { name: Some(name), .. } => f.write_str(name),
            Value::Enum { name: None, value } => write!(f, "{value}"),
            // With the point or exponent that makes it a floating-point literal.
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Pointer(value) => write!(f, "{value:#x}"),
            Value::Text(text) => write_text(f, text),
            Value::Array { elements, missing } => write_array(f, elements, *missing, level),
            Value::Struct(entries) | Value::Union(entries) => write_entries(f, entries, level),
            Value::Bytes(bytes) => {
                f.write_str("{")?;
                for (at, byte) in bytes.iter().enumerate() {
                    write!(f, "{}{byte:#04x}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Value::Missing => f.write_str("/* no data */"),
        }
    }

    /// Whether it needs more than a line where members get their own.
    fn is_large(&self) -> bool {
        match self {
            Value::Struct(entries) | Value::Union(entries) => !entries.is_empty(),
            Value::Array { elements, .. } => elements.iter().any(Value::is_large),
            _ => false,
        }
    }
}

fn new_line(f: &mut Formatter<'_>, level: usize) -> fmt::Result {
    write!(f, "\n{:1$}", "", level * 4)
}

fn write_entries(f: &mut Formatter<'_>, entries: &[Entry<'_>], level: usize) -> fmt::Result {
    f.write_str("{")?;
    let mut first = true;
    write_flat(f, entries, level + 1, &mut first)?;
    if f.alternate() && !first {
        f.write_str(",")?;
        new_line(f, level)?;
    }
    f.write_str("}")
}

/// Members, those of anonymous structs and unions among them.
fn write_flat(f: &mut Formatter<'_>, entries: &[Entry<'_>], level: usize, first: &mut bool) -> fmt::Result {
    for entry in entries {
        if let ("", Value::Struct(inner) | Value::Union(inner)) = (entry.name, &entry.value) {
            write_flat(f, inner, level, first)?;
            continue;
        }
        separate(f, level, first)?;
        if !entry.name.is_empty() {
            write!(f, ".{} = ", entry.name)?;
        }
        entry.value.write(f, level)?;
    }
    Ok(())
}

fn separate(f: &mut Formatter<'_>, level: usize, first: &mut bool) -> fmt::Result {
    let was_first = std::mem::replace(first, false);
    match (f.alternate(), was_first) {
        (true, true) => new_line(f, level),
        (true, false) => f.write_str(",").and_then(|()| new_line(f, level)),
        (false, true) => Ok(()),
        (false, false) => f.write_str(", "),
    }
}

fn write_array(f: &mut Formatter<'_>, elements: &[Value<'_>], missing: u64, level: usize) -> fmt::Result {
    let large = f.alternate() && elements.iter().any(Value::is_large);
    f.write_str("{")?;
    let (mut at, mut first, mut ranged) = (0, true, false);
    while let Some(element) = elements.get(at) {
        match (large, std::mem::replace(&mut first, false)) {
            (true, true) => new_line(f, level + 1)?,
            (true, false) => f.write_str(",").and_then(|()| new_line(f, level + 1))?,
            (false, true) => {}
            (false, false) => f.write_str(", ")?,
        }
        let run = elements.get(at..).map_or(1, |rest| rest.iter().take_while(|e| *e == element).count());
        if run >= RUN {
            write!(f, "[{at} ... {}] = ", at + run - 1)?;
            at += run;
            ranged = true;
        } else {
            if std::mem::take(&mut ranged) {
                write!(f, "[{at}] = ")?;
            }
            at += 1;
        }
        element.write(f, level + 1)?;
    }
    if missing > 0 && !elements.is_empty() {
        write!(f, " /* and {missing} more */")?;
    }
    if large {
        f.write_str(",")?;
        new_line(f, level)?;
    }
    f.write_str("}")
}

fn write_text(f: &mut Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\{:03o}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
