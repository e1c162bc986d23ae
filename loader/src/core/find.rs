//! A path of the object, found again in a type of the target.

use super::compat::Compare;
use super::names::{is_enum, kind_word, same_essential};
use super::spec::{Asks, MAX_STEPS, Spec, Step, asks, is_flexible, words};
use btf::ext::CoreReloKind;
use btf::{Btf, Type, TypeId, essential_name};

/// Members looked at in one search, so that damaged data cannot make it endless.
const MAX_VISITED: u32 = 1 << 20;

/// Why a candidate is none.
#[derive(Debug)]
pub(crate) enum Miss {
    /// In words: it lacks what is asked for.
    Lacks(String),
    /// Types so damaged or so deep that nothing can be said.
    Damaged(String),
}

impl From<String> for Miss {
    fn from(what: String) -> Miss {
        Miss::Damaged(what)
    }
}

/// The path `local` in the type `id` of `target`.
pub(crate) fn find<'b, 'd>(
    local: &Spec<'_, '_>,
    kind: CoreReloKind,
    target: &'b Btf<'d>,
    id: TypeId,
) -> Result<Spec<'b, 'd>, Miss> {
    let mut spec = Spec { btf: target, root: id, steps: Vec::new(), bit_offset: 0 };
    match asks(kind) {
        Asks::Type => {
            let mut compare = Compare::new(local.btf, target);
            let agrees = match kind {
                CoreReloKind::TypeMatches => compare.matches(local.root, id)?,
                _ => compare.types(local.root, id)?,
            };
            if agrees { Ok(spec) } else { Err(Miss::Lacks("the type there is another".to_owned())) }
        }
        Asks::Enumerator => {
            let wanted = local.steps.first().and_then(|step| step.name).unwrap_or("");
            let (id, ty) = target.resolve(id).ok_or_else(|| damaged(id))?;
            let mut values = ty.enumerators().zip(0..).filter(|_| is_enum(ty.kind()));
            let (value, index) =
                values.find(|(value, _)| same_essential(value.name, wanted)).ok_or_else(|| {
                    Miss::Lacks(format!("{} has no enumerator `{}`", words(&ty), essential_name(wanted)))
                })?;
            spec.steps.push(Step { type_id: id, index, name: Some(value.name) });
            Ok(spec)
        }
        Asks::Field => {
            Walk { local, compare: Compare::new(local.btf, target), raw: 0, left: MAX_VISITED }
                .walk(&mut spec)?;
            Ok(spec)
        }
    }
}

fn damaged(id: TypeId) -> Miss {
    Miss::Damaged(format!("type {} of the target does not exist, or is a cycle", id.0))
}

struct Walk<'w, 'lb, 'l, 't> {
    local: &'w Spec<'lb, 'l>,
    compare: Compare<'w, 'l, 't>,
    /// Levels gone down, anonymous members counted.
    raw: usize,
    left: u32,
}

impl<'l, 't> Walk<'_, '_, 'l, 't> {
    fn walk(&mut self, spec: &mut Spec<'_, 't>) -> Result<(), Miss> {
        let mut id = spec.root;
        for (level, step) in self.local.steps.iter().enumerate() {
            let (resolved, ty) = spec.btf.resolve(id).ok_or_else(|| damaged(id))?;
            id = resolved;
            if let Some(name) = step.name {
                let wanted = self.local_member(step)?;
                id = match self.member(spec, id, &ty, name, wanted)? {
                    Some(next) => next,
                    None => {
                        return Err(Miss::Lacks(if ty.kind().is_composite() {
                            format!("{} has no member `{name}`", words(&ty))
                        } else {
                            format!("`{name}` is to be in {}, which has no members", words(&ty))
                        }));
                    }
                };
                continue;
            }
            // The first number counts root types themselves; the others go into arrays.
            if level > 0 {
                let array = ty.array().ok_or_else(|| {
                    Miss::Lacks(format!("what is an array in the object is {} there", words(&ty)))
                })?;
                if step.index >= array.len && !is_flexible(spec.btf, spec.steps.last(), &array) {
                    let what = format!(
                        "the array there has {} elements, and [{}] is asked for",
                        array.len, step.index
                    );
                    return Err(Miss::Lacks(what));
                }
                id = spec.btf.resolve(array.element).ok_or_else(|| damaged(array.element))?.0;
            }
            self.deeper()?;
            spec.steps.push(Step { type_id: id, index: step.index, name: None });
            spec.skip_elements(id, step.index)?;
        }
        Ok(())
    }

    fn local_member(&self, step: &Step<'_>) -> Result<TypeId, Miss> {
        let ty = self.local.btf.type_by_id(step.type_id);
        let member = ty.and_then(|ty| super::spec::member(&ty, step.index));
        member.map(|member| member.type_id).ok_or_else(|| Miss::Damaged("a damaged path".to_owned()))
    }

    fn deeper(&mut self) -> Result<(), Miss> {
        self.raw += 1;
        if self.raw > MAX_STEPS {
            return Err(Miss::Damaged(format!(
                "the path goes more than {MAX_STEPS} levels deep in the target"
            )));
        }
        Ok(())
    }

    /// Looks for a member by its name, through anonymous ones, and answers with its type.
    fn member(
        &mut self,
        spec: &mut Spec<'_, 't>,
        id: TypeId,
        composite: &Type<'t>,
        name: &str,
        wanted: TypeId,
    ) -> Result<Option<TypeId>, Miss> {
        self.deeper()?;
        let mut wrong = None;
        for (member, index) in composite.members().zip(0..) {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                Miss::Damaged("the target's type has too many members to be searched".to_owned())
            })?;
            let before = spec.bit_offset;
            if member.name.is_empty() {
                let Some((inner, ty)) = spec.btf.resolve(member.type_id) else { continue };
                if !ty.kind().is_composite() {
                    continue;
                }
                spec.advance(u64::from(member.bit_offset))?;
                let raw = self.raw;
                match self.member(spec, inner, &ty, name, wanted) {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    // Another anonymous member may have it in the right type: no C, but a struct all the same.
                    Err(Miss::Lacks(what)) => wrong = Some(what),
                    Err(error) => return Err(error),
                }
                (self.raw, spec.bit_offset) = (raw, before);
            } else if member.name == name {
                if !self.compare.fields(wanted, member.type_id)? {
                    let local = type_words(self.local.btf, wanted);
                    let target = type_words(spec.btf, member.type_id);
                    return Err(Miss::Lacks(format!(
                        "member `{name}` of {} is {target} there, which is no {local}",
                        words(composite)
                    )));
                }
                spec.advance(u64::from(member.bit_offset))?;
                spec.steps.push(Step { type_id: id, index, name: Some(member.name) });
                return Ok(Some(member.type_id));
            }
        }
        self.raw -= 1;
        wrong.map_or(Ok(None), |what| Err(Miss::Lacks(what)))
    }
}

fn type_words(btf: &Btf<'_>, id: TypeId) -> String {
    match btf.resolve(id) {
        Some((_, ty)) if kind_word(ty.kind()).is_empty() && ty.name().is_empty() => words(&ty),
        Some((_, ty)) => format!("`{}`", words(&ty)),
        None => format!("type {}", id.0),
    }
}
