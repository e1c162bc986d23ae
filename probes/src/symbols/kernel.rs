//! Kernel addresses into names.

use std::borrow::Cow;

use super::SymbolizedFrame;
use crate::Result;
use crate::kernel::kallsyms::Kallsyms;

/// The kernel's symbols: functions, those of modules (`[module]`) and BPF programs (`[bpf]`).
///
/// `/proc/kallsyms` is read when the first address is asked for, and again when an address is in no
/// known symbol, at most a few times: a module or BPF program may have come since.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    table: Option<Kallsyms>,
    reads: u32,
}

/// Reading the table takes some 20 ms; addresses that stay unknown must not cost that each.
const MOST_READS: u32 = 4;

impl KernelSymbols {
    /// Nothing read yet.
    pub fn new() -> KernelSymbols {
        KernelSymbols::default()
    }

    /// Uses a table that was read elsewhere, and never reads again.
    pub fn from_table(table: Kallsyms) -> KernelSymbols {
        KernelSymbols { table: Some(table), reads: MOST_READS }
    }

    /// The function at a kernel address; the module is `kernel` for the kernel's own, as BCC shows it.
    ///
    /// # Errors
    /// `/proc/kallsyms` cannot be read or hides its addresses; the message says which sysctl.
    pub fn resolve(&mut self, addr: u64) -> Result<SymbolizedFrame<'_>> {
        let known = self.table.as_ref().is_some_and(|t| t.lookup(addr).is_some());
        if !known && self.reads < MOST_READS {
            self.reads += 1;
            self.table = Some(Kallsyms::read()?);
        }
        let found = self.table.as_ref().and_then(|t| t.lookup(addr));
        Ok(match found {
            Some((name, offset, module)) => SymbolizedFrame {
                name: Some(Cow::Borrowed(name)),
                offset,
                module: Some(Cow::Borrowed(module.unwrap_or("kernel"))),
            },
            None => SymbolizedFrame::unknown(),
        })
    }
}
