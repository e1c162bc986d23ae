//! Memory: stack, context, map values, packets, kernel objects.

use super::env::{EINVAL, Env, Reject, Res};
use super::helpers::CallMeta;
use super::reg::{BtfIdx, Reg};
use asm::Insn;

/// Reading or writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
}

impl<'a> Env<'a> {
    /// `dst = *(size *)(src + off)`, sign-extending and acquire loads and arena forms included.
    pub(super) fn check_load(&mut self, insn: Insn) -> Res {
        let _ = insn;
        self.unmodelled("check_load");
        Err(Reject(EINVAL))
    }

    /// Stores of registers and of immediates.
    pub(super) fn check_store(&mut self, insn: Insn) -> Res {
        let _ = insn;
        self.unmodelled("check_store");
        Err(Reject(EINVAL))
    }

    /// Atomic instructions, load_acquire and store_release.
    pub(super) fn check_atomic(&mut self, insn: Insn) -> Res {
        let _ = insn;
        self.unmodelled("check_atomic");
        Err(Reject(EINVAL))
    }

    /// Legacy packet access.
    pub(super) fn check_ld_abs(&mut self, insn: Insn) -> Res {
        let _ = insn;
        self.unmodelled("check_ld_abs");
        Err(Reject(EINVAL))
    }

    /// An access of `size` bytes at register + off; `value_regno` is where a read value goes or a written one comes from.
    pub(super) fn check_mem_access(
        &mut self,
        insn_idx: usize,
        regno: u8,
        off: i32,
        size: u32,
        access: Access,
        value_regno: Option<u8>,
        strict_alignment_once: bool,
        is_ldsx: bool,
    ) -> Res {
        let _ = (insn_idx, regno, off, size, access, value_regno, strict_alignment_once, is_ldsx);
        self.unmodelled("check_mem_access");
        Err(Reject(EINVAL))
    }

    /// A function accesses memory through an argument.
    pub(super) fn check_helper_mem_access(
        &mut self,
        regno: u8,
        access_size: u32,
        access: Access,
        zero_size_allowed: bool,
        meta: Option<&mut CallMeta>,
    ) -> Res {
        let _ = (regno, access_size, access, zero_size_allowed, meta);
        self.unmodelled("check_helper_mem_access");
        Err(Reject(EINVAL))
    }

    /// Memory argument regno - 1 with its size in regno.
    pub(super) fn check_mem_size_reg(
        &mut self,
        regno: u8,
        access: Access,
        zero_size_allowed: bool,
        meta: &mut CallMeta,
    ) -> Res {
        let _ = (regno, access, zero_size_allowed, meta);
        self.unmodelled("check_mem_size_reg");
        Err(Reject(EINVAL))
    }

    /// A memory argument of a subprogram or kernel function, of fixed size, read and written; may be NULL by its type.
    pub(super) fn check_mem_reg(&mut self, regno: u8, mem_size: u32) -> Res {
        let _ = (regno, mem_size);
        self.unmodelled("check_mem_reg");
        Err(Reject(EINVAL))
    }

    /// Stack bytes must be initialised (or become so).
    pub(super) fn check_stack_range_initialized(
        &mut self,
        regno: u8,
        off: i32,
        access_size: u32,
        zero_size_allowed: bool,
        for_helper: bool,
        access: Access,
        meta: Option<&mut CallMeta>,
    ) -> Res {
        let _ = (regno, off, access_size, zero_size_allowed, for_helper, access, meta);
        self.unmodelled("check_stack_range_initialized");
        Err(Reject(EINVAL))
    }

    /// A pointer argument without variable offset, and without fixed one unless allowed.
    pub(super) fn check_ptr_off_reg(&mut self, regno: u8, fixed_off_ok: bool) -> Res {
        let _ = (regno, fixed_off_ok);
        self.unmodelled("check_ptr_off_reg");
        Err(Reject(EINVAL))
    }

    /// Packet bytes lie within the proven range.
    pub(super) fn check_packet_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        zero_size_allowed: bool,
    ) -> Res {
        let _ = (regno, off, size, zero_size_allowed);
        self.unmodelled("check_packet_access");
        Err(Reject(EINVAL))
    }

    /// Bytes of a map value.
    pub(super) fn check_map_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        zero_size_allowed: bool,
        access: Access,
    ) -> Res {
        let _ = (regno, off, size, zero_size_allowed, access);
        self.unmodelled("check_map_access");
        Err(Reject(EINVAL))
    }

    /// Bytes of memory of known size.
    pub(super) fn check_mem_region_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        mem_size: u32,
        zero_size_allowed: bool,
    ) -> Res {
        let _ = (regno, off, size, mem_size, zero_size_allowed);
        self.unmodelled("check_mem_region_access");
        Err(Reject(EINVAL))
    }

    /// Read-only and write-only maps.
    pub(super) fn check_map_access_type(&mut self, regno: u8, off: i32, size: u32, access: Access) -> Res {
        let _ = (regno, off, size, access);
        self.unmodelled("check_map_access_type");
        Err(Reject(EINVAL))
    }

    /// Offsets that an argument register may have by its type.
    pub(super) fn check_func_arg_reg_off(
        &mut self,
        regno: u8,
        reg: &Reg,
        arg_releases: bool,
        arg_is_dynptr: bool,
    ) -> Res {
        let _ = (regno, reg, arg_releases, arg_is_dynptr);
        self.unmodelled("check_func_arg_reg_off");
        Err(Reject(EINVAL))
    }

    /// Placeholder signature of the walk through kernel types; the owner refines it.
    pub(super) fn btf_access(&self, btf: BtfIdx, id: u32, off: i32, size: u32) -> Option<(BtfIdx, u32)> {
        let _ = (btf, id, off, size);
        None
    }

    /// Stack bytes become unknown numbers (a function wrote them).
    pub(super) fn mark_stack_written(&mut self, frame: usize, off: i32, size: u32) {
        let _ = (frame, off, size);
    }
}
