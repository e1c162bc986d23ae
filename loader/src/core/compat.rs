//! When a type of the target is what the object means.

use super::names::{is_enum, kinds_fit, same_essential};
use btf::{Btf, Kind, Type, TypeId};

/// Deepest nesting of types that is compared, as in libbpf.
const MAX_DEPTH: u32 = 32;

/// Types, members and enumerators looked at in one comparison. Damaged data may nest so that their number grows exponentially.
const MAX_VISITED: u32 = 1 << 20;

/// What makes a comparison impossible.
const TOO_DEEP: &str = "the types are nested too deep to be compared, or in a cycle";

/// Two sides of a comparison: the object's types and the target's.
pub(crate) struct Compare<'c, 'l, 't> {
    local: &'c Btf<'l>,
    target: &'c Btf<'t>,
    left: u32,
}

/// Whether two types agree; the error is for those that cannot be compared.
type Agree = Result<bool, String>;

impl<'c, 'l, 't> Compare<'c, 'l, 't> {
    pub fn new(local: &'c Btf<'l>, target: &'c Btf<'t>) -> Compare<'c, 'l, 't> {
        Compare { local, target, left: MAX_VISITED }
    }

    fn both(&mut self, local: TypeId, target: TypeId) -> Result<(Type<'l>, Type<'t>), String> {
        self.left = self.left.checked_sub(1).ok_or(TOO_DEEP)?;
        let missing = |side, id: TypeId| format!("type {} of {side} does not exist, or is a cycle", id.0);
        let (_, one) = self.local.resolve(local).ok_or_else(|| missing("the object", local))?;
        let (_, other) = self.target.resolve(target).ok_or_else(|| missing("the target", target))?;
        Ok((one, other))
    }

    /// Whether a member of the target's type can be read where the object has one of the local type: any struct or union
    /// for any, integers of any size, pointers to anything, enumerations and forward declarations of one name (or none),
    /// arrays by their elements.
    pub fn fields(&mut self, local: TypeId, target: TypeId) -> Agree {
        let (mut local, mut target) = (local, target);
        loop {
            let (one, other) = self.both(local, target)?;
            if one.kind().is_composite() && other.kind().is_composite() {
                return Ok(true);
            }
            if !kinds_fit(one.kind(), other.kind()) {
                return Ok(false);
            }
            return Ok(match one.kind() {
                Kind::Ptr | Kind::Float => true,
                Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                    one.name().is_empty()
                        || other.name().is_empty()
                        || same_essential(one.name(), other.name())
                }
                Kind::Int => plain_ints(&one, &other),
                Kind::Array => {
                    let (Some(one), Some(other)) = (one.array(), other.array()) else { return Ok(false) };
                    (local, target) = (one.element, other.element);
                    continue;
                }
                _ => false,
            });
        }
    }

    /// Whether a type of the target is the kind of thing that the local one is, names aside: structs, unions and
    /// enumerations always, integers of any size, pointers and arrays by what they are of, functions by the number and
    /// types of their parameters.
    pub fn types(&mut self, local: TypeId, target: TypeId) -> Agree {
        self.types_within(local, target, MAX_DEPTH)
    }

    fn types_within(&mut self, local: TypeId, target: TypeId, depth: u32) -> Agree {
        let (mut local, mut target, mut depth) = (local, target, depth);
        loop {
            depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            let (one, other) = self.both(local, target)?;
            if !kinds_fit(one.kind(), other.kind()) {
                return Ok(false);
            }
            match one.kind() {
                Kind::Void | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                    return Ok(true);
                }
                Kind::Int => return Ok(plain_ints(&one, &other)),
                Kind::Ptr => (local, target) = refers(&one, &other)?,
                Kind::Array => {
                    let (Some(one), Some(other)) = (one.array(), other.array()) else { return Ok(false) };
                    (local, target) = (one.element, other.element);
                }
                Kind::FuncProto => {
                    if one.len() != other.len() {
                        return Ok(false);
                    }
                    for (one, other) in one.params().zip(other.params()) {
                        if !self.types_within(one.type_id, other.type_id, depth)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = refers(&one, &other)?;
                }
                _ => return Ok(false),
            }
        }
    }

    /// Whether a type of the target has all that the local one has: members and enumerators of the same names, integers
    /// of the same size and signedness, arrays of the same length, functions with the same parameters. Behind pointers
    /// only names and kinds of structs are compared, and forward declarations stand for what they declare.
    pub fn matches(&mut self, local: TypeId, target: TypeId) -> Agree {
        self.matches_within(local, target, false, MAX_DEPTH)
    }

    fn matches_within(&mut self, local: TypeId, target: TypeId, behind_pointer: bool, depth: u32) -> Agree {
        let (mut local, mut target, mut behind_pointer, mut depth) = (local, target, behind_pointer, depth);
        loop {
            depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            let (one, other) = self.both(local, target)?;
            if !names_match(one.name(), other.name()) {
                return Ok(false);
            }
            let same_kind = one.kind() == other.kind();
            match one.kind() {
                Kind::Void => return Ok(same_kind),
                Kind::Fwd => {
                    return Ok(match other.kind() {
                        Kind::Fwd => one.is_union_fwd() == other.is_union_fwd(),
                        Kind::Struct => behind_pointer && !one.is_union_fwd(),
                        Kind::Union => behind_pointer && one.is_union_fwd(),
                        _ => false,
                    });
                }
                Kind::Enum | Kind::Enum64 => return self.enums_match(&one, &other),
                Kind::Struct | Kind::Union if behind_pointer => {
                    let declares =
                        other.kind() == Kind::Fwd && other.is_union_fwd() == (one.kind() == Kind::Union);
                    return Ok(same_kind || declares);
                }
                _ if !same_kind => return Ok(false),
                Kind::Struct | Kind::Union => return self.members_match(&one, &other, depth),
                Kind::Int => {
                    let same = one.size() == other.size() && one.is_signed() == other.is_signed();
                    return Ok(same);
                }
                Kind::Ptr => {
                    behind_pointer = true;
                    (local, target) = refers(&one, &other)?;
                }
                Kind::Array => {
                    let (Some(one), Some(other)) = (one.array(), other.array()) else { return Ok(false) };
                    if one.len != other.len {
                        return Ok(false);
                    }
                    (local, target) = (one.element, other.element);
                }
                Kind::FuncProto => {
                    if one.len() != other.len() {
                        return Ok(false);
                    }
                    for (one, other) in one.params().zip(other.params()) {
                        if !self.matches_within(one.type_id, other.type_id, behind_pointer, depth)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = refers(&one, &other)?;
                }
                _ => return Ok(false),
            }
        }
    }

    fn members_match(&mut self, one: &Type<'l>, other: &Type<'t>, depth: u32) -> Agree {
        if one.len() > other.len() {
            return Ok(false);
        }
        'members: for wanted in one.members() {
            for member in other.members() {
                self.left = self.left.checked_sub(1).ok_or(TOO_DEEP)?;
                if names_match(wanted.name, member.name)
                    && self.matches_within(wanted.type_id, member.type_id, false, depth)?
                {
                    continue 'members;
                }
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn enums_match(&mut self, one: &Type<'l>, other: &Type<'t>) -> Agree {
        if !is_enum(other.kind()) || one.size() != other.size() || one.len() > other.len() {
            return Ok(false);
        }
        'values: for wanted in one.enumerators() {
            for value in other.enumerators() {
                self.left = self.left.checked_sub(1).ok_or(TOO_DEEP)?;
                if names_match(wanted.name, value.name) {
                    continue 'values;
                }
            }
            return Ok(false);
        }
        Ok(true)
    }
}

/// Names of types and members that are to match: the same but for flavours, or both none.
fn names_match(local: &str, target: &str) -> bool {
    if target.is_empty() { local.is_empty() } else { same_essential(local, target) }
}

/// Integers that begin at their first bit, as all do but bit fields of old compilers.
fn plain_ints(one: &Type<'_>, other: &Type<'_>) -> bool {
    let plain = |ty: &Type<'_>| ty.int().is_some_and(|int| int.offset == 0);
    plain(one) && plain(other)
}

fn refers(one: &Type<'_>, other: &Type<'_>) -> Result<(TypeId, TypeId), String> {
    one.type_id().zip(other.type_id()).ok_or_else(|| "a damaged type".to_owned())
}
