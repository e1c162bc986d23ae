//! What the tests on a running kernel share.
#![allow(dead_code, reason = "each test file uses its part")]

use asm::Builder;
use bpf_sys::map::MapCreate;
use bpf_sys::prog::{ProgType, TestRun};
use loader::{Collection, LoadOptions, Loader, MapKind, MapSpec, Object, ProgramSpec, Target, Variable};
use std::path::PathBuf;

/// Why this process cannot use bpf(2); `None` where it can.
pub fn no_bpf() -> Option<String> {
    if let Err(e) = bpf_sys::memlock::ensure() {
        return Some(e.to_string());
    }
    let map = MapCreate { key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() }.create();
    map.err().map(|e| e.to_string())
}

/// Leaves the test with a line on stderr where bpf(2) is not to be had.
#[macro_export]
macro_rules! skip_unless_bpf {
    ($name:literal) => {
        if let Some(reason) = common::no_bpf() {
            eprintln!("SKIP {}: {reason}", $name);
            return;
        }
    };
}

/// A folder of this test's own in a BPF file system, removed with its pins in the end; without one, a line on stderr.
pub fn pin_folder(test: &str) -> Option<PinFolder> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let path = fields.next()?;
        (fields.next()? == "bpf").then(|| PathBuf::from(path))
    });
    let Some(root) = found else {
        eprintln!("SKIP {test}: no BPF file system is mounted");
        return None;
    };
    Some(PinFolder(root.join(format!("tw_{test}_{}", std::process::id()))))
}

pub struct PinFolder(pub PathBuf);

impl Drop for PinFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An object that needs no relocation.
pub fn object(name: &str) -> Object {
    let mut object = Object::new(name);
    object.relocated = true;
    object
}

/// A program of the assembler's.
pub fn program(name: &str, prog_type: ProgType, build: impl FnOnce(&mut Builder)) -> ProgramSpec {
    let mut builder = Builder::new();
    build(&mut builder);
    ProgramSpec::from_program(name, prog_type, builder.finish().unwrap())
}

/// A data map with variables of these names and sizes, one after the other.
pub fn data(name: &str, kind: MapKind, variables: &[(&str, u32)]) -> MapSpec {
    let size: u32 = variables.iter().map(|(_, size)| size).sum();
    let mut spec = MapSpec::new_data(name, kind, vec![0; size as usize]);
    let mut offset = 0;
    for (name, size) in variables {
        spec.variables.push(Variable { name: (*name).to_owned(), offset, size: *size, type_id: None });
        offset += size;
    }
    spec
}

pub fn load_with(object: &Object, options: LoadOptions) -> loader::Result<Collection> {
    let target = Target::running()?;
    Loader::new(&target, options).load(object)
}

pub fn load(object: &Object) -> loader::Result<Collection> {
    load_with(object, LoadOptions::default())
}

/// Runs a socket filter on a made-up packet.
pub fn run(collection: &Collection, name: &str) -> u32 {
    let program = collection.program(name).expect("the program is loaded");
    program.prog.test_run(TestRun { data: &[0; 64], ..TestRun::default() }).unwrap().retval
}
