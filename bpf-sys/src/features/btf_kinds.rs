//! Kinds of BTF that the kernel takes. The encoding is `Documentation/bpf/btf.rst`'s.

use super::Answer;
use crate::btf_obj::BtfObj;
use crate::errno::Errno;
use crate::error::Result;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Offsets of names in the string table that every trial has.
const STRINGS: &[u8] = b"\0int\0a\0.data\0";
const INT: u32 = 1;
const A: u32 = 5;
const DATA: u32 = 7;

/// `struct btf_type`: the name, kind and count of members, and size or type.
const fn ty(name: u32, kind: u32, members: u32, size: u32) -> [u32; 3] {
    [name, kind << 24 | members, size]
}

/// Type 1 of every trial: `int`, 32 bits, signed.
const INT_TYPE: [u32; 4] = [INT, KIND_INT << 24, 4, 1 << 24 | 32];

fn load(types: &[u32]) -> Result<BtfObj> {
    let types: Vec<u8> = INT_TYPE.iter().chain(types).flat_map(|word| word.to_ne_bytes()).collect();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
    bytes.extend_from_slice(&[1, 0]);
    for word in [24, 0, types.len() as u32, types.len() as u32, STRINGS.len() as u32] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(&types);
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

pub(super) fn datasec() -> Answer {
    // A static variable of type `int` at the start of a section of 4 bytes.
    let mut types = ty(A, KIND_VAR, 0, 1).to_vec();
    types.push(0);
    types.extend(ty(DATA, KIND_DATASEC, 1, 4));
    types.extend([2, 0, 4]);
    probe(&types)
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
