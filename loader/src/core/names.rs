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
        let mut seen = 0;
        let mut look = |around: usize| {
            // Three underscores that lie in this word or across its ends, and in no string that was looked at.
            let until = (around + 10).min(bytes.len());
            while let Some(near) = bytes.get(around.saturating_sub(2).max(seen)..until) {
                let Some(run) = near.windows(3).position(|three| three == b"___") else { return };
                let at = until - near.len() + run;
                let start = bytes.iter().take(at).rposition(|byte| *byte == 0).map_or(0, |zero| zero + 1);
                let end =
                    bytes.iter().skip(at).position(|byte| *byte == 0).map_or(bytes.len(), |len| at + len);
                if let Some(name) = text.get(start..end) {
                    let essential = essential_name(name);
                    if essential.len() < name.len() {
                        names.push((essential, name));
                    }
                }
                seen = end;
            }
        };
        // Eight bytes at a time. Of three underscores in a row two are in the same word, wherever they begin.
        for (index, word) in bytes.chunks(8).enumerate() {
            let twice = match word.first_chunk::<8>() {
                Some(word) => {
                    let other = u64::from_le_bytes(*word) ^ 0x5f5f_5f5f_5f5f_5f5f;
                    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
                    let same = !(((other & LOW) + LOW) | other | LOW);
                    same & (same >> 8) != 0
                }
                None => true,
            };
            if twice {
                look(index * 8);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use btf::{Builder, Endian};

    #[test]
    fn flavours_wherever_they_lie() {
        // Each name at each place within the words that are looked at.
        for shift in 0..9 {
            let mut builder = Builder::new(Endian::Little);
            builder.string(&"p".repeat(shift));
            for name in [
                "a___b",
                "_",
                "long_name_of_a_type___x",
                "no____flavour",
                "__x",
                "c___d___e",
                "f___",
                "g___h",
                "i___j",
                "ab___c",
            ] {
                builder.fwd(name, false);
            }
            let bytes = builder.finish();
            let btf = Btf::parse(&bytes).unwrap();
            let flavours = Flavours::of(&btf);
            let found: Vec<&str> = flavours.names.iter().map(|(_, name)| *name).collect();
            assert_eq!(
                found,
                ["a___b", "ab___c", "c___d___e", "g___h", "i___j", "long_name_of_a_type___x"],
                "{shift}"
            );
            assert_eq!(candidates(&btf, &flavours, "a", Kind::Fwd).len(), 1);
            assert_eq!(candidates(&btf, &flavours, "c___d", Kind::Fwd).len(), 1);
        }
    }
}
