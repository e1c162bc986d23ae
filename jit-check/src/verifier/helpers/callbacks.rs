//! Helpers that call a subprogram: what its registers hold when it begins.

use crate::verifier::env::{ENOTSUPP, Env, Reject, Res, reject};
use crate::verifier::reg::{Base, BtfIdx, DynptrKind, Extra, Reg};
use crate::verifier::state::{Frame, RetRange, State};
use asm::Helper;
use bpf_sys::map::MapType;
use btf::Kind;

/// A pointer without offset.
fn pointer(base: Base, extra: Extra) -> Reg {
    let mut reg = Reg { base, ..Reg::NOT_INIT };
    reg.set_value(0);
    reg.extra = extra;
    reg
}

/// Fills in a callback's registers from r1 on; the rest of r1 to r5 hold nothing. What is the caller's comes with its
/// place in earlier states: reading it here is reading it there.
fn fill(frame: &mut Frame, args: &[Reg]) {
    for at in 0..5 {
        let value = args.get(at).copied().unwrap_or(Reg::NOT_INIT);
        frame.regs[at + 1] = value;
    }
    frame.callback_ret_range = RetRange { min: 0, max: 1 };
}

/// Map types whose elements `bpf_for_each_map_elem` walks over.
fn has_for_each(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::Hash
            | MapType::LruHash
            | MapType::PercpuHash
            | MapType::LruPercpuHash
            | MapType::Array
            | MapType::PercpuArray
            | MapType::Rhash
    )
}

impl Env<'_> {
    /// A helper has a subprogram called, now or later.
    pub(super) fn call_back(&mut self, helper: Helper, subprog: u32, insn_idx: usize) -> Res {
        if helper == Helper::LOOP && !self.loop_goes_on(subprog)? {
            return Ok(());
        }
        let args = self.callback_args(helper)?;
        let is_sync = helper != Helper::TIMER_SET_CALLBACK;
        let refused = match helper {
            Helper::FOR_EACH_MAP_ELEM => {
                let map_type = self.reg_map_spec(self.reg(1)).map(|spec| spec.map_type);
                !map_type.is_some_and(has_for_each)
            }
            _ => false,
        };
        self.push_callback_call(subprog, insn_idx, is_sync, &mut |state: &mut State, _, callee| {
            if refused {
                return Err(Reject(ENOTSUPP));
            }
            let frame = &mut state.frames[callee];
            fill(frame, &args);
            frame.in_callback = is_sync;
            frame.in_async_callback = !is_sync;
            Ok(())
        })
        .or_else(|Reject(errno)| {
            if refused && errno == ENOTSUPP {
                reject!(self, ENOTSUPP, "callback function not allowed for map");
            }
            Err(Reject(errno))
        })
    }

    /// What the callback is given.
    fn callback_args(&mut self, helper: Helper) -> Res<Vec<Reg>> {
        let arg = |regno: u8| *self.reg(regno);
        let of_map = |base| pointer(base, arg(1).extra);
        Ok(match helper {
            Helper::FOR_EACH_MAP_ELEM => vec![arg(1), of_map(Base::MapKey), of_map(Base::MapValue), arg(3)],
            Helper::TIMER_SET_CALLBACK => {
                vec![of_map(Base::ConstMap), of_map(Base::MapKey), of_map(Base::MapValue)]
            }
            Helper::LOOP => vec![Reg { base: Base::Scalar, ..Reg::NOT_INIT }, arg(3)],
            Helper::FIND_VMA => {
                let id = self.btf(BtfIdx::KERNEL).find("vm_area_struct", Kind::Struct);
                let extra = Extra::Btf { btf: BtfIdx::KERNEL, id: id.map_or(0, |id| id.0) };
                vec![arg(1), pointer(Base::BtfId, extra), arg(4)]
            }
            Helper::USER_RINGBUF_DRAIN => {
                let extra = Extra::Dynptr { kind: DynptrKind::Local, first_slot: true };
                let (context, id) = (arg(3), self.new_id());
                let dynptr = Reg { id, ..pointer(Base::ConstDynptr, extra) };
                vec![dynptr, context]
            }
            _ => Vec::new(),
        })
    }

    /// `bpf_loop`: whether another round of its callback is to be looked at.
    fn loop_goes_on(&mut self, subprog: u32) -> Res<bool> {
        self.note_loop(subprog)?;
        // The number of rounds decides where the callback's walk ends.
        self.mark_chain_precision(1)?;
        let rounds = self.reg(1).umax;
        if u64::from(self.frame().callback_depth) < rounds {
            return Ok(true);
        }
        self.frame_mut().callback_depth = 0;
        if self.level2() {
            let frame = self.cur.curframe();
            self.say(format_args!("frame{frame} bpf_loop iteration limit reached\n"));
        }
        Ok(false)
    }

    /// Whether all paths call `bpf_loop` here with the same subprogram and no flags, so that it can be put inline.
    fn note_loop(&mut self, subprog: u32) -> Res {
        let known = self.aux().loop_inline;
        if known.initialized && !known.fit {
            return Ok(());
        }
        let no_flags = self.reg(4).is_null();
        if no_flags {
            self.mark_chain_precision(4)?;
        }
        let state = &mut self.aux_mut().loop_inline;
        if !known.initialized {
            state.initialized = true;
            state.subprogno = subprog;
        }
        state.fit = no_flags && state.subprogno == subprog;
        Ok(())
    }

    /// Whether the current function is the comparison of a tree's `add`, in which the tree's lock is held.
    pub(in crate::verifier) fn in_rbtree_lock_required_cb(&self) -> bool {
        self.cur.frames.iter().skip(1).any(|frame| {
            let at = usize::try_from(frame.callsite).ok();
            let insn = at.and_then(|at| self.insns.get(at));
            frame.in_callback && insn.is_some_and(|insn| self.is_kfunc(*insn, "bpf_rbtree_add_impl"))
        })
    }
}
