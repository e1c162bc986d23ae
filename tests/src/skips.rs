//! Which skips are accepted where: the table `tests/expected-skips`. Any other skip is a failure, so that a
//! test cannot quietly stop running on a kernel that has what it needs.

use crate::kernels::version;

/// One row: on these kernels, these tests may be skipped for this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    place: Place,
    test: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The running machine.
    Host,
    /// Every guest.
    Guests,
    /// Kernels before this version, wherever they run.
    Before((u32, u32)),
    /// Every kernel.
    Any,
}

/// Where a test ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Where<'a> {
    /// On the running machine and not in a guest.
    pub host: bool,
    /// The kernel's release.
    pub release: &'a str,
}

/// The table of accepted skips.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Reads rows of `PLACE | TEST GLOB | REASON GLOB`; `#` begins a comment line.
    ///
    /// # Errors
    /// The line that is not such a row.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let row = parse_row(line).ok_or_else(|| {
                format!(
                    "expected-skips:{}: not `host|guests|any|<VERSION | test | reason`: {line}",
                    number + 1
                )
            })?;
            rows.push(row);
        }
        Ok(Self(rows))
    }

    /// Whether this skip is one that the table accepts.
    pub fn allows(&self, at: Where<'_>, test: &str, reason: &str) -> bool {
        self.0.iter().any(|row| {
            let here = match row.place {
                Place::Host => at.host,
                Place::Guests => !at.host,
                Place::Before(limit) => version(at.release).is_some_and(|v| v < limit),
                Place::Any => true,
            };
            here && glob(&row.test, test) && glob(&row.reason, reason)
        })
    }
}

fn parse_row(line: &str) -> Option<Row> {
    let mut columns = line.splitn(3, '|').map(str::trim);
    let (place, test, reason) = (columns.next()?, columns.next()?, columns.next()?);
    let place = match place {
        "host" => Place::Host,
        "guests" => Place::Guests,
        "any" => Place::Any,
        _ => Place::Before(version(place.strip_prefix('<')?)?),
    };
    (!test.is_empty() && !reason.is_empty()).then(|| Row {
        place,
        test: test.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Matches with `*` for any text; upper and lower case are the same.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Table, Where, glob};

    #[test]
    fn globs() {
        for (pattern, text, is) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*b*", "axxbyy", true),
            ("*kprobe*", "needs Kprobe.multi", true),
            ("abc", "abcd", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn a_skip_is_accepted_only_where_the_table_says() {
        let table =
            Table::parse("# comment\n<5.18 | * | *kprobe.multi*\nhost | probes* | no kprobes\n").unwrap();
        let guest = |release| Where { host: false, release };
        assert!(table.allows(guest("5.10.0-32"), "probes::root_x", "needs kprobe.multi"));
        assert!(!table.allows(guest("6.12.1"), "probes::root_x", "needs kprobe.multi"));
        assert!(!table.allows(guest("5.10"), "probes::root_x", "no kprobes"));
        assert!(table.allows(Where { host: true, release: "6.18" }, "probes::root_x", "no kprobes"));
        assert!(Table::parse("sometimes | * | *").is_err());
    }
}
