//! Programs attach to the network, to control groups and as the kernel's operations, and run there.
//!
//! Those of the network see all packets: guests run them.
#![forbid(unsafe_code)]

mod attach_common;

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;

use attach_common::*;
use bpf_sys::map::MapType;
use bpf_sys::prog::AttachType;
use loader::Object;
use loader::link::{Netfilter, Place};
use probes::object::{self, AttachOptions};
use tracewell_tests::objects::load;
use tracewell_tests::support::{in_guest, is_root, kernel_has, kernel_version, skip};

fn packets(number: usize) {
    let to = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..number {
        from.send_to(b"packet", to.local_addr().unwrap()).unwrap();
    }
}

/// All that needs a place: the guest's own network and its control groups.
#[test]
fn root_object_hooks_of_the_network_and_of_cgroups() {
    let test = "root_object_hooks_of_the_network_and_of_cgroups";
    if !is_root(test) {
        return;
    }
    if !in_guest() {
        return skip(test, "it would see this machine's packets; guests run it");
    }
    let lo = nix::net::if_::if_nametoindex("lo").unwrap();
    let cgroup = File::open("/sys/fs/cgroup").unwrap();
    let namespace = File::open("/proc/self/ns/net").unwrap();
    let device = |hook| Place::Device { ifindex: lo, hook };
    let mut cases = vec![
        ("xdp", 2, device(None)),
        ("cgroup_skb/ingress", 1, Place::Cgroup(cgroup.as_fd())),
        ("cgroup_skb/egress", 1, Place::Cgroup(cgroup.as_fd())),
        ("cgroup/sock_create", 1, Place::Cgroup(cgroup.as_fd())),
        ("cgroup/connect4", 1, Place::Cgroup(cgroup.as_fd())),
        ("sk_lookup", 1, Place::Namespace(namespace.as_fd())),
    ];
    if kernel_has("tcx_link_attach") {
        cases.push(("tcx/ingress", -1, device(None)));
        cases.push(("tcx/egress", -1, device(None)));
        cases.push(("tc", -1, device(Some(AttachType::TcxIngress))));
    }
    if kernel_version() >= (6, 0) {
        cases.push(("lsm_cgroup/socket_create", 1, Place::Cgroup(cgroup.as_fd())));
    }
    if kernel_has("bpf_nf_link_attach") {
        let hook = Netfilter { pf: 2, hooknum: 1, priority: -100, defrag: false };
        cases.push(("netfilter", 1, Place::Netfilter(hook)));
    }
    for (section, verdict, place) in cases {
        let collection = counter(section, 0, Adds::One, verdict);
        // By the section alone it is left out, with what it needs.
        let all = object::attach_all(&collection, &AttachOptions::default()).unwrap();
        assert!(all.attached.is_empty(), "{section}");
        assert!(all.skipped[0].why.starts_with("it needs a "), "{section}: {}", all.skipped[0].why);
        let options = AttachOptions { place, ..AttachOptions::default() };
        let all = object::attach_all(&collection, &options).unwrap_or_else(|e| panic!("{section}: {e}"));
        assert_eq!((all.attached.len(), all.skipped.len()), (1, 0), "{section}");
        packets(3);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(count(&collection) >= 1, "{section}");
        drop((stream, all));
    }
}

/// Messages of sockets in a map, and headers of packets.
#[test]
fn root_object_sockmaps_and_dissectors() {
    let test = "root_object_sockmaps_and_dissectors";
    if !is_root(test) {
        return;
    }
    let map = bpf_sys::map::MapCreate {
        map_type: MapType::Sockmap,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..Default::default()
    };
    let map = map.create().unwrap();
    let collection = counter("sk_msg", 0, Adds::One, 1);
    let options = AttachOptions { place: Place::Map(map.as_fd()), ..AttachOptions::default() };
    let attached = object::attach(collection.program("prog").unwrap(), &options);
    if kernel_version() < (6, 10) {
        let error = attached.unwrap_err().to_string();
        assert!(error.contains("links to sockmaps came with Linux 6.10"), "{error}");
    } else {
        let attached = attached.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&stream).to_ne_bytes();
        map.update(&[0; 4], &fd, bpf_sys::map::UpdateFlags::ANY).unwrap();
        let mut receiver = listener.accept().unwrap().0;
        std::io::Write::write_all(&mut stream, b"message").unwrap();
        let mut text = [0; 7];
        receiver.read_exact(&mut text).unwrap();
        assert_eq!((&text, count(&collection)), (b"message", 1));
        drop(attached);
    }
    if !in_guest() {
        return;
    }
    // One flow dissector a namespace; the guest has none.
    let namespace = File::open("/proc/self/ns/net").unwrap();
    let collection = counter("flow_dissector", 0, Adds::One, 0);
    let place = Place::Namespace(namespace.as_fd());
    let attached = attach(&collection, &AttachOptions { place, ..AttachOptions::default() });
    let info = attached.links()[0].info().unwrap();
    assert_eq!(info.link_type, bpf_sys::link::LinkType::Netns);
}

/// Operations of the kernel that programs implement: how TCP connections heed congestion.
#[test]
fn root_object_operations_are_registered() {
    let test = "root_object_operations_are_registered";
    if !is_root(test) {
        return;
    }
    if !in_guest() {
        return skip(test, "all of this machine would see the operations; guests run it");
    }
    let file = include_bytes!("../bpf/obj/struct_ops.o");
    let mut object = Object::parse("struct_ops", file).unwrap();
    let known = || {
        let list = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap();
        list.split_whitespace().any(|name| name == "tracewell")
    };
    // By the map's element, and by a link where the kernel has those.
    let by_link = [false, true].into_iter().filter(|link| !link || kernel_version() >= (6, 4));
    for link in by_link {
        if link {
            let map = object.maps.iter_mut().find(|map| map.struct_ops.is_some()).unwrap();
            map.struct_ops.as_mut().unwrap().link = true;
            map.flags |= bpf_sys::map::MapFlags::LINK;
        }
        let collection = load(&object).unwrap();
        assert!(!known());
        let all = object::attach_all(&collection, &AttachOptions::default()).unwrap();
        let [attached] = &all.attached[..] else { panic!("{all:?}") };
        assert_eq!((attached.mechanism(), attached.links().len()), ("struct_ops", usize::from(link)));
        assert!(known(), "by link: {link}");
        drop(all);
        assert!(!known(), "by link: {link}");
    }
}
