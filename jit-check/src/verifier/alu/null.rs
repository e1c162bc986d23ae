//! Pointers that may be NULL, after they were compared.

use super::super::env::Env;
use super::super::reg::{Base, Extra, Flags, Reg};
use super::super::state::{RefKind, State};
use bpf_sys::map::MapType;
use loader::MapSpec;

impl State {
    /// All registers and spilled registers of all frames.
    pub(in crate::verifier) fn for_each_reg(&mut self, f: &mut dyn FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            for reg in &mut frame.regs {
                f(reg);
            }
            for slot in &mut frame.stack {
                if slot.is_spilled_reg() {
                    f(&mut slot.spilled);
                }
            }
        }
    }
}

impl Env<'_> {
    /// The pointer is not NULL: what a look-up gave becomes what the map holds.
    pub(in crate::verifier) fn mark_not_null(&self, reg: &mut Reg) {
        if reg.base != Base::MapValue {
            reg.flags.remove(Flags::MAYBE_NULL);
            return;
        }
        reg.flags = Flags::empty();
        let Extra::Map { map, inner, .. } = reg.extra else { return };
        let holds_maps = if inner { None } else { self.find_map_of_maps(map) };
        if let Some(description) = holds_maps {
            reg.base = Base::ConstMap;
            // Timers and work queues must stay within the map that they were found with.
            let uid = if self.map_has_uid(description) { reg.id } else { 0 };
            reg.extra = Extra::Map { map, inner: true, uid };
            return;
        }
        // The map stays noted: a socket out of a map is not the same state as one that was looked up.
        match self.spec_of(reg).map(|spec| spec.map_type) {
            Some(MapType::Xskmap) => reg.base = Base::XdpSock,
            Some(MapType::Sockmap | MapType::Sockhash) => reg.base = Base::Socket,
            _ => {}
        }
    }

    /// How the map that a register belongs to was defined.
    pub(super) fn spec_of(&self, reg: &Reg) -> Option<&MapSpec> {
        let Extra::Map { map, inner, .. } = reg.extra else { return None };
        let outer =
            if inner { Some(map) } else { self.maps.get(map as usize).and_then(|info| info.inner_of) };
        match outer {
            Some(outer) => self.program.maps.get(outer as usize)?.inner.as_deref(),
            None => self.program.maps.get(map as usize),
        }
    }

    fn map_has_uid(&self, map: u32) -> bool {
        let record = self.maps.get(map as usize).and_then(|info| info.record.as_ref());
        record.is_some_and(|record| record.timer.is_some() || record.workqueue.is_some())
    }

    /// Whether a pointer is certainly not NULL.
    pub(in crate::verifier) fn is_not_null(&self, reg: &Reg) -> bool {
        if reg.may_be_null() {
            return false;
        }
        // An offset that is not bounded may wrap to zero.
        if reg.smin <= -MAX_VAR_OFF || reg.smax >= MAX_VAR_OFF {
            return false;
        }
        match reg.base {
            Base::Socket
            | Base::TcpSock
            | Base::XdpSock
            | Base::MapValue
            | Base::MapKey
            | Base::SockCommon => true,
            Base::Mem | Base::Buf => self.since(6, 1) || (reg.base == Base::Mem && self.since(5, 8)),
            Base::BtfId => self.since(6, 3) && reg.is_trusted(),
            Base::ConstMap => self.since(6, 11),
            _ => false,
        }
    }

    /// All copies of a pointer that was compared with NULL, in a state: a reference that turned out NULL is none.
    pub(super) fn mark_ptr_or_null(&self, state: &mut State, regno: u8, is_null: bool) {
        let frame = state.curframe();
        let Reg { id, ref_obj_id, .. } = state.frames[frame].regs[usize::from(regno)];
        if ref_obj_id != 0 && ref_obj_id == id && is_null {
            // The last one takes its place, as the log shows.
            let held = state.refs.iter().position(|held| held.id == id && held.kind == RefKind::Ptr);
            if let Some(at) = held {
                state.refs.swap_remove(at);
            }
        }
        state.for_each_reg(&mut |reg| self.mark_one_ptr_or_null(reg, id, is_null));
    }

    fn mark_one_ptr_or_null(&self, reg: &mut Reg, id: u32, is_null: bool) {
        if !reg.may_be_null() || reg.id != id || (reg.id == 0 && !reg.is_rcu()) {
            return;
        }
        // Offsets of such pointers are zero, but for nodes of lists and trees.
        if reg.smin != 0 || reg.smax != 0 || !reg.var_off.is(0) {
            return;
        }
        if reg.off != 0 && !reg.is_alloc_object() {
            return;
        }
        if is_null {
            reg.base = Base::Scalar;
            reg.flags = Flags::empty();
            reg.id = 0;
            reg.ref_obj_id = 0;
            return;
        }
        self.mark_not_null(reg);
        if !self.may_point_to_lock(reg) {
            reg.id = 0;
        }
    }
}

/// Farther than this no pointer may be moved.
pub(super) const MAX_VAR_OFF: i64 = 1 << 29;
