//! Asks a reader everything there is to ask. Shared by the property tests and the fuzz targets (`fuzz/`).
#![allow(dead_code)]

use btf::ext::BtfExt;
use btf::*;

/// Every accessor of every type; none may panic, loop, or claim more than the data can hold.
pub fn exercise(btf: &Btf<'_>) {
    types(btf, btf.types());
}

/// As above, of the own types only: for those on a base that is large.
pub fn exercise_own(btf: &Btf<'_>) {
    types(btf, btf.own_types());
}

fn types<'data>(btf: &Btf<'data>, types: impl Iterator<Item = (TypeId, Type<'data>)>) {
    let types: Vec<_> = types.collect();
    for (id, ty) in types.iter().copied() {
        assert!(id.0 < btf.next_id());
        let _ = (btf.size_of(id), btf.resolve(id), ty.int(), ty.array(), ty.linkage(), ty.component_index());
        let _ =
            (ty.size(), ty.type_id(), ty.is_signed(), ty.is_union_fwd(), ty.kind_flag(), ty.name_offset());
        let align = btf.align_of(id);
        assert!(align.is_none_or(|align| align.is_power_of_two() && align <= 16), "{align:?}");
        assert_eq!(Kind::from_number(ty.kind().number()).unwrap_or(ty.kind()), ty.kind());
        let _ = (ty.extra_bytes(), ty.size_or_type());
        assert!(btf.decl_tags(id).count() <= btf.next_id() as usize);
        assert!(ty.members().count() <= ty.len() && ty.enumerators().count() <= ty.len());
        assert!(ty.params().count() <= ty.len() && ty.section_vars().count() <= ty.len());
        let _ = btf.field(id, "nothing.at.all");
        for member in ty.members().take(20) {
            let _ = btf.field(id, member.name);
            let _ = btf.size_of(member.type_id);
        }
        for value in ty.enumerators().take(20) {
            let _ = btf.enum_value(ty.name(), value.name);
        }
        let _ = format!("{ty:?}");
    }
    // These look at all types: a few will do.
    for (_, ty) in types.iter().take(30) {
        if let Some(found) = btf.find(ty.name(), ty.kind()) {
            assert_eq!(btf.type_by_id(found).map(|f| (f.kind(), f.name())), Some((ty.kind(), ty.name())));
        }
        let _ =
            (btf.find_composite(ty.name()), btf.func_proto(ty.name()), btf.member_offset(ty.name(), "a.b"));
        let _ = essential_name(ty.name());
    }
    let _ = (btf.pointer_size(), btf.find_enumerator("x"), btf.func_names().count(), btf.string(u32::MAX));
    let _ = (btf.type_by_id(TypeId(u32::MAX)), btf.type_by_id(TypeId(0)), btf.functions().count());
}

/// What a type says, without ids and offsets: equal before and after it is written anew.
fn says(ty: &Type<'_>) -> impl PartialEq + std::fmt::Debug + use<> {
    let members: Vec<_> = ty.members().map(|m| (m.name.to_owned(), m.bit_offset, m.bitfield_size)).collect();
    let values: Vec<_> = ty.enumerators().map(|e| (e.name.to_owned(), e.value)).collect();
    let params: Vec<_> = ty.params().map(|p| p.name.to_owned()).collect();
    let vars: Vec<_> = ty.section_vars().map(|v| (v.offset, v.size)).collect();
    let numbers = (ty.size(), ty.int(), ty.array().map(|array| array.len), ty.component_index());
    (ty.kind(), ty.name().to_owned(), ty.kind_flag(), ty.linkage(), numbers, members, values, params, vars)
}

/// Writes the types anew, in all ways there are; what is read from that must be what was there.
pub fn rewrite(btf: &Btf<'_>) {
    let parse = |bytes: &[u8]| {
        Btf::parse(bytes).map(|btf| btf.own_types().map(|(_, ty)| says(&ty)).collect::<Vec<_>>())
    };
    let sound = is_sound(btf);
    let before: Vec<_> = btf.own_types().map(|(_, ty)| says(&ty)).collect();
    let unknown = btf.own_types().any(|(_, ty)| matches!(ty.kind(), Kind::Unknown(_)));
    let copy = Builder::from_btf(btf);
    for bytes in [copy.finish(), copy.finish_with_layout()] {
        assert!(parse(&bytes).is_ok_and(|after| after == before));
    }
    let mut twice = copy.clone();
    assert_eq!(twice.append(btf).is_err(), unknown);
    // What leads nowhere may lead somewhere in twice as much.
    if sound {
        let bytes = twice.finish();
        assert!(parse(&bytes).is_ok_and(|after| after.len() == 2 * before.len()));
        assert!(
            parse(&bytes)
                .is_ok_and(|after| after[..before.len()] == before && after[before.len()..] == before)
        );
    }
    dedup(btf, copy, twice);

    for capabilities in [Capabilities::ALL, Capabilities::NONE, Capabilities::used_by(btf)] {
        match sanitize(btf.own_bytes(), &capabilities) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let after = Btf::parse(&bytes).expect("what is sanitized can be read");
                assert!(after.next_id() >= btf.next_id() && after.next_id() <= btf.next_id() + 2);
                for (old, new) in btf.own_types().zip(after.own_types()) {
                    assert!(old.1.kind() == new.1.kind() || capabilities != Capabilities::ALL);
                }
                if sound {
                    assert_eq!(sanitize(&bytes, &capabilities), Ok(None), "sanitizing again changes nothing");
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn is_thing(ty: &Type<'_>) -> bool {
    matches!(ty.kind(), Kind::Var | Kind::Datasec)
}

/// Whether all names and references lead somewhere, those of sections to things and functions, all others to none.
fn is_sound(btf: &Btf<'_>) -> bool {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("four of them");
        if btf.endian() == Endian::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    };
    btf.own_types().all(|(_, ty)| {
        let (each, names) = match ty.kind() {
            Kind::Unknown(_) => return false,
            Kind::Struct | Kind::Union | Kind::Enum64 => (12, true),
            Kind::Enum | Kind::FuncProto => (8, true),
            _ => (12, false),
        };
        let entries = ty.extra_bytes().chunks_exact(each).map(|entry| word(&entry[..4]));
        let names = entries.filter(|_| names).chain([ty.name_offset()]);
        let mut ids: Vec<TypeId> = ty.type_id().into_iter().collect();
        ids.extend(ty.members().map(|member| member.type_id).chain(ty.params().map(|param| param.type_id)));
        ids.extend(ty.array().into_iter().flat_map(|array| [array.element, array.index]));
        let holds = |ty: &Type<'_>| matches!(ty.kind(), Kind::Var | Kind::Func);
        let mut vars = ty.section_vars().map(|var| btf.type_by_id(var.type_id).is_some_and(|ty| holds(&ty)));
        let leads = |id: TypeId| btf.type_by_id(id).is_some_and(|to| !is_thing(&to));
        names.into_iter().all(|name| btf.string(name).is_some())
            && ids.into_iter().all(leads)
            && vars.all(|var| var)
    })
}

/// Types once and twice, deduplicated: the same number but for what is a thing, and nothing is lost.
fn dedup(btf: &Btf<'_>, mut once: Builder, mut twice: Builder) {
    let things = btf.own_types().filter(|(_, ty)| is_thing(ty)).count();
    let ids = once.dedup();
    assert_eq!(ids.len(), btf.next_id() as usize);
    twice.dedup();
    let bytes = once.finish();
    let after = Btf::parse(&bytes).expect("what is deduplicated can be read");
    if is_sound(btf) {
        assert_eq!(twice.len(), once.len() + things);
    }
    for (id, ty) in btf.own_types() {
        let new = ids[id.0 as usize];
        let found = after.type_by_id(new).expect("an id of the new types");
        let declares = matches!(ty.kind(), Kind::Fwd)
            || (matches!(ty.kind(), Kind::Enum | Kind::Enum64) && ty.is_empty());
        // A name that could not be read may be somewhere else now.
        if !declares && !ty.name().is_empty() {
            assert_eq!((found.kind(), found.name(), found.len()), (ty.kind(), ty.name(), ty.len()));
        }
    }
    let len = once.len();
    once.dedup();
    assert_eq!(once.len(), len, "a second time removes nothing");
}

/// Bytes that may be anything: as types of their own, and as split types over themselves.
pub fn bytes(data: &[u8]) {
    match Btf::parse(data) {
        Ok(btf) => {
            exercise(&btf);
            rewrite(&btf);
            if let Ok(split) = Btf::parse_split(data, &btf) {
                assert!(split.own_types().count() <= split.types().count());
                exercise(&split);
                let mut builder = Builder::from_btf(&split);
                let len = builder.len();
                assert_eq!(builder.dedup().len(), split.next_id() as usize);
                assert!(builder.len() <= len);
                assert!(Btf::parse_split(&builder.finish(), &btf).is_ok());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Bytes that may be anything as `.BTF.ext`: a length of `.BTF`, and both. With a length too large the types are empty.
pub fn ext(data: &[u8]) {
    let (len, rest) = match data.split_first_chunk::<2>() {
        Some((len, rest)) => (usize::from(u16::from_le_bytes(*len)), rest),
        None => (0, data),
    };
    let empty = Builder::new(Endian::Little).finish();
    let (types, notes) = rest.split_at_checked(len).unwrap_or((&empty, rest));
    let Ok(btf) = Btf::parse(types).or_else(|_| Btf::parse(&empty)) else { return };
    let ext = match BtfExt::parse(notes, &btf) {
        Ok(ext) => ext,
        Err(error) => return assert!(error.to_string().starts_with(".BTF.ext ")),
    };
    // Every record takes its bytes: no part can claim more of them than there are.
    let (mut funcs, mut lines, mut relos) = (0, 0, 0);
    for section in ext.func_info() {
        let len = section.records.len();
        assert_eq!(section.records.count(), len);
        funcs += 8 + 8 * len;
    }
    for section in ext.line_info() {
        let len = section.records.len();
        assert!(section.records.map(|line| line.line() >> 22 | line.column() >> 10).all(|none| none == 0));
        lines += 8 + 16 * len;
    }
    for section in ext.core_relos() {
        let len = section.records.len();
        let read = section.records.filter(|relo| btf.string(relo.access_str_off) != Some("\0")).count();
        assert_eq!(read, len);
        relos += 8 + 16 * len;
    }
    assert!(funcs <= notes.len() && lines <= notes.len() && relos <= notes.len());
    assert!(!format!("{ext:?}").is_empty());
}
