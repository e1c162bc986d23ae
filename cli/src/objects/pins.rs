//! Where objects are pinned: a walk through all BPF file systems.

use bpf_sys::link::Link;
use bpf_sys::map::Map;
use bpf_sys::prog::Prog;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::pids::Kind;

/// The pins of all objects of a kind, by the objects' ids.
pub fn pins(kind: Kind) -> HashMap<u32, Vec<String>> {
    let mut all: HashMap<u32, Vec<String>> = HashMap::new();
    let mut left = file_systems();
    // Directories of a BPF file system may be linked into a circle by mounts; nobody nests them this deep.
    const MOST: usize = 100_000;
    let mut seen = 0;
    while let Some(dir) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST {
                return all;
            }
            match entry.file_type() {
                Ok(t) if t.is_dir() => left.push(entry.path()),
                Ok(t) if t.is_file() => {
                    if let Some(id) = id_of(kind, &entry.path()) {
                        all.entry(id).or_default().push(entry.path().display().to_string());
                    }
                }
                _ => {}
            }
        }
    }
    all.values_mut().for_each(|list| list.sort());
    all
}

/// The id of what is pinned here, if that is an object of this kind.
fn id_of(kind: Kind, path: &Path) -> Option<u32> {
    match kind {
        Kind::Prog => Prog::open_pinned(path).ok()?.id().ok(),
        Kind::Map => Some(Map::open_pinned(path).ok()?.info().ok()?.id),
        Kind::Link => Some(Link::open_pinned(path).ok()?.info().ok()?.id),
    }
}

/// Where BPF file systems are mounted.
fn file_systems() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    parse(&mounts)
}

fn parse(mounts: &str) -> Vec<PathBuf> {
    let of_bpf = |line: &str| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "bpf").then(|| PathBuf::from(place.replace("\\040", " ").replace("\\011", "\t")))
    };
    let mut places: Vec<PathBuf> = mounts.lines().filter_map(of_bpf).collect();
    places.sort();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_type_bpf() {
        let text = "proc /proc proc rw 0 0\nnone /sys/fs/bpf bpf rw 0 0\nx /a\\040b bpf rw 0 0\nx /bpf tmpfs rw 0 0\n";
        assert_eq!(parse(text), [PathBuf::from("/a b"), PathBuf::from("/sys/fs/bpf")]);
    }
}
