//! Which kernel functions can be traced, by name or pattern.
//!
//! The kernel's own list is `available_filter_functions` in tracefs. Where it is missing or unreadable (no dynamic
//! ftrace, lockdown), the symbols of `/proc/kallsyms` that BTF knows as functions stand in for it, without the
//! sections that hold no traceable code. Either way the kprobe blacklist is taken off where it can be read. The
//! result says which [`Source`] it comes from. A plain name needs no file at all: attaching tells.

mod fallback;
mod table;

use std::ops::ControlFlow;
use std::path::PathBuf;

pub(super) use fallback::{Sections, is_fragment};
pub use table::{FunctionTable, Source};

use super::blacklist::Blacklist;
use super::suggest::Suggest;
use super::{kallsyms, lines, modules};
use crate::error::{Error, Result};
use crate::spec::{FuncRef, Pattern};
use crate::tracefs::Tracefs;
use table::Builder;

/// What stands for the kernel itself where a module is asked for, as in bpftrace.
pub const CORE: &str = "vmlinux";

/// Finds the kernel functions that `func` means, in modules that match (`None`: anywhere, `vmlinux`: the kernel
/// itself).
///
/// With `addrs` the table also holds the entry address of each function, as `bpf(2)`'s kprobe.multi link takes them;
/// that costs a pass over `/proc/kallsyms`. Functions whose address is not known for certain are then left out and
/// counted in [`FunctionTable::skipped`].
///
/// Errors: nothing matches ([`Error::NoMatch`] with the nearest names), or no source could be read.
pub fn find(func: &FuncRef, module: Option<&Pattern>, addrs: bool) -> Result<FunctionTable> {
    match func {
        FuncRef::Exact(name) if module.is_none() && !addrs => Ok(FunctionTable::single(name, None, None)),
        FuncRef::Exact(name) => exact(name, module, addrs),
        FuncRef::Addr(addr) => Ok(FunctionTable::single(&format!("{addr:#x}"), Some(*addr), None)),
        FuncRef::Pattern(pattern) => matching(pattern, module, addrs),
    }
}

/// Every address at which a code symbol of that name is, with its module; more than one for static functions that
/// share a name. In the file's order.
///
/// Errors: `/proc/kallsyms` cannot be read.
pub fn locate(name: &str, module: Option<&Pattern>) -> Result<Vec<(u64, Option<String>)>> {
    let found = kallsyms::find(&[name])?;
    let fits =
        |kind: u8, at: Option<&str>| matches!(kind, b't' | b'T' | b'w' | b'W') && in_module(module, at);
    Ok(found.into_iter().filter(|(_, _, k, m)| fits(*k, m.as_deref())).map(|(_, a, _, m)| (a, m)).collect())
}

/// The bytes from the start of a function to the next symbol; `None` where there is no such function, or more than
/// one, or where the kernel hides addresses. Two passes over `/proc/kallsyms`.
pub fn length(name: &str, module: Option<&Pattern>) -> Option<u64> {
    let places = locate(name, module).ok()?;
    let [(start, _)] = places[..] else { return None };
    if start == 0 {
        return None;
    }
    let mut end = u64::MAX;
    kallsyms::scan(|line| {
        if line.addr > start && line.is_text() {
            end = end.min(line.addr);
        }
        ControlFlow::Continue(())
    })
    .ok()?;
    (end != u64::MAX).then_some(end - start)
}

fn exact(name: &str, module: Option<&Pattern>, addrs: bool) -> Result<FunctionTable> {
    let places = locate(name, module)?;
    match &places[..] {
        [] => Err(no_match(name, module)),
        [(addr, at)] => {
            if addrs && *addr == 0 {
                // Hidden addresses: say why, in the words of the symbol table.
                kallsyms::Kallsyms::read()?;
            }
            Ok(FunctionTable::single(name, addrs.then_some(*addr), at.as_deref()))
        }
        // A weak and a strong alias at one place are one function.
        [(first, at), rest @ ..] if rest.iter().all(|(addr, _)| addr == first) && *first != 0 => {
            Ok(FunctionTable::single(name, addrs.then_some(*first), at.as_deref()))
        }
        many => Err(Error::Ambiguous {
            name: name.to_owned(),
            addrs: many.iter().map(|(addr, _)| *addr).collect(),
        }),
    }
}

fn matching(pattern: &Pattern, module: Option<&Pattern>, addrs: bool) -> Result<FunctionTable> {
    let blacklist = Blacklist::read();
    let mut builder = Builder::default();
    let table =
        match available_path().map(|path| from_available(&path, pattern, module, &blacklist, &mut builder)) {
            Some(Ok(())) => {
                if addrs {
                    builder.add_addresses()?;
                }
                builder.finish(Source::AvailableFilterFunctions)
            }
            _ => fallback::from_kallsyms(pattern, module, &blacklist, addrs)?,
        };
    if !table.is_empty() {
        return Ok(table);
    }
    Err(none_traceable(pattern, module).unwrap_or_else(|| no_match(pattern.text(), module)))
}

/// The kernel's list, if tracefs is there.
fn available_path() -> Option<PathBuf> {
    Some(Tracefs::locate().ok()?.path("available_filter_functions"))
}

fn from_available(
    path: &std::path::Path,
    pattern: &Pattern,
    module: Option<&Pattern>,
    blacklist: &Blacklist,
    builder: &mut Builder,
) -> Result<()> {
    lines::for_each_in(path, |line| {
        if let Some((name, at)) = available_line(line)
            && pattern.matches_bytes(name)
            && in_module_bytes(module, at)
            && !blacklist.contains(name)
        {
            builder.push(name, at, None);
        }
        ControlFlow::Continue(())
    })
}

/// `name` or `name [module]`, without the entries of functions that went away.
pub(crate) fn available_line(line: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = line.iter().position(|&b| b == b' ' || b == b'\t').unwrap_or(line.len());
    let (name, tail) = line.split_at(end);
    if name.is_empty() || name.starts_with(b"__ftrace_invalid_address__") {
        return None;
    }
    let tail = tail.trim_ascii();
    let module =
        tail.strip_prefix(b"[").and_then(|t| t.split(|&b| b == b']').next()).filter(|m| !m.is_empty());
    Some((name, module))
}

fn in_module_bytes(wanted: Option<&Pattern>, module: Option<&[u8]>) -> bool {
    wanted.is_none() || in_module(wanted, module.map(|m| std::str::from_utf8(m).unwrap_or("?")))
}

fn in_module(wanted: Option<&Pattern>, module: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    let module = module.unwrap_or(CORE);
    wanted.matches(module) || wanted.literal().is_some_and(|literal| modules::same_name(literal, module))
}

/// The error for a pattern whose matches exist and cannot be traced, with the reason for the first of them.
fn none_traceable(pattern: &Pattern, module: Option<&Pattern>) -> Option<Error> {
    let (mut count, mut first) = (0, None);
    // Without the list it is not known, and then nothing is claimed.
    let _ = kallsyms::scan(|line| {
        let at = line.module.map(|m| std::str::from_utf8(m).unwrap_or("?"));
        if line.is_text() && pattern.matches_bytes(line.name) && in_module(module, at) {
            count += 1;
            first.get_or_insert_with(|| String::from_utf8_lossy(line.name).into_owned());
        }
        ControlFlow::Continue(())
    });
    let first = first?;
    let why = super::why_not::why_not(&first).explain();
    Some(Error::NotTraceable {
        name: pattern.text().to_owned(),
        why: format!("{count} functions match and none of them can be traced; `{first}`, for one: {why}"),
        near: Vec::new(),
    })
}

/// [`Error::NoMatch`] with the nearest names, or with the module that would have to be loaded.
fn no_match(name: &str, module: Option<&Pattern>) -> Error {
    if let Some(literal) = module.and_then(Pattern::literal)
        && literal != CORE
        && !modules::is_loaded(literal)
    {
        return super::why_not::module_not_loaded(name, literal);
    }
    let mut suggest = Suggest::new(name);
    // Suggestions are a courtesy: without the list there are none.
    let _ = kallsyms::scan(|line| {
        if line.is_text() && !line.name.starts_with(b"__pfx_") && !line.name.starts_with(b"__cfi_") {
            suggest.offer(line.name, || shown(&line));
        }
        ControlFlow::Continue(())
    });
    let pattern = match module {
        Some(module) => format!("{module}:{name}"),
        None => name.to_owned(),
    };
    Error::NoMatch { what: "kernel function", pattern, near: suggest.into_names() }
}

/// How a symbol would be written in a spec.
pub(super) fn shown(line: &kallsyms::Line<'_>) -> String {
    let name = String::from_utf8_lossy(line.name);
    match line.module {
        Some(module) => format!("{}:{name}", String::from_utf8_lossy(module)),
        None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests;
