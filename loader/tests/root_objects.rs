//! The objects of `data/` on the running kernel.

mod common;

use bpf_sys::prog::ProgType;
use loader::{Loader, Object, Target};

fn verdicts(name: &str, bytes: &[u8], change: impl FnOnce(&mut Object)) -> Vec<(String, Result<(), String>)> {
    let mut object = Object::parse(name, bytes).unwrap();
    change(&mut object);
    let target = Target::running().unwrap();
    let verdicts = Loader::new(&target, Default::default()).check(&object).unwrap();
    let words = |error: loader::Error| error.to_string();
    verdicts.into_iter().map(|v| (v.program, v.result.map(drop).map_err(words))).collect()
}

#[test]
fn root_objects_of_a_static_linker_load() {
    skip_unless_bpf!("root_objects_of_a_static_linker_load");
    let verdicts = verdicts("linked", include_bytes!("data/linked.o"), |_| {});
    let names: Vec<&str> = verdicts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["program_a", "program_b", "program_k"]);
    for (name, verdict) in &verdicts {
        assert_eq!(*verdict, Ok(()), "{name}");
    }
}

#[test]
fn root_sections_that_say_nothing_are_named() {
    skip_unless_bpf!("root_sections_that_say_nothing_are_named");
    let linking = include_bytes!("data/linking.o");
    let only_nowhere = |object: &mut Object| object.programs.retain(|program| program.name == "nowhere");
    let (_, verdict) = verdicts("linking", linking, only_nowhere).remove(0);
    let words = verdict.unwrap_err();
    assert!(words.contains("its section `somewhere/else` does not say of which type it is"), "{words}");
    let typed = |object: &mut Object| {
        only_nowhere(object);
        object.programs[0].prog_type = ProgType::SocketFilter;
    };
    assert_eq!(verdicts("linking", linking, typed), [("nowhere".to_owned(), Ok(()))]);
}
