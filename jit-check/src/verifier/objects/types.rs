//! Which types stand for which: contexts, sockets, trusted pointers.

use super::super::env::{EACCES, EINVAL, Env, Reject, Res, reject};
use super::super::log::types::type_name;
use super::super::reg::{Base, BtfIdx, Flags, Reg};
use super::walk::shown_name;
use super::{Field, FieldKind};
use bpf_sys::prog::ProgType;
use btf::{Kind, TypeId};

/// What makes a pointer trusted.
const TRUSTED: Flags = Flags::ALLOC.union(Flags::TRUSTED).union(Flags::NON_OWN_REF);
/// Suffix of types that no cast makes from their twin.
const NO_CAST: &str = "___init";

impl Reg {
    /// Flags under which the kernel does not take a pointer as it is.
    pub fn has_unsafe_flags(&self) -> bool {
        !TRUSTED.contains(self.flags)
    }

    /// Whether the kernel takes it as a valid object.
    pub fn is_trusted(&self) -> bool {
        if self.ref_obj_id != 0 {
            return true;
        }
        let known_kind = kernel_struct(self.base).is_some();
        (known_kind || self.flags.intersects(TRUSTED)) && !self.has_unsafe_flags()
    }

    /// Whether RCU keeps the object.
    pub fn is_rcu(&self) -> bool {
        self.flags.contains(Flags::RCU)
    }

    /// An object of the program itself, or of its maps.
    pub fn is_alloc_object(&self) -> bool {
        self.base == Base::BtfId && self.flags.contains(Flags::ALLOC)
    }

    /// A pointer to an object that a list or tree owns.
    pub fn is_non_owning(&self) -> bool {
        self.is_alloc_object() && self.flags.contains(Flags::NON_OWN_REF)
    }

    /// The number zero.
    pub fn is_null(&self) -> bool {
        self.is(Base::Scalar) && self.var_off.mask == 0 && self.var_off.value == 0
    }
}

/// The kernel's struct behind a pointer that the log calls by another name.
pub(in crate::verifier) fn kernel_struct(base: Base) -> Option<&'static str> {
    match base {
        Base::Socket => Some("sock"),
        Base::SockCommon => Some("sock_common"),
        Base::TcpSock => Some("tcp_sock"),
        Base::ConstMap => Some("bpf_map"),
        _ => None,
    }
}

/// Whether programs may give the kernel's type `name` where `projection` is asked for.
pub(in crate::verifier) fn is_projection(projection: &str, name: &str) -> bool {
    matches!((projection, name), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"))
}

impl<'a> Env<'a> {
    /// The program's type; what an extension replaces stands for it.
    pub(in crate::verifier) fn resolved_prog_type(&self) -> ProgType {
        self.program.prog_type
    }

    /// Whether a pointer type is that of the program's context. `id` is the pointer's (a `PTR`).
    pub(in crate::verifier) fn is_ctx_type(&mut self, btf: BtfIdx, pointer: u32, arg: u32) -> bool {
        let prog_type = self.resolved_prog_type();
        let types = self.btf(btf);
        let Some(mut id) = types.type_by_id(TypeId(pointer)).and_then(|ty| ty.type_id()) else {
            return false;
        };
        if prog_type == ProgType::Kprobe {
            let mut at = id;
            while let Some(ty) = types.type_by_id(at).filter(|ty| ty.kind().is_wrapper()) {
                if ty.kind() == Kind::Typedef {
                    if ty.name() == "bpf_user_pt_regs_t" {
                        return true;
                    }
                    break;
                }
                at = ty.type_id().unwrap_or(TypeId(0));
            }
        }
        let Some((resolved, ty)) = types.resolve(id) else { return false };
        id = resolved;
        if !ty.kind().is_composite() || id.0 == 0 {
            return false;
        }
        if ty.name().is_empty() {
            self.say(format_args!("arg#{arg} struct doesn't have a name\n"));
            return false;
        }
        // The kernel's type, and what it stands for where it is a typedef.
        let kernel = self.btf(BtfIdx::KERNEL);
        let mut at = self.ctx_member("prog");
        while let Some(shown) = at.and_then(|id| kernel.type_by_id(id)) {
            if shown.name().is_empty() {
                return false;
            }
            if is_projection(shown.name(), ty.name()) || shown.name() == ty.name() {
                return true;
            }
            at = shown.type_id().filter(|_| shown.kind().is_wrapper());
        }
        false
    }

    /// The kernel's own context type of the program.
    pub(in crate::verifier) fn kernel_ctx_type(&mut self) -> Option<u32> {
        let id = self.ctx_member("kern")?;
        if !self.btf(BtfIdx::KERNEL).type_by_id(id).is_some_and(|ty| ty.kind().is_composite()) {
            self.say(format_args!("kern ctx type id {} is not a struct\n", id.0));
            return None;
        }
        Some(id.0)
    }

    /// The program's context type in the kernel's table of them: as programs see it (`prog`), or the kernel's (`kern`).
    fn ctx_member(&self, side: &str) -> Option<TypeId> {
        let kernel = self.btf(BtfIdx::KERNEL);
        let table = kernel.type_by_id(kernel.find("bpf_ctx_convert", Kind::Struct)?)?;
        let prog_type = format!("{}_{side}", self.resolved_prog_type().abi_name().unwrap_or(""));
        Some(table.members().find(|member| member.name == prog_type)?.type_id)
    }

    /// Kernel struct that a pointer of another kind stands for.
    pub(in crate::verifier) fn kernel_struct_id(&self, base: Base) -> Option<u32> {
        let name = kernel_struct(base)?;
        Some(self.btf(BtfIdx::KERNEL).find(name, Kind::Struct)?.0)
    }

    /// Whether one of two types is the other's twin that no cast makes of it.
    pub(in crate::verifier) fn is_no_cast_alias(&self, a: (BtfIdx, u32), b: (BtfIdx, u32)) -> bool {
        let name = |at: (BtfIdx, u32)| self.btf(at.0).type_by_id(TypeId(at.1)).map(|ty| ty.name());
        let (Some(a), Some(b)) = (name(a), name(b)) else { return false };
        a.strip_suffix(NO_CAST) == Some(b) || b.strip_suffix(NO_CAST) == Some(a)
    }

    /// Whether a register's pointer may be stored in (or exchanged with) a kptr field.
    pub(in crate::verifier) fn map_kptr_match_type(&mut self, field: &Field, regno: u8, reg: &Reg) -> Res {
        let Some(target) = field.target else { return Err(Reject(EINVAL)) };
        let name_of = |env: &Self, (btf, id): (BtfIdx, u32)| {
            env.btf(btf).type_by_id(TypeId(id)).map_or("", |ty| shown_name(&ty))
        };
        let mut reg_name = "";
        'bad: {
            let (Base::BtfId, Some(have)) = (reg.base, reg.btf()) else { break 'bad };
            let mut allowed = Flags::MAYBE_NULL;
            if have.0 == BtfIdx::PROGRAM {
                allowed |= Flags::ALLOC;
                if field.kind == FieldKind::KptrPercpu {
                    allowed |= Flags::PERCPU;
                }
            } else {
                allowed |= Flags::TRUSTED | Flags::RCU;
                if field.kind == FieldKind::KptrUnref {
                    allowed |= Flags::UNTRUSTED;
                }
            }
            if !allowed.contains(reg.flags) {
                break 'bad;
            }
            if (field.kind == FieldKind::KptrPercpu) != reg.flags.contains(Flags::PERCPU) {
                break 'bad;
            }
            reg_name = name_of(self, have);
            if self.check_ptr_off(reg, regno, true).is_err() {
                return Err(Reject(EACCES));
            }
            let strict = field.kind != FieldKind::KptrUnref;
            if self.struct_ids_match(have, reg.off, target, strict, !reg.flags.contains(Flags::ALLOC)) {
                return Ok(());
            }
        }
        let target = name_of(self, target);
        self.say(format_args!("invalid kptr access, R{regno} type={}{reg_name} ", reg.type_name()));
        self.say(format_args!("expected=ptr_{target}"));
        if field.kind == FieldKind::KptrUnref {
            let untrusted = type_name(Base::BtfId, Flags::UNTRUSTED);
            reject!(self, EINVAL, " or {untrusted}{target}");
        }
        reject!(self, EINVAL, "");
    }

    /// A pointer without variable offset, and without fixed one unless allowed; of any copy of a register.
    pub(in crate::verifier) fn check_ptr_off(&mut self, reg: &Reg, regno: u8, fixed_off_ok: bool) -> Res {
        let name = reg.type_name();
        if reg.off < 0 {
            reject!(self, EACCES, "negative offset {name} ptr R{regno} off={} disallowed", reg.off);
        }
        if !fixed_off_ok && reg.off != 0 {
            reject!(self, EACCES, "dereference of modified {name} ptr R{regno} off={} disallowed", reg.off);
        }
        if reg.var_off.mask != 0 || reg.var_off.value != 0 {
            reject!(self, EACCES, "variable {name} access var_off={} disallowed", reg.var_off);
        }
        Ok(())
    }
}
