//! Names of what registers hold, as the log writes them.

use crate::verifier::reg::{Base, Flags, Reg};

/// `R1 type=rcu_ptr_or_null_ expected=...`: the name of a kind of value with what its flags put before and behind it.
pub(in crate::verifier) fn type_name(base: Base, flags: Flags) -> String {
    const PREFIXES: [(Flags, &str); 7] = [
        (Flags::RDONLY, "rdonly_"),
        (Flags::RINGBUF, "ringbuf_"),
        (Flags::USER, "user_"),
        (Flags::PERCPU, "percpu_"),
        (Flags::RCU, "rcu_"),
        (Flags::UNTRUSTED, "untrusted_"),
        (Flags::TRUSTED, "trusted_"),
    ];
    let mut name = String::with_capacity(24);
    for (flag, prefix) in PREFIXES {
        if flags.contains(flag) {
            name.push_str(prefix);
        }
    }
    name.push_str(base_name(base));
    if flags.contains(Flags::MAYBE_NULL) {
        // The struct's name follows a pointer to a kernel object.
        name.push_str(if base == Base::BtfId { "or_null_" } else { "_or_null" });
    }
    name
}

/// The name of a kind of value alone.
pub(in crate::verifier) fn base_name(base: Base) -> &'static str {
    match base {
        Base::NotInit => "?",
        Base::Scalar => "scalar",
        Base::Ctx => "ctx",
        Base::ConstMap => "map_ptr",
        Base::MapValue => "map_value",
        Base::MapKey => "map_key",
        Base::Stack => "fp",
        Base::PacketMeta => "pkt_meta",
        Base::Packet => "pkt",
        Base::PacketEnd => "pkt_end",
        Base::FlowKeys => "flow_keys",
        Base::Socket => "sock",
        Base::SockCommon => "sock_common",
        Base::TcpSock => "tcp_sock",
        Base::TpBuffer => "tp_buffer",
        Base::XdpSock => "xdp_sock",
        Base::BtfId => "ptr_",
        Base::Mem => "mem",
        Base::Arena => "arena",
        Base::Buf => "buf",
        Base::Func => "func",
        Base::ConstDynptr => "dynptr_ptr",
    }
}

impl Reg {
    /// What it holds, as the log names it.
    pub fn type_name(&self) -> String {
        type_name(self.base, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_around_the_name() {
        let name = |base, flags| type_name(base, flags);
        assert_eq!(name(Base::BtfId, Flags::RCU | Flags::MAYBE_NULL), "rcu_ptr_or_null_");
        assert_eq!(name(Base::BtfId, Flags::TRUSTED), "trusted_ptr_");
        assert_eq!(name(Base::MapValue, Flags::MAYBE_NULL), "map_value_or_null");
        assert_eq!(name(Base::BtfId, Flags::PERCPU | Flags::RCU | Flags::ALLOC), "percpu_rcu_ptr_");
        assert_eq!(name(Base::Mem, Flags::RDONLY | Flags::RINGBUF), "rdonly_ringbuf_mem");
    }
}
