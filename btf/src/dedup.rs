//! Deduplication: types that say the same become one.

use crate::partition::{Graph, refine};
use crate::record::{Role, kind_of, rewritten, role, words};
use crate::{Builder, Kind, TypeId};
use std::collections::HashMap;

/// Rounds in which forward declarations that turn out to be ambiguous are taken back one by one, before all are.
const ROUNDS: usize = 8;

/// Stands for a reference to an own type where records are compared.
const REFERENCE: u32 = u32::MAX;

/// What a forward declaration and its definition agree in: what is declared, and the name.
type Declared = (Declares, u32);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Declares {
    Struct,
    Union,
    Enum,
}

/// What is compared.
struct Types {
    graph: Graph,
    /// Class of each type by all that is in its own record.
    class: Vec<u32>,
    classes: usize,
    /// Types with a name that may be declared elsewhere.
    definitions: Vec<(Declared, u32)>,
    /// Forward declarations, and enumerations without values.
    forwards: Vec<(Declared, u32)>,
}

impl Builder {
    /// Makes one of own types that say the same: equal names, sizes, members, and references to types that are the same in
    /// turn, cycles included. Ids are counted anew, in the old order; strings that nothing uses any more are dropped.
    ///
    /// A forward declaration (or an enumeration without values) becomes the definition of its name, where all own
    /// definitions of it are the same; where they differ it stays. Variables and data sections are things rather than
    /// types: each stays. References to a base's types are the same only where the ids are.
    ///
    /// The result has the new id for each old one, the base's included, and of `void` at place 0. Offsets of strings change
    /// as well. Where there is a type of an unknown kind, nothing is done, as ids in it could not be changed.
    pub fn dedup(&mut self) -> Vec<TypeId> {
        let before = self.next_id().0;
        let Some(types) = self.compare() else { return (0..before).map(TypeId).collect() };
        let (alias, class) = types.same();

        // The lowest of each class stays.
        let mut kept: HashMap<u32, u32> = HashMap::with_capacity(class.len());
        let mut places = vec![];
        for (node, to) in alias.iter().enumerate() {
            if *to as usize == node {
                kept.entry(class[node]).or_insert_with(|| {
                    places.push(node);
                    self.first_id + places.len() as u32 - 1
                });
            }
        }
        let mut new_ids: Vec<TypeId> = (0..self.first_id).map(TypeId).collect();
        new_ids.extend(alias.iter().map(|to| TypeId(kept.get(&class[*to as usize]).copied().unwrap_or(0))));
        self.keep(&places, &new_ids);
        new_ids
    }

    /// What there is to compare; `None` where a type is of an unknown kind.
    fn compare(&mut self) -> Option<Types> {
        let mut types = Types {
            graph: Graph::new(),
            class: Vec::with_capacity(self.offsets.len()),
            classes: 0,
            definitions: vec![],
            forwards: vec![],
        };
        // Equal strings may stand in several places: the first stands for all.
        let mut names: HashMap<u32, u32> = HashMap::new();
        let mut strings = self.strings.clone();
        let mut all: Vec<u32> = Vec::with_capacity(self.types.len() / 4);
        let mut ranges = Vec::with_capacity(self.offsets.len());
        let next_id = self.next_id().0;
        for place in 0..self.offsets.len() {
            let record = self.types.get(self.range(place)?)?;
            let kind = kind_of(self.endian.u32(record, 4)?);
            let start = all.len();
            for (at, word) in words(record, self.endian).enumerate() {
                all.push(match role(kind, at)? {
                    Role::Name => {
                        *names.entry(word).or_insert_with(|| self.strings.moved(word, &mut strings))
                    }
                    Role::Type if (self.first_id..next_id).contains(&word) => {
                        types.graph.edge(at as u32, word - self.first_id);
                        REFERENCE
                    }
                    _ => word,
                });
            }
            types.graph.end_node();
            ranges.push(start..all.len());
        }
        let mut seen: HashMap<&[u32], u32> = HashMap::with_capacity(ranges.len());
        for (node, range) in (0..).zip(ranges) {
            let record = all.get(range)?;
            let [name, info, ..] = *record else { return None };
            let kind = kind_of(info);
            let new = types.classes as u32;
            let class = match kind {
                Kind::Var | Kind::Datasec => new,
                _ => *seen.entry(record).or_insert(new),
            };
            types.classes += usize::from(class == new);
            types.class.push(class);
            if name == 0 {
                continue;
            }
            let (union, empty) = (info >> 31 != 0, info & 0x00ff_ffff == 0);
            match kind {
                Kind::Fwd if union => types.forwards.push(((Declares::Union, name), node)),
                Kind::Fwd => types.forwards.push(((Declares::Struct, name), node)),
                Kind::Enum | Kind::Enum64 if empty => types.forwards.push(((Declares::Enum, name), node)),
                Kind::Struct => types.definitions.push(((Declares::Struct, name), node)),
                Kind::Union => types.definitions.push(((Declares::Union, name), node)),
                Kind::Enum | Kind::Enum64 => types.definitions.push(((Declares::Enum, name), node)),
                _ => {}
            }
        }
        Some(types)
    }

    /// Writes the types at these places, with new ids and only the strings they use.
    fn keep(&mut self, places: &[usize], new_ids: &[TypeId]) {
        let mut strings = self.strings.emptied();
        let (mut types, mut offsets) =
            (Vec::with_capacity(self.types.len()), Vec::with_capacity(places.len()));
        let mut names: HashMap<u32, u32> = HashMap::new();
        for place in places {
            let Some(record) = self.range(*place).and_then(|range| self.types.get(range)) else { continue };
            let ty = |id: u32| new_ids.get(id as usize).map_or(id, |id| id.0);
            let name =
                |offset| *names.entry(offset).or_insert_with(|| self.strings.moved(offset, &mut strings));
            offsets.push(types.len() as u32);
            types.extend(rewritten(record, self.endian, ty, name).unwrap_or_default());
        }
        (self.types, self.offsets, self.strings) = (types, offsets, strings);
    }
}

impl Types {
    /// The classes of types that say the same, and for each type the one that stands for it: itself, or a forward
    /// declaration's definition.
    fn same(&self) -> (Vec<u32>, Vec<u32>) {
        let own: Vec<u32> = (0..self.class.len() as u32).collect();
        let mut first: HashMap<Declared, u32> = HashMap::new();
        for (declared, node) in &self.definitions {
            first.entry(*declared).or_insert(*node);
        }
        // All declarations are taken for definitions at first; with what turns out to be ambiguous taken back, less is
        // the same, by which more may become ambiguous.
        let mut forwards: Vec<(Declared, u32, u32)> = self
            .forwards
            .iter()
            .filter_map(|(declared, node)| Some((*declared, *node, *first.get(declared)?)))
            .collect();
        for round in 0.. {
            let mut alias = own.clone();
            for (_, node, definition) in &forwards {
                alias[*node as usize] = *definition;
            }
            let class = refine(&self.graph, &alias, &self.class, self.classes);
            let mut one: HashMap<Declared, Option<u32>> = HashMap::new();
            for (declared, node) in &self.definitions {
                let class = class[*node as usize];
                let one = one.entry(*declared).or_insert(Some(class));
                *one = one.filter(|other| *other == class);
            }
            let before = forwards.len();
            forwards.retain(|(declared, _, _)| one.get(declared).is_some_and(|one| one.is_some()));
            if forwards.len() == before {
                return (alias, class);
            }
            if round == ROUNDS {
                forwards.clear();
            }
        }
        // The loop above takes something back each time, and there is an end to that.
        (own, self.class.clone())
    }
}
