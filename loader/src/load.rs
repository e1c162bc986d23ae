//! Loading: the only stage that talks to the kernel.
//!
//! Maps are created in the object's order, filled, frozen and pinned; then programs are loaded, first without a log and,
//! where the kernel refuses one, with it. What an older kernel does not have is left out or replaced as far as nothing
//! gets lost ([`Fallback`]), and only after the kernel has refused the first attempt: on a kernel that has everything, no
//! system call is spent on finding that out.

mod attach_type;
mod by_hand;
mod context_tags;
mod fallback;
mod maps;
mod operations;
mod patch;
mod pins;
mod programs;
mod records;
mod session;
mod sizes;
mod slots;

pub use fallback::Fallback;
pub(crate) use pins::{file_in, pin_at};

use crate::Result;
use crate::collection::{Collection, LoadedProgram};
use crate::relocate::struct_ops::{self, KernelOps};
use crate::spec::{MapSpec, Object, ProgramSpec};
use crate::target::Target;
use bpf_sys::map::Map;
use bpf_sys::prog::{AttachType, Prog, ProgType};
use btf::Btf;
use session::Session;
use std::path::PathBuf;

/// How an object is loaded; `..LoadOptions::default()` fills in the rest.
#[derive(Debug, Default)]
pub struct LoadOptions {
    /// Directory of pins for maps that are shared by name; `/sys/fs/bpf` when `None`.
    pub pin_dir: Option<PathBuf>,
    /// Maps to use instead of new ones, by their names in the object.
    pub reuse: Vec<(String, Map)>,
    /// Level of the verifier's log, which then is written for programs that load, too: 1, 2, and 4 for statistics.
    pub log_level: u32,
    /// The type of all programs, whatever their sections say, and what they expect to be attached to.
    pub prog_type: Option<(ProgType, Option<AttachType>)>,
    /// Names of the programs to load, also of those that are not loaded by default; all others are left out.
    pub only: Option<Vec<String>>,
    /// Programs that `freplace` and tracing programs attach to, by the names of those that attach.
    pub attach_progs: Vec<(String, Prog)>,
    /// The network device that is to run the programs and hold the maps; 0 for the kernel itself.
    pub ifindex: u32,
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

/// What objects are loaded against: a target, whatever its types' lifetime.
trait Against {
    fn relocate(&self, object: &Object) -> Result<Object>;
    fn struct_ops(&self, map: &MapSpec, types: &Btf<'_>) -> Result<KernelOps>;
}

impl Against for Target<'_> {
    fn relocate(&self, object: &Object) -> Result<Object> {
        object.relocate(self)
    }

    fn struct_ops(&self, map: &MapSpec, types: &Btf<'_>) -> Result<KernelOps> {
        struct_ops::convert(map, types, self)
    }
}

/// Loads objects.
pub struct Loader<'a> {
    target: &'a (dyn Against + 'a),
    options: LoadOptions,
    /// What counts as missing whatever the kernel says.
    without: Vec<Fallback>,
}

impl<'a> Loader<'a> {
    /// A loader for this target, which should be the running kernel or describe it.
    pub fn new(target: &'a Target<'_>, options: LoadOptions) -> Loader<'a> {
        Loader { target, options, without: Vec::new() }
    }

    /// Loads as on a kernel that lacks these, to see what an object comes to there.
    #[must_use]
    pub fn without(mut self, fallbacks: &[Fallback]) -> Loader<'a> {
        self.without.extend_from_slice(fallbacks);
        self
    }

    /// Creates the maps and loads every program that is to be loaded; all of them or nothing.
    ///
    /// An object that is not relocated yet is relocated first.
    ///
    /// # Errors
    ///
    /// The first map or program that the kernel refuses; [`Error::Verifier`](crate::Error::Verifier) for programs. Maps that
    /// were pinned by then stay pinned only where they were pinned before.
    pub fn load(&self, object: &Object) -> Result<Collection> {
        let mut session = Session::prepare(self, self.relocated(object, |_| {})?)?;
        session.create_maps()?;
        let loaded: Result<Vec<(usize, LoadedProgram)>> = session
            .autoloaded()
            .into_iter()
            .map(|index| session.load_program(index).map(|program| (index, program)))
            .collect();
        match loaded.and_then(|programs| session.finish(programs)) {
            Ok(collection) => Ok(collection),
            Err(error) => {
                session.unpin();
                Err(error)
            }
        }
    }

    /// Creates the maps and tries every program on its own, also those that are not loaded by default. Nothing stays
    /// pinned that was not pinned before.
    ///
    /// # Errors
    ///
    /// When a map cannot be created; what becomes of programs is in the verdicts.
    pub fn check(&self, object: &Object) -> Result<Vec<Verdict>> {
        let everything = self.relocated(object, |program| program.autoload = true);
        let mut session = match everything {
            Ok(relocated) => Session::prepare(self, relocated)?,
            // One program that cannot be relocated must not hide what becomes of the others.
            Err(error) if object.programs.len() < 2 => return Err(error),
            Err(_) => return self.check_apart(object),
        };
        session.create_maps()?;
        let verdicts = session.wanted().into_iter().map(|index| session.verdict(index)).collect();
        session.unpin();
        Ok(verdicts)
    }

    /// [`check`](Self::check), with a relocated object for each program.
    fn check_apart(&self, object: &Object) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::new();
        for index in 0..object.programs.len() {
            let mut alone = object.clone();
            for (other, program) in alone.programs.iter_mut().enumerate() {
                program.autoload = other == index;
            }
            let name = &object.programs[index].name;
            if self.options.only.as_ref().is_some_and(|only| !only.contains(name)) {
                continue;
            }
            match self.relocated(&alone, |_| {}) {
                Ok(relocated) => {
                    let mut session = Session::prepare(self, relocated)?;
                    session.create_maps()?;
                    verdicts.push(session.verdict(index));
                    session.unpin();
                }
                Err(error) => {
                    verdicts.push(Verdict { program: name.clone(), result: Err(error), log: String::new() });
                }
            }
        }
        Ok(verdicts)
    }

    /// The object as the options want it, relocated.
    fn relocated(&self, object: &Object, change: impl Fn(&mut ProgramSpec)) -> Result<Object> {
        let mut object = object.clone();
        for program in &mut object.programs {
            change(program);
            if let Some(only) = &self.options.only {
                program.autoload = only.contains(&program.name);
            }
            if let Some((prog_type, attach_type)) = self.options.prog_type {
                program.prog_type = prog_type;
                program.expected_attach_type = attach_type;
                program.attach_type_optional = false;
            }
        }
        session::switch_struct_ops(&mut object);
        if object.relocated { Ok(object) } else { self.target.relocate(&object) }
    }
}
