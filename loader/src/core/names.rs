//! Types by their essential names: what stands before the last `___`.

use btf::{Btf, Kind, Type, TypeId, essential_name};

/// The names with a flavour in a target's string section. A kernel has a handful of them among 120,000 names.
#[derive(Debug)]
pub(crate) struct Flavours<'a> {
    /// Essential and full names, sorted.
    names: Vec<(&'a str, &'a str)>,
}

impl<'a> Flavours<'a> {
    /// Goes once through the own strings of `btf`.
    pub(crate) fn of(btf: &Btf<'a>) -> Flavours<'a> {
        let text = btf.own_strings();
        let bytes = text.as_bytes();
        let mut names = Vec::new();
        // Only every third byte needs a look: three underscores in a row cannot hide between two of them.
        let mut at = 2;
        while let Some(byte) = bytes.get(at) {
            if *byte != b'_' {
                at += 3;
                continue;
            }
            let end = bytes.iter().skip(at).position(|byte| *byte == 0).map_or(bytes.len(), |len| at + len);
            let start = bytes.iter().take(at).rposition(|byte| *byte == 0).map_or(0, |zero| zero + 1);
            let run = bytes.iter().take(at).skip(start).rev().take_while(|byte| **byte == b'_').count()
                + bytes.iter().take(end).skip(at).take_while(|byte| **byte == b'_').count();
            if run < 3 {
                at += 1;
                continue;
            }
            if let Some(name) = text.get(start..end) {
                let essential = essential_name(name);
                if essential.len() < name.len() {
                    names.push((essential, name));
                }
            }
            at = end + 3;
        }
        names.sort_unstable();
        names.dedup();
        Flavours { names }
    }

    /// Full names whose essential name is this one.
    fn with(&self, essential: &str) -> impl Iterator<Item = &'a str> + '_ {
        let first = self.names.partition_point(|(name, _)| *name < essential);
        let rest = self.names.get(first..).unwrap_or_default();
        let same =
            move |entry: &&(&'a str, &'a str)| entry.0.len() == essential.len() && entry.0 == essential;
        let same = rest.iter().take_while(same).map(|(_, name)| *name).collect::<Vec<_>>();
        same.into_iter()
    }
}

/// Whether types of these kinds can stand for each other: the same, or enumerations of either width.
pub(crate) fn kinds_fit(local: Kind, target: Kind) -> bool {
    let both_enums = is_enum(local) && is_enum(target);
    local == target || both_enums
}

pub(crate) fn is_enum(kind: Kind) -> bool {
    matches!(kind, Kind::Enum | Kind::Enum64)
}

/// Whether two names are the same but for their flavours.
pub(crate) fn same_essential(one: &str, other: &str) -> bool {
    essential_name(one) == essential_name(other)
}

/// The own types of `btf` with this essential name and a kind that can stand for `kind`, by rising id.
pub(crate) fn candidates<'a>(
    btf: &Btf<'a>,
    flavours: &Flavours<'a>,
    essential: &str,
    kind: Kind,
) -> Vec<TypeId> {
    let mut found = Vec::new();
    let own = btf.first_id();
    let mut collect = |id: TypeId, ty: &Type<'a>| {
        if id >= own && kinds_fit(kind, ty.kind()) {
            found.push(id);
        }
        false
    };
    btf.find_where(essential, &mut collect);
    for name in flavours.with(essential) {
        btf.find_where(name, &mut collect);
    }
    found.sort_unstable();
    found
}

/// What a type of this kind is called in C, with the space behind it; nothing for what has no such word.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Struct => "struct ",
        Kind::Union => "union ",
        Kind::Enum | Kind::Enum64 => "enum ",
        _ => "",
    }
}
