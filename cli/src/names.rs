//! Addresses to names, each looked up once.

use crate::output::Frame;
use probes::symbols::{KernelSymbols, SymbolizedFrame, Tracker, UserSymbols, tracing_frames};
use std::collections::HashMap;
use std::io::{Write, stderr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// Kernel and user symbols, read when the first address asks for them.
#[derive(Debug, Default)]
pub struct Names {
    kernel: KernelSymbols,
    kernel_known: HashMap<u64, Frame>,
    user: UserSymbols,
    user_known: HashMap<(u32, u64), Frame>,
    tracker: Option<Tracker>,
    /// A trouble is told once.
    warned: bool,
}

impl Names {
    /// Knows nothing yet.
    pub fn new() -> Names {
        Names::default()
    }

    /// Remembers the mappings of processes, so that addresses of those that exit keep their meaning. Without that,
    /// only processes that still run when their stacks are printed have names. Answers with the trouble it had, for
    /// [`Names::warn`]: where attaching fails for the same reason, one message is enough.
    pub fn track(&mut self, pid: Option<u32>) -> Option<String> {
        let trouble = match Tracker::start(pid) {
            Ok(tracker) => {
                self.tracker = Some(tracker);
                None
            }
            Err(e) => Some(format!("stacks of processes that exit cannot be named: {e}")),
        };
        // What was mapped before the tracker began. A process that cannot be looked at now may be later.
        match pid {
            Some(pid) => {
                let _ = self.user.remember(pid);
            }
            None => {
                self.user.remember_all();
            }
        }
        trouble
    }

    /// Takes in what the tracker has seen, and forgets the user addresses looked up before: a process may have
    /// other code there now.
    pub fn update(&mut self) {
        self.user_known.clear();
        if let Some(tracker) = &mut self.tracker
            && let Err(e) = tracker.poll(&mut self.user)
        {
            self.tracker = None;
            self.warn(&format!("stacks of processes that exit from now on cannot be named: {e}"));
        }
    }

    /// Readable when the tracker has to be served.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.tracker.as_ref().map(|t| t.as_fd())
    }

    /// A kernel address.
    pub fn kernel(&mut self, addr: u64) -> Frame {
        if let Some(frame) = self.kernel_known.get(&addr) {
            return frame.clone();
        }
        let frame = match self.kernel.resolve(addr) {
            Ok(found) => frame(addr, found),
            Err(e) => {
                let unknown = frame(addr, SymbolizedFrame::unknown());
                self.warn(&format!("kernel functions cannot be named: {e}"));
                unknown
            }
        };
        self.kernel_known.insert(addr, frame.clone());
        frame
    }

    /// The kernel's part of a stack, from the event on.
    pub fn kernel_stack(&mut self, addrs: &[u64]) -> Vec<Frame> {
        let mut frames: Vec<Frame> = addrs.iter().map(|addr| self.kernel(*addr)).collect();
        let tracing = tracing_frames(frames.iter().map(|f| f.name.as_deref()));
        frames.drain(..tracing);
        frames
    }

    /// An address of a process.
    pub fn user(&mut self, pid: u32, addr: u64) -> Frame {
        let user = &mut self.user;
        self.user_known.entry((pid, addr)).or_insert_with(|| frame(addr, user.resolve(pid, addr))).clone()
    }

    /// Says on standard error that something cannot be named, once.
    pub fn warn(&mut self, text: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            let _ = writeln!(stderr(), "tracewell: warning: {text}");
        }
    }
}

fn frame(addr: u64, found: SymbolizedFrame<'_>) -> Frame {
    Frame { addr, name: found.name.map(|n| Rc::from(&*n)), offset: found.offset }
}
