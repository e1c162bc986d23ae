//! The machine: programs, maps, memory, and runs of them.

use super::call::Callback;
use super::ctx::{Context, Input};
use super::exec::{self, Cpu, Event, Frame, Return};
use super::helpers::kfuncs::{self, KfuncFn};
use super::maps::{Map, NoMap};
use super::mem::{Full, Kind, Memory, address};
use super::op::Op;
use super::predecode::{self, Names};
use super::trap::{Trap, TrapKind};
use super::world::World;
use crate::Program;
use crate::kernel::Kernel;
use bpf_sys::prog::ProgType;
use loader::MapSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How far a run may go, and what it looks at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Instructions of one run.
    pub max_insns: u64,
    /// Time of one run; `None` for as long as it takes.
    pub max_time: Option<Duration>,
    /// Bytes of map values, records and objects together.
    pub max_memory: usize,
    /// Whether a read of stack bytes that were not written before is a trap. It makes stack accesses slower.
    pub strict: bool,
    /// Whether [`Machine::coverage`] is kept. Every instruction then goes the slow way.
    pub coverage: bool,
    /// Turns that each frame's `may_goto` allows.
    pub may_goto_turns: u32,
    /// Ends the run with [`TrapKind::Stopped`] when another thread sets it.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_insns: 1 << 32,
            max_time: None,
            max_memory: 1 << 30,
            strict: false,
            coverage: false,
            may_goto_turns: 8 << 20,
            stop: None,
        }
    }
}

/// Why a machine cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The program has no instructions.
    Empty,
    /// The program has more instructions than the kernel takes.
    TooLong {
        /// How many.
        insns: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// A map that cannot be simulated.
    Map {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The maps' initial values need more than [`Options::max_memory`].
    OutOfMemory {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Empty => f.write_str("the program has no instructions"),
            Error::TooLong { insns, limit } => {
                write!(f, "the program has {insns} instructions; the kernel takes {limit} at most")
            }
            Error::Map { name, why } => write!(f, "map {name:?}: {why}"),
            Error::OutOfMemory { limit } => {
                write!(f, "the maps need more than {limit} bytes; raise max_memory")
            }
        }
    }
}

impl std::error::Error for Error {}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// r0 at the end. The kernel's callers see the lower 32 bits of most program types.
    pub r0: u64,
    /// Instructions that were executed; a 64-bit load counts once.
    pub insns: u64,
    /// The packet afterwards, as BPF_PROG_TEST_RUN gives it; empty for types without one.
    pub data_out: Vec<u8>,
    /// The context afterwards, likewise; [`Input::mem`] where that was given.
    pub ctx_out: Vec<u8>,
}

/// A program of the machine.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub base: usize,
    /// Instructions; ops behind them only trap.
    pub count: usize,
    pub words: Arc<[u32]>,
    pub prog_type: ProgType,
    pub name: String,
    /// Slot of the callback that exceptions end in.
    pub exception: Option<usize>,
}

/// Runs one program, and those that it tail-calls.
///
/// A clone is a machine of its own with the same state.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What programs see of the machine that they do not run on.
    pub world: World,
    /// Instruction words of program 0 at which [`resume`](Machine::resume) stops.
    pub breakpoints: BTreeSet<usize>,
    pub(super) options: Options,
    pub(super) ops: Arc<[Op]>,
    pub(super) parts: Vec<Part>,
    pub(super) traps: Vec<TrapKind>,
    pub(super) kfuncs: Vec<(String, Option<KfuncFn>)>,
    pub(super) mem: Memory,
    pub(super) maps: Vec<Map>,
    pub(super) cpu: Cpu,
    pub(super) callbacks: Vec<Callback>,
    pub(super) context: Context,
    pub(super) tail_calls: u32,
    pub(super) locks: Vec<u64>,
    pub(super) timers: Vec<super::helpers::timer::Timer>,
    pub(super) objects: super::helpers::objects::Objects,
    pub(super) variables: BTreeMap<u32, u64>,
    pub(super) task: u32,
    pub(super) percpu_vars: BTreeMap<u64, Vec<u32>>,
    pub(super) covered: Vec<bool>,
    pub(super) btf: Option<Arc<[u8]>>,
    deadline: Option<Instant>,
    pub(super) running: bool,
}

/// Instructions between two looks at the clock and the stop flag.
const SLICE: i64 = 1 << 20;
/// `BPF_COMPLEXITY_LIMIT_INSNS`: programs are no longer.
const MAX_LEN: usize = 1_000_000;

/// What predecoding asks the machine.
struct Lookup<'a> {
    maps: Vec<usize>,
    machine: &'a mut Machine,
    kernel: Option<&'a Kernel<'a>>,
    modules: &'a [String],
}

impl Names for Lookup<'_> {
    fn map(&mut self, index: u32) -> Result<u64, String> {
        let map = self.maps.get(index as usize).and_then(|&n| self.machine.maps.get(n));
        map.map(|m| address(m.handle))
            .ok_or_else(|| format!("it loads the address of map {index}, which the program does not have"))
    }

    fn map_value(&mut self, index: u32, offset: u32) -> Result<u64, String> {
        let missing = || format!("it loads an address in map {index}, which the program does not have");
        let machine = &mut *self.machine;
        let map = self.maps.get(index as usize).and_then(|&n| machine.maps.get_mut(n)).ok_or_else(missing)?;
        if let super::maps::Body::Arena(arena) = &map.body {
            return Ok(arena.user_start + u64::from(offset));
        }
        let addr = map.lookup(&[0; 4], 0, &mut machine.mem).map_err(|_| "no memory is left".to_owned())?;
        if addr == 0 {
            return Err(format!("map {:?} has no value that an address could be loaded of", map.name));
        }
        Ok(addr + u64::from(offset))
    }

    fn variable(&mut self, btf_id: u32) -> Result<u64, String> {
        let machine = &mut *self.machine;
        if let Some(&addr) = machine.variables.get(&btf_id) {
            return Ok(addr);
        }
        let size = self.kernel.and_then(|k| k.btf).and_then(|btf| {
            let variable = btf.type_by_id(btf::TypeId(btf_id))?;
            btf.size_of(variable.type_id()?)
        });
        let mut bytes = machine.world.variables.get(&btf_id).cloned().unwrap_or_default();
        bytes.resize(bytes.len().max(size.unwrap_or(8).min(1 << 20) as usize), 0);
        let region = machine
            .mem
            .alloc_bytes(Kind::Kernel, btf_id, &bytes, true)
            .map_err(|_| "no memory is left".to_owned())?;
        machine.variables.insert(btf_id, address(region));
        Ok(address(region))
    }

    fn kfunc(&mut self, btf_id: i32, module: i16) -> Result<u64, String> {
        let kernel = self.kernel;
        let btf = match usize::try_from(module).unwrap_or(0).checked_sub(1) {
            None => kernel.and_then(|k| k.btf),
            Some(n) => {
                let wanted = self.modules.get(n);
                kernel
                    .and_then(|k| {
                        k.modules.iter().find(|(name, _)| Some(*name) == wanted.map(String::as_str))
                    })
                    .map(|&(_, btf)| btf)
            }
        };
        let btf = btf.ok_or_else(|| {
            format!("kernel function {btf_id} (the kernel's types are needed to know its name)")
        })?;
        let name = match btf.type_by_id(btf::TypeId(btf_id as u32)) {
            Some(function) if function.kind() == btf::Kind::Func => function.name().to_owned(),
            _ => return Err(format!("kernel function {btf_id}, which the kernel's types do not have,")),
        };
        let known = &mut self.machine.kfuncs;
        let at = known.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
            let run = kfuncs::by_name(&name);
            known.push((name, run));
            known.len() - 1
        });
        Ok(at as u64)
    }

    fn trap(&mut self, kind: TrapKind) -> u64 {
        self.machine.traps.push(kind);
        self.machine.traps.len() as u64 - 1
    }
}

impl Machine {
    /// A machine for this program, with its maps in their initial state.
    ///
    /// Words that are no instructions, and calls of what is not simulated, are traps when they are reached.
    ///
    /// # Errors
    ///
    /// [`Error`] where the program is empty or too long, or a map has no simulation or too large values.
    pub fn new(program: &Program, options: Options) -> Result<Machine, Error> {
        Machine::with_world(program, options, World::default(), None)
    }

    /// As [`new`](Machine::new), in this world; the kernel's types tell which kernel functions are called.
    ///
    /// # Errors
    ///
    /// As [`new`](Machine::new).
    pub fn with_world(
        program: &Program,
        options: Options,
        world: World,
        kernel: Option<&Kernel<'_>>,
    ) -> Result<Machine, Error> {
        let mem = Memory::new(options.max_memory, options.strict);
        let cpu = Cpu {
            regs: [0; 16],
            pc: 0,
            done: 0,
            fuel: 0,
            frames: Vec::with_capacity(16),
            turns: options.may_goto_turns,
        };
        let mut machine = Machine {
            world,
            breakpoints: BTreeSet::new(),
            options,
            ops: Arc::new([]),
            parts: Vec::new(),
            traps: Vec::new(),
            kfuncs: Vec::new(),
            mem,
            maps: Vec::new(),
            cpu,
            callbacks: Vec::new(),
            context: Context::none(),
            tail_calls: 0,
            locks: Vec::new(),
            timers: Vec::new(),
            objects: Default::default(),
            variables: BTreeMap::new(),
            task: 0,
            percpu_vars: BTreeMap::new(),
            covered: Vec::new(),
            btf: program.btf.as_deref().map(Into::into),
            deadline: None,
            running: false,
        };
        machine.add(program, kernel)?;
        Ok(machine)
    }

    /// Adds a program that can be tail-called, and gives its number. Maps of the same name and size are shared.
    ///
    /// # Errors
    ///
    /// As [`new`](Machine::new).
    pub fn add_program(&mut self, program: &Program, kernel: Option<&Kernel<'_>>) -> Result<usize, Error> {
        self.add(program, kernel)
    }

    fn add(&mut self, program: &Program, kernel: Option<&Kernel<'_>>) -> Result<usize, Error> {
        if program.insns.is_empty() {
            return Err(Error::Empty);
        }
        if program.insns.len() > MAX_LEN {
            return Err(Error::TooLong { insns: program.insns.len(), limit: MAX_LEN });
        }
        let mut maps = Vec::with_capacity(program.maps.len());
        let first = self.maps.len();
        for spec in &program.maps {
            maps.push(self.add_map_sharing(spec, first, program.btf.as_deref())?);
        }
        // Maps of maps name the program's maps.
        for &n in maps.iter().filter(|&&n| n >= first) {
            self.maps[n].rename_inner(&maps);
        }
        let base = self.ops.len();
        let decoded = {
            let mut lookup = Lookup { maps, machine: &mut *self, kernel, modules: &program.kfuncs.modules };
            predecode::decode(&program.insns, base, &mut lookup)
        };
        self.ops = self.ops.iter().copied().chain(decoded.ops.iter().copied()).collect();
        self.covered.resize(self.ops.len(), false);
        self.parts.push(Part {
            base,
            count: decoded.count,
            words: decoded.words.into(),
            prog_type: program.prog_type,
            name: program.name.clone(),
            exception: None,
        });
        let number = self.parts.len() - 1;
        self.parts[number].exception =
            kfuncs::exception_callback(program).and_then(|word| self.slot(number, word));
        Ok(number)
    }

    fn add_map_sharing(&mut self, spec: &MapSpec, before: usize, btf: Option<&[u8]>) -> Result<usize, Error> {
        let shared = self.maps.iter().take(before).position(|m| {
            m.name == spec.name && m.map_type == spec.map_type && m.value_size == spec.value_size
        });
        match shared {
            Some(n) => Ok(n),
            None => self.new_map(spec, btf),
        }
    }

    /// Adds a map, which is to be put into a map of maps.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], [`Error::OutOfMemory`].
    pub fn add_map(&mut self, spec: &MapSpec) -> Result<usize, Error> {
        let btf = self.btf.clone();
        self.new_map(spec, btf.as_deref())
    }

    fn new_map(&mut self, spec: &MapSpec, btf: Option<&[u8]>) -> Result<usize, Error> {
        let mut map =
            Map::new(spec, self.maps.len(), &mut self.mem, self.world.cpus).map_err(|error| match error {
                NoMap::Full => Error::OutOfMemory { limit: self.options.max_memory },
                NoMap::Bad(why) => Error::Map { name: spec.name.clone(), why },
            })?;
        map.special = super::helpers::objects::special_fields(btf, spec.value_type);
        self.maps.push(map);
        Ok(self.maps.len() - 1)
    }

    /// Name and type of each program, in the order of their numbers.
    pub fn programs(&self) -> impl Iterator<Item = (&str, ProgType)> {
        self.parts.iter().map(|p| (p.name.as_str(), p.prog_type))
    }

    /// Runs program 0 to its end.
    ///
    /// # Errors
    ///
    /// [`Trap`] where it does what no verified program may do, asks for what is not simulated, or meets a limit. Maps
    /// keep what was written into them.
    pub fn run(&mut self, input: &Input) -> Result<Exit, Trap> {
        self.start(input)?;
        if self.options.coverage || !self.breakpoints.is_empty() {
            loop {
                if let Some(exit) = self.step()? {
                    return Ok(exit);
                }
            }
        }
        self.finish()
    }

    /// Puts the machine before the first instruction of program 0.
    ///
    /// # Errors
    ///
    /// [`TrapKind::OutOfMemory`] where the input finds no room.
    pub fn start(&mut self, input: &Input) -> Result<(), Trap> {
        self.end_run();
        self.mem.clear_stack();
        self.tail_calls = 0;
        let prog_type = self.parts[0].prog_type;
        self.context = Context::new(prog_type, input, &mut self.mem).map_err(|Full| {
            let kind = TrapKind::OutOfMemory { limit: self.options.max_memory };
            Trap { insn: 0, program: 0, callers: Vec::new(), kind }
        })?;
        let (r1, r2) = self.context.registers(input);
        self.begin(self.parts[0].base, [r1, r2, 0, 0, 0], Callback::Main);
        Ok(())
    }

    /// Starts at a slot with an empty call stack.
    pub(super) fn begin(&mut self, slot: usize, args: [u64; 5], then: Callback) {
        for depth in 0..super::mem::FRAMES {
            self.mem.frame(depth, depth == 0);
        }
        self.callbacks.clear();
        self.callbacks.push(then);
        self.cpu.frames.clear();
        self.cpu.frames.push(Frame {
            back: 0,
            then: Return::Machine(0),
            saved: [0; 4],
            turns: self.cpu.turns,
        });
        self.cpu.regs = [0; 16];
        self.cpu.regs[1..6].copy_from_slice(&args);
        self.cpu.regs[10] = exec::frame_pointer(0);
        self.cpu.pc = slot;
        self.cpu.done = -(slot as i64);
        self.refuel();
        self.deadline = self.options.max_time.map(|time| Instant::now() + time);
        self.running = true;
    }

    /// Instructions executed so far.
    pub(super) fn executed(&self) -> u64 {
        (self.cpu.done + self.cpu.pc as i64).max(0) as u64
    }

    fn refuel(&mut self) {
        let left = self.options.max_insns.saturating_sub(self.executed());
        let slice = i64::try_from(left).unwrap_or(SLICE).clamp(1, SLICE);
        self.cpu.fuel = self.cpu.done + slice;
    }

    /// What is asked now and then: is there time left?
    pub(super) fn check_limits(&mut self) -> Result<(), TrapKind> {
        if self.executed() >= self.options.max_insns {
            return Err(TrapKind::InsnLimit { limit: self.options.max_insns });
        }
        if self.options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(TrapKind::Stopped);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(TrapKind::TimeLimit);
        }
        self.refuel();
        Ok(())
    }

    /// Goes on to the end.
    pub(super) fn finish(&mut self) -> Result<Exit, Trap> {
        let ops = Arc::clone(&self.ops);
        let strict = self.mem.strict();
        loop {
            let mem = &mut self.mem;
            let event = exec::run::<false>(&mut self.cpu, &mut mem.heap, &mut mem.regions, strict, &ops);
            let done = match event {
                Event::Slow => self.slow(),
                Event::Fuel | Event::Stepped => self.check_limits().map(|()| None),
            };
            match done {
                Ok(None) => {}
                Ok(Some(r0)) => return Ok(self.exit(r0)),
                Err(kind) => return Err(self.trapped(kind)),
            }
        }
    }

    pub(super) fn exit(&mut self, r0: u64) -> Exit {
        let insns = self.executed();
        let (data_out, ctx_out) = self.context.output(&self.mem);
        self.end_run();
        Exit { r0, insns, data_out, ctx_out }
    }

    /// The run is over: what only it had goes.
    pub(super) fn end_run(&mut self) {
        if self.running {
            self.running = false;
            for region in [self.context.region, self.context.packet, self.context.sock] {
                self.mem.free(region);
            }
            self.locks.clear();
            self.objects.end_run();
        }
        for map in &mut self.maps {
            for region in map.dead.drain(..) {
                self.mem.free(region);
            }
        }
    }

    pub(super) fn trapped(&mut self, kind: TrapKind) -> Trap {
        let (program, insn) = self.word(self.cpu.pc);
        let callers = self
            .cpu
            .frames
            .iter()
            .skip(1)
            .map(|frame| self.word((frame.back as usize).saturating_sub(1)).1)
            .collect();
        let trap = Trap { insn, program, callers, kind };
        self.end_run();
        trap
    }

    /// Program and instruction word of a slot.
    pub(super) fn word(&self, slot: usize) -> (usize, usize) {
        let program = self.parts.partition_point(|p| p.base <= slot).saturating_sub(1);
        let part = &self.parts[program];
        let word = part.words.get(slot - part.base).or(part.words.last()).copied().unwrap_or(0);
        (program, word as usize)
    }

    /// Slot of an instruction word of a program, where an instruction begins there.
    pub(super) fn slot(&self, program: usize, word: usize) -> Option<usize> {
        let part = self.parts.get(program)?;
        Some(part.base + part.words[..part.count].binary_search(&(word as u32)).ok()?)
    }

    /// The instruction words of program 0 that were reached; empty without [`Options::coverage`].
    pub fn coverage(&self) -> Vec<usize> {
        let part = &self.parts[0];
        (0..part.count)
            .filter(|&n| self.covered.get(part.base + n).copied().unwrap_or(false))
            .map(|n| part.words[n] as usize)
            .collect()
    }
}
