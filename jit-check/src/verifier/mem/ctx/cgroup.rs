//! Contexts of cgroup hooks that are not about packets: devices, sysctls, socket options.

use super::table::{Field, Gives, Table, When, Width};
use bpf_sys::prog::AttachType;

const GETTING: When = When::At(&[AttachType::CgroupGetsockopt]);
const SETTING: When = When::At(&[AttachType::CgroupSetsockopt]);

/// `cgroup/dev`.
pub(crate) const DEVICE: Table = Table {
    name: "bpf_cgroup_dev_ctx",
    fields: &[Field::narrow("access_type", 0), Field::word("major", 4), Field::word("minor", 8)],
};

/// `cgroup/sysctl`.
pub(crate) const SYSCTL: Table = Table {
    name: "bpf_sysctl",
    fields: &[Field::narrow("write", 0), Field::narrow("file_pos", 4).write(Width::Just(4))],
};

/// `cgroup/getsockopt` and `cgroup/setsockopt`.
pub(crate) const SOCKOPT: Table = Table {
    name: "bpf_sockopt",
    fields: &[
        Field::pointer("sk", 0, Gives::Socket),
        Field::pointer("optval", 8, Gives::Packet),
        Field::pointer("optval_end", 16, Gives::PacketEnd),
        Field::word("level", 24).write(Width::Just(4)).write_when(SETTING),
        Field::word("optname", 28).write(Width::Just(4)).write_when(SETTING),
        Field::word("optlen", 32).write(Width::Just(4)),
        Field::word("retval", 36).write(Width::Just(4)).when(GETTING),
    ],
};
