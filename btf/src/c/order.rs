//! Which definition has to stand before which.
//!
//! One depth-first walk from each root, without recursion. What a type holds *by value* must be defined before it; a
//! struct or union with a name that is only pointed to needs no more than a forward declaration and ends the walk.

use super::{Printer, Tag, emit};
use crate::{Btf, Kind, Type};

/// How far the walk is with a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mark {
    #[default]
    New,
    /// On the way; who meets it again has found a cycle.
    Open,
    /// Nothing behind it had to be put in order.
    Weak,
    Strong,
    /// It contains itself or something that does not exist.
    Broken,
}

struct Frame<'data> {
    id: u32,
    ty: Type<'data>,
    behind_pointer: bool,
    next: usize,
    result: Mark,
}

impl<'data> Printer<'_, 'data> {
    /// One pass over all types: which are referred to, and the declaration tags.
    pub(super) fn note_references(&mut self) {
        for (id, ty) in self.btf.types() {
            if ty.kind() == Kind::DeclTag {
                let component = ty.component_index().unwrap_or(-1);
                let target = ty.size_or_type();
                self.tags.push(Tag { target, component, name: ty.name() });
                if let Some(flags) = self.flags.get_mut(target as usize) {
                    *flags |= emit::TAGGED;
                }
                continue;
            }
            let mut refer = |to: u32| {
                if let Some(flags) = self.flags.get_mut(to as usize).filter(|_| to != id.0) {
                    *flags |= emit::REFERENCED;
                }
            };
            match ty.kind() {
                Kind::Struct | Kind::Union => ty.members().for_each(|member| refer(member.type_id.0)),
                Kind::FuncProto => {
                    refer(ty.size_or_type());
                    ty.params().for_each(|param| refer(param.type_id.0));
                }
                Kind::Array => refer(ty.array().map_or(0, |array| array.element.0)),
                _ => refer(ty.type_id().map_or(0, |id| id.0)),
            }
        }
        self.tags.sort_by_key(|tag| (tag.target, tag.component));
    }

    /// Puts what `root` needs into the queue, dependencies first, and says how it went.
    pub(super) fn put_in_order(&mut self, root: u32, behind_pointer: bool) -> Mark {
        let mut stack: Vec<Frame<'data>> = Vec::new();
        let mut result = self.enter(root, behind_pointer, &mut stack);
        while let Some(frame) = stack.last_mut() {
            if let Some(done) = result.take() {
                // A pointer to something damaged is damaged only if that has to be named in full.
                frame.result = worst(frame.result, done);
            }
            match frame.ty.reference(frame.next) {
                Some(child) => {
                    frame.next += 1;
                    let behind = match frame.ty.kind() {
                        Kind::Ptr => true,
                        Kind::Array | Kind::Struct | Kind::Union => false,
                        _ => frame.behind_pointer,
                    };
                    let by_value = matches!(frame.ty.kind(), Kind::Array | Kind::Struct | Kind::Union);
                    result = match child {
                        0 => Some(if by_value { Mark::Broken } else { Mark::Weak }),
                        _ => self.enter(child, behind, &mut stack),
                    };
                }
                None => {
                    let Some(frame) = stack.pop() else { break };
                    result = Some(self.leave(&frame));
                }
            }
        }
        result.unwrap_or(Mark::Weak)
    }

    /// The answer at once, or a new frame.
    fn enter(&mut self, id: u32, behind_pointer: bool, stack: &mut Vec<Frame<'data>>) -> Option<Mark> {
        let Some(ty) = self.ty(id).filter(|_| id != 0) else { return Some(Mark::Broken) };
        let kind = ty.kind();
        let pointed_to = behind_pointer && kind.is_composite() && !ty.is_anonymous();
        let marks = self.order.get_mut(id as usize)?;
        match marks[usize::from(behind_pointer)] {
            Mark::New | Mark::Open if pointed_to => {
                // Ordered through a value already, it counts as done.
                return Some(if marks[0] == Mark::Strong { Mark::Strong } else { Mark::Weak });
            }
            Mark::Open => return Some(Mark::Broken),
            Mark::New => {}
            done => return Some(done),
        }
        match kind {
            Kind::Int | Kind::Float => {
                *marks = [Mark::Strong; 2];
                return Some(Mark::Weak);
            }
            Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                *marks = [Mark::Strong; 2];
                let referenced = self.flags.get(id as usize).is_some_and(|f| f & emit::REFERENCED != 0);
                if !ty.is_anonymous() || !referenced {
                    self.queue.push(id);
                }
                return Some(Mark::Strong);
            }
            Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Void | Kind::Unknown(_) => {
                // Nothing to print as a root, nonsense inside of another type.
                return Some(if stack.is_empty() { Mark::Weak } else { Mark::Broken });
            }
            _ => {}
        }
        marks[usize::from(behind_pointer)] = Mark::Open;
        stack.push(Frame { id, ty, behind_pointer, next: 0, result: Mark::Weak });
        None
    }

    fn leave(&mut self, frame: &Frame<'data>) -> Mark {
        let Some(marks) = self.order.get_mut(frame.id as usize) else { return Mark::Broken };
        let here = usize::from(frame.behind_pointer);
        if frame.result == Mark::Broken {
            marks[here] = Mark::Broken;
            if frame.ty.kind().is_composite() && !frame.ty.is_anonymous() && !frame.behind_pointer {
                self.queue.push(frame.id);
            }
            return Mark::Broken;
        }
        match frame.ty.kind() {
            Kind::Struct | Kind::Union => {
                *marks = [Mark::Strong; 2];
                if !frame.ty.is_anonymous() {
                    self.queue.push(frame.id);
                }
                Mark::Strong
            }
            Kind::Typedef if frame.behind_pointer && frame.result != Mark::Strong => {
                marks[1] = Mark::Weak;
                Mark::Weak
            }
            Kind::Typedef => {
                *marks = [Mark::Strong; 2];
                self.queue.push(frame.id);
                Mark::Strong
            }
            Kind::Ptr => {
                *marks = [Mark::Strong; 2];
                frame.result
            }
            _ => {
                marks[here] = frame.result;
                frame.result
            }
        }
    }

    /// Whether the type can't be defined; only after [`put_in_order`](Printer::put_in_order).
    pub(super) fn is_broken(&self, id: u32, behind_pointer: bool) -> bool {
        let mark = self.order.get(id as usize).map(|marks| marks[usize::from(behind_pointer)]);
        mark == Some(Mark::Broken)
    }
}

fn worst(one: Mark, other: Mark) -> Mark {
    match (one, other) {
        (Mark::Broken, _) | (_, Mark::Broken) => Mark::Broken,
        (Mark::Strong, _) | (_, Mark::Strong) => Mark::Strong,
        _ => Mark::Weak,
    }
}

/// All types by what they are and what they are called: enumerations without a name (by their first value), those with
/// one, structs and unions, typedefs, and the rest by id.
pub(super) fn sorted(btf: &Btf<'_>) -> Vec<u32> {
    let (mut named, mut rest) = (Vec::new(), Vec::new());
    for (id, ty) in btf.types() {
        let name = ty.name();
        match ty.kind() {
            Kind::Enum | Kind::Enum64 if name.is_empty() => {
                named.push((0_u8, ty.enumerators().next().map_or("", |first| first.name), id.0));
            }
            Kind::Enum | Kind::Enum64 => named.push((1, name, id.0)),
            Kind::Struct | Kind::Union if !name.is_empty() => named.push((2, name, id.0)),
            Kind::Typedef => named.push((3, name, id.0)),
            _ => rest.push(id.0),
        }
    }
    named.sort_unstable();
    named.into_iter().map(|(_, _, id)| id).chain(rest).collect()
}
