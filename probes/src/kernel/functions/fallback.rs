//! Traceable functions where the kernel does not list them: symbols that are code, that BTF knows as functions, and
//! that lie in no section without ftrace's call at the start.

use std::ops::ControlFlow;
use std::path::Path;

use btf::Btf;

use super::table::{Builder, FunctionTable, Source, hash};
use super::{in_module_bytes, kallsyms};
use crate::error::Result;
use crate::kernel::blacklist::Blacklist;
use crate::spec::Pattern;

/// Sections whose functions cannot be traced, by the symbols at their bounds: freed after boot, entry code, code
/// that must not be instrumented.
const UNTRACEABLE: &[(&str, &str)] = &[
    ("_sinittext", "_einittext"),
    ("__irqentry_text_start", "__irqentry_text_end"),
    ("__noinstr_text_start", "__noinstr_text_end"),
    ("__entry_text_start", "__entry_text_end"),
    ("__kprobes_text_start", "__kprobes_text_end"),
    ("__cpuidle_text_start", "__cpuidle_text_end"),
    ("__static_call_text_start", "__static_call_text_end"),
];

/// Names that are no functions one could enter: padding, tails split off by the compiler, static call trampolines.
pub(in crate::kernel) fn is_fragment(name: &[u8]) -> bool {
    let prefixes: [&[u8]; 5] = [b"__pfx_", b"__cfi_", b"__SCT__", b"__SCK__", b"$"];
    prefixes.iter().any(|p| name.starts_with(p)) || name.windows(5).any(|w| w == b".cold")
}

/// The bounds of the untraceable sections, collected from the symbols as they go by.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Sections {
    bounds: [(u64, u64); UNTRACEABLE.len()],
}

impl Sections {
    pub(in crate::kernel) fn see(&mut self, line: &kallsyms::Line<'_>) {
        if line.name.first() != Some(&b'_') || line.module.is_some() {
            return;
        }
        for ((start, end), bounds) in UNTRACEABLE.iter().zip(&mut self.bounds) {
            if line.name == start.as_bytes() {
                bounds.0 = line.addr;
            } else if line.name == end.as_bytes() {
                bounds.1 = line.addr;
            }
        }
    }

    /// The symbol that begins the untraceable section around `addr`.
    pub(in crate::kernel) fn around(&self, addr: u64) -> Option<&'static str> {
        let inside = |(start, end): &(u64, u64)| *start != 0 && (*start..*end).contains(&addr);
        self.bounds.iter().position(inside).and_then(|at| UNTRACEABLE.get(at)).map(|(start, _)| *start)
    }
}

/// Names of functions, as sorted hashes: 8 bytes each, where the BTF itself is megabytes.
pub(in crate::kernel) struct BtfFunctions {
    hashes: Vec<u64>,
}

impl BtfFunctions {
    /// Reads the kernel's BTF and, where `modules` asks for them, that of its modules. `None` without usable BTF.
    pub(in crate::kernel) fn read() -> Option<BtfFunctions> {
        BtfFunctions::read_from(Path::new("/sys/kernel/btf/vmlinux"))
    }

    fn read_from(path: &Path) -> Option<BtfFunctions> {
        let data = std::fs::read(path).ok()?;
        let btf = Btf::parse(&data).ok()?;
        let mut hashes: Vec<u64> = btf.func_names().map(|name| hash(name.as_bytes())).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        (!hashes.is_empty()).then_some(BtfFunctions { hashes })
    }

    /// Whether a function of this name is known, or was before the compiler specialised it (`name.isra.0`).
    pub(in crate::kernel) fn contains(&self, name: &[u8]) -> bool {
        self.hashes.binary_search(&hash(name)).is_ok()
    }
}

/// BTF leaves out functions that the compiler changed (`.isra`, `.constprop`, `.part`, `.llvm`), ftrace does not.
fn is_specialised(name: &[u8]) -> bool {
    name.iter().skip(1).any(|&b| b == b'.')
}

pub(super) fn from_kallsyms(
    pattern: &Pattern,
    module: Option<&Pattern>,
    blacklist: &Blacklist,
    addrs: bool,
) -> Result<FunctionTable> {
    let functions = BtfFunctions::read();
    let (mut builder, mut sections) = (Builder::default(), Sections::default());
    // Sections are known only at the end, so the addresses are kept along until then.
    kallsyms::scan(|line| {
        sections.see(&line);
        if matches!(line.kind, b't' | b'T')
            && pattern.matches_bytes(line.name)
            && in_module_bytes(module, line.module)
            && !is_fragment(line.name)
            // BPF programs and trampolines are code of their own kind.
            && !line.module.is_some_and(|m| m == b"bpf" || m.starts_with(b"__builtin__"))
            && !blacklist.contains(line.name)
            && confirmed(functions.as_ref(), &line)
        {
            builder.push(line.name, line.module, Some(line.addr));
        }
        ControlFlow::Continue(())
    })?;
    let all = builder.finish(Source::Kallsyms { btf: functions.is_some() });
    let mut kept = Builder::default();
    let mut last = 0;
    for index in 0..all.len() {
        let addr = all.addr(index).unwrap_or(0);
        if sections.around(addr).is_some() {
            continue;
        }
        // Several names of one place are one function; hidden addresses are all 0 and say nothing.
        if addr != 0 && addr == last {
            continue;
        }
        last = addr;
        let name = all.name(index).as_bytes();
        kept.push(name, all.module(index).map(str::as_bytes), addrs.then_some(addr));
    }
    if addrs && last == 0 && !all.is_empty() {
        kallsyms::Kallsyms::read()?;
    }
    Ok(kept.finish(all.source()))
}

fn confirmed(functions: Option<&BtfFunctions>, line: &kallsyms::Line<'_>) -> bool {
    // Modules have BTF of their own, which is not worth reading for the few functions that are none.
    let Some(functions) = functions.filter(|_| line.module.is_none()) else { return true };
    functions.contains(line.name) || is_specialised(line.name)
}
