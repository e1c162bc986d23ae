//! From options to what `probes` takes, and the order of a start: parse, start the command, find, attach.

use crate::Timings;
use crate::args::Common;
use crate::launch::Launched;
use crate::term::Terminal;
use anyhow::Result;
use probes::attach::{AttachMode, ResolveOptions, Skipped, Targets, resolve};
use probes::filter::{CgroupRef, Filter};
use probes::kernel::functions;
use probes::spec::{self, Dialect, EventKind, EventSpec, FuncRef, Syntax};
use std::fmt::Write as _;
use std::io::{Write, stderr};

/// Everything that a session needs before it attaches.
#[derive(Debug)]
pub struct Setup {
    /// What to attach to.
    pub targets: Targets,
    /// Which events count.
    pub filter: Filter,
    /// How to attach.
    pub mode: AttachMode,
    /// The command that waits to be let go.
    pub launched: Option<Launched>,
    /// The terminal, for `--live`.
    pub terminal: Option<Terminal>,
}

impl Setup {
    /// Does all that can fail for the user's reasons, the cheap and harmless first.
    pub fn new(options: &Common, timings: &mut Timings) -> Result<Setup> {
        let specs = parse(options)?;
        let mode = options.attach_mode.as_deref().map_or(Ok(AttachMode::Auto), str::parse)?;
        let mut filter = Filter {
            pid: options.pid,
            tid: options.tid,
            cpu: options.cpu,
            cgroup: options.cgroup.as_deref().map(CgroupRef::parse),
        };
        filter.check()?;
        let terminal = options.live.then(Terminal::new).transpose()?;
        let launched = options.cmd.as_deref().map(Launched::new).transpose()?;
        if let Some(l) = &launched {
            filter.pid = Some(l.pid.as_raw() as u32);
        }
        let targets = timings.measure("resolve", || resolve(&specs, &ResolveOptions { pid: filter.pid }))?;
        Ok(Setup { targets, filter, mode, launched, terminal })
    }
}

/// The patterns, all of them before anything is looked up.
pub fn parse(options: &Common) -> Result<Vec<EventSpec>> {
    let syntax = if options.regexp { Syntax::Regex } else { Syntax::Glob };
    let specs: Result<Vec<_>, _> =
        options.patterns.iter().map(|text| spec::parse(text, Dialect::Auto, syntax)).collect();
    Ok(specs?)
}

/// Says on standard error when a kernel function that was named is one of several of that name, of which the kernel
/// took one. That takes a pass over all symbols, so it is done beside the tracing that has begun: signals have to be
/// blocked before, for the thread to leave them to the one that waits for them.
pub fn warn_of_namesakes(options: &Common) {
    let Ok(specs) = parse(options) else { return };
    let named: Vec<_> = specs
        .into_iter()
        .filter_map(|spec| match spec.kind {
            EventKind::Kprobe { module, func: FuncRef::Exact(name), .. } => Some((name, module)),
            _ => None,
        })
        .collect();
    if named.is_empty() {
        return;
    }
    // Where there is no thread to be had, there is only no warning.
    let _ = std::thread::Builder::new().spawn(move || {
        for (name, module) in named {
            let Ok(mut places) = functions::locate(&name, module.as_ref()) else { continue };
            // Aliases at one address are one function; hidden addresses are all zero.
            places.sort();
            places.dedup_by(|a, b| a.0 == b.0 && a.0 != 0);
            if let [(first, _), _, ..] = places[..] {
                let example = if first == 0 { String::new() } else { format!(", like kprobe:{first:#x}") };
                let _ = writeln!(
                    stderr(),
                    "tracewell: warning: {} functions have the name {name}, and the kernel chose one of them; give an \
                     address instead{example}",
                    places.len()
                );
            }
        }
    });
}

/// Says on standard error what matched but is not traced. A wildcard can leave out hundreds, so only the first
/// few are named.
pub fn report_skipped<'a>(skipped: impl Iterator<Item = &'a Skipped>) {
    const NAMED: usize = 3;
    let (mut text, mut count) = (String::new(), 0);
    for s in skipped {
        count += 1;
        if count <= NAMED {
            let _ = write!(text, "{}{} ({})", if count == 1 { "" } else { ", " }, s.name, s.why);
        }
    }
    if count > NAMED {
        let _ = write!(text, " and {} more", count - NAMED);
    }
    if count != 0 {
        let noun = if count == 1 { "match is" } else { "matches are" };
        let _ = writeln!(stderr(), "tracewell: warning: {count} {noun} not traced: {text}");
    }
}
