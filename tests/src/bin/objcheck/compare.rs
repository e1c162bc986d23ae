//! Puts the two sides beside each other: a table of each kernel, then every difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What one side said, by object and then by the subject: `whole`, `map NAME`, `loaded NAME`, `program NAME`.
type Side = BTreeMap<String, BTreeMap<String, String>>;

/// A difference that is explained: object, subject and kernel are patterns with `*`.
struct Known {
    kernel: String,
    object: String,
    subject: String,
    reason: String,
}

#[derive(Default)]
struct Counts {
    objects: usize,
    loaded: usize,
    same_objects: usize,
    maps: usize,
    same_maps: usize,
    programs: usize,
    programs_loaded: usize,
    same_verdict: usize,
    same_xlated: usize,
    differences: usize,
    known: usize,
}

/// Compares `DIR/libbpf` with `DIR/own` in each folder, which has the name of its kernel. False when there is a difference
/// that the table of known ones does not have.
pub fn compare(known: &str, folders: &[&str]) -> Result<bool, String> {
    let known = read_known(known)?;
    println!(
        "{:<6} {:>8} {:>7} {:>7} {:>6} {:>6} {:>9} {:>7} {:>13} {:>12} {:>12} {:>10}",
        "kernel",
        "objects",
        "load",
        "same",
        "maps",
        "same",
        "programs",
        "load",
        "same verdict",
        "same xlated",
        "differences",
        "explained"
    );
    let mut lines = Vec::new();
    let mut unexplained = 0;
    for folder in folders {
        let kernel = Path::new(folder).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (theirs, ours) = (read(folder, "libbpf")?, read(folder, "own")?);
        let counts = one(&kernel, &theirs, &ours, &known, &mut lines);
        println!(
            "{kernel:<6} {:>8} {:>7} {:>7} {:>6} {:>6} {:>9} {:>7} {:>13} {:>12} {:>12} {:>10}",
            counts.objects,
            counts.loaded,
            counts.same_objects,
            counts.maps,
            counts.same_maps,
            counts.programs,
            counts.programs_loaded,
            counts.same_verdict,
            counts.same_xlated,
            counts.differences,
            counts.known
        );
        unexplained += counts.differences - counts.known;
    }
    for line in &lines {
        println!("{line}");
    }
    println!("{unexplained} differences without an explanation");
    Ok(unexplained == 0)
}

fn one(kernel: &str, theirs: &Side, ours: &Side, known: &[Known], lines: &mut Vec<String>) -> Counts {
    let mut counts = Counts::default();
    let nothing = BTreeMap::new();
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    for name in names {
        let (their, our) = (theirs.get(name).unwrap_or(&nothing), ours.get(name).unwrap_or(&nothing));
        counts.objects += 1;
        counts.loaded += usize::from(their.get("whole").is_some_and(|v| loads(v)));
        let mut all_same = true;
        let subjects: BTreeSet<&String> =
            their.keys().chain(our.keys()).filter(|s| !s.starts_with('#')).collect();
        for subject in subjects {
            let (a, b) =
                (their.get(subject).map_or("", String::as_str), our.get(subject).map_or("", String::as_str));
            let verdict = loads(a) == loads(b);
            let same = verdict && (!loads(a) || a == b);
            if subject.starts_with("map ") {
                counts.maps += 1;
                counts.same_maps += usize::from(same);
            } else if subject.starts_with("program ") {
                counts.programs += 1;
                counts.programs_loaded += usize::from(loads(a));
                counts.same_verdict += usize::from(verdict);
                counts.same_xlated +=
                    usize::from(loads(a) && verdict && field(a, "xlated=") == field(b, "xlated="));
            }
            if same {
                continue;
            }
            all_same = false;
            counts.differences += 1;
            let reason = known.iter().find(|k| {
                matches(&k.kernel, kernel) && matches(&k.object, name) && matches(&k.subject, subject)
            });
            counts.known += usize::from(reason.is_some());
            let why = our.get(&format!("# {subject}")).map_or("", String::as_str);
            lines.push(match reason {
                Some(known) => format!("{kernel} {name} {subject}: known: {}", known.reason),
                None => format!("{kernel} {name} {subject}: {} {why}", difference(a, b)),
            });
        }
        counts.same_objects += usize::from(all_same);
    }
    counts
}

fn loads(verdict: &str) -> bool {
    !verdict.is_empty() && !verdict.contains("failed errno=") && !verdict.starts_with("no")
}

fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default()
}

/// The words that differ; of instructions the first one.
fn difference(theirs: &str, ours: &str) -> String {
    if loads(theirs) != loads(ours) {
        let short = |text: &str| text.split(" kernel_name").next().unwrap_or_default().to_owned();
        return format!("libbpf: `{}`, own: `{}`", short(theirs), short(ours));
    }
    let mut out = Vec::new();
    for (a, b) in theirs.split(' ').zip(ours.split(' ')).filter(|(a, b)| a != b) {
        if let (Some(a), Some(b)) = (a.strip_prefix("xlated="), b.strip_prefix("xlated=")) {
            let first = a.split(',').zip(b.split(',')).enumerate().find(|(_, (a, b))| a != b);
            if let Some((index, (a, b))) = first {
                out.push(format!("instruction {index}: libbpf {a}, own {b}"));
            }
        } else {
            out.push(format!("libbpf {a}, own {b}"));
        }
    }
    out.join("; ")
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

fn read(folder: &str, file: &str) -> Result<Side, String> {
    let path = Path::new(folder).join(file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut side = Side::new();
    let (mut object, mut last) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("object ") {
            object = name.to_owned();
            side.insert(object.clone(), BTreeMap::new());
            continue;
        }
        let line = line.trim_start();
        let facts = side.entry(object.clone()).or_default();
        if let Some(why) = line.strip_prefix("# ") {
            facts.insert(format!("# {last}"), why.to_owned());
            continue;
        }
        // `open failed` is the verdict on the whole.
        let mut words = line.splitn(3, ' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = words.next().unwrap_or_default();
        let (subject, verdict) = match kind {
            "whole" | "open" => ("whole".to_owned(), format!("{name} {rest}")),
            _ => (format!("{kind} {name}"), rest.to_owned()),
        };
        // Programs of one name in two sections.
        let mut key = subject.clone();
        let mut number = 1;
        while facts.contains_key(&key) {
            number += 1;
            key = format!("{subject}#{number}");
        }
        facts.insert(key.clone(), verdict);
        last = key;
    }
    Ok(side)
}

/// Lines of `kernel | object | subject | reason`.
fn read_known(path: &str) -> Result<Vec<Known>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.splitn(4, '|').map(|field| field.trim().to_owned());
            match (fields.next(), fields.next(), fields.next(), fields.next()) {
                (Some(kernel), Some(object), Some(subject), Some(reason)) => {
                    Ok(Known { kernel, object, subject, reason })
                }
                _ => Err(format!("{path}: {line}: expected KERNEL | OBJECT | SUBJECT | REASON")),
            }
        })
        .collect()
}
