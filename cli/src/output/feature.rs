//! The table and the object of `tracewell feature`.

use super::json::{Object, array, string};
use std::io::{self, Write};

/// What a probe for a feature found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Yes,
    /// It is not; the reason.
    No(String),
    /// It could not be found out; the reason.
    Unknown(String),
}

/// One feature.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether the kernel has it.
    pub answer: Answer,
    /// The release that brought it, empty where that is unknown or does not matter.
    pub since: &'static str,
    /// What it is good for, empty where the name says it.
    pub purpose: &'static str,
}

/// Which way a kind of event will take.
#[derive(Clone, Debug)]
pub struct Path {
    /// `kernel functions`, ...
    pub events: &'static str,
    /// The way, or `None` where there is none.
    pub way: Option<&'static str>,
    /// What is to be known about it: the reason where there is none.
    pub note: String,
}

/// Everything that is printed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// `6.18.44`.
    pub release: String,
    /// `x86_64`.
    pub machine: String,
    /// The ways of the tools.
    pub paths: Vec<Path>,
    /// Features in groups: a title and its rows.
    pub groups: Vec<(&'static str, Vec<Feature>)>,
}

/// For people.
pub fn text(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "Linux {} on {}", report.release, report.machine)?;
    writeln!(out, "\nThe way each kind of event takes")?;
    for p in &report.paths {
        let way = p.way.unwrap_or("none");
        let gap = if p.note.is_empty() { "" } else { "  " };
        writeln!(out, "{}", format!("  {:<28} {way:<22}{gap}{}", p.events, p.note).trim_end())?;
    }
    for (title, rows) in &report.groups {
        writeln!(out, "\n{title}")?;
        for f in rows {
            let (word, why) = words(&f.answer);
            let note = if why.is_empty() { f.purpose } else { why };
            let since = if f.since.is_empty() { String::new() } else { format!("since {}", f.since) };
            writeln!(out, "{}", format!("  {:<28} {word:<8} {since:<12} {note}", f.name).trim_end())?;
        }
    }
    Ok(())
}

/// For programs: `{"release": .., "machine": .., "paths": [..], "features": [..]}`.
pub fn json(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut object = Object::begin(out)?;
    object.str("release", &report.release)?.str("machine", &report.machine)?;
    array(object.key("paths")?, &report.paths, |out, p| {
        let mut one = Object::begin(out)?;
        one.str("events", p.events)?;
        match p.way {
            Some(way) => string(one.key("way")?, way)?,
            None => write!(one.key("way")?, "null")?,
        }
        if !p.note.is_empty() {
            one.str("note", &p.note)?;
        }
        one.end()
    })?;
    let all = report.groups.iter().flat_map(|(title, rows)| rows.iter().map(move |f| (*title, f)));
    array(object.key("features")?, all, |out, (title, f)| {
        let (word, why) = words(&f.answer);
        let mut one = Object::begin(out)?;
        one.str("group", title)?.str("name", &f.name)?.str("answer", word)?;
        if !f.since.is_empty() {
            one.str("since", f.since)?;
        }
        if !why.is_empty() {
            one.str("why", why)?;
        }
        if !f.purpose.is_empty() {
            one.str("purpose", f.purpose)?;
        }
        one.end()
    })?;
    object.end()?;
    writeln!(out)
}

fn words(answer: &Answer) -> (&'static str, &str) {
    match answer {
        Answer::Yes => ("yes", ""),
        Answer::No(why) => ("no", why),
        Answer::Unknown(why) => ("unknown", why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn report() -> Report {
        let feature =
            |name: &str, answer, since| Feature { name: name.into(), answer, since, purpose: "For a test" };
        Report {
            release: "6.18.44".into(),
            machine: "x86_64".into(),
            paths: vec![
                Path { events: "kernel functions", way: None, note: "built without CONFIG_KPROBES".into() },
                Path { events: "tracepoints", way: Some("perf event"), note: String::new() },
            ],
            groups: vec![(
                "Attaching",
                vec![
                    feature("kprobe.multi link", Answer::No("EOPNOTSUPP".into()), "5.18"),
                    feature("attach cookies", Answer::Yes, "5.15"),
                    feature("ring buffer", Answer::Unknown("EPERM".into()), "5.8"),
                ],
            )],
        }
    }

    #[test]
    fn for_people() {
        let mut out = Vec::new();
        text(&mut out, &report()).unwrap();
        expect![[r#"
            Linux 6.18.44 on x86_64

            The way each kind of event takes
              kernel functions             none                    built without CONFIG_KPROBES
              tracepoints                  perf event

            Attaching
              kprobe.multi link            no       since 5.18   EOPNOTSUPP
              attach cookies               yes      since 5.15   For a test
              ring buffer                  unknown  since 5.8    EPERM
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn for_programs() {
        let mut out = Vec::new();
        json(&mut out, &report()).unwrap();
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON");
        expect![[r#"
            {"release":"6.18.44","machine":"x86_64","paths":[{"events":"kernel functions","way":null,"note":"built without CONFIG_KPROBES"},{"events":"tracepoints","way":"perf event"}],"features":[{"group":"Attaching","name":"kprobe.multi link","answer":"no","since":"5.18","why":"EOPNOTSUPP","purpose":"For a test"},{"group":"Attaching","name":"attach cookies","answer":"yes","since":"5.15","purpose":"For a test"},{"group":"Attaching","name":"ring buffer","answer":"unknown","since":"5.8","why":"EPERM","purpose":"For a test"}]}
        "#]].assert_eq(&text);
    }
}
