//! The compiled objects of `tests/bpf`, and what tests of the loader do with each: load, run, look at variables.

use bpf_sys::prog::TestRun;
use loader::{Collection, LoadOptions, Loader, Object, Target};

/// The bytes of `tests/bpf/obj/NAME.o`, kept in the test binary: a guest has no repository.
#[macro_export]
macro_rules! object_bytes {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/obj/", $name, ".o")).as_slice()
    };
}

/// The parsed `tests/bpf/obj/NAME.o`.
#[macro_export]
macro_rules! object {
    ($name:literal) => {
        $crate::objects::parse($name, $crate::object_bytes!($name))
    };
}

/// Parses what is known to be right.
#[track_caller]
pub fn parse(name: &str, bytes: &[u8]) -> Object {
    Object::parse(name, bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Loads the whole object for the running kernel.
///
/// # Errors
///
/// Those of the loader.
pub fn load(object: &Object) -> loader::Result<Collection> {
    Loader::new(&Target::running()?, LoadOptions::default()).load(object)
}

/// Loads one program of the object.
///
/// # Errors
///
/// Those of the loader.
pub fn load_only(object: &Object, program: &str, target: &Target<'_>) -> loader::Result<Collection> {
    let options = LoadOptions { only: Some(vec![program.to_owned()]), ..LoadOptions::default() };
    Loader::new(target, options).load(object)
}

/// Runs a program on a packet of zeroes and returns what it returns.
#[track_caller]
pub fn run(collection: &Collection, program: &str) -> u32 {
    run_marked(collection, program, 0)
}

/// [`run`], with this mark on the packet.
#[track_caller]
pub fn run_marked(collection: &Collection, program: &str, mark: u32) -> u32 {
    let loaded = collection.program(program).unwrap_or_else(|| panic!("there is no program {program}"));
    let mut context = [0; 192];
    // `struct __sk_buff`: len, pkt_type, mark.
    context[8..12].copy_from_slice(&mark.to_ne_bytes());
    let context: &[u8] = if mark == 0 { &[] } else { &context };
    let input = TestRun { data: &[0; 64], ctx: context, ..TestRun::default() };
    loaded.prog.test_run(input).unwrap_or_else(|e| panic!("{program}: {e}")).retval
}
