//! Simulated maps and helpers: what the kernel answers, also where it refuses.

use asm::{Builder, Helper, MapRef, R0, R1, R2, R3, R4, R5, R6, R7, R10, Size};
use bpf_sys::Errno;
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use expect_test::{Expect, expect};
use loader::MapSpec;
use tracewell_jit_check::Program;
use tracewell_jit_check::interp::{Input, Machine, Options, Trap, World};

fn program(maps: &[(MapType, u32, u32, u32)], build: impl FnOnce(&mut Builder)) -> Program {
    let mut b = Builder::new();
    build(&mut b);
    let mut program = Program::new("test", ProgType::RawTracepoint, b.finish().unwrap().insns);
    for (n, &(map_type, keys, values, entries)) in maps.iter().enumerate() {
        program.maps.push(MapSpec::new(format!("m{n}"), map_type, keys, values, entries));
    }
    program
}

fn machine(maps: &[(MapType, u32, u32, u32)], build: impl FnOnce(&mut Builder)) -> Machine {
    Machine::new(&program(maps, build), Options::default()).unwrap()
}

fn errno(result: Result<(), Errno>) -> i32 {
    result.err().map_or(0, Errno::raw)
}

/// The helper of a map with key and value from the stack, and flags.
fn op(m: &mut Builder, helper: Helper, key: i32, value: i32, flags: i32) {
    m.store_imm(Size::W, R10, -4, key).store_imm(Size::DW, R10, -16, value);
    m.ld_map(R1, MapRef(0)).mov(R2, R10).add_imm(R2, -4).mov(R3, R10).add_imm(R3, -16).mov_imm(R4, flags);
    m.call(helper);
}

/// What a chain of operations gives, one run each on the same map.
fn chain(kind: (MapType, u32, u32, u32), ops: &[(Helper, i32, i32, i32)]) -> Vec<i64> {
    let mut snapshot = None;
    ops.iter()
        .map(|&(helper, key, value, flags)| {
            let mut m = machine(&[kind], |b| {
                op(b, helper, key, value, flags);
                if helper == Helper::MAP_LOOKUP_ELEM {
                    let out = b.label();
                    b.jeq_imm(R0, 0, out).load(Size::DW, R0, R0, 0).bind(out);
                }
                if matches!(helper, Helper::MAP_POP_ELEM | Helper::MAP_PEEK_ELEM) {
                    b.load(Size::W, R6, R10, -4);
                    let out = b.label();
                    b.jne_imm(R0, 0, out).mov(R0, R6).bind(out);
                }
                b.exit();
            });
            if let Some(entries) = snapshot.take() {
                let entries: Vec<(Vec<u8>, Vec<u8>)> = entries;
                for (key, value) in entries {
                    m.maps().update(0, &key, &value, 0).unwrap();
                }
            }
            let r0 = m.run(&Input::default()).unwrap().r0 as i64;
            snapshot = Some(m.maps().entries(0));
            r0
        })
        .collect()
}

const LOOKUP: Helper = Helper::MAP_LOOKUP_ELEM;
const UPDATE: Helper = Helper::MAP_UPDATE_ELEM;
const DELETE: Helper = Helper::MAP_DELETE_ELEM;

#[test]
fn hashes_answer_as_the_kernel_does() {
    let hash = (MapType::Hash, 4, 8, 2);
    assert_eq!(
        chain(
            hash,
            &[
                (LOOKUP, 1, 0, 0),
                (UPDATE, 1, 11, 2),
                (UPDATE, 1, 11, 1),
                (UPDATE, 1, 12, 1),
                (UPDATE, 2, 22, 0),
                (UPDATE, 3, 33, 0),
                (UPDATE, 1, 13, 2),
                (LOOKUP, 1, 0, 0),
                (UPDATE, 1, 13, 3),
                (DELETE, 9, 0, 0),
                (DELETE, 1, 0, 0),
                (LOOKUP, 1, 0, 0),
            ]
        ),
        [0, -2, 0, -17, 0, -7, 0, 13, -22, -2, 0, 0]
    );
    let array = (MapType::Array, 4, 8, 2);
    assert_eq!(
        chain(
            array,
            &[
                (UPDATE, 2, 1, 0),
                (UPDATE, 1, 1, 1),
                (UPDATE, 1, 7, 2),
                (LOOKUP, 1, 0, 0),
                (DELETE, 1, 0, 0),
                (LOOKUP, 2, 0, 0)
            ]
        ),
        [-7, -17, 0, 7, -22, 0]
    );
    // An LRU table makes room itself.
    assert_eq!(
        chain(
            (MapType::LruHash, 4, 8, 1),
            &[(UPDATE, 1, 11, 0), (UPDATE, 2, 22, 0), (LOOKUP, 1, 0, 0), (LOOKUP, 2, 0, 0)]
        ),
        [0, 0, 0, 22]
    );
}

#[test]
fn values_of_a_map_end_where_they_end() {
    let read = |off| {
        let mut m = machine(&[(MapType::Array, 4, 8, 4)], |b| {
            op(b, LOOKUP, 1, 0, 0);
            b.load(Size::W, R0, R0, off).exit();
        });
        m.run(&Input::default()).map(|e| e.r0)
    };
    assert_eq!(read(4), Ok(0));
    let trap = read(8).unwrap_err();
    assert!(trap.to_string().contains("value of map \"m0\"+8 of 8 bytes"), "{trap}");
}

#[test]
fn the_host_sees_every_processor() {
    let mut world = World::default();
    world.cpus = 2;
    world.cpu = 1;
    let p = program(&[(MapType::PercpuHash, 4, 4, 4)], |b| {
        op(b, UPDATE, 7, 5, 0);
        b.exit();
    });
    let mut m = Machine::with_world(&p, Options::default(), world, None).unwrap();
    assert_eq!(m.run(&Input::default()).unwrap().r0, 0);
    let mut maps = m.maps();
    assert_eq!(
        maps.lookup(0, &7u32.to_ne_bytes()),
        Some(vec![0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(errno(maps.update(0, &[1, 0, 0, 0], &[0; 4], 0)), 22);
    assert_eq!(errno(maps.update(0, &[1, 0, 0, 0], &[9; 16], 1)), 0);
    assert_eq!(errno(maps.update(0, &[1, 0, 0, 0], &[9; 16], 1)), 17);
    assert_eq!(maps.keys(0).len(), 2);
}

#[test]
fn prefixes_match_the_longest() {
    let p = program(&[(MapType::LpmTrie, 8, 4, 3)], |b| {
        b.exit();
    });
    let mut m = Machine::new(&p, Options::default()).unwrap();
    let mut maps = m.maps();
    let key = |len: u32, ip: [u8; 4]| [len.to_ne_bytes(), ip].concat();
    let mut put = |len, ip, value: u8, flags| errno(maps.update(0, &key(len, ip), &[value, 0, 0, 0], flags));
    assert_eq!(put(8, [10, 0, 0, 0], 1, 0), 0);
    assert_eq!(put(24, [10, 1, 2, 0], 2, 1), 0);
    assert_eq!(put(33, [10, 1, 2, 0], 2, 1), 22);
    assert_eq!(put(24, [10, 1, 2, 99], 3, 1), 17);
    assert_eq!(put(0, [0; 4], 9, 2), 2);
    assert_eq!(put(0, [0; 4], 9, 0), 0);
    assert_eq!(put(16, [10, 1, 0, 0], 4, 0), 28);
    let mut find = |ip| maps.lookup(0, &key(32, ip)).map(|v| v[0]);
    assert_eq!((find([10, 1, 2, 3]), find([10, 9, 9, 9]), find([11, 0, 0, 0])), (Some(2), Some(1), Some(9)));
    assert_eq!(errno(maps.delete(0, &key(0, [0; 4]))), 0);
    assert_eq!(maps.lookup(0, &key(32, [11, 0, 0, 0])), None);
}

#[test]
fn queues_and_stacks_keep_their_order() {
    for (kind, wanted) in [(MapType::Queue, [1, 2]), (MapType::Stack, [2, 1])] {
        let mut m = machine(&[(kind, 0, 4, 2)], |b| {
            b.exit();
        });
        let mut maps = m.maps();
        let mut push = |n: u32, flags| errno(maps.update(0, &[], &n.to_ne_bytes(), flags));
        assert_eq!((push(1, 0), push(2, 0), push(3, 0), push(3, 1)), (0, 0, 7, 22));
        let popped: Vec<u32> =
            (0..2).map(|_| u32::from_ne_bytes(maps.pop(0).unwrap().try_into().unwrap())).collect();
        assert_eq!(popped, wanted);
        assert_eq!(maps.pop(0), None);
    }
}

#[test]
fn records_of_a_ring_come_out_in_the_order_of_their_reservation() {
    let mut m = machine(&[(MapType::Ringbuf, 0, 0, 4096)], |b| {
        for (reg, value) in [(R6, 1), (R7, 2)] {
            b.ld_map(R1, MapRef(0)).mov_imm(R2, 8).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE).mov(reg, R0);
            b.store_imm(Size::DW, reg, 0, value);
        }
        // The second is submitted first; the reader waits for the first all the same.
        for reg in [R7, R6] {
            b.mov(R1, reg).mov_imm(R2, 0).call(Helper::RINGBUF_SUBMIT);
        }
        b.ld_map(R1, MapRef(0)).mov_imm(R2, 0).call(Helper::RINGBUF_QUERY).exit();
    });
    assert_eq!(m.run(&Input::default()).unwrap().r0, 32);
    assert_eq!(m.maps().drain(0), [1u64.to_ne_bytes().to_vec(), 2u64.to_ne_bytes().to_vec()]);
    // 4,088 bytes and their header would fill the ring, which the kernel does not allow.
    let reserve = |size| {
        let mut m = machine(&[(MapType::Ringbuf, 0, 0, 4096)], |b| {
            b.ld_map(R1, MapRef(0)).mov_imm(R2, size).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE);
            let out = b.label();
            b.jeq_imm(R0, 0, out).mov(R1, R0).mov_imm(R2, 0).call(Helper::RINGBUF_DISCARD).mov_imm(R0, 1);
            b.bind(out).exit();
        });
        m.run(&Input::default()).unwrap().r0
    };
    assert_eq!((reserve(4072), reserve(4088), reserve(5000)), (1, 0, 0));
    let misuse = |twice: bool| -> Trap {
        let mut m = machine(&[(MapType::Ringbuf, 0, 0, 4096)], |b| {
            b.ld_map(R1, MapRef(0)).mov_imm(R2, 8).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE).mov(R6, R0);
            for _ in 0..if twice { 2 } else { 0 } {
                b.mov(R1, R6).mov_imm(R2, 0).call(Helper::RINGBUF_SUBMIT);
            }
            b.mov_imm(R0, 0).exit();
        });
        m.run(&Input::default()).unwrap_err()
    };
    assert!(misuse(true).to_string().contains("no record that waits for it"));
    assert!(misuse(false).to_string().contains("neither submitted nor discarded"));
}

#[test]
fn callbacks_see_each_element() {
    let mut m = machine(&[(MapType::Array, 4, 8, 3)], |b| {
        let callback = b.label();
        b.store_imm(Size::DW, R10, -8, 0);
        b.ld_map(R1, MapRef(0)).ld_func(R2, callback).mov(R3, R10).add_imm(R3, -8).mov_imm(R4, 0);
        b.call(Helper::FOR_EACH_MAP_ELEM).load(Size::DW, R1, R10, -8).lsh_imm(R1, 8).or(R0, R1).exit();
        b.bind(callback).load(Size::DW, R5, R3, 0).load(Size::DW, R0, R4, 0).add(R0, R5);
        b.store(Size::DW, R4, 0, R0).mov_imm(R0, 0).exit();
    });
    for n in 0..3u32 {
        m.maps().update(0, &n.to_ne_bytes(), &u64::from(n + 1).to_ne_bytes(), 0).unwrap();
    }
    assert_eq!(m.run(&Input::default()).unwrap().r0, 6 << 8 | 3);
}

#[test]
fn tail_calls_end_after_33() {
    let p = program(&[(MapType::ProgArray, 4, 4, 2), (MapType::Array, 4, 8, 1)], |b| {
        b.mov(R6, R1).ld_map_value(R7, MapRef(1), 0).mov_imm(R1, 1).atomic_add(Size::DW, R7, 0, R1);
        b.mov(R1, R6).ld_map(R2, MapRef(0)).mov_imm(R3, 0).call(Helper::TAIL_CALL);
        b.load(Size::DW, R0, R7, 0).exit();
    });
    let mut m = Machine::new(&p, Options::default()).unwrap();
    // Nothing is there: it falls through.
    assert_eq!(m.run(&Input::default()).unwrap().r0, 1);
    m.set_tail_call(0, 0, 0).unwrap();
    assert_eq!(m.run(&Input::default()).unwrap().r0, 1 + 34);
    assert_eq!(errno(m.set_tail_call(0, 2, 0)), 7);
}

#[test]
fn timers_fire_when_they_are_due() {
    let mut m = machine(&[(MapType::Array, 4, 32, 1)], |b| {
        let callback = b.label();
        b.ld_map_value(R6, MapRef(0), 0);
        b.mov(R1, R6).ld_map(R2, MapRef(0)).mov_imm(R3, 1).call(Helper::TIMER_INIT);
        b.mov(R1, R6).ld_func(R2, callback).call(Helper::TIMER_SET_CALLBACK);
        b.mov(R1, R6).mov_imm(R2, 1000).mov_imm(R3, 0).call(Helper::TIMER_START).exit();
        b.bind(callback).store_imm(Size::DW, R3, 24, 42).mov_imm(R0, 0).exit();
    });
    assert_eq!(m.run(&Input::default()).unwrap().r0, 0);
    assert_eq!(m.fire_timers(), Ok(0));
    m.world.now_ns += 1000;
    assert_eq!((m.fire_timers(), m.fire_timers()), (Ok(1), Ok(0)));
    assert_eq!(m.maps().lookup(0, &[0; 4]).unwrap()[24], 42);
}

/// What is printed of a format and three arguments.
fn printk(format: &str, args: [u64; 3], expected: Expect) {
    let mut bytes = format.as_bytes().to_vec();
    bytes.push(0);
    let len = bytes.len();
    bytes.resize(len.next_multiple_of(8), 0);
    let mut m = machine(&[], |b| {
        let base = -(bytes.len() as i16);
        for (n, chunk) in bytes.chunks(8).enumerate() {
            b.ld_imm64(R1, u64::from_ne_bytes(chunk.try_into().unwrap()));
            b.store(Size::DW, R10, base + 8 * n as i16, R1);
        }
        b.mov(R1, R10).add_imm(R1, base.into()).mov_imm(R2, len as i32);
        b.ld_imm64(R3, args[0]).ld_imm64(R4, args[1]).ld_imm64(R5, args[2]).call(Helper::TRACE_PRINTK).exit();
    });
    m.world.kernel.put(0xffff_8000_0000_0000, *b"kernel\0\x7f\0\0\x01");
    m.world.symbols.insert("vfs_read".to_owned(), 0xffff_ffff_8100_0000);
    let exit = m.run(&Input::default()).unwrap();
    expected.assert_eq(&format!("{} {:?}", exit.r0 as i64, m.world.trace_text()));
}

#[test]
fn lines_are_printed_as_the_kernel_prints_them() {
    const TEXT: u64 = 0xffff_8000_0000_0000;
    printk("%d %u %x", [u64::MAX, u64::MAX, u64::MAX], expect![[r#"22 "-1 4294967295 ffffffff\n""#]]);
    printk("%ld %lu %lX", [u64::MAX, 5, 0xabc], expect![[r#"8 "-1 5 ABC\n""#]]);
    printk("[%05d] [%-5d] [%5x]", [(-42i64) as u64, 42, 42], expect![[r#"23 "[-0042] [42   ] [   2a]\n""#]]);
    printk("%s|%10s|%c", [TEXT, TEXT, 65], expect![[r#"19 "kernel|    kernel|A\n""#]]);
    printk("%s %d%%", [8, 50, 0], expect![[r#"4 " 50%\n""#]]);
    printk("%pI4 %pi4", [TEXT + 7, TEXT + 7, 0], expect![[r#"25 "127.0.0.1 127.000.000.001\n""#]]);
    printk("%px %ps", [0x1234, 0xffff_ffff_8100_0000, 0], expect![[r#"25 "0000000000001234 vfs_read\n""#]]);
    printk("%d %d %d %d", [1, 2, 3], expect![[r#"-22 """#]]);
    printk("%f", [1, 2, 3], expect![[r#"-22 """#]]);
    printk("%", [1, 2, 3], expect![[r#"-22 """#]]);
}

#[test]
fn memory_that_is_not_there_is_an_answer_of_probe_reads() {
    let mut m = machine(&[], |b| {
        b.store_imm(Size::DW, R10, -8, -1).mov(R1, R10).add_imm(R1, -8).mov_imm(R2, 8).ld_imm64(R3, 0x1000);
        b.call(Helper::PROBE_READ_USER).load(Size::DW, R1, R10, -8).add(R0, R1).exit();
    });
    assert_eq!(m.run(&Input::default()).unwrap().r0 as i64, -14);
    m.world.user.put(0x1000, 5u64.to_ne_bytes());
    assert_eq!(m.run(&Input::default()).unwrap().r0, 5);
    let mut m = machine(&[], |b| {
        b.mov(R1, R10).add_imm(R1, -8).mov_imm(R2, 4).ld_imm64(R3, 0x1000);
        b.call(Helper::PROBE_READ_USER_STR).load(Size::W, R1, R10, -8).lsh_imm(R0, 32).or(R0, R1).exit();
    });
    m.world.user.put(0x1000, *b"abcdef\0");
    assert_eq!(m.run(&Input::default()).unwrap().r0, 4 << 32 | u64::from(u32::from_ne_bytes(*b"abc\0")));
}

#[test]
fn what_is_not_simulated_is_named() {
    let mut m = machine(&[], |b| {
        b.call(Helper::IMA_INODE_HASH).exit();
    });
    let trap = m.run(&Input::default()).unwrap_err();
    assert_eq!(trap.to_string(), "instruction 0: bpf_ima_inode_hash is not simulated");
}
