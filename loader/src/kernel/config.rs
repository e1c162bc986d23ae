//! The running kernel's build configuration: for kconfig externs and error messages.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::lines;

/// Where the configuration may be, in order.
fn candidates() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/proc/config.gz")];
    if let Ok(release) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        let release = release.trim();
        paths.push(format!("/boot/config-{release}").into());
        paths.push(format!("/lib/modules/{release}/config").into());
        paths.push(format!("/usr/lib/modules/{release}/config").into());
    }
    paths
}

/// How an option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `=y`, or a value.
    Yes,
    /// `=m`.
    Module,
    /// Not set, or not known to this kernel.
    No,
    /// No configuration could be read.
    Unknown,
}

/// Opens the file at `path`, decompressing as its name says; `None` where that cannot be done.
fn open(path: &Path) -> Option<Box<dyn Read>> {
    let file = File::open(path).ok()?;
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Some(Box::new(file));
    }
    #[cfg(feature = "config-gz")]
    return Some(Box::new(flate2::read::GzDecoder::new(file)));
    #[cfg(not(feature = "config-gz"))]
    None
}

/// How `option` (`CONFIG_KPROBES`) is set in the running kernel.
pub fn setting(option: &str) -> Setting {
    for path in candidates() {
        let Some(file) = open(&path) else { continue };
        let found = setting_in(file, option);
        if found != Setting::Unknown {
            return found;
        }
    }
    Setting::Unknown
}

/// The values of options that are set (`y`, `m`, a number, a text in its quotes), by their names, each option once.
/// Answers with the file that they were read from; `None` where there is none that can be read.
///
/// Without the feature `config-gz` a compressed `/proc/config.gz` is passed over.
pub fn for_each_value(mut each: impl FnMut(&str, &str)) -> Option<PathBuf> {
    for path in candidates() {
        let Some(file) = open(&path) else { continue };
        let mut any = false;
        let read = values_in(file, |name, value| {
            any = true;
            each(name, value);
        });
        if read.is_ok() && any {
            return Some(path);
        }
    }
    None
}

/// Hands out the options of a configuration file that are set, with their values.
///
/// # Errors
///
/// The reader's.
pub fn values_in(reader: impl Read, mut each: impl FnMut(&str, &str)) -> io::Result<()> {
    lines::for_each(reader, |line| {
        if let Ok(line) = std::str::from_utf8(line)
            && line.starts_with("CONFIG_")
            && let Some((name, value)) = line.trim_end().split_once('=')
        {
            each(name, value);
        }
        ControlFlow::Continue(())
    })
}

/// A phrase for error messages: `the kernel was built without CONFIG_KPROBES` where that is certain, otherwise
/// `the kernel may lack CONFIG_KPROBES`; `None` when the option is on.
pub fn missing(option: &str) -> Option<String> {
    match setting(option) {
        Setting::Yes | Setting::Module => None,
        Setting::No => Some(format!("the kernel was built without {option}")),
        Setting::Unknown => Some(format!("the kernel may lack {option}")),
    }
}

/// `Unknown` for text that holds no option at all.
pub fn setting_in(reader: impl Read, option: &str) -> Setting {
    let mut result = Setting::Unknown;
    let read = lines::for_each(reader, |line| {
        if result == Setting::Unknown && (line.starts_with(b"CONFIG_") || line.starts_with(b"# CONFIG_")) {
            result = Setting::No;
        }
        match line.strip_prefix(option.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            Some(value) => {
                result = match value {
                    b"m" => Setting::Module,
                    b"n" => Setting::No,
                    _ => Setting::Yes,
                };
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        }
    });
    // Half a configuration does not tell that an option is missing.
    if read.is_err() && result == Setting::No { Setting::Unknown } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let text = "# Automatically generated\nCONFIG_BPF=y\n# CONFIG_KPROBES is not set\nCONFIG_XFS_FS=m\nCONFIG_HZ=250\n";
        let get = |option| setting_in(text.as_bytes(), option);
        assert_eq!(get("CONFIG_BPF"), Setting::Yes);
        assert_eq!(get("CONFIG_KPROBES"), Setting::No);
        assert_eq!(get("CONFIG_XFS_FS"), Setting::Module);
        assert_eq!(get("CONFIG_HZ"), Setting::Yes);
        assert_eq!(get("CONFIG_BP"), Setting::No);
        assert_eq!(setting_in(&b"no configuration\n"[..], "CONFIG_BPF"), Setting::Unknown);
    }

    #[test]
    fn values() {
        let text = "# A comment\nCONFIG_BPF=y\n# CONFIG_KPROBES is not set\nCONFIG_CC=\"gcc = 12\"\nOTHER=1\nCONFIG_HZ=250";
        let mut found = Vec::new();
        values_in(text.as_bytes(), |name, value| found.push(format!("{name} {value}"))).unwrap();
        assert_eq!(found, ["CONFIG_BPF y", "CONFIG_CC \"gcc = 12\"", "CONFIG_HZ 250"]);
    }
}
