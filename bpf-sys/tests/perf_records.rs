//! Perf records from bytes alone: the layouts, and that no bytes make the reader panic.

use proptest::prelude::*;
use tracewell_bpf_sys::perf::record::{FileId, Malformed, RawRecord, Record, RecordFormat};
use tracewell_bpf_sys::perf::sample::{Branch, Context};
use tracewell_bpf_sys::perf::{BranchSampleType, ReadFormat, SampleType};

/// Bytes, put together from numbers of several sizes.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(mut self, n: u16) -> Self {
        self.0.extend(n.to_ne_bytes());
        self
    }
    fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_ne_bytes());
        self
    }
    fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_ne_bytes());
        self
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
    fn record(&self, kind: u32, misc: u16) -> RawRecord<'_> {
        RawRecord { kind, misc, body: &self.0 }
    }
}

const TRAILED: RecordFormat = RecordFormat {
    sample_type: SampleType::TID.union(SampleType::CPU),
    sample_id_all: true,
    read_format: ReadFormat::empty(),
    branch: BranchSampleType::empty(),
    regs_user: 0,
    regs_intr: 0,
};

#[test]
fn a_sample_with_every_field() {
    let format = RecordFormat {
        sample_type: SampleType::all(),
        read_format: ReadFormat::ID,
        branch: BranchSampleType::HW_INDEX | BranchSampleType::COUNTERS,
        regs_user: 0b1010,
        regs_intr: 0b1,
        ..RecordFormat::default()
    };
    let body = Bytes::default()
        .u64(77) // identifier
        .u64(0x1000) // ip
        .u32(10)
        .u32(11)
        .u64(12)
        .u64(13)
        .u64(77)
        .u64(15)
        .u32(3)
        .u32(0)
        .u64(17) // tid .. period
        .u64(18)
        .u64(77) // read
        .u64(5)
        .u64(-128i64 as u64)
        .u64(0xffff_8000)
        .u64(-512i64 as u64)
        .u64(0x40)
        .u64(0x41) // call chain
        .u32(4)
        .bytes(b"rawd") // raw
        .u64(1)
        .u64(9)
        .u64(0xa)
        .u64(0xb)
        .u64(0xc)
        .u64(0xd) // branches: count, index, entry, counters
        .u64(2)
        .u64(100)
        .u64(300) // user registers 1 and 3
        .u64(8)
        .bytes(b"stackbuf")
        .u64(5) // user stack
        .u64(20) // weight: one word in either form
        .u64(21)
        .u64(22) // data source, transaction
        .u64(0) // registers of the interrupt: none
        .u64(23)
        .u64(24)
        .u64(25)
        .u64(26) // physical address, cgroup, page sizes
        .u64(3)
        .bytes(b"aux");
    let entry = format.parse(body.record(9, 2)).unwrap();
    let Record::Sample(s) = entry.record else { panic!("{entry:?}") };
    assert_eq!((entry.id, s.id.pid, s.id.tid, s.id.time), (s.id, Some(10), Some(11), Some(12)));
    assert_eq!((s.ip, s.addr, s.id.id, s.id.stream_id), (Some(0x1000), Some(13), Some(77), Some(15)));
    assert_eq!((s.id.cpu, s.period, s.read.unwrap().value()), (Some(3), Some(17), 18));
    let chain: Vec<_> = s.callchain.unwrap().iter().collect();
    assert_eq!(chain, [(Context::Kernel, 0xffff_8000), (Context::User, 0x40), (Context::User, 0x41)]);
    assert_eq!(s.raw, Some(&b"rawd"[..]));
    let branches = s.branches.unwrap();
    let all: Vec<_> = branches.iter().collect();
    assert_eq!((branches.hw_index, all), (Some(9), vec![Branch { from: 0xa, to: 0xb, flags: 0xc }]));
    assert_eq!(branches.counters.unwrap().get(0), Some(0xd));
    let user = s.regs_user.unwrap();
    assert_eq!([0, 1, 2, 3, 64].map(|r| user.get(r)), [None, Some(100), None, Some(300), None]);
    assert_eq!(s.stack_user, Some(&b"stack"[..]));
    assert_eq!((s.weight, s.data_src, s.transaction), (Some(20), Some(21), Some(22)));
    assert_eq!(s.regs_intr.unwrap().get(0), None);
    assert_eq!((s.phys_addr, s.cgroup), (Some(23), Some(24)));
    assert_eq!((s.data_page_size, s.code_page_size), (Some(25), Some(26)));
    assert_eq!(s.aux, Some(&b"aux"[..]));
    // Every shorter body is an error that names what is missing.
    for len in 0..body.0.len() {
        let short = RawRecord { kind: 9, misc: 0, body: &body.0[..len] };
        let Err(Malformed { kind: 9, len: told, .. }) = format.parse(short) else { panic!("{len} bytes") };
        assert_eq!(told, len);
    }
}

#[test]
fn records_with_a_trailer() {
    let trail = |bytes: Bytes| bytes.u32(1).u32(2).u32(3).u32(0);
    let map = || Bytes::default().u32(5).u32(6).u64(0x1000).u64(0x2000).u64(0x3000);
    let inode = trail(map().u32(8).u32(1).u64(99).u64(7).u32(5).u32(2).bytes(b"/bin/true\0\0\0\0\0\0\0"));
    let entry = TRAILED.parse(inode.record(10, 0)).unwrap();
    assert_eq!((entry.id.pid, entry.id.tid, entry.id.cpu, entry.id.time), (Some(1), Some(2), Some(3), None));
    let Record::Mmap2 { mapping, file, prot: 5, flags: 2 } = entry.record else { panic!("{entry:?}") };
    assert_eq!((mapping.pid, mapping.tid, mapping.addr, mapping.filename), (5, 6, 0x1000, &b"/bin/true"[..]));
    assert_eq!((mapping.len, mapping.pgoff), (0x2000, 0x3000));
    assert_eq!(file, FileId::Inode { major: 8, minor: 1, inode: 99, generation: 7 });

    let mut id = [0u8; 24];
    id[0] = 4;
    id[4..8].copy_from_slice(b"\xde\xad\xbe\xef");
    let build = trail(map().bytes(&id).u32(5).u32(2).bytes(b"/x\0\0\0\0\0\0"));
    let entry = TRAILED.parse(build.record(10, 1 << 14)).unwrap();
    assert!(matches!(entry.record, Record::Mmap2 { file: FileId::BuildId(b"\xde\xad\xbe\xef"), .. }));
    id[0] = 21;
    let build = trail(map().bytes(&id).u32(5).u32(2).bytes(b"/x\0\0\0\0\0\0"));
    assert!(TRAILED.parse(build.record(10, 1 << 14)).is_err(), "a build id of more than its 20 bytes");

    let comm = trail(Bytes::default().u32(5).u32(6).bytes(b"sh\0\0\0\0\0\0"));
    let entry = TRAILED.parse(comm.record(3, 1 << 13)).unwrap();
    assert_eq!(entry.record, Record::Comm { pid: 5, tid: 6, name: b"sh", exec: true });
    let lost = trail(Bytes::default().u64(4).u64(1000));
    assert_eq!(TRAILED.parse(lost.record(2, 0)).unwrap().record, Record::Lost { id: 4, lost: 1000 });
    let switch = trail(Bytes::default().u32(7).u32(8));
    let want = Record::Switch { out: true, preempted: false, other: Some((7, 8)) };
    assert_eq!(TRAILED.parse(switch.record(15, 1 << 13)).unwrap().record, want);
    let ksym = trail(Bytes::default().u64(9).u32(64).u16(1).u16(1).bytes(b"bpf_prog\0\0\0\0\0\0\0\0"));
    let want = Record::Ksymbol { addr: 9, len: 64, kind: 1, unregister: true, name: b"bpf_prog" };
    assert_eq!(TRAILED.parse(ksym.record(17, 0)).unwrap().record, want);
    let poke = trail(Bytes::default().u64(9).u16(1).u16(3).bytes(b"onew\0\0\0\0"));
    let want = Record::TextPoke { addr: 9, old: b"o", new: b"new" };
    assert_eq!(TRAILED.parse(poke.record(20, 0)).unwrap().record, want);
    let unknown = trail(Bytes::default().u64(1));
    let want = Record::Other { kind: 33, body: &1u64.to_ne_bytes() };
    assert_eq!(TRAILED.parse(unknown.record(33, 0)).unwrap().record, want);
    let error = TRAILED.parse(Bytes::default().u64(1).record(2, 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a perf record of type 2 with 8 bytes ends before its sample id: was it read with another event's format?"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_an_error(
        kind in prop_oneof![3 => 0u32..24, 1 => any::<u32>(), 4 => Just(9u32)],
        misc in any::<u16>(),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            // Small numbers, so that counts and sizes are often possible.
            prop::collection::vec(0u64..6, 0..50).prop_map(|w| w.iter().flat_map(|w| w.to_ne_bytes()).collect()),
        ],
        sample_type in 0u64..1 << 25,
        sample_id_all in any::<bool>(),
        read_format in 0u64..32,
        branch in any::<u64>(),
        regs in any::<(u64, u64)>(),
    ) {
        let format = RecordFormat {
            sample_type: SampleType::from_bits_retain(sample_type),
            sample_id_all,
            read_format: ReadFormat::from_bits_retain(read_format),
            branch: BranchSampleType::from_bits_retain(branch),
            regs_user: regs.0,
            regs_intr: regs.1,
        };
        if let Ok(entry) = format.parse(RawRecord { kind, misc, body: &body })
            && let Record::Sample(sample) = entry.record
        {
            let words = body.len() / 8;
            prop_assert!(sample.callchain.map_or(0, |c| c.iter().count()) <= words);
            prop_assert!(sample.branches.map_or(0, |b| b.iter().count()) <= words);
            prop_assert!(sample.read.map_or(0, |r| r.counters().count()) <= words);
            let registers = |r: Option<tracewell_bpf_sys::perf::sample::Registers<'_>>| {
                r.map_or(0, |r| (0..70).filter(|i| r.get(*i).is_some()).count())
            };
            prop_assert!(registers(sample.regs_user) + registers(sample.regs_intr) <= words);
        }
    }
}
