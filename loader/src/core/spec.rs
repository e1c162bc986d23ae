//! Access strings: from `0:1:3` to a path of members and array elements.

use super::names::{is_enum, kind_word};
use btf::ext::CoreReloKind;
use btf::{Array, Btf, Kind, Member, Type, TypeId};
use std::fmt::Write;

/// Longest path that is followed, as in libbpf.
pub(crate) const MAX_STEPS: usize = 64;

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'d> {
    /// The struct or union of a member, the element type of an array, the enumeration of an enumerator.
    pub type_id: TypeId,
    /// Index of the member, element or enumerator.
    pub index: u32,
    /// Name of the member or enumerator; `None` for an array's element.
    pub name: Option<&'d str>,
}

/// A path into a type, with where it ends.
#[derive(Clone, Debug)]
pub(crate) struct Spec<'b, 'd> {
    pub btf: &'b Btf<'d>,
    pub root: TypeId,
    pub steps: Vec<Step<'d>>,
    /// Bits from the start of the root type.
    pub bit_offset: u64,
}

/// What a kind of relocation asks about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asks {
    Field,
    Type,
    Enumerator,
}

pub(crate) fn asks(kind: CoreReloKind) -> Asks {
    use CoreReloKind::*;
    match kind {
        TypeIdLocal | TypeIdTarget | TypeExists | TypeSize | TypeMatches => Asks::Type,
        EnumvalExists | EnumvalValue => Asks::Enumerator,
        _ => Asks::Field,
    }
}

/// The member with this index.
pub(crate) fn member<'d>(ty: &Type<'d>, index: u32) -> Option<Member<'d>> {
    ty.members().nth(index as usize)
}

/// Whether elements beyond an array's length may be meant: it has none, and is the last member of its struct.
pub(crate) fn is_flexible(btf: &Btf<'_>, parent: Option<&Step<'_>>, array: &Array) -> bool {
    let Some(parent) = parent.filter(|step| step.name.is_some() && array.len == 0) else { return false };
    btf.type_by_id(parent.type_id).is_some_and(|ty| parent.index as usize + 1 == ty.len())
}

impl<'b, 'd> Spec<'b, 'd> {
    /// Reads the path that the compiler wrote into the object.
    ///
    /// The error says what is wrong with it.
    pub fn parse(btf: &'b Btf<'d>, root: TypeId, access: &str, asks: Asks) -> Result<Spec<'b, 'd>, String> {
        let mut numbers = Vec::new();
        for part in access.split(':') {
            let number: u32 =
                part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(
                    || format!("the access string `{access}` is not made of numbers and colons"),
                )?;
            if numbers.len() == MAX_STEPS {
                return Err(format!("the access string goes more than {MAX_STEPS} levels deep"));
            }
            numbers.push(number);
        }
        let first = numbers.first().copied().unwrap_or(0);
        let mut spec = Spec { btf, root, steps: Vec::with_capacity(numbers.len()), bit_offset: 0 };
        if asks == Asks::Type {
            return match &*numbers {
                [0] => Ok(spec),
                _ => Err(format!("the access string of a whole type must be `0`, not `{access}`")),
            };
        }
        let (mut id, ty) = btf
            .resolve(root)
            .ok_or_else(|| format!("type {} is not in the object's BTF, or is a cycle", root.0))?;
        if asks == Asks::Enumerator {
            let value = ty.enumerators().nth(first as usize).filter(|_| numbers.len() == 1);
            let value = value.ok_or_else(|| format!("`{access}` is no enumerator of type {}", root.0))?;
            spec.steps.push(Step { type_id: id, index: first, name: Some(value.name) });
            return Ok(spec);
        }
        spec.steps.push(Step { type_id: id, index: first, name: None });
        spec.skip_elements(id, first)?;
        for &index in numbers.iter().skip(1) {
            let ty = btf
                .resolve(id)
                .map(|(resolved, ty)| {
                    id = resolved;
                    ty
                })
                .ok_or_else(|| format!("type {} is not in the object's BTF, or is a cycle", id.0))?;
            if ty.kind().is_composite() {
                let member = member(&ty, index).ok_or_else(|| {
                    format!("`{access}` asks for member {index} of {}, which has {}", words(&ty), ty.len())
                })?;
                spec.advance(u64::from(member.bit_offset))?;
                if !member.name.is_empty() {
                    spec.steps.push(Step { type_id: id, index, name: Some(member.name) });
                }
                id = member.type_id;
            } else if let Some(array) = ty.array() {
                if index >= array.len && !is_flexible(btf, spec.steps.last(), &array) {
                    return Err(format!("`{access}` asks for element {index} of an array of {}", array.len));
                }
                id = btf
                    .resolve(array.element)
                    .ok_or_else(|| format!("type {} is not in the object's BTF", array.element.0))?
                    .0;
                spec.steps.push(Step { type_id: id, index, name: None });
                spec.skip_elements(id, index)?;
            } else {
                return Err(format!("`{access}` goes into type {}, which has no members", id.0));
            }
        }
        Ok(spec)
    }

    /// Moves on by so many bits.
    pub fn advance(&mut self, bits: u64) -> Result<(), String> {
        self.bit_offset = self
            .bit_offset
            .checked_add(bits)
            .filter(|bits| *bits < 1 << 40)
            .ok_or("the access goes beyond what any type can hold")?;
        Ok(())
    }

    /// Moves on by so many elements.
    pub fn skip_elements(&mut self, element: TypeId, index: u32) -> Result<(), String> {
        let size = self.btf.size_of(element).ok_or_else(|| {
            format!("type {} has no size, so it cannot be the element of an array", element.0)
        })?;
        let bits = u64::from(index).checked_mul(size).and_then(|bytes| bytes.checked_mul(8));
        self.advance(bits.ok_or("the access goes beyond what any type can hold")?)
    }

    /// The path in C's words: `struct task_struct.comm[3]`, `enum x::VALUE`.
    pub fn words(&self) -> String {
        let Some(ty) = self.btf.type_by_id(self.root) else { return format!("type {}", self.root.0) };
        let mut text = words(&ty);
        let enumeration = self.steps.first().and_then(|step| self.btf.type_by_id(step.type_id));
        let enumeration = enumeration.is_some_and(|ty| is_enum(ty.kind()));
        for (level, step) in self.steps.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = match step.name {
                Some(name) if enumeration => write!(text, "::{name}"),
                Some(name) => write!(text, ".{name}"),
                None if level == 0 && step.index == 0 => Ok(()),
                None => write!(text, "[{}]", step.index),
            };
        }
        text
    }
}

/// A type in C's words, such as `struct sock`.
pub(crate) fn words(ty: &Type<'_>) -> String {
    let name = match ty.name() {
        "" if ty.kind() == Kind::Ptr => "pointer",
        "" if ty.kind() == Kind::Array => "array",
        "" if ty.kind() == Kind::FuncProto => "function",
        "" if ty.kind() == Kind::Void => "void",
        "" => "(anonymous)",
        name => name,
    };
    format!("{}{name}", kind_word(ty.kind()))
}
