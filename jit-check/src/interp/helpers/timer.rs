//! Timers: they are recorded, and fired by the host.

use super::super::errno::{EBUSY, EINVAL};
use super::super::machine::Machine;
use super::super::mem::{Kind, address};
use super::{Done, bad_argument, value};

/// A timer in a map's value, or a work queue, whose callback has the same arguments.
#[derive(Clone, Debug)]
pub(in crate::interp) struct Timer {
    /// Address of the `struct bpf_timer`.
    at: u64,
    map: usize,
    callback: Option<usize>,
    due: Option<u64>,
}

/// The timer that is due first: its callback and arguments. It is not due any more then.
pub(in crate::interp) fn next_due(machine: &mut Machine) -> Option<(usize, [u64; 5])> {
    let now = machine.world.now_ns;
    let live: Vec<bool> = machine
        .timers
        .iter()
        .map(|t| machine.mem.locate(t.at).is_some_and(|(_, kind, ..)| kind == Kind::Value))
        .collect();
    let (n, _) = machine
        .timers
        .iter()
        .enumerate()
        .filter(|&(n, t)| live[n] && t.callback.is_some() && t.due.is_some_and(|due| due <= now))
        .min_by_key(|(_, t)| t.due)?;
    let timer = &mut machine.timers[n];
    timer.due = None;
    let (at, map, slot) = (timer.at, timer.map, timer.callback?);
    let (region, ..) = machine.mem.locate(at)?;
    let value = address(region);
    let key = machine.key_of(map, region);
    let key = machine.mem.alloc_bytes(Kind::Object, 0, &key, true).ok()?;
    let handle = address(machine.maps.get(map)?.handle);
    Some((slot, [handle, address(key), value, 0, 0]))
}

impl Machine {
    /// Key of the element whose value a region is; zeroes where it is none's.
    fn key_of(&mut self, map: usize, region: u32) -> Vec<u8> {
        let value = address(region);
        let Some(map) = self.maps.get_mut(map) else { return Vec::new() };
        let size = map.key_size as usize;
        let keys = map.keys();
        let cpu = self.world.cpu;
        let found = keys.into_iter().find(|key| map.lookup(key, cpu, &mut self.mem) == Ok(value));
        found.unwrap_or_else(|| vec![0; size])
    }

    fn timer_at(&mut self, at: u64) -> Option<&mut Timer> {
        self.timers.iter_mut().find(|t| t.at == at)
    }

    fn check_timer(&self, name: &str, at: u64) -> Result<(), super::TrapKind> {
        match self.mem.locate(at) {
            Some((_, Kind::Value, ..)) => Ok(()),
            _ => Err(bad_argument(name, 1, format!("{at:#x} is not in a map's value"))),
        }
    }

    pub(super) fn timer_init(&mut self, name: &str, at: u64, map: u64, flags: u64) -> Done {
        let map = self.map_arg(name, 2, map)?;
        self.check_timer(name, at)?;
        // CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME
        if !matches!(flags, 0 | 1 | 7) {
            return value(EINVAL);
        }
        self.async_init(at, map)
    }

    pub(super) fn async_init(&mut self, at: u64, map: usize) -> Done {
        if self.timer_at(at).is_some() {
            return value(EBUSY);
        }
        self.timers.push(Timer { at, map, callback: None, due: None });
        value(0)
    }

    pub(super) fn timer_set_callback(&mut self, name: &str, at: u64, callback: u64) -> Done {
        let slot = self.function_arg(name, 2, callback)?;
        self.check_timer(name, at)?;
        match self.timer_at(at) {
            Some(timer) => {
                timer.callback = Some(slot);
                value(0)
            }
            None => value(EINVAL),
        }
    }

    pub(super) fn timer_start(&mut self, name: &str, at: u64, ns: u64, flags: u64) -> Done {
        self.check_timer(name, at)?;
        // BPF_F_TIMER_ABS, BPF_F_TIMER_CPU_PIN
        if flags & !3 != 0 {
            return value(EINVAL);
        }
        let now = self.world.now_ns;
        match self.timer_at(at) {
            Some(timer) if timer.callback.is_some() => {
                timer.due = Some(if flags & 1 != 0 { ns } else { now.saturating_add(ns) });
                value(0)
            }
            _ => value(EINVAL),
        }
    }

    pub(super) fn timer_cancel(&mut self, name: &str, at: u64) -> Done {
        self.check_timer(name, at)?;
        match self.timer_at(at) {
            // Cancelling takes the callback away as well.
            Some(timer) => {
                timer.callback = None;
                value(timer.due.take().is_some().into())
            }
            None => value(EINVAL),
        }
    }
}
