//! Kernel functions: one `kprobe.multi` link, else perf events of the kprobe PMU, else events of the text file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::os::fd::AsFd;

use bpf_sys::Errno;
use bpf_sys::link::{self, KprobeMulti, MultiFlags, SymTable};
use bpf_sys::map::{Map, MapCreate, MapFlags, MapType, UpdateFlags};
use bpf_sys::perf::{OpenFlags, PerfAttr, PerfEvent};
use bpf_sys::prog::{AttachType, Prog};

use super::run::{Attached, Programs};
use super::text::TextEvents;
use super::{AttachMode, Group, Skipped, Targets};
use crate::program::{Key, Kind};
use crate::{Error, Result};

/// From this many functions on, shared events of the text file are faster than one perf event for each.
const SHARE_FROM: usize = 4;
/// Functions that share one event: the kernel compares each new one with all before it.
const SHARED: usize = 512;

/// The most functions that are attached one by one unless that is forced.
const ONE_BY_ONE: usize = 4096;

/// One function, as every mechanism needs it.
struct Place {
    index: u32,
    /// `None` for a bare address.
    symbol: Option<String>,
    offset: u64,
    addr: u64,
}

/// Attaches to the functions of a group.
pub(crate) fn attach(
    attached: &mut Attached,
    targets: &Targets,
    group: &Group,
    mode: AttachMode,
    programs: &dyn Programs,
) -> Result<()> {
    let (ret, multi_possible) = match group {
        Group::Kprobes { ret, .. } => (*ret, true),
        Group::KprobeAt { ret, .. } => (*ret, false),
        _ => return Ok(()),
    };
    leave_out_unknown(attached, targets, group);
    if known(group).is_empty() {
        return Ok(());
    }
    let multi = matches!(mode, AttachMode::Auto | AttachMode::KprobeMulti | AttachMode::UprobeMulti);
    if multi && multi_possible {
        match attach_multi(attached, targets, group, programs) {
            Ok(true) => return Ok(()),
            Ok(false) if mode != AttachMode::KprobeMulti => {}
            Ok(false) => {
                return Err(Error::Unavailable {
                    what: "kprobe.multi".into(),
                    why: "the kernel refuses such links (before Linux 5.18, or built without CONFIG_FPROBE)"
                        .into(),
                    remedy: "use the mode kprobe-perf or kprobe-text".into(),
                });
            }
            Err(e) => return Err(e),
        }
    }
    if mode == AttachMode::Auto {
        check_number(known(group).len())?;
    }
    let places = places(targets, group);
    let share = places.len() >= SHARE_FROM;
    let text_first = mode == AttachMode::KprobeText || (share && mode != AttachMode::KprobePerf);
    if text_first {
        match attach_text(attached, targets, ret, &places, programs) {
            Err(_) if mode != AttachMode::KprobeText => {}
            done => return done,
        }
    }
    match attach_perf(attached, targets, ret, &places, programs) {
        Err(Error::Sys(bpf_sys::Error::Unsupported { .. })) if mode != AttachMode::KprobePerf => {
            attach_text(attached, targets, ret, &places, programs).map_err(|e| match e {
                Error::Unavailable { .. } => no_kprobes(),
                e => e,
            })
        }
        done => done,
    }
}

/// Refuses what would take many minutes: without kprobe.multi the kernel patches its code and waits for all processors
/// for each function, when it is attached and again when it is removed.
fn check_number(functions: usize) -> Result<()> {
    if functions <= ONE_BY_ONE {
        return Ok(());
    }
    Err(Error::Unavailable {
        what: format!("attaching to {functions} kernel functions at once"),
        why: format!(
            "without kprobe.multi links (Linux 5.18, CONFIG_FPROBE) the kernel attaches and removes one after the other, \
             2 to 40 ms each, which is up to {} minutes for these",
            (functions * 40).div_ceil(60_000)
        ),
        remedy: format!(
            "use a narrower pattern, of up to {ONE_BY_ONE} functions; to do it all the same, use the mode kprobe-text"
        ),
    })
}

fn no_kprobes() -> Error {
    Error::Unavailable {
        what: "tracing of kernel functions".into(),
        why: "it has neither kprobe.multi nor a kprobe PMU nor the file kprobe_events (CONFIG_FPROBE, \
              CONFIG_KPROBE_EVENTS)"
            .into(),
        remedy: "tracepoints (`t:CATEGORY:EVENT`) and user functions (`c:malloc`) still work".into(),
    }
}

/// The targets of a group without those whose address is missing where others have one.
fn known(group: &Group) -> Vec<u32> {
    match group {
        Group::Kprobes { addrs, .. } if !addrs.is_empty() => {
            group.range().zip(addrs).filter(|(_, addr)| **addr != 0).map(|(index, _)| index).collect()
        }
        _ => group.range().collect(),
    }
}

fn leave_out_unknown(attached: &mut Attached, targets: &Targets, group: &Group) {
    let Group::Kprobes { addrs, .. } = group else { return };
    for (index, _) in group.range().zip(addrs).filter(|(_, addr)| **addr == 0) {
        attached.skipped.push(Skipped {
            name: targets.name(index as usize).unwrap_or("?").to_owned(),
            why: "other functions have the same name, and its address is not known for certain".into(),
        });
    }
}

fn places(targets: &Targets, group: &Group) -> Vec<Place> {
    match group {
        Group::Kprobes { addrs, .. } => group
            .range()
            .zip(0..)
            .map(|(index, i): (u32, usize)| Place {
                index,
                symbol: targets.name(index as usize).map(str::to_owned),
                offset: 0,
                addr: addrs.get(i).copied().unwrap_or(0),
            })
            .filter(|place| addrs.is_empty() || place.addr != 0)
            .collect(),
        Group::KprobeAt { index, symbol, offset, .. } => {
            let addr = if symbol.is_none() { *offset } else { 0 };
            vec![Place { index: *index, symbol: symbol.clone(), offset: *offset, addr }]
        }
        _ => Vec::new(),
    }
}

/// Attaches all functions with one link; `false` where the kernel cannot.
fn attach_multi(
    attached: &mut Attached,
    targets: &Targets,
    group: &Group,
    programs: &dyn Programs,
) -> Result<bool> {
    let Group::Kprobes { ret, first, addrs, .. } = group else { return Ok(false) };
    let key = if targets.len() == 1 { Key::Constant(0) } else { Key::Cookie };
    let loaded = attached.load(programs, Kind::Kprobe, &[(key, None)], Some(AttachType::TraceKprobeMulti));
    // A kernel that does not know the helper does not know the link either.
    let Ok((prog, _)) = loaded else { return Ok(false) };
    let flags = match (attached.how.session, *ret) {
        (true, _) => MultiFlags::SESSION,
        (false, true) => MultiFlags::RETURN,
        (false, false) => MultiFlags::empty(),
    };
    let mut multi = Multi { targets, first: *first, addrs: addrs.into(), flags, prog: &prog };
    let all = known(group);
    let link = match multi.link(attached, &all) {
        Ok(link) => link,
        Err(e) if !of_a_function(&e) => {
            if e.errno() == Some(Errno::EOPNOTSUPP) || e.errno() == Some(Errno::ENOTSUPP) {
                return Ok(false);
            }
            return Err(Error::Attach {
                target: format!("{} kernel functions", all.len()),
                mode: "kprobe-multi",
                reason: e.to_string(),
            });
        }
        Err(e) if all.len() == 1 => {
            // The other mechanisms explain better what is wrong with one function, if it is the function.
            let _ = e;
            return Ok(false);
        }
        Err(_) => {
            let mut bad = Vec::new();
            // If neither the first nor the last can be attached alone, it is the kernel and not one of them.
            if multi.link(attached, &all[..1]).is_err()
                && multi.link(attached, &all[all.len() - 1..]).is_err()
            {
                return Ok(false);
            }
            let known = multi.find_addresses(&all, &mut bad)?;
            multi.offenders(attached, &known, &mut bad)?;
            let refused: HashSet<u32> = bad.iter().map(|(index, _)| *index).collect();
            let good: Vec<u32> = all.iter().copied().filter(|i| !refused.contains(i)).collect();
            attached.skipped.extend(bad.into_iter().map(|(index, why)| Skipped {
                name: targets.name(index as usize).unwrap_or("?").to_owned(),
                why,
            }));
            if good.is_empty() {
                return Ok(true);
            }
            multi.link(attached, &good)?
        }
    };
    attached.links.push(link);
    attached.progs.push(prog);
    attached.note_mode(AttachMode::KprobeMulti);
    Ok(true)
}

/// Whether the kernel refused because of one of the functions, perhaps.
fn of_a_function(error: &bpf_sys::Error) -> bool {
    [Errno::EINVAL, Errno::ESRCH, Errno::ENOENT, Errno::EADDRNOTAVAIL, Errno::EILSEQ]
        .iter()
        .any(|&errno| error.errno() == Some(errno))
}

struct Multi<'a> {
    targets: &'a Targets,
    first: u32,
    /// Empty, or one a target; 0 where it is not known.
    addrs: Cow<'a, [u64]>,
    flags: MultiFlags,
    prog: &'a Prog,
}

impl Multi<'_> {
    /// One link for these targets.
    fn link(&mut self, attached: &mut Attached, which: &[u32]) -> bpf_sys::Result<link::Link> {
        let addrs: Vec<u64> =
            which.iter().filter_map(|i| self.addrs.get((i - self.first) as usize)).copied().collect();
        let cookies: Vec<u64> = which.iter().map(|&i| attached.how.cookie(i)).collect();
        let flags = self.flags;
        let by_addr = addrs.len() == which.len() && addrs.iter().all(|&a| a != 0);
        let table;
        let functions = if by_addr {
            KprobeMulti { syms: None, addrs: &addrs, cookies: &cookies, flags }
        } else {
            let (text, starts) = self.targets.names.raw(which);
            table = SymTable::new(text, starts)?;
            KprobeMulti { syms: Some(&table), addrs: &[], cookies: &cookies, flags }
        };
        attached.timed(|| link::kprobe_multi(self.prog, &functions))
    }

    /// Before many attempts: the kernel looks names up anew for each, which takes a pass over all its symbols, and
    /// addresses at once. Answers with the targets that the kernel knows; the others are bad.
    fn find_addresses(&mut self, all: &[u32], bad: &mut Vec<(u32, String)>) -> Result<Vec<u32>> {
        if !self.addrs.is_empty() {
            return Ok(all.to_vec());
        }
        let names: Vec<&str> = all.iter().filter_map(|&i| self.targets.name(i as usize)).collect();
        let mut addrs = vec![0; names.len()];
        let mut known = vec![false; names.len()];
        for (which, addr, kind, _) in crate::kernel::kallsyms::find(&names)? {
            known[which] = true;
            if addrs[which] == 0 && matches!(kind, b't' | b'T' | b'w' | b'W') {
                addrs[which] = addr;
            }
        }
        self.addrs = addrs.into();
        let unknown = all.iter().zip(&known).filter(|(_, known)| !**known);
        bad.extend(unknown.map(|(&index, _)| (index, "the kernel has no symbol of this name".to_owned())));
        Ok(all.iter().zip(&known).filter(|(_, known)| **known).map(|(&index, _)| index).collect())
    }

    /// Finds the targets that cannot be attached, by halving.
    fn offenders(
        &mut self,
        attached: &mut Attached,
        which: &[u32],
        bad: &mut Vec<(u32, String)>,
    ) -> Result<()> {
        match self.link(attached, which) {
            Ok(_) => Ok(()),
            Err(e) if !of_a_function(&e) => Err(e.into()),
            Err(e) => match which {
                [] => Ok(()),
                [index] => {
                    // Of several symbols of this name the kernel itself picks the one that can be traced.
                    if let Some(addr @ 1..) = self.addrs.to_mut().get_mut((index - self.first) as usize) {
                        *addr = 0;
                        return self.offenders(attached, which, bad);
                    }
                    bad.push((*index, e.to_string()));
                    Ok(())
                }
                _ => {
                    let (left, right) = which.split_at(which.len() / 2);
                    self.offenders(attached, left, bad)?;
                    self.offenders(attached, right, bad)
                }
            },
        }
    }
}

/// A perf event of the kprobe PMU for each function.
fn attach_perf(
    attached: &mut Attached,
    targets: &Targets,
    ret: bool,
    places: &[Place],
    programs: &dyn Programs,
) -> Result<()> {
    bpf_sys::nofile::raise(attached.events.len() + attached.links.len() + 2 * places.len() + 64)?;
    let shared = shared_program(attached, targets, ret, places, programs)?;
    for place in places {
        let attr = match &place.symbol {
            Some(symbol) => PerfAttr::kprobe(symbol, place.offset, ret)?,
            None => PerfAttr::kprobe_addr(place.addr, ret)?,
        };
        let event = match attached.timed(|| PerfEvent::open(&attr, -1, 0, None, OpenFlags::empty())) {
            Ok(event) => event,
            Err(e) if e.errno() == Some(Errno::EMFILE) || e.errno() == Some(Errno::EPERM) => {
                return Err(e.into());
            }
            Err(e) => {
                let name = targets.name(place.index as usize).unwrap_or("?").to_owned();
                attached.skipped.push(Skipped { name, why: e.to_string() });
                continue;
            }
        };
        hang(attached, shared.as_ref(), event, place.index, programs)?;
    }
    attached.progs.extend(shared.map(|(prog, _)| prog));
    attached.note_mode(AttachMode::KprobePerf);
    Ok(())
}

fn hang(
    attached: &mut Attached,
    shared: Option<&(Prog, Key)>,
    event: PerfEvent,
    index: u32,
    programs: &dyn Programs,
) -> Result<()> {
    match shared {
        Some((prog, key)) => attached.hang(prog.as_fd(), event, *key, index),
        None => {
            let (prog, key) = attached.load(programs, Kind::Kprobe, &[(Key::Constant(index), None)], None)?;
            attached.hang(prog.as_fd(), event, key, index)?;
            attached.progs.push(prog);
            Ok(())
        }
    }
}

/// The program for all places, told apart by cookie or, at entries, by address; `None` where each needs its own.
fn shared_program(
    attached: &mut Attached,
    targets: &Targets,
    ret: bool,
    places: &[Place],
    programs: &dyn Programs,
) -> Result<Option<(Prog, Key)>> {
    if targets.len() == 1 {
        return Ok(None);
    }
    if let Ok(found) = attached.load(programs, Kind::Kprobe, &[(Key::Cookie, None)], None) {
        return Ok(Some(found));
    }
    if ret || places.len() < 2 {
        return Ok(None);
    }
    let Some(table) = address_table(places)? else { return Ok(None) };
    let found = attached.load(programs, Kind::Kprobe, &[(Key::Address, Some(&table))], None)?;
    attached.keys.push(table);
    Ok(Some(found))
}

/// Target by address; `None` where an address is not known.
fn address_table(places: &[Place]) -> Result<Option<Map>> {
    let mut addrs: Vec<u64> = places.iter().map(|p| p.addr).collect();
    let unknown: Vec<usize> = (0..places.len()).filter(|&i| addrs[i] == 0).collect();
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.iter().filter_map(|&i| places[i].symbol.as_deref()).collect();
        for (which, addr, ..) in crate::kernel::kallsyms::find(&names)? {
            if let Some(&place) = unknown.get(which) {
                addrs[place] = addr.wrapping_add(places[place].offset);
            }
        }
    }
    if addrs.contains(&0) {
        return Ok(None);
    }
    let entries = u32::try_from(addrs.len() * 2).unwrap_or(u32::MAX);
    let map = MapCreate {
        map_type: MapType::Hash,
        key_size: 8,
        value_size: 4,
        max_entries: entries,
        flags: MapFlags::empty(),
        name: "tw_addrs",
        ..MapCreate::default()
    }
    .create()?;
    for (place, &addr) in places.iter().zip(&addrs) {
        let value = place.index.to_ne_bytes();
        map.update(&addr.to_ne_bytes(), &value, UpdateFlags::ANY)?;
        // Where functions begin with a landing mark for indirect jumps (`endbr64`), the probe is behind it.
        #[cfg(target_arch = "x86_64")]
        map.update(&(addr + 4).to_ne_bytes(), &value, UpdateFlags::ANY)?;
    }
    Ok(Some(map))
}

/// Events of the text file: shared ones where functions can be told apart by address, else one for each.
fn attach_text(
    attached: &mut Attached,
    targets: &Targets,
    ret: bool,
    places: &[Place],
    programs: &dyn Programs,
) -> Result<()> {
    let mut text = TextEvents::new("kprobe_events")?;
    let mut shared = None;
    if places.len() > 1 && !programs.tells_targets_apart() {
        shared = Some(attached.load(programs, Kind::Kprobe, &[], None)?);
    } else if places.len() > 1
        && let Some(table) = address_table(places)?
    {
        let keys: &[_] = if ret {
            &[(Key::FuncIp, Some(&table))]
        } else {
            &[(Key::FuncIp, Some(&table)), (Key::Address, Some(&table))]
        };
        if let Ok(found) = attached.load(programs, Kind::Kprobe, keys, None) {
            shared = Some(found);
            attached.keys.push(table);
        }
    }
    let chunk = if shared.is_some() { SHARED } else { 1 };
    if shared.is_none() {
        bpf_sys::nofile::raise(attached.events.len() + attached.links.len() + 2 * places.len() + 64)?;
    }
    let mut skipped = Vec::new();
    for some in places.chunks(chunk) {
        let event = attached.timed(|| {
            text.define(
                ret,
                &mut some.iter().map(|place| (place.index, place.text())),
                &mut |index, why| {
                    let name = targets.name(index as usize).unwrap_or("?").to_owned();
                    skipped.push(Skipped { name, why });
                },
                (-1, 0),
            )
        });
        let event = match event {
            Ok(event) => event,
            Err(e) => {
                attached.text.push(text);
                return Err(e);
            }
        };
        let (Some(event), Some(place)) = (event, some.first()) else { continue };
        if let Err(e) = hang(attached, shared.as_ref(), event, place.index, programs) {
            attached.text.push(text);
            return Err(e);
        }
    }
    attached.skipped.append(&mut skipped);
    attached.text.push(text);
    attached.progs.extend(shared.map(|(prog, _)| prog));
    attached.note_mode(AttachMode::KprobeText);
    Ok(())
}

impl Place {
    /// The place as the text file names it.
    fn text(&self) -> String {
        match &self.symbol {
            Some(symbol) if self.offset == 0 => symbol.clone(),
            Some(symbol) => format!("{symbol}+{}", self.offset),
            None => format!("{:#x}", self.addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_many_minutes_is_refused_at_once() {
        assert!(check_number(ONE_BY_ONE).is_ok());
        let message = check_number(45_000).unwrap_err().to_string();
        for part in ["45000 kernel functions", "up to 30 minutes", "up to 4096 functions", "kprobe-text"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn functions_without_an_address_are_left_out_where_others_have_one() {
        let group = |addrs: &[u64]| Group::Kprobes { ret: false, first: 5, count: 3, addrs: addrs.to_vec() };
        assert_eq!(known(&group(&[0x10, 0, 0x30])), [5, 7]);
        assert_eq!(known(&group(&[])), [5, 6, 7]);
        let mut targets = Targets::default();
        "abcdefgh".chars().for_each(|name| targets.names.push(&name.to_string()));
        let mut attached = Attached::default();
        leave_out_unknown(&mut attached, &targets, &group(&[0x10, 0, 0x30]));
        assert_eq!(attached.skipped.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["g"]);
        assert_eq!(places(&targets, &group(&[0x10, 0, 0x30])).len(), 2);
    }
}
