//! CO-RE: finding what the compiler saw in the types of another kernel.
//!
//! The compiler notes for an instruction that its value comes from a type: the offset of a member, the size of a struct,
//! whether an enumerator exists (`Documentation/bpf/llvm_reloc.rst`). [`Relocator`] finds that type in a [`Target`] by
//! its name without flavour (`task_struct___old` is `task_struct`), follows the path of members by their names, and gives
//! the value there. Rules for which types and members may stand for each other are libbpf's:
//!
//! - candidates are the target's types of the same essential name and kind, first among the kernel's own types, and
//!   among those of modules only where the kernel has none;
//! - several candidates are fine as long as all that have what is asked for agree on the answer;
//! - what nobody has is an answer for "exists" and "size of a type" (0), and poisons the instruction otherwise;
//! - the size of a load or store follows the target's field where that is unsigned or a pointer on both sides.

mod compat;
mod find;
pub(crate) mod names;
mod patch;
mod spec;
mod value;

use crate::spec::CoreRelo;
use crate::target::Target;
use asm::Insn;
use btf::ext::CoreReloKind;
use btf::{Btf, Kind, TypeId, essential_name};
use find::Miss;
use names::Flavours;
pub(crate) use patch::poison;
use patch::{Change, Patched};
use spec::{Spec, asks, words};
use std::collections::HashMap;
use value::Side;

/// A type of the target that may be the one meant.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    btf: &'a Btf<'a>,
    id: TypeId,
    /// Index into the target's modules.
    module: Option<usize>,
}

/// What a relocation comes to in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The value for the instruction.
    Value(u64),
    /// Nothing has what is asked for: the instruction is to be poisoned. Says why, in words.
    Poison(String),
}

/// All that is known of a relocation.
#[derive(Clone, Debug)]
struct Outcome {
    answer: Answer,
    change: Change,
}

/// Relocates instructions of one object against one target; what it has found out it keeps.
pub struct Relocator<'r, 'l, 'a> {
    local: &'r Btf<'l>,
    target: &'r Target<'a>,
    core: Option<&'a Btf<'a>>,
    /// By root type: those left of them, as each relocation rules some out for the next.
    candidates: HashMap<TypeId, Vec<Candidate<'a>>>,
    outcomes: HashMap<(TypeId, CoreReloKind), HashMap<String, Result<Outcome, String>>>,
    module_flavours: Vec<Flavours<'a>>,
}

impl<'r, 'l, 'a> Relocator<'r, 'l, 'a> {
    /// A relocator for an object with these types.
    ///
    /// # Errors
    ///
    /// When the target's types are there and cannot be read.
    pub fn new(local: &'r Btf<'l>, target: &'r Target<'a>) -> crate::Result<Relocator<'r, 'l, 'a>> {
        Ok(Relocator {
            local,
            target,
            core: target.core_btf()?,
            candidates: HashMap::new(),
            outcomes: HashMap::new(),
            module_flavours: Vec::new(),
        })
    }

    /// What a relocation comes to, without an instruction to put it into.
    ///
    /// # Errors
    ///
    /// In words: a damaged access string or type, a question that has no answer (the shift of an array's element), a
    /// target without types, or candidates that disagree.
    pub fn resolve(&mut self, relo: &CoreRelo) -> Result<Answer, String> {
        self.outcome(relo).map(|outcome| outcome.answer)
    }

    /// Relocates the instruction that `relo` stands at. Answers with the note for
    /// [`ProgramSpec::poisoned`](crate::ProgramSpec::poisoned), where it had to be poisoned.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve), and when the instruction cannot take the value.
    pub fn apply(&mut self, insns: &mut [Insn], relo: &CoreRelo) -> Result<Option<String>, String> {
        let outcome = self.outcome(relo)?;
        let why = match outcome.answer {
            Answer::Poison(why) => why,
            Answer::Value(_) => {
                match patch::patch(insns, relo.insn, &outcome.change)
                    .map_err(|what| self.about(relo, &what))?
                {
                    Patched::Done => return Ok(None),
                    Patched::WrongAccess => {
                        let (from, to) = outcome.change.resize.unwrap_or_default();
                        self.about(
                            relo,
                            &format!(
                                "a field of {from} bytes is one of {to} bytes (0: a bit field) in the target, and a load \
                                 of that size would give another value; only pointers and unsigned integers can be \
                                 resized: read it with BPF_CORE_READ_BITFIELD() or bpf_core_read()"
                            ),
                        )
                    }
                }
            }
        };
        poison(insns, relo.insn);
        Ok(Some(why))
    }

    fn outcome(&mut self, relo: &CoreRelo) -> Result<Outcome, String> {
        if let Some(known) =
            self.outcomes.get(&(relo.type_id, relo.kind)).and_then(|known| known.get(&*relo.access))
        {
            return known.clone();
        }
        let outcome = self.work_out(relo);
        let known = self.outcomes.entry((relo.type_id, relo.kind)).or_default();
        known.insert(relo.access.clone(), outcome.clone());
        outcome
    }

    fn about(&self, relo: &CoreRelo, what: &str) -> String {
        let path = match Spec::parse(self.local, relo.type_id, &relo.access, asks(relo.kind)) {
            Ok(spec) => spec.words(),
            Err(_) => {
                let ty = self.local.type_by_id(relo.type_id);
                ty.map_or_else(|| format!("type {}", relo.type_id.0), |ty| words(&ty))
            }
        };
        format!("{path} ({} {}): {what}", question(relo.kind), relo.access)
    }

    fn work_out(&mut self, relo: &CoreRelo) -> Result<Outcome, String> {
        let local = Spec::parse(self.local, relo.type_id, &relo.access, asks(relo.kind))
            .map_err(|what| self.about(relo, &format!("{what}; the object is damaged, compile it again")))?;
        self.search(relo, &local).map_err(|what| self.about(relo, &what))
    }

    fn search(&mut self, relo: &CoreRelo, local: &Spec<'_, '_>) -> Result<Outcome, String> {
        if relo.kind == CoreReloKind::TypeIdLocal {
            let side = value::value(relo.kind, Some(local))?.unwrap_or_default();
            return Ok(self.settle(relo, side, Some(side), None, String::new()));
        }
        let ty = self.local.type_by_id(relo.type_id).ok_or("the type is not in the object's BTF")?;
        let (name, kind) = (essential_name(ty.name()), ty.kind());
        if name.is_empty() {
            return Err("types without a name cannot be found in a target; give it a name".to_owned());
        }
        let own = value::value(relo.kind, Some(local))?.unwrap_or_default();
        let mut candidates = match self.candidates.remove(&relo.type_id) {
            Some(known) => known,
            None => self.find_candidates(name, kind)?,
        };
        let found = self.agree(relo, local, &mut candidates);
        let none = candidates.is_empty();
        self.candidates.insert(relo.type_id, candidates);
        match found? {
            Ok((side, btf)) => Ok(self.settle(relo, own, side, Some(btf), String::new())),
            Err(why) => {
                let why = if none { format!("no {} in the target", words_of(name, kind)) } else { why };
                Ok(self.settle(relo, own, value::value(relo.kind, None)?, None, why))
            }
        }
    }

    /// What all candidates say that have what is asked for; or, in words, why none has it. Those that have it are all
    /// that is left of them then.
    #[allow(clippy::type_complexity)]
    fn agree(
        &self,
        relo: &CoreRelo,
        local: &Spec<'_, '_>,
        candidates: &mut Vec<Candidate<'a>>,
    ) -> Result<Result<(Option<Side>, &'a Btf<'a>), String>, String> {
        let mut first: Option<(Candidate<'a>, Spec<'a, 'a>, Option<Side>)> = None;
        let mut having = Vec::new();
        let mut why = String::new();
        for &candidate in candidates.iter() {
            let spec = match find::find(local, relo.kind, candidate.btf, candidate.id) {
                Ok(spec) => spec,
                Err(Miss::Lacks(what)) => {
                    if why.is_empty() {
                        why = what;
                    }
                    continue;
                }
                Err(Miss::Damaged(what)) => return Err(what),
            };
            let side = value::value(relo.kind, Some(&spec))?;
            having.push(candidate);
            let Some((other, other_spec, other_side)) = &first else {
                first = Some((candidate, spec, side));
                continue;
            };
            let value = |side: &Option<Side>| side.map(|side| side.value);
            if spec.bit_offset != other_spec.bit_offset || value(&side) != value(other_side) {
                let say = |candidate: &Candidate<'_>, spec: &Spec<'_, '_>, side: &Option<Side>| {
                    let place = self.place(candidate);
                    let value = value(side).map_or_else(|| "nothing".to_owned(), |value| value.to_string());
                    match asks(relo.kind) {
                        spec::Asks::Field => {
                            format!("{value} (bit {}) by type {} of {place}", spec.bit_offset, candidate.id.0)
                        }
                        _ => format!("{value} by type {} of {place}", candidate.id.0),
                    }
                };
                return Err(format!(
                    "the target has several such types, and they disagree: {}, {}; ask for something that only one of \
                     them has, or give a BTF file in which the type is unambiguous",
                    say(other, other_spec, other_side),
                    say(&candidate, &spec, &side)
                ));
            }
        }
        match first {
            Some((candidate, _, side)) => {
                *candidates = having;
                Ok(Ok((side, candidate.btf)))
            }
            None => Ok(Err(why)),
        }
    }

    fn place(&self, candidate: &Candidate<'_>) -> String {
        let module = candidate.module.and_then(|index| self.target.core_modules().ok()?.get(index));
        module.map_or_else(|| "the kernel".to_owned(), |module| format!("module `{}`", module.name))
    }

    fn find_candidates(&mut self, name: &str, kind: Kind) -> Result<Vec<Candidate<'a>>, String> {
        let core = self.core.ok_or(
            "the kernel has no types (no /sys/kernel/btf/vmlinux, and no vmlinux with a .BTF section): it needs \
             CONFIG_DEBUG_INFO_BTF, or give a BTF file made for it (--btf)",
        )?;
        let found = names::candidates(core, self.target.flavours(core), name, kind);
        if !found.is_empty() {
            return Ok(found.into_iter().map(|id| Candidate { btf: core, id, module: None }).collect());
        }
        let modules = self.target.core_modules().map_err(|error| error.to_string())?;
        let mut candidates = Vec::new();
        for (index, module) in modules.iter().enumerate() {
            if self.module_flavours.len() == index {
                self.module_flavours.push(Flavours::of(module.btf));
            }
            let Some(flavours) = self.module_flavours.get(index) else { continue };
            let found = names::candidates(module.btf, flavours, name, kind);
            let module_types =
                found.into_iter().map(|id| Candidate { btf: module.btf, id, module: Some(index) });
            candidates.extend(module_types);
        }
        Ok(candidates)
    }

    /// Puts both sides together.
    fn settle(
        &self,
        relo: &CoreRelo,
        own: Side,
        side: Option<Side>,
        target: Option<&Btf<'_>>,
        why: String,
    ) -> Outcome {
        let other = side.unwrap_or_default();
        let (from, to) = (own.access, other.access);
        let bytes = |access: Option<(u64, TypeId)>| access.map_or(0, |(bytes, _)| bytes);
        let resize = (side.is_some() && bytes(from) != bytes(to)).then(|| (bytes(from), bytes(to)));
        let keeps_value = resize.is_none() || target.is_some_and(|target| self.keeps_value(from, target, to));
        let change = Change {
            expect: own.checked.then_some(own.value),
            value: other.value,
            resize,
            resize_changes_value: !keeps_value,
        };
        let answer = match side {
            Some(side) => Answer::Value(side.value),
            None => Answer::Poison(self.about(relo, &why)),
        };
        Outcome { answer, change }
    }

    /// Whether a load of the target's size, zero-extended, has the value that the program means.
    fn keeps_value(&self, from: Option<(u64, TypeId)>, target: &Btf<'_>, to: Option<(u64, TypeId)>) -> bool {
        let types = from
            .zip(to)
            .and_then(|((_, from), (_, to))| Some((self.local.resolve(from)?.1, target.resolve(to)?.1)));
        types.is_some_and(|(from, to)| match (from.kind(), to.kind()) {
            (Kind::Ptr, Kind::Ptr) => true,
            (Kind::Int, Kind::Int) => !from.is_signed() && !to.is_signed(),
            _ => false,
        })
    }
}

/// Whether a type of the target is the kind of thing that the object declares, as for "type exists".
pub(crate) fn types_agree(
    local: &Btf<'_>,
    local_id: TypeId,
    target: &Btf<'_>,
    target_id: TypeId,
) -> Result<bool, String> {
    compat::Compare::new(local, target).types(local_id, target_id)
}

fn words_of(name: &str, kind: Kind) -> String {
    let word = match kind {
        Kind::Typedef => "typedef ",
        kind => names::kind_word(kind),
    };
    format!("{word}{name}")
}

/// What a kind of relocation asks, in words.
fn question(kind: CoreReloKind) -> &'static str {
    use CoreReloKind::*;
    match kind {
        FieldByteOffset => "offset",
        FieldByteSize => "size",
        FieldExists => "exists",
        FieldSigned => "signedness",
        FieldLshiftU64 => "left shift",
        FieldRshiftU64 => "right shift",
        TypeIdLocal => "type id here",
        TypeIdTarget => "type id in the target",
        TypeExists => "type exists",
        TypeSize => "size of type",
        EnumvalExists => "enumerator exists",
        EnumvalValue => "value of enumerator",
        TypeMatches => "type matches",
    }
}
