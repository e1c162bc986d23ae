//! A run that goes forward and back.

use jit_check::interp::{Exit, Input, Machine, Snapshot, State, Trap};

/// Snapshots kept at most; when there are more, every other is dropped.
const KEPT: usize = 64;

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    Exit(Exit),
    Trap(Trap),
}

/// A machine, and the way it came.
///
/// A machine does the same again from the same snapshot, so going back is going to an older snapshot and forward from
/// there.
#[derive(Debug)]
pub struct Walk {
    machine: Machine,
    /// Instructions executed since the start.
    steps: u64,
    end: Option<End>,
    /// Snapshots by rising number of steps; the first is the start.
    kept: Vec<(u64, Snapshot)>,
    /// A snapshot is kept each time so many steps went by.
    every: u64,
}

impl Walk {
    /// Begins a run.
    pub fn new(mut machine: Machine, input: &Input) -> Result<Walk, Trap> {
        machine.start(input)?;
        let kept = vec![(0, machine.snapshot())];
        Ok(Walk { machine, steps: 0, end: None, kept, every: 256 })
    }

    pub fn state(&self) -> State<'_> {
        self.machine.state()
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Executes an instruction; `false` where the run is over.
    pub fn forward(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.machine.step() {
            Ok(None) => {}
            Ok(Some(exit)) => self.end = Some(End::Exit(exit)),
            Err(trap) => self.end = Some(End::Trap(trap)),
        }
        self.steps += 1;
        let last = self.kept.last().map_or(0, |(at, _)| *at);
        if self.end.is_none() && self.steps >= last + self.every {
            self.kept.push((self.steps, self.machine.snapshot()));
            if self.kept.len() > KEPT {
                let mut index = 0;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.every *= 2;
            }
        }
        self.end.is_none()
    }

    /// Goes to where so many instructions were executed, which was passed before.
    pub fn go_to(&mut self, steps: u64) {
        if steps < self.steps {
            let at = self.kept.partition_point(|(at, _)| *at <= steps).saturating_sub(1);
            let Some((then, snapshot)) = self.kept.get(at) else { return };
            self.machine.restore(snapshot);
            (self.steps, self.end) = (*then, None);
        }
        while self.steps < steps && self.forward() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf_sys::prog::ProgType;
    use jit_check::Program;

    /// A loop long enough for many snapshots: at each place r0 is what it was on the way there.
    #[test]
    fn back_is_where_it_was() {
        let assembly = asm::assemble("r0 = 0; again: r0 += 1; if r0 < 40000 goto again; exit");
        let program =
            Program::new("count", ProgType::SocketFilter, assembly.expect("a program").program.insns);
        let machine = Machine::new(&program, Default::default()).expect("a machine");
        let mut walk = Walk::new(machine, &Input::default()).expect("it starts");
        while walk.forward() {}
        assert_eq!(walk.steps(), 80_002);
        assert!(matches!(walk.end(), Some(End::Exit(exit)) if exit.r0 == 40_000));
        assert!(walk.kept.len() <= KEPT && walk.every > 256, "{} of {}", walk.kept.len(), walk.every);
        for at in [80_001_u64, 79_999, 40_000, 40_001, 12_345, 3, 0, 60_000] {
            walk.go_to(at);
            let r0 = walk.state().registers()[0];
            assert_eq!((walk.steps(), r0), (at, at / 2), "{at}");
            assert!(walk.end().is_none());
        }
    }
}
