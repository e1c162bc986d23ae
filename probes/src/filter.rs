//! Which events count: by process, thread, processor and control group, decided in the kernel.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bpf_sys::map::{Map, MapCreate, MapType, UpdateFlags};

use crate::{Error, Result};

/// The inode number of the initial pid namespace, fixed by the kernel's ABI (`PROC_PID_INIT_INO`).
const INIT_PID_NS: u64 = 0xEFFF_FFFC;

/// Which events a session takes; all parts given must hold. The default takes every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this process, all its threads (the kernel's tgid), as numbered in the pid namespace of the caller.
    pub pid: Option<u32>,
    /// Only this thread (the kernel's pid), as numbered in the pid namespace of the caller.
    pub tid: Option<u32>,
    /// Only events on this processor.
    pub cpu: Option<u32>,
    /// Only tasks in this control group of the version 2 hierarchy, or in one below it.
    pub cgroup: Option<CgroupRef>,
}

/// Names a control group of the version 2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupRef {
    /// By its directory, such as `/sys/fs/cgroup/system.slice`; a relative path starts at the hierarchy's root.
    Path(PathBuf),
    /// By its 64-bit id, which is the inode number of its directory.
    Id(u64),
}

impl CgroupRef {
    /// Reads a number as an id and anything else as a path.
    pub fn parse(text: &str) -> CgroupRef {
        match text.parse() {
            Ok(id) => CgroupRef::Id(id),
            Err(_) => CgroupRef::Path(PathBuf::from(text)),
        }
    }
}

impl Filter {
    /// Whether every event is taken.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Checks that what the filter names exists: the process, the thread, the processor, the control group.
    ///
    /// # Errors
    /// [`Error::BadFilter`] names the part and what to do.
    pub fn check(&self) -> Result<()> {
        if let Some(pid) = self.pid {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .map_err(|_| bad(format!("there is no process {pid}"), "list processes with `ps -e`"))?;
            let tgid = status_field(&status, "Tgid:");
            if let Some(tgid) = tgid.filter(|&t| t != pid) {
                return Err(bad(
                    format!("{pid} is a thread of process {tgid}, not a process"),
                    format!("use the process id {tgid}, or filter by thread"),
                ));
            }
        }
        if let Some(tid) = self.tid
            && !Path::new(&format!("/proc/{tid}")).exists()
        {
            return Err(bad(format!("there is no thread {tid}"), "list threads with `ps -eL`"));
        }
        if let Some(cpu) = self.cpu {
            let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
            if !in_cpu_list(online.trim(), cpu) {
                return Err(bad(
                    format!("there is no processor {cpu}"),
                    format!("the processors online are {}", online.trim()),
                ));
            }
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup_dir(cgroup)?;
        }
        Ok(())
    }
}

fn bad(what: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::BadFilter { what: what.into(), remedy: remedy.into() }
}

/// The number behind a field of `/proc/PID/status`.
fn status_field(status: &str, field: &str) -> Option<u32> {
    status.lines().find_map(|l| l.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// Whether a list such as `0-3,8` holds a processor.
fn in_cpu_list(list: &str, cpu: u32) -> bool {
    // A system whose list cannot be read is not a reason to refuse.
    list.is_empty()
        || list.split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse::<u32>(), last.parse::<u32>()), (Ok(a), Ok(b)) if (a..=b).contains(&cpu))
        })
}

/// The directory of a control group.
fn cgroup_dir(cgroup: &CgroupRef) -> Result<PathBuf> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").map_err(|e| Error::io("read", "/proc/self/mounts", e))?;
    let Some(root) = cgroup2_mount(&mounts) else {
        return Err(bad(
            "the version 2 hierarchy of control groups is not mounted",
            "mount it with `mount -t cgroup2 none /sys/fs/cgroup/unified`, or filter by process",
        ));
    };
    match cgroup {
        // Joined to the root that would be the root itself, and so every process.
        CgroupRef::Path(path) if path.as_os_str().is_empty() => Err(bad(
            "the name of the control group is empty",
            format!("give its directory below {}, or leave the filter out", root.display()),
        )),
        CgroupRef::Path(path) => {
            let full = root.join(path);
            if !full.join("cgroup.procs").exists() {
                return Err(bad(
                    format!("{} is not a control group of the version 2 hierarchy", full.display()),
                    format!("list them with `find {} -type d`", root.display()),
                ));
            }
            Ok(full)
        }
        CgroupRef::Id(id) => find_inode(&root, *id).ok_or_else(|| {
            bad(
                format!("no control group has the id {id}"),
                format!("the ids are the inode numbers that `ls -di {}/*` shows", root.display()),
            )
        }),
    }
}

fn cgroup2_mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

fn find_inode(root: &Path, inode: u64) -> Option<PathBuf> {
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        if fs::metadata(&dir).ok()?.ino() == inode {
            return Some(dir);
        }
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        todo.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    None
}

/// The pid namespace of this process as the kernel names it, `None` in the initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PidNs {
    /// The device as the kernel numbers it inside.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

impl PidNs {
    /// Looks up the namespace in which this process's numbers hold.
    pub fn current() -> Option<PidNs> {
        let meta = fs::metadata("/proc/self/ns/pid").ok()?;
        (meta.ino() != INIT_PID_NS).then(|| PidNs { dev: kernel_dev(meta.dev()), ino: meta.ino() })
    }
}

/// Turns a device number as `stat` shows it into the kernel's own form (20 bits of minor number).
fn kernel_dev(dev: u64) -> u64 {
    let major = ((dev >> 8) & 0xfff) | ((dev >> 32) & 0xffff_f000);
    let minor = (dev & 0xff) | ((dev >> 12) & 0xffff_ff00);
    (major << 20) | minor
}

/// A filter in the form that programs are generated from.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterPlan {
    /// Process (tgid).
    pub pid: Option<u32>,
    /// Thread.
    pub tid: Option<u32>,
    /// The namespace in which `pid` and `tid` are numbered, if it is not the initial one.
    pub ns: Option<PidNs>,
    /// Processor.
    pub cpu: Option<u32>,
    /// Directory of the control group.
    pub cgroup: Option<PathBuf>,
}

impl FilterPlan {
    /// Checks the filter and looks up what the programs need to know.
    pub fn new(filter: &Filter) -> Result<FilterPlan> {
        filter.check()?;
        Ok(FilterPlan {
            pid: filter.pid,
            tid: filter.tid,
            ns: if filter.pid.is_some() || filter.tid.is_some() { PidNs::current() } else { None },
            cpu: filter.cpu,
            cgroup: filter.cgroup.as_ref().map(cgroup_dir).transpose()?,
        })
    }

    /// A map that holds the control group, for the programs.
    pub fn cgroup_map(&self) -> Result<Option<Map>> {
        let Some(path) = &self.cgroup else { return Ok(None) };
        let dir = fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
        let map = MapCreate {
            map_type: MapType::CgroupArray,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            name: "tw_cgroup",
            ..MapCreate::default()
        }
        .create()?;
        map.update(&0u32.to_ne_bytes(), &dir.as_raw_fd().to_ne_bytes(), UpdateFlags::ANY)?;
        Ok(Some(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert!(in_cpu_list("0-3,8", 0));
        assert!(in_cpu_list("0-3,8", 8));
        assert!(!in_cpu_list("0-3,8", 4));
        assert!(!in_cpu_list("0", 1));
    }

    #[test]
    fn what_does_not_exist_is_refused_with_a_remedy() {
        let check = |f: Filter| f.check().unwrap_err().to_string();
        assert!(check(Filter { pid: Some(u32::MAX), ..Filter::default() }).contains("no process 4294967295"));
        assert!(check(Filter { tid: Some(u32::MAX), ..Filter::default() }).contains("no thread 4294967295"));
        assert!(check(Filter { cpu: Some(99_999), ..Filter::default() }).contains("no processor 99999"));
    }

    #[test]
    fn a_thread_is_not_a_process() {
        std::thread::spawn(|| {
            let link = fs::read_link("/proc/thread-self").unwrap();
            let tid: u32 = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let error = Filter { pid: Some(tid), ..Filter::default() }.check().unwrap_err().to_string();
            assert!(error.contains("is a thread of process"), "{error}");
            Filter { tid: Some(tid), ..Filter::default() }.check().unwrap();
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_second_hierarchy_is_found_among_mounts() {
        let mounts =
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(cgroup2_mount(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup2_mount("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn devices_are_renumbered() {
        // Major 8, minor 1 and a minor number above one byte.
        assert_eq!(kernel_dev(0x801), (8 << 20) | 1);
        assert_eq!(kernel_dev(0x4), 4);
        assert_eq!(kernel_dev(0x0010_0004), 0x104);
    }
}
