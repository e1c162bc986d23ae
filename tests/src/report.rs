//! Adds up results and prints them.

use std::collections::BTreeSet;

use crate::libtest::Outcome;
use crate::skips::{Table, Where};

/// The longest piece of a failed test's output that is shown.
const SHOWN_LINES: usize = 80;

/// All results so far.
#[derive(Debug, Default)]
pub struct Report {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<(String, String)>,
    names: BTreeSet<String>,
}

impl Report {
    /// Takes one result in and prints it: `name` is `kernel/test`.
    pub fn add(&mut self, name: &str, outcome: &Outcome) {
        self.names.insert(name.to_owned());
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                println!("ok    {name}");
            }
            Outcome::Skipped(reason) => {
                println!("skip  {name}: {reason}");
                self.skipped.push((name.to_owned(), reason.clone()));
            }
            Outcome::Failed(text) => {
                println!("FAIL  {name}");
                let lines: Vec<&str> = text.lines().collect();
                if lines.len() > SHOWN_LINES {
                    println!("    ... ({} lines before these)", lines.len() - SHOWN_LINES);
                }
                for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
                    println!("    {line}");
                }
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Takes in what one test binary reported; `place` is `host` or the kernel's series. A skip that the
    /// table does not know becomes a failure.
    pub fn add_tests(
        &mut self,
        place: &str,
        at: Where<'_>,
        skips: &Table,
        suite: &str,
        outcomes: Vec<(String, Outcome)>,
    ) {
        for (test, outcome) in outcomes {
            let test = format!("{suite}::{test}");
            let outcome = match outcome {
                Outcome::Skipped(reason) if !skips.allows(at, &test, &reason) => Outcome::Failed(format!(
                    "skipped, and tests/expected-skips does not accept that on {}: {reason}",
                    at.release
                )),
                other => other,
            };
            self.add(&format!("{place}/{test}"), &outcome);
        }
    }

    /// Prints failures and skips once more, then the closing line. True when nothing failed and something ran.
    pub fn finish(&self) -> bool {
        println!();
        if !self.skipped.is_empty() {
            println!("skipped:");
            for (name, reason) in &self.skipped {
                println!("  {name}: {reason}");
            }
        }
        if !self.failed.is_empty() {
            println!("failed:");
            for name in &self.failed {
                println!("  {name}");
            }
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len());
        self.failed.is_empty() && self.passed > 0
    }
}
