//! Tracepoints, each through a perf event.

use std::ops::Range;
use std::os::fd::AsFd;

use bpf_sys::perf::{OpenFlags, PerfAttr, PerfEvent};

use super::run::{Attached, Programs};
use super::{AttachMode, Targets};
use crate::program::{Key, Kind};
use crate::tracefs::Tracefs;
use crate::{Error, Result};

/// The ids of the tracepoints that these targets are named after.
pub(crate) fn ids(targets: &Targets, range: Range<u32>) -> Result<Vec<u64>> {
    let tracefs = Tracefs::locate()?;
    range
        .filter_map(|index| targets.name(index as usize)?.split_once(':'))
        .map(|(category, event)| tracefs.event_id(category, event))
        .collect()
}

/// Attaches to the tracepoints with these ids, which are the targets `first ..`.
pub(crate) fn attach(
    attached: &mut Attached,
    targets: &Targets,
    first: u32,
    ids: &[u64],
    programs: &dyn Programs,
) -> Result<()> {
    bpf_sys::nofile::raise(attached.events.len() + 2 * ids.len() + 64)?;
    attached.note_mode(AttachMode::Tracepoint);
    let single = targets.len() == 1;
    let shared = if single {
        None
    } else {
        attached.load(programs, Kind::Tracepoint, &[(Key::Cookie, None)], None).ok()
    };
    for (index, &id) in (first..).zip(ids) {
        let failed = |source: bpf_sys::Error| Error::Attach {
            target: format!("`{}`", targets.name(index as usize).unwrap_or("?")),
            mode: "tracepoint",
            reason: source.to_string(),
        };
        // The program hangs on the tracepoint, not on the event: one processor's event is enough for all.
        let attr = PerfAttr::tracepoint(id);
        let event =
            attached.timed(|| PerfEvent::open(&attr, -1, 0, None, OpenFlags::empty())).map_err(failed)?;
        match &shared {
            Some((prog, key)) => {
                attached.hang(prog.as_fd(), event, *key, index)?;
            }
            None => {
                let (prog, key) =
                    attached.load(programs, Kind::Tracepoint, &[(Key::Constant(index), None)], None)?;
                attached.hang(prog.as_fd(), event, key, index)?;
                attached.progs.push(prog);
            }
        }
    }
    attached.progs.extend(shared.map(|(prog, _)| prog));
    Ok(())
}
