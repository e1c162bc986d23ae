//! Kernel symbols from `/proc/kallsyms`: address to name, name to address.
//!
//! Three ways to read it, from small to large: [`resolve_sorted`] names a list of addresses in one pass and keeps
//! only those names; [`scan`] hands every line to a closure; [`Kallsyms`] is a table for many lookups over time.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

use super::lines;
use crate::error::{Error, Result};

pub use loader::kernel::kallsyms::{Found, Line, PATH, parse_line};

/// An address farther than this behind a symbol is in no function: there is a hole in the address space.
const MAX_OFFSET: u64 = 1 << 20;

/// A resolved address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The symbol's name. Bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Bytes from the start of the symbol.
    pub offset: u64,
    /// The module, without brackets; `None` for the kernel itself.
    pub module: Option<String>,
}

/// Calls `each` for every symbol of the running kernel until it breaks off.
///
/// Errors: the file cannot be read.
pub fn scan(each: impl FnMut(Line<'_>) -> ControlFlow<()>) -> Result<()> {
    loader::kernel::kallsyms::scan(each).map_err(|source| Error::io("read", PATH, source))
}

/// Every symbol with one of `names`, in the file's order.
///
/// Errors: the file cannot be read. Hidden addresses are 0 here; the name alone may be what is wanted.
pub fn find(names: &[&str]) -> Result<Vec<Found>> {
    loader::kernel::kallsyms::find(names).map_err(|source| Error::io("read", PATH, source))
}

/// Names a list of addresses in ascending order, in one pass over the file and with memory for these names only.
///
/// The result has one entry an address; `None` where no symbol is near. Errors: the file cannot be read, or the
/// kernel hides all addresses.
pub fn resolve_sorted(addrs: &[u64]) -> Result<Vec<Option<Symbol>>> {
    if addrs.is_empty() {
        return Ok(Vec::new());
    }
    let file = File::open(PATH).map_err(|source| Error::io("open", PATH, source))?;
    resolve_sorted_from(file, addrs)
}

/// [`resolve_sorted`] from any reader of the same format.
pub fn resolve_sorted_from(reader: impl Read, addrs: &[u64]) -> Result<Vec<Option<Symbol>>> {
    /// The highest symbol so far between the wanted address before and this one.
    #[derive(Clone, Default)]
    struct Best {
        addr: u64,
        name: Vec<u8>,
        module: Option<Box<[u8]>>,
    }
    let mut best = vec![Best::default(); addrs.len()];
    let mut visible = Visible::default();
    let mut near = 0;
    lines::for_each(reader, |line| {
        let Some(line) = parse_line(line) else { return ControlFlow::Continue(()) };
        visible.see(&line);
        if !line.is_text() || line.is_padding() || line.addr == 0 {
            return ControlFlow::Continue(());
        }
        // The file is sorted for the most part, so the slot is mostly the last one.
        let fits = |slot: usize| {
            (slot == 0 || addrs[slot - 1] < line.addr) && addrs.get(slot).is_none_or(|a| line.addr <= *a)
        };
        if !fits(near) {
            near = addrs.partition_point(|a| *a < line.addr);
        }
        if let Some(slot) = best.get_mut(near)
            && line.addr > slot.addr
        {
            slot.addr = line.addr;
            slot.name.clear();
            slot.name.extend_from_slice(line.name);
            if slot.module.as_deref() != line.module {
                slot.module = line.module.map(Into::into);
            }
        }
        ControlFlow::Continue(())
    })
    .map_err(|source| Error::io("read", PATH, source))?;
    visible.check()?;
    let mut last: Option<&Best> = None;
    Ok(addrs
        .iter()
        .zip(&best)
        .map(|(&addr, slot)| {
            if slot.addr != 0 {
                last = Some(slot);
            }
            let found = last?;
            let offset = addr.checked_sub(found.addr).filter(|&o| o < MAX_OFFSET)?;
            let module = found.module.as_deref().map(lossy);
            Some(Symbol { name: lossy(&found.name), offset, module })
        })
        .collect())
}

/// Tells a kernel that hides addresses from one that has no symbols.
#[derive(Default)]
struct Visible {
    lines: u32,
    shown: bool,
}

impl Visible {
    fn see(&mut self, line: &Line<'_>) {
        self.lines += 1;
        self.shown |= line.addr != 0;
    }

    fn check(&self) -> Result<()> {
        if self.shown {
            return Ok(());
        }
        let (why, remedy) = if self.lines == 0 {
            ("/proc/kallsyms is empty".to_owned(), "the kernel needs CONFIG_KALLSYMS=y")
        } else {
            let level = std::fs::read_to_string("/proc/sys/kernel/kptr_restrict").unwrap_or_default();
            let level = if level.trim().is_empty() { "?" } else { level.trim() };
            (
                format!("/proc/kallsyms shows zeros only (kernel.kptr_restrict is {level})"),
                "run as root or with CAP_SYSLOG; with kptr_restrict=2 `sysctl kernel.kptr_restrict=1` first",
            )
        };
        Err(Error::Unavailable { what: "the address of kernel symbols".into(), why, remedy: remedy.into() })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All code symbols, sorted by address: 8 bytes a symbol and its name.
///
/// Of several names at one address the first is kept, as the kernel's own lookup does; padding symbols (`__pfx_*`)
/// are left out.
#[derive(Debug, Default)]
pub struct Kallsyms {
    /// Addresses are stored as a distance from here where they fit, which is for all of the kernel and its modules.
    base: u64,
    near: Vec<(u32, u32)>,
    far: Vec<(u64, u32)>,
    /// The names, each ended by a NUL byte.
    names: Vec<u8>,
    /// Where in `names` the symbols of a module begin; symbols of a module are consecutive in the file.
    runs: Vec<(u32, u16)>,
    modules: Vec<String>,
}

impl Kallsyms {
    /// Reads the running kernel's symbols.
    ///
    /// Errors: the file cannot be read, or the kernel hides all addresses.
    pub fn read() -> Result<Kallsyms> {
        let file = File::open(PATH).map_err(|source| Error::io("open", PATH, source))?;
        Kallsyms::from_reader(file)
    }

    /// Reads symbols in the format of `/proc/kallsyms`. Lines that do not follow it are skipped.
    pub fn from_reader(reader: impl Read) -> Result<Kallsyms> {
        let mut table = Kallsyms::default();
        let mut visible = Visible::default();
        let mut module: Option<Box<[u8]>> = None;
        lines::for_each(reader, |line| {
            let Some(line) = parse_line(line) else { return ControlFlow::Continue(()) };
            visible.see(&line);
            if !line.is_text() || line.is_padding() || line.addr == 0 {
                return ControlFlow::Continue(());
            }
            let Ok(at) = u32::try_from(table.names.len()) else { return ControlFlow::Break(()) };
            if module.as_deref() != line.module {
                module = line.module.map(Into::into);
                let id = table.module_id(line.module);
                table.runs.push((at, id));
            }
            if table.near.is_empty() && table.far.is_empty() {
                table.base = line.addr.saturating_sub(1 << 31);
            }
            match line.addr.checked_sub(table.base).map(u32::try_from) {
                Some(Ok(distance)) => table.near.push((distance, at)),
                _ => table.far.push((line.addr, at)),
            }
            table.names.extend(line.name.iter().filter(|b| **b != 0));
            table.names.push(0);
            ControlFlow::Continue(())
        })
        .map_err(|source| Error::io("read", PATH, source))?;
        visible.check()?;
        table.near.sort_unstable();
        table.near.dedup_by_key(|entry| entry.0);
        table.near.shrink_to_fit();
        table.far.sort_unstable();
        table.far.dedup_by_key(|entry| entry.0);
        table.names.shrink_to_fit();
        Ok(table)
    }

    /// Numbers modules from 1; 0 is the kernel itself.
    fn module_id(&mut self, module: Option<&[u8]>) -> u16 {
        let Some(name) = module else { return 0 };
        let name = lossy(name);
        let index = self.modules.iter().position(|m| *m == name).unwrap_or_else(|| {
            self.modules.push(name);
            self.modules.len() - 1
        });
        u16::try_from(index + 1).unwrap_or(0)
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.near.len() + self.far.len()
    }

    /// Whether there is no symbol.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The symbol that holds `addr`: its name (invalid UTF-8 reads as `?`), the offset in bytes, and the module.
    pub fn lookup(&self, addr: u64) -> Option<(&str, u64, Option<&str>)> {
        let near = addr.checked_sub(self.base).and_then(|distance| {
            let behind = self.near.partition_point(|(d, _)| u64::from(*d) <= distance);
            self.near[..behind].last().map(|&(d, at)| (self.base + u64::from(d), at))
        });
        let behind = self.far.partition_point(|(a, _)| *a <= addr);
        let far = self.far[..behind].last().copied();
        let (start, at) = near.max(far)?;
        let offset = addr.checked_sub(start).filter(|&o| o < MAX_OFFSET)?;
        Some((self.name_at(at), offset, self.module_at(at)))
    }

    fn name_at(&self, at: u32) -> &str {
        let rest = self.names.get(at as usize..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).unwrap_or("?")
    }

    fn module_at(&self, at: u32) -> Option<&str> {
        let run = self.runs.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let id = self.runs.get(run)?.1.checked_sub(1)?;
        self.modules.get(usize::from(id)).map(String::as_str)
    }

    /// Bytes of memory that the table takes.
    pub fn size(&self) -> usize {
        self.near.capacity() * 8 + self.far.capacity() * 16 + self.names.capacity() + self.runs.capacity() * 8
    }
}

#[cfg(test)]
mod tests;
