//! The ring buffer, the perf buffer and mapped arrays, with programs that write to them on the running kernel.

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use tracewell_bpf_sys::map::{Map, MapCreate, MapFlags, MapType, UpdateFlags};
use tracewell_bpf_sys::mapped::{Access, MappedArray};
use tracewell_bpf_sys::perfbuf::PerfBuf;
use tracewell_bpf_sys::prog::{Prog, ProgLoad, ProgType, TestRun};
use tracewell_bpf_sys::ringbuf::{RingBuf, RingBufs};
use tracewell_bpf_sys::{Error, cpus};

fn insn(op: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    let regs = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    let mut bytes = [op, regs, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&off.to_ne_bytes());
    bytes[4..8].copy_from_slice(&imm.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

/// What a wide load of a map's descriptor (`src` 1) or of its memory's address (`src` 2) looks like.
fn load_map(dst: u8, src: u8, map: &Map) -> [u64; 2] {
    [insn(0x18, dst, src, 0, map.as_fd().as_raw_fd()), insn(0, 0, 0, 0, 0)]
}

const RINGBUF_OUTPUT: i32 = 130;
const PERF_EVENT_OUTPUT: i32 = 25;

/// A program that counts its runs in the first word of `counters`, sends the number through `target` with `helper`, and
/// counts in the second word how often that failed.
fn sender(counters: &Map, target: &Map, helper: i32) -> Prog {
    let mut code = vec![insn(0xbf, 6, 1, 0, 0)]; // r6 = r1
    code.extend(load_map(7, 2, counters)); // r7 = the counters
    code.extend([
        insn(0x79, 2, 7, 0, 0),   // r2 = *(u64 *)(r7 + 0)
        insn(0x07, 2, 0, 0, 1),   // r2 += 1
        insn(0x7b, 7, 2, 0, 0),   // *(u64 *)(r7 + 0) = r2
        insn(0x7b, 10, 2, -8, 0), // *(u64 *)(r10 - 8) = r2
    ]);
    if helper == RINGBUF_OUTPUT {
        code.extend(load_map(1, 1, target)); // r1 = the ring
        code.extend([
            insn(0xbf, 2, 10, 0, 0), // r2 = r10
            insn(0x07, 2, 0, 0, -8), // r2 += -8
            insn(0xb7, 3, 0, 0, 8),  // r3 = 8
            insn(0xb7, 4, 0, 0, 0),  // r4 = 0
        ]);
    } else {
        code.push(insn(0xbf, 1, 6, 0, 0)); // r1 = r6
        code.extend(load_map(2, 1, target)); // r2 = the array
        code.extend([
            insn(0xb4, 3, 0, 0, -1), // w3 = -1, the current processor
            insn(0xbf, 4, 10, 0, 0), // r4 = r10
            insn(0x07, 4, 0, 0, -8), // r4 += -8
            insn(0xb7, 5, 0, 0, 8),  // r5 = 8
        ]);
    }
    code.extend([
        insn(0x85, 0, 0, 0, helper), // call helper
        insn(0x15, 0, 0, 3, 0),      // if r0 == 0 goto +3
        insn(0x79, 2, 7, 8, 0),      // r2 = *(u64 *)(r7 + 8)
        insn(0x07, 2, 0, 0, 1),      // r2 += 1
        insn(0x7b, 7, 2, 8, 0),      // *(u64 *)(r7 + 8) = r2
        insn(0xb7, 0, 0, 0, 0),      // r0 = 0
        insn(0x95, 0, 0, 0, 0),      // exit
    ]);
    let prog = ProgLoad {
        prog_type: ProgType::SocketFilter,
        name: "sender",
        insns: &code,
        license: "GPL",
        ..ProgLoad::default()
    };
    prog.load().unwrap()
}

fn run(prog: &Prog, times: u32) {
    prog.test_run(TestRun { data: &[0; 64], repeat: times, ..TestRun::default() }).unwrap();
}

fn array(value_size: u32, max_entries: u32) -> Map {
    let flags = MapFlags::MMAPABLE;
    MapCreate {
        map_type: MapType::Array,
        key_size: 4,
        value_size,
        max_entries,
        flags,
        ..MapCreate::default()
    }
    .create()
    .unwrap()
}

/// A ring buffer map, or the reason why this kernel has none.
fn ring(test: &str, bytes: u32) -> Option<Map> {
    let ring = MapCreate { map_type: MapType::Ringbuf, max_entries: bytes, ..MapCreate::default() }.create();
    match ring {
        Ok(ring) => Some(ring),
        Err(e) => {
            eprintln!("SKIP {test}: no ring buffer: {e}");
            None
        }
    }
}

fn number(record: &[u8]) -> u64 {
    u64::from_ne_bytes(record[..8].try_into().unwrap())
}

#[test]
fn root_ring_loses_nothing() {
    let test = "root_ring_loses_nothing";
    skip_unless_bpf!("root_ring_loses_nothing");
    let Some(map) = ring(test, 64 << 10) else { return };
    let counters = array(16, 1);
    let prog = sender(&counters, &map, RINGBUF_OUTPUT);
    let mut reader = RingBuf::new(&map).unwrap();
    assert_eq!(reader.poll(Some(Duration::from_millis(1)), |_| panic!("nothing yet")).unwrap(), 0);
    // Each round fills most of the ring, in all many times around it.
    let (rounds, each) = (50, 3000);
    let (mut next, mut read) = (1, 0);
    let start = Instant::now();
    for _ in 0..rounds {
        run(&prog, each);
        assert_eq!(reader.available(), each as usize * 16);
        read += reader
            .poll(None, |record| {
                assert_eq!((record.len(), number(record)), (8, next));
                next += 1;
            })
            .unwrap();
        assert_eq!(reader.available(), 0);
    }
    eprintln!("{read} records in {:?}", start.elapsed());
    assert_eq!(read, rounds * each as usize);
}

#[test]
fn root_ring_that_is_full_says_so_to_the_program() {
    let test = "root_ring_that_is_full_says_so_to_the_program";
    skip_unless_bpf!("root_ring_that_is_full_says_so_to_the_program");
    let Some(map) = ring(test, 64 << 10) else { return };
    let counters = array(16, 1);
    let prog = sender(&counters, &map, RINGBUF_OUTPUT);
    let memory = MappedArray::whole(&counters, Access::ReadOnly).unwrap();
    let mut reader = RingBuf::new(&map).unwrap();
    run(&prog, 10_000);
    let (sent, lost) = (memory.load_u64(0).unwrap(), memory.load_u64(1).unwrap());
    assert!(sent == 10_000 && lost > 0, "{lost} of {sent}");
    // A reader that stops goes on where it stopped.
    let mut seen = 0;
    let first = reader
        .consume_while(|record| {
            seen += 1;
            assert_eq!(number(record), seen);
            if seen == 10 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(first, 10);
    let rest = reader.consume(|record| {
        seen += 1;
        assert_eq!(number(record), seen);
    });
    assert_eq!(10 + rest.unwrap() as u64 + lost, sent);
}

#[test]
fn root_ring_readers_keep_up_with_a_writer() {
    let test = "root_ring_readers_keep_up_with_a_writer";
    skip_unless_bpf!("root_ring_readers_keep_up_with_a_writer");
    let (Some(one), Some(two)) = (ring(test, 1 << 20), ring(test, 1 << 20)) else { return };
    let (count_one, count_two) = (array(16, 1), array(16, 1));
    let progs = [sender(&count_one, &one, RINGBUF_OUTPUT), sender(&count_two, &two, RINGBUF_OUTPUT)];
    let mut rings = RingBufs::new().unwrap();
    assert_eq!((rings.add(&one).unwrap(), rings.add(&two).unwrap()), (0, 1));
    // At the end of each writer's 100 bursts everything sent was read or is counted as lost: a wake-up that went missing
    // would end this test by its time limit.
    let memory = [&count_one, &count_two].map(|m| MappedArray::whole(m, Access::ReadOnly).unwrap());
    std::thread::scope(|scope| {
        for prog in &progs {
            scope.spawn(move || (0..100).for_each(|_| run(prog, 500)));
        }
        let (mut read, mut last) = ([0u64; 2], [0u64; 2]);
        let start = Instant::now();
        while (0..2).any(|i| read[i] + memory[i].load_u64(1).unwrap() < 50_000) {
            assert!(start.elapsed() < Duration::from_secs(60), "{read:?}");
            rings
                .poll(Some(Duration::from_secs(1)), |ring, record| {
                    assert!(number(record) > last[ring], "in their order");
                    last[ring] = number(record);
                    read[ring] += 1;
                })
                .unwrap();
        }
        eprintln!("{read:?} of 50000 each read in {:?}", start.elapsed());
    });
    assert_eq!(rings.consume(|_, _| ()).unwrap(), 0);
}

#[test]
fn root_ring_perf_buffer_reads_and_counts_losses() {
    skip_unless_bpf!("root_ring_perf_buffer_reads_and_counts_losses");
    let possible = cpus::possible().unwrap().limit();
    let map = MapCreate {
        map_type: MapType::PerfEventArray,
        key_size: 4,
        value_size: 4,
        max_entries: possible,
        ..MapCreate::default()
    };
    let map = map.create().unwrap();
    let mut buffer = match PerfBuf::new(&map, 8) {
        Ok(buffer) => buffer,
        Err(e) => return eprintln!("SKIP root_ring_perf_buffer_reads_and_counts_losses: {e}"),
    };
    assert_eq!(buffer.cpus().count(), cpus::online().unwrap().len());
    let counters = array(16, 1);
    let prog = sender(&counters, &map, PERF_EVENT_OUTPUT);
    let mut read = 0u64;
    for _ in 0..20 {
        run(&prog, 200);
        read += buffer.poll(Some(Duration::from_secs(5)), |r| assert!(r.len() >= 8)).unwrap() as u64;
        read += buffer.consume(|_| ()).unwrap() as u64;
    }
    assert_eq!((read, buffer.lost()), (4000, 0));
    assert_eq!(buffer.poll(Some(Duration::from_millis(1)), |_| panic!("nothing left")).unwrap(), 0);
    // Far more than the rings hold; the losses are told by the next record that finds room.
    run(&prog, 20_000);
    read += buffer.consume(|_| ()).unwrap() as u64;
    let cpus = cpus::online().unwrap().len();
    for _ in 0..50 * cpus {
        run(&prog, 1);
        read += buffer.consume(|_| ()).unwrap() as u64;
    }
    let memory = MappedArray::whole(&counters, Access::ReadOnly).unwrap();
    assert!(buffer.lost() > 0);
    // The runs may have moved from one processor to another, whose ring then had nothing to tell.
    assert!(read + buffer.lost() <= memory.load_u64(0).unwrap());
    assert_eq!(buffer.refresh(|_| panic!("nothing left")).unwrap(), 0);
    let error = PerfBuf::new(&counters, 8).unwrap_err();
    assert_eq!(error.to_string(), "read a array as a perf buffer: it is no perf event array");
}

#[test]
fn root_ring_mapped_arrays_are_bounded_and_fast() {
    skip_unless_bpf!("root_ring_mapped_arrays_are_bounded_and_fast");
    // Values of 12 bytes lie 16 bytes apart.
    let map = array(12, 3);
    let memory = MappedArray::whole(&map, Access::Writable).unwrap();
    assert_eq!((memory.len_bytes(), memory.len_u64(), memory.len_u32()), (48, 6, 12));
    let mut value = [0; 12];
    value[..8].copy_from_slice(&7u64.to_ne_bytes());
    map.update(&1u32.to_ne_bytes(), &value, UpdateFlags::empty()).unwrap();
    assert_eq!((memory.load_u64(2), memory.load_u64(5), memory.load_u64(6)), (Some(7), Some(0), None));
    assert_eq!((memory.load_u32(11), memory.load_u32(12)), (Some(0), None));
    assert_eq!(
        (memory.fetch_add_u64(2, 3), memory.take_u64(2), memory.load_u64(2)),
        (Some(7), Some(10), Some(0))
    );
    assert!(memory.store_u64(2, 9) && !memory.store_u64(6, 1) && !memory.store_u64(usize::MAX, 1));
    assert!(memory.store_u32(0, 5) && !memory.store_u32(12, 1));
    assert_eq!(memory.fetch_add_u32(0, 1), Some(5));
    map.lookup(&1u32.to_ne_bytes(), &mut value).unwrap();
    assert_eq!(number(&value), 9);
    let mut out = [0; 2];
    assert!(
        memory.copy_u64(2..4, &mut out)
            && !memory.copy_u64(5..7, &mut out)
            && !memory.copy_u64(0..1, &mut out)
    );
    assert_eq!(out, [9, 0]);
    assert!(!memory.sum_rows(1, 2, 3, &mut out) && !memory.sum_rows(0, usize::MAX, 2, &mut out));
    assert!(memory.zero_u64(0..6) && !memory.zero_u64(0..7));

    let read_only = MappedArray::new(&map, 8, Access::ReadOnly).unwrap();
    assert!(!read_only.store_u64(0, 1) && read_only.take_u64(0).is_none() && read_only.load_u64(1).is_none());
    for len in [0, 49] {
        assert!(matches!(MappedArray::new(&map, len, Access::ReadOnly), Err(Error::Invalid { .. })));
    }
    let plain = MapCreate {
        map_type: MapType::Array,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapCreate::default()
    };
    let error = MappedArray::whole(&plain.create().unwrap(), Access::ReadOnly).unwrap_err();
    assert!(error.to_string().contains("BPF_F_MMAPABLE"), "{error}");

    let (rows, counters) = (cpus::possible().unwrap().limit() as usize, 40_000);
    let map = array(8, (rows * counters) as u32);
    let memory = MappedArray::whole(&map, Access::Writable).unwrap();
    (0..rows * counters).for_each(|i| assert!(memory.store_u64(i, i as u64)));
    let mut sums = vec![0; counters];
    let start = Instant::now();
    assert!(memory.sum_rows(0, counters, rows, &mut sums));
    let took = start.elapsed();
    eprintln!("{rows} rows of {counters} counters in {took:?}");
    assert!((0..counters).all(|i| sums[i] == (0..rows).map(|row| (row * counters + i) as u64).sum::<u64>()));
}
