//! Dynamic events: `kprobe_events` and `uprobe_events`, ours and what killed runs left behind.
//!
//! See `Documentation/trace/kprobetrace.rst` and `uprobetracer.rst`. Our events are in the group `tracewell_PID`, so
//! that they can be told from those of other tools and of other runs.

use std::path::Path;

use super::Tracefs;
use crate::error::{Error, Result};

/// What the groups of our events begin with; the pid of their owner follows.
pub const OWN_PREFIX: &str = "tracewell_";

/// The group of this process's events.
pub fn own_group() -> String {
    format!("{OWN_PREFIX}{}", std::process::id())
}

/// Which control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DynamicKind {
    /// `kprobe_events`.
    Kprobe,
    /// `uprobe_events`.
    Uprobe,
}

impl DynamicKind {
    /// The control file's name.
    pub const fn file(self) -> &'static str {
        match self {
            DynamicKind::Kprobe => "kprobe_events",
            DynamicKind::Uprobe => "uprobe_events",
        }
    }
}

/// One dynamic event that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicEvent {
    /// Where it is listed.
    pub kind: DynamicKind,
    /// Its group; `kprobes` or `uprobes` unless its creator chose another.
    pub group: String,
    /// Its name.
    pub event: String,
    /// The rest of the line: place and arguments.
    pub place: String,
}

impl DynamicEvent {
    /// The pid in the name of the group, if it is one of ours.
    pub fn owner(&self) -> Option<u32> {
        self.group.strip_prefix(OWN_PREFIX)?.parse().ok()
    }

    /// Parses a line: `p:group/event place args`, where `p` may be `r` with a number, and the group may be missing.
    pub(crate) fn parse(kind: DynamicKind, line: &str) -> Option<DynamicEvent> {
        let (head, place) = line.split_once(' ')?;
        let (letter, name) = head.split_once(':')?;
        let mut letters = letter.bytes();
        if !matches!(letters.next(), Some(b'p' | b'r')) || !letters.all(|b| b.is_ascii_digit()) {
            return None;
        }
        let default = match kind {
            DynamicKind::Kprobe => "kprobes",
            DynamicKind::Uprobe => "uprobes",
        };
        let (group, event) = name.split_once('/').unwrap_or((default, name));
        let place = place.trim().to_owned();
        Some(DynamicEvent { kind, group: group.to_owned(), event: event.to_owned(), place })
    }
}

impl Tracefs {
    /// All dynamic events of one kind, whoever made them. Empty where the kernel has no such file.
    pub fn dynamic_events(&self, kind: DynamicKind) -> Result<Vec<DynamicEvent>> {
        if !self.path(kind.file()).exists() {
            return Ok(Vec::new());
        }
        Ok(self.read(kind.file())?.lines().filter_map(|line| DynamicEvent::parse(kind, line)).collect())
    }

    /// Creates dynamic events; each definition is one line without its line break, such as
    /// `p:tracewell_1/e0 vfs_read`.
    ///
    /// Errors: the kernel's, with its `error_log` line where it wrote one; the events before the bad one exist.
    pub fn add_dynamic(&self, kind: DynamicKind, definitions: &[String]) -> Result<()> {
        let mut text = definitions.join("\n");
        text.push('\n');
        self.append(kind.file(), &text).map_err(|error| match self.last_error() {
            // An older entry of the log belongs to somebody else's mistake.
            Some(logged) if definitions.iter().any(|d| d.trim() == logged.command.trim()) => {
                Error::Unavailable {
                    what: format!("the event `{}`", logged.command),
                    why: format!("{} said: {}", logged.subsystem, logged.message),
                    remedy: "check the name, the offset and that the kernel allows a probe there".into(),
                }
            }
            _ => error,
        })
    }

    /// Removes dynamic events in one write where possible; those that are still in use stay. Returns how many went.
    pub fn remove_dynamic(&self, events: &[DynamicEvent]) -> usize {
        let mut removed = 0;
        for kind in [DynamicKind::Kprobe, DynamicKind::Uprobe] {
            let mine: Vec<String> = events
                .iter()
                .filter(|event| event.kind == kind)
                .map(|event| format!("-:{}/{}\n", event.group, event.event))
                .collect();
            if mine.is_empty() {
                continue;
            }
            if self.append(kind.file(), &mine.concat()).is_ok() {
                removed += mine.len();
                continue;
            }
            // One that is in use stops the batch; the others must still go.
            removed += mine.iter().filter(|line| self.append(kind.file(), line).is_ok()).count();
        }
        removed
    }

    /// Removes our events whose owner no longer runs, as after SIGKILL. Events of other tools are never touched, nor
    /// those of a pid that exists. Returns how many were removed; failures leave events in place.
    pub fn remove_stale(&self) -> usize {
        let alive = |pid: u32| pid == std::process::id() || Path::new("/proc").join(pid.to_string()).exists();
        self.remove_stale_if(|pid| !alive(pid))
    }

    pub(super) fn remove_stale_if(&self, gone: impl Fn(u32) -> bool) -> usize {
        let mut stale = Vec::new();
        for kind in [DynamicKind::Kprobe, DynamicKind::Uprobe] {
            // An unreadable list means there is nothing that could be removed either.
            let events = self.dynamic_events(kind).unwrap_or_default();
            stale.extend(events.into_iter().filter(|event| event.owner().is_some_and(&gone)));
        }
        if stale.is_empty() { 0 } else { self.remove_dynamic(&stale) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lines_of_kprobe_events() {
        let text = "p:kprobes/myprobe do_sys_open dfd=%ax\nr16:tracewell_42/e0 vfs_read\np:solo vfs_open\n\
                    -:gone\ne:eprobe/x a/b\nf:fprobes/y vfs_read\nx";
        let shown: Vec<String> = text
            .lines()
            .filter_map(|line| DynamicEvent::parse(DynamicKind::Kprobe, line))
            .map(|e| format!("{} / {} @ {} owner {:?}", e.group, e.event, e.place, e.owner()))
            .collect();
        expect![[r#"
            [
                "kprobes / myprobe @ do_sys_open dfd=%ax owner None",
                "tracewell_42 / e0 @ vfs_read owner Some(42)",
                "kprobes / solo @ vfs_open owner None",
            ]
        "#]]
        .assert_debug_eq(&shown);
    }

    #[test]
    fn only_own_stale_events_are_removed() {
        let root = std::env::temp_dir().join(format!("tracewell-dyn-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let list = "p:tracewell_7/a vfs_read\np:tracewell_8/b vfs_read\np:kprobes/c vfs_read\n\
                    p:tracewell_x/d vfs_read\n";
        std::fs::write(root.join("kprobe_events"), list).unwrap();
        let removed = Tracefs::with_root(&root).remove_stale_if(|pid| pid == 7);
        let text = std::fs::read_to_string(root.join("kprobe_events")).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(removed, 1);
        assert_eq!(text, format!("{list}-:tracewell_7/a\n"));
    }
}
