//! Pinning what was loaded.

use super::Collection;
use crate::load::{file_in, pin_at};
use crate::spec::MapSpec;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

impl Collection {
    /// Pins all maps in `dir` under their names; a dot becomes `_`. Data maps, whose names say little, go by those that the
    /// kernel knows them by, such as `object_bss`. Maps that are shared by another pin are pinned here, too.
    ///
    /// # Errors
    ///
    /// The first that cannot be pinned; those pinned by then are unpinned.
    pub fn pin_maps(&self, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let dir = dir.as_ref();
        pin_all(self.maps.iter().map(|loaded| {
            let pin = |path: &Path| loaded.map.pin(path);
            (format!("map `{}`", loaded.spec.name), file_in(dir, pin_name(&loaded.spec)), pin)
        }))
    }

    /// Pins all programs in `dir` under their names.
    ///
    /// # Errors
    ///
    /// As for [`pin_maps`](Self::pin_maps).
    pub fn pin_programs(&self, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let dir = dir.as_ref();
        pin_all(self.programs.iter().map(|loaded| {
            let pin = |path: &Path| loaded.prog.pin(path);
            (format!("program `{}`", loaded.spec.name), file_in(dir, &loaded.spec.name), pin)
        }))
    }

    /// Removes pins that [`pin_maps`](Self::pin_maps) or [`pin_programs`](Self::pin_programs) made in `dir`; those that are
    /// not there are passed over.
    ///
    /// # Errors
    ///
    /// The first that is there and cannot be removed.
    pub fn unpin(&self, dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        let maps = self.maps.iter().map(|map| pin_name(&map.spec));
        let programs = self.programs.iter().map(|program| program.spec.name.as_str());
        for name in maps.chain(programs) {
            let path = file_in(dir, name);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    let source = bpf_sys::Error::File { action: "remove", path, source };
                    return Err(Error::Sys { context: format!("unpin `{name}`"), source });
                }
            }
        }
        Ok(())
    }
}

/// What a map is called where objects share a directory.
fn pin_name(spec: &MapSpec) -> &str {
    match spec.name.as_str() {
        ".data" | ".rodata" | ".bss" | ".kconfig" => &spec.kernel_name,
        name => name,
    }
}

fn pin_all<P: Fn(&Path) -> bpf_sys::Result<()>>(
    items: impl Iterator<Item = (String, PathBuf, P)>,
) -> Result<Vec<PathBuf>> {
    let mut done: Vec<PathBuf> = Vec::new();
    for (context, path, pin) in items {
        if let Err(source) = pin_at(&path, pin) {
            for path in done {
                // Best effort: the first failure is what the caller hears about.
                let _ = std::fs::remove_file(path);
            }
            return Err(Error::Sys { context, source });
        }
        done.push(path);
    }
    Ok(done)
}
