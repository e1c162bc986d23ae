//! `tracewell funccount`.

use crate::Timings;
use crate::args::Common;
use crate::output::live::Size;
use crate::output::{CountBlock, CountRow, Format, Missed, Moment, csv, folded, json, live, text};
use crate::run::{self, Span, Tool};
use crate::setup::{Setup, report_skipped};
use anyhow::Result;
use clap::ArgMatches;
use probes::count::{CountOptions, CountSession};
use std::io::{self, Write};

/// Runs the tool and says with which status to exit.
pub fn main(matches: &ArgMatches) -> Result<u8> {
    let options = Common::new(matches);
    let mut timings = Timings::default();
    let setup = Setup::new(&options, &mut timings)?;
    let count_options = CountOptions {
        filter: setup.filter,
        mode: setup.mode,
        inspect: options.debug.then_some(run::show_program),
    };
    let session = CountSession::start(setup.targets, &count_options)?;
    timings.push("load", session.timings().load);
    timings.push("attach", session.timings().attach);
    timings.push("kernel", session.timings().kernel);
    if !options.quiet {
        report_skipped(session.targets().skipped().iter().chain(session.skipped()));
    }
    let functions = session.len() - session.skipped().len();
    let tool = Funccount {
        options: &options,
        session,
        functions,
        base: Vec::new(),
        now: Vec::new(),
        patterns: options.pattern_text(),
    };
    let status = run::run(&options, tool, setup.launched, setup.terminal, &mut timings)?;
    if options.timings {
        timings.print();
    }
    Ok(status)
}

struct Funccount<'a> {
    options: &'a Common,
    session: CountSession,
    functions: usize,
    /// Totals at the end of the last interval; empty before the first.
    base: Vec<u64>,
    /// Totals just read.
    now: Vec<u64>,
    patterns: String,
}

impl Funccount<'_> {
    /// Reads the counters and hands the rows of the span, ascending, and their sum to `print`.
    fn with_rows<T>(
        &mut self,
        moment: &Moment,
        span: Span,
        missed: &[Missed],
        print: impl FnOnce(&CountBlock<'_>) -> T,
    ) -> T {
        self.session.read(&mut self.now);
        let mut counts: Vec<(u64, u32)> = Vec::new();
        let mut total = 0;
        for (i, &now) in self.now.iter().enumerate() {
            let before = if span == Span::Whole { 0 } else { self.base.get(i).copied().unwrap_or(0) };
            let count = now.saturating_sub(before);
            if count != 0 {
                total += count;
                counts.push((count, i as u32));
            }
        }
        // The sort is stable, as BCC's: equal counts keep the order in which the functions were found.
        counts.sort_by_key(|(count, _)| *count);
        let hidden = self.options.top.map_or(0, |n| counts.len().saturating_sub(n));
        let rows: Vec<CountRow<'_>> = counts[hidden..]
            .iter()
            .map(|&(count, i)| CountRow { name: self.session.name(i as usize).unwrap_or("?"), count })
            .collect();
        let block = CountBlock { moment, functions: self.functions, rows: &rows, total, missed };
        let result = print(&block);
        std::mem::swap(&mut self.base, &mut self.now);
        result
    }
}

impl Tool for Funccount<'_> {
    fn functions(&self) -> usize {
        self.functions
    }

    fn block(&mut self, out: &mut dyn Write, moment: &Moment, span: Span, missed: &[Missed]) -> Result<()> {
        let (format, style) = (self.options.format, self.options.style);
        self.with_rows(moment, span, missed, |block| match format {
            Format::Text => text::counts(out, block, style),
            Format::Json => json::counts(out, block, style),
            Format::Csv => csv::counts(out, block, style),
            Format::Folded => folded::counts(out, block, style),
        })?;
        Ok(())
    }

    fn screen(&mut self, out: &mut dyn Write, moment: &Moment, size: Size, missed: &[Missed]) -> Result<()> {
        let patterns = std::mem::take(&mut self.patterns);
        let done =
            self.with_rows(moment, Span::Interval, missed, |block| live::counts(out, block, &patterns, size));
        self.patterns = patterns;
        Ok(done?)
    }

    fn missed(&self) -> Result<Vec<Missed>> {
        Ok(vec![run::recursion(self.session.missed()?)])
    }

    fn csv_header(&self, out: &mut dyn Write) -> io::Result<()> {
        csv::count_header(out, self.options.style)
    }

    fn detach(self) {
        self.session.stop();
    }
}
