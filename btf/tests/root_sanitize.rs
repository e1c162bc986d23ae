//! What is sanitized by what was found out about the running kernel, that kernel takes; what it lacks, it refuses.

use bpf_sys::btf_obj::BtfObj;
use bpf_sys::features::{self, Answer};
use btf::*;

/// Whether BTF can be loaded at all.
fn skip(test: &str) -> bool {
    match features::has_btf() {
        Answer::Yes => false,
        other => {
            eprintln!("SKIP {test}: BTF can't be loaded: {other}");
            true
        }
    }
}

fn probed() -> Capabilities {
    Capabilities {
        func: features::has_btf_func().is_yes(),
        func_global: features::has_btf_func_global().is_yes(),
        datasec: features::has_btf_datasec().is_yes(),
        float: features::has_btf_float().is_yes(),
        decl_tag: features::has_btf_decl_tag().is_yes(),
        type_tag: features::has_btf_type_tag().is_yes(),
        enum64: features::has_btf_enum64().is_yes(),
        empty_datasec: features::has_btf_empty_datasec().is_yes(),
        section_names: features::has_btf_section_names().is_yes(),
        tag_flags: features::has_btf_tag_flags().is_yes(),
        layout: features::has_btf_layout().is_yes(),
        large_counts: features::has_btf_large_counts().is_yes(),
    }
}

const INT: IntEncoding = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };

fn member(name: &str, type_id: TypeId, bit_offset: u32, bits: Option<u8>) -> NewMember<'_> {
    NewMember { name, type_id, bit_offset, bitfield_size: bits }
}

/// Every kind, as a compiler and a loader that filled in the sections would have it.
fn everything() -> Builder {
    let mut b = Builder::new(Endian::NATIVE);
    let int = b.int("int", 4, INT);
    let long = b.int("long unsigned int", 8, IntEncoding { bits: 64, signed: false, ..INT });
    let double = b.float("long double", 16);
    let wide = b.enumeration("wide", 8, true, &[("FAR", i64::MIN), ("NEAR", 1)]);
    let signed = b.enumeration("signed", 4, true, &[("LESS", -1), ("MORE", 1)]);
    let tag = b.type_tag("user", int);
    let ptr = b.ptr(tag);
    let constant = b.modifier(Kind::Const, int);
    let to_constant = b.ptr(constant);
    let fwd = b.fwd("elsewhere", true);
    let to_fwd = b.ptr(fwd);
    let array = b.array(double, long, 3);
    let union = b.composite(Kind::Union, "", 16, &[member("d", double, 0, None), member("w", wide, 0, None)]);
    let bits =
        [member("low", int, 0, Some(3)), member("high", signed, 3, Some(9)), member("f", wide, 64, Some(30))];
    let bits = b.composite(Kind::Struct, "bits", 16, &bits);
    let all = [
        member("", union, 0, None),
        member("p", ptr, 128, None),
        member("f", to_fwd, 192, None),
        member("a", array, 256, None),
        member("b", bits, 640, None),
    ];
    let all = b.composite(Kind::Struct, "all", 96, &all);
    let volatile = b.modifier(Kind::Volatile, all);
    let restrict = b.modifier(Kind::Restrict, to_constant);
    let typedef = b.typedef("all_t", volatile);
    let proto = b.func_proto(int, &[("a", typedef), ("b", restrict), ("c", wide), ("", TypeId(0))]);
    let static_proto = b.func_proto(TypeId(0), &[("x", double)]);
    let func = b.func("global_one", proto, Linkage::Global);
    b.func("static_one", static_proto, Linkage::Static);
    let var = b.var("counter", typedef, Linkage::Global);
    let second = b.var("second", long, Linkage::Static);
    let vars = [(var, 0, 96), (second, 96, 8)];
    let vars = vars.map(|(type_id, offset, size)| SectionVar { type_id, offset, size });
    b.datasec(".data.more", 104, &vars);
    b.decl_tag("on_var", var, -1);
    b.decl_tag("on_param", func, 1);
    b.decl_tag("on_struct", all, -1);
    b.decl_tag("on_member", all, 2);
    b
}

/// What a compiler leaves to a linker, and names that are none of C's.
fn unlinked() -> Vec<u8> {
    let mut b = Builder::new(Endian::NATIVE);
    let char = b.int("char", 1, IntEncoding { bits: 8, ..INT });
    let constant = b.modifier(Kind::Const, TypeId(0));
    let symbol = b.var("jiffies", constant, Linkage::Extern);
    let config = b.var("CONFIG_HZ", char, Linkage::Extern);
    let proto = b.func_proto(char, &[("", char), ("with", char)]);
    let func = b.func("bpf_kfunc", proto, Linkage::Extern);
    let none = |type_id| SectionVar { type_id, offset: 0, size: 0 };
    b.datasec(".ksyms", 0, &[none(symbol), none(func)]);
    b.datasec(".kconfig", 0, &[none(config)]);
    b.composite(Kind::Struct, "Vec<T, 3>", 1, &[member("0", char, 0, None)]);
    let counter = b.var("counter.0", char, Linkage::Static);
    b.datasec("?.struct_ops/x", 1, &[SectionVar { type_id: counter, offset: 0, size: 1 }]);
    b.enumeration("Option<u8>", 4, false, &[("Some(_)", 1)]);
    b.finish()
}

#[test]
fn root_what_is_sanitized_is_taken() {
    const TEST: &str = "root_what_is_sanitized_is_taken";
    if skip(TEST) {
        return;
    }
    let probed = probed();
    eprintln!("{probed:?}");
    let data = [everything().finish(), everything().finish_with_layout(), unlinked()];
    for bytes in &data {
        for capabilities in [probed, Capabilities::NONE] {
            let sanitized = sanitize(bytes, &capabilities).expect("it is valid");
            let sanitized = sanitized.as_deref().unwrap_or(bytes);
            if let Err(error) = BtfObj::load(sanitized) {
                panic!("{error}\nwith {capabilities:?}");
            }
        }
    }
    // Half of it missing, by each capability alone.
    let without: [fn(&mut Capabilities); 9] = [
        |c| c.func = false,
        |c| c.func_global = false,
        |c| c.datasec = false,
        |c| c.float = false,
        |c| c.decl_tag = false,
        |c| c.type_tag = false,
        |c| c.enum64 = false,
        |c| c.empty_datasec = false,
        |c| c.section_names = false,
    ];
    for take in without {
        let mut capabilities = probed;
        take(&mut capabilities);
        for bytes in &data {
            let sanitized = sanitize(bytes, &capabilities).expect("it is valid");
            if let Err(error) = BtfObj::load(sanitized.as_deref().unwrap_or(bytes)) {
                panic!("{error}\nwith {capabilities:?}");
            }
        }
    }
}

#[test]
fn root_what_is_lacking_is_refused() {
    const TEST: &str = "root_what_is_lacking_is_refused";
    if skip(TEST) {
        return;
    }
    let probed = probed();
    type Make = fn(&mut Builder, TypeId);
    let cases: [(&str, bool, Make); 9] = [
        ("global function", probed.func_global, |b, int| {
            let proto = b.func_proto(int, &[("a", int)]);
            b.func("f", proto, Linkage::Global);
        }),
        ("float", probed.float, |b, _| {
            b.float("double", 8);
        }),
        ("declaration tag", probed.decl_tag, |b, int| {
            let s = b.composite(Kind::Struct, "s", 4, &[member("x", int, 0, None)]);
            b.decl_tag("tag", s, 0);
        }),
        ("type tag", probed.type_tag, |b, int| {
            let tag = b.type_tag("user", int);
            b.ptr(tag);
        }),
        ("64-bit enumeration", probed.enum64, |b, _| {
            b.enumeration("e", 8, false, &[("A", 1 << 40)]);
        }),
        ("signed enumeration", probed.enum64, |b, _| {
            b.enumeration("e", 4, true, &[("A", -1)]);
        }),
        ("section name", probed.section_names, |b, int| {
            let type_id = b.var("v", int, Linkage::Static);
            b.datasec("?.data", 4, &[SectionVar { type_id, offset: 0, size: 4 }]);
        }),
        ("section without variables", probed.empty_datasec, |b, _| {
            b.datasec(".data", 4, &[]);
        }),
        ("count", probed.large_counts, |b, _| {
            b.enumeration("e", 4, false, &vec![("A", 1); 1 << 16]);
        }),
    ];
    for (what, is_there, make) in cases {
        let mut b = Builder::new(Endian::NATIVE);
        let int = b.int("int", 4, INT);
        make(&mut b, int);
        let bytes = b.finish();
        let loaded = BtfObj::load(&bytes);
        assert_eq!(loaded.is_ok(), is_there, "{what}: {:?}", loaded.err().map(|error| error.to_string()));
        match sanitize(&bytes, &probed) {
            Ok(None) => assert!(is_there, "{what}: refused, and nothing to change"),
            Ok(Some(changed)) => {
                assert!(!is_there, "{what}: changed without need");
                BtfObj::load(&changed).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            Err(error) => assert!(!is_there && what == "count", "{what}: {error}"),
        }
    }
    // Headers: what has a layout is refused by kernels that know none.
    let bytes = everything().finish_with_layout();
    let loaded = BtfObj::load(&bytes);
    assert_eq!(
        loaded.is_ok(),
        probed == Capabilities::ALL,
        "{:?}",
        loaded.err().map(|error| error.to_string())
    );
}
