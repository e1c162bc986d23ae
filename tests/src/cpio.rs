//! The "newc" cpio format that the kernel unpacks as its initial root file system
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

/// File type and permission bits of a directory.
const DIR: u32 = 0o040755;
/// File type bits of a regular file.
const FILE: u32 = 0o100000;
/// File type and permission bits of a symbolic link.
const LINK: u32 = 0o120777;

/// An archive that grows in memory.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    made: BTreeSet<String>,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory and those above it, each once. `path` has no leading slash.
    pub fn dir(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            if !part.is_empty() && self.made.insert(part.to_owned()) {
                self.entry(part, DIR, &[]);
            }
        }
    }

    /// Adds a regular file with these permissions, and the directories above it.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parents(path);
        if self.made.insert(path.to_owned()) {
            self.entry(path, FILE | mode, content);
        }
    }

    /// Adds a symbolic link to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.parents(path);
        if self.made.insert(path.to_owned()) {
            self.entry(path, LINK, target.as_bytes());
        }
    }

    /// Ends the archive and hands out its bytes; several archives may follow each other in one file.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.dir(above);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let links = if mode == DIR { 2 } else { 1 };
        let size = content.len();
        assert!(u32::try_from(size).is_ok(), "{name}: a cpio file ends at 4 GiB");
        // magic, ino, mode, uid, gid, nlink, mtime, filesize, dev and rdev (major, minor), namesize, check
        let header = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
            self.inode,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            name.len() + 1,
            0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;
    use expect_test::expect;

    #[test]
    fn entries_are_padded_and_directories_come_first_and_once() {
        let mut archive = Archive::new();
        archive.file("a/b/file", 0o755, b"hello");
        archive.symlink("a/b/link", "file");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let shown: Vec<String> = bytes
            .chunks(4)
            .map(|c| c.iter().map(|&b| if b == 0 { '.' } else { char::from(b) }).collect())
            .collect();
        expect![[
            r#"07070100000001000041ed00000000000000000000000200000000000000000000000000000000000000000000000000000002"#
        ]]
        .assert_eq(&shown.concat()[..102]);
        let text = shown.concat();
        let names = ["a.", "a/b.", "a/b/file.", "a/b/link.", "TRAILER!!!."];
        let places: Vec<usize> = names.iter().map(|n| text.find(n).expect(n)).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(text.matches("070701").count(), names.len());
    }
}
