//! From event specs to targets.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use super::{Group, ResolveOptions, Skipped, Targets};
use crate::kernel::functions::FunctionTable;
use crate::kernel::{functions, modules, syscalls, tracepoints};
use crate::spec::{BinaryRef, EventKind, EventSpec, FuncRef, Pattern};
use crate::tracefs::Tracefs;
use crate::user::{self, Binary, Process};
use crate::{Error, Result};

/// Turns specs into targets: finds what they match, in the order given, each event once.
///
/// # Errors
/// [`Error::NoMatch`] and its relatives where a spec matches nothing or nothing that can be attached to.
pub fn resolve(specs: &[EventSpec], options: &ResolveOptions) -> Result<Targets> {
    let start = Instant::now();
    let mut resolver = Resolver {
        targets: Targets { pid: options.pid, ..Targets::default() },
        seen: (specs.len() > 1).then(HashSet::new),
        process: options.pid.map(Process::open).transpose()?,
        tracefs: None,
    };
    for spec in specs {
        resolver.spec(spec)?;
    }
    let mut targets = resolver.targets;
    targets.groups.retain(|group| !group.range().is_empty());
    targets.resolve_time = start.elapsed();
    Ok(targets)
}

/// What makes two targets the same event.
#[derive(PartialEq, Eq, Hash)]
enum Same {
    Kernel { ret: bool, name: String, addr: u64 },
    User { ret: bool, path: PathBuf, offset: u64 },
    Tracepoint(String),
}

struct Resolver {
    targets: Targets,
    /// Only where several specs might name the same event.
    seen: Option<HashSet<Same>>,
    process: Option<Process>,
    tracefs: Option<Tracefs>,
}

impl Resolver {
    fn is_new(&mut self, same: impl FnOnce() -> Same) -> bool {
        self.seen.as_mut().is_none_or(|seen| seen.insert(same()))
    }

    /// The index of the next target.
    fn next(&self) -> u32 {
        u32::try_from(self.targets.len()).unwrap_or(u32::MAX)
    }

    fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.targets.skipped.push(Skipped { name: name.into(), why: why.into() });
    }

    fn spec(&mut self, spec: &EventSpec) -> Result<()> {
        match &spec.kind {
            EventKind::Kprobe { ret, module, func, offset } => {
                self.kprobe(*ret, module.as_ref(), func, *offset)
            }
            EventKind::Uprobe { ret, binary, func, offset } => {
                let binary = self.binary(binary)?;
                self.uprobe(*ret, &binary, func, *offset)
            }
            EventKind::Scoped { ret, binary, module, func, offset } => match self.binary(binary) {
                Ok(binary) => self.uprobe(*ret, &binary, func, *offset),
                // The name may be that of a kernel module; if it is not, the library is what was meant.
                Err(e) => match module.literal() {
                    Some(name) if modules::is_loaded(name) || name == functions::CORE => {
                        self.kprobe(*ret, Some(module), func, *offset)
                    }
                    Some(name) => Err(not_a_module_either(name, e)),
                    None => Err(e),
                },
            },
            EventKind::Tracepoint { category, event } => self.tracepoints(category, event),
            EventKind::Usdt { .. } => Err(Error::BadFilter {
                what: format!("`{}` is a USDT probe, which this version does not attach", spec.text),
                remedy: "trace the function around it: `u:FILE:FUNCTION`".into(),
            }),
        }
    }

    fn kprobe(&mut self, ret: bool, module: Option<&Pattern>, func: &FuncRef, offset: u64) -> Result<()> {
        let at = match func {
            FuncRef::Addr(addr) => Some((None, *addr, format!("{addr:#x}"))),
            FuncRef::Exact(name) if offset != 0 => Some((Some(name), offset, format!("{name}+{offset:#x}"))),
            _ => None,
        };
        if let Some((symbol, offset, shown)) = at {
            if let Some(name) = symbol
                && let Some(size) = functions::length(name, module)
                && offset >= size
            {
                // The kernel would take whatever function lies there.
                return Err(Error::NotTraceable {
                    name: shown,
                    why: format!("the function is {size:#x} bytes long; use an offset below that"),
                    near: Vec::new(),
                });
            }
            if self.is_new(|| Same::Kernel { ret, name: shown.clone(), addr: 0 }) {
                let index = self.next();
                self.targets.groups.push(Group::KprobeAt { ret, index, symbol: symbol.cloned(), offset });
                self.targets.names.push(&shown);
            }
            return Ok(());
        }
        let mut table = functions::find(func, module, false)?;
        let mut duplicates = Vec::new();
        if let FuncRef::Pattern(_) = func {
            duplicates = table.duplicates();
            if !duplicates.is_empty() && self.seen.is_none() && table.addrs().is_empty() {
                let (own, shared) = table.split_by_name(&duplicates);
                if !own.is_empty() {
                    self.by_names(ret, &own, shared);
                    return Ok(());
                }
            }
            // Names do for the kernel as long as each is there once; addresses cost a pass over all its symbols. Where
            // addresses are hidden the names serve, each once.
            if !duplicates.is_empty()
                && let Ok(by_addr) = table.with_addresses()
            {
                if by_addr.skipped() > 0 {
                    let what = format!("{} functions", by_addr.skipped());
                    self.skip(what, "their names are not unique, and their addresses not known for certain");
                }
                table = by_addr;
                duplicates.clear();
            }
        }
        let mut addrs = Vec::with_capacity(table.addrs().len());
        let first = self.next();
        let mut duplicate = duplicates.into_iter().peekable();
        for (i, name) in table.iter().enumerate() {
            if duplicate.next_if_eq(&i).is_some() {
                self.skip(name, "another function has the same name, and the kernel hides their addresses");
                continue;
            }
            let addr = table.addr(i);
            if self.is_new(|| Same::Kernel { ret, name: name.to_owned(), addr: addr.unwrap_or(0) }) {
                self.targets.names.push(name);
                addrs.extend(addr);
            }
        }
        let count = self.next() - first;
        if count > 0 {
            self.targets.groups.push(Group::Kprobes { ret, first, count, addrs });
        }
        Ok(())
    }

    /// Functions with names of their own, and those that share one, whose addresses are found while the others are
    /// attached.
    fn by_names(&mut self, ret: bool, own: &FunctionTable, shared: FunctionTable) {
        let first = self.next();
        own.iter().chain(shared.iter()).for_each(|name| self.targets.names.push(name));
        let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
        self.targets.groups.push(Group::Kprobes { ret, first, count, addrs: Vec::new() });
        self.targets.groups.push(Group::SharedNames { ret, first: first + count, table: shared });
    }

    fn binary(&self, binary: &BinaryRef) -> Result<Binary> {
        let process = self.process.as_ref();
        Ok(match (binary, process) {
            (BinaryRef::Path(name) | BinaryRef::Name(name), _) => user::resolve_library(name, process)?,
            (BinaryRef::Process, Some(process)) => user::process_binary(process)?,
            (BinaryRef::Process, None) => {
                return Err(Error::BadFilter {
                    what: "the spec names no file, which means the traced process's program, and there is no process"
                        .into(),
                    remedy: "give a process with -p, or a file: `u:FILE:FUNCTION`".into(),
                });
            }
            (BinaryRef::Pattern(pattern), _) => {
                return Err(Error::BadFilter {
                    what: format!(
                        "`{}` names several files, and functions are looked up in one",
                        pattern.text()
                    ),
                    remedy: "give one event for each file".into(),
                });
            }
        })
    }

    fn uprobe(&mut self, ret: bool, binary: &Binary, func: &FuncRef, offset: u64) -> Result<()> {
        let mut found: Vec<(String, u64)> = Vec::new();
        match func {
            FuncRef::Exact(name) => {
                let at = binary.function(name, offset)?;
                let shown = if offset == 0 { name.clone() } else { format!("{name}+{offset:#x}") };
                found.push((shown, at.file_offset));
            }
            FuncRef::Addr(addr) => found.push((format!("{addr:#x}"), binary.open()?.file_offset(*addr)?)),
            FuncRef::Pattern(pattern) => {
                let matches = binary.functions(pattern)?;
                for name in &matches.indirect {
                    self.skip(&**name, "it only picks an implementation (IFUNC); trace the implementations");
                }
                if matches.misplaced > 0 {
                    let what = format!("{} symbols", matches.misplaced);
                    self.skip(what, "they lie in no executable part of the file");
                }
                found.extend(matches.functions.into_iter().map(|f| (f.name.into_string(), f.file_offset)));
            }
        }
        let first = self.next();
        let mut offsets = Vec::with_capacity(found.len());
        for (name, offset) in found {
            if self.is_new(|| Same::User { ret, path: binary.path.clone(), offset }) {
                self.targets.names.push(&name);
                offsets.push(offset);
            }
        }
        self.targets.groups.push(Group::Uprobes { ret, first, path: binary.path.clone(), offsets });
        Ok(())
    }

    fn tracepoints(&mut self, category: &Pattern, event: &Pattern) -> Result<()> {
        let tracefs = match self.tracefs.take() {
            Some(tracefs) => tracefs,
            None => Tracefs::locate()?,
        };
        let mut plain = Vec::new();
        // Entries and exits, each as (name, number).
        let mut calls: [Vec<(String, u32)>; 2] = [Vec::new(), Vec::new()];
        for found in tracepoints::find(&tracefs, category, event)? {
            let name = format!("{}:{}", found.category, found.event);
            if !self.is_new(|| Same::Tracepoint(name.clone())) {
                continue;
            }
            match syscall(&found.category, &found.event) {
                Some((exit, number)) => calls[usize::from(exit)].push((name, number)),
                None => plain.push((name, found)),
            }
        }
        let first = self.next();
        let mut ids = Vec::with_capacity(plain.len());
        for (name, found) in plain {
            ids.push(found.id(&tracefs)?);
            self.targets.names.push(&name);
        }
        self.targets.groups.push(Group::Tracepoints { first, ids });
        for (exit, calls) in [false, true].into_iter().zip(calls) {
            let first = self.next();
            let mut numbers = Vec::with_capacity(calls.len());
            for (name, number) in calls {
                self.targets.names.push(&name);
                numbers.push(number);
            }
            self.targets.groups.push(Group::Syscalls { exit, first, calls: numbers });
        }
        self.tracefs = Some(tracefs);
        Ok(())
    }
}

/// `p:ext4:FUNCTION` may speak of a kernel module: then it has to be loaded.
fn not_a_module_either(name: &str, error: Error) -> Error {
    match error {
        Error::User(user::UserError::NoLibrary { name: library, why, near }) if !name.contains('/') => {
            let module = match modules::installed(name) {
                Some(_) => format!("a kernel module that is not loaded (`modprobe {name}` loads it)"),
                None => "no loaded kernel module (for one built into the kernel leave its name out)".into(),
            };
            let why = format!("{why}; and {module}");
            Error::User(user::UserError::NoLibrary { name: library, why, near })
        }
        other => other,
    }
}

/// Whether a tracepoint is that of a system call whose number is known: (at the exit, number).
fn syscall(category: &str, event: &str) -> Option<(bool, u32)> {
    if category != "syscalls" {
        return None;
    }
    let (exit, name) = match event.strip_prefix("sys_enter_") {
        Some(name) => (false, name),
        None => (true, event.strip_prefix("sys_exit_")?),
    };
    // Only the tracepoint's own name: an alias could be another call's tracepoint.
    let number = syscalls::names().iter().position(|n| *n == name && !n.is_empty())?;
    Some((exit, u32::try_from(number).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn tracepoints_of_system_calls_have_numbers() {
        assert_eq!(syscall("syscalls", "sys_enter_read"), Some((false, 0)));
        assert_eq!(syscall("syscalls", "sys_exit_newfstat"), Some((true, 5)));
        assert_eq!(syscall("syscalls", "sys_enter_no_such_call"), None);
        assert_eq!(syscall("sched", "sys_enter_read"), None);
    }
}
