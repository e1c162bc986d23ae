//! Encoding and text of every class of instructions, one table each. The bytes are the little-endian wire form.

mod common;

use asm::*;
use common::*;
use expect_test::{Expect, expect};

fn check(instructions: impl IntoIterator<Item = Instruction>, expected: Expect) {
    expected.assert_eq(&table(instructions));
}

#[test]
fn arithmetic() {
    let all = WIDTHS.into_iter().flat_map(|width| {
        ALU_OPS.into_iter().flat_map(move |op| {
            [Operand::Reg(R2), Operand::Imm(-5)].map(|src| Instruction::Alu { op, width, dst: R1, src })
        })
    });
    check(
        all,
        expect![[r#"
        0f 21 00 00 00 00 00 00  r1 += r2
        07 01 00 00 fb ff ff ff  r1 += -5
        1f 21 00 00 00 00 00 00  r1 -= r2
        17 01 00 00 fb ff ff ff  r1 -= -5
        2f 21 00 00 00 00 00 00  r1 *= r2
        27 01 00 00 fb ff ff ff  r1 *= -5
        3f 21 00 00 00 00 00 00  r1 /= r2
        37 01 00 00 fb ff ff ff  r1 /= -5
        3f 21 01 00 00 00 00 00  r1 s/= r2
        37 01 01 00 fb ff ff ff  r1 s/= -5
        4f 21 00 00 00 00 00 00  r1 |= r2
        47 01 00 00 fb ff ff ff  r1 |= -5
        5f 21 00 00 00 00 00 00  r1 &= r2
        57 01 00 00 fb ff ff ff  r1 &= -5
        6f 21 00 00 00 00 00 00  r1 <<= r2
        67 01 00 00 fb ff ff ff  r1 <<= -5
        7f 21 00 00 00 00 00 00  r1 >>= r2
        77 01 00 00 fb ff ff ff  r1 >>= -5
        9f 21 00 00 00 00 00 00  r1 %= r2
        97 01 00 00 fb ff ff ff  r1 %= -5
        9f 21 01 00 00 00 00 00  r1 s%= r2
        97 01 01 00 fb ff ff ff  r1 s%= -5
        af 21 00 00 00 00 00 00  r1 ^= r2
        a7 01 00 00 fb ff ff ff  r1 ^= -5
        bf 21 00 00 00 00 00 00  r1 = r2
        b7 01 00 00 fb ff ff ff  r1 = -5
        cf 21 00 00 00 00 00 00  r1 s>>= r2
        c7 01 00 00 fb ff ff ff  r1 s>>= -5
        0c 21 00 00 00 00 00 00  w1 += w2
        04 01 00 00 fb ff ff ff  w1 += -5
        1c 21 00 00 00 00 00 00  w1 -= w2
        14 01 00 00 fb ff ff ff  w1 -= -5
        2c 21 00 00 00 00 00 00  w1 *= w2
        24 01 00 00 fb ff ff ff  w1 *= -5
        3c 21 00 00 00 00 00 00  w1 /= w2
        34 01 00 00 fb ff ff ff  w1 /= -5
        3c 21 01 00 00 00 00 00  w1 s/= w2
        34 01 01 00 fb ff ff ff  w1 s/= -5
        4c 21 00 00 00 00 00 00  w1 |= w2
        44 01 00 00 fb ff ff ff  w1 |= -5
        5c 21 00 00 00 00 00 00  w1 &= w2
        54 01 00 00 fb ff ff ff  w1 &= -5
        6c 21 00 00 00 00 00 00  w1 <<= w2
        64 01 00 00 fb ff ff ff  w1 <<= -5
        7c 21 00 00 00 00 00 00  w1 >>= w2
        74 01 00 00 fb ff ff ff  w1 >>= -5
        9c 21 00 00 00 00 00 00  w1 %= w2
        94 01 00 00 fb ff ff ff  w1 %= -5
        9c 21 01 00 00 00 00 00  w1 s%= w2
        94 01 01 00 fb ff ff ff  w1 s%= -5
        ac 21 00 00 00 00 00 00  w1 ^= w2
        a4 01 00 00 fb ff ff ff  w1 ^= -5
        bc 21 00 00 00 00 00 00  w1 = w2
        b4 01 00 00 fb ff ff ff  w1 = -5
        cc 21 00 00 00 00 00 00  w1 s>>= w2
        c4 01 00 00 fb ff ff ff  w1 s>>= -5
    "#]],
    );
}

#[test]
fn negation_swaps_and_moves() {
    let neg = WIDTHS.map(|width| Instruction::Neg { width, dst: R3 });
    let swaps = [Swap::ToLe, Swap::ToBe, Swap::Bswap].into_iter().flat_map(|order| {
        [Size::H, Size::W, Size::DW].map(|size| Instruction::Swap { order, size, dst: R0 })
    });
    let moves = [(Width::W64, Size::B), (Width::W64, Size::H), (Width::W64, Size::W), (Width::W32, Size::B)]
        .into_iter()
        .chain([(Width::W32, Size::H)])
        .map(|(width, from)| Instruction::MovSx { width, from, dst: R0, src: R1 });
    let casts = [(0, 1), (1, 0)].map(|(to, from)| Instruction::AddrSpaceCast { dst: R1, src: R2, to, from });
    check(
        neg.into_iter().chain(swaps).chain(moves).chain(casts),
        expect![[r#"
        87 03 00 00 00 00 00 00  r3 = -r3
        84 03 00 00 00 00 00 00  w3 = -w3
        d4 00 00 00 10 00 00 00  r0 = le16 r0
        d4 00 00 00 20 00 00 00  r0 = le32 r0
        d4 00 00 00 40 00 00 00  r0 = le64 r0
        dc 00 00 00 10 00 00 00  r0 = be16 r0
        dc 00 00 00 20 00 00 00  r0 = be32 r0
        dc 00 00 00 40 00 00 00  r0 = be64 r0
        d7 00 00 00 10 00 00 00  r0 = bswap16 r0
        d7 00 00 00 20 00 00 00  r0 = bswap32 r0
        d7 00 00 00 40 00 00 00  r0 = bswap64 r0
        bf 10 08 00 00 00 00 00  r0 = (s8)r1
        bf 10 10 00 00 00 00 00  r0 = (s16)r1
        bf 10 20 00 00 00 00 00  r0 = (s32)r1
        bc 10 08 00 00 00 00 00  w0 = (s8)w1
        bc 10 10 00 00 00 00 00  w0 = (s16)w1
        bf 21 01 00 01 00 00 00  r1 = addr_space_cast(r2, 0, 1)
        bf 21 01 00 00 00 01 00  r1 = addr_space_cast(r2, 1, 0)
    "#]],
    );
}

#[test]
fn loads_and_stores() {
    let plain = SIZES.into_iter().flat_map(|size| {
        [
            Instruction::Load { size, dst: R0, src: R1, off: 8 },
            Instruction::Store { size, dst: R10, off: -8, src: Operand::Reg(R2) },
            Instruction::Store { size, dst: R10, off: 0, src: Operand::Imm(-1) },
            Instruction::LoadAcquire { size, dst: R0, src: R1, off: 0 },
            Instruction::StoreRelease { size, dst: R1, off: -2, src: R2 },
        ]
    });
    let narrow = [Size::B, Size::H, Size::W].into_iter().flat_map(|size| {
        [
            Instruction::LoadSx { size, dst: R0, src: R1, off: -4 },
            Instruction::LoadAbs { size, imm: 12 },
            Instruction::LoadInd { size, src: R7, imm: -1 },
        ]
    });
    check(
        plain.chain(narrow),
        expect![[r#"
        71 10 08 00 00 00 00 00  r0 = *(u8 *)(r1 +8)
        73 2a f8 ff 00 00 00 00  *(u8 *)(r10 -8) = r2
        72 0a 00 00 ff ff ff ff  *(u8 *)(r10 +0) = -1
        d3 10 00 00 00 01 00 00  r0 = load_acquire((u8 *)(r1 +0))
        d3 21 fe ff 10 01 00 00  store_release((u8 *)(r1 -2), r2)
        69 10 08 00 00 00 00 00  r0 = *(u16 *)(r1 +8)
        6b 2a f8 ff 00 00 00 00  *(u16 *)(r10 -8) = r2
        6a 0a 00 00 ff ff ff ff  *(u16 *)(r10 +0) = -1
        cb 10 00 00 00 01 00 00  r0 = load_acquire((u16 *)(r1 +0))
        cb 21 fe ff 10 01 00 00  store_release((u16 *)(r1 -2), r2)
        61 10 08 00 00 00 00 00  r0 = *(u32 *)(r1 +8)
        63 2a f8 ff 00 00 00 00  *(u32 *)(r10 -8) = r2
        62 0a 00 00 ff ff ff ff  *(u32 *)(r10 +0) = -1
        c3 10 00 00 00 01 00 00  r0 = load_acquire((u32 *)(r1 +0))
        c3 21 fe ff 10 01 00 00  store_release((u32 *)(r1 -2), r2)
        79 10 08 00 00 00 00 00  r0 = *(u64 *)(r1 +8)
        7b 2a f8 ff 00 00 00 00  *(u64 *)(r10 -8) = r2
        7a 0a 00 00 ff ff ff ff  *(u64 *)(r10 +0) = -1
        db 10 00 00 00 01 00 00  r0 = load_acquire((u64 *)(r1 +0))
        db 21 fe ff 10 01 00 00  store_release((u64 *)(r1 -2), r2)
        91 10 fc ff 00 00 00 00  r0 = *(s8 *)(r1 -4)
        30 00 00 00 0c 00 00 00  r0 = *(u8 *)skb[12]
        50 70 00 00 ff ff ff ff  r0 = *(u8 *)skb[r7 + -1]
        89 10 fc ff 00 00 00 00  r0 = *(s16 *)(r1 -4)
        28 00 00 00 0c 00 00 00  r0 = *(u16 *)skb[12]
        48 70 00 00 ff ff ff ff  r0 = *(u16 *)skb[r7 + -1]
        81 10 fc ff 00 00 00 00  r0 = *(s32 *)(r1 -4)
        20 00 00 00 0c 00 00 00  r0 = *(u32 *)skb[12]
        40 70 00 00 ff ff ff ff  r0 = *(u32 *)skb[r7 + -1]
    "#]],
    );
}

#[test]
fn atomics() {
    let all = [Size::DW, Size::W]
        .into_iter()
        .flat_map(|size| ATOMICS.map(|op| Instruction::Atomic { op, size, dst: R1, off: 8, src: R2 }));
    check(
        all,
        expect![[r#"
        db 21 08 00 00 00 00 00  lock *(u64 *)(r1 +8) += r2
        db 21 08 00 40 00 00 00  lock *(u64 *)(r1 +8) |= r2
        db 21 08 00 50 00 00 00  lock *(u64 *)(r1 +8) &= r2
        db 21 08 00 a0 00 00 00  lock *(u64 *)(r1 +8) ^= r2
        db 21 08 00 01 00 00 00  r2 = atomic64_fetch_add((u64 *)(r1 +8), r2)
        db 21 08 00 41 00 00 00  r2 = atomic64_fetch_or((u64 *)(r1 +8), r2)
        db 21 08 00 51 00 00 00  r2 = atomic64_fetch_and((u64 *)(r1 +8), r2)
        db 21 08 00 a1 00 00 00  r2 = atomic64_fetch_xor((u64 *)(r1 +8), r2)
        db 21 08 00 e1 00 00 00  r2 = atomic64_xchg((u64 *)(r1 +8), r2)
        db 21 08 00 f1 00 00 00  r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)
        c3 21 08 00 00 00 00 00  lock *(u32 *)(r1 +8) += r2
        c3 21 08 00 40 00 00 00  lock *(u32 *)(r1 +8) |= r2
        c3 21 08 00 50 00 00 00  lock *(u32 *)(r1 +8) &= r2
        c3 21 08 00 a0 00 00 00  lock *(u32 *)(r1 +8) ^= r2
        c3 21 08 00 01 00 00 00  r2 = atomic_fetch_add((u32 *)(r1 +8), r2)
        c3 21 08 00 41 00 00 00  r2 = atomic_fetch_or((u32 *)(r1 +8), r2)
        c3 21 08 00 51 00 00 00  r2 = atomic_fetch_and((u32 *)(r1 +8), r2)
        c3 21 08 00 a1 00 00 00  r2 = atomic_fetch_xor((u32 *)(r1 +8), r2)
        c3 21 08 00 e1 00 00 00  r2 = atomic_xchg((u32 *)(r1 +8), r2)
        c3 21 08 00 f1 00 00 00  r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)
    "#]],
    );
}

#[test]
fn immediate_loads() {
    let values = [
        Imm64::Value(0x1122_3344_5566_7788),
        Imm64::Value(u64::MAX),
        Imm64::Value(0x8000_0000),
        Imm64::MapFd(3),
        Imm64::MapValue { fd: 3, offset: 16 },
        Imm64::BtfId { btf_id: 77, obj_fd: 0 },
        Imm64::BtfId { btf_id: 77, obj_fd: 5 },
        Imm64::Func(-6),
        Imm64::MapIdx(2),
        Imm64::MapIdxValue { index: 2, offset: 4 },
    ];
    check(
        values.map(|value| Instruction::LdImm64 { dst: R1, value }),
        expect![[r#"
            18 01 00 00 88 77 66 55  r1 = 0x1122334455667788 ll
            00 00 00 00 44 33 22 11  ...
            18 01 00 00 ff ff ff ff  r1 = 0xffffffffffffffff ll
            00 00 00 00 ff ff ff ff  ...
            18 01 00 00 00 00 00 80  r1 = 0x80000000 ll
            00 00 00 00 00 00 00 00  ...
            18 11 00 00 03 00 00 00  r1 = map[id:3]
            00 00 00 00 00 00 00 00  ...
            18 21 00 00 03 00 00 00  r1 = map[id:3][0]+16
            00 00 00 00 10 00 00 00  ...
            18 31 00 00 4d 00 00 00  r1 = btf[id:77]
            00 00 00 00 00 00 00 00  ...
            18 31 00 00 4d 00 00 00  r1 = btf[id:77, fd:5]
            00 00 00 00 05 00 00 00  ...
            18 41 00 00 fa ff ff ff  r1 = subprog[-6]
            00 00 00 00 00 00 00 00  ...
            18 51 00 00 02 00 00 00  r1 = map[idx:2]
            00 00 00 00 00 00 00 00  ...
            18 61 00 00 02 00 00 00  r1 = map[idx:2]+4
            00 00 00 00 04 00 00 00  ...
        "#]],
    );
}

#[test]
fn conditional_jumps() {
    let all = WIDTHS.into_iter().flat_map(|width| {
        CONDS.into_iter().flat_map(move |cond| {
            [(Operand::Reg(R2), 3), (Operand::Imm(-5), -3)].map(|(src, off)| Instruction::JumpIf {
                cond,
                width,
                dst: R1,
                src,
                off,
            })
        })
    });
    check(
        all,
        expect![[r#"
        1d 21 03 00 00 00 00 00  if r1 == r2 goto pc+3
        15 01 fd ff fb ff ff ff  if r1 == 0xfffffffb goto pc-3
        5d 21 03 00 00 00 00 00  if r1 != r2 goto pc+3
        55 01 fd ff fb ff ff ff  if r1 != 0xfffffffb goto pc-3
        2d 21 03 00 00 00 00 00  if r1 > r2 goto pc+3
        25 01 fd ff fb ff ff ff  if r1 > 0xfffffffb goto pc-3
        3d 21 03 00 00 00 00 00  if r1 >= r2 goto pc+3
        35 01 fd ff fb ff ff ff  if r1 >= 0xfffffffb goto pc-3
        ad 21 03 00 00 00 00 00  if r1 < r2 goto pc+3
        a5 01 fd ff fb ff ff ff  if r1 < 0xfffffffb goto pc-3
        bd 21 03 00 00 00 00 00  if r1 <= r2 goto pc+3
        b5 01 fd ff fb ff ff ff  if r1 <= 0xfffffffb goto pc-3
        4d 21 03 00 00 00 00 00  if r1 & r2 goto pc+3
        45 01 fd ff fb ff ff ff  if r1 & 0xfffffffb goto pc-3
        6d 21 03 00 00 00 00 00  if r1 s> r2 goto pc+3
        65 01 fd ff fb ff ff ff  if r1 s> 0xfffffffb goto pc-3
        7d 21 03 00 00 00 00 00  if r1 s>= r2 goto pc+3
        75 01 fd ff fb ff ff ff  if r1 s>= 0xfffffffb goto pc-3
        cd 21 03 00 00 00 00 00  if r1 s< r2 goto pc+3
        c5 01 fd ff fb ff ff ff  if r1 s< 0xfffffffb goto pc-3
        dd 21 03 00 00 00 00 00  if r1 s<= r2 goto pc+3
        d5 01 fd ff fb ff ff ff  if r1 s<= 0xfffffffb goto pc-3
        1e 21 03 00 00 00 00 00  if w1 == w2 goto pc+3
        16 01 fd ff fb ff ff ff  if w1 == 0xfffffffb goto pc-3
        5e 21 03 00 00 00 00 00  if w1 != w2 goto pc+3
        56 01 fd ff fb ff ff ff  if w1 != 0xfffffffb goto pc-3
        2e 21 03 00 00 00 00 00  if w1 > w2 goto pc+3
        26 01 fd ff fb ff ff ff  if w1 > 0xfffffffb goto pc-3
        3e 21 03 00 00 00 00 00  if w1 >= w2 goto pc+3
        36 01 fd ff fb ff ff ff  if w1 >= 0xfffffffb goto pc-3
        ae 21 03 00 00 00 00 00  if w1 < w2 goto pc+3
        a6 01 fd ff fb ff ff ff  if w1 < 0xfffffffb goto pc-3
        be 21 03 00 00 00 00 00  if w1 <= w2 goto pc+3
        b6 01 fd ff fb ff ff ff  if w1 <= 0xfffffffb goto pc-3
        4e 21 03 00 00 00 00 00  if w1 & w2 goto pc+3
        46 01 fd ff fb ff ff ff  if w1 & 0xfffffffb goto pc-3
        6e 21 03 00 00 00 00 00  if w1 s> w2 goto pc+3
        66 01 fd ff fb ff ff ff  if w1 s> 0xfffffffb goto pc-3
        7e 21 03 00 00 00 00 00  if w1 s>= w2 goto pc+3
        76 01 fd ff fb ff ff ff  if w1 s>= 0xfffffffb goto pc-3
        ce 21 03 00 00 00 00 00  if w1 s< w2 goto pc+3
        c6 01 fd ff fb ff ff ff  if w1 s< 0xfffffffb goto pc-3
        de 21 03 00 00 00 00 00  if w1 s<= w2 goto pc+3
        d6 01 fd ff fb ff ff ff  if w1 s<= 0xfffffffb goto pc-3
    "#]],
    );
}

#[test]
fn control_flow() {
    let all = [
        Instruction::Jump { off: 5 },
        Instruction::Jump { off: -5 },
        Instruction::JumpLong { off: 70_000 },
        Instruction::JumpLong { off: -70_000 },
        Instruction::JumpReg { dst: R3 },
        Instruction::MayGoto { off: 2 },
        Instruction::Call(CallTarget::Helper(Helper::MAP_LOOKUP_ELEM)),
        Instruction::Call(CallTarget::Helper(Helper(4711))),
        Instruction::Call(CallTarget::Helper(Helper(u32::MAX))),
        Instruction::Call(CallTarget::Local(7)),
        Instruction::Call(CallTarget::Local(-7)),
        Instruction::Call(CallTarget::Kfunc { btf_id: 1234, fd_index: 0 }),
        Instruction::Call(CallTarget::Kfunc { btf_id: 1234, fd_index: 2 }),
        Instruction::CallReg { dst: R4 },
        Instruction::Exit,
    ];
    check(
        all,
        expect![[r#"
            05 00 05 00 00 00 00 00  goto pc+5
            05 00 fb ff 00 00 00 00  goto pc-5
            06 00 00 00 70 11 01 00  gotol pc+70000
            06 00 00 00 90 ee fe ff  gotol pc-70000
            0d 03 00 00 00 00 00 00  gotox r3
            e5 00 02 00 00 00 00 00  may_goto pc+2
            85 00 00 00 01 00 00 00  call bpf_map_lookup_elem#1
            85 00 00 00 67 12 00 00  call unknown#4711
            85 00 00 00 ff ff ff ff  call unknown#-1
            85 10 00 00 07 00 00 00  call pc+7
            85 10 00 00 f9 ff ff ff  call pc-7
            85 20 00 00 d2 04 00 00  call kernel-function#1234
            85 20 02 00 d2 04 00 00  call kernel-function#1234 fd_array[2]
            8d 04 00 00 00 00 00 00  callx r4
            95 00 00 00 00 00 00 00  exit
        "#]],
    );
}

#[test]
fn byte_orders() {
    let insn = Insn::new(0x7b, 10, 2, -8, 0x0102_0304);
    expect![[r#"
        Insn(7b dst=10 src=2 off=-8 imm=0x1020304)
        little [7b, 2a, f8, ff, 04, 03, 02, 01]
        big    [7b, a2, ff, f8, 01, 02, 03, 04]
    "#]]
    .assert_eq(&format!(
        "{insn:?}\nlittle {:02x?}\nbig    {:02x?}\n",
        insn.to_bytes_le(),
        insn.to_bytes_be()
    ));
    assert_eq!(Insn::from_bytes_le(insn.to_bytes_le()), insn);
    assert_eq!(Insn::from_bytes_be(insn.to_bytes_be()), insn);
    assert_eq!(Insn::from_bytes(insn.to_u64().to_ne_bytes()), insn);
}

/// Only the translated dump of a kernel holds these; plain decoding refuses them.
#[test]
fn kernel_made() {
    let words = [
        Insn::new(0xbf, 1, 2, -1, 0),
        Insn::new(0xc2, 0, 0, 0, 0),
        Insn::new(0xbf, 11, 1, 0, 0),
        Insn::new(0x18, 1, 4, 0, 0),
        Insn::new(0, 0, 0, 0, -1),
        Insn::new(0x85, 0, 1, 6, 1),
    ];
    let text = |translated| {
        let options = DisasmOptions { translated, opcodes: true, ..DisasmOptions::default() };
        disassemble_with(&words, options).map(|(at, text)| format!("{at}: {text}\n")).collect::<String>()
    };
    expect![[r#"
        0: (bf) r1 = &(void __percpu *)(r2)
        1: (c2) nospec
        2: (bf) r11 = r1
        3: (18) r1 = subprog[+0]
        5: (85) call pc+6
        --
        0: (bf) invalid: opcode 0xbf (64-bit move): -1 is no valid offset; allowed: 0, 1 (address space cast), 8, 16, 32 (sign extension)
        1: (c2) invalid: opcode 0xc2 is no instruction: stores of immediates have the mode MEM only
        2: (bf) invalid: opcode 0xbf: destination register 11 does not exist, registers are r0 to r10
        3: (18) invalid: opcode 0x18 (64-bit immediate load): the second word's immediate field must be zero, found -1
        4: (00) invalid: opcode 0x00 is no instruction: immediate loads exist for 8 bytes only
        5: (85) invalid: opcode 0x85 (call): the offset field is reserved and must be zero, found 6
    "#]].assert_eq(&(text(true) + "--\n" + &text(false)));
}
