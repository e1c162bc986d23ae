//! Reads what a libtest binary prints, and the `SKIP name: reason` lines with which this project's tests say that
//! they could not run.
//!
//! Two ways to run one are understood: `--show-output` (several tests at once; what they print follows at the end)
//! and `--nocapture --test-threads=1` (what a test prints comes between its name and its verdict, and is there even
//! when the machine stops in the middle of it).

use std::collections::{BTreeMap, BTreeSet};

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and passed.
    Passed,
    /// It failed; what it printed.
    Failed(String),
    /// It said that it could not run, and why.
    Skipped(String),
}

/// Reads one binary's merged standard output and error.
///
/// `planned` are the names that were asked for (empty: any). One of them that did not report gets a
/// [`Outcome::Failed`]: the binary crashed, hung, or took the kernel down. A test of which only a part was
/// skipped (`SKIP name[part]: reason`) is listed a second time under `name[part]`.
pub fn parse(output: &str, planned: &[String]) -> Vec<(String, Outcome)> {
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut skips: Vec<(&str, &str)> = Vec::new();
    let mut printed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut section: Option<&str> = None;
    let mut running: Option<&str> = None;
    let mut begun = BTreeSet::new();
    for line in output.lines() {
        let line = line.trim_end_matches('\r');
        if let Some((name, reason)) = skip_line(line) {
            skips.push((name, reason));
        }
        let test = test_line(line);
        if let Some(name) = running {
            // Uncaptured output: it goes on until a verdict, which has its own line or ends the test's last one.
            if let Some(outcome) = verdict_of(line) {
                outcomes.insert(name.to_owned(), outcome);
                running = None;
                continue;
            }
            if test.is_none() && !line.starts_with("test result: ") && line != "failures:" {
                printed.entry(name).or_default().push(line);
                continue;
            }
            let last = printed.get(name).and_then(|lines| lines.iter().rev().find(|l| !l.is_empty()));
            let verdict = last.and_then(|l| ["ok", "FAILED"].into_iter().find(|v| l.ends_with(v)));
            if let Some(outcome) = verdict.and_then(verdict_of) {
                outcomes.insert(name.to_owned(), outcome);
            }
            running = None;
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|l| l.strip_suffix(" stdout ----")) {
            section = Some(name);
        } else if line == "failures:" || line == "successes:" || line.starts_with("test result: ") {
            section = None;
        } else if let Some(name) = section {
            printed.entry(name).or_default().push(line);
        } else if let Some((name, verdict)) = test {
            match verdict_of(verdict) {
                Some(outcome) => drop(outcomes.insert(name.to_owned(), outcome)),
                None => {
                    running = Some(name);
                    begun.insert(name);
                    printed.entry(name).or_default().push(verdict);
                }
            }
        }
    }
    for (name, outcome) in &mut outcomes {
        if let Outcome::Failed(text) = outcome {
            *text = printed.get(name.as_str()).map(|lines| lines.join("\n")).unwrap_or_default();
        }
    }
    for (said, reason) in skips {
        apply_skip(&mut outcomes, said, reason);
    }
    for name in planned {
        if !outcomes.contains_key(name) {
            let why = if begun.contains(name.as_str()) { "began and never ended" } else { "never ran" };
            let tail: Vec<&str> = output.lines().rev().take(25).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            outcomes.insert(
                name.clone(),
                Outcome::Failed(format!(
                    "the test {why}; the last lines of its binary:\n{}",
                    tail.join("\n")
                )),
            );
        }
    }
    outcomes.into_iter().collect()
}

/// `SKIP name: reason`
fn skip_line(line: &str) -> Option<(&str, &str)> {
    // libtest has written "test name ... " before a line that bypasses its capture.
    let at = if line.starts_with("SKIP ") { 0 } else { line.find(" ... SKIP ").map(|at| at + 5)? };
    line[at..].strip_prefix("SKIP ")?.split_once(": ")
}

/// `test name ... verdict`
fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ").or_else(|| {
        // Cut off in mid-line: the machine stopped, or a message follows.
        line.strip_prefix("test ")?.strip_suffix(" ...").map(|name| (name, ""))
    })?;
    Some((name.strip_suffix(" - should panic").unwrap_or(name), verdict))
}

fn verdict_of(text: &str) -> Option<Outcome> {
    match text.trim() {
        "ok" => Some(Outcome::Passed),
        "FAILED" => Some(Outcome::Failed(String::new())),
        ignored if ignored == "ignored" || ignored.starts_with("ignored, ") => {
            Some(Outcome::Skipped(ignored.to_owned()))
        }
        _ => None,
    }
}

/// The test that a skip line speaks of is named with or without the modules that it lives in.
fn apply_skip(outcomes: &mut BTreeMap<String, Outcome>, said: &str, reason: &str) {
    let (name, part) = match said.find('[') {
        Some(at) => (&said[..at], &said[at..]),
        None => (said, ""),
    };
    let found = outcomes.keys().find(|k| {
        let rest = k.strip_suffix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
    });
    let skipped = Outcome::Skipped(reason.to_owned());
    match found.cloned() {
        Some(full) if part.is_empty() => {
            if outcomes.get(&full) == Some(&Outcome::Passed) {
                outcomes.insert(full, skipped);
            }
        }
        Some(full) => drop(outcomes.insert(format!("{full}{part}"), skipped)),
        None => drop(outcomes.insert(said.to_owned(), skipped)),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use expect_test::expect;

    #[test]
    fn every_way_to_end() {
        let output = "
running 6 tests
test a::good ... ok
test a::bad ... FAILED
test a::root_x ... ok
test a::later ... ignored, slow
test a::loud ... SKIP loud: no tracefs
ok
test a::talks ... one
two ok
test a::breaks ... thread panicked
why
FAILED
test a::parts ... ok
test a::hangs ...
successes:

---- a::root_x stdout ----
SKIP root_x: no kprobe.multi (since Linux 5.18)

---- a::parts stdout ----
SKIP parts[uprobe-multi]: needs 6.6

failures:

---- a::bad stdout ----
left: 1
right: 2

failures:
    a::bad

test result: FAILED. 3 passed; 1 failed
";
        let planned = ["a::hangs".to_owned(), "a::good".to_owned()];
        let mut shown = String::new();
        for (name, outcome) in parse(output, &planned) {
            let outcome = format!("{outcome:?}");
            shown += &format!("{name}: {}\n", outcome.split(" lines of").next().unwrap_or_default());
        }
        expect![[r#"
            a::bad: Failed("left: 1\nright: 2\n")
            a::breaks: Failed("thread panicked\nwhy")
            a::good: Passed
            a::hangs: Failed("the test began and never ended; the last
            a::later: Skipped("ignored, slow")
            a::loud: Skipped("no tracefs")
            a::parts: Passed
            a::parts[uprobe-multi]: Skipped("needs 6.6")
            a::root_x: Skipped("no kprobe.multi (since Linux 5.18)")
            a::talks: Passed
        "#]]
        .assert_eq(&shown);
    }
}
