//! `tracewell stackcount`.

use crate::Timings;
use crate::args::Common;
use crate::names::Names;
use crate::output::live::Size;
use crate::output::{Format, Missed, Moment, StackBlock, StackRow, csv, folded, json, live, text};
use crate::run::{self, Span, Tool};
use crate::setup::{Setup, report_skipped};
use anyhow::Result;
use clap::ArgMatches;
use probes::stacks::{DEFAULT_STACKS, StackOptions, StackSession};
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// Runs the tool and says with which status to exit.
pub fn main(matches: &ArgMatches) -> Result<u8> {
    let mut options = Common::new(matches);
    let (only_kernel, only_user) =
        (matches.get_flag("kernel-stacks-only"), matches.get_flag("user-stacks-only"));
    // As in BCC, one process is shown by itself but without the line that names it.
    let one_process = options.pid.is_some() || options.cmd.is_some();
    let per_process = matches.get_flag("perpid") || one_process;
    let style = &mut options.style;
    style.offset = matches.get_flag("offset");
    style.verbose = matches.get_flag("verbose");
    style.delimited = matches.get_flag("delimited") && !only_kernel && !only_user;
    style.process_line = per_process && !one_process;
    if matches.get_flag("folded") {
        options.format = Format::Folded;
    }

    let mut timings = Timings::default();
    let setup = Setup::new(&options, &mut timings)?;
    let user = !only_kernel;
    let mut names = Names::new();
    // Before the probes: a process that exits at once must still have left its mappings behind.
    let trouble = if user { names.track(setup.filter.pid) } else { None };
    let stack_options = StackOptions {
        filter: setup.filter,
        mode: setup.mode,
        kernel: !only_user,
        user,
        // An address means nothing without its process, so user stacks are taken for each process even where
        // they are shown merged.
        per_process: per_process || user,
        max_stacks: matches.get_one::<u32>("max-stacks").copied().unwrap_or(DEFAULT_STACKS),
        inspect: options.debug.then_some(run::show_program),
        ..StackOptions::default()
    };
    let session = StackSession::start(setup.targets, &stack_options)?;
    if let Some(trouble) = trouble {
        names.warn(&trouble);
    }
    timings.push("load", session.timings().load);
    timings.push("attach", session.timings().attach);
    timings.push("kernel", session.timings().kernel);
    if !options.quiet {
        report_skipped(session.targets().skipped().iter().chain(session.skipped()));
    }
    let functions = session.targets().len() - session.skipped().len();
    let tool = Stackcount {
        options: &options,
        session,
        functions,
        per_process,
        names,
        base: HashMap::new(),
        patterns: options.pattern_text(),
    };
    let status = run::run(&options, tool, setup.launched, setup.terminal, &mut timings)?;
    if options.timings {
        timings.print();
    }
    Ok(status)
}

struct Stackcount<'a> {
    options: &'a Common,
    session: StackSession,
    functions: usize,
    per_process: bool,
    names: Names,
    /// The total of each stack at the end of the last interval.
    base: HashMap<u64, u64>,
    patterns: String,
}

/// A stack with its addresses, as the kernel has it.
struct Raw {
    pid: u32,
    comm: Vec<u8>,
    kernel: Vec<u64>,
    user: Vec<u64>,
    count: u64,
}

/// What makes user stacks of different processes one: symbol and offset, or the address alone.
type UserKey = Vec<(Option<Rc<str>>, u64)>;

impl Stackcount<'_> {
    fn rows(&mut self, span: Span) -> Result<(Vec<StackRow>, u64)> {
        let mut raw = Vec::new();
        let mut total = 0;
        let base = &mut self.base;
        self.session.read(|s| {
            let before = base.insert(s.id, s.count).unwrap_or(0);
            let count = if span == Span::Whole { s.count } else { s.count.saturating_sub(before) };
            if count != 0 {
                total += count;
                raw.push(Raw {
                    pid: s.pid,
                    comm: s.comm.to_vec(),
                    kernel: s.kernel.to_vec(),
                    user: s.user.to_vec(),
                    count,
                });
            }
        })?;
        self.names.update();
        let rows = if self.per_process { self.separate(raw) } else { self.merged(raw) };
        Ok((rows, total))
    }

    fn cut<T>(&self, rows: &mut Vec<T>) {
        if let Some(top) = self.options.top {
            rows.drain(..rows.len().saturating_sub(top));
        }
    }

    /// One row a process and stack: names are looked up only for what is printed.
    fn separate(&mut self, mut raw: Vec<Raw>) -> Vec<StackRow> {
        raw.sort_by_key(|r| r.count);
        self.cut(&mut raw);
        let names = &mut self.names;
        raw.into_iter()
            .map(|r| StackRow {
                pid: Some(r.pid),
                comm: String::from_utf8_lossy(&r.comm).into_owned(),
                kernel: names.kernel_stack(&r.kernel),
                user: r.user.iter().map(|a| names.user(r.pid, *a)).collect(),
                count: r.count,
            })
            .collect()
    }

    /// Processes merged. The same code has another address in each process, so what makes two user frames one is
    /// their symbol and offset; only frames without a symbol are compared by address.
    fn merged(&mut self, raw: Vec<Raw>) -> Vec<StackRow> {
        let mut index: HashMap<(Vec<u64>, UserKey), usize> = HashMap::new();
        let mut rows: Vec<StackRow> = Vec::new();
        for r in raw {
            let user: Vec<_> = r.user.iter().map(|a| self.names.user(r.pid, *a)).collect();
            let key = user
                .iter()
                .map(|f| (f.name.clone(), if f.name.is_some() { f.offset } else { f.addr }))
                .collect();
            let at = *index.entry((r.kernel, key)).or_insert(rows.len());
            match rows.get_mut(at) {
                Some(row) => row.count += r.count,
                None => rows.push(StackRow { user, count: r.count, ..StackRow::default() }),
            }
        }
        // The kernel's part is the same in all processes, and needs names only where it is printed.
        let mut order: Vec<(usize, Vec<u64>)> =
            index.into_iter().map(|((kernel, _), at)| (at, kernel)).collect();
        order.sort_by_key(|(at, _)| (rows[*at].count, *at));
        self.cut(&mut order);
        let names = &mut self.names;
        order
            .into_iter()
            .map(|(at, kernel)| StackRow {
                kernel: names.kernel_stack(&kernel),
                ..std::mem::take(&mut rows[at])
            })
            .collect()
    }
}

impl Tool for Stackcount<'_> {
    fn functions(&self) -> usize {
        self.functions
    }

    fn block(&mut self, out: &mut dyn Write, moment: &Moment, span: Span, missed: &[Missed]) -> Result<()> {
        let (rows, total) = self.rows(span)?;
        let block = StackBlock { moment, functions: self.functions, rows: &rows, total, missed };
        let style = self.options.style;
        match self.options.format {
            Format::Text => text::stacks(out, &block, style),
            Format::Json => json::stacks(out, &block, style),
            Format::Csv => csv::stacks(out, &block, style),
            Format::Folded => folded::stacks(out, &block, style),
        }?;
        Ok(())
    }

    fn screen(&mut self, out: &mut dyn Write, moment: &Moment, size: Size, missed: &[Missed]) -> Result<()> {
        let (rows, total) = self.rows(Span::Interval)?;
        let block = StackBlock { moment, functions: self.functions, rows: &rows, total, missed };
        live::stacks(out, &block, &self.patterns, self.options.style, size)?;
        Ok(())
    }

    fn missed(&self) -> Result<Vec<Missed>> {
        Ok(vec![
            run::recursion(self.session.missed()?),
            Missed {
                key: "dropped_stacks",
                text: "could not be counted because their stack found no room in the table or could not be taken; \
                       make room with --max-stacks, trace fewer functions or one process (-p)",
                count: self.session.dropped()?,
            },
        ])
    }

    fn csv_header(&self, out: &mut dyn Write) -> io::Result<()> {
        csv::stack_header(out, self.options.style)
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.names.watch()
    }

    fn serve(&mut self) {
        self.names.update();
    }

    fn detach(self) {
        self.session.stop();
    }
}
