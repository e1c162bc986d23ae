//! Processes as `/proc` shows them: existence, start time, namespaces, root, mappings.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::error::{Result, UserError};
use super::maps::Mapping;

/// A running process, identified by its id and start time so that a reused id is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    start: u64,
}

impl Process {
    /// The process with that id in our own pid namespace.
    ///
    /// # Errors
    /// `NoProcess` when there is none, `Process` when /proc may not be read.
    pub fn open(pid: u32) -> Result<Process> {
        let stat = read(pid, "stat")?;
        // Fields are counted after the last parenthesis: the name before it may hold anything.
        let after = stat.iter().rposition(|b| *b == b')').map_or(&[][..], |at| &stat[at + 1..]);
        let start =
            String::from_utf8_lossy(after).split_ascii_whitespace().nth(19).and_then(|f| f.parse().ok());
        let bad = || UserError::Process { pid, file: "stat", source: io::ErrorKind::InvalidData.into() };
        Ok(Process { pid, start: start.ok_or_else(bad)? })
    }

    /// Its id in our pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Start time in clock ticks since boot (field 22 of proc_pid_stat(5)).
    pub fn start_time(&self) -> u64 {
        self.start
    }

    /// Whether it still runs, and is not another one under the same id.
    pub fn is_alive(&self) -> bool {
        Process::open(self.pid).is_ok_and(|now| now.start == self.start)
    }

    /// Its command name, at most 15 bytes.
    ///
    /// # Errors
    /// As [`Process::open`], like all that follow.
    pub fn comm(&self) -> Result<String> {
        let raw = read(self.pid, "comm")?;
        Ok(String::from_utf8_lossy(raw.strip_suffix(b"\n").unwrap_or(&raw)).into_owned())
    }

    /// The program it runs, as a path inside its own mount namespace; `None` for kernel threads.
    pub fn exe(&self) -> Result<Option<PathBuf>> {
        match fs::read_link(self.proc_path("exe")) {
            Ok(path) => Ok(Some(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Process::open(self.pid).map(|_| None),
            Err(source) => Err(failed(self.pid, "exe", source)),
        }
    }

    /// Its mappings in address order; empty for kernel threads.
    pub fn maps(&self) -> Result<Vec<Mapping>> {
        Ok(Mapping::parse_all(&read(self.pid, "maps")?).0)
    }

    /// The value of a variable in the environment it was started with.
    pub fn env(&self, name: &str) -> Result<Option<String>> {
        let raw = read(self.pid, "environ")?;
        Ok(raw.split(|b| *b == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        }))
    }

    /// Its id in its innermost pid namespace (the last number of `NSpid`), which is what it calls itself.
    pub fn namespace_pid(&self) -> Result<u32> {
        let status = read(self.pid, "status")?;
        let text = String::from_utf8_lossy(&status);
        let ids = text.lines().find_map(|l| l.strip_prefix("NSpid:"));
        Ok(ids.and_then(|l| l.split_ascii_whitespace().last()?.parse().ok()).unwrap_or(self.pid))
    }

    /// Device and inode of one of its namespaces: `mnt`, `pid`, `cgroup`, ...
    pub fn namespace(&self, kind: &str) -> Result<(u64, u64)> {
        let meta = fs::metadata(self.proc_path("ns").join(kind)).map_err(|e| failed(self.pid, "ns", e))?;
        Ok((meta.dev(), meta.ino()))
    }

    /// Its view of the file system: through `/proc/PID/root` when it differs from ours.
    pub fn root(&self) -> Result<Root> {
        let same = |file: &str| {
            let ours = fs::metadata(Path::new("/proc/self").join(file)).ok()?;
            let its = fs::metadata(self.proc_path(file)).ok()?;
            Some((ours.dev(), ours.ino()) == (its.dev(), its.ino()))
        };
        if same("ns/mnt") == Some(true) && same("root") == Some(true) {
            return Ok(Root::ours());
        }
        let root = self.proc_path("root");
        fs::metadata(&root).map_err(|e| failed(self.pid, "root", e))?;
        Ok(Root { prefix: Some(root) })
    }

    /// The link that opens the file behind a mapping even after it was deleted. Needs `CAP_SYS_ADMIN` or
    /// `CAP_CHECKPOINT_RESTORE`.
    pub fn map_file(&self, mapping: &Mapping) -> PathBuf {
        self.proc_path("map_files").join(format!("{:x}-{:x}", mapping.start, mapping.end))
    }

    pub(crate) fn proc_path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}

fn read(pid: u32, file: &'static str) -> Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/{file}")).map_err(|e| failed(pid, file, e))
}

fn failed(pid: u32, file: &'static str, source: io::Error) -> UserError {
    // ESRCH: it exited between open and read.
    let gone = source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(3);
    if gone && fs::metadata(format!("/proc/{pid}/stat")).is_err() {
        return UserError::NoProcess { pid };
    }
    UserError::Process { pid, file, source }
}

/// A view of the file system: ours, or that of a process in another mount namespace or chroot.
///
/// Below `/proc/PID/root` an absolute symlink would lead back into *our* file system; therefore links
/// are followed here, component by component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Root {
    prefix: Option<PathBuf>,
}

impl Root {
    /// Our own view.
    pub fn ours() -> Root {
        Root { prefix: None }
    }

    /// The view from inside `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Root {
        Root { prefix: Some(folder.into()) }
    }

    /// Whether it is our own view.
    pub fn is_ours(&self) -> bool {
        self.prefix.is_none()
    }

    /// The path we have to open for `path` of that view; `None` when there is no such file.
    pub fn resolve(&self, path: &Path) -> Option<PathBuf> {
        match &self.prefix {
            None => path.exists().then(|| path.to_path_buf()),
            Some(prefix) => Some(join(prefix, &self.resolve_inside(path)?)),
        }
    }

    /// The path without symlinks, as that view sees it; `None` when there is no such file.
    pub fn resolve_inside(&self, path: &Path) -> Option<PathBuf> {
        let Some(prefix) = &self.prefix else { return fs::canonicalize(path).ok() };
        let mut done = PathBuf::from("/");
        let mut todo: Vec<PathBuf> = parts(path);
        // As many links as the kernel follows before it says ELOOP.
        let mut links = 40;
        while let Some(next) = todo.pop() {
            if next == Path::new("..") {
                done.pop();
                continue;
            }
            let candidate = done.join(&next);
            let outside = join(prefix, &candidate);
            let kind = fs::symlink_metadata(&outside).ok()?.file_type();
            if !kind.is_symlink() {
                done = candidate;
                continue;
            }
            links -= 1;
            if links == 0 {
                return None;
            }
            let target = fs::read_link(&outside).ok()?;
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            todo.extend(parts(&target));
        }
        Some(done)
    }

    /// Names of the files in a folder of that view; empty when it cannot be read.
    pub(crate) fn list(&self, folder: &Path) -> Vec<String> {
        let Some(entries) = self.resolve(folder).and_then(|p| fs::read_dir(p).ok()) else {
            return Vec::new();
        };
        entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect()
    }

    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(self.resolve(path)?).ok()
    }
}

fn join(prefix: &Path, inside: &Path) -> PathBuf {
    prefix.join(inside.strip_prefix("/").unwrap_or(inside))
}

/// The components of a path, last first, without `/` and `.`.
fn parts(path: &Path) -> Vec<PathBuf> {
    let keep = |c: Component<'_>| match c {
        Component::Normal(n) => Some(PathBuf::from(n)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(keep).collect()
}
