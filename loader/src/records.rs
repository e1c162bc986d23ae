//! What programs send through ring buffers and perf event arrays: the type of each record, as far as the object tells.
//!
//! A map may name its records' type (`__type(value, struct event)`). Most do not; but the size of a record mostly is a
//! constant that is passed to the helper that sends it, and mostly only one struct of the object has that size. So
//! [`Object::records`] follows the constants through the instructions and looks for such structs, the kernel's own left
//! out. Where more than one is left, it says so instead of guessing.

use crate::spec::{Object, ProgramSpec, RelocKind};
use asm::{AluOp, CallTarget, Helper, Instruction, Operand, Reg, Width};
use bpf_sys::map::MapType;
use btf::{Btf, Kind, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The records that an object's programs send through one map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Records {
    /// The type that the map's definition gives, where that is a struct or union.
    pub declared: Option<TypeId>,
    /// Bytes of a record, for each place that sends ones of a constant size, and the structs of the object that have that
    /// size: the kernel's own only where there is no other.
    pub sizes: BTreeMap<u64, Vec<TypeId>>,
    /// Whether some place sends records of a size that is known only when it runs.
    pub variable: bool,
}

/// Which type the bytes of a record have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// This one.
    Known(TypeId),
    /// One of these.
    Ambiguous(Vec<TypeId>),
    /// No struct of the object has this size.
    Unknown,
}

impl Records {
    /// The type of a record of this many bytes. Perf event arrays fill records up: with four to eleven bytes, so that
    /// their length and 4 is a multiple of 8.
    pub fn of_len(&self, len: usize, padded: bool) -> RecordType {
        if let Some(declared) = self.declared {
            return RecordType::Known(declared);
        }
        let len = len as u64;
        let fits = |size: u64| {
            if padded { (size + 4).next_multiple_of(8) - 4 == len || size == len } else { size == len }
        };
        let mut types: Vec<TypeId> = Vec::new();
        for found in self.sizes.iter().filter(|(size, _)| fits(**size)).flat_map(|(_, types)| types) {
            if !types.contains(found) {
                types.push(*found);
            }
        }
        match types[..] {
            [] => RecordType::Unknown,
            [one] => RecordType::Known(one),
            _ => RecordType::Ambiguous(types),
        }
    }
}

impl Object {
    /// The records that programs send through `maps[map]`. `kernel` tells the kernel's types from the object's own, which
    /// are what records are made of.
    pub fn records(&self, map: usize, kernel: Option<&Btf<'_>>) -> Records {
        let mut records = Records::default();
        let btf = self.btf.as_ref().and_then(|bytes| Btf::parse(bytes).ok());
        if let (Some(btf), Some(id)) = (&btf, self.maps.get(map).and_then(|map| map.value_type)) {
            let composite = |id| Some(btf.resolve(id)?.1.kind().is_composite());
            records.declared = composite(id).unwrap_or(false).then_some(id);
        }
        let mut sizes = BTreeSet::new();
        for program in &self.programs {
            for sent in sends(program) {
                match sent {
                    (at, Some(size)) if at == map => {
                        sizes.insert(size);
                    }
                    (at, None) if at == map => records.variable = true,
                    _ => {}
                }
            }
        }
        for size in sizes {
            let types = btf.as_ref().map(|btf| candidates(btf, size, kernel, self)).unwrap_or_default();
            records.sizes.insert(size, types);
        }
        records
    }

    /// The maps that programs send records through, by their places in [`Object::maps`].
    pub fn record_maps(&self) -> impl Iterator<Item = usize> + '_ {
        let sends = |map_type| matches!(map_type, MapType::Ringbuf | MapType::PerfEventArray);
        self.maps.iter().enumerate().filter(move |(_, map)| sends(map.map_type)).map(|(index, _)| index)
    }
}

/// The structs and unions of this size that a record may be.
fn candidates(btf: &Btf<'_>, size: u64, kernel: Option<&Btf<'_>>, object: &Object) -> Vec<TypeId> {
    // Typedefs give names to structs that have none.
    let named: HashMap<TypeId, &str> = btf
        .types()
        .filter(|(_, ty)| ty.kind() == Kind::Typedef)
        .filter_map(|(_, ty)| Some((btf.resolve(ty.type_id()?)?.0, ty.name())))
        .collect();
    let all: Vec<TypeId> = btf
        .types()
        .filter(|(id, ty)| {
            ty.kind().is_composite()
                && ty.size().map(u64::from) == Some(size)
                && (!ty.name().is_empty() || named.contains_key(id))
        })
        .map(|(id, _)| id)
        .collect();
    let name = |id: TypeId| match btf.type_by_id(id).map_or("", |ty| ty.name()) {
        "" => named.get(&id).copied().unwrap_or(""),
        name => name,
    };
    // Types that CO-RE relocations start from are the kernel's, whatever that kernel's types are called.
    let relocated: BTreeSet<TypeId> =
        object.programs.iter().flat_map(|program| &program.core).map(|core| core.type_id).collect();
    let foreign = |id: TypeId| {
        relocated.contains(&id) || kernel.is_some_and(|kernel| kernel.find_composite(name(id)).is_some())
    };
    let own: Vec<TypeId> = all.iter().copied().filter(|id| !foreign(*id)).collect();
    // A variable that points to it says that it is meant for others to read: that is how types are kept in an object that
    // would drop them otherwise.
    let pointed: Vec<TypeId> = btf
        .types()
        .filter(|(_, ty)| ty.kind() == Kind::Var)
        .filter_map(|(_, var)| {
            let (_, pointer) = btf.resolve(var.type_id()?)?;
            (pointer.kind() == Kind::Ptr).then_some(())?;
            Some(btf.resolve(pointer.type_id()?)?.0)
        })
        .filter(|id| own.contains(id))
        .collect();
    match (own.len(), &pointed[..]) {
        (0, _) => all,
        (2.., [one]) => vec![*one],
        _ => own,
    }
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Number(i64),
    /// The address of `Object::maps[n]`.
    Map(usize),
}

type State = [Known; 11];

/// What is left where two ways meet; whether that is less than `into` was.
fn join(into: &mut State, from: &State) -> bool {
    let mut changed = false;
    for (a, b) in into.iter_mut().zip(from) {
        if *a != *b && *a != Known::Nothing {
            *a = Known::Nothing;
            changed = true;
        }
    }
    changed
}

/// Every place that sends a record: through which map, and how large, if that is a constant.
fn sends(program: &ProgramSpec) -> BTreeSet<(usize, Option<u64>)> {
    let maps: HashMap<usize, usize> = program
        .relocs
        .iter()
        .filter_map(|reloc| match reloc.kind {
            RelocKind::Map(map) => Some((reloc.insn, map)),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    if maps.is_empty() {
        return found;
    }
    let insns = &program.insns;
    let ways = |at: usize, instruction: &Instruction| {
        let target = |off: i64| usize::try_from(at as i64 + 1 + off).ok().filter(|to| *to < insns.len());
        match *instruction {
            Instruction::Jump { off } => target(off.into()),
            Instruction::JumpIf { off, .. } | Instruction::MayGoto { off } => target(off.into()),
            Instruction::JumpLong { off } => target(off.into()),
            Instruction::Call(CallTarget::Local(off)) => target(off.into()),
            _ => None,
        }
    };
    // Instructions that something else than the one before leads to.
    let mut leaders = BTreeSet::new();
    let mut at = 0;
    while let Some(Ok((instruction, slots))) =
        insns.get(at..).filter(|rest| !rest.is_empty()).map(asm::decode)
    {
        leaders.extend(ways(at, &instruction));
        at += slots;
    }
    // What holds before them. Each visit takes something away, so this comes to an end.
    let mut states: BTreeMap<usize, State> = BTreeMap::from([(0, State::default())]);
    let mut left: Vec<usize> = vec![0];
    // What holds before calls; the last visit knows least.
    let mut calls: BTreeMap<usize, (Helper, State)> = BTreeMap::new();
    while let Some(start) = left.pop() {
        let Some(mut state) = states.get(&start).copied() else { continue };
        let mut arrive = |to: usize, state: &State| match states.get_mut(&to) {
            Some(known) => {
                if join(known, state) {
                    left.push(to);
                }
            }
            None => {
                states.insert(to, *state);
                left.push(to);
            }
        };
        let mut at = start;
        while let Some(Ok((instruction, slots))) =
            insns.get(at..).filter(|rest| !rest.is_empty()).map(asm::decode)
        {
            if at != start && leaders.contains(&at) {
                arrive(at, &state);
                break;
            }
            if let Some(to) = ways(at, &instruction) {
                let mut there = state;
                if let Instruction::Call(_) = instruction {
                    // Only arguments are handed over.
                    there[0] = Known::Nothing;
                    there[6..].fill(Known::Nothing);
                }
                arrive(to, &there);
            }
            match instruction {
                Instruction::Exit
                | Instruction::Jump { .. }
                | Instruction::JumpLong { .. }
                | Instruction::JumpReg { .. } => break,
                Instruction::Call(CallTarget::Helper(helper)) => {
                    calls.insert(at, (helper, state));
                }
                _ => {}
            }
            step(&mut state, &instruction, maps.get(&at).copied());
            at += slots;
        }
    }
    for (helper, state) in calls.values() {
        let (map, size) = match *helper {
            Helper::RINGBUF_OUTPUT => (1, 3),
            Helper::RINGBUF_RESERVE | Helper::RINGBUF_RESERVE_DYNPTR => (1, 2),
            Helper::PERF_EVENT_OUTPUT | Helper::SKB_OUTPUT | Helper::XDP_OUTPUT => (2, 5),
            _ => continue,
        };
        if let Known::Map(map) = state[map] {
            found.insert(match state[size] {
                Known::Number(size) => (map, u64::try_from(size).ok()),
                _ => (map, None),
            });
        }
    }
    found
}

fn index(reg: Reg) -> usize {
    usize::from(reg.number()).min(10)
}

/// What an instruction makes of the registers.
fn step(state: &mut State, instruction: &Instruction, map: Option<usize>) {
    use Known::{Map, Nothing, Number};
    let operand = |state: &State, src: Operand| match src {
        Operand::Imm(imm) => Number(imm.into()),
        Operand::Reg(reg) => state[index(reg)],
    };
    match *instruction {
        Instruction::LdImm64 { dst, value } => {
            state[index(dst)] = match (map, value) {
                (Some(map), _) => Map(map),
                (None, asm::Imm64::Value(value)) => Number(value as i64),
                _ => Nothing,
            };
        }
        Instruction::Alu { op: AluOp::Mov, width, dst, src } => {
            state[index(dst)] = match (operand(state, src), width) {
                (Number(n), Width::W32) => Number(i64::from(n as u32)),
                (Map(_), Width::W32) => Nothing,
                (known, _) => known,
            };
        }
        Instruction::Alu { op, width, dst, src } => {
            let (a, b) = (state[index(dst)], operand(state, src));
            state[index(dst)] = match (a, b, op) {
                (Number(a), Number(b), AluOp::Add) => Number(a.wrapping_add(b)),
                (Number(a), Number(b), AluOp::Sub) => Number(a.wrapping_sub(b)),
                (Number(a), Number(b), AluOp::And) => Number(a & b),
                (Number(a), Number(b), AluOp::Or) => Number(a | b),
                (Number(a), Number(b), AluOp::Lsh) => Number(a.wrapping_shl(b as u32)),
                _ => Nothing,
            };
            if let (Number(n), Width::W32) = (state[index(dst)], width) {
                state[index(dst)] = Number(i64::from(n as u32));
            }
        }
        Instruction::Neg { dst, .. }
        | Instruction::MovSx { dst, .. }
        | Instruction::Swap { dst, .. }
        | Instruction::AddrSpaceCast { dst, .. }
        | Instruction::PercpuAddr { dst, .. }
        | Instruction::Load { dst, .. }
        | Instruction::LoadSx { dst, .. }
        | Instruction::LoadAcquire { dst, .. } => state[index(dst)] = Nothing,
        Instruction::Atomic { src, .. } => {
            // Some of them give back what was there, one of them in r0.
            state[index(src)] = Nothing;
            state[0] = Nothing;
        }
        Instruction::LoadAbs { .. } | Instruction::LoadInd { .. } => state[..6].fill(Nothing),
        Instruction::Call(_) | Instruction::CallReg { .. } => state[..6].fill(Nothing),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MapSpec;
    use asm::{Builder, MapRef, R0, R1, R2, R3, R4, R5, R6, R10, Size};
    use bpf_sys::prog::ProgType;

    fn program(b: &mut Builder) -> ProgramSpec {
        ProgramSpec::from_program("p", ProgType::RawTracepoint, b.finish().expect("a program"))
    }

    fn check(b: &mut Builder, expected: &[(usize, Option<u64>)]) {
        assert_eq!(sends(&program(b)).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn constants_reach_the_call() {
        let mut b = Builder::new();
        b.ld_map(R1, MapRef(1))
            .mov_imm(R2, 48)
            .mov_imm(R3, 0)
            .call(Helper::RINGBUF_RESERVE)
            .mov_imm(R0, 0)
            .exit();
        check(&mut b, &[(1, Some(48))]);
        let mut b = Builder::new();
        b.ld_map(R6, MapRef(0))
            .mov(R2, R6)
            .mov_imm(R5, 16)
            .add_imm(R5, 8)
            .mov(R4, R10)
            .call(Helper::PERF_EVENT_OUTPUT);
        b.mov_imm(R0, 0).exit();
        check(&mut b, &[(0, Some(24))]);
    }

    #[test]
    fn what_differs_where_ways_meet_is_no_constant() {
        let mut b = Builder::new();
        let other = b.label();
        b.mov_imm(R3, 8).ld_map(R6, MapRef(0)).jeq_imm(R0, 0, other).mov_imm(R3, 16).bind(other);
        b.mov(R1, R6).mov_imm(R2, 0).call(Helper::RINGBUF_OUTPUT);
        b.mov(R1, R6).mov_imm(R3, 32).call(Helper::RINGBUF_OUTPUT).mov_imm(R0, 0).exit();
        check(&mut b, &[(0, None), (0, Some(32))]);
    }

    #[test]
    fn sizes_that_are_read_are_no_constants_and_other_calls_send_nothing() {
        let mut b = Builder::new();
        b.load(Size::DW, R2, R1, 0).ld_map(R1, MapRef(0)).call(Helper::RINGBUF_RESERVE);
        b.ld_map(R1, MapRef(0)).mov_imm(R2, 4).call(Helper::MAP_LOOKUP_ELEM).mov_imm(R0, 0).exit();
        check(&mut b, &[(0, None)]);
    }

    /// Types: `struct own` and `struct other` of 16 bytes, `struct small` of 8.
    fn object(pointed: bool) -> Object {
        let mut types = btf::Builder::new(btf::Endian::Little);
        let int = types.int(
            "int",
            4,
            btf::IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false },
        );
        let own = types.composite(Kind::Struct, "own", 16, &[]);
        types.composite(Kind::Struct, "other", 16, &[]);
        types.composite(Kind::Struct, "small", 8, &[]);
        if pointed {
            let pointer = types.ptr(own);
            types.var("unused", pointer, btf::Linkage::Global);
        }
        let _ = int;
        let mut object = Object::new("test");
        object.btf = Some(types.finish());
        object.maps.push(MapSpec::new("rb", MapType::Ringbuf, 0, 0, 4096));
        let mut b = Builder::new();
        b.ld_map(R1, MapRef(0))
            .mov_imm(R2, 16)
            .mov_imm(R3, 0)
            .call(Helper::RINGBUF_RESERVE)
            .mov_imm(R0, 0)
            .exit();
        object.programs.push(program(&mut b));
        object
    }

    #[test]
    fn a_size_finds_the_struct_unless_there_are_several() {
        let records = object(false).records(0, None);
        let RecordType::Ambiguous(both) = records.of_len(16, false) else { panic!("{records:?}") };
        assert_eq!(both.len(), 2);
        assert_eq!(records.of_len(8, false), RecordType::Unknown);
        // A variable that points to one of them settles it.
        let records = object(true).records(0, None);
        assert_eq!(records.of_len(16, false), RecordType::Known(both[0]));
        // A perf event array fills 16 bytes up to 20.
        assert_eq!(records.of_len(20, true), RecordType::Known(both[0]));
        // So does a kernel that has the other type.
        let mut kernel = btf::Builder::new(btf::Endian::Little);
        kernel.composite(Kind::Struct, "own", 24, &[]);
        let bytes = kernel.finish();
        let kernel = Btf::parse(&bytes).unwrap();
        assert_eq!(object(false).records(0, Some(&kernel)).of_len(16, false), RecordType::Known(both[1]));
        // The map's own word counts most.
        let mut declared = object(false);
        declared.maps[0].value_type = Some(both[1]);
        assert_eq!(declared.records(0, None).of_len(99, false), RecordType::Known(both[1]));
        assert_eq!(declared.record_maps().collect::<Vec<_>>(), [0]);
    }
}
