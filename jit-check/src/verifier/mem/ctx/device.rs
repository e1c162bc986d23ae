//! Contexts of drivers and of netfilter.

use super::table::{Field, Gives, Table, When, Width};
use bpf_sys::prog::AttachType;

/// XDP.
pub(crate) const XDP: Table = Table {
    name: "xdp_md",
    fields: &[
        Field::word("data", 0).gives(Gives::Packet).unsigned(),
        Field::word("data_end", 4).gives(Gives::PacketEnd).unsigned(),
        Field::word("data_meta", 8).gives(Gives::PacketMeta).unsigned(),
        Field::word("ingress_ifindex", 12),
        Field::word("rx_queue_index", 16),
        Field::word("egress_ifindex", 20).when(When::At(&[AttachType::XdpDevmap])),
    ],
};

/// Netfilter: its context has no UAPI struct but pointers to kernel objects.
pub(crate) const NETFILTER: Table = Table {
    name: "bpf_nf_ctx",
    fields: &[
        Field::pointer("state", 0, Gives::Trusted("nf_hook_state")),
        Field::pointer("skb", 8, Gives::Trusted("sk_buff")),
    ],
};

/// Infrared remotes: one sample.
pub(crate) const LIRC: Table = Table { name: "", fields: &[Field::new("sample", 0, 4).read(Width::Just(4))] };
