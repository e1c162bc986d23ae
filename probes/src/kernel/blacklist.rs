//! Functions that kprobes refuse, from `kprobes/blacklist` in debugfs.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::lines;

/// The kernel's list of functions that must not be probed.
#[derive(Clone, Debug, Default)]
pub struct Blacklist {
    /// Sorted.
    names: Vec<Box<[u8]>>,
    known: bool,
}

impl Blacklist {
    /// Reads the list.
    ///
    /// Without debugfs, under lockdown or without privileges it is empty and [`Blacklist::is_known`] is false:
    /// attaching then tells which function is refused.
    pub fn read() -> Blacklist {
        for root in debugfs_roots() {
            let path = root.join("kprobes/blacklist");
            if let Ok(file) = std::fs::File::open(&path)
                && let Ok(list) = Blacklist::from_reader(file)
            {
                return list;
            }
        }
        Blacklist::default()
    }

    /// Reads the format of the file: `0xSTART-0xEND` and a name, separated by a tab.
    pub fn from_reader(reader: impl Read) -> io::Result<Blacklist> {
        let mut names = Vec::new();
        lines::for_each(reader, |line| {
            if let Some(tab) = line.iter().position(|&b| b == b'\t' || b == b' ') {
                let name = line[tab..].trim_ascii();
                // An assembler range without a symbol reads as an address.
                if !name.is_empty() && !name.starts_with(b"0x") {
                    names.push(name.into());
                }
            }
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        Ok(Blacklist { names, known: true })
    }

    /// Whether the list could be read.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether this function must not be probed.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.names.binary_search_by(|entry| (**entry).cmp(name)).is_ok()
    }
}

/// Where debugfs is mounted: the usual place, then the mount table.
fn debugfs_roots() -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from("/sys/kernel/debug")];
    let _ = lines::for_each_in(Path::new("/proc/mounts"), |line| {
        let mut words = line.split(|&b| b == b' ').skip(1);
        if let (Some(at), Some(b"debugfs")) = (words.next(), words.next())
            && let Ok(at) = std::str::from_utf8(at)
            && !roots.iter().any(|r| r.as_os_str() == at)
        {
            roots.push(PathBuf::from(at));
        }
        ControlFlow::Continue(())
    });
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let text = "0xffffffff81e00000-0xffffffff81e00010\tasm_exc_divide_error\n\
                    0xffffffff81000000-0xffffffff81000040\t0xffffffff81000000\n\
                    garbage\n0x1-0x2\tdo_int3 [x]";
        let list = Blacklist::from_reader(text.as_bytes()).unwrap();
        assert!(list.is_known());
        assert!(list.contains(b"asm_exc_divide_error"));
        assert!(!list.contains(b"asm_exc_divide"));
        assert!(!list.contains(b"garbage"));
    }
}
