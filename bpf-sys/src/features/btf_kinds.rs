//! Kinds of BTF that the kernel takes. The encoding is `Documentation/bpf/btf.rst`'s.

use super::Answer;
use crate::btf_obj::BtfObj;
use crate::errno::Errno;
use crate::error::Result;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ENUM: u32 = 6;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Offsets of names in the string table that every trial has.
const STRINGS: &[u8] = b"\0int\0a\0.data\0?.data\0";
const INT: u32 = 1;
const A: u32 = 5;
const DATA: u32 = 7;
const OPTIONAL_DATA: u32 = 13;

/// Added to a kind's number: the flag bit of the record.
const FLAG: u32 = 0x80;

/// `struct btf_type`: the name, kind and count of members, and size or type.
const fn ty(name: u32, kind: u32, members: u32, size: u32) -> [u32; 3] {
    [name, kind << 24 | members, size]
}

/// Type 1 of every trial: `int`, 32 bits, signed.
const INT_TYPE: [u32; 4] = [INT, KIND_INT << 24, 4, 1 << 24 | 32];

fn load(types: &[u32]) -> Result<BtfObj> {
    load_with(types, &[])
}

/// With a layout section, where there is something in it.
fn load_with(types: &[u32], layout: &[u8]) -> Result<BtfObj> {
    let types: Vec<u8> = INT_TYPE.iter().chain(types).flat_map(|word| word.to_ne_bytes()).collect();
    let (types_len, layout_len) = (types.len() as u32, layout.len() as u32);
    let strings_at = types_len + layout_len;
    let header = if layout.is_empty() { 24 } else { 32 };
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
    bytes.extend_from_slice(&[1, 0]);
    for word in [header, 0, types_len, strings_at, STRINGS.len() as u32, types_len, layout_len] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.truncate(header as usize);
    bytes.extend_from_slice(&types);
    bytes.extend_from_slice(layout);
    bytes.extend_from_slice(STRINGS);
    BtfObj::load(&bytes)
}

fn probe(types: &[u32]) -> Answer {
    Answer::of(load(types), &[Errno::EINVAL, Errno::ENOTSUPP])
}

/// BTF with `int` as its type 1.
pub(super) fn load_int() -> Result<BtfObj> {
    load(&[])
}

pub(super) fn int() -> Answer {
    probe(&[])
}

pub(super) fn func() -> Answer {
    let proto = ty(0, KIND_FUNC_PROTO, 0, 1);
    let func = ty(A, KIND_FUNC, 0, 2);
    probe(&[proto, func].concat())
}

pub(super) fn func_global() -> Answer {
    let proto = ty(0, KIND_FUNC_PROTO, 0, 1);
    // The count is the linkage.
    let func = ty(A, KIND_FUNC, 1, 2);
    func_first(probe(&[proto, func].concat()))
}

/// Without functions there is none that is global; the kernel's words would be about the prototype.
fn func_first(answer: Answer) -> Answer {
    if answer.is_no() { func().and(|| answer) } else { answer }
}

/// A static variable of type `int` at the start of a section of 4 bytes.
fn section(name: u32) -> Vec<u32> {
    let mut types = ty(A, KIND_VAR, 0, 1).to_vec();
    types.push(0);
    types.extend(ty(name, KIND_DATASEC, 1, 4));
    types.extend([2, 0, 4]);
    types
}

pub(super) fn datasec() -> Answer {
    probe(&section(DATA))
}

/// A section without variables, of 4 bytes.
pub(super) fn empty_datasec() -> Answer {
    let answer = probe(&ty(DATA, KIND_DATASEC, 0, 4));
    // Without data sections there is none that is empty.
    if answer.is_no() { datasec().and(|| answer) } else { answer }
}

pub(super) fn section_names() -> Answer {
    probe(&section(OPTIONAL_DATA))
}

pub(super) fn float() -> Answer {
    probe(&ty(A, KIND_FLOAT, 0, 4))
}

pub(super) fn decl_tag() -> Answer {
    let mut types = ty(A, KIND_VAR, 0, 1).to_vec();
    types.push(0);
    types.extend(ty(A, KIND_DECL_TAG, 0, 2));
    types.push(u32::MAX);
    probe(&types)
}

pub(super) fn type_tag() -> Answer {
    probe(&[ty(A, KIND_TYPE_TAG, 0, 1), ty(0, KIND_PTR, 0, 2)].concat())
}

pub(super) fn enum64() -> Answer {
    let mut types = ty(A, KIND_ENUM64, 1, 8).to_vec();
    types.extend([INT, 0, 1]);
    probe(&types)
}

pub(super) fn tag_flags() -> Answer {
    probe(&[ty(A, FLAG | KIND_TYPE_TAG, 0, 1), ty(0, KIND_PTR, 0, 2)].concat())
}

pub(super) fn layout() -> Answer {
    // Entries of `void` and `int`: bytes once, bytes for each of the count, flags.
    let result = load_with(&[], &[0, 0, 0, 0, 4, 0, 0, 0]);
    // A kernel without it says that there is more of a header than it knows.
    Answer::of(result, &[Errno::EINVAL, Errno::E2BIG])
}

pub(super) fn large_counts() -> Answer {
    // The smallest count that needs more than 16 bits, of values of an enumeration.
    let count = 1 << 16;
    let mut types = ty(A, KIND_ENUM, count, 4).to_vec();
    types.extend((0..count).flat_map(|value| [A, value]));
    probe(&types)
}
