//! One load: what has been created so far, and what of it is to go again when something fails.

use super::fallback::Fallback;
use super::{LoadOptions, Loader, Verdict};
use super::{operations, records};
use crate::collection::{Collection, LoadedMap, LoadedProgram};
use crate::relocate::struct_ops::KernelOps;
use crate::spec::{AttachTarget, Object, ProgramSpec};
use crate::{Error, Result};
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::memlock;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

pub(super) struct Session<'s> {
    pub options: &'s LoadOptions,
    pub object: Object,
    /// The object's BTF in the kernel.
    pub btf: Option<BtfObj>,
    /// Whether functions are still functions in it.
    pub functions_kept: bool,
    /// Why it is not there.
    pub btf_refused: Option<bpf_sys::Error>,
    /// By index in [`Object::maps`]; `None` for what is not created.
    pub maps: Vec<Option<LoadedMap>>,
    /// Of struct_ops maps, what they are in the kernel's types; by index in [`Object::maps`], empty where there are none.
    pub struct_ops: Vec<Option<KernelOps>>,
    /// BTF of modules that instructions or attachments refer to.
    pub modules: RefCell<HashMap<String, Rc<BtfObj>>>,
    /// Pins that this load made.
    pub pinned: Vec<PathBuf>,
    /// What this kernel has been found to lack; each is tried once.
    lacks: RefCell<HashMap<Fallback, bool>>,
}

/// Programs of struct_ops are loaded for the maps that use them: `?` before the section's name does not matter then.
pub(super) fn switch_struct_ops(object: &mut Object) {
    for (index, program) in object.programs.iter_mut().enumerate() {
        if !matches!(program.attach, AttachTarget::StructOps { .. }) {
            continue;
        }
        let mut users = object
            .maps
            .iter()
            .filter(|map| {
                map.struct_ops
                    .as_ref()
                    .is_some_and(|ops| ops.funcs.iter().any(|(_, program)| *program == index))
            })
            .peekable();
        if users.peek().is_some() {
            program.autoload = users.any(|map| map.autocreate);
        }
    }
}

impl<'s> Session<'s> {
    /// Checks what must be right before anything is created, and loads the BTF.
    pub fn prepare(loader: &'s Loader<'_>, mut object: Object) -> Result<Session<'s>> {
        let native = if cfg!(target_endian = "big") { btf::Endian::Big } else { btf::Endian::Little };
        if object.endian != native {
            return Err(Error::Elf {
                what: format!(
                    "`{}` is for machines of the other byte order: compile it with -target {}",
                    object.name,
                    if native == btf::Endian::Little { "bpfel" } else { "bpfeb" }
                ),
            });
        }
        memlock::ensure().map_err(|source| Error::Sys {
            context: "lift the limit of locked memory, which this kernel charges maps and programs to"
                .to_owned(),
            source,
        })?;
        let struct_ops = operations::lay_out(&mut object, loader.target)?;
        let lacks = loader.without.iter().map(|fallback| (*fallback, true)).collect();
        let mut session = Session {
            options: &loader.options,
            maps: object.maps.iter().map(|_| None).collect(),
            object,
            btf: None,
            functions_kept: true,
            btf_refused: None,
            struct_ops,
            modules: RefCell::default(),
            pinned: Vec::new(),
            lacks: RefCell::new(lacks),
        };
        session.load_btf()?;
        Ok(session)
    }

    /// Whether the kernel is known to lack something: from the start, or since [`lacks`](Self::lacks) found out.
    pub fn known_to_lack(&self, fallback: Fallback) -> bool {
        self.lacks.borrow().get(&fallback).copied().unwrap_or(false)
    }

    /// Whether the kernel lacks something, by trying where that is not known yet.
    pub fn lacks(&self, fallback: Fallback) -> bool {
        if let Some(known) = self.lacks.borrow().get(&fallback) {
            return *known;
        }
        let answer = fallback.probe();
        self.lacks.borrow_mut().insert(fallback, answer);
        answer
    }

    /// Notes that the kernel lacks something, as it said itself.
    pub fn note_lack(&self, fallback: Fallback) {
        self.lacks.borrow_mut().insert(fallback, true);
    }

    /// Loads the object's types. Where the kernel does not take them they are rewritten, or done without.
    fn load_btf(&mut self) -> Result<()> {
        let Some(bytes) = &self.object.btf else { return Ok(()) };
        if !self.known_to_lack(Fallback::Btf) {
            match self.btf_of(bytes)? {
                Ok((loaded, functions_kept)) => {
                    self.btf = Some(loaded);
                    self.functions_kept = functions_kept;
                }
                Err(error) => self.btf_refused = Some(error),
            }
        }
        let needs = self.object.maps.iter().find(|map| map.struct_ops.is_some() && map.autocreate);
        if let Some(map) = needs.filter(|_| self.btf.is_none()) {
            let context = format!("load the object's BTF, which the struct_ops map `{}` needs", map.name);
            return Err(match self.btf_refused.take() {
                Some(source) => Error::Sys { context, source },
                None => Error::Map { map: map.name.clone(), what: "needs BTF of the object".to_owned() },
            });
        }
        Ok(())
    }

    /// The types in the kernel, and whether functions are still functions in them.
    pub fn btf_of(&self, bytes: &[u8]) -> Result<bpf_sys::Result<(BtfObj, bool)>> {
        let without = self.known_to_lack(Fallback::BtfKinds);
        let mut first = None;
        if !without {
            match BtfObj::load(bytes) {
                // Without privileges it is not the types that the kernel minds; the first map or program says so better.
                Err(error) if !error.is_errno(bpf_sys::Errno::EPERM) => first = Some(error),
                result => return Ok(result.map(|loaded| (loaded, true))),
            }
        }
        let rewritten = records::sanitized(bytes, without)
            .map_err(|source| Error::Btf { place: ".BTF".to_owned(), source })?;
        Ok(match (rewritten, first) {
            (None, Some(error)) => Err(error),
            (rewritten, _) => {
                let functions_kept = !without && !bpf_sys::features::has_btf_func().is_no();
                BtfObj::load(rewritten.as_deref().unwrap_or(bytes)).map(|loaded| (loaded, functions_kept))
            }
        })
    }

    /// Whether functions and lines may refer to the object's types in the kernel.
    pub fn has_function_types(&self) -> bool {
        self.btf.is_some() && self.functions_kept
    }

    /// Programs that options or sections say are to be loaded.
    pub fn autoloaded(&self) -> Vec<usize> {
        let programs = self.object.programs.iter().enumerate();
        programs.filter(|(_, program)| program.autoload).map(|(index, _)| index).collect()
    }

    /// Programs that are to be checked.
    pub fn wanted(&self) -> Vec<usize> {
        let wanted = |program: &ProgramSpec| match &self.options.only {
            Some(only) => only.contains(&program.name),
            None => true,
        };
        let programs = self.object.programs.iter().enumerate();
        programs.filter(|(_, program)| wanted(program)).map(|(index, _)| index).collect()
    }

    /// What becomes of one program.
    pub fn verdict(&self, index: usize) -> Verdict {
        let result = self.load_program(index);
        let log = match &result {
            Ok(loaded) => loaded.log.clone(),
            Err(Error::Verifier(error)) => error.log.clone(),
            Err(_) => String::new(),
        };
        Verdict { program: self.object.programs[index].name.clone(), result, log }
    }

    /// Everything is loaded: fills arrays of programs, and hands everything over.
    pub fn finish(&mut self, programs: Vec<(usize, LoadedProgram)>) -> Result<Collection> {
        self.fill_prog_arrays(&programs)?;
        self.finish_struct_ops(&programs);
        self.pinned.clear();
        Ok(Collection {
            object: std::mem::replace(&mut self.object, Object::new("")),
            maps: std::mem::take(&mut self.maps).into_iter().flatten().collect(),
            programs: programs.into_iter().map(|(_, program)| program).collect(),
            btf: self.btf.take(),
        })
    }

    /// Takes back the pins of this load.
    pub fn unpin(&mut self) {
        for path in self.pinned.drain(..) {
            // What cannot be removed now was removed by someone else.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The BTF of a loaded module; opened once.
    pub fn module(&self, name: &str) -> Result<Rc<BtfObj>> {
        if let Some(known) = self.modules.borrow().get(name) {
            return Ok(Rc::clone(known));
        }
        let module = crate::kernel::btf::modules()?.iter().find(|module| module.name() == name);
        let Some(module) = module else {
            return Err(Error::Extern {
                name: name.to_owned(),
                what: "this module has no BTF in the kernel (any more): load it with modprobe(8)".to_owned(),
            });
        };
        let found = module.object()?;
        let found = Rc::new(found);
        self.modules.borrow_mut().insert(name.to_owned(), Rc::clone(&found));
        Ok(found)
    }
}
