//! Kernel objects: loads and stores through pointers to structs that BTF describes.

use super::Access;
use crate::verifier::env::{EACCES, EFAULT, EINVAL, ENOTSUPP, EPERM, Env, Reject, Res, reject};
use crate::verifier::objects::{Field, Step};
use crate::verifier::reg::{Base, BtfIdx, Extra, Flags, Reg};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use btf::{Btf, Kind, TypeId};

/// Fields of kernel objects that programs of a kind may write: struct and path.
const TCP_FIELDS: &[(&str, &str)] = &[
    ("sock", "sk_pacing_rate"),
    ("sock", "sk_pacing_status"),
    ("inet_connection_sock", "icsk_ca_priv"),
    ("inet_connection_sock", "icsk_ack.pending"),
    ("tcp_sock", "snd_cwnd"),
    ("tcp_sock", "snd_cwnd_cnt"),
    ("tcp_sock", "snd_cwnd_stamp"),
    ("tcp_sock", "snd_ssthresh"),
    ("tcp_sock", "ecn_flags"),
    ("tcp_sock", "app_limited"),
];
/// Structs in structs that are looked into before they count as endless.
const MAX_NESTED: u32 = 64;
const SCHEDULER_FIELDS: &[&str] = &["scx.slice", "scx.dsq_vtime", "scx.disallow"];

impl<'a> Env<'a> {
    /// A register gets what a load from an object gave: a number, or a pointer to a struct.
    pub(in crate::verifier) fn mark_btf_load(
        &mut self,
        regno: u8,
        found: Option<(BtfIdx, u32, Flags)>,
    ) -> Res {
        let Some((btf, id, flags)) = found else { return self.mark_reg_unknown(regno) };
        self.mark_reg_known_zero(regno);
        let unique = if flags.contains(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        let reg = self.reg_mut(regno);
        (reg.base, reg.flags, reg.extra) = (Base::BtfId, flags, Extra::Btf { btf, id });
        if unique != 0 {
            reg.id = unique;
        }
        Ok(())
    }

    /// An access to an object of the kernel or of the program.
    pub(super) fn check_object_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        access: Access,
        value_regno: Option<u8>,
    ) -> Res {
        let reg = *self.reg(regno);
        let Some((at, id)) = reg.btf() else {
            self.unmodelled("object of unknown type");
            return Err(Reject(EINVAL));
        };
        let name = self.btf(at).type_by_id(TypeId(id)).map_or("", |ty| ty.name());
        let in_kernel = at != BtfIdx::PROGRAM;
        if !self.allow_ptr_leaks {
            reject!(self, EPERM, "'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN");
        }
        if !self.program.gpl && in_kernel && self.since(6, 2) {
            reject!(self, EINVAL, "Cannot access kernel 'struct {name}' from non-GPL compatible program");
        }
        let Ok(at_byte) = u32::try_from(off) else {
            reject!(self, EACCES, "R{regno} is ptr_{name} invalid negative access: off={off}");
        };
        if !reg.var_off.is(0) {
            let bits = reg.var_off;
            reject!(
                self,
                EACCES,
                "R{regno} is ptr_{name} invalid variable offset: off={off}, var_off={bits}"
            );
        }
        if reg.flags.contains(Flags::USER) {
            reject!(self, EACCES, "R{regno} is ptr_{name} access user memory: off={off}");
        }
        if reg.flags.contains(Flags::PERCPU) {
            reject!(self, EACCES, "R{regno} is ptr_{name} access percpu memory: off={off}");
        }
        let is_write = access == Access::Write;
        let is_alloc = reg.flags.contains(Flags::ALLOC);
        if is_write && reg.flags.contains(Flags::UNTRUSTED) {
            reject!(self, EACCES, "only read is supported");
        }
        let found = if is_write && !is_alloc && self.writes_objects() {
            if !in_kernel {
                reject!(self, EFAULT, "verifier internal error: reg->btf must be kernel btf");
            }
            self.check_object_write(at, id, at_byte, size)?;
            None
        } else {
            if is_write && (!is_alloc || reg.flags.contains(Flags::UNTRUSTED)) {
                reject!(self, EACCES, "only read is supported");
            }
            let non_owning = reg.flags.contains(Flags::NON_OWN_REF);
            if is_alloc && !non_owning && !reg.flags.contains(Flags::RCU) && reg.ref_obj_id == 0 {
                reject!(
                    self,
                    EFAULT,
                    "verifier internal error: ref_obj_id for allocated object must be non-zero"
                );
            }
            self.struct_access(&reg, off, size)?
        };
        let found = found.map(|(id, flags, field)| (at, id, self.pointee_flags(&reg, id, flags, field)));
        match value_regno {
            Some(value_regno) if !is_write => self.mark_btf_load(value_regno, found),
            _ => Ok(()),
        }
    }

    /// What a load at this byte of an object gives: a pointer (its struct, flags and the member's name), or a number.
    fn struct_access(&mut self, reg: &Reg, off: i32, size: u32) -> Res<Option<(u32, Flags, &'a str)>> {
        let Some((at, mut id)) = reg.btf() else { return Err(Reject(EINVAL)) };
        let is_alloc = reg.flags.contains(Flags::ALLOC);
        if is_alloc {
            let end = i64::from(off) + i64::from(size);
            let touched = self.btf_record(at, id).and_then(|record| {
                let touches = |field: &&Field| {
                    i64::from(off) < i64::from(field.offset + field.size) && i64::from(field.offset) < end
                };
                record.fields.iter().find(touches).map(|field| field.kind)
            });
            if let Some(kind) = touched {
                reject!(self, EACCES, "direct access to {} is disallowed", kind.name());
            }
        }
        let mut flags = Flags::empty();
        let mut off = off;
        for _ in 0..MAX_NESTED {
            match self.walk_struct(at, id, off, size, &mut flags, !is_alloc)? {
                Step::Scalar => return Ok(None),
                Step::Pointer { .. } if is_alloc => return Ok(None),
                Step::Pointer { id, flags, member } => return Ok(Some((id, flags, member))),
                Step::Struct(inner) => (id, off) = (inner, 0),
            }
        }
        Err(Reject(EINVAL))
    }

    /// Flags of a pointer that was loaded from a member of an object.
    fn pointee_flags(&mut self, reg: &Reg, id: u32, found: Flags, field: &str) -> Flags {
        let trusted_kinds = Flags::ALLOC | Flags::TRUSTED | Flags::NON_OWN_REF | Flags::RCU;
        if reg.flags.contains(Flags::UNTRUSTED) {
            return Flags::UNTRUSTED;
        }
        if !self.since(6, 2) {
            return found;
        }
        if !reg.is_trusted() && !reg.flags.contains(Flags::RCU) {
            return found - trusted_kinds;
        }
        let safe = |env: &Self, suffix: &str| {
            reg.btf().is_some_and(|of| is_safe_member(env.btf(of.0), of.1, field, id, suffix))
        };
        if safe(self, "__safe_trusted") {
            return found | Flags::TRUSTED;
        }
        if safe(self, "__safe_trusted_or_null") {
            return found | Flags::TRUSTED | Flags::MAYBE_NULL;
        }
        if !self.in_rcu_cs() || reg.flags.contains(Flags::MAYBE_NULL) {
            return Flags::UNTRUSTED;
        }
        if safe(self, "__safe_rcu") {
            return found | Flags::RCU;
        }
        let or_null = safe(self, "__safe_rcu_or_null");
        if found.contains(Flags::RCU) || or_null {
            let flags = found | Flags::RCU | Flags::MAYBE_NULL;
            return if or_null { flags - Flags::UNTRUSTED } else { flags };
        }
        if found.intersects(Flags::PERCPU | Flags::USER) {
            return found;
        }
        found - trusted_kinds
    }

    /// Whether programs of this type have rules of their own for stores to kernel objects.
    fn writes_objects(&self) -> bool {
        match self.prog_type() {
            ProgType::SchedCls | ProgType::SchedAct | ProgType::Xdp => self.since(6, 1),
            ProgType::StructOps => true,
            _ => false,
        }
    }

    fn check_object_write(&mut self, at: BtfIdx, id: u32, off: u32, size: u32) -> Res {
        if self.prog_type() != ProgType::StructOps {
            return self.check_conntrack_write(at, id, off, size);
        }
        let attach = self.attach.clone();
        let operations = attach.id.and_then(|id| self.btf(attach.btf).type_by_id(TypeId(id)));
        let name = self.btf(at).type_by_id(TypeId(id)).map_or("", |ty| ty.name());
        match operations.map_or("", |ty| ty.name()) {
            "tcp_congestion_ops" => self.check_tcp_write(name, off, size),
            "bpf_dummy_ops" => {
                if name != "bpf_dummy_ops_state" {
                    reject!(self, EACCES, "only access to bpf_dummy_ops_state is supported");
                }
                if u64::from(off) + u64::from(size) > self.btf(at).size_of(TypeId(id)).unwrap_or(0) {
                    reject!(self, EACCES, "write access at off {off} with size {size}");
                }
                Ok(())
            }
            "sched_ext_ops" => {
                let kernel = self.btf(BtfIdx::KERNEL);
                let inside = |path: &str| {
                    kernel
                        .member_offset("task_struct", path)
                        .is_some_and(|(bit, bits)| within(off, size, bit, bits))
                };
                if name == "task_struct" && SCHEDULER_FIELDS.iter().any(|path| inside(path)) {
                    return Ok(());
                }
                Err(Reject(EACCES))
            }
            _ => reject!(self, EACCES, "only read is supported"),
        }
    }

    fn check_tcp_write(&mut self, name: &str, off: u32, size: u32) -> Res {
        if name != "tcp_sock" {
            reject!(self, EACCES, "only read is supported");
        }
        let kernel = self.btf(BtfIdx::KERNEL);
        for (of, path) in TCP_FIELDS {
            let Some((bit, bits)) = kernel.member_offset(of, path) else { continue };
            let (start, end) = ((bit / 8) as u32, bit.div_ceil(8).max((bit + bits).div_ceil(8)));
            let here =
                off == start || *path == "icsk_ca_priv" && (u64::from(start)..end).contains(&u64::from(off));
            if !here {
                continue;
            }
            if u64::from(off) + u64::from(size) > end {
                reject!(
                    self,
                    EACCES,
                    "write access at off {off} with size {size} beyond the member of tcp_sock ended at {end}"
                );
            }
            return Ok(());
        }
        reject!(self, EACCES, "no write support to tcp_sock at off {off}");
    }

    fn check_conntrack_write(&mut self, at: BtfIdx, id: u32, off: u32, size: u32) -> Res {
        // Without the conntrack module nobody may write.
        let home = |env: &Self| {
            (0..env.btfs.len() as u16)
                .map(BtfIdx)
                .filter(|at| *at != BtfIdx::PROGRAM)
                .find(|at| env.btf(*at).find("nf_conn___init", Kind::Struct).is_some())
        };
        let Some(home) = home(self) else { return Err(Reject(EACCES)) };
        let name = self.btf(at).type_by_id(TypeId(id)).map_or("", |ty| ty.name());
        if !matches!(name, "nf_conn" | "nf_conn___init") {
            reject!(self, EACCES, "only read is supported");
        }
        let mark = self.btf(home).member_offset("nf_conn", "mark");
        match mark {
            Some((bit, bits)) if u64::from(off) == bit / 8 => {
                let end = (bit + bits) / 8;
                if u64::from(off) + u64::from(size) > end {
                    reject!(
                        self,
                        EACCES,
                        "write access at off {off} with size {size} beyond the member of nf_conn ended at {end}"
                    );
                }
                Ok(())
            }
            _ => reject!(self, EACCES, "no write support to nf_conn at off {off}"),
        }
    }

    /// A load from a map itself: its kernel object.
    pub(super) fn check_map_object_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        access: Access,
        value_regno: Option<u8>,
    ) -> Res {
        let reg = *self.reg(regno);
        let kernel = self.btf(BtfIdx::KERNEL);
        let map_type = self.reg_map_spec(&reg).map(|spec| spec.map_type);
        let name = map_type.and_then(map_object);
        let id = name.and_then(|name| kernel.find(name, Kind::Struct));
        let (Some(name), Some(id)) = (name, id) else {
            let number = map_type.map_or(0, |map_type| map_type.raw());
            reject!(self, ENOTSUPP, "map_ptr access not supported for map type {number}");
        };
        if !self.allow_ptr_leaks {
            reject!(self, EPERM, "'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN");
        }
        if off < 0 {
            reject!(self, EACCES, "R{regno} is {name} invalid negative access: off={off}");
        }
        if access == Access::Write {
            reject!(self, EACCES, "only read from {name} is supported");
        }
        let object =
            Reg { base: Base::BtfId, extra: Extra::Btf { btf: BtfIdx::KERNEL, id: id.0 }, ..Reg::known(0) };
        let found = self.struct_access(&object, off, size)?;
        let found = found.map(|(id, flags, _)| (BtfIdx::KERNEL, id, flags));
        match value_regno {
            Some(value_regno) => self.mark_btf_load(value_regno, found),
            None => Ok(()),
        }
    }
}

/// Whether the kernel declares the member as one that can be relied on: there is a struct named as the object's with this
/// suffix that has a pointer of this name to this type.
fn is_safe_member(btf: &Btf<'_>, of: u32, member: &str, pointee: u32, suffix: &str) -> bool {
    let find = || {
        let ty = btf.type_by_id(TypeId(of))?;
        let name = format!("{}{suffix}", ty.name());
        btf.type_by_id(btf.find(&name, ty.kind())?)
    };
    let Some(safe) = find() else { return false };
    safe.members().any(|safe| {
        let target = btf.type_by_id(safe.type_id).filter(|ty| ty.kind() == Kind::Ptr);
        let target = target.and_then(|ty| btf.resolve(ty.type_id()?));
        safe.name == member && target.is_some_and(|(id, _)| id.0 == pointee)
    })
}

fn within(off: u32, size: u32, bit: u64, bits: u64) -> bool {
    u64::from(off) >= bit / 8 && u64::from(off) + u64::from(size) <= (bit + bits) / 8
}

/// The kernel's struct of a map type, where its fields may be read.
fn map_object(map_type: MapType) -> Option<&'static str> {
    Some(match map_type {
        MapType::Hash
        | MapType::PercpuHash
        | MapType::LruHash
        | MapType::LruPercpuHash
        | MapType::HashOfMaps => "bpf_htab",
        MapType::Array
        | MapType::PercpuArray
        | MapType::ProgArray
        | MapType::PerfEventArray
        | MapType::CgroupArray
        | MapType::ArrayOfMaps => "bpf_array",
        MapType::StackTrace => "bpf_stack_map",
        MapType::LpmTrie => "lpm_trie",
        MapType::Devmap | MapType::DevmapHash => "bpf_dtab",
        MapType::Sockmap => "bpf_stab",
        MapType::Sockhash => "bpf_shtab",
        MapType::Cpumap => "bpf_cpu_map",
        MapType::Xskmap => "xsk_map",
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => "bpf_cgroup_storage_map",
        MapType::ReuseportSockarray => "reuseport_array",
        MapType::Queue | MapType::Stack => "bpf_queue_stack",
        MapType::SkStorage | MapType::InodeStorage | MapType::TaskStorage | MapType::CgrpStorage => {
            "bpf_local_storage_map"
        }
        MapType::StructOps => "bpf_struct_ops_map",
        MapType::Ringbuf | MapType::UserRingbuf => "bpf_ringbuf_map",
        MapType::BloomFilter => "bpf_bloom_filter",
        MapType::Arena => "bpf_arena",
        MapType::InsnArray => "bpf_insn_array",
        MapType::Rhash => "bpf_rhtab",
        _ => return None,
    })
}
