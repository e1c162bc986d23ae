//! User functions: one `uprobe.multi` link for each file, else perf events of the uprobe PMU, else events of the text
//! file.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bpf_sys::Errno;
use bpf_sys::link::{self, MultiFlags, UprobeMulti};
use bpf_sys::perf::{OpenFlags, PerfAttr, PerfEvent};
use bpf_sys::prog::{AttachType, Prog};

use super::run::{Attached, Programs};
use super::text::TextEvents;
use super::{AttachMode, Group, Skipped, Targets};
use crate::program::{Key, Kind};
use crate::{Error, Result};

/// Attaches to the functions of a group.
pub(crate) fn attach(
    attached: &mut Attached,
    targets: &Targets,
    group: &Group,
    mode: AttachMode,
    programs: &dyn Programs,
) -> Result<()> {
    let Group::Uprobes { ret, first, path, offsets } = group else { return Ok(()) };
    let file = Functions { ret: *ret, first: *first, path, offsets, pid: targets.pid };
    if !matches!(mode, AttachMode::UprobePerf | AttachMode::UprobeText) {
        if file.attach_multi(attached, targets, programs)? {
            return Ok(());
        }
        if mode == AttachMode::UprobeMulti {
            return Err(Error::Unavailable {
                what: "uprobe.multi".into(),
                why: "the kernel refuses such links (before Linux 6.6, or built without CONFIG_UPROBES)"
                    .into(),
                remedy: "use the mode uprobe-perf or uprobe-text".into(),
            });
        }
    }
    if mode != AttachMode::UprobeText {
        match file.attach_perf(attached, targets, programs) {
            Err(Error::Sys(bpf_sys::Error::Unsupported { .. })) if mode != AttachMode::UprobePerf => {}
            done => return done,
        }
    }
    file.attach_text(attached, targets, programs)
}

/// Whether the kernel refused because of one of the functions, perhaps.
fn refused(error: &bpf_sys::Error) -> bool {
    [Errno::ENOTSUPP, Errno::EINVAL, Errno::EIO, Errno::EOPNOTSUPP].iter().any(|&errno| error.is_errno(errno))
}

/// What the kernel's decoder for uprobes may not know or may refuse, at the start of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Lock,
    Segment,
    /// VEX: AVX.
    Vector,
    /// EVEX: AVX-512.
    Wide,
}

impl Doubt {
    /// Judges a function's first bytes. `None` for an ordinary instruction, and for all of another machine.
    fn of(code: [u8; 4]) -> Option<Doubt> {
        if cfg!(not(target_arch = "x86_64")) {
            return None;
        }
        match code.into_iter().find(|byte| !matches!(byte, 0x64..=0x66 | 0xf2 | 0xf3))? {
            0xf0 => Some(Doubt::Lock),
            0x26 | 0x2e | 0x36 | 0x3e => Some(Doubt::Segment),
            0xc4 | 0xc5 => Some(Doubt::Vector),
            0x62 => Some(Doubt::Wide),
            _ => None,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Doubt::Lock => "a `lock` prefix",
            Doubt::Segment => "a segment prefix",
            Doubt::Vector => "an AVX instruction",
            Doubt::Wide => "an AVX-512 instruction",
        }
    }
}

struct Functions<'a> {
    ret: bool,
    first: u32,
    path: &'a Path,
    offsets: &'a [u64],
    pid: Option<u32>,
}

impl Functions<'_> {
    /// (process, processor) for perf events: a process on all processors, or all processes through one processor's
    /// event, since a breakpoint has no processor.
    fn scope(&self) -> (i32, i32) {
        match self.pid {
            Some(pid) => (pid.cast_signed(), -1),
            None => (-1, 0),
        }
    }

    fn places(&self) -> impl Iterator<Item = (u32, u64)> {
        (self.first..).zip(self.offsets.iter().copied())
    }

    fn attach_multi(
        &self,
        attached: &mut Attached,
        targets: &Targets,
        programs: &dyn Programs,
    ) -> Result<bool> {
        let key = if targets.len() == 1 { Key::Constant(0) } else { Key::Cookie };
        let loaded =
            attached.load(programs, Kind::Uprobe, &[(key, None)], Some(AttachType::TraceUprobeMulti));
        let Ok((prog, _)) = loaded else { return Ok(false) };
        let mut all: Vec<(u32, u64)> = self.places().collect();
        let before = (attached.links.len(), attached.skipped.len());
        if all.len() > 1 {
            self.leave_out_refused(attached, targets, &prog, &mut all);
        }
        let done = self.link(attached, targets, &prog, &all, true);
        // Nothing of it could be attached: it is the kernel, or the other mechanisms explain better.
        if attached.links.len() == before.0 {
            attached.skipped.truncate(before.1);
            return done.map(|()| false);
        }
        done?;
        attached.progs.push(prog);
        attached.note_mode(AttachMode::UprobeMulti);
        Ok(true)
    }

    /// Takes those functions out whose first instruction the kernel does not put breakpoints on. One such function
    /// makes the kernel refuse the whole link, and which one it was takes many attempts to find; so the kernel is
    /// asked once for each kind of instruction that may be refused.
    fn leave_out_refused(
        &self,
        attached: &mut Attached,
        targets: &Targets,
        prog: &Prog,
        all: &mut Vec<(u32, u64)>,
    ) {
        let Ok(file) = File::open(self.path) else { return };
        let doubtful = |offset: u64| {
            let mut code = [0; 4];
            file.read_exact_at(&mut code, offset).ok().and_then(|()| Doubt::of(code))
        };
        let doubts: Vec<(u32, Doubt)> =
            all.iter().filter_map(|&(index, offset)| Some((index, doubtful(offset)?))).collect();
        for doubt in [Doubt::Lock, Doubt::Segment, Doubt::Vector, Doubt::Wide] {
            let Some(&(first, _)) = doubts.iter().find(|(_, d)| *d == doubt) else { continue };
            let Some(&alone) = all.iter().find(|(index, _)| *index == first) else { continue };
            let Err(error) = self.try_link(attached, prog, &[alone]) else { continue };
            if !refused(&error) {
                continue;
            }
            let why =
                format!("it begins with {}, which this kernel's uprobes refuse ({error})", doubt.what());
            for &(index, _) in doubts.iter().filter(|(_, d)| *d == doubt) {
                let name = targets.name(index as usize).unwrap_or("?").to_owned();
                attached.skipped.push(Skipped { name, why: why.clone() });
                // Both lists go by index.
                if let Ok(at) = all.binary_search_by_key(&index, |(i, _)| *i) {
                    all.remove(at);
                }
            }
        }
    }

    /// One link for these functions.
    fn try_link(
        &self,
        attached: &mut Attached,
        prog: &Prog,
        which: &[(u32, u64)],
    ) -> bpf_sys::Result<link::Link> {
        let offsets: Vec<u64> = which.iter().map(|&(_, offset)| offset).collect();
        let cookies: Vec<u64> = which.iter().map(|&(index, _)| attached.how.cookie(index)).collect();
        let functions = UprobeMulti {
            path: self.path,
            offsets: &offsets,
            ref_ctr_offsets: &[],
            cookies: &cookies,
            pid: self.pid.unwrap_or(0),
            flags: match (attached.how.session, self.ret) {
                (true, _) => MultiFlags::SESSION,
                (false, true) => MultiFlags::RETURN,
                (false, false) => MultiFlags::empty(),
            },
        };
        attached.timed(|| link::uprobe_multi(prog, &functions))
    }

    /// Attaches these functions, with one link if the kernel takes them all; else by halves, until those are found
    /// that it does not take.
    fn link(
        &self,
        attached: &mut Attached,
        targets: &Targets,
        prog: &Prog,
        which: &[(u32, u64)],
        whole: bool,
    ) -> Result<()> {
        if which.is_empty() {
            return Ok(());
        }
        let error = match self.try_link(attached, prog, which) {
            Ok(link) => {
                attached.links.push(link);
                return Ok(());
            }
            Err(e) => e,
        };
        if !refused(&error) {
            return if whole { Ok(()) } else { Err(error.into()) };
        }
        match which {
            [] => Ok(()),
            [(index, _)] => {
                let name = targets.name(*index as usize).unwrap_or("?").to_owned();
                attached.skipped.push(Skipped { name, why: error.to_string() });
                Ok(())
            }
            // A kernel without such links refuses the first function alone as well.
            [first, ..] if whole && error.is_errno(Errno::EINVAL) => {
                let alone = attached.links.len();
                self.link(attached, targets, prog, &[*first], false)?;
                if attached.links.len() == alone {
                    return Ok(());
                }
                attached.links.truncate(alone);
                self.halves(attached, targets, prog, which)
            }
            _ => self.halves(attached, targets, prog, which),
        }
    }

    fn halves(
        &self,
        attached: &mut Attached,
        targets: &Targets,
        prog: &Prog,
        which: &[(u32, u64)],
    ) -> Result<()> {
        let (left, right) = which.split_at(which.len() / 2);
        self.link(attached, targets, prog, left, false)?;
        self.link(attached, targets, prog, right, false)
    }

    /// The program for all functions, where there are cookies; else each needs its own.
    fn shared(
        &self,
        attached: &mut Attached,
        targets: &Targets,
        programs: &dyn Programs,
    ) -> Option<(Prog, Key)> {
        if targets.len() == 1 {
            return None;
        }
        attached.load(programs, Kind::Uprobe, &[(Key::Cookie, None)], None).ok()
    }

    fn hang(
        &self,
        attached: &mut Attached,
        shared: Option<&(Prog, Key)>,
        event: PerfEvent,
        index: u32,
        programs: &dyn Programs,
    ) -> Result<()> {
        if let Some((prog, key)) = shared {
            return attached.hang(prog.as_fd(), event, *key, index);
        }
        let (prog, key) = attached.load(programs, Kind::Uprobe, &[(Key::Constant(index), None)], None)?;
        attached.hang(prog.as_fd(), event, key, index)?;
        attached.progs.push(prog);
        Ok(())
    }

    fn attach_perf(&self, attached: &mut Attached, targets: &Targets, programs: &dyn Programs) -> Result<()> {
        bpf_sys::nofile::raise(attached.events.len() + attached.links.len() + 2 * self.offsets.len() + 64)?;
        let shared = self.shared(attached, targets, programs);
        let (pid, cpu) = self.scope();
        for (index, offset) in self.places() {
            let attr = PerfAttr::uprobe(self.path, offset, self.ret, 0)?;
            match attached.timed(|| PerfEvent::open(&attr, pid, cpu, None, OpenFlags::empty())) {
                Ok(event) => self.hang(attached, shared.as_ref(), event, index, programs)?,
                Err(e) if e.errno() == Some(Errno::EMFILE) || e.errno() == Some(Errno::EPERM) => {
                    return Err(e.into());
                }
                Err(e) => {
                    let name = targets.name(index as usize).unwrap_or("?").to_owned();
                    attached.skipped.push(Skipped { name, why: e.to_string() });
                }
            }
        }
        attached.progs.extend(shared.map(|(prog, _)| prog));
        attached.note_mode(AttachMode::UprobePerf);
        Ok(())
    }

    fn attach_text(&self, attached: &mut Attached, targets: &Targets, programs: &dyn Programs) -> Result<()> {
        let mut text = TextEvents::new("uprobe_events")?;
        let path = self.path.to_str().filter(|p| !p.contains([' ', ':', '\n'])).ok_or_else(|| Error::Attach {
            target: self.path.display().to_string(),
            mode: "uprobe-text",
            reason: "the text file takes no path with blanks, colons or bytes that are not UTF-8; use another mode".into(),
        })?;
        bpf_sys::nofile::raise(attached.events.len() + attached.links.len() + 2 * self.offsets.len() + 64)?;
        let shared = self.shared(attached, targets, programs);
        let scope = self.scope();
        let result = self.places().try_for_each(|(index, offset)| {
            let mut why = None;
            let mut place = std::iter::once((index, format!("{path}:{offset:#x}")));
            let event = attached
                .timed(|| text.define(self.ret, &mut place, &mut |_, reason| why = Some(reason), scope))?;
            if let Some(why) = why {
                attached
                    .skipped
                    .push(Skipped { name: targets.name(index as usize).unwrap_or("?").to_owned(), why });
            }
            event.map_or(Ok(()), |event| self.hang(attached, shared.as_ref(), event, index, programs))
        });
        attached.text.push(text);
        attached.progs.extend(shared.map(|(prog, _)| prog));
        attached.note_mode(AttachMode::UprobeText);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn first_instructions_are_judged_behind_harmless_prefixes() {
        let judged = [
            ([0xf0, 0xff, 0x0f, 0x75], Some(Doubt::Lock)),
            ([0xf3, 0x0f, 0x1e, 0xfa], None),
            ([0x66, 0x2e, 0x0f, 0x1f], Some(Doubt::Segment)),
            ([0xc4, 0x41, 0x01, 0xef], Some(Doubt::Vector)),
            ([0xc5, 0xf9, 0x6e, 0xc6], Some(Doubt::Vector)),
            ([0x62, 0xe2, 0x7d, 0x28], Some(Doubt::Wide)),
            ([0x66; 4], None),
            ([0x55, 0x48, 0x89, 0xe5], None),
        ];
        for (code, expected) in judged {
            assert_eq!(Doubt::of(code), expected, "{code:x?}");
        }
    }
}
