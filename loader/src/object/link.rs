//! Linking: a program with all functions that it needs behind it.

use super::elf::Elf;
use super::ext::Notes;
use super::programs::{Func, Functions};
use super::relocs::{CALL, LD_IMM64, PSEUDO_CALL, PSEUDO_FUNC, Resolver, SectionRelocs, Target};
use super::types::Types;
use crate::sections::{SectionInfo, UNKNOWN, section_info};
use crate::spec::{AttachTarget, CoreRelo, FuncSpec, LineSpec, ProgramSpec, Reloc};
use crate::{Error, Result};
use asm::Insn;
use bpf_sys::prog::ProgFlags;

/// Most instruction words, lines, relocations and words of names of all programs together. The kernel takes a million words a program;
/// a damaged file, in which many programs call everything, must not take all memory.
const MOST: usize = 1 << 22;

/// Links programs.
pub struct Linker<'a, 'd> {
    elf: &'a Elf<'d>,
    functions: &'a Functions<'d>,
    notes: &'a [Notes],
    types: Option<&'a Types<'d>>,
    resolver: Resolver<'a, 'd>,
    relocs: Vec<SectionRelocs>,
    /// Where the program that is being linked has each function.
    placed: Vec<Option<usize>>,
    /// Which ones it has.
    touched: Vec<usize>,
    /// What is left of [`MOST`].
    budget: usize,
}

/// A function whose instructions are being gone through.
struct Frame {
    func: usize,
    /// Where the program has it.
    start: usize,
    /// The next instruction to look at.
    next: usize,
}

impl<'a, 'd> Linker<'a, 'd> {
    /// A linker for the programs of a file.
    pub fn new(
        elf: &'a Elf<'d>,
        functions: &'a Functions<'d>,
        notes: &'a [Notes],
        types: Option<&'a Types<'d>>,
        resolver: Resolver<'a, 'd>,
    ) -> Result<Linker<'a, 'd>> {
        let relocs = SectionRelocs::collect(elf)?;
        let placed = vec![None; functions.list.len()];
        Ok(Linker {
            elf,
            functions,
            notes,
            types,
            resolver,
            relocs,
            placed,
            touched: Vec::new(),
            budget: MOST,
        })
    }

    /// Links the program that is this function.
    pub fn link(&mut self, index: usize) -> Result<ProgramSpec> {
        let functions = self.functions;
        let Some(func) = functions.list.get(index) else {
            return Err(Error::Elf { what: format!("there is no function {index}") });
        };
        let mut program = self.spec(func);
        for index in self.touched.drain(..) {
            if let Some(place) = self.placed.get_mut(index) {
                *place = None;
            }
        }
        self.append(&mut program, index, func)?;
        self.follow(&mut program, index, func)?;
        if let Some(callback) = self.exception_callback(&program, func)?
            && let Some(func) = functions.list.get(callback)
            && self.placed.get(callback).copied().flatten().is_none()
        {
            self.append(&mut program, callback, func)?;
            self.follow(&mut program, callback, func)?;
        }
        program.relocs.sort_by_key(|reloc| reloc.insn);
        Ok(program)
    }

    fn spec(&self, func: &Func<'_>) -> ProgramSpec {
        let section = self.elf.section_name(func.section);
        let (name, autoload) = match section.strip_prefix('?') {
            Some(name) => (name, false),
            None => (section, true),
        };
        let info = section_info(name).unwrap_or(SectionInfo {
            name: "",
            prog_type: UNKNOWN,
            attach_type: None,
            attach_type_optional: false,
            flags: ProgFlags::empty(),
            attach: AttachTarget::None,
        });
        let mut program = ProgramSpec::new(func.name, info.prog_type, Vec::new());
        program.section = name.to_owned();
        program.expected_attach_type = info.attach_type;
        program.attach_type_optional = info.attach_type_optional;
        program.flags = info.flags;
        program.attach = info.attach;
        program.autoload = autoload;
        program
    }

    /// Puts a function behind what the program has, with what is noted about its instructions.
    fn append(&mut self, program: &mut ProgramSpec, index: usize, func: &Func<'_>) -> Result<()> {
        let start = program.insns.len();
        if let Some(place) = self.placed.get_mut(index) {
            *place = Some(start);
            self.touched.push(index);
        }
        let Some(notes) = self.notes.get(func.section) else { return Ok(()) };
        let (lines, core) = (notes.lines(func.start, func.len), notes.core(func.start, func.len));
        let relocs =
            self.relocs.get(func.section).map_or(0, |relocs| relocs.within(func.start, func.len).len());
        self.spend(program, func.len + lines.len() + core.len() + relocs + func.name.len() / 8)?;
        program.insns.extend(func.insns(self.elf.endian));
        // Offsets of records are bytes of the section.
        let place = |offset: u32| (offset / 8) as usize - func.start + start;
        let info = notes.funcs(func.start, func.len).first().filter(|info| place(info.insn_off) == start);
        program.funcs.push(FuncSpec {
            name: func.name.to_owned(),
            insn: start,
            type_id: info.map(|info| info.type_id),
        });
        program.lines.extend(lines.iter().map(|line| LineSpec {
            insn: place(line.insn_off),
            file_name_off: line.file_name_off,
            line_off: line.line_off,
            line_col: line.line_col,
        }));
        for relo in core {
            let access = self.types.and_then(|types| types.btf.string(relo.access_str_off));
            let access = access.ok_or_else(|| Error::Program {
                program: program.name.clone(),
                insn: Some(place(relo.insn_off)),
                what: "the path of its CO-RE relocation is not in the types' strings; compile it again"
                    .to_owned(),
            })?;
            self.spend(program, access.len() / 8)?;
            program.core.push(CoreRelo {
                insn: place(relo.insn_off),
                kind: relo.kind,
                type_id: relo.type_id,
                access: access.to_owned(),
            });
        }
        Ok(())
    }

    /// Takes from what all programs together may have.
    fn spend(&mut self, program: &ProgramSpec, words: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(words).ok_or_else(|| Error::Program {
            program: program.name.clone(),
            insn: None,
            what: format!(
                "the object's programs have more than {MOST} instructions, lines and relocations in all; split it"
            ),
        })?;
        Ok(())
    }

    /// Goes through the instructions of a function that was appended: whatever function it names is appended when it is
    /// met first, and then gone through before the rest. That order is libbpf's.
    fn follow(&mut self, program: &mut ProgramSpec, index: usize, func: &Func<'_>) -> Result<()> {
        let start = program.insns.len() - func.len;
        let mut stack = vec![Frame { func: index, start, next: 0 }];
        let functions = self.functions;
        while let Some(frame) = stack.last_mut() {
            let Some(func) = functions.list.get(frame.func) else { break };
            if frame.next >= func.len {
                stack.pop();
                continue;
            }
            let at = frame.start + frame.next;
            let offset = frame.next;
            frame.next += 1;
            let Some(insn) = program.insns.get(at).copied() else { break };
            let call = insn.opcode == CALL && insn.src().number() == PSEUDO_CALL;
            let wide = insn.opcode == LD_IMM64;
            let rel =
                self.relocs.get(func.section).and_then(|relocs| relocs.at(func.start + offset)).copied();
            let target = match rel {
                Some(rel) => {
                    let second =
                        if offset + 1 < func.len { program.insns.get(at + 1).copied() } else { None };
                    Some(self.resolver.resolve(func, &rel, insn, second)?)
                }
                // Functions that are seen in their file only are called without a relocation.
                None if call || (wide && insn.src().number() == PSEUDO_FUNC) => {
                    let place = (func.start + offset) as i64 + i64::from(insn.imm) + 1;
                    let insn = usize::try_from(place).map_err(|_| no_function(program, at, func, place))?;
                    Some(Target::Func { section: func.section, insn })
                }
                None => None,
            };
            if wide {
                frame.next += 1;
            }
            match target {
                None => {}
                Some(Target::Load(kind)) => program.relocs.push(Reloc { insn: at, kind }),
                Some(Target::Func { section, insn: place }) => {
                    let index = functions
                        .starting_at(section, place)
                        .ok_or_else(|| no_function(program, at, func, place as i64))?;
                    let known = self.placed.get(index).copied().flatten();
                    let begin = known.unwrap_or(program.insns.len());
                    if known.is_none()
                        && let Some(func) = functions.list.get(index)
                    {
                        self.append(program, index, func)?;
                        stack.push(Frame { func: index, start: begin, next: 0 });
                    }
                    if let Some(insn) = program.insns.get_mut(at) {
                        patch(insn, at, begin);
                    }
                }
            }
        }
        Ok(())
    }

    /// The function that a declaration tag on the program names as the one to call for exceptions. Of several the first:
    /// the kernel refuses such a program, and says so.
    fn exception_callback(&self, program: &ProgramSpec, func: &Func<'_>) -> Result<Option<usize>> {
        let Some(types) = self.types else { return Ok(None) };
        let id = program.funcs.first().and_then(|func| func.type_id);
        let Some(id) = id.or_else(|| types.functions.get(func.name).copied()) else { return Ok(None) };
        let tags = types.tags.get(&id).map_or(&[][..], Vec::as_slice);
        let mut names = tags.iter().filter_map(|tag| tag.strip_prefix("exception_callback:"));
        let Some(name) = names.next() else { return Ok(None) };
        let bad = |what: String| Error::Program { program: program.name.clone(), insn: None, what };
        let found = self
            .functions
            .list
            .iter()
            .position(|func| func.name == name && self.functions.is_subprogram(func));
        match found {
            Some(index) => Ok(Some(index)),
            None => Err(bad(format!(
                "the exception callback `{name}` is no function of `.text`; define it there"
            ))),
        }
    }
}

/// Makes a call or an address go to the function that begins at `to`.
fn patch(insn: &mut Insn, at: usize, to: usize) {
    // Less than MOST, so that both fit.
    insn.imm = (to as i64 - at as i64 - 1) as i32;
    if insn.opcode == LD_IMM64 {
        *insn = Insn::new(insn.opcode, insn.dst().number(), PSEUDO_FUNC, insn.off, insn.imm);
    }
}

fn no_function(program: &ProgramSpec, insn: usize, func: &Func<'_>, place: i64) -> Error {
    Error::Program {
        program: program.name.clone(),
        insn: Some(insn),
        what: format!(
            "`{}` needs the function at instruction {place} of its section, where none begins; compile it again",
            func.name
        ),
    }
}
