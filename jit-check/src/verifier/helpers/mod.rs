//! Helper functions: prototypes, who may call them, arguments.

use super::env::{EINVAL, Env, Reject, Res};
use super::reg::{BtfIdx, Reg};
use asm::{Helper, Insn};

/// What was learned from the arguments of a call of a helper.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallMeta {
    pub func_id: u32,
    /// Map argument: index, and whether it is a map found in that map of maps, and its uid.
    pub map: Option<(u32, bool, u32)>,
    pub raw_mode: bool,
    pub pkt_access: bool,
    pub release_regno: u8,
    /// Register whose memory a raw access initialises, with size.
    pub regno: u8,
    pub access_size: u32,
    pub mem_size: u64,
    /// Highest value of the size register.
    pub msize_max_value: u64,
    pub ref_obj_id: u32,
    pub dynptr_id: u32,
    pub map_uid: u32,
    pub func: u32,
    pub btf: Option<(BtfIdx, u32)>,
    pub ret_btf: Option<(BtfIdx, u32)>,
    pub subprogno: u32,
    /// Special field of the map value (index into its record's fields).
    pub kptr_field: Option<usize>,
    pub map_key_const: Option<i64>,
}

impl<'a> Env<'a> {
    /// A call of a helper.
    pub(super) fn check_helper_call(&mut self, insn: Insn, insn_idx: usize) -> Res {
        let _ = (insn, insn_idx);
        self.unmodelled("check_helper_call");
        Err(Reject(EINVAL))
    }

    /// Whether a program of this type may use such a map at all.
    pub(super) fn map_prog_compatible(&mut self, map: u32) -> Res {
        let _ = map;
        self.unmodelled("map_prog_compatible");
        Err(Reject(EINVAL))
    }

    /// Whether the kernel lets programs of this type call it.
    pub(super) fn helper_allowed(&self, helper: Helper) -> bool {
        let _ = helper;
        false
    }

    /// Puts `reg` into a register (keeps liveness and parent).
    pub(super) fn mark_reg_mem_type(&mut self, regno: u8, reg: Reg) {
        let _ = (regno, reg);
    }

    /// The description of a map of maps' inner maps (index into `Env::maps`).
    pub(super) fn find_map_of_maps(&self, map: u32) -> Option<u32> {
        let _ = map;
        None
    }
}
