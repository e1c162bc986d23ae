//! Our side, and the comparison.

use crate::truth::{Counts, Truth, counts, reason};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgFlags;
use btf::Btf;
use jit_check::kernel::{Kernel, Privileges, Version};
use jit_check::verifier::{Options, Verdict, verify};
use loader::{Object, Target};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

struct Setup<'a> {
    objects: &'a Path,
    kernel: Kernel<'a>,
    target: Target<'a>,
    only: Option<&'a str>,
    show: &'a str,
}

/// How one program came out.
struct Outcome {
    truth: Truth,
    ours: Result<Verdict, String>,
    took: Duration,
}

impl Outcome {
    fn same_verdict(&self) -> bool {
        self.ours.as_ref().is_ok_and(|ours| ours.accepted == self.truth.accepted())
    }

    fn our_counts(&self) -> Option<Counts> {
        let stats = &self.ours.as_ref().ok()?.stats;
        Some(Counts {
            insns: stats.insns.into(),
            total_states: stats.total_states.into(),
            peak_states: stats.peak_states.into(),
        })
    }

    fn same_insns(&self) -> bool {
        match (counts(&self.truth.log), self.our_counts()) {
            (Some(theirs), Some(ours)) => theirs.insns == ours.insns,
            _ => false,
        }
    }

    fn same_counts(&self) -> bool {
        counts(&self.truth.log) == self.our_counts()
    }

    fn same_reason(&self) -> bool {
        self.ours.as_ref().is_ok_and(|ours| reason(&self.truth.log) == reason(&ours.log))
    }
}

pub fn run(args: &[String]) -> Result<(), String> {
    let mut plain = Vec::new();
    let (mut config, mut symbols, mut only, mut show) = (None, None, None, "");
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--config" => config = Some(read_text(value()?)?),
            "--symbols" => symbols = Some(read_text(value()?)?),
            "--only" => only = Some(value()?.as_str()),
            "--show" => show = value()?.as_str(),
            _ => plain.push(arg.as_str()),
        }
    }
    let [truth, objects, version, btf] = plain[..] else {
        return Err("TRUTH OBJECTS KERNEL BTF are needed".to_owned());
    };
    let btf = fs::read(btf).map_err(|e| format!("{btf}: {e}"))?;
    let btf = Btf::parse(&btf).map_err(|e| e.to_string())?;
    let version: Version = version.parse()?;
    let code = u32::from(version.0) << 16 | u32::from(version.1) << 8;
    let mut target =
        Target::described(Some(&btf)).version_is(code).features_are(true, true).modules_are(Vec::new());
    target = target.config_is(config.as_deref().unwrap_or_default());
    if let Some(symbols) = &symbols {
        target = target.symbols_are(symbols_in(symbols));
    }
    let mut kernel = Kernel::new(version, Some(&btf));
    kernel.cpus = 2;
    let setup = Setup { objects: Path::new(objects), kernel, target, only, show };
    let mut outcomes = Vec::new();
    let mut by_object: BTreeMap<String, Vec<Truth>> = BTreeMap::new();
    for truth in read_text(truth)?.lines().filter_map(Truth::read) {
        by_object.entry(truth.object.clone()).or_default().push(truth);
    }
    for (name, truths) in by_object {
        one_object(&setup, &name, truths, &mut outcomes);
    }
    report(&setup, &outcomes);
    Ok(())
}

fn read_text(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
}

fn symbols_in(map: &str) -> Vec<(String, u64)> {
    map.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            Some((words.nth(1)?.to_owned(), address))
        })
        .collect()
}

fn one_object(setup: &Setup<'_>, name: &str, truths: Vec<Truth>, outcomes: &mut Vec<Outcome>) {
    let path = setup.objects.join(format!("{name}.bpf.o"));
    let object = fs::read(&path)
        .map_err(|e| e.to_string())
        .and_then(|bytes| Object::parse(name, &bytes).map_err(|e| e.to_string()));
    for truth in truths {
        if !truth.attempted
            || setup.only.is_some_and(|only| !format!("{name}/{}", truth.program).contains(only))
        {
            continue;
        }
        let started = Instant::now();
        let ours = match &object {
            Ok(object) => {
                let work = || one_program(setup, object, &truth);
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
                })
            }
            Err(error) => Err(error.clone()),
        };
        outcomes.push(Outcome { truth, ours, took: started.elapsed() });
    }
}

fn one_program(setup: &Setup<'_>, object: &Object, truth: &Truth) -> Result<Verdict, String> {
    let mut object = object.clone();
    fill_sizes(&mut object);
    let mut at = None;
    for (index, program) in object.programs.iter_mut().enumerate() {
        program.autoload = program.name == truth.program;
        if program.autoload {
            program.flags |= ProgFlags::from_bits_retain(truth.flags);
            at = Some(index);
        }
    }
    let at = at.ok_or("the object has no such program")?;
    let object = object.relocate(&setup.target).map_err(|e| format!("relocate: {e}"))?;
    let program = jit_check::prepare(&object, at, &setup.kernel).map_err(|e| format!("prepare: {e}"))?;
    let mut options = Options::default();
    options.log_level = if setup.show == "log" { 2 } else { 4 };
    options.privileges = if truth.unprivileged { Privileges::None } else { Privileges::Full };
    Ok(verify(&program, &setup.kernel, &options))
}

/// Sizes that programs set themselves before they load, as `truth.c` sets them.
fn fill_sizes(object: &mut Object) {
    for map in &mut object.maps {
        let sized_by_others = [
            MapType::PerfEventArray,
            MapType::SkStorage,
            MapType::InodeStorage,
            MapType::TaskStorage,
            MapType::CgrpStorage,
            MapType::StructOps,
        ];
        if map.max_entries == 0 && !sized_by_others.contains(&map.map_type) {
            map.max_entries = 64;
        }
        if map.value_size == 0 && map.map_type == MapType::StackTrace {
            map.value_size = 127 * 8;
        }
    }
}

#[derive(Default)]
struct Row {
    programs: usize,
    verdict: usize,
    too_lax: usize,
    too_strict: usize,
    failed: usize,
    insns: usize,
    counts: usize,
    rejected: usize,
    reason: usize,
}

impl Row {
    fn add(&mut self, outcome: &Outcome) {
        self.programs += 1;
        self.verdict += usize::from(outcome.same_verdict());
        self.insns += usize::from(outcome.same_insns());
        self.counts += usize::from(outcome.same_counts());
        match &outcome.ours {
            Err(_) => self.failed += 1,
            Ok(ours) if !outcome.same_verdict() => {
                self.too_lax += usize::from(ours.accepted);
                self.too_strict += usize::from(!ours.accepted);
            }
            Ok(_) => {}
        }
        if !outcome.truth.accepted() {
            self.rejected += 1;
            self.reason += usize::from(outcome.same_reason());
        }
    }

    fn print(&self, name: &str) {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        println!(
            "{name:<28} {:>5} {:>6.1} % {:>4} {:>4} {:>4} {:>7.1} % {:>7.1} % {:>5} {:>7.1} %",
            self.programs,
            percent(self.verdict, self.programs),
            self.too_lax,
            self.too_strict,
            self.failed,
            percent(self.insns, self.programs),
            percent(self.counts, self.programs),
            self.rejected,
            percent(self.reason, self.rejected)
        );
    }
}

fn report(setup: &Setup<'_>, outcomes: &[Outcome]) {
    for outcome in outcomes {
        show(setup.show, outcome);
    }
    println!(
        "{:<28} {:>5} {:>8} {:>4} {:>4} {:>4} {:>9} {:>9} {:>5} {:>9}",
        "", "progs", "verdict", "lax", "hard", "none", "insns", "states", "rej", "reason"
    );
    let mut families: BTreeMap<&str, Row> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.truth.unprivileged) {
        families.entry(family(&outcome.truth.object)).or_default().add(outcome);
    }
    for (name, row) in &families {
        row.print(name);
    }
    for (name, wanted) in [("annotated, privileged", (true, false)), ("others, privileged", (false, false))] {
        let mut row = Row::default();
        outcomes
            .iter()
            .filter(|o| (o.truth.annotated, o.truth.unprivileged) == wanted)
            .for_each(|o| row.add(o));
        row.print(name);
    }
    let mut row = Row::default();
    outcomes.iter().filter(|o| !o.truth.unprivileged).for_each(|o| row.add(o));
    row.print("all, privileged");
    let mut row = Row::default();
    outcomes.iter().filter(|o| o.truth.unprivileged).for_each(|o| row.add(o));
    row.print("all, unprivileged");
    let mut times: Vec<_> = outcomes.iter().map(|o| (o.took, &o.truth)).collect();
    times.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    let sum: Duration = times.iter().map(|(took, _)| *took).sum();
    println!("{:.1} s in all; the slowest:", sum.as_secs_f64());
    for (took, truth) in times.iter().take(5) {
        println!("  {:>8.3} s {}/{}", took.as_secs_f64(), truth.object, truth.program);
    }
}

fn show(what: &str, outcome: &Outcome) {
    let Outcome { truth, ours, .. } = outcome;
    let wanted = match what {
        "verdict" => !outcome.same_verdict(),
        "lax" => !outcome.same_verdict() && ours.as_ref().is_ok_and(|ours| ours.accepted),
        "count" => outcome.same_verdict() && !outcome.same_insns(),
        "states" => outcome.same_verdict() && outcome.same_insns() && !outcome.same_counts(),
        "reason" => outcome.same_verdict() && !truth.accepted() && !outcome.same_reason(),
        "panic" => ours.as_ref().is_err_and(|text| text.starts_with("panic")),
        "all" | "log" => true,
        _ => false,
    };
    if !wanted {
        return;
    }
    let privileges = if truth.unprivileged { " (unprivileged)" } else { "" };
    println!("== {}/{} [{}]{privileges}", truth.object, truth.program, truth.section);
    println!("   kernel: {} {:?} {}", truth.err, counts(&truth.log), line_of(&truth.log, &truth.libbpf));
    match ours {
        Ok(ours) => {
            if what == "log" {
                println!("{}", ours.log);
            }
            let unmodelled = ours.unmodelled.join(", ");
            println!(
                "   ours:   {} {:?} {} {unmodelled}",
                -ours.errno,
                outcome.our_counts(),
                reason(&ours.log)
            );
        }
        Err(error) => println!("   ours:   {error}"),
    }
}

fn line_of<'a>(log: &'a str, libbpf: &'a str) -> &'a str {
    match reason(log) {
        "" => libbpf.lines().last().unwrap_or_default(),
        line => line,
    }
}

/// Families of the kernel's selftests by what they are about.
fn family(object: &str) -> &'static str {
    let is = |words: &[&str]| words.iter().any(|word| object.contains(word));
    if is(&["dynptr"]) {
        "dynptrs"
    } else if is(&["kfunc", "cpumask", "trusted", "nested"]) {
        "kernel functions"
    } else if is(&["kptr", "linked_list", "rbtree", "refcounted", "local_kptr"]) {
        "kptrs, lists, trees"
    } else if is(&["arena"]) {
        "arena"
    } else if is(&["spin_lock", "preempt", "irq", "rcu"]) {
        "locks, RCU"
    } else if is(&["loop", "iter", "timer", "callback", "for_each"]) {
        "loops, iterators, callbacks"
    } else if is(&["packet", "xdp", "meta_access", "lwt", "ld_ind", "skb"]) {
        "packets"
    } else if is(&["ref_tracking", "sock", "tcp", "cgroup", "sk_"]) {
        "sockets, cgroups"
    } else if is(&["stack", "spill", "raw_stack", "live", "private"]) {
        "stack"
    } else if is(&["subprog", "func", "tailcall", "exceptions", "goto", "cfg", "global", "call"]) {
        "calls, control flow"
    } else if is(&["ctx", "lsm", "vfs", "netfilter", "btf_ctx", "direct_"]) {
        "contexts"
    } else if is(&[
        "bounds",
        "scalar",
        "div",
        "subreg",
        "movsx",
        "ldsx",
        "linked",
        "precision",
        "var_off",
        "unpriv",
        "array_access",
        "and",
        "value",
        "masking",
        "xadd",
        "bswap",
    ]) {
        "numbers, map values"
    } else if is(&["helper", "map_", "ringbuf"]) {
        "helpers, maps"
    } else if object.starts_with("verifier_") {
        "other verifier_*"
    } else {
        "other objects"
    }
}
