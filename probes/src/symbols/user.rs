//! Addresses of processes into function names.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::SymbolizedFrame;
use super::file::FileSymbols;
use super::perf_map::PerfMap;
use crate::user::Result;
use crate::user::elf::Elf;
use crate::user::maps::{Backing, Mapping};
use crate::user::process::{Process, Root};

/// Images of a process before an exec that are still remembered.
const OLDER_IMAGES: usize = 4;
/// A process's mappings are read again at most so often.
const REFRESH: Duration = Duration::from_millis(100);
/// Exited processes that are remembered unless told otherwise.
const EXITED: usize = 4096;

/// Symbol tables of files and the mappings of processes: see the [module](super).
#[derive(Debug)]
pub struct UserSymbols {
    files: HashMap<FileKey, Rc<FileSlot>>,
    processes: HashMap<u32, ProcessView>,
    exited: VecDeque<u32>,
    exited_limit: usize,
    forgotten: u64,
}

/// One file, however many processes map it: as the kernel identifies it, and its name, since an inode
/// number is reused after a file is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileKey {
    device: (u32, u32),
    inode: u64,
    path: PathBuf,
}

/// A file that is kept open, and its table once an address has asked for it.
#[derive(Debug)]
struct FileSlot {
    opened: std::cell::RefCell<Option<Opened>>,
    table: std::cell::OnceCell<Option<FileSymbols>>,
}

#[derive(Debug)]
struct Opened {
    elf: Elf,
    root: Root,
    inside: PathBuf,
}

impl FileSlot {
    fn table(&self) -> Option<&FileSymbols> {
        self.table
            .get_or_init(|| self.opened.take().map(|o| FileSymbols::new(o.elf, &o.root, &o.inside)))
            .as_ref()
    }
}

/// What is known of a process: its mappings of code, kept after it has exited.
#[derive(Debug, Clone)]
pub struct ProcessView {
    process: Option<Process>,
    namespace_pid: u32,
    root: Root,
    maps: Rc<Vec<Code>>,
    older: Vec<Rc<Vec<Code>>>,
    perf_map: Option<(u64, Rc<PerfMap>)>,
    read: Option<Instant>,
}

/// An executable mapping.
#[derive(Debug, Clone)]
struct Code {
    start: u64,
    end: u64,
    offset: u64,
    backing: Backing,
    file: Option<Rc<FileSlot>>,
}

impl Default for UserSymbols {
    fn default() -> Self {
        UserSymbols {
            files: HashMap::new(),
            processes: HashMap::new(),
            exited: VecDeque::new(),
            exited_limit: EXITED,
            forgotten: 0,
        }
    }
}

impl UserSymbols {
    /// Nothing known yet.
    pub fn new() -> UserSymbols {
        UserSymbols::default()
    }

    /// How many exited processes are remembered; the longest gone are forgotten first.
    pub fn set_exited_limit(&mut self, limit: usize) {
        self.exited_limit = limit.max(1);
        self.trim();
    }

    /// How many exited processes were forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many files are open or have their table read.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// What is known of a process, if it was looked at.
    pub fn view(&self, pid: u32) -> Option<&ProcessView> {
        self.processes.get(&pid)
    }

    /// Looks at a running process and keeps its files open, so that its addresses resolve after it has exited.
    ///
    /// # Errors
    /// `NoProcess` when it has gone, `Process` when it may not be looked at.
    pub fn remember(&mut self, pid: u32) -> Result<()> {
        if self.processes.get(&pid).is_some_and(|v| v.read.is_some()) {
            return Ok(());
        }
        self.read_process(pid)
    }

    /// [`UserSymbols::remember`] for every process that runs, and how many these are: for sessions that trace all of
    /// them, where it is too late to look once an event has told which process matters. Takes some 0.2 ms a process.
    pub fn remember_all(&mut self) -> usize {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // Kernel threads run no program. What ends meanwhile has no events to come.
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok() && self.remember(*pid).is_ok())
            .count()
    }

    /// Drops what is known of a process; tables of its files stay while others use them.
    pub fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
        self.exited.retain(|p| *p != pid);
        self.drop_unused_files();
    }

    fn read_process(&mut self, pid: u32) -> Result<()> {
        let process = Process::open(pid)?;
        let root = process.root()?;
        let namespace_pid = process.namespace_pid().unwrap_or(pid);
        let mut maps = Vec::new();
        for mapping in process.maps()? {
            if mapping.perms.execute {
                maps.push(self.code(Some(&process), &root, mapping));
            }
        }
        let now = Some(Instant::now());
        match self.processes.get_mut(&pid) {
            Some(view) if !maps.is_empty() => {
                // What was unmapped since may still stand in stacks taken before.
                let gone = view
                    .maps
                    .iter()
                    .any(|old| !maps.iter().any(|m| m.start <= old.start && old.end <= m.end));
                if gone {
                    view.set_aside();
                }
                view.maps = Rc::new(maps);
                (view.process, view.root, view.namespace_pid, view.read) =
                    (Some(process), root, namespace_pid, now);
            }
            Some(view) => view.read = now,
            None => {
                let maps = Rc::new(maps);
                let process = Some(process);
                let view = ProcessView {
                    process,
                    namespace_pid,
                    root,
                    maps,
                    older: Vec::new(),
                    perf_map: None,
                    read: now,
                };
                self.processes.insert(pid, view);
            }
        }
        Ok(())
    }

    fn code(&mut self, process: Option<&Process>, root: &Root, mapping: Mapping) -> Code {
        let file = match mapping.path() {
            Some(path) if mapping.inode != 0 => {
                let key = FileKey { device: mapping.device, inode: mapping.inode, path: path.clone() };
                match self.files.get(&key) {
                    Some(known) => Some(Rc::clone(known)),
                    None => {
                        let opened = open_mapped(process, root, &mapping, path);
                        // A file that could not be opened now may be reached through another process.
                        opened.map(|opened| {
                            let slot = Rc::new(FileSlot::new(opened));
                            self.files.insert(key, Rc::clone(&slot));
                            slot
                        })
                    }
                }
            }
            _ if mapping.backing == Backing::Special("vdso".into()) => self.vdso(process, &mapping),
            _ => None,
        };
        Code {
            start: mapping.start,
            end: mapping.end,
            offset: mapping.offset,
            backing: mapping.backing,
            file,
        }
    }

    /// The vDSO is one image for all processes of a kind; 32-bit programs have another, told apart by its size
    /// and the width of its address.
    fn vdso(&mut self, process: Option<&Process>, mapping: &Mapping) -> Option<Rc<FileSlot>> {
        let narrow = u32::try_from(mapping.end).is_ok();
        let key = FileKey {
            device: (u32::MAX, u32::from(narrow)),
            inode: mapping.end - mapping.start,
            path: "[vdso]".into(),
        };
        if let Some(known) = self.files.get(&key) {
            return Some(Rc::clone(known));
        }
        let image = process.and_then(|p| memory(&p.proc_path("mem"), mapping)).or_else(own_vdso)?;
        let elf = Elf::from_bytes(image, "[vdso]").ok()?;
        let slot = Rc::new(FileSlot::new(Opened { elf, root: Root::ours(), inside: "[vdso]".into() }));
        self.files.insert(key, Rc::clone(&slot));
        Some(slot)
    }

    /// The function at an address of a process. Never fails: what cannot be named says as much as is known.
    pub fn resolve(&mut self, pid: u32, addr: u64) -> SymbolizedFrame<'static> {
        let due = |v: &ProcessView| v.read.is_none_or(|at| at.elapsed() > REFRESH);
        match self.processes.get(&pid) {
            Some(view) if view.find(addr).is_some() => {}
            // Mapped since we looked, or the process is still unknown. One that cannot be read stays unknown.
            Some(view) => {
                let same = view.process.as_ref().is_none_or(Process::is_alive);
                if due(view) && same {
                    let _ = self.read_process(pid);
                }
            }
            None => {
                let _ = self.read_process(pid);
            }
        }
        let Some(view) = self.processes.get_mut(&pid) else { return SymbolizedFrame::unknown() };
        view.resolve(addr)
    }

    /// A process mapped code.
    pub(crate) fn on_map(&mut self, pid: u32, mapping: Mapping) {
        if !self.processes.contains_key(&pid) {
            // It ran before we followed it: the rest of what it has mapped, if it still runs.
            let _ = self.read_process(pid);
        }
        let (process, root) = match self.processes.get(&pid) {
            Some(view) if view.process.is_some() => (view.process.clone(), view.root.clone()),
            // First seen, or just after exec: its root may have changed with it.
            _ => {
                let process = Process::open(pid).ok();
                let root = process.as_ref().and_then(|p| p.root().ok()).unwrap_or_else(Root::ours);
                (process, root)
            }
        };
        let code = self.code(process.as_ref(), &root, mapping);
        let view = self.processes.entry(pid).or_insert_with(|| ProcessView {
            namespace_pid: process.as_ref().and_then(|p| p.namespace_pid().ok()).unwrap_or(pid),
            process: None,
            root: root.clone(),
            maps: Rc::default(),
            older: Vec::new(),
            perf_map: None,
            read: None,
        });
        if view.process.is_none() {
            (view.process, view.root) = (process, root);
        }
        let (start, end) = (code.start, code.end);
        let maps = Rc::make_mut(&mut view.maps);
        let mut kept: Vec<Code> = Vec::with_capacity(maps.len() + 1);
        for old in maps.drain(..) {
            // The new mapping replaces what it covers and leaves what sticks out.
            if old.end <= start || old.start >= end {
                kept.push(old);
                continue;
            }
            if old.start < start {
                kept.push(Code { end: start, ..old.clone() });
            }
            if old.end > end {
                let offset = old.offset.wrapping_add(end - old.start);
                kept.push(Code { start: end, offset, ..old });
            }
        }
        let at = kept.partition_point(|c| c.start < start);
        kept.insert(at, code);
        *maps = kept;
    }

    /// A process replaced its program: its mappings are gone, but stacks of before still refer to them.
    pub(crate) fn on_exec(&mut self, pid: u32) {
        if let Some(view) = self.processes.get_mut(&pid) {
            view.set_aside();
            view.maps = Rc::default();
            view.process = None;
            view.perf_map = None;
        }
    }

    /// A new process starts with its parent's mappings.
    pub(crate) fn on_fork(&mut self, parent: u32, child: u32) {
        if parent == child {
            return;
        }
        // A child of a process that we have not looked at; if it is too late, its own records or a later look tell.
        if !self.processes.contains_key(&parent) && self.read_process(parent).is_err() {
            return;
        }
        let Some(view) = self.processes.get(&parent) else { return };
        let mut view = view.clone();
        view.process = Process::open(child).ok();
        view.namespace_pid = view.process.as_ref().and_then(|p| p.namespace_pid().ok()).unwrap_or(child);
        view.older.clear();
        view.perf_map = None;
        self.exited.retain(|p| *p != child);
        self.processes.insert(child, view);
    }

    /// Records were lost: what is known of running processes may be old.
    pub(crate) fn on_lost(&mut self) {
        self.processes.values_mut().for_each(|view| view.read = None);
    }

    /// A process is gone; it is remembered until `set_exited_limit` others have gone after it.
    pub(crate) fn on_exit(&mut self, pid: u32) {
        if self.processes.contains_key(&pid) {
            self.exited.retain(|p| *p != pid);
            self.exited.push_back(pid);
            self.trim();
        }
    }

    fn trim(&mut self) {
        let mut dropped = false;
        while self.exited.len() > self.exited_limit {
            if let Some(pid) = self.exited.pop_front() {
                self.processes.remove(&pid);
                self.forgotten += 1;
                dropped = true;
            }
        }
        if dropped {
            self.drop_unused_files();
        }
    }

    fn drop_unused_files(&mut self) {
        // Tables are cheap to keep while files are few; open files of programs nobody runs are not.
        if self.files.len() > 256 {
            self.files.retain(|_, slot| Rc::strong_count(slot) > 1);
        }
    }
}

impl FileSlot {
    fn new(opened: Opened) -> FileSlot {
        FileSlot { opened: Some(opened).into(), table: std::cell::OnceCell::new() }
    }
}

impl ProcessView {
    /// The process, where it could be looked at while it ran.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// How many executable mappings are known.
    pub fn mappings(&self) -> usize {
        self.maps.len()
    }

    fn set_aside(&mut self) {
        if !self.maps.is_empty() {
            self.older.insert(0, Rc::clone(&self.maps));
            self.older.truncate(OLDER_IMAGES);
        }
    }

    fn find(&self, addr: u64) -> Option<&Code> {
        std::iter::once(&self.maps).chain(&self.older).find_map(|maps| {
            let after = maps.partition_point(|c| c.start <= addr);
            maps[..after].last().filter(|c| addr < c.end)
        })
    }

    fn resolve(&mut self, addr: u64) -> SymbolizedFrame<'static> {
        let Some(code) = self.find(addr).cloned() else {
            return self.resolve_jit(addr).unwrap_or_else(SymbolizedFrame::unknown);
        };
        let module = match &code.backing {
            Backing::File(p) | Backing::Deleted(p) => Some(p.to_string_lossy().into_owned()),
            Backing::Special(name) => Some(format!("[{name}]")),
            Backing::Memory(name) => Some(name.clone()),
            Backing::Anonymous => None,
        };
        let Some(file) = &code.file else {
            if let Some(frame) = self.resolve_jit(addr) {
                return frame;
            }
            let offset = if module.is_some() { addr - code.start } else { 0 };
            return SymbolizedFrame { name: None, offset, module: module.map(Cow::Owned) };
        };
        // The vDSO's mapping starts at its first byte, whatever offset is given for it.
        let base = if matches!(code.backing, Backing::Special(_)) { 0 } else { code.offset };
        let in_file = base.wrapping_add(addr - code.start);
        let found = file.table().and_then(|t| t.lookup_offset(in_file));
        let (name, offset) = match found {
            Some((name, offset)) => (Some(Cow::Owned(name.to_string())), offset),
            None => (None, in_file),
        };
        SymbolizedFrame { name, offset, module: module.map(Cow::Owned) }
    }

    fn resolve_jit(&mut self, addr: u64) -> Option<SymbolizedFrame<'static>> {
        let process = self.process.as_ref()?;
        let names = [self.namespace_pid, process.pid()].map(|p| format!("/tmp/perf-{p}.map"));
        let path = names.iter().find_map(|n| self.root.resolve(Path::new(n)));
        if let Some(path) = path
            && let Ok(meta) = fs::symlink_metadata(&path)
        {
            // Anyone can write to /tmp: only a plain file of the process's own user or of root counts.
            let owner = fs::metadata(process.proc_path("")).map(|m| m.uid()).ok();
            let trusted = meta.is_file() && (meta.uid() == 0 || Some(meta.uid()) == owner);
            if trusted && self.perf_map.as_ref().is_none_or(|(len, _)| *len != meta.len()) {
                let mut bytes = Vec::new();
                // Bounded, and a file that fails in the middle still names what was read.
                let _ = File::open(&path).and_then(|f| f.take(64 << 20).read_to_end(&mut bytes));
                self.perf_map = Some((meta.len(), Rc::new(PerfMap::parse(&bytes))));
            }
        }
        let (_, map) = self.perf_map.as_ref()?;
        let (name, offset) = map.lookup(addr)?;
        Some(SymbolizedFrame {
            name: Some(Cow::Owned(name.into())),
            offset,
            module: Some("[perf map]".into()),
        })
    }
}

/// Opens the very file that is mapped: by its path if that is still the same inode, else through the links of /proc.
fn open_mapped(process: Option<&Process>, root: &Root, mapping: &Mapping, path: &Path) -> Option<Opened> {
    let same = |p: &Path| fs::metadata(p).is_ok_and(|m| m.ino() == mapping.inode);
    let open = |p: &Path| Elf::open(p).ok();
    let elf = root
        .resolve(path)
        .filter(|p| same(p))
        .and_then(|p| open(&p))
        .or_else(|| process.map(|p| p.map_file(mapping)).and_then(|p| open(&p)))
        .or_else(|| process.map(|p| p.proc_path("exe")).filter(|p| same(p)).and_then(|p| open(&p)))?;
    Some(Opened { elf, root: root.clone(), inside: path.to_path_buf() })
}

/// The bytes of a mapping out of a `/proc/PID/mem`; the vDSO is a few pages.
fn memory(path: &Path, mapping: &Mapping) -> Option<Vec<u8>> {
    let size = usize::try_from(mapping.end - mapping.start).ok().filter(|s| *s <= 1 << 20)?;
    let mut bytes = vec![0; size];
    File::open(path).ok()?.read_exact_at(&mut bytes, mapping.start).ok()?;
    Some(bytes)
}

fn own_vdso() -> Option<Vec<u8>> {
    let maps = Mapping::parse_all(&fs::read("/proc/self/maps").ok()?).0;
    let vdso = maps.iter().find(|m| m.backing == Backing::Special("vdso".into()))?;
    memory(Path::new("/proc/self/mem"), vdso)
}
