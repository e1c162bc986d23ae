//! Contexts that are socket buffers: one struct, of which each program type sees its part.

use super::table::{CtxAccess, Field, Gives, Table, When, Width};
use bpf_sys::prog::ProgType;

/// A number of four bytes that every program type reads, in parts too, unless its family hides it.
const fn field(name: &'static str, at: u16) -> Field {
    Field::narrow(name, at).write(Width::Just(4))
}

/// A part of the packet's address range: loaded whole, and not sign-extended.
const fn range(name: &'static str, at: u16, gives: Gives) -> Field {
    Field::word(name, at).write(Width::Just(4)).gives(gives).unsigned()
}

/// A part of an address: whole words.
const fn address(name: &'static str, at: u16, len: u16) -> Field {
    Field::new(name, at, len).read(Width::Just(4)).write(Width::Just(4))
}

/// What the struct itself allows; families narrow it.
pub(crate) const SK_BUFF: Table = Table {
    name: "__sk_buff",
    fields: &[
        field("len", 0),
        field("pkt_type", 4),
        field("mark", 8),
        field("queue_mapping", 12),
        field("protocol", 16),
        field("vlan_present", 20),
        field("vlan_tci", 24),
        field("vlan_proto", 28),
        field("priority", 32),
        field("ingress_ifindex", 36),
        field("ifindex", 40),
        field("tc_index", 44),
        Field::new("cb", 48, 20).read(Width::Within).write(Width::Within),
        field("hash", 68),
        field("tc_classid", 72),
        range("data", 76, Gives::Packet),
        range("data_end", 80, Gives::PacketEnd),
        field("napi_id", 84),
        field("family", 88),
        address("remote_ip4", 92, 4),
        address("local_ip4", 96, 4),
        address("remote_ip6", 100, 16),
        address("local_ip6", 116, 16),
        field("remote_port", 132),
        field("local_port", 136),
        range("data_meta", 140, Gives::PacketMeta),
        Field::new("flow_keys", 144, 8),
        Field::new("tstamp", 152, 8).read(Width::Just(8)).write(Width::Just(8)),
        field("wire_len", 160),
        field("gso_segs", 164),
        Field::pointer("sk", 168, Gives::SockCommonOrNull),
        field("gso_size", 176),
        Field::new("tstamp_type", 180, 1).since(5, 18),
        Field::new("hwtstamp", 184, 8).read(Width::Just(8)).since(5, 16),
    ],
};

/// What one program type sees of the buffer.
pub(crate) struct Family {
    /// Fields that it does not see.
    hidden: &'static [&'static str],
    /// Fields that it may write.
    writable: &'static [&'static str],
    /// Fields that need `CAP_BPF`, to read or to write.
    privileged: &'static [&'static str],
    privileged_write: &'static [&'static str],
}

const ADDRESSES: [&str; 7] =
    ["family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port"];

const SOCKET_FILTER: Family = Family {
    hidden: &[
        "tc_classid",
        "data",
        "data_meta",
        "data_end",
        ADDRESSES[0],
        ADDRESSES[1],
        ADDRESSES[2],
        ADDRESSES[3],
        ADDRESSES[4],
        ADDRESSES[5],
        ADDRESSES[6],
        "tstamp",
        "wire_len",
        "hwtstamp",
    ],
    writable: &["cb"],
    privileged: &[],
    privileged_write: &[],
};

const CGROUP: Family = Family {
    hidden: &["tc_classid", "data_meta", "wire_len"],
    writable: &["mark", "priority", "cb", "tstamp"],
    privileged: &["data", "data_end"],
    privileged_write: &["tstamp"],
};

const TUNNEL: Family = Family {
    hidden: &[
        "tc_classid",
        ADDRESSES[0],
        ADDRESSES[1],
        ADDRESSES[2],
        ADDRESSES[3],
        ADDRESSES[4],
        ADDRESSES[5],
        ADDRESSES[6],
        "data_meta",
        "tstamp",
        "wire_len",
        "hwtstamp",
    ],
    writable: &["mark", "priority", "cb"],
    privileged: &[],
    privileged_write: &[],
};

const TRAFFIC_CONTROL: Family = Family {
    hidden: &ADDRESSES,
    writable: &["mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"],
    privileged: &[],
    privileged_write: &[],
};

const STREAM: Family = Family {
    hidden: &["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "mark"],
    writable: &["tc_index", "priority"],
    privileged: &[],
    privileged_write: &[],
};

/// The flow dissector's own view.
pub(crate) const FLOW_DISSECTOR: Table = Table {
    name: "__sk_buff",
    fields: &[
        Field::word("data", 76).gives(Gives::Packet).unsigned(),
        Field::word("data_end", 80).gives(Gives::PacketEnd).unsigned(),
        Field::pointer("flow_keys", 144, Gives::FlowKeys),
    ],
};

/// The view of a program type whose context is the buffer.
pub(crate) fn family(prog_type: ProgType) -> Option<&'static Family> {
    Some(match prog_type {
        ProgType::SocketFilter => &SOCKET_FILTER,
        ProgType::CgroupSkb => &CGROUP,
        ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => &TUNNEL,
        ProgType::SchedCls | ProgType::SchedAct => &TRAFFIC_CONTROL,
        ProgType::SkSkb => &STREAM,
        _ => return None,
    })
}

/// What an access gives; `None` where it is refused.
pub(crate) fn check(prog_type: ProgType, access: &CtxAccess) -> Option<Gives> {
    let family = family(prog_type)?;
    let field = SK_BUFF.find(access)?;
    let named = |names: &[&str]| names.contains(&field.name);
    if named(family.hidden) || access.write && !named(family.writable) {
        return None;
    }
    let mut field = *field;
    if field.name == "tstamp_type" && family.writable.contains(&"tc_classid") {
        field = field.read(Width::Just(1));
    }
    if named(family.privileged) {
        field = field.when(When::Capable);
    }
    if named(family.privileged_write) {
        field = field.write_when(When::Capable);
    }
    field.check(access)
}
