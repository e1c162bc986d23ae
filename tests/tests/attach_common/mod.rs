//! What the tests of attaching share: programs that count.
#![allow(dead_code, reason = "each test file uses its part")]

use asm::{Builder, Helper, MapRef, R0, R1, R2, Size};
use bpf_sys::map::MapType;
use loader::{Collection, MapSpec, Object, ProgramSpec};
use probes::object::{self, AttachOptions, Attachment};
use tracewell_tests::objects::load;

/// What a program adds to the only value of its map.
#[derive(Clone, Copy, PartialEq)]
pub enum Adds {
    One,
    Cookie,
}

/// A program that adds to a counter in the process `pid` (any where 0), and answers `verdict`.
pub fn counting(pid: u32, adds: Adds, verdict: i32) -> asm::Program {
    let mut b = Builder::new();
    let out = b.label();
    if pid != 0 {
        // The context is needed after the call where there is a cookie.
        b.mov(asm::R6, R1)
            .call(Helper::GET_CURRENT_PID_TGID)
            .rsh_imm(R0, 32)
            .jne_imm(R0, pid.cast_signed(), out)
            .mov(R1, asm::R6);
    }
    match adds {
        Adds::One => b.mov_imm(R0, 1),
        Adds::Cookie => b.call(Helper::GET_ATTACH_COOKIE),
    };
    b.ld_map_value(R1, MapRef(0), 0).mov(R2, R0).atomic_add(Size::DW, R1, 0, R2);
    b.bind(out).mov_imm(R0, verdict).exit();
    b.finish().expect("the program is short")
}

pub fn object(section: &str, program: asm::Program) -> Object {
    let mut object = Object::new("attach_object");
    object.maps.push(MapSpec::new("count", MapType::Array, 4, 8, 1));
    object.programs.push(ProgramSpec::in_section("prog", section, program).expect("a known section"));
    object
}

/// A loaded program that counts, in a section of this name.
pub fn counter(section: &str, pid: u32, adds: Adds, verdict: i32) -> Collection {
    load(&object(section, counting(pid, adds, verdict))).unwrap_or_else(|e| panic!("{section}: {e}"))
}

pub fn count(collection: &Collection) -> u64 {
    let mut value = [0; 8];
    assert!(collection.map("count").unwrap().lookup(&[0; 4], &mut value).unwrap());
    u64::from_ne_bytes(value)
}

pub fn attach(collection: &Collection, options: &AttachOptions<'_>) -> Attachment {
    let program = collection.program("prog").unwrap();
    object::attach(program, options).unwrap_or_else(|e| panic!("{}: {e}", program.spec.section))
}
