//! Explanations as a new user meets them: programs that are refused, one for each common reason, and all that is said of each.
//! The kernel is always 6.12, without its types, so that every machine says the same.

use asm::{AsmMapKind, Assembly};
use bpf_sys::map::{MapFlags, MapType};
use expect_test::{Expect, expect};
use loader::{MapKind, MapSpec, Object, ProgramSpec, Target};
use std::fmt::Write;
use tracewell_jit_check::explain::explain;
use tracewell_jit_check::kernel::{Kernel, Privileges, Version};
use tracewell_jit_check::verifier::Options;
use tracewell_jit_check::{Program, prepare};

struct Case {
    name: &'static str,
    section: &'static str,
    text: &'static str,
    privileges: Privileges,
}

/// For a loader that may do everything.
const fn case(name: &'static str, section: &'static str, text: &'static str) -> Case {
    Case { name, section, text, privileges: Privileges::Full }
}

/// For a loader without capabilities.
const fn unprivileged(name: &'static str, section: &'static str, text: &'static str) -> Case {
    Case { name, section, text, privileges: Privileges::None }
}

fn map_spec(map: &asm::AsmMap) -> MapSpec {
    let bytes = map.data.clone().unwrap_or_default();
    match map.kind {
        AsmMapKind::Rodata => MapSpec::new_data(map.name.clone(), MapKind::Rodata, bytes),
        _ => {
            let map_type = MapType::from_name(&map.map_type).expect("a type of maps");
            let (key, value) = (map.key_size, map.value_size);
            let mut spec = MapSpec::new(map.name.clone(), map_type, key, value, map.max_entries);
            spec.flags = MapFlags::from_bits_retain(map.flags);
            spec
        }
    }
}

fn program(case: &Case, kernel: &Kernel<'_>) -> Program {
    let assembly: Assembly = asm::assemble(case.text).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let mut object = Object::new("explain");
    object.license = assembly.license.clone().unwrap_or_else(|| "GPL".to_owned());
    object.maps = assembly.maps.iter().map(map_spec).collect();
    let spec = ProgramSpec::in_section("prog", case.section, assembly.program.clone());
    let mut spec = spec.expect("a section's name");
    if assembly.funcs.is_empty() {
        spec.funcs.push(loader::FuncSpec { name: "prog".to_owned(), insn: 0, type_id: None });
    }
    for func in &assembly.funcs {
        spec.funcs.push(loader::FuncSpec { name: func.name.clone(), insn: func.insn, type_id: None });
    }
    object.programs.push(spec);
    let Version(major, minor) = kernel.version;
    let target = Target::described(None)
        .version_is(u32::from(major) << 16 | u32::from(minor) << 8)
        .features_are(true, true)
        .modules_are(Vec::new());
    let object = object.relocate(&target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    prepare(&object, 0, kernel).unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

fn said(cases: &[Case], expected: Expect) {
    let kernel = Kernel::new(Version(6, 12), None);
    let mut all = String::new();
    for case in cases {
        let mut options = Options::default();
        options.privileges = case.privileges;
        let explanation = explain(&program(case, &kernel), &kernel, &options);
        let explanation = explanation.unwrap_or_else(|| panic!("{}: this is accepted", case.name));
        writeln!(all, "{}: {}\n{explanation}", case.name, explanation.reason).expect("a string grows");
    }
    expected.assert_eq(&all);
}

#[test]
fn registers() {
    said(
        &[
            case("a result that nobody sets", "socket", "exit"),
            case(
                "an argument lost in a call",
                "socket",
                "
                call bpf_ktime_get_ns
                r2 = r1
                r0 = 0
                exit",
            ),
            case(
                "an uninitialized register",
                "socket",
                "
                r0 = r6
                exit",
            ),
            case(
                "a number as a pointer",
                "tracepoint/x/y",
                "
                r1 = 4096
                r0 = *(u64 *)(r1 +0)
                exit",
            ),
            case(
                "a pointer out of the context",
                "kprobe/f",
                "
                r6 = *(u64 *)(r1 +112)
                r6 += 16
                r0 = *(u64 *)(r6 +8)
                exit",
            ),
            case(
                "arithmetic with the context",
                "socket",
                "
                r2 = *(u32 *)(r1 +0)
                r1 += r2
                r0 = *(u8 *)(r1 +0)
                exit",
            ),
            case(
                "two pointers are added",
                "socket",
                "
                r1 += r10
                r0 = 0
                exit",
            ),
            case(
                "32 bits of a pointer",
                "socket",
                "
                w1 += 4
                r0 = 0
                exit",
            ),
        ],
        expect![[r#"
            a result that nobody sets: R0 !read_ok
              instruction 0: exit
              r0 is the result, and it has no value on this path
              what to do: give r0 a value on every path; in C, a function without `return` does not

            an argument lost in a call: R1 !read_ok
              instruction 1: r2 = r1
              the call at instruction 0 left nothing in r1 to r5
              what to do: keep what is needed after a call in r6 to r9 or on the stack; in C, in a variable of its own

            an uninitialized register: R6 !read_ok
              instruction 0: r0 = r6
              r6 is read before it was written
              what to do: give it a value on every path that leads here; in C, initialize the variable

            a number as a pointer: R1 invalid mem access 'scalar'
              instruction 1: r0 = *(u64 *)(r1 +0)
              r1 is a plain number, and the verifier knows no memory at it
              r1 is the number 4096 (0x1000)
              it got there so:
                   0: r1 = 4096   r1 is the number 4096 (0x1000)
              what to do: get addresses from maps, helpers or the context; read any other kernel address by bpf_probe_read_kernel()

            a pointer out of the context: R6 invalid mem access 'scalar'
              instruction 2: r0 = *(u64 *)(r6 +8)
              r6 is a number to the verifier, not a pointer that it knows the target of
              r6 is a number, which may be any
              it got there so:
                   0: r6 = *(u64 *)(r1 +112)   r6 is a number, which may be any
                   1: r6 += 16                 r6 is a number, which may be any
              what to do: read kernel memory by bpf_probe_read_kernel() or BPF_CORE_READ(), user memory by bpf_probe_read_user(); pointers of maps and helpers lose their type in arithmetic and in 32-bit copies

            arithmetic with the context: variable ctx access var_off=(0x0; 0xffffffff) disallowed
              instruction 2: r0 = *(u8 *)(r1 +0)
              the place in the context must be a constant
              r1 is a pointer to the context, offset 0 plus from 0 to 0xffffffff
              it got there so:
                   1: r1 += r2   r1 is a pointer to the context, offset 0 plus from 0 to 0xffffffff
              what to do: name the member in the access itself; choose between members by comparing (`if` or `switch`), not by computing an address

            two pointers are added: R1 pointer += pointer prohibited
              instruction 0: r1 += r10
              two pointers cannot be added, only a number to a pointer
              r1 is a pointer to the context
              what to do: look which of both was meant to be a number, and load it from where the pointer points

            32 bits of a pointer: R1 32-bit pointer arithmetic prohibited
              instruction 0: w1 += 4
              an operation of 32 bits would cut the pointer in half
              r1 is a pointer to the context
              what to do: compute with all 64 bits (`r1 += 4`, not `w1 += 4`); in C, do not keep pointers in an int

        "#]],
    );
}

#[test]
fn maps() {
    said(
        &[
            case(
                "a result of a look-up, not compared",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                r0 = *(u64 *)(r0 +0)
                exit",
            ),
            case(
                "behind the value",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                r1 = *(u64 *)(r0 +12)
                out: r0 = 0
                exit",
            ),
            case(
                "in front of the value",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                r1 = *(u64 *)(r0 -8)
                out: r0 = 0
                exit",
            ),
            case(
                "an index without limits",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                r6 = *(u32 *)(r1 +0)
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                r0 += r6
                r0 = *(u8 *)(r0 +0)
                out: exit",
            ),
            case(
                "an index compared with the wrong limit",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                r6 = *(u32 *)(r1 +0)
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                if r6 > 16 goto out
                r0 += r6
                r0 = *(u8 *)(r0 +0)
                out: r0 = 0
                exit",
            ),
            case(
                "an index that may be negative",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                call bpf_get_prandom_u32
                r6 = r0
                r6 <<= 32
                r6 s>>= 32
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                if r6 s> 15 goto out
                r0 += r6
                r0 = *(u8 *)(r0 +0)
                out: r0 = 0
                exit",
            ),
            case(
                "a constant is overwritten",
                "socket",
                "
                .rodata limits 01 02 03 04
                r1 = map[limits][0]
                *(u8 *)(r1 +0) = 7
                r0 = 0
                exit",
            ),
            case(
                "a lock without types",
                "xdp",
                "
                .map m type=array key=4 value=16 entries=1
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                r1 = r0
                call bpf_spin_lock
                out: r0 = 0
                exit",
            ),
        ],
        expect![[r#"
            a result of a look-up, not compared: R0 invalid mem access 'map_value_or_null'
              instruction 6: r0 = *(u64 *)(r0 +0)
              r0 may be NULL here: the result of bpf_map_lookup_elem() was not checked
              r0 is a pointer to a map's value of 16 bytes, or NULL
              it got there so:
                   5: call bpf_map_lookup_elem#1   r0 is a pointer to a map's value of 16 bytes, or NULL
              what to do: compare the pointer with NULL before using it, and return when it is

            behind the value: R0 min value is outside of the allowed memory range
              instruction 7: r1 = *(u64 *)(r0 +12)
              8 bytes at offset 12 are accessed, where there are 16
              r0 is a pointer to a map's value of 16 bytes
              it got there so:
                   5: call bpf_map_lookup_elem#1   r0 is a pointer to a map's value of 16 bytes, or NULL
                   6: if r0 == 0x0 goto pc+1       r0 is a pointer to a map's value of 16 bytes
              what to do: stay within bytes 0 to 15, or make it larger

            in front of the value: R0 min value is outside of the allowed memory range
              instruction 7: r1 = *(u64 *)(r0 -8)
              8 bytes at offset -8 are accessed, where there are 16
              r0 is a pointer to a map's value of 16 bytes
              it got there so:
                   5: call bpf_map_lookup_elem#1   r0 is a pointer to a map's value of 16 bytes, or NULL
                   6: if r0 == 0x0 goto pc+1       r0 is a pointer to a map's value of 16 bytes
              what to do: access nothing in front of it: offsets begin at 0

            an index without limits: R0 unbounded memory access, make sure to bounds check any such access
              instruction 9: r0 = *(u8 *)(r0 +0)
              a size or offset is not limited to what is there
              r0 is a pointer to a map's value of 16 bytes, offset 0 plus from 0 to 0xffffffff
              it got there so:
                   6: call bpf_map_lookup_elem#1   r0 is a pointer to a map's value of 16 bytes, or NULL
                   7: if r0 == 0x0 goto pc+2       r0 is a pointer to a map's value of 16 bytes
                   8: r0 += r6                     r0 is a pointer to a map's value of 16 bytes, offset 0 plus from 0 to 0xffffffff
              what to do: from 0 to 0xffffffff was added to the pointer, and less than 16 may be: mask the index (`& 0xf`) or compare it (`if (i >= 16) return 0;`) as an unsigned number before it is added

            an index compared with the wrong limit: R0 max value is outside of the allowed memory range
              instruction 10: r0 = *(u8 *)(r0 +0)
              a size or offset is not limited to what is there
              r0 is a pointer to a map's value of 16 bytes, offset 0 plus from 0 to 16
              it got there so:
                   6: call bpf_map_lookup_elem#1   r0 is a pointer to a map's value of 16 bytes, or NULL
                   7: if r0 == 0x0 goto pc+3       r0 is a pointer to a map's value of 16 bytes
                   9: r0 += r6                     r0 is a pointer to a map's value of 16 bytes, offset 0 plus from 0 to 16
              what to do: from 0 to 16 was added to the pointer, and less than 16 may be: mask the index (`& 0xf`) or compare it (`if (i >= 16) return 0;`) as an unsigned number before it is added

            an index that may be negative: value -2147483648 makes map_value pointer be out of bounds
              instruction 12: r0 += r6
              the number that is added may take the pointer far outside, to where it wraps around
              what to do: limit the number on both sides before it is added (`if (i < 0 || i >= N) return 0;`), or make it unsigned

            a constant is overwritten: write into map forbidden, value_size=4 off=0 size=1
              instruction 2: *(u8 *)(r1 +0) = 7
              this memory is read-only for programs
              r1 is a pointer to a map's value of 4 bytes
              it got there so:
                   0: r1 = map[id:0][0]+0   r1 is a pointer to a map's value of 4 bytes
              what to do: constants (.rodata) and BTF-typed kernel memory cannot be written: use a variable in .data or .bss, or a helper

            a lock without types: map 'm' has to have BTF in order to use bpf_spin_lock
              instruction 8: call bpf_spin_lock#93
              the kernel finds the lock by the type of the map's value, and this map has no types
              what to do: declare the map with `__type(value, struct ...)` and a `struct bpf_spin_lock` in it, and compile with -g

        "#]],
    );
}

#[test]
fn packets() {
    said(
        &[
            case(
                "a packet, not compared with its end",
                "xdp",
                "
                r2 = *(u32 *)(r1 +0)
                r0 = *(u8 *)(r2 +12)
                r0 = 2
                exit",
            ),
            case(
                "a packet, compared for less than is read",
                "xdp",
                "
                r2 = *(u32 *)(r1 +0)
                r3 = *(u32 *)(r1 +4)
                r4 = r2; r4 += 14
                if r4 > r3 goto out
                r0 = *(u32 *)(r2 +12)
                out: r0 = 2
                exit",
            ),
            case(
                "a packet after a call that changes it",
                "tc",
                "
                r6 = r1
                r2 = 64
                call bpf_skb_pull_data
                r7 = *(u32 *)(r6 +76)
                r8 = *(u32 *)(r6 +80)
                r0 = r7; r0 += 14
                if r0 > r8 goto out
                r1 = r6
                r2 = 64
                call bpf_skb_pull_data
                r0 = *(u8 *)(r7 +0)
                out: r0 = 0
                exit",
            ),
            case(
                "the packet's end is followed",
                "xdp",
                "
                r2 = *(u32 *)(r1 +4)
                r0 = *(u8 *)(r2 +0)
                exit",
            ),
        ],
        expect![[r#"
            a packet, not compared with its end: R2 offset is outside of the packet
              instruction 1: r0 = *(u8 *)(r2 +12)
              byte 12 of the packet is accessed, and it was not compared with its end
              r2 is a pointer into the packet, not compared with its end
              it got there so:
                   0: r2 = *(u32 *)(r1 +0)   r2 is a pointer into the packet, not compared with its end
              what to do: compare right before: `if (data + 13 > data_end) return ...;`, and again after every call that may change the packet

            a packet, compared for less than is read: R2 offset is outside of the packet
              instruction 5: r0 = *(u32 *)(r2 +12)
              bytes 12 to 15 of the packet are accessed, and only 14 are known to be there
              r2 is a pointer into the packet, 14 bytes of it checked
              it got there so:
                   0: r2 = *(u32 *)(r1 +0)   r2 is a pointer into the packet, not compared with its end
              what to do: compare right before: `if (data + 16 > data_end) return ...;`, and again after every call that may change the packet

            a packet after a call that changes it: R7 invalid mem access 'scalar'
              instruction 11: r0 = *(u8 *)(r7 +0)
              bpf_skb_pull_data() at instruction 10 may have moved the packet: all pointers into it are forgotten
              r7 is a number, which may be any
              it got there so:
                   3: r7 = *(u32 *)(r6 +76)   r7 is a pointer into the packet, not compared with its end
              what to do: load data and data_end from the context again after the call, and compare again

            the packet's end is followed: R2 invalid mem access 'pkt_end'
              instruction 1: r0 = *(u8 *)(r2 +0)
              the packet's end can only be compared with
              r2 is the packet's end
              it got there so:
                   0: r2 = *(u32 *)(r1 +4)   r2 is the packet's end
              what to do: read through a pointer to the packet's data, below its end

        "#]],
    );
}

#[test]
fn stack() {
    said(
        &[
            unprivileged(
                "a variable that was never written",
                "socket",
                "
                r0 = *(u64 *)(r10 -8)
                r0 = 0
                exit",
            ),
            unprivileged(
                "a key of which half is written",
                "socket",
                "
                .map m type=hash key=8 value=8 entries=4
                *(u32 *)(r10 -8) = 1
                r1 = map[m]
                r2 = r10; r2 += -8
                call bpf_map_lookup_elem
                r0 = 0
                exit",
            ),
            case(
                "too much stack",
                "socket",
                "
                *(u64 *)(r10 -520) = 0
                r0 = 0
                exit",
            ),
            case(
                "above the frame",
                "socket",
                "
                *(u64 *)(r10 +8) = 0
                r0 = 0
                exit",
            ),
            case(
                "frames together too large",
                "socket",
                "
                .func main
                *(u64 *)(r10 -400) = 0
                call pc+1
                exit
                .func two
                *(u64 *)(r10 -400) = 0
                r0 = 0
                exit",
            ),
            case(
                "an index into the stack",
                "socket",
                "
                r2 = *(u32 *)(r1 +0)
                r3 = r10
                r3 += r2
                *(u8 *)(r3 +0) = 1
                r0 = 0
                exit",
            ),
            case(
                "an address between",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                r1 = *(u32 *)(r10 -3)
                out: r0 = 0
                exit",
            ),
        ],
        expect![[r#"
            a variable that was never written: invalid read from stack R10 off=-8 size=8
              instruction 0: r0 = *(u64 *)(r10 -8)
              bytes of the stack are read that were never written, often padding of a structure
              r10 is the frame pointer
              what to do: clear the variable first (`= {}` leaves padding alone: use __builtin_memset), or pass its exact size

            a key of which half is written: invalid indirect read from stack R2 off -8+4 size 8
              instruction 5: call bpf_map_lookup_elem#1
              bytes of the stack are read that were never written, often padding of a structure
              r2 is the frame pointer-8
              it got there so:
                   3: r2 = r10   r2 is the frame pointer
                   4: r2 += -8   r2 is the frame pointer-8
              what to do: clear the variable first (`= {}` leaves padding alone: use __builtin_memset), or pass its exact size

            too much stack: invalid write to stack R10 off=-520 size=8
              instruction 0: *(u64 *)(r10 -520) = 0
              more than 512 bytes of stack are used
              r10 is the frame pointer
              what to do: move large variables into a per-CPU array of one element, and look it up

            above the frame: invalid write to stack R10 off=8 size=8
              instruction 0: *(u64 *)(r10 +8) = 0
              the stack grows down from the frame pointer: there is nothing above it
              r10 is the frame pointer
              what to do: use offsets from -512 to -1 from r10

            frames together too large: combined stack size of 2 calls is 800. Too large
              instruction 3: *(u64 *)(r10 -400) = 0
              more than 512 bytes of stack are used
              what to do: move large variables into a per-CPU array of one element, and look it up

            an index into the stack: invalid unbounded variable-offset write to stack R3
              instruction 3: *(u8 *)(r3 +0) = 1
              the access lies outside of the variable on the stack, or at an offset that is not known
              r3 is the frame pointer plus from 0 to 0xffffffff
              it got there so:
                   1: r3 = r10   r3 is the frame pointer
                   2: r3 += r2   r3 is the frame pointer plus from 0 to 0xffffffff
              what to do: index the array with a limited variable, or move it into a map

            an address between: misaligned stack access off 0+0+-3 size 4
              instruction 7: r1 = *(u32 *)(r10 -3)
              the address is not a multiple of the access's size
              r10 is the frame pointer
              what to do: align the member, or copy bytes with __builtin_memcpy()

        "#]],
    );
}

#[test]
fn contexts() {
    said(
        &[
            case(
                "a member that is not for this type",
                "socket",
                "
                r0 = *(u32 *)(r1 +76)
                exit",
            ),
            case(
                "behind the context",
                "socket",
                "
                r0 = *(u32 *)(r1 +400)
                exit",
            ),
            case(
                "a context that is read-only",
                "socket",
                "
                *(u32 *)(r1 +0) = 1
                r0 = 0
                exit",
            ),
            case(
                "a context at an odd place",
                "socket",
                "
                r0 = *(u32 *)(r1 +3)
                exit",
            ),
        ],
        expect![[r#"
            a member that is not for this type: invalid bpf_context access off=76 size=4
              instruction 0: r0 = *(u32 *)(r1 +76)
              a program of type socket_filter may not read 4 bytes at offset 76 of its context
              r1 is a pointer to the context
              what to do: use the context structure of this type of program and its members' own sizes; some members are only for other types, or for newer kernels

            behind the context: invalid bpf_context access off=400 size=4
              instruction 0: r0 = *(u32 *)(r1 +400)
              a program of type socket_filter may not read 4 bytes at offset 400 of its context
              r1 is a pointer to the context
              what to do: use the context structure of this type of program and its members' own sizes; some members are only for other types, or for newer kernels

            a context that is read-only: invalid bpf_context access off=0 size=4
              instruction 0: *(u32 *)(r1 +0) = 1
              a program of type socket_filter may not write 4 bytes at offset 0 of its context
              r1 is a pointer to the context
              what to do: few members may be written, and which ones depends on the program's type; change packets and sockets by helpers

            a context at an odd place: invalid bpf_context access off=3 size=4
              instruction 0: r0 = *(u32 *)(r1 +3)
              a program of type socket_filter may not read 4 bytes at offset 3 of its context
              r1 is a pointer to the context
              what to do: 3 is no multiple of 4: read the member at its own offset, with its own size

        "#]],
    );
}

#[test]
fn calls() {
    said(
        &[
            case(
                "the context in place of a key",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                r2 = r1
                r1 = map[m]
                call bpf_map_lookup_elem
                r0 = 0
                exit",
            ),
            case(
                "a helper that other types have",
                "socket",
                "
                r1 = 9
                call bpf_send_signal
                r0 = 0
                exit",
            ),
            case(
                "a helper that there is not",
                "socket",
                "
                call 9999
                r0 = 0
                exit",
            ),
            case(
                "a GPL-only helper",
                "kprobe/f",
                "
                .license Proprietary
                r6 = r1
                r1 = r10
                r1 += -8
                r2 = 8
                r3 = 0
                call bpf_probe_read_kernel
                r0 = 0
                exit",
            ),
            case(
                "a size that may be zero or huge",
                "kprobe/f",
                "
                r6 = *(u64 *)(r1 +112)
                r1 = r10
                r1 += -16
                r2 = r6
                r3 = 0
                call bpf_probe_read_kernel
                r0 = 0
                exit",
            ),
            case(
                "a size that is too large",
                "kprobe/f",
                "
                r1 = r10
                r1 += -16
                r2 = 32
                r3 = 0
                call bpf_probe_read_kernel
                r0 = 0
                exit",
            ),
            case(
                "a function of fewer arguments than it reads",
                "socket",
                "
                .func main
                call pc+1
                exit
                .func two
                r0 = r2
                exit",
            ),
            case(
                "a map of another kind",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                r2 = map[m]
                r3 = 0
                call bpf_tail_call
                r0 = 0
                exit",
            ),
        ],
        expect![[r#"
            the context in place of a key: R2 type=ctx expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_
              instruction 3: call bpf_map_lookup_elem#1
              bpf_map_lookup_elem() takes no pointer to the context as this argument, but one to memory
              r2 is a pointer to the context
              it got there so:
                   0: r2 = r1   r2 is a pointer to the context
              what to do: copy the member to the stack and pass the address of the copy

            a helper that other types have: program of this type cannot use helper bpf_send_signal#109
              instruction 1: call bpf_send_signal#109
              bpf_send_signal() is not for programs of type socket_filter (it came with Linux 5.3)
              what to do: use a program type that has it, or another helper; `tracewell feature` lists who has which

            a helper that there is not: invalid func unknown#9999
              instruction 0: call unknown#9999
              there is no helper number 9999 here
              what to do: the program was made for a newer kernel, or calls what could not be relocated

            a GPL-only helper: cannot call GPL-restricted function from non-GPL compatible program
              instruction 5: call bpf_probe_read_kernel#113
              this function is for GPL-compatible programs only, and the licence is ""
              what to do: declare `char LICENSE[] SEC("license") = "GPL";` if that is what it may be

            a size that may be zero or huge: R2 min value is negative, either use unsigned or 'var &= const'
              instruction 5: call bpf_probe_read_kernel#113
              a size or offset may be negative
              r2 is a number, which may be any
              it got there so:
                   0: r6 = *(u64 *)(r1 +112)   r6 is a number, which may be any
                   3: r2 = r6                  r2 is a number, which may be any
              what to do: use an unsigned type, and limit it: `if (len > sizeof(buf)) len = sizeof(buf);` or `len &= MASK`

            a size that is too large: invalid indirect access to stack R1 off=-16 size=32
              instruction 4: call bpf_probe_read_kernel#113
              the call is told of 32 bytes from fp-16, and the stack ends before that
              r1 is the frame pointer-16
              it got there so:
                   0: r1 = r10    r1 is the frame pointer
                   1: r1 += -16   r1 is the frame pointer-16
              what to do: pass the size of the variable itself (`sizeof(buf)`), or make the variable larger

            a function of fewer arguments than it reads: R2 !read_ok
              instruction 2: r0 = r2
              r2 is an argument of this function that its caller did not set
              what to do: pass every argument that the function reads

            a map of another kind: kernel subsystem misconfigured verifier
              instruction 3: call bpf_tail_call#12
              bpf_tail_call() takes a map of type prog_array, which this one is not
              what to do: declare the map as BPF_MAP_TYPE_PROG_ARRAY

        "#]],
    );
}

#[test]
fn references() {
    said(
        &[
            case(
                "a socket is not released",
                "tc",
                "
                *(u64 *)(r10 -16) = 0
                *(u64 *)(r10 -8) = 0
                r2 = r10; r2 += -16
                r3 = 12
                r4 = 0
                r5 = 0
                call bpf_sk_lookup_tcp
                r0 = 0
                exit",
            ),
            case(
                "a record is reserved and forgotten",
                "tracepoint/x/y",
                "
                .map r type=ringbuf entries=4096
                r1 = map[r]
                r2 = 8
                r3 = 0
                call bpf_ringbuf_reserve
                if r0 == 0 goto out
                r1 = *(u64 *)(r10 -8)
                r0 = 0
                out: exit",
            ),
            case(
                "a record is not submitted",
                "tracepoint/x/y",
                "
                .map r type=ringbuf entries=4096
                r6 = r1
                r1 = map[r]
                r2 = 8
                r3 = 0
                call bpf_ringbuf_reserve
                if r0 == 0 goto out
                r1 = *(u64 *)(r6 +8)
                *(u64 *)(r0 +0) = r1
                if r1 == 7 goto out
                r1 = r0
                r2 = 0
                call bpf_ringbuf_submit
                out: r0 = 0
                exit",
            ),
            case(
                "a record is used after it was submitted",
                "tracepoint/x/y",
                "
                .map r type=ringbuf entries=4096
                r1 = map[r]
                r2 = 8
                r3 = 0
                call bpf_ringbuf_reserve
                if r0 == 0 goto out
                r6 = r0
                r1 = r0
                r2 = 0
                call bpf_ringbuf_submit
                *(u64 *)(r6 +0) = 1
                out: r0 = 0
                exit",
            ),
        ],
        expect![[r#"
            a socket is not released: Unreleased reference id=2 alloc_insn=7
              instruction 9: exit
              what bpf_sk_lookup_tcp() gave at instruction 7 is not given back on this path
              it got there so:
                   7: call bpf_sk_lookup_tcp#84   acquired here
              what to do: compare it with NULL, and call bpf_sk_release() with it on every path to the end

            a record is reserved and forgotten: Unreleased reference id=2 alloc_insn=4
              instruction 8: exit
              what bpf_ringbuf_reserve() gave at instruction 4 is not given back on this path
              it got there so:
                   4: call bpf_ringbuf_reserve#131   acquired here
                   5: if r0 == 0x0 goto pc+2         not taken
              what to do: call bpf_ringbuf_submit() or bpf_ringbuf_discard() with it on every path to the end

            a record is not submitted: Unreleased reference id=2 alloc_insn=5
              instruction 14: exit
              what bpf_ringbuf_reserve() gave at instruction 5 is not given back on this path
              it got there so:
                   5: call bpf_ringbuf_reserve#131   acquired here
                   6: if r0 == 0x0 goto pc+6         not taken
                   9: if r1 == 0x7 goto pc+3         taken, to instruction 13
              what to do: call bpf_ringbuf_submit() or bpf_ringbuf_discard() with it on every path to the end

            a record is used after it was submitted: R6 invalid mem access 'scalar'
              instruction 10: *(u64 *)(r6 +0) = 1
              bpf_ringbuf_submit() at instruction 9 gave back what it points to: the pointer is worth nothing afterwards
              r6 is a number, which may be any
              it got there so:
                   4: call bpf_ringbuf_reserve#131   r0 is a pointer to 8 bytes of memory, or NULL
                   5: if r0 == 0x0 goto pc+5         r0 is a pointer to 8 bytes of memory
                   6: r6 = r0                        r6 is a pointer to 8 bytes of memory
              what to do: use the pointer before that call, or do not give it back yet

        "#]],
    );
}

#[test]
fn control() {
    said(
        &[
            case(
                "a loop that goes nowhere",
                "socket",
                "
                r0 = 0
                again: r1 = 1
                goto again
                exit",
            ),
            case(
                "a loop with a condition that never changes",
                "socket",
                "
                r6 = *(u32 *)(r1 +0)
                again: r0 = 0
                if r6 != 7 goto again
                exit",
            ),
            case(
                "a loop that counts to a number nobody knows",
                "socket",
                "
                call bpf_get_prandom_u32
                r6 = r0
                r7 = 0
                again: r7 += 1
                if r7 < r6 goto again
                r0 = 0
                exit",
            ),
            unprivileged(
                "a loop without privileges",
                "socket",
                "
                r1 = 5
                again: r1 += -1
                if r1 != 0 goto again
                r0 = 0
                exit",
            ),
            case(
                "code that nothing leads to",
                "socket",
                "
                r0 = 0
                exit
                r0 = 1
                exit",
            ),
            case(
                "a jump behind the end",
                "socket",
                "
                r0 = 0
                if r0 == 1 goto +5
                exit",
            ),
            case(
                "no end",
                "socket",
                "
                r0 = 0
                r1 = 1",
            ),
            case(
                "a division by the constant zero",
                "socket",
                "
                r0 = 5
                r0 /= 0
                exit",
            ),
            case(
                "an instruction that is none",
                "socket",
                "
                .raw 0xff
                r0 = 0
                exit",
            ),
            case(
                "a result of a cgroup's program",
                "cgroup/bind4",
                "
                r0 = 5
                exit",
            ),
            case(
                "a result that is not known",
                "cgroup_skb/egress",
                "
                r0 = *(u32 *)(r1 +0)
                exit",
            ),
            case(
                "recursion",
                "socket",
                "
                .func main
                call pc+1
                exit
                .func two
                call pc-1
                exit",
            ),
            case(
                "a shift by too much",
                "socket",
                "
                r0 = 1
                r0 <<= 64
                exit",
            ),
        ],
        expect![[r#"
            a loop that goes nowhere: unreachable insn 3
              instruction 3: exit
              no path leads to this instruction, and the kernel takes no dead code here
              what to do: remove it, or jump to it; a compiler leaves none with -O2; a function that nobody calls must be static

            a loop with a condition that never changes: infinite loop detected at insn 1
              instruction 1: r0 = 0
              this loop has no bound the verifier can see: a round changes nothing that would end it
              it got there so:
                   2: if r6 != 0x7 goto pc-2   back to instruction 1
              what to do: count the rounds, and leave the loop at a constant (`for (int i = 0; i < 64; i++)`)

            a loop that counts to a number nobody knows: BPF program is too large. Processed 1000001 insn
              instruction 4: if r7 < r6 goto pc-2
              this loop has no bound the verifier can see, or more rounds than it walks through one by one
              it got there so:
                   4: if r7 < r6 goto pc-2   back to instruction 3
              what to do: leave the loop at a small constant also where the number of rounds is a variable (`for (i = 0; i < n && i < 64; i++)`), or use bpf_loop() (Linux 5.17) or bpf_for() (6.4), whose body is verified once

            a loop without privileges: back-edge from insn 2 to 1
              instruction 2: if r1 != 0x0 goto pc-2
              this loop has no bound the verifier can see: without CAP_BPF, and before Linux 5.3, it sees none and takes no loops at all
              it got there so:
                   2: if r1 != 0x0 goto pc-2   back to instruction 1
              what to do: unroll it (`#pragma unroll`, with a constant number of rounds), or load it with CAP_BPF

            code that nothing leads to: unreachable insn 2
              instruction 2: r0 = 1
              no path leads to this instruction, and the kernel takes no dead code here
              what to do: remove it, or jump to it; a compiler leaves none with -O2; a function that nobody calls must be static

            a jump behind the end: jump out of range from insn 1 to 7
              instruction 1: if r0 == 0x1 goto pc+5
              the jump leads outside of the program or of its function
              what to do: let it end at an instruction of the same function: a label does

            no end: last insn is not an exit or jmp
              instruction 1: r1 = 1
              the function's last instruction lets execution run on behind its end
              what to do: end it with `exit`; in C, with `return`, and compile with -O2

            a division by the constant zero: div by zero
              instruction 1: r0 /= 0
              the divisor is the constant 0
              what to do: divide by something else

            an instruction that is none: unknown opcode ff
              instruction 0: invalid: opcode 0xff is no instruction: arithmetic operations end at 0xd0
              this is no instruction that the kernel knows
              what to do: look whether the bytes are instructions at all (`tracewell prog disasm`); compile for an older instruction set (`-mcpu=v3`) where the kernel is older than the compiler

            a result of a cgroup's program: At program exit the register R0 has smin=5 smax=5 should have been in [0, 3]
              instruction 1: exit
              a program of type cgroup_sock_addr may only return a number in [0, 3]
              r0 is the number 5
              it got there so:
                   0: r0 = 5   r0 is the number 5
              what to do: set r0 to a constant of that range right before the exit, on every path

            a result that is not known: At program exit the register R0 has smin=0 smax=4294967295 should have been in [0, 3]
              instruction 1: exit
              a program of type cgroup_skb may only return a number in [0, 3]
              r0 is a number, from 0 to 0xffffffff
              it got there so:
                   0: r0 = *(u32 *)(r1 +0)   r0 is a number, from 0 to 0xffffffff
              what to do: set r0 to a constant of that range right before the exit, on every path

            recursion: the call stack of 9 frames is too deep
              instruction 2: call pc-1
              functions may be 8 calls deep, and a function may not come back to itself
              what to do: make a loop of the recursion, with a bound

            a shift by too much: invalid shift 64
              instruction 1: r0 <<= 64
              numbers have 64 bits (32 in the w registers), and it shifts by as many or more
              what to do: shift by 0 to 63 (0 to 31 for w registers)

        "#]],
    );
}

#[test]
fn privileges() {
    said(
        &[
            unprivileged(
                "an address as a result",
                "socket",
                "
                r0 = r10
                exit",
            ),
            unprivileged(
                "an address in a map",
                "socket",
                "
                .map m type=array key=4 value=16 entries=1
                *(u32 *)(r10 -4) = 0
                r1 = map[m]
                r2 = r10; r2 += -4
                call bpf_map_lookup_elem
                if r0 == 0 goto out
                *(u64 *)(r0 +0) = r10
                out: r0 = 0
                exit",
            ),
            unprivileged(
                "an address is compared",
                "socket",
                "
                r0 = 0
                if r1 == 5 goto +0
                exit",
            ),
            unprivileged(
                "a type for privileged loaders only",
                "kprobe/f",
                "
                r0 = 0
                exit",
            ),
            unprivileged(
                "a function of its own",
                "socket",
                "
                .func main
                call pc+1
                exit
                .func two
                r0 = 0
                exit",
            ),
        ],
        expect![[r#"
            an address as a result: R0 leaks addr as return value
              instruction 1: exit
              the program would tell a kernel address, which takes CAP_PERFMON
              r0 is the frame pointer
              it got there so:
                   0: r0 = r10   r0 is the frame pointer
              what to do: run as root or with CAP_PERFMON, or keep pointers out of results, maps and comparisons

            an address in a map: R10 leaks addr into map
              instruction 7: *(u64 *)(r0 +0) = r10
              the program would tell a kernel address, which takes CAP_PERFMON
              r10 is the frame pointer
              what to do: run as root or with CAP_PERFMON, or keep pointers out of results, maps and comparisons

            an address is compared: R1 pointer comparison prohibited
              instruction 1: if r1 == 0x5 goto pc+0
              the program would tell a kernel address, which takes CAP_PERFMON
              r1 is a pointer to the context
              what to do: run as root or with CAP_PERFMON, or keep pointers out of results, maps and comparisons

            a type for privileged loaders only: 
              loading a program of type kprobe takes privileges
              what to do: load it as root, or with CAP_BPF and what its type needs: CAP_PERFMON for tracing, CAP_NET_ADMIN for networking; without any there are socket_filter and cgroup_skb programs only

            a function of its own: loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN
              instruction 0: call pc+1
              calls between a program's own functions take CAP_BPF
              what to do: load it with CAP_BPF, or let the compiler inline the function (`static __always_inline`)

        "#]],
    );
}
