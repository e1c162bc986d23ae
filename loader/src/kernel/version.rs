//! Which kernel is running.

use std::fs;

/// The running kernel's release, as `uname -r` says it; `None` where `/proc` is not mounted.
pub fn release() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim_end().to_owned())
}

/// The running kernel's version as `LINUX_VERSION_CODE`: `major << 16 | minor << 8 | patch`, the patch level 255 at most.
/// `None` where `/proc` is not mounted.
///
/// Distributions that keep one release name over many patch levels say the true one elsewhere: Ubuntu in
/// `/proc/version_signature`, Debian in the kernel's build version. That is what their headers have, and what the kernel
/// compared with when it still did.
pub fn version() -> Option<u32> {
    let signature = fs::read_to_string("/proc/version_signature").ok();
    let build = fs::read_to_string("/proc/sys/kernel/version").ok();
    version_of(signature.as_deref(), build.as_deref(), &release()?)
}

fn version_of(signature: Option<&str>, build: Option<&str>, release: &str) -> Option<u32> {
    let ubuntu = signature.and_then(|text| text.split_whitespace().last()).and_then(code);
    let debian = || code(build?.split_once("Debian ")?.1);
    ubuntu.or_else(debian).or_else(|| code(release))
}

/// `6.12.48` and what may follow it.
fn code(text: &str) -> Option<u32> {
    let mut parts = text.split('.').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part.get(..digits)?.parse::<u32>().ok()
    });
    let (major, minor) = (parts.next()??, parts.next()??);
    let patch = parts.next().flatten().unwrap_or(0);
    major.checked_shl(16)?.checked_add(minor.checked_mul(256)?)?.checked_add(patch.min(255))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions() {
        let code = |major: u32, minor: u32, patch: u32| Some((major << 16) | (minor << 8) | patch);
        let build = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)";
        assert_eq!(version_of(None, Some(build), "6.12.48+deb13-cloud-amd64"), code(6, 12, 48));
        assert_eq!(version_of(None, Some("#1 SMP Debian 5.10.237-1"), "5.10.0-35-amd64"), code(5, 10, 237));
        let signature = "Ubuntu 5.4.0-42.46-generic 5.4.44\n";
        assert_eq!(version_of(Some(signature), None, "5.4.0-42-generic"), code(5, 4, 44));
        assert_eq!(version_of(None, Some("#1 SMP"), "4.9.337"), code(4, 9, 255));
        assert_eq!(version_of(None, None, "6.18-rc1"), code(6, 18, 0));
        assert_eq!(version_of(None, None, "not a version"), None);
        assert!(version().is_some());
    }
}
