//! The tables beside the running kernel's own enumerations.

use asm::Helper;
use bpf_sys::map::MapType;
use bpf_sys::prog::{AttachType, ProgType};
use btf::{Btf, Kind};

/// Names and numbers of an enumeration.
fn enumerators<'d>(btf: &Btf<'d>, name: &str) -> Vec<(&'d str, u32)> {
    let found = btf.find(name, Kind::Enum).and_then(|id| btf.type_by_id(id));
    found.into_iter().flat_map(|ty| ty.enumerators()).map(|one| (one.name, one.value as u32)).collect()
}

/// Every enumerator but the last (the number of them) is known under its name, and nothing of that kernel is missing.
fn compare(btf: &Btf<'_>, name: &str, known: impl Fn(u32) -> Option<&'static str>) -> usize {
    let all = enumerators(btf, name);
    assert!(all.len() > 20, "{name}: {all:?}");
    let mut wrong = Vec::new();
    let is_end = |name: &str| name.starts_with("__");
    for (theirs, number) in all.iter().filter(|(name, _)| !is_end(name)) {
        let others = all.iter().filter(|(_, other)| other == number).count();
        let ours = known(*number);
        // What was renamed has two names under one number.
        if ours != Some(theirs)
            && (others == 1 || !all.iter().any(|(name, at)| at == number && ours == Some(name)))
        {
            wrong.push((theirs, number, ours));
        }
    }
    assert!(wrong.is_empty(), "{name} (theirs, number, ours): {wrong:?}");
    all.len()
}

#[test]
fn tables_name_what_the_running_kernel_has() {
    let test = "tables_name_what_the_running_kernel_has";
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("SKIP {test}: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(&bytes).expect("the kernel's BTF");
    let helper = |id| {
        let name = Helper(id).name()?;
        Some(&*format!("BPF_FUNC_{}", &name[4..]).leak())
    };
    let helpers = compare(&btf, "bpf_func_id", helper);
    compare(&btf, "bpf_map_type", |n| {
        if n == 0 { Some("BPF_MAP_TYPE_UNSPEC") } else { MapType::from_raw(n).abi_name() }
    });
    compare(&btf, "bpf_prog_type", |n| {
        if n == 0 { Some("BPF_PROG_TYPE_UNSPEC") } else { ProgType::from_raw(n).abi_name() }
    });
    compare(&btf, "bpf_attach_type", |n| AttachType::from_raw(n).abi_name());
    assert!(helpers <= Helper::all().count() + 1, "the kernel has helpers that the table lacks");
}
