//! Programs that run at events: kernel and user functions, tracepoints, perf events.

use std::os::fd::AsFd;

use bpf_sys::map::Map;
use bpf_sys::perf::{OpenFlags, PerfAttr, PerfEvent};
use bpf_sys::prog::{AttachType, Prog, ProgType};
use loader::{AttachTarget, LoadedProgram};

use super::{AttachOptions, syscall};
use crate::attach::run::{Attached, How, Programs};
use crate::attach::{AttachMode, Group, ResolveOptions, Targets, resolve};
use crate::kernel::why_not::{Reason, why_not};
use crate::program::{Key, Kind};
use crate::spec::{BinaryRef, EventKind, EventSpec, FuncRef, Pattern, Syntax};
use crate::user::{self, Process};
use crate::{Error, Result};

/// The one program that every attachment gets, which somebody else loaded.
struct Loaded<'a> {
    prog: &'a Prog,
    attach_type: Option<AttachType>,
}

impl Programs for Loaded<'_> {
    fn load(&self, kind: Kind, _: Key, _: Option<&Map>, attach_type: Option<AttachType>) -> Result<Prog> {
        use AttachType::{TraceKprobeMulti, TraceKprobeSession, TraceUprobeMulti, TraceUprobeSession};
        // What it was loaded for decides which mechanisms can take it.
        let own = match self.attach_type {
            Some(TraceKprobeMulti | TraceKprobeSession) => Some(TraceKprobeMulti),
            Some(TraceUprobeMulti | TraceUprobeSession) => Some(TraceUprobeMulti),
            _ => None,
        };
        if own == attach_type {
            return Ok(self.prog.try_clone()?);
        }
        let what = if kind == Kind::Uprobe { "user" } else { "kernel" };
        Err(Error::Unavailable {
            what: format!("this way to attach to {what} functions"),
            why: "the program was loaded for another one".into(),
            remedy: "name its section for the mechanism that is wanted, such as kprobe.multi or kprobe"
                .into(),
        })
    }

    fn tells_targets_apart(&self) -> bool {
        false
    }
}

/// Attaches programs at events; `None` for those that run at other things.
pub(super) fn attach(
    program: &LoadedProgram,
    target: &AttachTarget,
    options: &AttachOptions<'_>,
) -> Option<Result<Attached>> {
    let plan = match target {
        AttachTarget::None if program.spec.prog_type == ProgType::PerfEvent => {
            return options.perf.map(|attr| perf_event(program, attr, options));
        }
        target => plan(target, options)?,
    };
    Some(plan.and_then(|plan| plan.attach(program, options)))
}

/// Targets, and the mechanism where there is only one.
struct Plan {
    targets: Targets,
    mode: AttachMode,
    session: bool,
    /// The one kernel function, to find out why it cannot be traced.
    function: Option<String>,
}

impl Plan {
    fn attach(self, program: &LoadedProgram, options: &AttachOptions<'_>) -> Result<Attached> {
        let programs = Loaded { prog: &program.prog, attach_type: program.spec.expected_attach_type };
        let how = How { cookie: Some(options.cookie), session: self.session };
        let mode = if self.mode == AttachMode::Auto { options.mode } else { self.mode };
        let attached = Attached::attach_as(&self.targets, mode, &programs, how);
        attached
            .map(|mut attached| {
                attached.skipped.extend(self.targets.skipped().iter().cloned());
                attached
            })
            .map_err(|error| self.explain(error))
    }

    /// The kernel only says "no" to a function; its files tell why.
    fn explain(&self, error: Error) -> Error {
        let (Some(function), Error::Unavailable { .. } | Error::Attach { .. }) = (&self.function, &error)
        else {
            return error;
        };
        let why = why_not(function);
        if why.reason == Reason::Nothing { error } else { why.into_error() }
    }
}

/// What a section's target means on this machine; `None` where it is no event.
fn plan(target: &AttachTarget, options: &AttachOptions<'_>) -> Option<Result<Plan>> {
    let kprobe = |function: &str, offset: u64, ret: bool| {
        let func = match number(function) {
            Some(addr) => FuncRef::Addr(addr.wrapping_add(offset)),
            None => FuncRef::Exact(function.to_owned()),
        };
        let offset = if matches!(func, FuncRef::Addr(_)) { 0 } else { offset };
        let targets = find(EventKind::Kprobe { ret, module: None, func, offset }, None)?;
        Ok(Plan { targets, mode: AttachMode::Auto, session: false, function: Some(function.to_owned()) })
    };
    Some(match target {
        AttachTarget::Kprobe { function, offset, ret } if !function.is_empty() => {
            kprobe(function, *offset, *ret)
        }
        AttachTarget::Ksyscall { name, ret } if !name.is_empty() => {
            syscall::function(name).and_then(|function| kprobe(&function, 0, *ret))
        }
        AttachTarget::KprobeMulti { pattern, ret, session } if !pattern.is_empty() => functions(pattern)
            .and_then(|func| {
                let function = if let FuncRef::Exact(name) = &func { Some(name.clone()) } else { None };
                let targets = find(EventKind::Kprobe { ret: *ret, module: None, func, offset: 0 }, None)?;
                Ok(Plan { targets, mode: AttachMode::KprobeMulti, session: *session, function })
            }),
        AttachTarget::Uprobe { binary, function, offset, ret }
            if !binary.is_empty() && !function.is_empty() =>
        {
            uprobe(binary, function, *offset, *ret, options.pid)
        }
        AttachTarget::UprobeMulti { binary, pattern, ret, session }
            if !binary.is_empty() && !pattern.is_empty() =>
        {
            functions(pattern).and_then(|func| {
                let binary = binary_ref(binary);
                let targets = find(EventKind::Uprobe { ret: *ret, binary, func, offset: 0 }, options.pid)?;
                Ok(Plan { targets, mode: AttachMode::UprobeMulti, session: *session, function: None })
            })
        }
        AttachTarget::Tracepoint { category, name } if !name.is_empty() => literal(category)
            .and_then(|category| Ok((category, literal(name)?)))
            .and_then(|(category, event)| {
                let targets = find(EventKind::Tracepoint { category, event }, None)?;
                Ok(Plan { targets, mode: AttachMode::Tracepoint, session: false, function: None })
            }),
        _ => return None,
    })
}

fn find(kind: EventKind, pid: Option<u32>) -> Result<Targets> {
    let spec = EventSpec { kind, text: String::new(), span: 0..0 };
    resolve(&[spec], &ResolveOptions { pid })
}

/// A user function, or a place in the file where `function` is a number.
fn uprobe(binary: &str, function: &str, offset: u64, ret: bool, pid: Option<u32>) -> Result<Plan> {
    let targets = match number(function) {
        None => {
            let func = FuncRef::Exact(function.to_owned());
            find(EventKind::Uprobe { ret, binary: binary_ref(binary), func, offset }, pid)?
        }
        Some(place) => {
            let process = pid.map(Process::open).transpose()?;
            let file = user::resolve_library(binary, process.as_ref())?;
            let mut targets = Targets { pid, ..Targets::default() };
            let offsets = vec![place.wrapping_add(offset)];
            targets.groups.push(Group::Uprobes { ret, first: 0, path: file.path, offsets });
            targets.names.push(&format!("{place:#x}"));
            targets
        }
    };
    Ok(Plan { targets, mode: AttachMode::Auto, session: false, function: None })
}

/// A perf event on one processor, or on all that are online.
fn perf_event(program: &LoadedProgram, attr: &PerfAttr, options: &AttachOptions<'_>) -> Result<Attached> {
    let how = How { cookie: Some(options.cookie), session: false };
    let mut attached = Attached::new(how);
    let pid = options.pid.map_or(-1, u32::cast_signed);
    let cpus: Vec<i32> = match (options.cpu, options.pid) {
        (Some(cpu), _) => vec![cpu.cast_signed()],
        // A process is followed over all processors by one event.
        (None, Some(_)) => vec![-1],
        (None, None) => bpf_sys::cpus::online()?.into_iter().map(u32::cast_signed).collect(),
    };
    bpf_sys::nofile::raise(cpus.len() + 64)?;
    for cpu in cpus {
        let event = PerfEvent::open(attr, pid, cpu, None, OpenFlags::empty())?;
        attached.hang(program.prog.as_fd(), event, Key::Constant(0), 0)?;
    }
    Ok(attached)
}

/// A number as C writes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The functions that a `.multi` section names: `*` and `?` are its wildcards.
fn functions(pattern: &str) -> Result<FuncRef> {
    if !pattern.contains(['*', '?']) {
        return Ok(FuncRef::Exact(pattern.to_owned()));
    }
    Ok(FuncRef::Pattern(pattern_of(pattern, Syntax::Glob)?))
}

/// A pattern that matches this name and nothing else.
fn literal(name: &str) -> Result<Pattern> {
    pattern_of(name, Syntax::Glob)
}

fn pattern_of(text: &str, syntax: Syntax) -> Result<Pattern> {
    Pattern::new(text, syntax).map_err(|error| Error::BadFilter {
        what: format!("`{text}` is no pattern: {error}"),
        remedy: "wildcards are `*` for any text and `?` for any character".into(),
    })
}

fn binary_ref(name: &str) -> BinaryRef {
    if name.contains('/') { BinaryRef::Path(name.to_owned()) } else { BinaryRef::Name(name.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_patterns_and_numbers_are_told_apart() {
        assert_eq!(functions("vfs_read").unwrap(), FuncRef::Exact("vfs_read".into()));
        let FuncRef::Pattern(pattern) = functions("vfs_*").unwrap() else { panic!() };
        assert!(pattern.matches("vfs_read") && !pattern.matches("do_vfs_read"));
        assert_eq!((number("0x10"), number("16"), number("malloc")), (Some(16), Some(16), None));
        assert_eq!(binary_ref("c"), BinaryRef::Name("c".into()));
        assert_eq!(binary_ref("/bin/sh"), BinaryRef::Path("/bin/sh".into()));
    }
}
