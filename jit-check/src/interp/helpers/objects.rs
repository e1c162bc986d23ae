//! Locks, objects that programs allocate, references in maps, per-CPU memory.

use super::super::call::Next;
use super::super::machine::Machine;
use super::super::mem::{self, address};
use super::super::trap::TrapKind;
use super::{Done, bad_argument, misuse, value};
use btf::{Btf, Kind, TypeId};
use std::collections::BTreeMap;

/// What programs allocated, and the lists and trees that hold it.
#[derive(Clone, Debug, Default)]
pub(in crate::interp) struct Objects {
    /// References to an object's region.
    pub refs: BTreeMap<u32, u32>,
    /// Nodes by the address of their list's head or tree's root, in order.
    pub graphs: BTreeMap<u64, Vec<u64>>,
    /// Regions that kernel functions made for one run only: iterators.
    pub iterators: BTreeMap<u64, (i64, i64, u32)>,
    /// Sections that were entered and not left: RCU, preemption, interrupts.
    pub sections: BTreeMap<&'static str, u32>,
}

impl Objects {
    /// What cannot outlive a program goes.
    pub fn end_run(&mut self) {
        self.iterators.clear();
        self.sections.clear();
    }
}

/// Names of special fields and the bytes they fill.
const SPECIAL: [(&str, u32); 12] = [
    ("bpf_spin_lock", 4),
    ("bpf_res_spin_lock", 8),
    ("bpf_timer", 16),
    ("bpf_wq", 16),
    ("bpf_task_work", 8),
    ("bpf_list_head", 16),
    ("bpf_list_node", 24),
    ("bpf_rb_root", 16),
    ("bpf_rb_node", 32),
    ("bpf_refcount", 4),
    ("bpf_dynptr", 16),
    ("bpf_kptr", 8),
];

/// Offsets and sizes of what updates of a map's value leave alone.
pub(in crate::interp) fn special_fields(btf: Option<&[u8]>, value: Option<TypeId>) -> Vec<(u32, u32)> {
    let (Some(bytes), Some(value)) = (btf, value) else { return Vec::new() };
    let Ok(btf) = Btf::parse(bytes) else { return Vec::new() };
    let mut out = Vec::new();
    collect(&btf, value, 0, 0, &mut out);
    out
}

fn collect(btf: &Btf<'_>, id: TypeId, base: u64, depth: u32, out: &mut Vec<(u32, u32)>) {
    if depth > 8 || out.len() > 64 {
        return;
    }
    let Some((_, ty)) = btf.resolve(id) else { return };
    if let Some(array) = ty.array() {
        let size = btf.size_of(array.element).unwrap_or(0);
        for n in 0..u64::from(array.len).min(64) {
            collect(btf, array.element, base + n * size, depth + 1, out);
        }
        return;
    }
    if !ty.kind().is_composite() {
        return;
    }
    if let Some(&(_, size)) = SPECIAL.iter().find(|&&(special, _)| special == ty.name()) {
        out.push((base as u32, size));
        return;
    }
    for member in ty.members() {
        let at = base + u64::from(member.bit_offset) / 8;
        let tag = btf
            .resolve(member.type_id)
            .filter(|(_, pointer)| pointer.kind() == Kind::Ptr)
            .and_then(|(_, pointer)| btf.type_by_id(pointer.type_id()?))
            .filter(|target| target.kind() == Kind::TypeTag);
        match tag.map(|tag| tag.name()) {
            Some("kptr" | "kptr_untrusted" | "percpu_kptr" | "uptr") => out.push((at as u32, 8)),
            _ => collect(btf, member.type_id, at, depth + 1, out),
        }
    }
}

impl Machine {
    pub(super) fn spin_lock(&mut self, name: &str, lock: u64) -> Done {
        self.check_write(name, lock, 4)?;
        if self.locks.contains(&lock) {
            return Err(misuse(name, format!("the lock at {lock:#x} is taken already: a deadlock")));
        }
        self.locks.push(lock);
        value(0)
    }

    pub(super) fn spin_unlock(&mut self, name: &str, lock: u64) -> Done {
        if self.locks.pop() != Some(lock) {
            return Err(misuse(name, format!("the lock at {lock:#x} is not the one taken last")));
        }
        value(0)
    }

    pub(super) fn kptr_xchg(&mut self, name: &str, place: u64, new: u64) -> Done {
        let old = self.bytes_in(name, place, 8)?.try_into().map_or(0, u64::from_ne_bytes);
        self.write_out(name, place, &new.to_ne_bytes())?;
        Ok(Next::Value(old))
    }

    /// An object of this type of the program's BTF.
    pub(super) fn new_object(&mut self, name: &str, type_id: u64) -> Result<u64, TrapKind> {
        let size = self.btf.as_deref().and_then(|bytes| {
            let btf = Btf::parse(bytes).ok()?;
            btf.size_of(TypeId(type_id as u32))
        });
        let Some(size) = size.and_then(|size| u32::try_from(size).ok()) else {
            return Err(bad_argument(
                name,
                1,
                format!("the program's BTF has no type {type_id} with a size"),
            ));
        };
        let region = self.mem.alloc(mem::Kind::Object, 0, size, false).map_err(|_| self.full())?;
        self.objects.refs.insert(region, 1);
        Ok(address(region))
    }

    /// Gives up a reference to an object.
    pub(super) fn drop_object(&mut self, name: &str, addr: u64) -> Result<(), TrapKind> {
        let found = self.mem.locate(addr).filter(|&(_, kind, _, off)| kind == mem::Kind::Object && off == 0);
        let Some((region, ..)) = found else {
            return Err(misuse(name, format!("{addr:#x} is no object that the program owns")));
        };
        let refs = self.objects.refs.entry(region).or_insert(1);
        *refs -= 1;
        if *refs == 0 {
            self.objects.refs.remove(&region);
            self.mem.free(region);
        }
        Ok(())
    }

    pub(super) fn acquire_object(&mut self, name: &str, addr: u64) -> Done {
        match self.mem.locate(addr) {
            Some((region, mem::Kind::Object, _, _)) => {
                *self.objects.refs.entry(region).or_insert(1) += 1;
                Ok(Next::Value(addr))
            }
            _ => Err(misuse(name, format!("{addr:#x} is no object"))),
        }
    }

    /// A per-CPU variable's copy: made when it is asked for, from the variable.
    pub(super) fn per_cpu_ptr(&mut self, addr: u64, cpu: u32) -> Done {
        if cpu >= self.world.cpus {
            return Ok(Next::Value(0));
        }
        let Some((region, kind, _, off)) = self.mem.locate(addr) else { return Ok(Next::Value(0)) };
        if kind == mem::Kind::PerCpu || kind == mem::Kind::Kernel || kind == mem::Kind::Object {
            let base = address(region);
            if !self.percpu_vars.contains_key(&base) {
                let bytes = self.mem.bytes(region).to_vec();
                let read_only = kind == mem::Kind::Kernel;
                let mut copies = Vec::new();
                for _ in 0..self.world.cpus.min(1024) {
                    let copy = self.mem.alloc_bytes(mem::Kind::PerCpu, 0, &bytes, read_only);
                    copies.push(copy.map_err(|_| self.full())?);
                }
                self.percpu_vars.insert(base, copies);
            }
            let copy = self.percpu_vars.get(&base).and_then(|c| c.get(cpu as usize)).copied();
            return Ok(Next::Value(copy.map_or(0, |c| address(c) + u64::from(off))));
        }
        Ok(Next::Value(0))
    }
}
