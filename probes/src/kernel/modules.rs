//! Kernel modules: those that are loaded, and those that could be.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::lines;
use crate::error::Result;

/// One loaded module, a line of `/proc/modules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// Bytes of memory.
    pub size: u64,
    /// Where it is loaded; 0 when the kernel hides it.
    pub addr: u64,
    /// Whether it is up (`Live`), as opposed to just being loaded or unloaded.
    pub live: bool,
}

/// The loaded modules, in the file's order. Empty for a kernel without module support.
///
/// Errors: `/proc/modules` exists and cannot be read.
pub fn loaded() -> Result<Vec<Module>> {
    let path = Path::new("/proc/modules");
    let mut modules = Vec::new();
    if !path.exists() {
        return Ok(modules);
    }
    lines::for_each_in(path, |line| {
        modules.extend(parse_line(line));
        ControlFlow::Continue(())
    })?;
    Ok(modules)
}

pub(crate) fn parse_line(line: &[u8]) -> Option<Module> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?.to_owned();
    let size = words.next()?.parse().ok()?;
    let _references = words.next()?;
    let _users = words.next()?;
    let live = words.next()? == "Live";
    let addr = words.next().and_then(|a| a.strip_prefix("0x")).and_then(|a| u64::from_str_radix(a, 16).ok());
    Some(Module { name, size, addr: addr.unwrap_or(0), live })
}

/// Whether two module names mean the same: `-` and `_` are equal in them.
pub fn same_name(a: &str, b: &str) -> bool {
    let canonical = |c: u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.bytes().map(canonical).eq(b.bytes().map(canonical))
}

/// Whether a module of this name is loaded. A list that cannot be read counts as no.
pub fn is_loaded(name: &str) -> bool {
    loaded().is_ok_and(|modules| modules.iter().any(|m| same_name(&m.name, name)))
}

/// The file of a module that is installed for the running kernel, loaded or not.
pub fn installed(name: &str) -> Option<PathBuf> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let root = Path::new("/lib/modules").join(release.trim());
    let mut found = None;
    for list in ["modules.dep", "modules.builtin"] {
        let path = root.join(list);
        if found.is_some() || !path.exists() {
            continue;
        }
        // A list that cannot be read only means that no advice can be given.
        let _ = lines::for_each_in(&path, |line| match dep_entry(line, name) {
            Some(file) => {
                found = Some(root.join(file));
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        });
    }
    found
}

/// `kernel/fs/ext4/ext4.ko.xz: kernel/…` when that is the module `name`.
pub(crate) fn dep_entry<'a>(line: &'a [u8], name: &str) -> Option<&'a str> {
    let file = std::str::from_utf8(line).ok()?.split(':').next()?.trim();
    let (stem, _) = file.rsplit('/').next()?.split_once(".ko")?;
    same_name(stem, name).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lines_of_proc_modules() {
        let text = b"nf_tables 376832 0 - Live 0x0000000000000000\nxfs 2433024 2 x,y, Loading 0xffffffffc0a01000 (E)\nshort 1\n";
        let modules: Vec<Module> = text.split(|b| *b == b'\n').filter_map(parse_line).collect();
        expect![[r#"
            [
                Module {
                    name: "nf_tables",
                    size: 376832,
                    addr: 0,
                    live: true,
                },
                Module {
                    name: "xfs",
                    size: 2433024,
                    addr: 18446744072646299648,
                    live: false,
                },
            ]
        "#]]
        .assert_debug_eq(&modules);
    }

    #[test]
    fn names_match_with_either_dash() {
        assert!(same_name("dm-mod", "dm_mod"));
        assert!(!same_name("dm-mod", "dm_mo"));
        assert_eq!(
            dep_entry(b"kernel/drivers/md/dm-mod.ko.xz: kernel/a.ko", "dm_mod"),
            Some("kernel/drivers/md/dm-mod.ko.xz")
        );
        assert_eq!(dep_entry(b"kernel/drivers/md/dm-mod.ko:", "dm"), None);
    }
}
