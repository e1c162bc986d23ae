//! Maps that are shared by a pin: taken over where they are what the object defines.

use super::fallback::added_by_kernel;
use super::session::Session;
use crate::collection::LoadedMap;
use crate::spec::{MapSpec, Pinning};
use crate::{Error, Result};
use bpf_sys::Errno;
use bpf_sys::map::{Map, MapInfo};
use std::fs;
use std::path::{Path, PathBuf};

/// Where maps are pinned by default.
const PIN_DIR: &str = "/sys/fs/bpf";

impl Session<'_> {
    /// Where a map is or will be pinned; `None` where it is not shared.
    pub(super) fn pin_path(&self, spec: &MapSpec) -> Result<Option<PathBuf>> {
        Ok(match (&spec.pin_path, spec.pinning) {
            (Some(path), _) => Some(path.clone()),
            (None, Pinning::ByName) => {
                let dir = self.options.pin_dir.as_deref().unwrap_or(Path::new(PIN_DIR));
                Some(file_in(dir, &spec.name))
            }
            (None, Pinning::None) => None,
        })
    }

    /// Pins a new map. Where someone else was faster, theirs is taken if it fits.
    pub(super) fn pin(&mut self, mut loaded: LoadedMap, path: PathBuf) -> Result<LoadedMap> {
        pin_at(&path, |path| loaded.map.pin(path)).or_else(|error| match error {
            error if error.is_errno(Errno::EEXIST) => match open(&loaded.spec, &path)? {
                Some(map) => {
                    loaded.map = map;
                    loaded.reused = true;
                    Ok(())
                }
                None => Err(super::maps::sys(&loaded.spec, error)),
            },
            error => Err(super::maps::sys(&loaded.spec, error)),
        })?;
        if !loaded.reused {
            self.pinned.push(path);
        }
        Ok(loaded)
    }
}

/// The pin of this name; a BPF file system takes no dots.
pub(crate) fn file_in(dir: &Path, name: &str) -> PathBuf {
    dir.join(name.replace('.', "_"))
}

/// Pins something, in a directory that is made where it is missing.
pub(crate) fn pin_at(path: &Path, pin: impl Fn(&Path) -> bpf_sys::Result<()>) -> bpf_sys::Result<()> {
    match pin(path) {
        Err(error) if error.is_errno(Errno::ENOENT) => {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir).map_err(|source| bpf_sys::Error::File {
                    action: "create the directory",
                    path: dir.to_owned(),
                    source,
                })?;
            }
            pin(path)
        }
        result => result,
    }
}

/// The map pinned at `path`, if there is one.
///
/// # Errors
///
/// Says in which fields the pinned map contradicts the definition.
pub(super) fn open(spec: &MapSpec, path: &Path) -> Result<Option<Map>> {
    let context = || format!("map `{}`: take over what is pinned at {}", spec.name, path.display());
    let map = match Map::open_pinned(path) {
        Ok(map) => map,
        Err(error) if error.is_errno(Errno::ENOENT) => return Ok(None),
        Err(source) => return Err(Error::Sys { context: context(), source }),
    };
    let info = map.info().map_err(|source| Error::Sys { context: context(), source })?;
    let differences = contradictions(spec, &info);
    if differences.is_empty() {
        return Ok(Some(map));
    }
    Err(Error::Map {
        map: spec.name.clone(),
        what: format!(
            "the map pinned at {} is another one: {}; remove the pin (its content goes with the last user), \
             choose another pin directory, or define the map as it is there",
            path.display(),
            differences.join(", ")
        ),
    })
}

/// Field by field, what a pinned map has otherwise than the definition.
fn contradictions(spec: &MapSpec, info: &MapInfo) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |field: &str, defined: String, pinned: String| {
        if defined != pinned {
            found.push(format!("{field} is {pinned} there and {defined} here"));
        }
    };
    compare("type", spec.map_type.to_string(), info.map_type.to_string());
    compare("key_size", spec.key_size.to_string(), info.key_size.to_string());
    compare("value_size", spec.value_size.to_string(), info.value_size.to_string());
    compare("max_entries", spec.max_entries.to_string(), info.max_entries.to_string());
    let own = info.flags.difference(added_by_kernel(spec.map_type)).union(
        // Given here too, they count as equal.
        info.flags.intersection(spec.flags),
    );
    compare("map_flags", format!("{:#x}", spec.flags.bits()), format!("{:#x}", own.bits()));
    compare("map_extra", spec.map_extra.to_string(), info.map_extra.to_string());
    found
}
