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
            3: r1 = 0x4 ll
            5: r2 = 0xf0000001 ll
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
            8: if r0 == 0x0 goto pc+219
            9: r8 = r0
            10: r8 += 8
            11: *(u64 *)(r8 +0) = 1
            12: *(u64 *)(r8 +8) = 0
            13: r1 = r6
            14: r2 = r8
            15: r2 += 16
            16: r3 = 256
            17: r4 = 0
            18: call bpf_get_stack#67
            19: if r0 != 0x100 goto pc+6
            20: r1 = r6
            21: r2 = r8
            22: r2 += 16
            23: r3 = 1016
            24: r4 = 0
            25: call bpf_get_stack#67
            26: if r0 s>= 0x0 goto pc+1
            27: r0 = 0
            28: *(u32 *)(r8 +8) = r0
            29: r9 = *(u64 *)(r8 +8)
            30: r4 = 0x9e3779b97f4a7c15 ll
            32: r3 = *(u32 *)(r8 +8)
            33: if r3 > 0x3f8 goto pc+9
            34: r1 = 0
            35: if r3 <= r1 goto pc+7
            36: r2 = r8
            37: r2 += r1
            38: r2 = *(u64 *)(r2 +16)
            39: r9 *= r4
            40: r9 += r2
            41: r1 += 8
            42: goto pc-8
            43: r1 = r9
            44: r1 >>= 32
            45: r9 ^= r1
            46: r9 *= r4
            47: *(u64 *)(r10 -16) = r9
            48: r1 = map[id:0]
            50: r2 = r10
            51: r2 += -16
            52: call bpf_map_lookup_elem#1
            53: if r0 != 0x0 goto pc+14
            54: r1 = map[id:0]
            56: r2 = r10
            57: r2 += -16
            58: r3 = r8
            59: r4 = 1
            60: call bpf_map_update_elem#2
            61: if r0 == 0x0 goto pc+166
            62: r1 = map[id:0]
            64: r2 = r10
            65: r2 += -16
            66: call bpf_map_lookup_elem#1
            67: if r0 == 0x0 goto pc+151
            68: r1 = *(u64 *)(r8 +8)
            69: r2 = *(u64 *)(r0 +8)
            70: if r1 != r2 goto pc+16
            71: r3 = *(u32 *)(r8 +8)
            72: if r3 > 0x3f8 goto pc+11
            73: r1 = 0
            74: if r3 <= r1 goto pc+9
            75: r2 = r8
            76: r2 += r1
            77: r2 = *(u64 *)(r2 +16)
            78: r4 = r0
            79: r4 += r1
            80: r4 = *(u64 *)(r4 +16)
            81: if r2 != r4 goto pc+5
            82: r1 += 8
            83: goto pc-10
            84: r1 = 1
            85: lock *(u64 *)(r0 +0) += r1
            86: goto pc+141
            87: r1 = *(u64 *)(r10 -16)
            88: r2 = 0x9e3779b97f4a7c15 ll
            90: r1 += r2
            91: *(u64 *)(r10 -16) = r1
            92: r1 = map[id:0]
            94: r2 = r10
            95: r2 += -16
            96: call bpf_map_lookup_elem#1
            97: if r0 != 0x0 goto pc+14
            98: r1 = map[id:0]
            100: r2 = r10
            101: r2 += -16
            102: r3 = r8
            103: r4 = 1
            104: call bpf_map_update_elem#2
            105: if r0 == 0x0 goto pc+122
            106: r1 = map[id:0]
            108: r2 = r10
            109: r2 += -16
            110: call bpf_map_lookup_elem#1
            111: if r0 == 0x0 goto pc+107
            112: r1 = *(u64 *)(r8 +8)
            113: r2 = *(u64 *)(r0 +8)
            114: if r1 != r2 goto pc+16
            115: r3 = *(u32 *)(r8 +8)
            116: if r3 > 0x3f8 goto pc+11
            117: r1 = 0
            118: if r3 <= r1 goto pc+9
            119: r2 = r8
            120: r2 += r1
            121: r2 = *(u64 *)(r2 +16)
            122: r4 = r0
            123: r4 += r1
            124: r4 = *(u64 *)(r4 +16)
            125: if r2 != r4 goto pc+5
            126: r1 += 8
            127: goto pc-10
            128: r1 = 1
            129: lock *(u64 *)(r0 +0) += r1
            130: goto pc+97
            131: r1 = *(u64 *)(r10 -16)
            132: r2 = 0x9e3779b97f4a7c15 ll
            134: r1 += r2
            135: *(u64 *)(r10 -16) = r1
            136: r1 = map[id:0]
            138: r2 = r10
            139: r2 += -16
            140: call bpf_map_lookup_elem#1
            141: if r0 != 0x0 goto pc+14
            142: r1 = map[id:0]
            144: r2 = r10
            145: r2 += -16
            146: r3 = r8
            147: r4 = 1
            148: call bpf_map_update_elem#2
            149: if r0 == 0x0 goto pc+78
            150: r1 = map[id:0]
            152: r2 = r10
            153: r2 += -16
            154: call bpf_map_lookup_elem#1
            155: if r0 == 0x0 goto pc+63
            156: r1 = *(u64 *)(r8 +8)
            157: r2 = *(u64 *)(r0 +8)
            158: if r1 != r2 goto pc+16
            159: r3 = *(u32 *)(r8 +8)
            160: if r3 > 0x3f8 goto pc+11
            161: r1 = 0
            162: if r3 <= r1 goto pc+9
            163: r2 = r8
            164: r2 += r1
            165: r2 = *(u64 *)(r2 +16)
            166: r4 = r0
            167: r4 += r1
            168: r4 = *(u64 *)(r4 +16)
            169: if r2 != r4 goto pc+5
            170: r1 += 8
            171: goto pc-10
            172: r1 = 1
            173: lock *(u64 *)(r0 +0) += r1
            174: goto pc+53
            175: r1 = *(u64 *)(r10 -16)
            176: r2 = 0x9e3779b97f4a7c15 ll
            178: r1 += r2
            179: *(u64 *)(r10 -16) = r1
            180: r1 = map[id:0]
            182: r2 = r10
            183: r2 += -16
            184: call bpf_map_lookup_elem#1
            185: if r0 != 0x0 goto pc+14
            186: r1 = map[id:0]
            188: r2 = r10
            189: r2 += -16
            190: r3 = r8
            191: r4 = 1
            192: call bpf_map_update_elem#2
            193: if r0 == 0x0 goto pc+34
            194: r1 = map[id:0]
            196: r2 = r10
            197: r2 += -16
            198: call bpf_map_lookup_elem#1
            199: if r0 == 0x0 goto pc+19
            200: r1 = *(u64 *)(r8 +8)
            201: r2 = *(u64 *)(r0 +8)
            202: if r1 != r2 goto pc+16
            203: r3 = *(u32 *)(r8 +8)
            204: if r3 > 0x3f8 goto pc+11
            205: r1 = 0
            206: if r3 <= r1 goto pc+9
            207: r2 = r8
            208: r2 += r1
            209: r2 = *(u64 *)(r2 +16)
            210: r4 = r0
            211: r4 += r1
            212: r4 = *(u64 *)(r4 +16)
            213: if r2 != r4 goto pc+5
            214: r1 += 8
            215: goto pc-10
            216: r1 = 1
            217: lock *(u64 *)(r0 +0) += r1
            218: goto pc+9
            219: *(u32 *)(r10 -32) = 0
            220: r1 = map[id:4]
            222: r2 = r10
            223: r2 += -32
            224: call bpf_map_lookup_elem#1
            225: if r0 == 0x0 goto pc+2
            226: r1 = 1
            227: lock *(u64 *)(r0 +0) += r1
            228: r0 = 0
            229: exit
        "#]],
    );
}
