//! Sockets: `struct bpf_sock` and its relatives, as contexts and behind pointers.

use super::table::{Field, Gives, Table, When, Width};
use bpf_sys::prog::AttachType;

const MAKING: When = When::At(&[AttachType::CgroupInetSockCreate, AttachType::CgroupInetSockRelease]);
const BOUND4: When = When::At(&[AttachType::CgroupInet4PostBind]);
const BOUND6: When = When::At(&[AttachType::CgroupInet6PostBind]);
const BOUND: When = When::At(&[AttachType::CgroupInet4PostBind, AttachType::CgroupInet6PostBind]);

const fn first(name: &'static str, at: u16) -> Field {
    Field::new(name, at, 4).read(Width::NarrowFirst(4))
}

const IN6: u16 = 16;

/// A socket that a pointer leads to: read only.
pub(crate) const SOCK: Table = Table {
    name: "bpf_sock",
    fields: &[
        Field::word("bound_dev_if", 0),
        first("family", 4),
        first("type", 8),
        first("protocol", 12),
        Field::word("mark", 16),
        Field::word("priority", 20),
        Field::narrow("src_ip4", 24),
        Field::new("src_ip6", 28, IN6).read(Width::Narrow(4)),
        first("src_port", 44),
        Field::new("dst_port", 48, 2).read(Width::Either(4, 2)),
        Field::narrow("dst_ip4", 52),
        Field::new("dst_ip6", 56, IN6).read(Width::Narrow(4)),
        first("state", 72),
        first("rx_queue_mapping", 76),
    ],
};

/// What all sockets have.
pub(crate) const SOCK_COMMON: Table = Table {
    name: "bpf_sock",
    fields: &[
        SOCK.fields[0],
        SOCK.fields[1],
        SOCK.fields[6],
        SOCK.fields[7],
        SOCK.fields[8],
        SOCK.fields[9],
        SOCK.fields[10],
        SOCK.fields[11],
        SOCK.fields[12],
        SOCK.fields[13],
    ],
};

/// The context of `cgroup/sock_create` and its kin.
pub(crate) const CGROUP_SOCK: Table = Table {
    name: "bpf_sock",
    fields: &[
        Field::word("bound_dev_if", 0).write(Width::Just(4)).when(MAKING),
        SOCK.fields[1],
        SOCK.fields[2],
        SOCK.fields[3],
        Field::word("mark", 16).write(Width::Just(4)).when(MAKING),
        Field::word("priority", 20).write(Width::Just(4)).when(MAKING),
        SOCK.fields[6].when(BOUND4),
        SOCK.fields[7].when(BOUND6),
        SOCK.fields[8].when(BOUND),
        SOCK.fields[9],
        SOCK.fields[10],
        SOCK.fields[11],
        SOCK.fields[12],
        SOCK.fields[13],
    ],
};

/// A TCP socket behind a pointer.
pub(crate) const TCP_SOCK: Table = Table {
    name: "bpf_tcp_sock",
    fields: &[
        Field::word("snd_cwnd", 0),
        Field::word("srtt_us", 4),
        Field::word("rtt_min", 8),
        Field::word("snd_ssthresh", 12),
        Field::word("rcv_nxt", 16),
        Field::word("snd_nxt", 20),
        Field::word("snd_una", 24),
        Field::word("mss_cache", 28),
        Field::word("ecn_flags", 32),
        Field::word("rate_delivered", 36),
        Field::word("rate_interval_us", 40),
        Field::word("packets_out", 44),
        Field::word("retrans_out", 48),
        Field::word("total_retrans", 52),
        Field::word("segs_in", 56),
        Field::word("data_segs_in", 60),
        Field::word("segs_out", 64),
        Field::word("data_segs_out", 68),
        Field::word("lost_out", 72),
        Field::word("sacked_out", 76),
        // The kernel names only the first byte of each: a word of the second half passes as any word does.
        Field::new("bytes_received", 80, 4).read(Width::Just(8)),
        Field::word("bytes_received", 84),
        Field::new("bytes_acked", 88, 4).read(Width::Just(8)),
        Field::word("bytes_acked", 92),
        Field::word("dsack_dups", 96),
        Field::word("delivered", 100),
        Field::word("delivered_ce", 104),
        Field::word("icsk_retransmits", 108),
    ],
};

/// An AF_XDP socket behind a pointer.
pub(crate) const XDP_SOCK: Table = Table { name: "bpf_xdp_sock", fields: &[Field::word("queue_id", 0)] };

/// `sk_lookup`.
pub(crate) const SK_LOOKUP: Table = Table {
    name: "bpf_sk_lookup",
    fields: &[
        Field::pointer("sk", 0, Gives::SocketOrNull),
        Field::narrow("family", 8),
        Field::narrow("protocol", 12),
        Field::narrow("remote_ip4", 16),
        Field::new("remote_ip6", 20, IN6).read(Width::Narrow(4)),
        Field::new("remote_port", 36, 2).read(Width::Either(4, 2)),
        Field::new("", 38, 2).read(Width::Narrow(2)),
        Field::narrow("local_ip4", 40),
        Field::new("local_ip6", 44, IN6).read(Width::Narrow(4)),
        Field::narrow("local_port", 60),
        Field::narrow("ingress_ifindex", 64).since(5, 17),
    ],
};

/// `sk_reuseport`.
pub(crate) const SK_REUSEPORT: Table = Table {
    name: "sk_reuseport_md",
    fields: &[
        Field::pointer("data", 0, Gives::Packet),
        Field::pointer("data_end", 8, Gives::PacketEnd),
        Field::narrow("len", 16),
        Field::new("eth_protocol", 20, 4).read(Width::Halves),
        Field::narrow("ip_protocol", 24),
        Field::narrow("bind_inany", 28),
        Field::word("hash", 32),
        Field::pointer("sk", 40, Gives::Socket).since(5, 14),
        Field::pointer("migrating_sk", 48, Gives::SockCommonOrNull).since(5, 14),
    ],
};

/// `sk_msg`.
pub(crate) const SK_MSG: Table = Table {
    name: "sk_msg_md",
    fields: &[
        Field::pointer("data", 0, Gives::Packet),
        Field::pointer("data_end", 8, Gives::PacketEnd),
        Field::word("family", 16),
        Field::word("remote_ip4", 20),
        Field::word("local_ip4", 24),
        Field::new("remote_ip6", 28, IN6).read(Width::Just(4)),
        Field::new("local_ip6", 44, IN6).read(Width::Just(4)),
        Field::word("remote_port", 60),
        Field::word("local_port", 64),
        Field::word("size", 68),
        Field::pointer("sk", 72, Gives::Socket),
    ],
};

/// `sock_ops`.
pub(crate) const SOCK_OPS: Table = Table {
    name: "bpf_sock_ops",
    fields: &[
        Field::word("op", 0),
        Field::word("reply", 4).write(Width::Just(4)),
        Field::new("replylong", 8, 12).read(Width::Just(4)),
        Field::word("family", 20),
        Field::word("remote_ip4", 24),
        Field::word("local_ip4", 28),
        Field::new("remote_ip6", 32, IN6).read(Width::Just(4)),
        Field::new("local_ip6", 48, IN6).read(Width::Just(4)),
        Field::word("remote_port", 64),
        Field::word("local_port", 68),
        Field::word("is_fullsock", 72),
        Field::word("snd_cwnd", 76),
        Field::word("srtt_us", 80),
        Field::word("bpf_sock_ops_cb_flags", 84),
        Field::word("state", 88),
        Field::word("rtt_min", 92),
        Field::word("snd_ssthresh", 96),
        Field::word("rcv_nxt", 100),
        Field::word("snd_nxt", 104),
        Field::word("snd_una", 108),
        Field::word("mss_cache", 112),
        Field::word("ecn_flags", 116),
        Field::word("rate_delivered", 120),
        Field::word("rate_interval_us", 124),
        Field::word("packets_out", 128),
        Field::word("retrans_out", 132),
        Field::word("total_retrans", 136),
        Field::word("segs_in", 140),
        Field::word("data_segs_in", 144),
        Field::word("segs_out", 148),
        Field::word("data_segs_out", 152),
        Field::word("lost_out", 156),
        Field::word("sacked_out", 160),
        Field::word("sk_txhash", 164).write(Width::Just(4)),
        Field::new("bytes_received", 168, 8).read(Width::Just(8)),
        Field::new("bytes_acked", 176, 8).read(Width::Just(8)),
        Field::pointer("sk", 184, Gives::SocketOrNull),
        Field::pointer("skb_data", 192, Gives::Packet),
        Field::pointer("skb_data_end", 200, Gives::PacketEnd),
        Field::word("skb_len", 208),
        first("skb_tcp_flags", 212),
        Field::new("skb_hwtstamp", 216, 8).read(Width::Just(8)).since(6, 2),
    ],
};

const V4: &[AttachType] = &[
    AttachType::CgroupInet4Bind,
    AttachType::CgroupInet4Connect,
    AttachType::CgroupInet4Getpeername,
    AttachType::CgroupInet4Getsockname,
    AttachType::CgroupUdp4Sendmsg,
    AttachType::CgroupUdp4Recvmsg,
];

const V6: &[AttachType] = &[
    AttachType::CgroupInet6Bind,
    AttachType::CgroupInet6Connect,
    AttachType::CgroupInet6Getpeername,
    AttachType::CgroupInet6Getsockname,
    AttachType::CgroupUdp6Sendmsg,
    AttachType::CgroupUdp6Recvmsg,
];

/// `cgroup/bind4` and its kin.
pub(crate) const SOCK_ADDR: Table = Table {
    name: "bpf_sock_addr",
    fields: &[
        Field::word("user_family", 0),
        Field::narrow("user_ip4", 4).write(Width::Just(4)).when(When::At(V4)),
        Field::new("user_ip6", 8, IN6).read(Width::Wide).write(Width::WideStore).when(When::At(V6)),
        Field::narrow("user_port", 24).write(Width::Just(4)),
        Field::word("family", 28),
        Field::word("type", 32),
        Field::word("protocol", 36),
        Field::narrow("msg_src_ip4", 40)
            .write(Width::Just(4))
            .when(When::At(&[AttachType::CgroupUdp4Sendmsg])),
        Field::new("msg_src_ip6", 44, IN6)
            .read(Width::Wide)
            .write(Width::WideStore)
            .when(When::At(&[AttachType::CgroupUdp6Sendmsg])),
        Field::pointer("sk", 64, Gives::Socket),
    ],
};
