//! Links to hooks of the network and of cgroups, and programs at them without links, on the running kernel.
//!
//! Everything of the network happens in a network namespace of the test's own thread.

mod common;

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use tracewell_bpf_sys::hook::{self, AttachFlags, HookTarget, Scope};
use tracewell_bpf_sys::link::{self, LinkDetails, LinkType, Netfilter, Position};
use tracewell_bpf_sys::map::{Map, MapCreate};
use tracewell_bpf_sys::prog::{AttachType, Prog, ProgLoad, ProgType, Stream};
use tracewell_bpf_sys::{Errno, Error, token};

/// One instruction, little-endian machines only, as all that these tests run on are.
const fn insn(opcode: u64, dst: u64, src: u64, off: i16, imm: i32) -> u64 {
    opcode | dst << 8 | src << 12 | (off as u16 as u64) << 16 | (imm as u32 as u64) << 32
}

fn counter() -> Map {
    MapCreate { name: "tw_count", key_size: 4, value_size: 8, max_entries: 1, ..MapCreate::default() }
        .create()
        .unwrap()
}

fn count(map: &Map) -> u64 {
    let mut value = [0; 8];
    assert!(map.lookup(&[0; 4], &mut value).unwrap());
    u64::from_ne_bytes(value)
}

/// A program that adds one to the only value of `map` and returns `verdict`.
fn load(
    prog_type: ProgType,
    attach_type: Option<AttachType>,
    map: &Map,
    verdict: i32,
) -> Result<Prog, Error> {
    let insns = [
        insn(0x18, 1, 2, 0, map.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(0xb7, 2, 0, 0, 1),
        insn(0xdb, 1, 2, 0, 0),
        insn(0xb7, 0, 0, 0, verdict),
        insn(0x95, 0, 0, 0, 0),
    ];
    ProgLoad {
        prog_type,
        name: "tw_test",
        insns: &insns,
        license: "GPL",
        expected_attach_type: attach_type,
        ..ProgLoad::default()
    }
    .load()
}

/// The loopback device's index in every network namespace.
const LO: u32 = 1;

/// Gives this thread a network namespace with its loopback device up; says so where it may not.
fn own_network(test: &str) -> bool {
    // SAFETY: the call takes a number only.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        eprintln!("SKIP {test}: no network namespace: {}", std::io::Error::last_os_error());
        return false;
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // SAFETY: a zeroed `struct ifreq` is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is a live `struct ifreq` with a NUL-terminated name.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    true
}

/// Sends this many packets to this machine itself, and takes them in again unless they are lost on the way.
fn packets(number: usize) {
    let to = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..number {
        from.send_to(b"packet", to.local_addr().unwrap()).unwrap();
    }
}

#[test]
fn root_xdp_sees_the_packets_of_a_device() {
    skip_unless_bpf!("root_xdp_sees_the_packets_of_a_device");
    if !own_network("root_xdp_sees_the_packets_of_a_device") {
        return;
    }
    let map = counter();
    let prog = load(ProgType::Xdp, None, &map, 2).unwrap();
    let link = link::xdp(&prog, LO, 0).unwrap();
    packets(5);
    assert_eq!(count(&map), 5);
    let info = link.info().unwrap();
    assert_eq!((info.link_type, info.prog_id), (LinkType::Xdp, prog.id().unwrap()));
    assert_eq!(info.details, LinkDetails::Device { ifindex: LO, attach_type: None });
    // One device has room for one.
    let error = link::xdp(&prog, LO, 0).unwrap_err();
    assert!(error.is_errno(Errno::EBUSY), "{error}");
    // A detached link is a link without a device.
    link.detach().unwrap();
    packets(5);
    assert_eq!(count(&map), 5);
    let info = link.info().unwrap();
    assert_eq!(info.details, LinkDetails::Device { ifindex: 0, attach_type: None });
}

#[test]
fn root_tcx_programs_have_an_order() {
    skip_unless_bpf!("root_tcx_programs_have_an_order");
    if !own_network("root_tcx_programs_have_an_order") {
        return;
    }
    let (map, other) = (counter(), counter());
    let hook = AttachType::TcxIngress;
    // -1: on to the next program.
    let prog = load(ProgType::SchedCls, None, &map, -1).unwrap();
    let link = match link::tcx(&prog, LO, hook, Position::Last, 0) {
        Ok(link) => link,
        Err(Error::Unsupported { feature, since, .. }) => {
            assert_eq!((feature, since), ("tcx links", "6.6"));
            eprintln!("SKIP root_tcx_programs_have_an_order: this kernel has no tcx");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let second = load(ProgType::SchedCls, None, &other, -1).unwrap();
    let before = link::tcx(&second, LO, hook, Position::BeforeLink(link.as_fd()), 0).unwrap();
    packets(3);
    assert_eq!((count(&map), count(&other)), (3, 3));
    let attached = hook::query(HookTarget::Device(LO), hook, Scope::Attached).unwrap();
    let found: Vec<(u32, u32)> = attached.progs.iter().map(|p| (p.prog_id, p.link_id)).collect();
    let of = |link: &link::Link| (link.info().unwrap().prog_id, link.info().unwrap().id);
    assert_eq!(found, [of(&before), of(&link)]);
    assert!(attached.revision > 1, "{attached:?}");
    assert_eq!(before.info().unwrap().details, LinkDetails::Device { ifindex: LO, attach_type: Some(hook) });
    let stale = link::tcx(&second, LO, AttachType::TcxIngress, Position::First, 1).unwrap_err();
    assert!(stale.is_errno(Errno::ESTALE), "{stale}");
    let error = link::tcx(&second, 4711, hook, Position::Last, 0).unwrap_err();
    assert!(error.to_string().contains("there is no such device"), "{error}");

    // Without a link, on the way out.
    let out = AttachType::TcxEgress;
    let target = HookTarget::Device(LO);
    hook::attach(&second, target, out, AttachFlags::empty(), Position::Last, None).unwrap();
    assert_eq!(hook::query(target, out, Scope::Attached).unwrap().progs.len(), 1);
    drop(before);
    packets(2);
    assert_eq!((count(&map), count(&other)), (5, 5));
    hook::detach(Some(second.as_fd()), target, out).unwrap();
    assert!(hook::query(target, out, Scope::Attached).unwrap().progs.is_empty());
}

#[test]
fn root_a_netfilter_program_drops_what_it_is_told_to() {
    skip_unless_bpf!("root_a_netfilter_program_drops_what_it_is_told_to");
    if !own_network("root_a_netfilter_program_drops_what_it_is_told_to") {
        return;
    }
    let map = counter();
    let hook = Netfilter { pf: 2, hooknum: 1, priority: 10, defrag: false };
    // NF_ACCEPT
    let prog = match load(ProgType::Netfilter, Some(AttachType::Netfilter), &map, 1) {
        Ok(prog) => prog,
        Err(error) => {
            eprintln!(
                "SKIP root_a_netfilter_program_drops_what_it_is_told_to: this kernel has no netfilter programs: {error}"
            );
            return;
        }
    };
    let link = link::netfilter(&prog, hook).unwrap();
    packets(4);
    assert_eq!(count(&map), 4);
    let info = link.info().unwrap();
    assert_eq!(info.link_type, LinkType::Netfilter);
    assert_eq!(info.details, LinkDetails::Netfilter { pf: 2, hooknum: 1, priority: 10, flags: 0 });
    for (wrong, errno, remedy) in [
        (Netfilter { pf: 3, ..hook }, Errno::EAFNOSUPPORT, "family 2 (IPv4)"),
        (Netfilter { hooknum: 9, ..hook }, Errno::EPROTO, "hooks are 0"),
        (Netfilter { priority: i32::MIN, ..hook }, Errno::ERANGE, "neither the lowest"),
    ] {
        let error = link::netfilter(&prog, wrong).unwrap_err();
        assert!(error.is_errno(errno) && error.to_string().contains(remedy), "{error}");
    }
    drop(link);
    packets(4);
    assert_eq!(count(&map), 4);
}

#[test]
fn root_a_socket_lookup_belongs_to_a_namespace() {
    skip_unless_bpf!("root_a_socket_lookup_belongs_to_a_namespace");
    if !own_network("root_a_socket_lookup_belongs_to_a_namespace") {
        return;
    }
    let map = counter();
    // SK_PASS
    let prog = load(ProgType::SkLookup, Some(AttachType::SkLookup), &map, 1).unwrap();
    let namespace = File::open("/proc/thread-self/ns/net").unwrap();
    let link = link::attach(&prog, &namespace, AttachType::SkLookup, 0).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(count(&map) >= 1);
    let LinkDetails::Netns { netns_ino, attach_type } = link.info().unwrap().details else { panic!() };
    let inode = std::os::unix::fs::MetadataExt::ino(&namespace.metadata().unwrap());
    assert_eq!((u64::from(netns_ino), attach_type), (inode, AttachType::SkLookup));
    let attached =
        hook::query(HookTarget::Fd(namespace.as_fd()), AttachType::SkLookup, Scope::Attached).unwrap();
    assert_eq!(attached.progs.iter().map(|p| p.prog_id).collect::<Vec<_>>(), [prog.id().unwrap()]);
}

/// A cgroup (v2) of its own; gone when dropped.
struct Cgroup {
    path: PathBuf,
    home: PathBuf,
}

impl Cgroup {
    fn new(test: &str) -> Option<Cgroup> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounted = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let path = fields.next()?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        let root = mounted.or_else(|| {
            let path = std::env::temp_dir().join("tw_cgroup2");
            fs::create_dir_all(&path).ok()?;
            let text = std::ffi::CString::new(path.to_str()?).ok()?;
            // SAFETY: the strings are NUL-terminated; this file system takes no data.
            let done = unsafe {
                libc::mount(c"none".as_ptr(), text.as_ptr(), c"cgroup2".as_ptr(), 0, std::ptr::null())
            };
            (done == 0).then_some(path)
        });
        let mine = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let home = mine.lines().find_map(|line| line.strip_prefix("0::/")).map(str::to_owned);
        let made = root.and_then(|root| {
            let home = root.join(home?);
            let path = root.join(format!("tw_{}_{}", std::process::id(), test.len()));
            fs::create_dir(&path).ok().map(|()| Cgroup { path, home })
        });
        if made.is_none() {
            eprintln!("SKIP {test}: no cgroup v2 that can be written to");
        }
        made
    }

    fn enter(folder: &Path) {
        fs::write(folder.join("cgroup.procs"), "0").unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        Cgroup::enter(&self.home);
        let _ = fs::remove_dir(&self.path);
    }
}

#[test]
fn root_a_cgroup_takes_links_and_programs() {
    skip_unless_bpf!("root_a_cgroup_takes_links_and_programs");
    let Some(cgroup) = Cgroup::new("root_a_cgroup_takes_links_and_programs") else { return };
    let map = counter();
    let hook = AttachType::CgroupInetSockCreate;
    let prog = load(ProgType::CgroupSock, Some(hook), &map, 1).unwrap();
    let dir = File::open(&cgroup.path).unwrap();
    let link = link::cgroup(&prog, &dir, hook, AttachFlags::empty(), Position::Last, 0).unwrap();
    Cgroup::enter(&cgroup.path);
    drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    assert!(count(&map) >= 1);
    let info = link.info().unwrap();
    let id = std::os::unix::fs::MetadataExt::ino(&dir.metadata().unwrap());
    assert_eq!(info.details, LinkDetails::Cgroup { cgroup_id: id, attach_type: hook });
    let target = HookTarget::Fd(dir.as_fd());
    let ids = |scope| -> Vec<u32> {
        hook::query(target, hook, scope).unwrap().progs.iter().map(|p| p.prog_id).collect()
    };
    assert_eq!(ids(Scope::Attached), [prog.id().unwrap()]);
    assert!(ids(Scope::Effective).contains(&prog.id().unwrap()));

    let second = load(ProgType::CgroupSock, Some(hook), &map, 1).unwrap();
    hook::attach(&second, target, hook, AttachFlags::ALLOW_MULTI, Position::Last, None).unwrap();
    assert_eq!(ids(Scope::Attached), [prog.id().unwrap(), second.id().unwrap()]);
    let third = load(ProgType::CgroupSock, Some(hook), &map, 1).unwrap();
    let instead = Some(second.as_fd());
    hook::attach(&third, target, hook, AttachFlags::ALLOW_MULTI, Position::Last, instead).unwrap();
    assert_eq!(ids(Scope::Attached), [prog.id().unwrap(), third.id().unwrap()]);
    hook::detach(Some(third.as_fd()), target, hook).unwrap();
    let error = hook::detach(Some(third.as_fd()), target, hook).unwrap_err();
    assert!(error.is_errno(Errno::ENOENT), "{error}");
    link.detach().unwrap();
    assert!(ids(Scope::Attached).is_empty());

    let elsewhere = File::open("/proc").unwrap();
    let error = link::cgroup(&prog, &elsewhere, hook, AttachFlags::empty(), Position::Last, 0).unwrap_err();
    assert!(error.to_string().contains("cgroup v2 file system"), "{error}");
}

#[test]
fn root_tokens_and_streams_say_what_they_need() {
    skip_unless_bpf!("root_tokens_and_streams_say_what_they_need");
    match token::create(File::open("/proc").unwrap()).unwrap_err() {
        Error::Unsupported { feature: "BPF tokens", since: "6.9", .. } => {}
        error => assert!(error.to_string().contains("the root directory of a BPF file system"), "{error}"),
    }
    let map = counter();
    let prog = load(ProgType::SocketFilter, None, &map, 0).unwrap();
    // A program that wrote nothing has nothing to be read.
    match prog.read_stream(Stream::Stderr, &mut [0; 64]) {
        Ok(len) => assert_eq!(len, 0),
        Err(Error::Unsupported { feature: "streams of programs", since: "6.17", .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
