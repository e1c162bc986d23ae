//! BTF that others made for kernels that have none: the archives of BTFHub.

use super::xz;
use crate::{Error, Result};
use btf::Btf;

/// Most bytes that an archive may unpack to.
const MAX_UNPACKED: usize = 256 << 20;

/// Bytes of a block in a tar file.
const BLOCK: usize = 512;

/// The types in a file of BTFHub: of a `.btf.tar.xz` archive as the collection has them, of the tar file in it, of a file
/// that was only packed by xz(1), or of the bare `.btf` file, which comes back as it is. Of several files in an archive the
/// first whose name ends in `.btf` counts.
///
/// # Errors
///
/// [`Error::Elf`] that says what the bytes are not, and [`Error::Btf`] where there is BTF and it is damaged.
pub fn btfhub(bytes: &[u8]) -> Result<Vec<u8>> {
    let fail = |what: String| Error::Elf { what: format!("BTF archive: {what}") };
    let unpacked;
    let mut content = bytes;
    if xz::is_xz(bytes) {
        unpacked = xz::unpack(bytes, MAX_UNPACKED).map_err(fail)?;
        content = &unpacked;
    }
    if is_tar(content) {
        content = member(content).map_err(fail)?;
    }
    if content.starts_with(b"\x7fELF") {
        content = crate::object::section(content, ".BTF")
            .filter(|section| !section.is_empty())
            .ok_or_else(|| fail("the ELF file has no section .BTF".to_owned()))?;
    }
    Btf::parse(content).map_err(|source| Error::Btf { place: "BTF archive".to_owned(), source })?;
    Ok(content.to_vec())
}

/// Where BTFHub's archive has the types of a kernel: `ubuntu/20.04/x86_64/5.4.0-42-generic.btf.tar.xz`.
///
/// `os_release` is the text of `/etc/os-release`, `machine` what `uname -m` says, `release` what `uname -r` says. `None`
/// where the text does not name a distribution.
pub fn btfhub_path(os_release: &str, machine: &str, release: &str) -> Option<String> {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then_some(value)
    };
    let distribution = field("ID")?;
    let version = field("VERSION_ID")?;
    let machine = match machine {
        "aarch64" => "arm64",
        other => other,
    };
    let clean = |part: &str| !part.contains(['/', '\0']) && part != "..";
    let parts = [distribution, version, machine, release];
    parts.iter().all(|part| clean(part)).then(|| format!("{}.btf.tar.xz", parts.join("/")))
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// The content of the first member with BTF (POSIX.1-2024, pax, "ustar Interchange Format").
fn member(tar: &[u8]) -> std::result::Result<&[u8], String> {
    let mut rest = tar;
    while let Some((header, behind)) = rest.split_at_checked(BLOCK) {
        if !is_tar(header) {
            break;
        }
        let text = |from: usize, to: usize| {
            let field = header.get(from..to).unwrap_or_default();
            field.split(|byte| *byte == 0).next().unwrap_or_default()
        };
        let size = std::str::from_utf8(text(124, 136)).ok().map(str::trim);
        let size = size.and_then(|size| usize::from_str_radix(size, 8).ok());
        let size = size.ok_or("a size in the tar file is no number; it is damaged")?;
        let file = matches!(header.get(156), Some(b'0' | 0));
        if file && text(0, 100).ends_with(b".btf") {
            return behind.get(..size).ok_or_else(|| "the tar file ends too early".to_owned());
        }
        let next = size.checked_next_multiple_of(BLOCK).and_then(|size| behind.get(size..));
        rest = next.ok_or("the tar file ends too early")?;
    }
    Err("there is no .btf file in the tar file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..263].copy_from_slice(b"ustar\0");
        header.extend(content);
        header.resize(header.len().next_multiple_of(BLOCK), 0);
        header
    }

    fn types() -> Vec<u8> {
        let mut builder = btf::Builder::new(btf::Endian::Little);
        builder.fwd("only_here", false);
        builder.finish()
    }

    #[test]
    fn archives() {
        let types = types();
        let mut archive = tar("README", b"x");
        archive.extend(tar("./5.4.0-42-generic.btf", &types));
        archive.extend(vec![0; 2 * BLOCK]);
        assert_eq!(btfhub(&types).unwrap(), types);
        assert_eq!(btfhub(&archive).unwrap(), types);
        let error = |bytes: &[u8]| btfhub(bytes).unwrap_err().to_string();
        assert_eq!(error(&tar("a", b"")), "ELF: BTF archive: there is no .btf file in the tar file");
        assert_eq!(error(&archive[..1570]), "ELF: BTF archive: the tar file ends too early");
        assert!(error(b"no BTF at all").contains("BTF"));
        assert_eq!(error(b"\x7fELF"), "ELF: BTF archive: the ELF file has no section .BTF");
    }

    /// `xz` of the machine packs, if there is one; the project itself only unpacks.
    #[test]
    fn packed_archives() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let types = types();
        let mut archive = tar("5.4.0-42-generic.btf", &types);
        archive.extend(vec![0; 70_000]);
        for check in ["none", "crc32", "crc64", "sha256"] {
            let started = Command::new("xz")
                .args(["--stdout", "--check", check, "--block-size=20000"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            let Ok(mut xz) = started else {
                eprintln!("SKIP packed_archives: there is no xz(1) to pack with");
                return;
            };
            xz.stdin.take().unwrap().write_all(&archive).unwrap();
            let packed = xz.wait_with_output().unwrap().stdout;
            assert_eq!(btfhub(&packed).unwrap(), types, "{check}");
            for len in (0..packed.len()).step_by(11) {
                if let Ok(found) = btfhub(&packed[..len]) {
                    // The index at the end is not needed.
                    assert_eq!(found, types, "{check}, {len} bytes");
                }
            }
            for at in (0..packed.len()).step_by(5) {
                let mut flipped = packed.clone();
                flipped[at] ^= 0x10;
                if let Ok(found) = btfhub(&flipped)
                    && check != "none"
                    && check != "sha256"
                {
                    assert_eq!(found, types, "{check}, byte {at}");
                }
            }
        }
    }

    #[test]
    fn paths() {
        let ubuntu = "NAME=\"Ubuntu\"\nVERSION_ID=\"20.04\"\nID=ubuntu\nID_LIKE=debian\n";
        let path = |text, machine| btfhub_path(text, machine, "5.4.0-42-generic");
        assert_eq!(
            path(ubuntu, "x86_64").as_deref(),
            Some("ubuntu/20.04/x86_64/5.4.0-42-generic.btf.tar.xz")
        );
        assert_eq!(
            path("ID=\"amzn\"\nVERSION_ID=\"2\"", "aarch64").as_deref(),
            Some("amzn/2/arm64/5.4.0-42-generic.btf.tar.xz")
        );
        assert_eq!(path("ID=x\nVERSION_ID=../..", "x86_64"), None);
        assert_eq!(path("NAME=x", "x86_64"), None);
    }
}
