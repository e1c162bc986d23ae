//! What iterators hand to their programs: the arguments whose kind the prototype alone does not tell.

use crate::verifier::reg::{Base, Flags};

/// An argument of an iterator's program.
pub(crate) struct IterArg {
    /// Iterator: its function without `bpf_iter_`.
    pub target: &'static str,
    /// Byte in the context.
    pub off: u32,
    pub base: Base,
    pub flags: Flags,
    /// Struct of the kernel that it points to; empty for buffers.
    pub object: &'static str,
}

const MAYBE: Flags = Flags::MAYBE_NULL;
const TRUSTED: Flags = Flags::MAYBE_NULL.union(Flags::TRUSTED);

const fn object(target: &'static str, off: u32, flags: Flags, object: &'static str) -> IterArg {
    IterArg { target, off, base: Base::BtfId, flags, object }
}

const fn buffer(target: &'static str, off: u32, flags: Flags) -> IterArg {
    IterArg { target, off, base: Base::Buf, flags, object: "" }
}

/// The arguments of all iterators.
pub(crate) const ARGS: &[IterArg] = &[
    object("bpf_map", 8, TRUSTED, "bpf_map"),
    buffer("bpf_map_elem", 16, MAYBE.union(Flags::RDONLY)),
    buffer("bpf_map_elem", 24, MAYBE),
    object("bpf_prog", 8, MAYBE, "bpf_prog"),
    object("bpf_link", 8, MAYBE, "bpf_link"),
    object("task", 8, TRUSTED, "task_struct"),
    object("task_file", 8, MAYBE, "task_struct"),
    object("task_file", 24, MAYBE, "file"),
    object("task_vma", 8, MAYBE, "task_struct"),
    object("task_vma", 16, MAYBE, "vm_area_struct"),
    object("cgroup", 8, TRUSTED, "cgroup"),
    object("ksym", 8, MAYBE, "kallsym_iter"),
    object("tcp", 8, TRUSTED, "sock_common"),
    object("udp", 8, TRUSTED, "udp_sock"),
    object("unix", 8, MAYBE, "unix_sock"),
    object("netlink", 8, MAYBE, "netlink_sock"),
    object("ipv6_route", 8, MAYBE, "fib6_info"),
    buffer("sockmap", 16, MAYBE.union(Flags::RDONLY)),
    object("sockmap", 24, MAYBE, "sock"),
    object("bpf_sk_storage_map", 16, MAYBE, "sock"),
    buffer("bpf_sk_storage_map", 24, MAYBE),
    object("kmem_cache", 8, TRUSTED, "kmem_cache"),
    object("dmabuf", 8, MAYBE, "dma_buf"),
];
