//! What the commands `prog`, `map` and `link` share: how an object is named on the command line, and what the kernel
//! and `/proc` tell about any of them.

pub mod fdinfo;
pub mod options;
pub mod pids;
pub mod pins;
pub mod select;
pub mod words;

pub use options::Options;
pub use words::{Usage, Words};

use anyhow::{Result, anyhow, bail};
use std::io::{self, BufWriter, StdoutLock, Write, stdout};
use std::path::Path;

/// Standard output with a buffer that is worth a system call.
pub fn out() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, stdout().lock())
}

/// The end of a command that has nothing to say; bpftool says `null` then in JSON.
pub fn done(options: Options) -> Result<u8> {
    if options.json {
        writeln!(stdout(), "null")?;
    }
    Ok(0)
}

/// The number of a network device.
pub fn device(name: &str) -> Result<u32> {
    let path = Path::new("/sys/class/net").join(name).join("ifindex");
    let text = std::fs::read_to_string(&path)
        .map_err(|e| anyhow!("there is no network device `{name}`: cannot read {}: {e}", path.display()))?;
    text.trim().parse().map_err(|_| anyhow!("{}: `{}` is not a number", path.display(), text.trim()))
}

/// Bytes as pairs of hexadecimal digits, eight and eight, as bpftool prints keys and values.
pub fn hex(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    for (i, byte) in bytes.iter().enumerate() {
        let gap = match i {
            0 => "",
            i if i % 16 == 0 => "\n",
            i if i % 8 == 0 => "  ",
            _ => " ",
        };
        write!(out, "{gap}{byte:02x}")?;
    }
    Ok(())
}

/// Refuses a place for a pin that the kernel would refuse with a bare `EINVAL` or `EPERM`.
pub fn check_pin_path(path: &Path) -> Result<()> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name.is_empty() {
        bail!("{}: a pin needs a file name, such as /sys/fs/bpf/NAME", path.display());
    }
    if name.contains('.') {
        bail!(
            "{}: the name of a pin must have no dot in it; /sys/fs/bpf/{} would do",
            path.display(),
            name.replace('.', "_")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_groups_of_eight() {
        let text = |n: u8| {
            let mut out = Vec::new();
            hex(&mut out, &(0..n).collect::<Vec<_>>()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0), "");
        assert_eq!(text(9), "00 01 02 03 04 05 06 07  08");
        assert!(text(17).ends_with("0e 0f\n10"));
    }

    #[test]
    fn names_of_pins() {
        assert!(check_pin_path("/sys/fs/bpf/a".as_ref()).is_ok());
        assert!(check_pin_path("/sys/fs/bpf/a.b".as_ref()).unwrap_err().to_string().contains("a_b would do"));
        assert!(check_pin_path("/".as_ref()).is_err());
    }
}
