//! Asks a reader everything there is to ask. Shared by the property tests and the fuzz target (`fuzz/`).

use btf::*;

/// Every accessor of every type; none may panic, loop, or claim more than the data can hold.
#[allow(dead_code)]
pub fn exercise(btf: &Btf<'_>) {
    let types: Vec<_> = btf.types().collect();
    for (id, ty) in types.iter().copied() {
        assert!(id.0 < btf.next_id());
        let _ = (btf.size_of(id), btf.resolve(id), ty.int(), ty.array(), ty.linkage(), ty.component_index());
        let _ =
            (ty.size(), ty.type_id(), ty.is_signed(), ty.is_union_fwd(), ty.kind_flag(), ty.name_offset());
        let _ = (btf.align_of(id), ty.kind().number(), ty.extra_bytes(), ty.size_or_type());
        assert!(btf.decl_tags(id).count() <= types.len());
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

/// Bytes that may be anything: as types of their own, and as split types over themselves.
#[allow(dead_code)]
pub fn bytes(data: &[u8]) {
    match Btf::parse(data) {
        Ok(btf) => {
            exercise(&btf);
            if let Ok(split) = Btf::parse_split(data, &btf) {
                assert!(split.own_types().count() <= split.types().count());
                exercise(&split);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
