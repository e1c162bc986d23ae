//! What comparisons say: which way they go, and what is known on either way.

use super::Tnum;
use crate::kernel::Version;
use crate::verifier::op;
use crate::verifier::reg::Reg;

/// `JSET` that was not taken: no bit of both is set.
const NOT_JSET: u8 = op::JSET | op::X;

/// The comparison with its sides exchanged.
pub(in crate::verifier) const fn flip(op: u8) -> u8 {
    match op {
        op::JGE => op::JLE,
        op::JGT => op::JLT,
        op::JLE => op::JGE,
        op::JLT => op::JGT,
        op::JSGE => op::JSLE,
        op::JSGT => op::JSLT,
        op::JSLE => op::JSGE,
        op::JSLT => op::JSGT,
        other => other,
    }
}

/// The comparison that holds where this one does not.
pub(in crate::verifier) const fn reverse(op: u8) -> u8 {
    match op {
        op::JEQ => op::JNE,
        op::JNE => op::JEQ,
        op::JSET => NOT_JSET,
        NOT_JSET => op::JSET,
        op::JGE => op::JLT,
        op::JGT => op::JLE,
        op::JLE => op::JGT,
        op::JLT => op::JGE,
        op::JSGE => op::JSLT,
        op::JSGT => op::JSLE,
        op::JSLE => op::JSGT,
        op::JSLT => op::JSGE,
        _ => 0,
    }
}

/// The view of a number that a comparison of one width has.
struct View {
    bits: Tnum,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

impl View {
    fn of(reg: &Reg, is_32: bool) -> View {
        if is_32 {
            View {
                bits: reg.var_off.subreg(),
                umin: u64::from(reg.u32_min),
                umax: u64::from(reg.u32_max),
                smin: i64::from(reg.s32_min),
                smax: i64::from(reg.s32_max),
            }
        } else {
            View { bits: reg.var_off, umin: reg.umin, umax: reg.umax, smin: reg.smin, smax: reg.smax }
        }
    }
}

/// Whether `a op b` holds for all numbers (`Some(true)`), for none, or for some.
pub(in crate::verifier) fn branch_taken(
    a: &Reg,
    b: &Reg,
    op: u8,
    is_32: bool,
    version: Version,
) -> Option<bool> {
    if version < Version(6, 8) {
        // Earlier kernels decide against a constant alone; one at the left counts since Linux 6.4.
        return if b.is_const(is_32) {
            decide(a, b, op, is_32, version)
        } else if version >= Version(6, 4) && a.is_const(is_32) {
            decide(b, a, flip(op), is_32, version)
        } else {
            None
        };
    }
    decide(a, b, op, is_32, version)
}

/// As [`branch_taken`] where both sides are one register. Since Linux 7.0.
pub(in crate::verifier) fn branch_on_itself(reg: &Reg, op: u8, is_32: bool) -> Option<bool> {
    match op {
        op::JEQ | op::JGE | op::JLE | op::JSGE | op::JSLE => Some(true),
        op::JSET => {
            let view = View::of(reg, is_32);
            if view.bits.is_const() {
                Some(view.bits.value != 0)
            } else if view.smin <= 0 && view.smax >= 0 {
                None
            } else {
                Some(true)
            }
        }
        _ => Some(false),
    }
}

fn decide(a: &Reg, b: &Reg, op: u8, is_32: bool, version: Version) -> Option<bool> {
    let (one, two) = (View::of(a, is_32), View::of(b, is_32));
    match op {
        op::JEQ => equal(a, b, &one, &two, is_32, version),
        op::JNE => equal(a, b, &one, &two, is_32, version).map(|equal| !equal),
        op::JSET => {
            let (bits, constant) = if b.is_const(is_32) {
                (one.bits, two.bits)
            } else if a.is_const(is_32) {
                (two.bits, one.bits)
            } else {
                return None;
            };
            if bits.value & !bits.mask & constant.value != 0 {
                Some(true)
            } else if (bits.mask | bits.value) & constant.value == 0 {
                Some(false)
            } else {
                None
            }
        }
        op::JGT => order(one.umin > two.umax, one.umax <= two.umin),
        op::JSGT => order(one.smin > two.smax, one.smax <= two.smin),
        op::JLT => order(one.umax < two.umin, one.umin >= two.umax),
        op::JSLT => order(one.smax < two.smin, one.smin >= two.smax),
        op::JGE => order(one.umin >= two.umax, one.umax < two.umin),
        op::JSGE => order(one.smin >= two.smax, one.smax < two.smin),
        op::JLE => order(one.umax <= two.umin, one.umin > two.umax),
        op::JSLE => order(one.smax <= two.smin, one.smin > two.smax),
        _ => None,
    }
}

fn order(always: bool, never: bool) -> Option<bool> {
    if always {
        Some(true)
    } else if never {
        Some(false)
    } else {
        None
    }
}

fn equal(a: &Reg, b: &Reg, one: &View, two: &View, is_32: bool, version: Version) -> Option<bool> {
    if one.bits.is_const() && two.bits.is_const() {
        return Some(one.bits.value == two.bits.value);
    }
    if version < Version(6, 4) {
        return None;
    }
    if version < Version(6, 8) {
        return if two.umin < one.umin || two.umin > one.umax { Some(false) } else { None };
    }
    let apart = !one.bits.overlaps(two.bits)
        || one.umin > two.umax
        || one.umax < two.umin
        || one.smin > two.smax
        || one.smax < two.smin
        || (!is_32
            && (a.u32_min > b.u32_max
                || a.u32_max < b.u32_min
                || a.s32_min > b.s32_max
                || a.s32_max < b.s32_min));
    if apart { Some(false) } else { None }
}

/// What is known where `regs[a] op regs[b]` holds, not yet in step. Both may be the same register.
pub(in crate::verifier) fn refine(
    regs: &mut [Reg; 2],
    a: usize,
    b: usize,
    op: u8,
    is_32: bool,
    version: Version,
) {
    if version < Version(6, 8) {
        refine_early(regs, a, b, op, is_32, version);
        return;
    }
    let (op, a, b) = match op {
        op::JGE | op::JGT | op::JSGE | op::JSGT => (flip(op), b, a),
        _ => (op, a, b),
    };
    match op {
        op::JEQ => make_equal(regs, a, b, is_32),
        op::JNE => {
            let Some((a, value)) = against_const(regs, a, b, is_32) else { return };
            exclude(&mut regs[a], value, is_32);
        }
        op::JSET => {
            let Some((a, value)) = against_const(regs, a, b, is_32) else { return };
            if value.is_power_of_two() {
                set_bits(&mut regs[a], Tnum::constant(value), is_32, Tnum::or);
            }
        }
        NOT_JSET => {
            let Some((a, value)) = against_const(regs, a, b, is_32) else { return };
            let reg = &mut regs[a];
            // Ranges would contradict the bits where the way cannot be gone.
            reg.unbound();
            set_bits(reg, Tnum::constant(!value), is_32, Tnum::and);
        }
        op::JLE if is_32 => {
            regs[a].u32_max = regs[a].u32_max.min(regs[b].u32_max);
            regs[b].u32_min = regs[a].u32_min.max(regs[b].u32_min);
        }
        op::JLE => {
            regs[a].umax = regs[a].umax.min(regs[b].umax);
            regs[b].umin = regs[a].umin.max(regs[b].umin);
        }
        op::JLT if is_32 => {
            regs[a].u32_max = regs[a].u32_max.min(regs[b].u32_max.wrapping_sub(1));
            regs[b].u32_min = regs[a].u32_min.wrapping_add(1).max(regs[b].u32_min);
        }
        op::JLT => {
            regs[a].umax = regs[a].umax.min(regs[b].umax.wrapping_sub(1));
            regs[b].umin = regs[a].umin.wrapping_add(1).max(regs[b].umin);
        }
        op::JSLE if is_32 => {
            regs[a].s32_max = regs[a].s32_max.min(regs[b].s32_max);
            regs[b].s32_min = regs[a].s32_min.max(regs[b].s32_min);
        }
        op::JSLE => {
            regs[a].smax = regs[a].smax.min(regs[b].smax);
            regs[b].smin = regs[a].smin.max(regs[b].smin);
        }
        op::JSLT if is_32 => {
            regs[a].s32_max = regs[a].s32_max.min(regs[b].s32_max.wrapping_sub(1));
            regs[b].s32_min = regs[a].s32_min.wrapping_add(1).max(regs[b].s32_min);
        }
        op::JSLT => {
            regs[a].smax = regs[a].smax.min(regs[b].smax.wrapping_sub(1));
            regs[b].smin = regs[a].smin.wrapping_add(1).max(regs[b].smin);
        }
        _ => {}
    }
}

/// As [`refine`] before Linux 6.8: one side must be a constant, or both must be equal in all 64 bits.
fn refine_early(regs: &mut [Reg; 2], a: usize, b: usize, op: u8, is_32: bool, version: Version) {
    let (reg, value, op) = if regs[b].is_const(is_32) {
        let value = regs[b].const_value(is_32);
        (&mut regs[a], value, op)
    } else if regs[a].is_const(is_32) {
        let value = regs[a].const_value(is_32);
        (&mut regs[b], value, flip(op))
    } else {
        if !is_32 && op == op::JEQ {
            make_equal(regs, a, b, false);
        }
        return;
    };
    match op {
        op::JEQ if is_32 => reg.set_value32(value as u32),
        op::JEQ => reg.set_value(value),
        op::JSET if value.is_power_of_two() => set_bits(reg, Tnum::constant(value), is_32, Tnum::or),
        NOT_JSET => set_bits(reg, Tnum::constant(!value), is_32, Tnum::and),
        _ if is_32 => bound_early_32(reg, value as u32, op),
        _ => bound_early_64(reg, value, op),
    }
    if is_32 {
        reg.combine_32_into_64(version);
    } else {
        reg.combine_64_into_32(version);
    }
}

fn bound_early_32(reg: &mut Reg, value: u32, op: u8) {
    let signed = value as i32;
    match op {
        op::JGE => reg.u32_min = reg.u32_min.max(value),
        op::JGT => reg.u32_min = reg.u32_min.max(value.wrapping_add(1)),
        op::JLE => reg.u32_max = reg.u32_max.min(value),
        op::JLT => reg.u32_max = reg.u32_max.min(value.wrapping_sub(1)),
        op::JSGE => reg.s32_min = reg.s32_min.max(signed),
        op::JSGT => reg.s32_min = reg.s32_min.max(signed.wrapping_add(1)),
        op::JSLE => reg.s32_max = reg.s32_max.min(signed),
        op::JSLT => reg.s32_max = reg.s32_max.min(signed.wrapping_sub(1)),
        _ => {}
    }
}

fn bound_early_64(reg: &mut Reg, value: u64, op: u8) {
    let signed = value as i64;
    match op {
        op::JGE => reg.umin = reg.umin.max(value),
        op::JGT => reg.umin = reg.umin.max(value.wrapping_add(1)),
        op::JLE => reg.umax = reg.umax.min(value),
        op::JLT => reg.umax = reg.umax.min(value.wrapping_sub(1)),
        op::JSGE => reg.smin = reg.smin.max(signed),
        op::JSGT => reg.smin = reg.smin.max(signed.wrapping_add(1)),
        op::JSLE => reg.smax = reg.smax.min(signed),
        op::JSLT => reg.smax = reg.smax.min(signed.wrapping_sub(1)),
        _ => {}
    }
}

fn set_bits(reg: &mut Reg, bits: Tnum, is_32: bool, combine: fn(Tnum, Tnum) -> Tnum) {
    reg.var_off = if is_32 {
        reg.var_off.with_subreg(combine(reg.var_off.subreg(), bits))
    } else {
        combine(reg.var_off, bits)
    };
}

/// The side that is not constant, and the other's value.
fn against_const(regs: &[Reg; 2], a: usize, b: usize, is_32: bool) -> Option<(usize, u64)> {
    if regs[b].is_const(is_32) {
        Some((a, regs[b].const_value(is_32)))
    } else if regs[a].is_const(is_32) {
        Some((b, regs[a].const_value(is_32)))
    } else {
        None
    }
}

fn make_equal(regs: &mut [Reg; 2], a: usize, b: usize, is_32: bool) {
    let (mut one, two) = (regs[a], regs[b]);
    if is_32 {
        one.u32_min = one.u32_min.max(two.u32_min);
        one.u32_max = one.u32_max.min(two.u32_max);
        one.s32_min = one.s32_min.max(two.s32_min);
        one.s32_max = one.s32_max.min(two.s32_max);
        let bits = one.var_off.subreg().intersect(two.var_off.subreg());
        one.var_off = one.var_off.with_subreg(bits);
        regs[a] = one;
        let other = &mut regs[b];
        (other.u32_min, other.u32_max) = (one.u32_min, one.u32_max);
        (other.s32_min, other.s32_max) = (one.s32_min, one.s32_max);
        other.var_off = other.var_off.with_subreg(bits);
    } else {
        one.umin = one.umin.max(two.umin);
        one.umax = one.umax.min(two.umax);
        one.smin = one.smin.max(two.smin);
        one.smax = one.smax.min(two.smax);
        one.var_off = one.var_off.intersect(two.var_off);
        regs[a] = one;
        let other = &mut regs[b];
        (other.umin, other.umax) = (one.umin, one.umax);
        (other.smin, other.smax) = (one.smin, one.smax);
        other.var_off = one.var_off;
    }
}

/// The number is not `value`: an end of a range that is moves inwards.
fn exclude(reg: &mut Reg, value: u64, is_32: bool) {
    if is_32 {
        let value = value as u32;
        if reg.u32_min == value {
            reg.u32_min = reg.u32_min.wrapping_add(1);
        }
        if reg.u32_max == value {
            reg.u32_max = reg.u32_max.wrapping_sub(1);
        }
        if reg.s32_min == value as i32 {
            reg.s32_min = reg.s32_min.wrapping_add(1);
        }
        if reg.s32_max == value as i32 {
            reg.s32_max = reg.s32_max.wrapping_sub(1);
        }
    } else {
        if reg.umin == value {
            reg.umin = reg.umin.wrapping_add(1);
        }
        if reg.umax == value {
            reg.umax = reg.umax.wrapping_sub(1);
        }
        if reg.smin == value as i64 {
            reg.smin = reg.smin.wrapping_add(1);
        }
        if reg.smax == value as i64 {
            reg.smax = reg.smax.wrapping_sub(1);
        }
    }
}
