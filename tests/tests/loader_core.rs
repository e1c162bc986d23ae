//! CO-RE: `tests/bpf/core.bpf.c` against the altered types of `core_target.c`. Each case is one program, reads one variable
//! of the target's from bytes, and has to see the values that the table says.
#![forbid(unsafe_code)]

use btf::{Btf, Kind};
use loader::{Error, Object, Target};
use tracewell_tests::objects::{load_only, run};
use tracewell_tests::support::is_root;
use tracewell_tests::{object, object_bytes};

/// Bytes of the variable `input`, and numbers in the variable `out`.
type Input = [u8; 256];
type Out = [u64; 16];

/// The program, the target's variable that it reads, and what it has to write to `out`.
const CASES: &[(&str, &str, &[u64])] = &[
    ("offset_moved", "moved", &[0x0aaa_aaaa, 0xbbbb_bbbb, 0xcccc_cccc_cccc_cccc, 20]),
    // Loads are as wide as the target's fields.
    ("size_of_loads", "shrunk", &[0xfedc_ba98, 0x1234_5678_9abc_def0, 0x7e, 0x1020_3040_5060_7080, 4, 8, 8]),
    ("size_of_stores", "stored", &[0x1122_3344_5566_7788, 0x00aa_0099_5566_7788, 0, 0]),
    ("field_missing", "lost", &[1, 0, 4711, 77]),
    ("flavour_renamed", "renamed", &[55, 0, 1]),
    ("bitfields", "bits", &[21, 0x1234_5678, 44, 0xabcde, 0x8765_4321, (-42_i64).cast_unsigned(), 20, 58]),
    ("signedness", "sign", &[1, 0, 1, (-2_i64).cast_unsigned(), 0xffff_fffd, (-4_i64).cast_unsigned()]),
    ("array_elements", "arrays", &[100, 103, 8, 22, 42, 1, 1, 56]),
    ("nested_anonymous", "nest", &[61, 62, 63, 16]),
    ("pointer_fields", "pointers", &[0x1111_2222_3333_4444, 0x5555_6666_7777_8888, 0x9999_aaaa_bbbb_cccc, 5]),
    ("unions", "choice", &[0x4433_2211, 0x33, 0x4433, 0x2211, 8]),
    ("field_of_another_kind", "mistyped", &[1, 0, 12]),
    // moved, only_here, was_struct, moved_type, only_typedef, color, only_enum, choice, callback_type, big
    ("type_existence", "moved", &[1, 0, 0, 1, 0, 1, 0, 1, 0, 1]),
    ("type_sizes", "moved", &[32, 0, 144, 4, 8, 32]),
    // same, less, moved, shrunk, only_here, color, negative, sign, nest
    ("type_matching", "moved", &[1, 0, 1, 0, 0, 0, 1, 0, 0]),
    ("enum_values", "moved", &[1, 20, 0, 10, (-500_i64).cast_unsigned(), 0, 20, 99]),
    ("enum64_values", "moved", &[0x1234_5678_9abc_def0, 0x8000_0000_0000_0001, 0, 1]),
    ("offset_for_a_helper", "moved", &[0xbbbb_bbbb]),
];

/// The program and what its error has to name. All are refused.
const POISONED: &[(&str, &[&str])] = &[
    ("missing_field", &["lost", "gone"]),
    ("missing_type", &["only_here"]),
    ("missing_enumerator", &["color", "NO_COLOR"]),
    ("element_out_of_range", &["arrays", "numbers"]),
    ("signed_resized", &["sign", "small"]),
    ("another_kind", &["mistyped", "became_struct"]),
];

fn types(object: &Object) -> Btf<'_> {
    Btf::parse(object.btf.as_deref().expect("it is compiled with -g")).expect("clang's BTF is right")
}

/// The bytes of one of the target's variables.
fn variable_of(target: &Object, name: &str) -> Input {
    let mut input = [0; 256];
    let place =
        target.maps.iter().find_map(|map| Some((map, map.variables.iter().find(|v| v.name == name)?)));
    let (map, variable) = place.unwrap_or_else(|| panic!("the target has no variable {name}"));
    if let Some(data) = &map.data {
        let (start, size) = (variable.offset as usize, variable.size as usize);
        input[..size].copy_from_slice(&data[start..start + size]);
    }
    input
}

/// Loads the program for these types, runs it on this input.
fn out_of(object: &Object, program: &str, input: Input, target: &Target<'_>) -> loader::Result<Out> {
    let mut object = object.clone();
    object.set("input", input)?;
    let collection = load_only(&object, program, target)?;
    run(&collection, program);
    collection.variable::<Out>("out")?.get()
}

#[test]
fn root_core_every_case_sees_its_values() {
    if !is_root("root_core_every_case_sees_its_values") {
        return;
    }
    let (object, altered) = (object!("core"), object!("core_target"));
    let types = types(&altered);
    let target = Target::with_btf(&types);
    let mut wrong = Vec::new();
    for (program, variable, expected) in CASES {
        match out_of(&object, program, variable_of(&altered, variable), &target) {
            Ok(out) if out[..expected.len()] == **expected => {}
            Ok(out) => {
                wrong.push(format!("{program}: {:x?} instead of {expected:x?}", &out[..expected.len()]))
            }
            Err(error) => wrong.push(format!("{program}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn root_core_type_ids() {
    if !is_root("root_core_type_ids") {
        return;
    }
    let (object, altered) = (object!("core"), object!("core_target"));
    let types_of_target = types(&altered);
    let out = out_of(&object, "type_ids", [0; 256], &Target::with_btf(&types_of_target)).unwrap();
    let id = |btf: &Btf<'_>, kind, name| btf.find(name, kind).map(|id| u64::from(id.0));
    let local = types(&object);
    let expected = [
        id(&local, Kind::Struct, "moved"),
        id(&types_of_target, Kind::Struct, "moved"),
        id(&local, Kind::Struct, "only_here"),
        id(&types_of_target, Kind::Enum, "color"),
    ];
    assert_eq!(out[..4].iter().copied().map(Some).collect::<Vec<_>>(), expected);
}

/// Every case that is in the object is in the tables, and the other way round.
#[test]
fn core_cases_are_all_there() {
    let mut programs: Vec<String> = object!("core").programs.into_iter().map(|p| p.name).collect();
    let mut cases: Vec<&str> = CASES.iter().map(|(program, ..)| *program).chain(["type_ids"]).collect();
    programs.sort();
    cases.sort_unstable();
    assert_eq!(programs, cases);
    let mut programs: Vec<String> = object!("core_poison").programs.into_iter().map(|p| p.name).collect();
    let mut cases: Vec<&str> = POISONED
        .iter()
        .map(|(program, _)| *program)
        .chain(["missing_but_unreachable", "missing_type_id"])
        .collect();
    programs.sort();
    cases.sort_unstable();
    assert_eq!(programs, cases);
}

/// All thirteen kinds of relocation occur.
#[test]
fn core_every_kind_of_relocation_occurs() {
    let object = object!("core");
    let mut kinds: Vec<String> =
        object.programs.iter().flat_map(|p| &p.core).map(|relo| format!("{:?}", relo.kind)).collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

/// Relocating changes nothing in the object that was parsed, and gives the same thing each time.
#[test]
fn core_relocation_is_a_function() {
    let (object, altered) = (object!("core"), object!("core_target"));
    let types = types(&altered);
    let target = Target::with_btf(&types);
    let relocated = object.relocate(&target).unwrap();
    assert_eq!(object, object!("core"));
    assert_eq!(relocated, object.relocate(&target).unwrap());
    assert!(relocated.relocated);
    assert_ne!(relocated.programs, object.programs);
}

#[test]
fn root_core_what_is_missing_is_refused_by_name() {
    if !is_root("root_core_what_is_missing_is_refused_by_name") {
        return;
    }
    let (object, altered) = (object!("core_poison"), object!("core_target"));
    let types = types(&altered);
    let target = Target::with_btf(&types);
    for (program, names) in POISONED {
        let error = out_of(&object, program, [0; 256], &target).expect_err(program);
        let text = error.to_string();
        assert!(names.iter().all(|name| text.contains(name)), "{program}: {text}");
        let Error::Verifier(refused) = &error else { panic!("{program}: {text}") };
        assert_eq!(refused.program, *program);
        assert!(refused.file.as_ref().is_some_and(|(file, _)| file.ends_with("core_poison.bpf.c")), "{text}");
    }
    let out = out_of(&object, "missing_but_unreachable", [0; 256], &target).unwrap();
    assert_eq!(out[0], 1);
    // What is asked of a type as a whole always has an answer: here that there is none.
    let mut input = [0; 256];
    input[0] = 1;
    let out = out_of(&object, "missing_type_id", input, &target).unwrap();
    assert_eq!(out[0], 0);
}

#[test]
fn core_what_may_be_two_things_is_refused() {
    let (object, altered) = (object!("core_ambiguous"), object!("core_ambiguous_target"));
    let types = types(&altered);
    let error = object.relocate(&Target::with_btf(&types)).unwrap_err().to_string();
    assert!(error.contains("`ambiguous`") && error.contains("twice"), "{error}");
}

/// The types of the object itself are a target, too: nothing moves, and everything is found.
#[test]
fn root_core_against_its_own_types() {
    if !is_root("root_core_against_its_own_types") {
        return;
    }
    let bytes = object_bytes!("core");
    let object = Object::parse("core", bytes).unwrap();
    let types = types(&object);
    let relocated = object.relocate(&Target::with_btf(&types)).unwrap();
    assert!(relocated.programs.iter().all(|p| p.poisoned.is_empty()));
    let mut input = [0; 256];
    input[..16].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let out = out_of(&object, "offset_moved", input, &Target::with_btf(&types)).unwrap();
    assert_eq!(out[..4], [1, 2, 3, 4]);
}
