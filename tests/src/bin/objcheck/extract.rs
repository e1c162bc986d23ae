//! Programs that carry their object have it in their data: an ELF header for BPF begins it.

use std::fs;
use std::path::Path;

/// Class 64, little endian, version 1.
const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
/// `EM_BPF`.
const MACHINE: u16 = 247;
/// Bytes of a header of the file, of a section.
const HEADER: usize = 64;

/// Writes the objects that `programs` carry into `folder`, named after the program.
pub fn extract(folder: &str, prefix: &str, programs: &[&str]) -> Result<(), String> {
    for program in programs {
        let bytes = fs::read(program).map_err(|e| format!("{program}: {e}"))?;
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix("-libbpf").unwrap_or(&name);
        let found = objects(&bytes);
        if found.is_empty() {
            eprintln!("{program} carries no BPF object");
        }
        for (index, object) in found.iter().enumerate() {
            let number = if index == 0 { String::new() } else { index.to_string() };
            let path = Path::new(folder).join(format!("{prefix}{name}{number}.o"));
            fs::write(&path, object).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// All objects within `bytes`.
fn objects(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(|rest| rest.windows(MAGIC.len()).position(|w| w == MAGIC))
    {
        at += next;
        let rest = &bytes[at..];
        if let Some(object) = length(rest).and_then(|length| rest.get(..length)) {
            found.push(object);
        }
        at += MAGIC.len();
    }
    found
}

/// Bytes of the object that `bytes` begin with, when they begin with one: linkers put the table of sections last.
fn length(bytes: &[u8]) -> Option<usize> {
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if half(18)? != MACHINE || usize::from(half(58)?) != HEADER {
        return None;
    }
    let table = u64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?);
    usize::try_from(table).ok()?.checked_add(HEADER * usize::from(half(60)?))
}
