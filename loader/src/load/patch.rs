//! The instruction words of a program with everything filled in that is known only now.

use super::fallback::Fallback;
use super::session::Session;
use crate::spec::{ExternKind, MapKind, ProgramSpec, RelocKind, Resolution};
use crate::{Error, Result};
use asm::Insn;
use bpf_sys::btf_obj::BtfObj;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

/// In place of a helper's number: instructions that cannot be filled in call these, which the verifier refuses when it
/// gets there. What is never reached does no harm. The number behind tells what is missing.
const NO_MAP: i32 = 2_001_000_000;
/// As [`NO_MAP`], for kernel functions.
const NO_KFUNC: i32 = 2_002_000_000;

/// How a 64-bit immediate load says what it loads: its source register (RFC 9669, section 5.4).
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
/// How a call says that it calls a kernel function.
const PSEUDO_KFUNC: u8 = 2;

const CALL: u8 = 0x85;
const LD_IMM64: u8 = 0x18;

/// Helpers that read one kind of memory, and their predecessors, which read both.
const PROBE_READ: [(i32, i32); 4] = [(112, 4), (113, 4), (114, 45), (115, 45)];

/// A program that can be handed to the kernel.
pub(super) struct Patched {
    pub words: Vec<u64>,
    /// BTF of modules whose functions are called; a call holds the index in it, from 1.
    pub modules: Vec<Rc<BtfObj>>,
    /// What the numbers of poisoned instructions stand for: instruction, and what is missing.
    pub poisoned: Vec<(usize, String)>,
}

impl Session<'_> {
    /// Fills in descriptors, addresses and type ids.
    ///
    /// # Errors
    ///
    /// Relocations that point outside of the program or the object.
    pub(super) fn patch(&self, program: &ProgramSpec) -> Result<Patched> {
        let mut insns = program.insns.clone();
        let mut modules = Modules::default();
        let mut poisoned: Vec<(usize, String)> =
            program.poisoned.iter().map(|poison| (poison.insn, poison.what.clone())).collect();
        for reloc in &program.relocs {
            let at = reloc.insn;
            let bad = |what: &str| Error::Program {
                program: program.name.clone(),
                insn: Some(at),
                what: format!("{what}: the object is damaged"),
            };
            let map_fd = |index: usize| self.maps.get(index)?.as_ref().map(|map| map.map.as_fd().as_raw_fd());
            match reloc.kind {
                RelocKind::Map(index) | RelocKind::MapValue { map: index, .. } => {
                    if index >= self.object.maps.len() {
                        return Err(bad("refers to no map"));
                    }
                    let pair = load_at(&mut insns, at).ok_or_else(|| bad("no 64-bit load is there"))?;
                    let (src, offset) = match reloc.kind {
                        RelocKind::MapValue { offset, .. } => (PSEUDO_MAP_VALUE, offset as i32),
                        _ => (PSEUDO_MAP_FD, 0),
                    };
                    match map_fd(index) {
                        Some(fd) => fill(pair, src, fd, offset),
                        None => {
                            poison(pair, NO_MAP, index);
                            poisoned.push((at, self.why_no_map(index)));
                        }
                    }
                }
                RelocKind::Extern(index) => {
                    let ext = self.object.externs.get(index).ok_or_else(|| bad("refers to no extern"))?;
                    let is_call = insns.get(at).is_some_and(|insn| insn.opcode == CALL);
                    match (&ext.resolution, ext.kind) {
                        (None, _) => {
                            return Err(Error::Extern {
                                name: ext.name.clone(),
                                what: "was not looked for: relocate the object first".to_owned(),
                            });
                        }
                        (Some(Resolution::Function { btf_id, module }), _) if is_call => {
                            let index = modules.index(self, module.as_deref())?;
                            let call = insns.get_mut(at).ok_or_else(|| bad("no call is there"))?;
                            *call = Insn::new(CALL, 0, PSEUDO_KFUNC, index, btf_id.0 as i32);
                        }
                        (Some(_), _) if is_call => {
                            let call = insns.get_mut(at).ok_or_else(|| bad("no call is there"))?;
                            *call = Insn::new(CALL, 0, 0, 0, NO_KFUNC.saturating_add(index as i32));
                            poisoned.push((
                                at,
                                format!("the kernel function `{}`, which this kernel lacks", ext.name),
                            ));
                        }
                        (Some(Resolution::Value), ExternKind::Kconfig { offset, .. }) => {
                            let map = self.object.maps.iter().position(|map| map.kind == MapKind::Kconfig);
                            let index = map.ok_or_else(|| bad("the object has no .kconfig map"))?;
                            let pair =
                                load_at(&mut insns, at).ok_or_else(|| bad("no 64-bit load is there"))?;
                            match map_fd(index) {
                                Some(fd) => fill(pair, PSEUDO_MAP_VALUE, fd, offset as i32),
                                None => {
                                    poison(pair, NO_MAP, index);
                                    poisoned.push((at, self.why_no_map(index)));
                                }
                            }
                        }
                        (Some(resolution), _) => {
                            let (src, low, high) = match resolution {
                                Resolution::Variable { btf_id, module }
                                | Resolution::Function { btf_id, module } => {
                                    (PSEUDO_BTF_ID, btf_id.0 as i32, modules.fd(self, module.as_deref())?)
                                }
                                Resolution::Address(address) => (0, *address as i32, (*address >> 32) as i32),
                                // A weak symbol that is nowhere has no address.
                                Resolution::Missing | Resolution::Value => (0, 0, 0),
                            };
                            let pair =
                                load_at(&mut insns, at).ok_or_else(|| bad("no 64-bit load is there"))?;
                            fill(pair, src, low, high);
                        }
                    }
                }
            }
        }
        if self.known_to_lack(Fallback::ProbeReadKernel) {
            replace_probe_reads(&mut insns);
        }
        let words = insns.iter().map(|insn| insn.to_u64()).collect();
        Ok(Patched { words, modules: modules.0.into_iter().map(|(_, module)| module).collect(), poisoned })
    }

    fn why_no_map(&self, index: usize) -> String {
        let name = self.object.maps.get(index).map_or("?", |map| map.name.as_str());
        if self.object.maps.get(index).is_some_and(|map| map.autocreate) {
            format!("`{name}`: this kernel does not support global data (since Linux 5.2)")
        } else {
            format!("the map `{name}`, which is not created (autocreate is off)")
        }
    }
}

/// Whether a program calls helpers that older kernels have under another name.
pub(super) fn has_probe_reads(insns: &[Insn]) -> bool {
    insns.iter().any(|insn| replacement(insn).is_some())
}

fn replacement(insn: &Insn) -> Option<i32> {
    if insn.opcode != CALL || insn.src().number() != 0 {
        return None;
    }
    PROBE_READ.iter().find(|(new, _)| *new == insn.imm).map(|(_, old)| *old)
}

fn replace_probe_reads(insns: &mut [Insn]) {
    for insn in insns {
        if let Some(old) = replacement(insn) {
            insn.imm = old;
        }
    }
}

/// Both words of the 64-bit immediate load at `at`.
fn load_at(insns: &mut [Insn], at: usize) -> Option<&mut [Insn; 2]> {
    let pair = insns.get_mut(at..)?.first_chunk_mut::<2>()?;
    (pair[0].opcode == LD_IMM64).then_some(pair)
}

fn fill(pair: &mut [Insn; 2], src: u8, low: i32, high: i32) {
    let [first, second] = pair;
    *first = Insn { imm: low, ..Insn::new(first.opcode, first.dst().number(), src, first.off, 0) };
    second.imm = high;
}

fn poison(pair: &mut [Insn; 2], base: i32, index: usize) {
    let number = i32::try_from(index).ok().and_then(|index| base.checked_add(index)).unwrap_or(base);
    *pair = [Insn::new(CALL, 0, 0, 0, number); 2];
}

/// Modules whose BTF a program needs, each once.
#[derive(Default)]
struct Modules(Vec<(String, Rc<BtfObj>)>);

impl Modules {
    fn position(&mut self, session: &Session<'_>, name: &str) -> Result<usize> {
        if let Some(known) = self.0.iter().position(|(known, _)| known == name) {
            return Ok(known);
        }
        self.0.push((name.to_owned(), session.module(name)?));
        Ok(self.0.len() - 1)
    }

    /// Index in the array of descriptors; 0 stands for the kernel itself.
    fn index(&mut self, session: &Session<'_>, module: Option<&str>) -> Result<i16> {
        let Some(name) = module else { return Ok(0) };
        let index = self.position(session, name)? + 1;
        i16::try_from(index).map_err(|_| Error::Extern {
            name: name.to_owned(),
            what: "functions of more modules are called than the kernel can number".to_owned(),
        })
    }

    /// The descriptor; 0 stands for the kernel itself.
    fn fd(&mut self, session: &Session<'_>, module: Option<&str>) -> Result<i32> {
        let Some(name) = module else { return Ok(0) };
        let index = self.position(session, name)?;
        Ok(self.0.get(index).map_or(0, |(_, module)| module.as_fd().as_raw_fd()))
    }
}
