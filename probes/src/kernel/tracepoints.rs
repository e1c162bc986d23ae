//! Kernel tracepoints by pattern.

use std::ops::ControlFlow;

use super::suggest::Suggest;
use crate::error::{Error, Result};
use crate::spec::Pattern;
use crate::tracefs::Tracefs;

/// One tracepoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tracepoint {
    /// The category (the kernel calls it system), like `sched`.
    pub category: String,
    /// The event, like `sched_switch`.
    pub event: String,
}

impl Tracepoint {
    /// The id for `perf_event_open`.
    pub fn id(&self, tracefs: &Tracefs) -> Result<u64> {
        tracefs.event_id(&self.category, &self.event)
    }
}

impl std::fmt::Display for Tracepoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.category, self.event)
    }
}

/// The tracepoints whose category and event match. Two literals need no list, and a literal category needs only its
/// own directory: `available_events` waits for the kernel's event lock, which whoever has just detached still holds.
///
/// Errors: [`Error::NoMatch`] with the nearest names, or tracefs cannot be read.
pub fn find(tracefs: &Tracefs, category: &Pattern, event: &Pattern) -> Result<Vec<Tracepoint>> {
    if let (Some(category), Some(event)) = (category.literal(), event.literal())
        && tracefs.has_event(category, event)
    {
        return Ok(vec![Tracepoint { category: category.to_owned(), event: event.to_owned() }]);
    }
    // The events of `ftrace` are records of its own tracers; a list of what can be enabled leaves them out.
    if let Some(category) = category.literal().filter(|&c| c != "ftrace")
        && let Ok(mut events) = tracefs.events(category)
    {
        events.retain(|e| event.matches(e));
        if !events.is_empty() {
            let whole = |event| Tracepoint { category: category.to_owned(), event };
            return Ok(events.into_iter().map(whole).collect());
        }
    }
    let mut found = Vec::new();
    tracefs.for_each_event(|c, e| {
        if category.matches(c) && event.matches(e) {
            found.push(Tracepoint { category: c.to_owned(), event: e.to_owned() });
        }
        ControlFlow::Continue(())
    })?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(Error::NoMatch {
        what: "tracepoint",
        pattern: format!("{category}:{event}"),
        near: nearest(tracefs, category, event),
    })
}

fn nearest(tracefs: &Tracefs, category: &Pattern, event: &Pattern) -> Vec<String> {
    let whole = format!("{category}:{event}");
    let (mut by_event, mut by_both) = (Suggest::new(event.text()), Suggest::new(&whole));
    let mut name = String::new();
    // Advice is a courtesy: without a list there is none.
    let _ = tracefs.for_each_event(|c, e| {
        name.clear();
        name.extend([c, ":", e]);
        by_both.offer(name.as_bytes(), || name.clone());
        by_event.offer(e.as_bytes(), || name.clone());
        ControlFlow::Continue(())
    });
    let mut near = by_both.into_names();
    // `t:sched` asks for an event of any category, and what was meant is a category.
    if tracefs.categories().is_ok_and(|all| all.iter().any(|c| c == event.text())) {
        near.insert(0, format!("{}:*", event.text()));
    }
    if near.is_empty() && category.literal().is_some() {
        near = nearest_categories(tracefs, category.text());
    }
    for name in by_event.into_names() {
        if !near.contains(&name) {
            near.push(name);
        }
    }
    near.truncate(super::suggest::COUNT);
    near
}

/// For an event of which nothing is near: all events of the category, or of those that are spelt like it.
fn nearest_categories(tracefs: &Tracefs, category: &str) -> Vec<String> {
    let mut suggest = Suggest::new(category);
    for other in tracefs.categories().unwrap_or_default() {
        if other == category {
            return vec![format!("{category}:*")];
        }
        suggest.offer(other.as_bytes(), || format!("{other}:*"));
    }
    suggest.into_names()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::syscalls;
    use crate::spec::Syntax;

    fn glob(text: &str) -> Pattern {
        Pattern::new(text, Syntax::Glob).unwrap()
    }

    #[test]
    fn root_tracepoints_by_pattern() {
        let tracefs = match Tracefs::locate() {
            Ok(found) => found,
            Err(error) => return eprintln!("SKIP root_tracepoints_by_pattern: {error}"),
        };
        let one = find(&tracefs, &glob("sched"), &glob("sched_switch")).unwrap();
        assert_eq!(one[0].to_string(), "sched:sched_switch");
        assert!(one[0].id(&tracefs).unwrap() > 0);
        let wake = find(&tracefs, &glob("sched"), &glob("sched_wak*")).unwrap();
        assert!(wake.len() >= 3, "{wake:?}");
        let error = find(&tracefs, &glob("sched"), &glob("sched_swich")).unwrap_err().to_string();
        assert!(
            error.starts_with("no tracepoint matches `sched:sched_swich`; did you mean sched:sched_switch"),
            "{error}"
        );
        let error = find(&tracefs, &glob("shed"), &glob("sched_switch")).unwrap_err().to_string();
        assert!(error.contains("did you mean sched:sched_switch"), "{error}");
    }

    /// The kernel's own names, against our table: every call that has a tracepoint is in it.
    #[test]
    fn root_the_syscall_table_has_every_tracepoint() {
        let test = "root_the_syscall_table_has_every_tracepoint";
        let tracefs = match Tracefs::locate() {
            Ok(found) => found,
            Err(error) => return eprintln!("SKIP {test}: {error}"),
        };
        let Ok(calls) = find(&tracefs, &glob("syscalls"), &glob("sys_enter_*")) else {
            return eprintln!("SKIP {test}: the kernel has no syscall tracepoints (CONFIG_FTRACE_SYSCALLS)");
        };
        if syscalls::names().is_empty() {
            return eprintln!("SKIP {test}: no table for this architecture");
        }
        let names: Vec<&str> = calls.iter().filter_map(|c| c.event.strip_prefix("sys_enter_")).collect();
        // A newer kernel may have more; the oldest and most of all must be there.
        let unknown: Vec<&&str> = names.iter().filter(|n| syscalls::number(n).is_none()).collect();
        assert!(unknown.len() <= 10, "{unknown:?}");
        eprintln!("{} syscalls, not in the table: {unknown:?}", names.len());
        assert!(names.contains(&"openat") && syscalls::number("openat").is_some());
    }
}
