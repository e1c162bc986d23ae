//! The running kernel's build configuration, for error messages.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;

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

/// How `option` (`CONFIG_KPROBES`) is set in the running kernel.
pub fn setting(option: &str) -> Setting {
    for path in candidates() {
        let Ok(file) = File::open(&path) else { continue };
        let found = if path.extension().is_some_and(|e| e == "gz") {
            setting_in(flate2::read::GzDecoder::new(file), option)
        } else {
            setting_in(file, option)
        };
        if found != Setting::Unknown {
            return found;
        }
    }
    Setting::Unknown
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
pub(crate) fn setting_in(reader: impl Read, option: &str) -> Setting {
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
}
