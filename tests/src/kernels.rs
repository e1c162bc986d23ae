//! The kernels of the matrix and where they are kept.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// One kernel of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// `6.12`: the name of its results.
    pub series: String,
    /// What `uname -r` must say in its guest; `None` when it is not in the cache.
    pub release: Option<String>,
    /// The folder with `vmlinuz`, `release`, `dummy.ko`.
    pub folder: PathBuf,
}

/// The folder in which kernels are kept: `$XDG_CACHE_HOME/tracewell/kernels`.
pub fn cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = base.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"));
    base.join("tracewell/kernels")
}

/// Reads `tests/kernels` in the repository at `root`.
///
/// # Errors
/// When the file cannot be read.
pub fn table(root: &Path) -> io::Result<Vec<Kernel>> {
    let text = fs::read_to_string(root.join("tests/kernels"))?;
    let cache = cache();
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(|series| {
            let folder = cache.join(series);
            let release = fs::read_to_string(folder.join("release")).ok().map(|s| s.trim().to_owned());
            Kernel { series: series.to_owned(), release, folder }
        })
        .collect())
}

/// Major and minor number at the start of a kernel release (`6.12.107+deb13` is 6, 12).
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(version("6.12.107+deb13-cloud-amd64"), Some((6, 12)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("next"), None);
        assert!(version("6.6") < version("6.12"));
    }
}
