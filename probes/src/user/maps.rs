//! `/proc/PID/maps`: what lies where in a process (proc_pid_maps(5)).

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mapping of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// Readable, writable, executable, shared.
    pub perms: Perms,
    /// Offset of `start` in the file, in bytes.
    pub offset: u64,
    /// Device of the file: major, minor; 0, 0 without a file.
    pub device: (u32, u32),
    /// Inode of the file; 0 without a file.
    pub inode: u64,
    /// What is mapped.
    pub backing: Backing,
}

/// The permission letters of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Perms {
    /// `r`
    pub read: bool,
    /// `w`
    pub write: bool,
    /// `x`
    pub execute: bool,
    /// `s` rather than `p`
    pub shared: bool,
}

/// What a mapping shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// A file that still has this name in the process's own file system view.
    File(PathBuf),
    /// A file that was deleted or replaced; the name it had.
    Deleted(PathBuf),
    /// `memfd_create` memory or System V shared memory, with its name.
    Memory(String),
    /// `[heap]`, `[stack]`, `[vdso]`, `[anon:name]`...: the name between the brackets.
    Special(String),
    /// Anonymous memory.
    Anonymous,
}

impl Mapping {
    /// Reads one line. `None` when it does not have the documented form.
    pub fn parse(line: &[u8]) -> Option<Mapping> {
        let mut rest = line;
        let mut field = || {
            let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
            let (field, tail) = rest.split_at(end);
            rest = tail.strip_prefix(b" ").unwrap_or(tail);
            std::str::from_utf8(field).ok()
        };
        let (start, end) = field()?.split_once('-')?;
        let perms = field()?.as_bytes();
        let offset = field()?;
        let (major, minor) = field()?.split_once(':')?;
        let inode = field()?;
        let hex = |s: &str| {
            // `from_str_radix` would take a sign.
            if s.starts_with('+') { None } else { u64::from_str_radix(s, 16).ok() }
        };
        let &[r, w, x, s] = perms else { return None };
        let name = rest.iter().position(|b| *b != b' ').map_or(&[][..], |at| &rest[at..]);
        let mapping = Mapping {
            start: hex(start)?,
            end: hex(end)?,
            perms: Perms { read: r == b'r', write: w == b'w', execute: x == b'x', shared: s == b's' },
            offset: hex(offset)?,
            device: (hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?),
            inode: inode.parse().ok()?,
            backing: Backing::parse(name),
        };
        (mapping.start < mapping.end).then_some(mapping)
    }

    /// All mappings of the file's text, and how many lines could not be read.
    pub fn parse_all(text: &[u8]) -> (Vec<Mapping>, usize) {
        let mut bad = 0;
        let lines = text.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let maps = lines
            .filter_map(|l| {
                Mapping::parse(l).or_else(|| {
                    bad += 1;
                    None
                })
            })
            .collect();
        (maps, bad)
    }

    /// The path of the file behind it, deleted or not.
    pub fn path(&self) -> Option<&PathBuf> {
        match &self.backing {
            Backing::File(p) | Backing::Deleted(p) => Some(p),
            _ => None,
        }
    }

    /// Whether the addresses fall into it.
    pub fn contains(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }
}

impl Backing {
    /// Takes apart a name as `/proc/PID/maps` and `PERF_RECORD_MMAP2` give it.
    pub fn parse(name: &[u8]) -> Backing {
        let text = || String::from_utf8_lossy(name).into_owned();
        // perf's records call anonymous memory `//anon`.
        if name.is_empty() || name == b"//anon" {
            Backing::Anonymous
        } else if name.starts_with(b"/memfd:") || name.starts_with(b"/SYSV") || name.starts_with(b"/dev/zero")
        {
            Backing::Memory(text())
        } else if name.starts_with(b"/") {
            let path = |raw: &[u8]| PathBuf::from(OsString::from_vec(unescape(raw).into_owned()));
            match name.strip_suffix(b" (deleted)") {
                Some(n) => Backing::Deleted(path(n)),
                None => Backing::File(path(name)),
            }
        } else if let Some(inner) = name.strip_prefix(b"[").and_then(|n| n.strip_suffix(b"]")) {
            Backing::Special(String::from_utf8_lossy(inner).into_owned())
        } else {
            Backing::Special(text())
        }
    }
}

/// The kernel writes a newline in a name as `\012`, and nothing else that way.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.windows(4).any(|w| w == b"\\012") {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.strip_prefix(b"\\012") {
            Some(after) => {
                out.push(b'\n');
                rest = after;
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}
