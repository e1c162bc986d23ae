//! Types of the running kernel's modules, as split BTF on the kernel's.

mod exercise;

use bpf_sys::btf_obj::BtfFile;
use btf::*;

const FOLDER: &str = "/sys/kernel/btf";

#[test]
fn root_modules_are_split_on_the_kernel() {
    const TEST: &str = "root_modules_are_split_on_the_kernel";
    let Ok(vmlinux) = BtfFile::open(format!("{FOLDER}/vmlinux")) else {
        eprintln!("SKIP {TEST}: this kernel has no BTF");
        return;
    };
    let base = Btf::parse(&vmlinux).expect("the kernel's BTF is valid");
    let entries = std::fs::read_dir(FOLDER).expect("it holds vmlinux").filter_map(Result::ok);
    let mut modules = 0;
    for entry in entries.filter(|entry| entry.file_name() != "vmlinux") {
        let name = entry.file_name();
        let file = BtfFile::open(entry.path()).expect("root can read it");
        let btf = Btf::parse_split(&file, &base).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!((btf.first_id().0, btf.own_bytes().len()), (base.next_id(), file.len()));
        // Every reference leads somewhere, across the border too, and every name can be found.
        let (mut across, mut functions) = (0, 0);
        for (id, ty) in btf.own_types() {
            let mut ids: Vec<TypeId> = ty.type_id().into_iter().collect();
            ids.extend(ty.members().map(|member| member.type_id));
            ids.extend(ty.params().map(|param| param.type_id));
            ids.extend(ty.section_vars().map(|var| var.type_id));
            ids.extend(ty.array().map(|array| array.element));
            for to in ids {
                assert!(btf.type_by_id(to).is_some(), "{name:?}: {id:?} refers to {to:?}");
                across += usize::from(to.0 != 0 && to < btf.first_id());
            }
            if !ty.name().is_empty() {
                let found = btf.find_where(ty.name(), |found, _| found == id);
                assert_eq!(found, Some(id), "{name:?}: {ty:?}");
            }
            if ty.kind() == Kind::Func {
                functions += 1;
                let proto = ty.type_id().and_then(|proto| btf.type_by_id(proto)).map(|ty| ty.kind());
                assert_eq!(proto, Some(Kind::FuncProto), "{name:?}: {ty:?}");
            }
            if ty.kind().is_composite() {
                assert_eq!(btf.size_of(id), ty.size().map(u64::from));
                assert!(btf.align_of(id).is_some(), "{name:?}: {ty:?}");
            }
        }
        assert!(across > 0 && functions > 0, "{name:?}: {across} references, {functions} functions");
        exercise::exercise_own(&btf);
        // Written and read again it is the same; there are no types twice in it.
        let mut builder = Builder::from_btf(&btf);
        assert_eq!(*builder.finish(), *file);
        builder.dedup();
        let types = btf.own_types().count();
        eprintln!(
            "{name:?}: {types} types, {} of them twice, {across} references to the kernel's",
            types - builder.len()
        );
        modules += 1;
    }
    if modules == 0 {
        eprintln!("SKIP {TEST}: no module that is loaded has BTF");
    }
}
