//! Calls that are not plain: callbacks, returns from them, tail calls, exceptions.

use super::exec::{self, Frame, MAX_FRAMES, Return};
use super::machine::Machine;
use super::maps::Body;
use super::mem::{FRAMES, address};
use super::predecode::CODE_BASE;
use super::trap::TrapKind;

/// What a frame's return leads to.
#[derive(Clone, Debug)]
pub(super) enum Callback {
    /// The program is over.
    Main,
    /// The next turn of `bpf_loop`.
    Loop { next: u64, count: u64, slot: usize, ctx: u64 },
    /// The next element of `bpf_for_each_map_elem`.
    Each { map: usize, next: u64, seen: u64, slot: usize, ctx: u64, key: u32 },
    /// The next sample of `bpf_user_ringbuf_drain`.
    Drain { map: usize, seen: u64, slot: usize, ctx: u64, sample: u32 },
    /// A comparison while a node is put into a tree.
    Tree(super::helpers::graph::Insert),
}

/// What a helper did.
pub(super) enum Next {
    /// It returned this.
    Value(u64),
    /// The machine stands elsewhere already.
    Moved,
    /// The program is over, with this r0.
    Exit(u64),
}

/// Calls of tail calls (`MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;

impl Machine {
    /// Moves to a slot, with the instruction at hand executed.
    pub(super) fn go(&mut self, slot: usize) {
        self.cpu.done += self.cpu.pc as i64 + 1 - slot as i64;
        self.cpu.pc = slot;
    }

    /// Slot of a function by its address.
    pub(super) fn function(&self, addr: u64) -> Option<usize> {
        let slot = addr.checked_sub(CODE_BASE)? as usize;
        (slot < self.ops.len()).then_some(slot)
    }

    /// Calls a function; its return goes where `then` says.
    pub(super) fn call_back(&mut self, slot: usize, args: [u64; 5], then: Callback) -> Result<(), TrapKind> {
        let depth = self.cpu.frames.len();
        if depth >= MAX_FRAMES {
            return Err(TrapKind::CallDepth);
        }
        let regs = &mut self.cpu.regs;
        let saved = [regs[6], regs[7], regs[8], regs[9]];
        regs[1..6].copy_from_slice(&args);
        regs[10] = exec::frame_pointer(depth);
        self.cpu.frames.push(Frame {
            back: self.cpu.pc as u32 + 1,
            then: Return::Machine(self.callbacks.len() as u32),
            saved,
            turns: self.cpu.turns,
        });
        self.callbacks.push(then);
        self.mem.frame(depth, true);
        self.go(slot);
        Ok(())
    }

    /// Calls a subprogram where frames have to be looked after.
    pub(super) fn call_local(&mut self, slot: usize) -> Result<(), TrapKind> {
        let depth = self.cpu.frames.len();
        if depth >= MAX_FRAMES {
            return Err(TrapKind::CallDepth);
        }
        let regs = &mut self.cpu.regs;
        let saved = [regs[6], regs[7], regs[8], regs[9]];
        regs[10] = exec::frame_pointer(depth);
        let back = self.cpu.pc as u32 + 1;
        self.cpu.frames.push(Frame { back, then: Return::Plain, saved, turns: self.cpu.turns });
        self.mem.frame(depth, true);
        self.go(slot);
        Ok(())
    }

    /// Executes `exit`; gives r0 where the program is over.
    pub(super) fn leave(&mut self) -> Result<Option<u64>, TrapKind> {
        let Some(frame) = self.cpu.frames.pop() else { return Ok(Some(self.cpu.regs[0])) };
        let depth = self.cpu.frames.len();
        if depth > 0 {
            self.mem.frame(depth.min(FRAMES - 1), false);
        }
        let regs = &mut self.cpu.regs;
        regs[6..10].copy_from_slice(&frame.saved);
        regs[10] = exec::frame_pointer(depth.saturating_sub(1));
        let r0 = regs[0];
        match frame.then {
            Return::Plain => {
                self.go(frame.back as usize);
                Ok(None)
            }
            Return::Machine(_) => match self.callbacks.pop() {
                None | Some(Callback::Main) => {
                    // The exit itself is executed too.
                    self.cpu.pc += 1;
                    Ok(Some(r0))
                }
                Some(callback) => {
                    // As if the call had just been made: a helper that goes on calls again from there.
                    self.go((frame.back as usize).saturating_sub(1));
                    self.cpu.done -= 1;
                    let next = self.continue_with(callback, r0)?;
                    Ok(self.after_helper(next))
                }
            },
        }
    }

    /// What a helper's end does to registers and place.
    pub(super) fn after_helper(&mut self, next: Next) -> Option<u64> {
        match next {
            Next::Value(value) => {
                self.cpu.regs[0] = value;
                self.cpu.pc += 1;
                None
            }
            Next::Moved => None,
            Next::Exit(r0) => {
                self.cpu.pc += 1;
                Some(r0)
            }
        }
    }

    fn continue_with(&mut self, callback: Callback, r0: u64) -> Result<Next, TrapKind> {
        // A callback counts against the limits, however short it is.
        self.check_limits_of_callbacks()?;
        match callback {
            Callback::Main => Ok(Next::Exit(r0)),
            Callback::Loop { next, count, slot, ctx } => {
                if r0 != 0 {
                    return Ok(Next::Value(next));
                }
                self.next_turn(next, count, slot, ctx)
            }
            Callback::Each { map, next, seen, slot, ctx, key } => {
                self.mem.free(key);
                if r0 != 0 {
                    return Ok(Next::Value(seen));
                }
                self.next_element(map, next, seen, slot, ctx)
            }
            Callback::Drain { map, seen, slot, ctx, sample } => {
                self.mem.free(sample);
                if r0 == 1 {
                    return Ok(Next::Value(seen));
                }
                self.next_sample(map, seen, slot, ctx)
            }
            Callback::Tree(insert) => self.tree_compared(insert, r0 as u32 != 0),
        }
    }

    fn check_limits_of_callbacks(&mut self) -> Result<(), TrapKind> {
        if self.cpu.done >= self.cpu.fuel { self.check_limits() } else { Ok(()) }
    }

    /// `bpf_loop` from this turn on.
    pub(super) fn next_turn(
        &mut self,
        turn: u64,
        count: u64,
        slot: usize,
        ctx: u64,
    ) -> Result<Next, TrapKind> {
        if turn >= count {
            return Ok(Next::Value(count));
        }
        self.call_back(slot, [turn, ctx, 0, 0, 0], Callback::Loop { next: turn + 1, count, slot, ctx })?;
        Ok(Next::Moved)
    }

    /// `bpf_for_each_map_elem` from this position on.
    pub(super) fn next_element(
        &mut self,
        map: usize,
        from: u64,
        seen: u64,
        slot: usize,
        ctx: u64,
    ) -> Result<Next, TrapKind> {
        let cpu = self.world.cpu;
        let found = self.maps[map].element(from, cpu, &mut self.mem);
        let Some((key, region, next)) = found.map_err(|_| self.full())? else { return Ok(Next::Value(seen)) };
        let key = self.mem.alloc_bytes(super::mem::Kind::Object, 0, &key, true).map_err(|_| self.full())?;
        let args = [address(self.maps[map].handle), address(key), address(region), ctx, 0];
        self.call_back(slot, args, Callback::Each { map, next, seen: seen + 1, slot, ctx, key })?;
        Ok(Next::Moved)
    }

    /// `bpf_user_ringbuf_drain` from the next sample on.
    pub(super) fn next_sample(
        &mut self,
        map: usize,
        seen: u64,
        slot: usize,
        ctx: u64,
    ) -> Result<Next, TrapKind> {
        const MOST: u64 = 128 * 1024;
        let Body::UserRing(samples) = &mut self.maps[map].body else {
            return Err(TrapKind::NotSimulated("draining a map that is no user ring buffer".to_owned()));
        };
        if seen >= MOST {
            return Ok(Next::Value(seen));
        }
        let Some(bytes) = samples.pop_front() else { return Ok(Next::Value(seen)) };
        let sample = self.new_dynptr_sample(&bytes)?;
        self.call_back(
            slot,
            [address(sample), ctx, 0, 0, 0],
            Callback::Drain { map, seen: seen + 1, slot, ctx, sample },
        )?;
        Ok(Next::Moved)
    }

    /// `bpf_tail_call`: `Moved` where there is a program, else it falls through.
    pub(super) fn tail_call(&mut self, map: usize, index: u32) -> Result<Next, TrapKind> {
        let Some(Body::Progs(slots)) = self.maps.get(map).map(|m| &m.body) else {
            return Err(TrapKind::NotSimulated(
                "a tail call through a map that holds no programs".to_owned(),
            ));
        };
        let failed = Ok(Next::Value(self.cpu.regs[0]));
        let Some(&program) = slots.get(&index) else { return failed };
        if self.tail_calls >= MAX_TAIL_CALLS {
            return failed;
        }
        let Some(base) = self.parts.get(program).map(|p| p.base) else { return failed };
        self.tail_calls += 1;
        self.check_limits_of_callbacks()?;
        // The new program takes the place of the frame that called, with a stack that is as new.
        let depth = self.cpu.frames.len().saturating_sub(1);
        if let Some(frame) = self.cpu.frames.last_mut() {
            frame.turns = self.cpu.turns;
        }
        self.cpu.regs[10] = exec::frame_pointer(depth);
        self.mem.frame(depth, true);
        self.go(base);
        Ok(Next::Moved)
    }

    /// `bpf_throw`: unwinds to the main frame and ends the program by way of its exception callback.
    pub(super) fn throw(&mut self, cookie: u64) -> Result<Next, TrapKind> {
        let program = self.word(self.cpu.pc).0;
        while self.cpu.frames.len() > 1 {
            self.cpu.frames.pop();
            self.mem.frame(self.cpu.frames.len(), false);
        }
        self.callbacks.truncate(1);
        let Some(slot) = self.parts[program].exception else { return Ok(Next::Exit(cookie)) };
        self.cpu.regs[1] = cookie;
        self.cpu.regs[10] = exec::frame_pointer(0);
        self.go(slot);
        Ok(Next::Moved)
    }

    pub(super) fn full(&self) -> TrapKind {
        TrapKind::OutOfMemory { limit: self.options.max_memory }
    }
}
