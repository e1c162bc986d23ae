//! [`EventSpec`] to text: one canonical spelling, which parses to the same kind in [`super::Dialect::Auto`].

use std::fmt::{self, Write};

use super::{BinaryRef, EventKind, EventSpec, FuncRef, Pattern, Syntax};

impl fmt::Display for EventSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Kprobe { ret, module, func, offset } => {
                f.write_str(if *ret { "kretprobe:" } else { "kprobe:" })?;
                if let Some(module) = module {
                    part(f, module.text())?;
                    f.write_char(':')?;
                }
                function(f, func, *offset)
            }
            EventKind::Uprobe { ret, binary, func, offset } => {
                f.write_str(if *ret { "uretprobe:" } else { "uprobe:" })?;
                file(f, binary)?;
                f.write_char(':')?;
                function(f, func, *offset)
            }
            EventKind::Scoped { ret, module, func, offset, .. } => {
                f.write_str(if *ret { "r:" } else { "p:" })?;
                part(f, module.text())?;
                f.write_char(':')?;
                function(f, func, *offset)
            }
            EventKind::Tracepoint { category, event } => {
                f.write_str("tracepoint:")?;
                // An empty category reads as any; as a regular expression `*` alone would be an error.
                if !(category.is_any() && category.syntax() == Syntax::Glob && category.text() == "*") {
                    part(f, category.text())?;
                }
                f.write_char(':')?;
                part(f, event.text())
            }
            EventKind::Usdt { binary, provider, probe } => {
                f.write_str("usdt:")?;
                file(f, binary)?;
                f.write_char(':')?;
                if let Some(provider) = provider {
                    part(f, provider.text())?;
                    f.write_char(':')?;
                }
                part(f, probe.text())
            }
        }
    }
}

impl fmt::Display for BinaryRef {
    /// The file as it was written; `-` for the traced process's program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BinaryRef::Path(text) | BinaryRef::Name(text) => f.write_str(text),
            BinaryRef::Pattern(pattern) => f.write_str(pattern.text()),
            BinaryRef::Process => f.write_char('-'),
        }
    }
}

impl fmt::Display for FuncRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FuncRef::Exact(name) => f.write_str(name),
            FuncRef::Pattern(pattern) => f.write_str(pattern.text()),
            FuncRef::Addr(addr) => write!(f, "{addr:#x}"),
        }
    }
}

fn file(f: &mut fmt::Formatter<'_>, binary: &BinaryRef) -> fmt::Result {
    match binary {
        BinaryRef::Path(text) | BinaryRef::Name(text) => part(f, text),
        BinaryRef::Pattern(pattern) => part(f, pattern.text()),
        BinaryRef::Process => Ok(()),
    }
}

fn function(f: &mut fmt::Formatter<'_>, func: &FuncRef, offset: u64) -> fmt::Result {
    match func {
        FuncRef::Exact(name) => {
            let escaped = escape_glob(name);
            part(f, &escaped)?;
        }
        FuncRef::Pattern(pattern) => pattern_part(f, pattern)?,
        FuncRef::Addr(addr) => write!(f, "{addr:#x}")?,
    }
    if offset == 0 { Ok(()) } else { write!(f, "+{offset:#x}") }
}

fn pattern_part(f: &mut fmt::Formatter<'_>, pattern: &Pattern) -> fmt::Result {
    part(f, pattern.text())
}

/// A name that holds a wildcard character came from brackets, and goes back into them.
fn escape_glob(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '*' | '?' | '[' => out.extend(['[', c, ']']),
            other => out.push(other),
        }
    }
    out
}

fn part(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, ':' | '+' | '"' | '\\' | ',');
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with("0x") && !text.starts_with("0X") {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}
