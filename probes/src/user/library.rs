//! From a name such as `c` or `bash` to the file that a process would run.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use super::elf::{Elf, FunctionMatches, Machine, UserFunc};
use super::error::{Result, UserError};
use super::ldcache::{LdCache, LdEntry};
use super::nearest::Nearest;
use super::process::{Process, Root};
use crate::spec::Pattern;

/// A program or library that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The path we open, and give to the kernel. May lead through `/proc/PID/root` or `/proc/PID/map_files`.
    pub path: PathBuf,
    /// The path as the process sees it: what to show.
    pub inside: PathBuf,
    /// The view of the file system `inside` belongs to.
    pub root: Root,
}

impl Binary {
    /// Opens it.
    ///
    /// # Errors
    /// As [`Elf::open`].
    pub fn open(&self) -> Result<Elf> {
        Elf::open(&self.path)
    }

    /// The function of that name (`name` or `name@VERSION`), `offset` bytes into it.
    ///
    /// # Errors
    /// As [`super::elf::find_function`].
    pub fn function(&self, name: &str, offset: u64) -> Result<UserFunc> {
        let elf = self.open()?;
        let mut func = elf.function(name, &self.root, &self.inside)?;
        if offset > 0 {
            let size = elf.function_length(&func)?;
            if offset >= size {
                return Err(UserError::OffsetOutside {
                    file: self.inside.clone(),
                    name: name.into(),
                    offset,
                    size,
                });
            }
            func.addr += offset;
            func.file_offset = elf.file_offset(func.addr)?;
        }
        Ok(func)
    }

    /// The functions that match; at least one.
    ///
    /// # Errors
    /// `NoFunction`, `NoSymbols`, `Ifunc`, and those of [`Elf::open`].
    pub fn functions(&self, pattern: &Pattern) -> Result<FunctionMatches> {
        let elf = self.open()?;
        let found = elf.functions(pattern, &self.root, &self.inside)?;
        if found.functions.is_empty() {
            return Err(elf.no_match(pattern, found));
        }
        Ok(found)
    }

    fn at(root: &Root, inside: impl Into<PathBuf>) -> Option<Binary> {
        let inside = inside.into();
        Some(Binary { path: root.resolve(&inside)?, inside, root: root.clone() })
    }

    fn is_for(&self, machine: Option<Machine>) -> bool {
        self.open().is_ok_and(|elf| machine.is_none_or(|m| elf.machine() == m))
    }
}

/// Finds a library or program as the dynamic loader and the shell would.
///
/// A path (with a `/`) is taken as it is. With a process, what it has mapped comes first, then its
/// `LD_LIBRARY_PATH`, its loader's cache or folders, all in its own view of the file system. Only files
/// for the right architecture count: the process's, or our own.
///
/// # Errors
/// `NoLibrary` with near names; `NoProcess` and `Process` when the process cannot be looked at.
pub fn resolve_library(name: &str, process: Option<&Process>) -> Result<Binary> {
    let root = process.map_or(Ok(Root::ours()), Process::root)?;
    if name.contains('/') {
        return resolve_path(name, &root);
    }
    let machine = process_machine(process);
    if let Some(process) = process
        && let Some(found) = mapped(name, process, &root)?
    {
        return Ok(found);
    }
    let library_path = match process {
        Some(p) => p.env("LD_LIBRARY_PATH").ok().flatten(),
        None => std::env::var("LD_LIBRARY_PATH").ok(),
    };
    let mut near = Nearest::new(name);
    let mut wrong_machine = None;
    let found = library_path
        .iter()
        .flat_map(|path| path.split([':', ';']).filter(|d| d.starts_with('/')))
        .flat_map(|dir| in_folder(&root, dir, name))
        .chain(in_cache(&root, name, &mut near))
        .chain(folders(&root).iter().flat_map(|dir| in_folder(&root, dir, name)))
        .chain(programs(&root, name, process))
        .filter_map(|path| Binary::at(&root, path))
        .find(|b| {
            let fits = b.is_for(machine);
            if !fits && wrong_machine.is_none() && b.is_for(None) {
                wrong_machine = Some(b.inside.clone());
            }
            fits
        });
    found.ok_or_else(|| {
        let why = match (wrong_machine, machine) {
            (Some(path), Some(m)) => {
                format!("{} is for another architecture than {}; give the path of the right one", path.display(), m.name())
            }
            _ => "not in the loader's cache or folders, and no program on $PATH; give its path (`ldconfig -p` lists the libraries)".into(),
        };
        UserError::NoLibrary { name: name.into(), why, near: near.into_names() }
    })
}

/// The file at a path of that view.
fn resolve_path(name: &str, root: &Root) -> Result<Binary> {
    let path = Path::new(name);
    let inside = match (path.is_absolute(), root.is_ours()) {
        (false, true) => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
        _ => path.to_path_buf(),
    };
    if let Some(found) = Binary::at(root, &inside) {
        // Whoever reads it tells what else is wrong with it.
        if let (Ok(elf), Ok(own)) = (found.open(), Elf::open("/proc/self/exe"))
            && !runs_here(elf.machine(), own.machine())
        {
            let why = format!(
                "it is for {}, and this machine runs {}: give the path of the right one",
                elf.machine().name(),
                own.machine().name()
            );
            return Err(UserError::Unfit { file: inside, why });
        }
        return Ok(found);
    }
    let mut near = Nearest::new(name);
    let dir = inside.parent().unwrap_or(Path::new("/"));
    root.list(dir).iter().for_each(|f| near.offer(&dir.join(f).to_string_lossy()));
    let why = if root.is_ours() && inside.is_symlink() {
        "it is a symbolic link, and the file it leads to is not there"
    } else if root.is_ours() {
        "there is no such file"
    } else {
        "there is no such file in the process's mount namespace"
    };
    Err(UserError::NoLibrary { name: name.into(), why: why.into(), near: near.into_names() })
}

/// Whether the kernel can run code of that machine: its own, and the 32-bit code of its family.
fn runs_here(code: Machine, own: Machine) -> bool {
    const FAMILIES: [[u16; 2]; 2] = [[62, 3], [183, 40]];
    code.id == own.id || FAMILIES.iter().any(|f| f.contains(&code.id) && f.contains(&own.id))
}

/// The program a process runs, also when its file was deleted.
///
/// # Errors
/// `NoProcess`, `Process`, and `Unfit` for kernel threads.
pub fn process_binary(process: &Process) -> Result<Binary> {
    let Some(inside) = process.exe()? else {
        let why = "a kernel thread runs no file of its own; trace kernel functions instead".to_string();
        return Err(UserError::Unfit { file: process.proc_path("exe"), why });
    };
    // The link itself opens the right file whatever happened to its name.
    Ok(Binary { path: process.proc_path("exe"), inside, root: process.root()? })
}

fn process_machine(process: Option<&Process>) -> Option<Machine> {
    let exe = process.map_or_else(|| PathBuf::from("/proc/self/exe"), |p| p.proc_path("exe"));
    Elf::open(exe).ok().map(|elf| elf.machine())
}

/// How well a file name fits a library name: lower is better.
///
/// `c` means `libc.so.N`, `libssl` means `libssl.so.N`, `libssl.so.3` only itself.
fn fit(file: &str, name: &str) -> Option<(u8, Reverse<Vec<u32>>)> {
    let best = (0, Reverse(Vec::new()));
    if file == name {
        return Some(best);
    }
    // The version in numbers, so that .so.10 is newer than .so.9.
    let version = |v: &str| v.split('.').map(|n| n.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let after = |stem: &str| {
        let tail = file.strip_prefix(stem)?;
        match tail.strip_prefix(".so") {
            Some("") => Some((1, Reverse(Vec::new()))),
            Some(v) => Some((2, Reverse(version(v.strip_prefix('.')?)))),
            None => None,
        }
    };
    if name.contains(".so") {
        // `libc.so` for libc.so.6
        let v = file.strip_prefix(name)?.strip_prefix('.')?;
        return Some((2, Reverse(version(v))));
    }
    let lib = format!("lib{name}");
    after(&lib).or_else(|| name.starts_with("lib").then(|| after(name))?)
}

/// What the process has mapped under that name.
fn mapped(name: &str, process: &Process, root: &Root) -> Result<Option<Binary>> {
    let maps = process.maps()?;
    let files = maps.iter().filter(|m| m.inode != 0).filter_map(|m| {
        let path = m.path()?;
        Some((fit(path.file_name()?.to_str()?, name)?, m, path))
    });
    let Some((_, mapping, path)) = files.min_by(|a, b| a.0.cmp(&b.0)) else { return Ok(None) };
    // The same inode under the same name, or else the mapped file itself.
    let now = root.resolve(path).filter(|p| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(p).is_ok_and(|m| m.ino() == mapping.inode)
    });
    let path_to_open = now.unwrap_or_else(|| process.map_file(mapping));
    Ok(Some(Binary { path: path_to_open, inside: path.clone(), root: root.clone() }))
}

fn in_folder(root: &Root, dir: &str, name: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        root.list(Path::new(dir)).into_iter().filter_map(|f| Some((fit(&f, name)?, f))).collect();
    found.sort();
    found.into_iter().map(|(_, f)| Path::new(dir).join(f)).collect()
}

fn in_cache(root: &Root, name: &str, near: &mut Nearest<'_>) -> Vec<PathBuf> {
    let Some(bytes) = root.read(Path::new("/etc/ld.so.cache")) else { return Vec::new() };
    // A broken cache is what the loader ignores, too; the folders follow.
    let Ok(cache) = LdCache::parse(&bytes) else { return Vec::new() };
    let mut found: Vec<(_, Reverse<u8>, LdEntry<'_>)> = Vec::new();
    for entry in cache.entries() {
        let Some(level) = entry.hwcap.map_or(Some(0), hwcap_level) else { continue };
        match fit(entry.name, name) {
            Some(fit) => found.push((fit, Reverse(level), entry)),
            None => {
                let stem = entry.name.split(".so").next().unwrap_or(entry.name);
                near.offer(if name.starts_with("lib") {
                    stem
                } else {
                    stem.strip_prefix("lib").unwrap_or(stem)
                });
            }
        }
    }
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    found.into_iter().map(|(_, _, e)| PathBuf::from(e.path)).collect()
}

/// The level of a glibc-hwcaps folder that this processor can use; `None` for one it cannot.
#[cfg(target_arch = "x86_64")]
fn hwcap_level(folder: &str) -> Option<u8> {
    use std::arch::is_x86_feature_detected as has;
    let v2 = has!("sse3")
        && has!("ssse3")
        && has!("sse4.1")
        && has!("sse4.2")
        && has!("popcnt")
        && has!("cmpxchg16b");
    let v3 = v2
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe");
    let v4 =
        v3 && has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    match folder {
        "x86-64-v2" if v2 => Some(2),
        "x86-64-v3" if v3 => Some(3),
        "x86-64-v4" if v4 => Some(4),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn hwcap_level(_folder: &str) -> Option<u8> {
    None
}

/// The folders the loader searches besides its cache: musl's from `/etc/ld-musl-ARCH.path`, or the defaults of both.
fn folders(root: &Root) -> Vec<String> {
    let etc = root.list(Path::new("/etc"));
    let musl = etc.iter().filter(|f| f.starts_with("ld-musl-") && f.ends_with(".path"));
    let mut dirs: Vec<String> = Vec::new();
    for file in musl {
        let text = root.read(&Path::new("/etc").join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        dirs.extend(text.split([':', '\n']).map(str::trim).filter(|d| d.starts_with('/')).map(String::from));
    }
    let arch = std::env::consts::ARCH;
    let own = ["/lib", "/usr/local/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(String::from);
    let multi = [
        format!("/lib/{arch}-linux-gnu"),
        format!("/usr/lib/{arch}-linux-gnu"),
        format!("/usr/lib/{arch}-linux-musl"),
    ];
    for dir in own.into_iter().chain(multi) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

fn programs(root: &Root, name: &str, process: Option<&Process>) -> Vec<PathBuf> {
    let path = match process {
        Some(p) => p.env("PATH").ok().flatten(),
        None => std::env::var("PATH").ok(),
    };
    let path = path.unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    let files = path.split(':').filter(|d| d.starts_with('/')).map(|d| Path::new(d).join(name));
    files.filter(|f| root.resolve(f).is_some_and(|p| p.is_file())).collect()
}
