//! Events defined in the text files `kprobe_events` and `uprobe_events` of tracefs.
//!
//! Several definitions may share one event name (since Linux 5.5), so that one perf event and one program serve many
//! functions. Names carry this process's id; what killed processes left behind is removed when a file is first used.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bpf_sys::perf::{OpenFlags, PerfAttr, PerfEvent};

use crate::tracefs::Tracefs;
use crate::{Error, Result};

/// What the names of our groups begin with; the process id follows.
const PREFIX: &str = "tracewell_";
/// Numbers the events of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Events of one file; dropping removes them.
#[derive(Debug)]
pub(crate) struct TextEvents {
    tracefs: Tracefs,
    file: &'static str,
    events: Vec<String>,
}

impl TextEvents {
    /// Opens `kprobe_events` or `uprobe_events` and clears away what dead processes left there.
    pub fn new(file: &'static str) -> Result<TextEvents> {
        let tracefs = Tracefs::locate()?;
        let path = tracefs.path(file);
        if !path.exists() {
            return Err(Error::Unavailable {
                what: file.into(),
                why: format!("tracefs has no such file; the kernel was built without {}", config_of(file)),
                remedy: "tracepoints still work (`t:CATEGORY:EVENT`)".into(),
            });
        }
        remove_stale(&tracefs, file);
        Ok(TextEvents { tracefs, file, events: Vec::new() })
    }

    /// The group that this process's events are in.
    fn group() -> String {
        format!("{PREFIX}{}", std::process::id())
    }

    fn open(&self) -> Result<(File, PathBuf)> {
        let path = self.tracefs.path(self.file);
        // Never truncate: that would delete everybody's events.
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::io("open", &path, e))?;
        Ok((file, path))
    }

    /// Defines one event at all the places, of which each is `SYMBOL+OFFSET`, an address or `PATH:OFFSET`. A place that
    /// the kernel refuses is given to `refused` with the reason. Answers with the event's perf event, or `None` if every
    /// place was refused.
    pub fn define(
        &mut self,
        ret: bool,
        places: &mut dyn Iterator<Item = (u32, String)>,
        refused: &mut dyn FnMut(u32, String),
        open_for: (i32, i32),
    ) -> Result<Option<PerfEvent>> {
        let (mut file, _) = self.open()?;
        let name = format!("e{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let kind = if ret { 'r' } else { 'p' };
        let group = Self::group();
        let mut defined = false;
        for (index, place) in places {
            let line = format!("{kind}:{group}/{name} {place}\n");
            match file.write_all(line.as_bytes()) {
                Ok(()) => {
                    if !defined {
                        self.events.push(name.clone());
                    }
                    defined = true;
                }
                Err(e) => refused(index, self.reason(&line, &e)),
            }
        }
        if !defined {
            return Ok(None);
        }
        let id = self.tracefs.event_id(&group, &name)?;
        let event =
            PerfEvent::open(&PerfAttr::tracepoint(id), open_for.0, open_for.1, None, OpenFlags::empty())?;
        Ok(Some(event))
    }

    /// Why a definition was refused: the errno, and the kernel's log where it speaks of this line.
    fn reason(&self, line: &str, error: &std::io::Error) -> String {
        let logged = self
            .tracefs
            .last_error()
            .filter(|l| l.command.trim() == line.trim() || line.contains(l.command.trim()));
        match logged {
            Some(logged) => format!("{error}; error_log: {logged}"),
            None => error.to_string(),
        }
    }

    /// Missed hits as the kernel's profile file counts them; 0 where it does not.
    pub fn missed(&self) -> u64 {
        // uprobe_profile has no such column.
        if self.file != "kprobe_events" {
            return 0;
        }
        self.tracefs.read("kprobe_profile").map_or(0, |text| profile_missed(&text, &self.events))
    }

    /// Removes the events; their perf events must be closed.
    fn remove(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let Ok((mut file, _)) = self.open() else { return };
        let group = Self::group();
        for event in self.events.drain(..) {
            // A failure has no one to be told to; the next start tries again.
            let _ = file.write_all(format!("-:{group}/{event}\n").as_bytes());
        }
    }
}

impl Drop for TextEvents {
    fn drop(&mut self) {
        self.remove();
    }
}

fn config_of(file: &str) -> &'static str {
    if file == "uprobe_events" { "CONFIG_UPROBE_EVENTS" } else { "CONFIG_KPROBE_EVENTS" }
}

/// Sums the missed hits of our events: `EVENT HITS MISSES` a line.
fn profile_missed(text: &str, events: &[String]) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (name, _hits, missed) = (fields.next()?, fields.next()?, fields.next()?);
            events.iter().any(|e| e == name).then(|| missed.parse::<u64>().ok())?
        })
        .sum()
}

/// The events of processes that are gone, as (group, event), each once.
fn stale(text: &str, alive: impl Fn(u32) -> bool) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once(':') else { continue };
        let Some((group, rest)) = rest.split_once('/') else { continue };
        let Some(pid) = group.strip_prefix(PREFIX).and_then(|p| p.parse().ok()) else { continue };
        let event = rest.split_whitespace().next().unwrap_or_default();
        if !alive(pid) && !found.iter().any(|(g, e)| g == group && e == event) {
            found.push((group.to_owned(), event.to_owned()));
        }
    }
    found
}

/// Removes what killed processes left. Events still in use elsewhere are refused by the kernel, which is right.
fn remove_stale(tracefs: &Tracefs, file: &str) {
    let Ok(text) = tracefs.read(file) else { return };
    let alive = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    for (group, event) in stale(&text, alive) {
        let _ = tracefs.append(file, &format!("-:{group}/{event}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_dead_processes_are_stale() {
        let text = "p:kprobes/mine vfs_read\n\
                    p:tracewell_11/e0 vfs_read\n\
                    p:tracewell_11/e0 vfs_write\n\
                    r64:tracewell_12/e3 vfs_open\n\
                    p:tracewell_x/e3 vfs_open\n";
        let found = stale(text, |pid| pid == 12);
        assert_eq!(found, [("tracewell_11".to_owned(), "e0".to_owned())]);
        assert_eq!(stale(text, |_| false).len(), 2);
    }

    #[test]
    fn misses_of_our_events_are_summed() {
        let text = "  e0      100      3\n  other      5      7\n  e1      1      4\n";
        assert_eq!(profile_missed(text, &["e0".to_owned(), "e1".to_owned()]), 7);
    }
}
