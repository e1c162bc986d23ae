//! Whatever a concrete number is, what is known of it says so: after arithmetic, comparisons, and changes of width.

use super::{Tnum, branch_taken, is_computable, refine, reverse};
use crate::kernel::Version;
use crate::verifier::op;
use crate::verifier::reg::{Base, Reg};
use proptest::prelude::*;

const VERSIONS: [Version; 5] = [Version(5, 10), Version(6, 1), Version(6, 12), Version(6, 18), Version(7, 2)];

/// All tristate numbers of so many bits.
fn all_tnums(bits: u32) -> Vec<Tnum> {
    let mut all = Vec::new();
    for mask in 0..1_u64 << bits {
        for value in 0..1_u64 << bits {
            if value & mask == 0 {
                all.push(Tnum { value, mask });
            }
        }
    }
    all
}

fn numbers_of(tnum: Tnum, bits: u32) -> impl Iterator<Item = u64> {
    (0..1_u64 << bits).filter(move |number| tnum.contains(*number))
}

#[test]
fn every_pair_of_small_tnums_holds_every_result() {
    const BITS: u32 = 4;
    type Op = (&'static str, fn(Tnum, Tnum) -> Tnum, fn(u64, u64) -> u64);
    let ops: [Op; 7] = [
        ("add", Tnum::add, u64::wrapping_add),
        ("sub", Tnum::sub, u64::wrapping_sub),
        ("and", Tnum::and, |a, b| a & b),
        ("or", Tnum::or, |a, b| a | b),
        ("xor", Tnum::xor, |a, b| a ^ b),
        ("mul", Tnum::mul, u64::wrapping_mul),
        ("mul_joining", Tnum::mul_joining, u64::wrapping_mul),
    ];
    let tnums = all_tnums(BITS);
    assert_eq!(tnums.len(), 81);
    for &a in &tnums {
        for &b in &tnums {
            for (name, abstractly, concretely) in ops {
                let result = abstractly(a, b);
                assert_eq!(result.value & result.mask, 0, "{name} {a} {b}");
                for x in numbers_of(a, BITS) {
                    for y in numbers_of(b, BITS) {
                        let number = concretely(x, y);
                        assert!(
                            result.contains(number),
                            "{name} of {a} and {b}: {x}, {y} is not in {result}"
                        );
                    }
                }
            }
            let both: Vec<u64> = numbers_of(a, BITS).filter(|x| b.contains(*x)).collect();
            assert_eq!(a.overlaps(b), !both.is_empty(), "{a} {b}");
            assert!(both.iter().all(|x| a.intersect(b).contains(*x)), "{a} {b}");
            assert!(numbers_of(a, BITS).all(|x| a.union(b).contains(x)), "{a} {b}");
            for x in 0..=1 << BITS {
                let above = numbers_of(a, BITS).find(|number| *number > x);
                assert_eq!(a.next_above(x), above.unwrap_or(a.value | a.mask), "{a} above {x}");
            }
            assert_eq!(a.includes(b), numbers_of(b, BITS).all(|x| a.contains(x)), "{a} {b}");
        }
    }
}

#[test]
fn bitwise_operations_on_tnums_are_exact() {
    let tnums = all_tnums(3);
    for &a in &tnums {
        for &b in &tnums {
            for (result, concretely) in [
                (a.and(b), (|x, y| x & y) as fn(u64, u64) -> u64),
                (a.or(b), |x, y| x | y),
                (a.xor(b), |x, y| x ^ y),
            ] {
                // Each bit that is unknown is 0 in one result and 1 in another.
                let (mut ones, mut zeroes) = (0, 0);
                for x in numbers_of(a, 3) {
                    for y in numbers_of(b, 3) {
                        ones |= concretely(x, y);
                        zeroes |= !concretely(x, y);
                    }
                }
                assert_eq!(ones & zeroes, result.mask, "{a} {b}");
            }
        }
    }
}

#[test]
fn small_ranges_become_the_bits_they_share() {
    for min in 0..64 {
        for max in min..64 {
            let tnum = Tnum::range(min, max);
            assert!((min..=max).all(|number| tnum.contains(number)), "{min} {max} {tnum}");
        }
    }
    assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
    assert_eq!(Tnum::range(7, 7), Tnum::constant(7));
}

/// Numbers near the ends of all ranges, small ones, and any.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0_u64..40).prop_map(|n| n.wrapping_sub(20)),
        (0_u64..8, 0_u32..64).prop_map(|(n, by)| n << by),
        (0_u64..20).prop_map(|n| (i32::MAX as u64 - 10).wrapping_add(n)),
        (0_u64..20).prop_map(|n| (u64::from(u32::MAX) - 10).wrapping_add(n)),
        (0_u64..20).prop_map(|n| (i64::MAX as u64 - 10).wrapping_add(n)),
        any::<i32>().prop_map(|n| i64::from(n) as u64),
    ]
}

/// A number with something known of it: ranges of four kinds and bits, some of them tight.
fn known_number() -> impl Strategy<Value = (u64, Reg)> {
    (number(), prop::array::uniform8(prop::option::of(number())), prop::option::of(number()), 0_u8..16)
        .prop_map(|(x, ends, mask, kind)| {
            let mut reg = Reg { base: Base::Scalar, ..Reg::NOT_INIT };
            let mask = mask.unwrap_or(u64::MAX);
            let mask = if kind == 0 { 0 } else { mask };
            reg.var_off = Tnum { value: x & !mask, mask };
            let [a, b, c, d, e, f, g, h] = ends;
            reg.umin = a.unwrap_or(0).min(x);
            reg.umax = b.unwrap_or(u64::MAX).max(x);
            reg.smin = c.map_or(i64::MIN, |n| n as i64).min(x as i64);
            reg.smax = d.map_or(i64::MAX, |n| n as i64).max(x as i64);
            reg.u32_min = e.map_or(0, |n| n as u32).min(x as u32);
            reg.u32_max = f.map_or(u32::MAX, |n| n as u32).max(x as u32);
            reg.s32_min = g.map_or(i32::MIN, |n| n as i32).min(x as i32);
            reg.s32_max = h.map_or(i32::MAX, |n| n as i32).max(x as i32);
            (x, reg)
        })
}

fn holds(reg: &Reg, x: u64) -> bool {
    reg.var_off.contains(x)
        && (reg.umin..=reg.umax).contains(&x)
        && (reg.smin..=reg.smax).contains(&(x as i64))
        && (reg.u32_min..=reg.u32_max).contains(&(x as u32))
        && (reg.s32_min..=reg.s32_max).contains(&(x as i32))
}

fn divide(code: u8, signed: bool, is_32: bool, x: u64, y: u64) -> u64 {
    if signed {
        let (x, y) = if is_32 { (i64::from(x as i32), i64::from(y as i32)) } else { (x as i64, y as i64) };
        let result = match (code, y) {
            (op::DIV, 0) => 0,
            (_, 0) => x,
            (op::DIV, _) => x.wrapping_div(y),
            _ => x.wrapping_rem(y),
        };
        return if is_32 { u64::from(result as u32) } else { result as u64 };
    }
    let (x, y) = if is_32 { (x & 0xffff_ffff, y & 0xffff_ffff) } else { (x, y) };
    match (code, y) {
        (op::DIV, 0) => 0,
        (_, 0) => x,
        (op::DIV, _) => x / y,
        _ => x % y,
    }
}

fn compute(code: u8, signed: bool, is_32: bool, x: u64, y: u64) -> u64 {
    if matches!(code, op::DIV | op::MOD) {
        return divide(code, signed, is_32, x, y);
    }
    let (x32, y32) = (x as u32, y as u32);
    let narrow = u64::from(match code {
        op::ADD => x32.wrapping_add(y32),
        op::SUB => x32.wrapping_sub(y32),
        op::MUL => x32.wrapping_mul(y32),
        op::AND => x32 & y32,
        op::OR => x32 | y32,
        op::XOR => x32 ^ y32,
        op::LSH => x32.wrapping_shl(y32),
        op::RSH => x32.wrapping_shr(y32),
        op::ARSH => (x32 as i32).wrapping_shr(y32) as u32,
        _ => x32.wrapping_neg(),
    });
    let wide = match code {
        op::ADD => x.wrapping_add(y),
        op::SUB => x.wrapping_sub(y),
        op::MUL => x.wrapping_mul(y),
        op::AND => x & y,
        op::OR => x | y,
        op::XOR => x ^ y,
        op::LSH => x.wrapping_shl(y32),
        op::RSH => x.wrapping_shr(y32),
        op::ARSH => (x as i64).wrapping_shr(y32) as u64,
        _ => x.wrapping_neg(),
    };
    if is_32 { narrow } else { wide }
}

fn compare(code: u8, is_32: bool, x: u64, y: u64) -> bool {
    let (ux, uy) = if is_32 { (x & 0xffff_ffff, y & 0xffff_ffff) } else { (x, y) };
    let (sx, sy) = if is_32 { (i64::from(x as i32), i64::from(y as i32)) } else { (x as i64, y as i64) };
    match code {
        op::JEQ => ux == uy,
        op::JNE => ux != uy,
        op::JSET => ux & uy != 0,
        op::JGT => ux > uy,
        op::JGE => ux >= uy,
        op::JLT => ux < uy,
        op::JLE => ux <= uy,
        op::JSGT => sx > sy,
        op::JSGE => sx >= sy,
        op::JSLT => sx < sy,
        _ => sx <= sy,
    }
}

const OPS: [u8; 12] = [
    op::DIV,
    op::MOD,
    op::ADD,
    op::SUB,
    op::MUL,
    op::AND,
    op::OR,
    op::XOR,
    op::LSH,
    op::RSH,
    op::ARSH,
    op::NEG,
];
const JUMPS: [u8; 11] =
    [op::JEQ, op::JNE, op::JSET, op::JGT, op::JGE, op::JLT, op::JLE, op::JSGT, op::JSGE, op::JSLT, op::JSLE];

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn in_step_means_no_number_lost((x, reg) in known_number()) {
        for version in VERSIONS {
            let mut synced = reg;
            synced.bounds_sync(version);
            prop_assert!(holds(&synced, x), "{version}: {x:#x} {reg:?} {synced:?}");
            prop_assert!(synced.bounds_violation() != Some("range bounds violation"));
        }
    }

    #[test]
    fn arithmetic_holds_its_result(
        (x, a) in known_number(),
        (y, b) in known_number(),
        code in prop::sample::select(&OPS[..]),
        is_32: bool,
        by_constant: bool,
        signed: bool,
        small: bool,
    ) {
        for version in VERSIONS {
            let (mut left, mut right) = (a, if by_constant { Reg::known(if small { y % 64 } else { y }) } else { b });
            let y = if by_constant && small { y % 64 } else { y };
            left.bounds_sync(version);
            right.bounds_sync(version);
            if !is_computable(code, is_32, &right, version) {
                continue;
            }
            let result = compute(code, signed, is_32, x, y);
            let before = left;
            left.apply(code, signed, is_32, &right, version);
            prop_assert!(
                holds(&left, result),
                "{version} op {code:#x} 32: {is_32}: {x:#x}, {y:#x} -> {result:#x}\n{before:?}\n{right:?}\n{left:?}"
            );
        }
    }

    #[test]
    fn both_ways_of_a_jump_hold_their_numbers(
        (x, a) in known_number(),
        (y, b) in known_number(),
        code in prop::sample::select(&JUMPS[..]),
        is_32: bool,
        by_constant: bool,
    ) {
        for version in VERSIONS {
            let (mut left, mut right) = (a, if by_constant { Reg::known(y) } else { b });
            left.bounds_sync(version);
            right.bounds_sync(version);
            let taken = compare(code, is_32, x, y);
            match branch_taken(&left, &right, code, is_32, version) {
                Some(decided) => prop_assert_eq!(decided, taken, "{} {:?} {:?}", version, left, right),
                None => {
                    let mut sides = [left, right];
                    let holding = if taken { code } else { reverse(code) };
                    refine(&mut sides, 0, 1, holding, is_32, version);
                    for (mut side, number) in sides.into_iter().zip([x, y]) {
                        side.bounds_sync(version);
                        prop_assert!(
                            holds(&side, number),
                            "{version} jump {holding:#x} 32: {is_32}: {x:#x} {y:#x}\n{left:?}\n{right:?}\n{side:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_comparison_with_itself_keeps_the_number((x, a) in known_number(), code in prop::sample::select(&JUMPS[..])) {
        let version = Version(6, 12);
        let mut reg = a;
        reg.bounds_sync(version);
        if branch_taken(&reg, &reg, code, false, version).is_none() {
            let holding = if compare(code, false, x, x) { code } else { reverse(code) };
            let mut sides = [reg, Reg::NOT_INIT];
            refine(&mut sides, 0, 0, holding, false, version);
            sides[0].bounds_sync(version);
            prop_assert!(holds(&sides[0], x), "{reg:?} {:?}", sides[0]);
        }
    }

    #[test]
    fn narrower_and_wider_hold_their_number((x, reg) in known_number(), size in prop::sample::select(&[1_u32, 2, 4][..])) {
        for version in VERSIONS {
            let mut start = reg;
            start.bounds_sync(version);
            let mut low = start;
            low.coerce_to_size(size, version);
            let keep = (1_u64 << (size * 8)) - 1;
            if size < 4 || version >= Version(6, 8) {
                prop_assert!(holds(&low, x & keep), "{version} {size} {x:#x} {start:?} {low:?}");
            }
            let mut wide = start;
            wide.sign_extend_64(size);
            wide.bounds_sync(version);
            let by = 64 - size * 8;
            prop_assert!(holds(&wide, ((x << by) as i64 >> by) as u64), "{size} {x:#x} {start:?} {wide:?}");
            if size < 4 {
                let mut half = start;
                half.sign_extend_32(size);
                half.zero_extend_32();
                half.bounds_sync(version);
                let by = 32 - size * 8;
                let result = ((x as u32) << by) as i32 >> by;
                prop_assert!(holds(&half, u64::from(result as u32)), "{size} {x:#x} {start:?} {half:?}");
            }
        }
    }
}
