//! What is generated, as the verifier would show it.

use asm::Program;
use expect_test::{Expect, expect};

use super::count::{self, Rows};
use super::stack::{self, Layout};
use super::{Frame, Key, Kind};
use crate::filter::{FilterPlan, PidNs};

fn check(program: &Program, expected: &Expect) {
    let text: String = asm::disassemble(&program.insns).map(|(at, line)| format!("{at}: {line}\n")).collect();
    expected.assert_eq(&text);
}

fn frame(kind: Kind, key: Key, filter: &FilterPlan, targets: u32) -> Frame<'_> {
    Frame { kind, key, filter, targets, exchange: false }
}

#[test]
fn one_kprobe_needs_no_key() {
    let filter = FilterPlan::default();
    let rows = Rows::new(1, 4).unwrap();
    let program = count::program(&frame(Kind::Kprobe, Key::Constant(0), &filter, 1), rows).unwrap();
    check(
        &program,
        &expect![[r#"
            0: r6 = r1
            1: r7 = 0
            2: call bpf_get_smp_processor_id#8
            3: if r0 >= 0x4 goto pc+7
            4: r0 *= 128
            5: r1 = map[id:0][0]+0
            7: r1 += r0
            8: r2 = *(u64 *)(r1 +0)
            9: r2 += 1
            10: *(u64 *)(r1 +0) = r2
            11: r0 = 0
            12: exit
        "#]],
    );
}

#[test]
fn many_uprobes_by_cookie_with_a_process() {
    let filter = FilterPlan { pid: Some(77), ..FilterPlan::default() };
    let rows = Rows::new(100, 4).unwrap();
    let program = count::program(&frame(Kind::Uprobe, Key::Cookie, &filter, 100), rows).unwrap();
    check(
        &program,
        &expect![[r#"
            0: r6 = r1
            1: call bpf_get_current_pid_tgid#14
            2: r0 >>= 32
            3: if w0 != 0x4d goto pc+14
            4: r1 = r6
            5: call bpf_get_attach_cookie#174
            6: r7 = r0
            7: if r7 >= 0x64 goto pc+10
            8: call bpf_get_smp_processor_id#8
            9: if r0 >= 0x4 goto pc+8
            10: r0 *= 896
            11: r7 <<= 3
            12: r0 += r7
            13: r1 = map[id:0][0]+0
            15: r1 += r0
            16: r2 = 1
            17: lock *(u64 *)(r1 +0) += r2
            18: r0 = 0
            19: exit
        "#]],
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn system_calls_by_number_in_a_namespace_on_one_processor() {
    let filter = FilterPlan {
        pid: Some(7),
        tid: Some(8),
        ns: Some(PidNs { dev: 4, ino: 0xf000_0001 }),
        cpu: Some(1),
        cgroup: Some("/sys/fs/cgroup".into()),
    };
    let rows = Rows::new(3, 2).unwrap();
    let key = Key::Syscall { exit: true };
    let program = count::program(&frame(Kind::RawSyscall, key, &filter, 3), rows).unwrap();
    check(
        &program,
        &expect![[r#"
            0: r6 = r1
            1: call bpf_get_smp_processor_id#8
            2: if w0 != 0x1 goto pc+46
            3: r1 = 0x4
            5: r2 = 0xf0000001
            7: r3 = r10
            8: r3 += -8
            9: r4 = 8
            10: call bpf_get_ns_current_pid_tgid#120
            11: if r0 != 0x0 goto pc+37
            12: r1 = *(u32 *)(r10 -8)
            13: if w1 != 0x8 goto pc+35
            14: r1 = *(u32 *)(r10 -4)
            15: if w1 != 0x7 goto pc+33
            16: r1 = map[id:1]
            18: r2 = 0
            19: call bpf_current_task_under_cgroup#37
            20: if r0 != 0x1 goto pc+28
            21: r1 = r10
            22: r1 += -24
            23: r2 = 24
            24: r3 = *(u64 *)(r6 +0)
            25: r3 += 120
            26: call bpf_probe_read_kernel#113
            27: if r0 != 0x0 goto pc+21
            28: r1 = *(u32 *)(r10 -8)
            29: r1 &= 65535
            30: if r1 == 0x23 goto pc+18
            31: r1 = *(u32 *)(r10 -24)
            32: if r1 >= 0x400 goto pc+16
            33: r1 <<= 2
            34: r2 = map[id:2][0]+0
            36: r2 += r1
            37: r7 = *(u32 *)(r2 +0)
            38: if r7 >= 0x3 goto pc+10
            39: call bpf_get_smp_processor_id#8
            40: if r0 >= 0x2 goto pc+8
            41: r0 *= 128
            42: r7 <<= 3
            43: r0 += r7
            44: r1 = map[id:0][0]+0
            46: r1 += r0
            47: r2 = 1
            48: lock *(u64 *)(r1 +0) += r2
            49: r0 = 0
            50: exit
        "#]],
    );
}

#[test]
fn rows_that_do_not_fit_one_element_become_elements() {
    let rows = Rows::new(43_000, 128).unwrap();
    assert!(!rows.one_element);
    let filter = FilterPlan::default();
    let program = count::program(&frame(Kind::Kprobe, Key::Cookie, &filter, 43_000), rows).unwrap();
    check(
        &program,
        &expect![[r#"
            0: r6 = r1
            1: r1 = r6
            2: call bpf_get_attach_cookie#174
            3: r7 = r0
            4: if r7 >= 0xa7f8 goto pc+15
            5: call bpf_get_smp_processor_id#8
            6: if r0 >= 0x80 goto pc+13
            7: *(u32 *)(r10 -8) = r0
            8: r1 = map[id:0]
            10: r2 = r10
            11: r2 += -8
            12: call bpf_map_lookup_elem#1
            13: if r0 == 0x0 goto pc+6
            14: r1 = r0
            15: r7 <<= 3
            16: r1 += r7
            17: r2 = *(u64 *)(r1 +0)
            18: r2 += 1
            19: *(u64 *)(r1 +0) = r2
            20: r0 = 0
            21: exit
        "#]],
    );
    assert_eq!(Rows::new(600_000, 2), None);
}

#[test]
fn entries_of_stacks_are_as_large_as_what_is_asked_for() {
    let layout =
        |kernel, user, process| Layout { kernel, user, process, target: false, frames: 127, ns: None };
    assert_eq!(layout(true, false, false).value_size(), 16 + 127 * 8);
    assert_eq!(layout(true, true, true).value_size(), 32 + 2 * 127 * 8);
    assert_eq!(layout(false, true, false).user_at(), 16);
}

#[test]
fn every_combination_of_stacks_assembles() {
    let filter = FilterPlan { pid: Some(1), ..FilterPlan::default() };
    for bits in 0..32 {
        let has = |bit: u32| bits & (1 << bit) != 0;
        if !has(0) && !has(1) {
            continue;
        }
        let layout =
            Layout { kernel: has(0), user: has(1), process: has(2), target: has(3), frames: 127, ns: None };
        let kind = if has(4) { Kind::Uprobe } else { Kind::Kprobe };
        let frame = Frame { kind, key: Key::Cookie, filter: &filter, targets: 5, exchange: has(4) };
        let program = stack::program(&frame, &layout).unwrap();
        // Old kernels take at most 4,096 instructions from those who may not load more.
        assert!(program.insns.len() < 600, "{}", program.insns.len());
    }
}

#[test]
fn kernel_stacks_of_one_kprobe() {
    let filter = FilterPlan::default();
    let layout = Layout { kernel: true, user: false, process: false, target: false, frames: 127, ns: None };
    let program = stack::program(&frame(Kind::Kprobe, Key::Constant(0), &filter, 1), &layout).unwrap();
    check(
        &program,
        &expect![[r#"
            0: r6 = r1
            1: *(u64 *)(r10 -8) = 0
            2: *(u32 *)(r10 -24) = 0
            3: r1 = map[id:3]
            5: r2 = r10
            6: r2 += -24
            7: call bpf_map_lookup_elem#1
            8: if r0 == 0x0 goto pc+212
            9: r8 = r0
            10: r8 += 8
            11: *(u64 *)(r8 +0) = 1
            12: *(u64 *)(r8 +8) = 0
            13: r1 = r6
            14: r2 = r8
            15: r2 += 16
            16: r3 = 1016
            17: r4 = 0
            18: call bpf_get_stack#67
            19: if r0 s>= 0x0 goto pc+1
            20: r0 = 0
            21: *(u32 *)(r8 +8) = r0
            22: r9 = *(u64 *)(r8 +8)
            23: r4 = 0x9e3779b97f4a7c15
            25: r3 = *(u32 *)(r8 +8)
            26: if r3 > 0x3f8 goto pc+9
            27: r1 = 0
            28: if r3 <= r1 goto pc+7
            29: r2 = r8
            30: r2 += r1
            31: r2 = *(u64 *)(r2 +16)
            32: r9 *= r4
            33: r9 += r2
            34: r1 += 8
            35: goto pc-8
            36: r1 = r9
            37: r1 >>= 32
            38: r9 ^= r1
            39: r9 *= r4
            40: *(u64 *)(r10 -16) = r9
            41: r1 = map[id:0]
            43: r2 = r10
            44: r2 += -16
            45: call bpf_map_lookup_elem#1
            46: if r0 != 0x0 goto pc+14
            47: r1 = map[id:0]
            49: r2 = r10
            50: r2 += -16
            51: r3 = r8
            52: r4 = 1
            53: call bpf_map_update_elem#2
            54: if r0 == 0x0 goto pc+166
            55: r1 = map[id:0]
            57: r2 = r10
            58: r2 += -16
            59: call bpf_map_lookup_elem#1
            60: if r0 == 0x0 goto pc+151
            61: r1 = *(u64 *)(r8 +8)
            62: r2 = *(u64 *)(r0 +8)
            63: if r1 != r2 goto pc+16
            64: r3 = *(u32 *)(r8 +8)
            65: if r3 > 0x3f8 goto pc+11
            66: r1 = 0
            67: if r3 <= r1 goto pc+9
            68: r2 = r8
            69: r2 += r1
            70: r2 = *(u64 *)(r2 +16)
            71: r4 = r0
            72: r4 += r1
            73: r4 = *(u64 *)(r4 +16)
            74: if r2 != r4 goto pc+5
            75: r1 += 8
            76: goto pc-10
            77: r1 = 1
            78: lock *(u64 *)(r0 +0) += r1
            79: goto pc+141
            80: r1 = *(u64 *)(r10 -16)
            81: r2 = 0x9e3779b97f4a7c15
            83: r1 += r2
            84: *(u64 *)(r10 -16) = r1
            85: r1 = map[id:0]
            87: r2 = r10
            88: r2 += -16
            89: call bpf_map_lookup_elem#1
            90: if r0 != 0x0 goto pc+14
            91: r1 = map[id:0]
            93: r2 = r10
            94: r2 += -16
            95: r3 = r8
            96: r4 = 1
            97: call bpf_map_update_elem#2
            98: if r0 == 0x0 goto pc+122
            99: r1 = map[id:0]
            101: r2 = r10
            102: r2 += -16
            103: call bpf_map_lookup_elem#1
            104: if r0 == 0x0 goto pc+107
            105: r1 = *(u64 *)(r8 +8)
            106: r2 = *(u64 *)(r0 +8)
            107: if r1 != r2 goto pc+16
            108: r3 = *(u32 *)(r8 +8)
            109: if r3 > 0x3f8 goto pc+11
            110: r1 = 0
            111: if r3 <= r1 goto pc+9
            112: r2 = r8
            113: r2 += r1
            114: r2 = *(u64 *)(r2 +16)
            115: r4 = r0
            116: r4 += r1
            117: r4 = *(u64 *)(r4 +16)
            118: if r2 != r4 goto pc+5
            119: r1 += 8
            120: goto pc-10
            121: r1 = 1
            122: lock *(u64 *)(r0 +0) += r1
            123: goto pc+97
            124: r1 = *(u64 *)(r10 -16)
            125: r2 = 0x9e3779b97f4a7c15
            127: r1 += r2
            128: *(u64 *)(r10 -16) = r1
            129: r1 = map[id:0]
            131: r2 = r10
            132: r2 += -16
            133: call bpf_map_lookup_elem#1
            134: if r0 != 0x0 goto pc+14
            135: r1 = map[id:0]
            137: r2 = r10
            138: r2 += -16
            139: r3 = r8
            140: r4 = 1
            141: call bpf_map_update_elem#2
            142: if r0 == 0x0 goto pc+78
            143: r1 = map[id:0]
            145: r2 = r10
            146: r2 += -16
            147: call bpf_map_lookup_elem#1
            148: if r0 == 0x0 goto pc+63
            149: r1 = *(u64 *)(r8 +8)
            150: r2 = *(u64 *)(r0 +8)
            151: if r1 != r2 goto pc+16
            152: r3 = *(u32 *)(r8 +8)
            153: if r3 > 0x3f8 goto pc+11
            154: r1 = 0
            155: if r3 <= r1 goto pc+9
            156: r2 = r8
            157: r2 += r1
            158: r2 = *(u64 *)(r2 +16)
            159: r4 = r0
            160: r4 += r1
            161: r4 = *(u64 *)(r4 +16)
            162: if r2 != r4 goto pc+5
            163: r1 += 8
            164: goto pc-10
            165: r1 = 1
            166: lock *(u64 *)(r0 +0) += r1
            167: goto pc+53
            168: r1 = *(u64 *)(r10 -16)
            169: r2 = 0x9e3779b97f4a7c15
            171: r1 += r2
            172: *(u64 *)(r10 -16) = r1
            173: r1 = map[id:0]
            175: r2 = r10
            176: r2 += -16
            177: call bpf_map_lookup_elem#1
            178: if r0 != 0x0 goto pc+14
            179: r1 = map[id:0]
            181: r2 = r10
            182: r2 += -16
            183: r3 = r8
            184: r4 = 1
            185: call bpf_map_update_elem#2
            186: if r0 == 0x0 goto pc+34
            187: r1 = map[id:0]
            189: r2 = r10
            190: r2 += -16
            191: call bpf_map_lookup_elem#1
            192: if r0 == 0x0 goto pc+19
            193: r1 = *(u64 *)(r8 +8)
            194: r2 = *(u64 *)(r0 +8)
            195: if r1 != r2 goto pc+16
            196: r3 = *(u32 *)(r8 +8)
            197: if r3 > 0x3f8 goto pc+11
            198: r1 = 0
            199: if r3 <= r1 goto pc+9
            200: r2 = r8
            201: r2 += r1
            202: r2 = *(u64 *)(r2 +16)
            203: r4 = r0
            204: r4 += r1
            205: r4 = *(u64 *)(r4 +16)
            206: if r2 != r4 goto pc+5
            207: r1 += 8
            208: goto pc-10
            209: r1 = 1
            210: lock *(u64 *)(r0 +0) += r1
            211: goto pc+9
            212: *(u32 *)(r10 -32) = 0
            213: r1 = map[id:4]
            215: r2 = r10
            216: r2 += -32
            217: call bpf_map_lookup_elem#1
            218: if r0 == 0x0 goto pc+2
            219: r1 = 1
            220: lock *(u64 *)(r0 +0) += r1
            221: r0 = 0
            222: exit
        "#]],
    );
}
