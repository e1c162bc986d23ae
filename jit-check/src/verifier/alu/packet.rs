//! Packet pointers that were compared with the packet's end: so many bytes may be accessed.

use super::super::op;
use super::super::reg::{Base, Extra, Reg};
use super::super::scalar::flip;
use super::super::state::State;

/// Most that a packet pointer may be moved and still be compared.
const MAX_PACKET_OFF: u64 = 0xffff;
/// `Extra::Range` of a pointer at the packet's end or behind, and of one behind.
const AT_END: i32 = -1;
const BEYOND_END: i32 = -2;

/// Whether it points into a packet, or is its end.
pub(super) fn is_packet(reg: &Reg) -> bool {
    reg.flags.is_empty() && matches!(reg.base, Base::Packet | Base::PacketMeta | Base::PacketEnd)
}

/// `skb->data` as it was read.
fn is_start(reg: &Reg) -> bool {
    reg.is(Base::Packet) && reg.id == 0 && reg.off == 0 && reg.var_off.is(0)
}

/// Which way a comparison of packet pointers goes, where that is known from comparisons before.
pub(super) fn branch_taken(dst: &Reg, src: &Reg, op: u8) -> Option<bool> {
    let (packet, op) = if src.is(Base::PacketEnd) {
        (dst, op)
    } else if dst.is(Base::PacketEnd) {
        (src, flip(op))
    } else {
        return None;
    };
    match (op, packet.range()) {
        (op::JLE | op::JGT, BEYOND_END) => Some(op == op::JGT),
        (op::JLT | op::JGE, BEYOND_END | AT_END) => Some(op == op::JGE),
        _ => None,
    }
}

/// A comparison of a packet pointer with the end: `here` is the state where it does not hold, `there` where it does.
/// `false` where the registers are no such pair.
pub(super) fn compare(
    code: u8,
    dst: (u8, &Reg),
    src: (u8, &Reg),
    here: &mut State,
    there: &mut State,
) -> bool {
    let is_pair = |low: &Reg, high: &Reg| {
        (low.is(Base::Packet) && high.is(Base::PacketEnd)) || (low.is(Base::PacketMeta) && is_start(high))
    };
    // Arranged so that the pointer into the packet is at the left.
    let (code, (regno, low)) = if is_pair(dst.1, src.1) {
        (code, dst)
    } else if is_pair(src.1, dst.1) {
        (flip(code), src)
    } else {
        return false;
    };
    // Within the packet: the pointer itself may be the end (`closed`), or one byte more may be accessed.
    match code {
        op::JGT => {
            find_good(here, low, false);
            mark_end(there, regno, BEYOND_END);
        }
        op::JLE => {
            find_good(there, low, false);
            mark_end(here, regno, BEYOND_END);
        }
        op::JLT => {
            find_good(there, low, true);
            mark_end(here, regno, AT_END);
        }
        op::JGE => {
            find_good(here, low, true);
            mark_end(there, regno, AT_END);
        }
        _ => return false,
    }
    true
}

fn find_good(state: &mut State, low: &Reg, below_end: bool) {
    if low.off < 0 || (low.off == 0 && below_end) {
        return;
    }
    if low.umax > MAX_PACKET_OFF || low.umax + low.off as u64 > MAX_PACKET_OFF {
        return;
    }
    let range = low.off + i32::from(below_end);
    let (base, id) = (low.base, low.id);
    state.for_each_reg(&mut |reg| {
        if reg.is(base) && reg.id == id {
            reg.extra = Extra::Range(reg.range().max(range));
        }
    });
}

fn mark_end(state: &mut State, regno: u8, range: i32) {
    let frame = state.curframe();
    let reg = &mut state.frames[frame].regs[usize::from(regno)];
    if reg.is(Base::Packet) {
        reg.extra = Extra::Range(range);
    }
}
