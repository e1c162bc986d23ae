//! Loading: the only stage that talks to the kernel.

mod by_hand;

use crate::collection::{Collection, LoadedProgram};
use crate::spec::Object;
use crate::target::Target;
use crate::{Error, Result};
use bpf_sys::map::Map;
use std::path::PathBuf;

/// How an object is loaded.
#[derive(Debug, Default)]
pub struct LoadOptions {
    /// Directory of pins for maps that are shared by name; `/sys/fs/bpf` when `None`.
    pub pin_dir: Option<PathBuf>,
    /// Maps to use instead of new ones, by their names in the object.
    pub reuse: Vec<(String, Map)>,
    /// Level of the verifier's log, which then is written for programs that load, too: 1, 2, and 4 for statistics.
    pub log_level: u32,
}

/// What became of one program.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub program: String,
    /// The loaded program, or why it was not loaded.
    pub result: Result<LoadedProgram>,
    /// The verifier's log, where one was asked for or the program refused.
    pub log: String,
}

/// Loads objects.
pub struct Loader<'a> {
    #[allow(dead_code)]
    target: &'a Target<'a>,
    #[allow(dead_code)]
    options: LoadOptions,
}

impl<'a> Loader<'a> {
    /// A loader for this target, which should be the running kernel or describe it.
    pub fn new(target: &'a Target<'a>, options: LoadOptions) -> Loader<'a> {
        Loader { target, options }
    }

    /// Creates the maps and loads every program that is to be loaded; all of them or nothing.
    ///
    /// An object that is not relocated yet is relocated first.
    ///
    /// # Errors
    ///
    /// The first map or program that the kernel refuses; [`Error::Verifier`] for programs.
    pub fn load(&self, object: &Object) -> Result<Collection> {
        Err(Error::Elf { what: format!("{} cannot be loaded yet", object.name) })
    }

    /// Creates the maps and tries every program on its own, also those that are not loaded by default.
    ///
    /// # Errors
    ///
    /// When a map cannot be created; what becomes of programs is in the verdicts.
    pub fn check(&self, object: &Object) -> Result<Vec<Verdict>> {
        Err(Error::Elf { what: format!("{} cannot be loaded yet", object.name) })
    }
}
