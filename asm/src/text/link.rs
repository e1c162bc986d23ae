//! What names mean, once the whole text is read.

use super::error::Fail;
use super::operand::Target;
use super::statement::{Fixup, Text, Want};
use super::{AsmFunc, KfuncCall};
use crate::opcode::{JA, JMP, JMP32};
use crate::{Helper, Insn, MapRef, MapUse};

/// Words of the language that begin the right side of an assignment.
const VALUES: &[&str] = &[
    "be16",
    "be32",
    "be64",
    "le16",
    "le32",
    "le64",
    "bswap16",
    "bswap32",
    "bswap64",
    "call",
    "addr_space_cast",
    "load_acquire",
    "atomic_fetch_add",
    "atomic64_fetch_add",
    "atomic_xchg",
    "atomic64_xchg",
    "atomic_cmpxchg",
    "atomic64_cmpxchg",
];

impl<'a> Text<'a> {
    /// Fills in everything that was left open.
    pub fn link(&mut self) {
        for (map, name, at) in std::mem::take(&mut self.inner) {
            match self.maps.get(name) {
                Some(inner) => {
                    if let Some(map) = self.out.maps.get_mut(map) {
                        map.inner = Some(*inner);
                    }
                }
                None => {
                    let near = self.near(name, self.maps.keys().copied());
                    self.fail(Fail::new(at, name.len(), format!("no map `{name}`")).maybe(near));
                }
            }
        }
        for fixup in std::mem::take(&mut self.fixups) {
            if let Err(fail) = self.fix(&fixup) {
                self.fail(fail);
            }
        }
        self.out.funcs.sort_by_key(|func| func.insn);
        // A function that nothing follows would be none.
        if let Some(AsmFunc { name, .. }) =
            self.out.funcs.iter().find(|func| func.insn >= self.out.program.insns.len())
        {
            let at = self.labels.get(name.as_str()).map_or(0, |(_, at)| *at);
            let fail = Fail::new(at, name.len(), format!("function `{name}` has no instructions"));
            self.fail(fail.hint("write them below the directive"));
        }
    }

    fn fix(&mut self, fixup: &Fixup<'a>) -> Result<(), Fail> {
        match fixup.want {
            Want::Call(name) => self.fix_call(fixup, name),
            Want::Symbol { name, value } => self.fix_symbol(fixup, name, value),
            Want::Near(target) => {
                let off = self.distance(fixup, target)?;
                let off = i16::try_from(off).map_err(|_| {
                    too_far(fixup, off, 16).hint("jump to a `gotol` that is nearer, and from there")
                })?;
                self.patch(fixup, |word| word.off = off);
                Ok(())
            }
            Want::Goto(target) => {
                let off = self.distance(fixup, target)?;
                match (i16::try_from(off), i32::try_from(off)) {
                    (Ok(off), _) => self.patch(fixup, |word| {
                        word.opcode = JMP | JA;
                        word.off = off;
                    }),
                    // The long jump is no longer than the short one.
                    (_, Ok(imm)) if target.off().is_none() => self.patch(fixup, |word| {
                        word.opcode = JMP32 | JA;
                        word.imm = imm;
                    }),
                    _ => return Err(too_far(fixup, off, 16).hint("write gotol")),
                }
                Ok(())
            }
            Want::Long(target) => {
                let off = self.distance(fixup, target)?;
                let imm = i32::try_from(off).map_err(|_| too_far(fixup, off, 32))?;
                self.patch(fixup, |word| word.imm = imm);
                Ok(())
            }
        }
    }

    fn patch(&mut self, fixup: &Fixup<'a>, change: impl FnOnce(&mut Insn)) {
        if let Some(word) = self.out.program.insns.get_mut(fixup.insn) {
            change(word);
        }
    }

    /// Words from the instruction behind this one to its target.
    fn distance(&self, fixup: &Fixup<'a>, target: Target<'a>) -> Result<i64, Fail> {
        let to = match target {
            Target::Off(off) => return Ok(off),
            Target::Label(name) => match self.labels.get(name) {
                Some((insn, _)) => *insn,
                None => {
                    let near = self.near(name, self.labels.keys().copied());
                    return Err(Fail::new(fixup.at, fixup.len, format!("no label `{name}`")).maybe(near));
                }
            },
            Target::Number(number, forward) => {
                let places = self.numbers.get(&number).map_or(&[][..], Vec::as_slice);
                // Those at the jump itself are before it.
                let split = places.partition_point(|place| *place <= fixup.insn);
                let found = if forward {
                    places.get(split)
                } else {
                    split.checked_sub(1).and_then(|n| places.get(n))
                };
                match found {
                    Some(place) => *place,
                    None => {
                        let (side, other) = if forward { ("below", 'b') } else { ("above", 'f') };
                        let fail = Fail::new(fixup.at, fixup.len, format!("no label {number} {side}"));
                        return Err(match places.is_empty() {
                            true => fail,
                            false => fail.hint(format!("there is one on the other side: {number}{other}")),
                        });
                    }
                }
            }
        };
        Ok(to as i64 - fixup.insn as i64 - 1)
    }

    /// A name that is called: a label of the text before a helper, and a helper before a kernel function.
    fn fix_call(&mut self, fixup: &Fixup<'a>, name: &'a str) -> Result<(), Fail> {
        if self.labels.contains_key(name) {
            let off = self.distance(fixup, Target::Label(name))?;
            let imm = i32::try_from(off).map_err(|_| too_far(fixup, off, 32))?;
            self.patch(fixup, |word| word.imm = imm);
            return Ok(());
        }
        if self.kfuncs.contains(&name) {
            self.patch(fixup, |word| *word = Insn::new(word.opcode, 0, 2, 0, 0));
            self.out.kfuncs.push(KfuncCall { insn: fixup.insn, name: name.to_owned() });
            return Ok(());
        }
        if let Some(helper) = Helper::by_name(name) {
            self.patch(fixup, |word| *word = Insn::new(word.opcode, 0, 0, 0, helper.0 as i32));
            return Ok(());
        }
        let mut known: Vec<&str> = Vec::new();
        known.extend(Helper::all().filter_map(|helper| -> Option<&str> { helper.name() }));
        known.extend(self.labels.keys());
        known.extend(&self.kfuncs);
        known.extend(Helper::all().filter_map(|helper| -> Option<&str> { helper.short_name() }));
        let near = self.near(name, known);
        let fail = Fail::new(fixup.at, fixup.len, format!("no function or helper `{name}`"));
        Err(match near {
            Some(near) => fail.hint(near),
            None => fail.hint(format!("kernel functions are declared: .kfunc {name}")),
        })
    }

    fn fix_symbol(&mut self, fixup: &Fixup<'a>, name: &'a str, value: Option<u32>) -> Result<(), Fail> {
        let insn = fixup.insn;
        if let Some(map) = self.maps.get(name) {
            let map = *map as u32;
            let is_data = self.out.maps.get(map as usize).is_some_and(|m| m.kind != super::AsmMapKind::Map);
            let in_brackets = self.c.text.as_bytes().get(fixup.at.wrapping_sub(1)) == Some(&b'[');
            // The name of data stands for its first byte, except where the map itself is named.
            let value = value.or(if is_data && !in_brackets { Some(0) } else { None });
            if let Some(word) = self.out.program.insns.get_mut(insn) {
                let kind = if value.is_some() { 2 } else { 1 };
                *word = Insn::new(word.opcode, word.dst().number(), kind, 0, map as i32);
            }
            if let Some(word) = self.out.program.insns.get_mut(insn + 1) {
                word.imm = value.unwrap_or(0) as i32;
            }
            // In the order of the instructions, since fixups are.
            self.out.program.map_refs.push(MapUse { insn, map: MapRef(map) });
            return Ok(());
        }
        if value.unwrap_or(0) == 0 && self.labels.contains_key(name) {
            let off = self.distance(fixup, Target::Label(name))?;
            let imm = i32::try_from(off).map_err(|_| too_far(fixup, off, 32))?;
            self.patch(fixup, |word| *word = Insn::new(word.opcode, word.dst().number(), 4, 0, imm));
            return Ok(());
        }
        let mut known: Vec<&str> = self.maps.keys().copied().collect();
        known.extend(self.labels.keys());
        known.extend(self.constants.keys());
        known.extend(VALUES);
        let near = self.near(name, known);
        let fail = Fail::new(fixup.at, fixup.len, format!("no map, data or function `{name}`"));
        Err(match near {
            Some(near) => fail.hint(near),
            None => fail.hint(format!("declare it: .map {name} type=hash key=4 value=8 entries=16")),
        })
    }
}

fn too_far(fixup: &Fixup<'_>, off: i64, bits: u32) -> Fail {
    Fail::new(
        fixup.at,
        fixup.len,
        format!("the target is {off} instructions away, more than {bits} bits hold"),
    )
}
