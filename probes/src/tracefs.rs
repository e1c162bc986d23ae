//! The tracing file system: where it is, events and their ids and fields, dynamic events, the error log.
//!
//! See `Documentation/trace/ftrace.rst` and `Documentation/trace/events.rst` of the kernel.

mod dynamic;
mod format;

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub use dynamic::{DynamicEvent, DynamicKind, OWN_PREFIX, own_group};
pub use format::{Field, Format};

use crate::error::{Error, Result};
use crate::kernel::{config, lines};

/// Where tracefs belongs; the directory exists on every kernel that has it.
const HOME: &str = "/sys/kernel/tracing";
/// Where kernels show it as well once debugfs is mounted.
const IN_DEBUGFS: &str = "/sys/kernel/debug/tracing";

/// A mounted tracefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracefs {
    root: PathBuf,
}

/// The newest entry of `error_log`: why a dynamic event was refused. Since Linux 5.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedError {
    /// The part of the kernel that complained, like `trace_kprobe`.
    pub subsystem: String,
    /// What is wrong.
    pub message: String,
    /// The command that was refused.
    pub command: String,
    /// The byte of the command that is meant.
    pub column: Option<usize>,
}

impl std::fmt::Display for LoggedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} in `{}`", self.subsystem, self.message, self.command)?;
        self.column.map_or(Ok(()), |column| write!(f, " at byte {column}"))
    }
}

impl Tracefs {
    /// Finds tracefs: at its usual places, then in the mount table; otherwise mounts it at `/sys/kernel/tracing`
    /// where privileges allow.
    ///
    /// Errors: [`Error::NoTracefs`] with the command that helps, [`Error::Io`] when it is there and may not be read.
    pub fn locate() -> Result<Tracefs> {
        for root in [HOME, IN_DEBUGFS] {
            if let Some(found) = Tracefs::at(root.into())? {
                return Ok(found);
            }
        }
        for root in mounted() {
            if let Some(found) = Tracefs::at(root)? {
                return Ok(found);
            }
        }
        mount()?;
        match Tracefs::at(HOME.into())? {
            Some(found) => Ok(found),
            None => Err(Error::NoTracefs {
                reason: format!("{HOME} was mounted and still holds no events"),
                remedy: "check that the kernel has CONFIG_EVENT_TRACING=y".into(),
            }),
        }
    }

    /// The tracefs whose root is `root`, if there is one.
    fn at(root: PathBuf) -> Result<Option<Tracefs>> {
        match std::fs::metadata(root.join("events")) {
            Ok(found) if found.is_dir() => Ok(Some(Tracefs { root })),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !is_empty_dir(&root) => {
                Err(Error::io("search", root, error))
            }
            _ => Ok(None),
        }
    }

    /// Takes a directory as it is; for tests and unusual mounts.
    pub fn with_root(root: impl Into<PathBuf>) -> Tracefs {
        Tracefs { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file in it.
    pub fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.root.join(file)
    }

    /// Reads a whole small file. Bytes that are not UTF-8 are replaced.
    pub fn read(&self, file: impl AsRef<Path>) -> Result<String> {
        let path = self.path(file);
        let bytes = std::fs::read(&path).map_err(|source| Error::io("read", path, source))?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// Appends `text` to a control file without truncating it: for `kprobe_events` and `uprobe_events` truncation
    /// would delete everybody's events.
    ///
    /// Errors carry the errno of the write; [`Tracefs::last_error`] may know more.
    pub fn append(&self, file: impl AsRef<Path>, text: &str) -> Result<()> {
        let path = self.path(file);
        let open = OpenOptions::new().append(true).open(&path);
        open.and_then(|mut f| f.write_all(text.as_bytes()))
            .map_err(|source| Error::io("write to", path, source))
    }

    /// The id of a tracepoint or dynamic event, for `perf_event_open`.
    pub fn event_id(&self, category: &str, event: &str) -> Result<u64> {
        let file = event_file(category, event, "id");
        let text = self.read(&file)?;
        text.trim().parse().map_err(|_| Error::Malformed {
            path: self.path(file),
            at: "line 1".into(),
            why: format!("`{}` is not a number", text.trim()),
        })
    }

    /// Whether there is such an event.
    pub fn has_event(&self, category: &str, event: &str) -> bool {
        self.path(event_file(category, event, "id")).exists()
    }

    /// The fields of an event.
    pub fn format(&self, category: &str, event: &str) -> Result<Format> {
        let file = event_file(category, event, "format");
        let text = self.read(&file)?;
        Format::parse(&text).ok_or_else(|| Error::Malformed {
            path: self.path(file),
            at: "the beginning".into(),
            why: "there is no name, ID and format".into(),
        })
    }

    /// Calls `each` with the category and name of every event, until it breaks off.
    pub fn for_each_event(&self, mut each: impl FnMut(&str, &str) -> ControlFlow<()>) -> Result<()> {
        lines::for_each_in(&self.path("available_events"), |line| {
            match std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) {
                Some((category, event)) => each(category, event),
                None => ControlFlow::Continue(()),
            }
        })
    }

    /// The categories, sorted.
    pub fn categories(&self) -> Result<Vec<String>> {
        self.directories("events")
    }

    /// The events of a category, sorted.
    pub fn events(&self, category: &str) -> Result<Vec<String>> {
        self.directories(Path::new("events").join(category))
    }

    fn directories(&self, directory: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = self.path(directory);
        let fail = |source| Error::io("list", &path, source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_type().is_ok_and(|t| t.is_dir())
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The newest entry of the error log; `None` when it is empty, missing or unreadable.
    pub fn last_error(&self) -> Option<LoggedError> {
        parse_error_log(&self.read("error_log").ok()?)
    }
}

/// Names with `/` or `..` in them must not lead elsewhere.
fn event_file(category: &str, event: &str, file: &str) -> PathBuf {
    let clean = |name: &str| name.replace(['/', '\0'], "_").replace("..", "_");
    Path::new("events").join(clean(category)).join(clean(event)).join(file)
}

fn is_empty_dir(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn mounted() -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Without a mount table there is nothing more to look for.
    let _ = lines::for_each_in(Path::new("/proc/mounts"), |line| {
        if let Ok(line) = std::str::from_utf8(line) {
            let mut words = line.split(' ').skip(1);
            match (words.next(), words.next()) {
                (Some(at), Some("tracefs")) => found.push(unescape_mount(at).into()),
                (Some(at), Some("debugfs")) => found.push(Path::new(&unescape_mount(at)).join("tracing")),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    });
    found
}

/// Blanks in mount points are written as octal escapes, see proc_pid_mounts(5).
fn unescape_mount(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn mount() -> Result<()> {
    use nix::errno::Errno;
    use nix::mount::MsFlags;
    if !Path::new(HOME).is_dir() {
        let why = config::missing("CONFIG_FTRACE").or_else(|| config::missing("CONFIG_EVENT_TRACING"));
        return Err(Error::NoTracefs {
            reason: why.unwrap_or_else(|| format!("there is no {HOME}; is sysfs mounted?")),
            remedy: "mount sysfs with `mount -t sysfs sysfs /sys`, or use a kernel with CONFIG_FTRACE=y"
                .into(),
        });
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match nix::mount::mount(Some("tracefs"), HOME, Some("tracefs"), flags, None::<&str>) {
        // Another process was quicker.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => {
            let source = io::Error::from(errno);
            let remedy = match errno {
                Errno::EPERM | Errno::EACCES => format!(
                    "run as root (CAP_SYS_ADMIN), or let an administrator run `mount -t tracefs tracefs {HOME}`"
                ),
                _ => format!("try `mount -t tracefs tracefs {HOME}`"),
            };
            Err(Error::NoTracefs {
                reason: format!("{HOME} is not mounted and mounting it failed: {source}"),
                remedy,
            })
        }
    }
}

/// Entries look like this, the caret under the offending byte:
///
/// ```text
/// [  12.345678] trace_kprobe: error: Invalid probed address or symbol
///   Command: p:grp/ev nosuch
///                     ^
/// ```
pub(crate) fn parse_error_log(text: &str) -> Option<LoggedError> {
    let start = text.match_indices('\n').map(|(at, _)| at + 1).chain([0]).filter(|&at| {
        text[at..].starts_with('[') && text[at..].lines().next().is_some_and(|l| l.contains(": error: "))
    });
    let mut lines = text[start.max()?..].lines();
    let head = lines.next()?.split_once("] ")?.1;
    let (subsystem, message) = head.split_once(": error: ")?;
    let command_line = lines.next().unwrap_or("");
    let command = command_line.trim_start().strip_prefix("Command: ").unwrap_or("");
    let indent = command_line.len() - command.len();
    let column = lines.next().and_then(|line| line.find('^')).and_then(|at| at.checked_sub(indent));
    Some(LoggedError {
        subsystem: subsystem.trim().to_owned(),
        message: message.trim().to_owned(),
        command: command.trim_end().to_owned(),
        column,
    })
}

#[cfg(test)]
mod tests;
