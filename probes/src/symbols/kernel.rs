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

/// How many frames at the leaf of a kernel stack come from the tracing itself, where a program on a raw tracepoint
/// took it: the program, and what called it. Other mechanisms begin their stacks at the event.
pub fn tracing_frames<'n>(names: impl IntoIterator<Item = Option<&'n str>>) -> usize {
    let mut names = names.into_iter().peekable();
    // The program has a name only where the kernel lists such (`net.core.bpf_jit_kallsyms`), and some kernels (5.10)
    // show it twice.
    let mut own = 0;
    while own < 2 && names.next_if(|name| name.is_none_or(|name| name.starts_with("bpf_prog_"))).is_some() {
        own += 1;
    }
    let called = names.next().flatten().is_some_and(|name| name.starts_with("bpf_trace_run"));
    if own == 0 || !called {
        return 0;
    }
    let glue = |name: Option<&str>| {
        name.is_some_and(|n| n.starts_with("__bpf_trace_") || n.starts_with("__traceiter_"))
    };
    own + 1 + names.take_while(|name| glue(*name)).count()
}

#[cfg(test)]
mod tests {
    use super::tracing_frames;

    #[test]
    fn only_the_tracing_of_raw_tracepoints_is_recognized() {
        let count = |names: &[&str]| tracing_frames(names.iter().map(|n| (*n != "?").then_some(*n)));
        assert_eq!(count(&["bpf_prog_1234_tw_stacks", "bpf_trace_run2", "syscall_trace_enter"]), 2);
        assert_eq!(count(&["?", "bpf_trace_run2", "__traceiter_sys_enter", "syscall_trace_enter"]), 3);
        assert_eq!(count(&["?", "bpf_trace_run2"]), 2);
        assert_eq!(count(&["bpf_prog_1_a", "bpf_prog_1_a", "bpf_trace_run2", "syscall_trace_enter"]), 3);
        // What is called in the same place, but is what was asked for.
        assert_eq!(count(&["migrate_disable", "bpf_trace_run2", "syscall_trace_enter"]), 0);
        assert_eq!(count(&["bpf_trace_run2", "syscall_trace_enter"]), 0);
        assert_eq!(count(&["?", "?"]), 0);
        assert_eq!(count(&[]), 0);
    }
}
