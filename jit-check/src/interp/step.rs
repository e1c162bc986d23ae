//! Going on by one instruction, and what is seen on the way.

use super::ctx::Input;
use super::exec::{self, Event};
use super::machine::{Exit, Machine};
use super::mem::Kind;
use super::trap::Trap;
use std::sync::Arc;

/// Sees the machine before each instruction.
pub trait Hook {
    /// Called before an instruction is executed; says whether it is to be.
    fn before(&mut self, state: &State<'_>) -> Flow;
}

/// Looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHook;

impl Hook for NoHook {
    fn before(&mut self, _: &State<'_>) -> Flow {
        Flow::Continue
    }
}

/// What a [`Hook`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop before this instruction.
    Stop,
}

/// Why [`Machine::resume`] came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The program is over.
    Exit(Exit),
    /// The next instruction has a breakpoint, or the hook wanted to stop.
    Breakpoint,
}

/// A machine as it was, to come back to.
#[derive(Clone, Debug)]
pub struct Snapshot(Box<Machine>);

/// Memory that an address lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// What it is, as in `stack of frame 0`.
    pub what: String,
    /// Bytes from its start; of a stack frame from the frame pointer, of a packet from its first byte.
    pub offset: i64,
    /// Its length in bytes.
    pub len: u32,
}

/// A look at a machine between two instructions.
#[derive(Clone, Copy, Debug)]
pub struct State<'m> {
    machine: &'m Machine,
}

impl State<'_> {
    /// Number of the program: 0, or another that was tail-called.
    pub fn program(&self) -> usize {
        self.machine.word(self.machine.cpu.pc).0
    }

    /// Index of the instruction word that comes next.
    pub fn insn(&self) -> usize {
        self.machine.word(self.machine.cpu.pc).1
    }

    /// r0 to r10.
    pub fn registers(&self) -> [u64; 11] {
        let mut regs = [0; 11];
        regs.copy_from_slice(&self.machine.cpu.regs[..11]);
        regs
    }

    /// Frames: 1 in the program itself.
    pub fn depth(&self) -> usize {
        self.machine.cpu.frames.len()
    }

    /// Instruction words of the calls that led here, outermost first.
    pub fn callers(&self) -> Vec<usize> {
        let frames = self.machine.cpu.frames.iter().skip(1);
        frames.map(|frame| self.machine.word((frame.back as usize).saturating_sub(1)).1).collect()
    }

    /// r6 to r9 of the frame that called frame `depth` (from 1).
    pub fn saved(&self, depth: usize) -> Option<[u64; 4]> {
        (depth > 0).then(|| self.machine.cpu.frames.get(depth).map(|f| f.saved))?
    }

    /// The 512 bytes of a frame's stack, lowest address first; frame 0 is the program's.
    pub fn stack(&self, frame: usize) -> Option<&[u8]> {
        (frame < self.depth()).then(|| self.machine.mem.bytes(super::mem::STACK + frame as u32))
    }

    /// Address behind the last byte of a frame's stack: its r10.
    pub fn frame_pointer(&self, frame: usize) -> u64 {
        exec::frame_pointer(frame)
    }

    /// Bytes in memory; `None` where the program could not read them.
    pub fn read(&self, addr: u64, len: usize) -> Option<Vec<u8>> {
        self.machine.mem.read(addr, len as u64).ok().map(<[u8]>::to_vec)
    }

    /// The memory that an address lies in, or is just behind.
    pub fn locate(&self, addr: u64) -> Option<Where> {
        let (region, kind, tag, off) = self.machine.mem.locate(addr)?;
        let len = self.machine.mem.bytes(region).len() as u32;
        if kind == Kind::Nothing || off > len {
            return None;
        }
        let base = match kind {
            Kind::Stack => i64::from(super::mem::FRAME_SIZE),
            Kind::Packet => self.machine.context.meta as i64,
            _ => 0,
        };
        Some(Where { what: self.machine.region_name(kind, tag), offset: i64::from(off) - base, len })
    }

    /// Instructions executed so far.
    pub fn insns(&self) -> u64 {
        self.machine.executed()
    }

    /// The machine itself.
    pub fn machine(&self) -> &Machine {
        self.machine
    }
}

impl Machine {
    /// Executes one instruction of a run that [`start`](Machine::start) began; `Some` when the program is over.
    ///
    /// # Errors
    ///
    /// As [`run`](Machine::run).
    pub fn step(&mut self) -> Result<Option<Exit>, Trap> {
        if let Some(covered) = self.covered.get_mut(self.cpu.pc) {
            *covered = true;
        }
        let ops = Arc::clone(&self.ops);
        let strict = self.mem.strict();
        if self.cpu.done >= self.cpu.fuel
            && let Err(kind) = self.check_limits()
        {
            return Err(self.trapped(kind));
        }
        let mem = &mut self.mem;
        match exec::run::<true>(&mut self.cpu, &mut mem.heap, &mut mem.regions, strict, &ops) {
            Event::Stepped | Event::Fuel => Ok(None),
            Event::Slow => match self.slow() {
                Ok(None) => Ok(None),
                Ok(Some(r0)) => Ok(Some(self.exit(r0))),
                Err(kind) => Err(self.trapped(kind)),
            },
        }
    }

    /// Goes on to the end or to the next of [`breakpoints`](Machine::breakpoints); one at the present instruction does
    /// not count.
    ///
    /// # Errors
    ///
    /// As [`run`](Machine::run).
    pub fn resume(&mut self) -> Result<Stop, Trap> {
        loop {
            if let Some(exit) = self.step()? {
                return Ok(Stop::Exit(exit));
            }
            let (program, insn) = self.word(self.cpu.pc);
            if program == 0 && self.breakpoints.contains(&insn) {
                return Ok(Stop::Breakpoint);
            }
        }
    }

    /// As [`run`](Machine::run), with a look at each instruction before it is executed.
    ///
    /// # Errors
    ///
    /// As [`run`](Machine::run).
    pub fn run_hooked(&mut self, input: &Input, hook: &mut impl Hook) -> Result<Stop, Trap> {
        self.start(input)?;
        loop {
            if hook.before(&self.state()) == Flow::Stop {
                return Ok(Stop::Breakpoint);
            }
            if let Some(exit) = self.step()? {
                return Ok(Stop::Exit(exit));
            }
        }
    }

    /// The machine as it stands.
    pub fn state(&self) -> State<'_> {
        State { machine: self }
    }

    /// Keeps the whole machine: memory, maps, world and place.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Box::new(self.clone()))
    }

    /// Goes back to a snapshot, which may be used again.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.clone_from(&snapshot.0);
    }

    /// Changes a register, r0 to r9, of a run that stands still. Others are left alone.
    pub fn set_register(&mut self, number: usize, value: u64) {
        if number < 10 {
            self.cpu.regs[number] = value;
        }
    }

    /// Runs a function of the program by itself: a callback that the host fires.
    pub(super) fn finish_call(&mut self, slot: usize, args: [u64; 5]) -> Result<Exit, Trap> {
        self.begin(slot, args, super::call::Callback::Main);
        self.finish()
    }
}
