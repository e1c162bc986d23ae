//! `.BTF.ext`: what a compiler notes about instructions: functions, source lines, CO-RE relocations.

/// What a CO-RE relocation asks about the target's types (`Documentation/bpf/llvm_reloc.rst`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum CoreReloKind {
    #[doc(alias = "BPF_CORE_FIELD_BYTE_OFFSET")]
    FieldByteOffset,
    #[doc(alias = "BPF_CORE_FIELD_BYTE_SIZE")]
    FieldByteSize,
    #[doc(alias = "BPF_CORE_FIELD_EXISTS")]
    FieldExists,
    #[doc(alias = "BPF_CORE_FIELD_SIGNED")]
    FieldSigned,
    #[doc(alias = "BPF_CORE_FIELD_LSHIFT_U64")]
    FieldLshiftU64,
    #[doc(alias = "BPF_CORE_FIELD_RSHIFT_U64")]
    FieldRshiftU64,
    #[doc(alias = "BPF_CORE_TYPE_ID_LOCAL")]
    TypeIdLocal,
    #[doc(alias = "BPF_CORE_TYPE_ID_TARGET")]
    TypeIdTarget,
    #[doc(alias = "BPF_CORE_TYPE_EXISTS")]
    TypeExists,
    #[doc(alias = "BPF_CORE_TYPE_SIZE")]
    TypeSize,
    #[doc(alias = "BPF_CORE_ENUMVAL_EXISTS")]
    EnumvalExists,
    #[doc(alias = "BPF_CORE_ENUMVAL_VALUE")]
    EnumvalValue,
    #[doc(alias = "BPF_CORE_TYPE_MATCHES")]
    TypeMatches,
}

const KINDS: [CoreReloKind; 13] = [
    CoreReloKind::FieldByteOffset,
    CoreReloKind::FieldByteSize,
    CoreReloKind::FieldExists,
    CoreReloKind::FieldSigned,
    CoreReloKind::FieldLshiftU64,
    CoreReloKind::FieldRshiftU64,
    CoreReloKind::TypeIdLocal,
    CoreReloKind::TypeIdTarget,
    CoreReloKind::TypeExists,
    CoreReloKind::TypeSize,
    CoreReloKind::EnumvalExists,
    CoreReloKind::EnumvalValue,
    CoreReloKind::TypeMatches,
];

impl CoreReloKind {
    /// The kind with this number (`enum bpf_core_relo_kind`).
    pub fn from_number(number: u32) -> Option<CoreReloKind> {
        KINDS.get(number as usize).copied()
    }
}
