//! The part of a run that all tools share: print a block at every interval, end on a signal, at the end of the
//! duration or of the command, and take the probes away.

use crate::args::Common;
use crate::launch::Launched;
use crate::output::live::Size;
use crate::output::{Format, Missed, Moment, text};
use crate::term::Terminal;
use crate::wait::{Waiter, Wake};
use crate::{Timings, clock, output, setup};
use anyhow::{Context, Result};
use std::io::{self, BufWriter, StdoutLock, Write, stderr, stdout};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Which part of the time a block covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Since the last block.
    Interval,
    /// Since the probes were attached.
    Whole,
}

/// What the loop asks of a tool.
pub trait Tool {
    /// How many functions are attached.
    fn functions(&self) -> usize;

    /// Reads what was counted and writes it in the format of the options.
    fn block(&mut self, out: &mut dyn Write, moment: &Moment, span: Span, missed: &[Missed]) -> Result<()>;

    /// The same as a screen.
    fn screen(&mut self, out: &mut dyn Write, moment: &Moment, size: Size, missed: &[Missed]) -> Result<()>;

    /// What was missed since the start.
    fn missed(&self) -> Result<Vec<Missed>>;

    /// The CSV header.
    fn csv_header(&self, out: &mut dyn Write) -> io::Result<()>;

    /// A descriptor that has to be served while the tool waits.
    fn watch(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Serves it.
    fn serve(&mut self) {}

    /// Takes all probes away.
    fn detach(self);
}

struct Loop<'a> {
    options: &'a Common,
    out: BufWriter<StdoutLock<'static>>,
    start: Instant,
    last: Instant,
    /// The misses already reported, so that each is reported once.
    reported: u64,
}

/// Runs an attached tool to its end and says with which status to exit.
pub fn run(
    options: &Common,
    mut tool: impl Tool,
    mut launched: Option<Launched>,
    mut terminal: Option<Terminal>,
    timings: &mut Timings,
) -> Result<u8> {
    let mut waiter = Waiter::new(launched.as_ref().map(|l| l.pid), terminal.is_some())?;
    let now = Instant::now();
    let mut this = Loop {
        options,
        out: BufWriter::with_capacity(16 * 1024, stdout().lock()),
        start: now,
        last: now,
        reported: 0,
    };
    let ended = this.intervals(&mut tool, &mut waiter, &mut launched, &mut terminal);
    drop(terminal);
    // Detaching thousands of probes can take the kernel a while.
    waiter.release();
    drop(launched);
    timings.measure("detach", || tool.detach());
    match ended {
        Err(e) if is_broken_pipe(&e) => Ok(0),
        other => other,
    }
}

impl Loop<'_> {
    fn intervals(
        &mut self,
        tool: &mut dyn Tool,
        waiter: &mut Waiter,
        launched: &mut Option<Launched>,
        terminal: &mut Option<Terminal>,
    ) -> Result<u8> {
        let options = self.options;
        if terminal.is_none() {
            if options.format == Format::Text && !options.quiet {
                text::banner(&mut self.out, tool.functions(), &options.pattern_text())?;
            }
            if options.format == Format::Csv {
                tool.csv_header(&mut self.out)?;
            }
            self.out.flush()?;
        }
        if let Some(l) = launched {
            l.go()?;
        }
        setup::warn_of_namesakes(options);
        let every = options.interval_us.or(terminal.as_ref().map(|_| 1_000_000)).map(Duration::from_micros);
        let end = options.duration_us.map(|us| self.start + Duration::from_micros(us));
        let mut next = every.map(|e| self.start + e);
        if let Some(t) = terminal {
            t.enter();
            self.draw(tool, t)?;
        }
        loop {
            // Intervals are counted from the start, so that reading and printing do not make them drift.
            let deadline = [next, end].into_iter().flatten().min();
            let wake = waiter.wait(deadline, tool.watch())?;
            let mut status = 0;
            match &wake {
                Wake::Readable => {
                    tool.serve();
                    continue;
                }
                Wake::ReaderGone => return Ok(0),
                Wake::Resized => {
                    if let Some(t) = terminal {
                        self.draw(tool, t)?;
                    }
                    next = every.map(|e| Instant::now() + e);
                    continue;
                }
                Wake::Suspend => {
                    if let Some(t) = terminal {
                        t.leave();
                        waiter.suspend();
                        t.enter();
                        self.draw(tool, t)?;
                    }
                    // The overdue screen would only show the instant since this one.
                    next = every.map(|e| Instant::now() + e);
                    continue;
                }
                Wake::Child(code) => {
                    status = *code;
                    if let Some(l) = launched {
                        l.set_ended();
                    }
                }
                Wake::Deadline | Wake::Stop => {}
            }
            let now = Instant::now();
            let done = wake != Wake::Deadline || end.is_some_and(|end| now >= end);
            match terminal {
                Some(t) if !done => self.draw(tool, t)?,
                Some(t) => {
                    t.leave();
                    waiter.release();
                    self.print(tool, Span::Whole, done)?;
                }
                None => {
                    if done {
                        waiter.release();
                    }
                    self.print(tool, Span::Interval, done)?;
                }
            }
            if done {
                return Ok(u8::try_from(status).unwrap_or(255));
            }
            if let (Some(at), Some(every)) = (&mut next, every) {
                while *at <= now {
                    *at += every;
                }
            }
        }
    }

    fn moment(&mut self) -> Moment {
        let now = Instant::now();
        let moment = clock::moment(self.start, self.last, now);
        self.last = now;
        moment
    }

    fn print(&mut self, tool: &mut dyn Tool, span: Span, last: bool) -> Result<()> {
        let mut moment = self.moment();
        if span == Span::Whole {
            moment.interval_us = moment.elapsed_us;
        }
        let missed = tool.missed()?;
        tool.block(&mut self.out, &moment, span, &missed)?;
        if last && self.options.format == Format::Text && !self.options.quiet {
            text::detaching(&mut self.out)?;
        }
        self.out.flush()?;
        if self.options.format != Format::Json {
            let sum = missed.iter().map(|m| m.count).sum();
            if sum > self.reported {
                self.reported = sum;
                // Standard error may be closed without that being a reason to stop.
                let _ = output::missed(&mut stderr(), "tracewell", &missed);
            }
        }
        Ok(())
    }

    fn draw(&mut self, tool: &mut dyn Tool, terminal: &Terminal) -> Result<()> {
        let moment = self.moment();
        let missed = tool.missed()?;
        tool.screen(&mut self.out, &moment, terminal.size(), &missed)?;
        self.out.flush().context("cannot draw on the terminal")
    }
}

/// Whether the one who reads our output went away, which is no error of ours.
pub fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// The misses that every session counts.
pub fn recursion(count: u64) -> Missed {
    Missed {
        key: "recursion",
        text: "were missed by the kernel because another probe was being handled, or was preempted, on the same \
               processor; trace fewer functions, or a function in place of a system call's tracepoint",
        count,
    }
}

/// `-D`: a generated program in the kernel's own notation, before it is loaded.
pub fn show_program(name: &str, program: &asm::Program) {
    let mut out = stdout().lock();
    let mut print = || -> io::Result<()> {
        writeln!(out, "{name}: {} instructions", program.insns.len())?;
        for (index, text) in asm::disassemble(&program.insns) {
            writeln!(out, "{index:4}: {text}")?;
        }
        writeln!(out)
    };
    // A reader that went away is noticed again when the first block is printed.
    let _ = print();
}
