//! Builds everything, runs it here and in guests, prints one summary. `tests/run` prepares the machine and
//! then starts this.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tracewell_tests::build::{self, Built, Mode, TestBinary};
use tracewell_tests::guest::{self, GuestRun, Limits, SuiteOutput};
use tracewell_tests::initramfs::{self, Content, Suite};
use tracewell_tests::kernels::{self, Kernel};
use tracewell_tests::libtest::{self, Outcome};
use tracewell_tests::report::Report;
use tracewell_tests::skips::{Table, Where};

const USAGE: &str = "\
usage: tests/run [OPTIONS]

With no options: formatting, lints, documentation, every test on this machine, then
the tests that need a kernel of their own on each kernel of tests/kernels.

  --kernel SERIES   only this kernel's guest (may be repeated); no checks, no tests here
  --test SUBSTRING  only tests whose names contain this (may be repeated)
  --package NAME    only tests of this package (may be repeated): tracewell-probes
  --host-only       no guests
  --shell SERIES    a shell in a guest: busybox, tracefs, tracewell and workload in PATH;
                    with --test or --package: those test binaries in /tests
  --list            print the names of the tests that would run
  --quick           no checks; the guests get an unoptimized tracewell
  --help            this text
";

/// MiB a guest gets.
const MEMORY: u32 = 1024;
/// How long one test binary may take, seconds: the guests are emulated.
const SUITE_SECONDS: u64 = 420;

#[derive(Debug, Default)]
struct Options {
    kernels: Vec<String>,
    tests: Vec<String>,
    packages: Vec<String>,
    shell: Option<String>,
    host_only: bool,
    list: bool,
    quick: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
            match arg.as_str() {
                "--kernel" => options.kernels.push(value()?),
                "--test" => options.tests.push(value()?),
                "--package" => options.packages.push(value()?),
                "--shell" => options.shell = Some(value()?),
                "--host-only" => options.host_only = true,
                "--list" => options.list = true,
                "--quick" => options.quick = true,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                _ => return Err(format!("unknown option {arg}\n\n{USAGE}")),
            }
        }
        Ok(options)
    }

    fn wants(&self, test: &str) -> bool {
        self.tests.is_empty() || self.tests.iter().any(|t| test.contains(t.as_str()))
    }

    /// Lints and formatting are checked when everything is.
    fn checks(&self) -> bool {
        !self.quick && !self.list && self.everything() && self.kernels.is_empty()
    }

    /// No tests were picked.
    fn everything(&self) -> bool {
        self.tests.is_empty() && self.packages.is_empty()
    }

    /// cargo's arguments for building the tests.
    fn cargo_test(&self) -> Vec<&str> {
        let mut args = vec!["test", "--tests", "--no-run", "--quiet"];
        if self.packages.is_empty() {
            args.push("--workspace");
        }
        args.extend(self.packages.iter().flat_map(|package| ["-p", package]));
        args
    }

    fn host(&self) -> bool {
        self.host_only || self.kernels.is_empty()
    }

    fn guests(&self) -> bool {
        !self.host_only
    }
}

fn main() -> ExitCode {
    let result = Options::parse(env::args().skip(1)).and_then(|options| run(&options));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// The repository, found from where this program's source lies.
fn repository() -> Result<PathBuf, String> {
    let here = env::current_dir().map_err(|e| format!("no current directory: {e}"))?;
    if here.join("tests/kernels").is_file() { Ok(here) } else { Err("start tests/run instead".to_owned()) }
}

fn run(options: &Options) -> Result<bool, String> {
    let root = repository()?;
    let table = kernels::table(&root).map_err(|e| format!("tests/kernels: {e}"))?;
    if let Some(series) = &options.shell {
        return shell(&root, options, &pick(&table, std::slice::from_ref(series))?[0]);
    }
    let kernels = if options.kernels.is_empty() { table } else { pick(&table, &options.kernels)? };
    let skips = fs::read_to_string(root.join("tests/expected-skips"))
        .map_err(|e| format!("tests/expected-skips: {e}"))
        .and_then(|text| Table::parse(&text))?;
    let mut report = Report::default();
    if options.checks() {
        checks(&root, &mut report);
    }
    if options.host() {
        on_host(&root, options, &skips, &mut report)?;
    }
    if options.guests() {
        in_guests(&root, options, &kernels, &skips, &mut report)?;
    }
    Ok(options.list || report.finish())
}

fn pick(table: &[Kernel], wanted: &[String]) -> Result<Vec<Kernel>, String> {
    wanted
        .iter()
        .map(|series| {
            let known: Vec<&str> = table.iter().map(|k| k.series.as_str()).collect();
            table
                .iter()
                .find(|k| k.series == *series)
                .cloned()
                .ok_or_else(|| format!("no kernel {series} in tests/kernels; there are {}", known.join(", ")))
        })
        .collect()
}

fn stage(text: &str) {
    println!("\n== {text}");
}

/// Formatting, lints, documentation: each is one result.
fn checks(root: &Path, report: &mut Report) {
    stage("checks");
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    // The fuzz targets are a workspace of their own; without the C++ part of libFuzzer stable compiles them.
    let fuzz = [
        "clippy",
        "--no-default-features",
        "--bins",
        "--examples",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    for (name, folder, args) in [
        ("fmt", ".", &["fmt", "--all", "--check"][..]),
        ("clippy", ".", &clippy),
        ("doc", ".", &["doc", "--workspace", "--no-deps", "--quiet"]),
        ("fuzz-fmt", "fuzz", &["fmt", "--check"]),
        ("fuzz-targets", "fuzz", &fuzz),
    ] {
        let mut command = Command::new("cargo");
        command
            .current_dir(root.join(folder))
            .args(args)
            .stdin(Stdio::null())
            .env("RUSTDOCFLAGS", "-D warnings");
        let outcome = match command.output() {
            Ok(out) if out.status.success() => Outcome::Passed,
            Ok(out) => Outcome::Failed(
                String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
            ),
            Err(e) => Outcome::Failed(format!("cargo could not be started: {e}")),
        };
        report.add(&format!("check/{name}"), &outcome);
    }
}

/// Every test on the running machine.
fn on_host(root: &Path, options: &Options, skips: &Table, report: &mut Report) -> Result<(), String> {
    stage("tests on this machine");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let at = Where { host: true, release: release.trim() };
    let built = build::cargo(root, Mode::Host, &options.cargo_test())?;
    let programs = programs(root, true)?;
    for binary in &built.tests {
        let tests: Vec<String> =
            binary.tests()?.into_iter().filter(|t| options.wants(t) && !begins(t, "guest_")).collect();
        if options.list {
            tests.iter().for_each(|t| println!("host/{}::{t}", binary.suite));
            continue;
        }
        // Tests that change the kernel's state run one at a time.
        let (serial, parallel): (Vec<_>, Vec<_>) = tests.into_iter().partition(|t| begins(t, "root_"));
        for (tests, threads) in [(parallel, "2"), (serial, "1")] {
            if tests.is_empty() {
                continue;
            }
            let (output, status) = run_here(binary, &tests, threads, &programs)?;
            let outcomes = with_status(libtest::parse(&output, &tests), status);
            report.add_tests("host", at, skips, &binary.suite, outcomes);
        }
    }
    if options.everything() && !options.list {
        doc_tests(root, report);
    }
    Ok(())
}

/// Whether a test's own name, without its modules, begins so.
fn begins(test: &str, prefix: &str) -> bool {
    test.rsplit("::").next().is_some_and(|name| name.starts_with(prefix))
}

fn run_here(
    binary: &TestBinary,
    tests: &[String],
    threads: &str,
    programs: &Programs,
) -> Result<(String, Option<i32>), String> {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", &SUITE_SECONDS.to_string()]).arg(&binary.path);
    command.args(["--show-output", "--exact", "--test-threads", threads]).args(tests);
    command.current_dir(&binary.package).env("CARGO_MANIFEST_DIR", &binary.package);
    command.env("TRACEWELL_BIN", programs.host.program("tracewell")?);
    command.env("TRACEWELL_WORKLOAD", programs.guest.program("workload")?);
    command.env("TRACEWELL_WORKLOAD_DYNAMIC", programs.host.program("workload")?);
    if let Some(folder) = programs.examples.programs.first().and_then(|(_, path)| path.parent()) {
        command.env("TRACEWELL_EXAMPLES", folder);
    }
    // One pipe for both, so that lines stay in their order.
    let (mut reader, writer) = std::io::pipe().map_err(|e| format!("pipe: {e}"))?;
    let copy = writer.try_clone().map_err(|e| format!("pipe: {e}"))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(copy)
        .spawn()
        .map_err(|e| format!("{}: {e}", binary.path.display()))?;
    drop(command);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|e| format!("{}: {e}", binary.path.display()))?;
    let status = child.wait().map_err(|e| format!("{}: {e}", binary.path.display()))?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), status.code()))
}

/// A binary whose tests all passed and which still ended badly is a failure of its own.
fn with_status(mut outcomes: Vec<(String, Outcome)>, status: Option<i32>) -> Vec<(String, Outcome)> {
    let failed = outcomes.iter().any(|(_, o)| matches!(o, Outcome::Failed(_)));
    if status != Some(0) && !failed {
        outcomes
            .push(("exit".to_owned(), Outcome::Failed(format!("the binary ended with status {status:?}"))));
    }
    outcomes
}

fn doc_tests(root: &Path, report: &mut Report) {
    let run = Command::new("cargo")
        .current_dir(root)
        .args(["test", "--workspace", "--doc", "--quiet"])
        .stdin(Stdio::null())
        .output();
    let outcome = match run {
        Ok(out) if out.status.success() => Outcome::Passed,
        Ok(out) => Outcome::Failed(
            String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
        ),
        Err(e) => Outcome::Failed(format!("cargo could not be started: {e}")),
    };
    report.add("host/doc-tests", &outcome);
}

/// What tests trace and run: with frame pointers for the guests, linked with the C library for here.
struct Programs {
    guest: Built,
    host: Built,
    release: Option<Built>,
    /// The crates' examples, static: for the guests, and for here as well.
    examples: Built,
}

fn programs(root: &Path, quick: bool) -> Result<Programs, String> {
    let args = ["build", "--workspace", "--quiet", "--bin", "tracewell", "--bin", "workload"];
    let guest = build::cargo(root, Mode::Guest, &args)?;
    let host = build::cargo(root, Mode::Host, &args)?;
    let release = if quick {
        None
    } else {
        Some(build::cargo(
            root,
            Mode::Release,
            &["build", "-p", "tracewell", "--quiet", "--bin", "tracewell"],
        )?)
    };
    let args = ["build", "--quiet", "-p", "tracewell-loader", "-p", "tracewell-probes", "--examples"];
    let examples = build::cargo(root, Mode::Guest, &args)?;
    Ok(Programs { guest, host, release, examples })
}

/// The pages of a folder and of the folders in it.
fn pages(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn archive(root: &Path, programs: &Programs, suites: &[Suite]) -> Result<Vec<u8>, String> {
    let pages = pages(&root.join("docs")).map_err(|e| format!("docs: {e}"))?;
    initramfs::common(&Content {
        busybox: Path::new("/bin/busybox"),
        tracewell: programs.release.as_ref().unwrap_or(&programs.guest).program("tracewell")?,
        tracewell_built: programs.guest.program("tracewell")?,
        workload: programs.guest.program("workload")?,
        workload_dynamic: programs.host.program("workload")?,
        examples: &programs.examples.programs,
        pages: &pages,
        suites,
        suite_seconds: SUITE_SECONDS,
    })
}

/// The tests for the guests: `root_*`, which run here too, and `guest_*`, which do not.
fn guest_suites(root: &Path, options: &Options) -> Result<Vec<Suite>, String> {
    let built = build::cargo(root, Mode::Guest, &options.cargo_test())?;
    let mut suites = Vec::new();
    for binary in built.tests {
        let tests: Vec<String> = binary
            .tests()?
            .into_iter()
            .filter(|t| begins(t, "root_") || begins(t, "guest_"))
            .filter(|t| options.wants(t))
            .collect();
        if !tests.is_empty() {
            suites.push(Suite { binary, tests });
        }
    }
    Ok(suites)
}

fn write_initrd(
    folder: &Path,
    common: &[u8],
    kernel: &Kernel,
    ended: &[SuiteOutput],
) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let path = folder.join("initrd");
    let own = initramfs::of_kernel(kernel, ended)?;
    fs::write(&path, [common, &own].concat()).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn folder(root: &Path, kernel: &Kernel) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("matrix").join(&kernel.series)
}

fn in_guests(
    root: &Path,
    options: &Options,
    kernels: &[Kernel],
    skips: &Table,
    report: &mut Report,
) -> Result<(), String> {
    stage("building for the guests");
    let suites = guest_suites(root, options)?;
    if options.list {
        for (kernel, suite) in kernels.iter().flat_map(|k| suites.iter().map(move |s| (k, s))) {
            suite.tests.iter().for_each(|t| println!("{}/{}::{t}", kernel.series, suite.binary.suite));
        }
        return Ok(());
    }
    if suites.is_empty() {
        return Err("no test of that name runs in a guest; tests/run --list prints their names".to_owned());
    }
    let common = archive(root, &programs(root, options.quick)?, &suites)?;
    let names: Vec<&str> = kernels.iter().map(|k| k.series.as_str()).collect();
    stage(&format!("guests: {}", names.join(", ")));

    let queue: Mutex<VecDeque<&Kernel>> = Mutex::new(kernels.iter().collect());
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..at_once().min(kernels.len()) {
            let (queue, sender, common) = (&queue, sender.clone(), &common);
            scope.spawn(move || {
                loop {
                    let next = queue.lock().map(|mut q| q.pop_front()).unwrap_or_default();
                    let Some(kernel) = next else { break };
                    let folder = folder(root, kernel);
                    let initrd = |ended: &[SuiteOutput]| write_initrd(&folder, common, kernel, ended);
                    let run = guest::run(kernel, &initrd, &folder, limits());
                    if sender.send((kernel, run)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (kernel, run) in receiver {
            match run {
                Ok(run) => merge(kernel, &suites, &run, skips, report),
                Err(e) => report.add(&format!("{}/guest", kernel.series), &Outcome::Failed(e)),
            }
        }
    });
    Ok(())
}

fn limits() -> Limits {
    Limits {
        memory: MEMORY,
        whole: Duration::from_secs(1500),
        silence: Duration::from_secs(SUITE_SECONDS + 30),
        boot: Duration::from_secs(90),
    }
}

/// As many guests at once as there are cores for (a guest has two, and is often idle) and memory.
fn at_once() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let free = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = free
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024);
    let by_memory = usize::try_from(free / u64::from(MEMORY + 512)).unwrap_or(1);
    cores.min(by_memory).max(1)
}

/// Takes one guest's results into the report.
fn merge(kernel: &Kernel, suites: &[Suite], run: &GuestRun, skips: &Table, report: &mut Report) {
    let series = &kernel.series;
    println!(
        "-- {series}: Linux {} ended after {:.1} s",
        run.release.as_deref().unwrap_or("?"),
        run.took.as_secs_f64()
    );
    let release = kernel.release.as_deref().unwrap_or(series);
    let at = Where { host: false, release };
    for suite in suites {
        let ran = run.suites.iter().find(|s| s.suite == suite.binary.suite);
        let outcomes = match ran {
            Some(ran) => with_status(libtest::parse(&ran.output, &suite.tests), ran.status),
            None => libtest::parse("", &suite.tests),
        };
        report.add_tests(series, at, skips, &suite.binary.suite, outcomes);
    }
    if let Some(cause) = &run.broken {
        report.add(&format!("{series}/guest"), &Outcome::Failed(cause.clone()));
    }
    let log =
        if run.complaints.is_empty() { Outcome::Passed } else { Outcome::Failed(run.complaints.join("\n")) };
    report.add(&format!("{series}/kernel-log"), &log);
}

fn shell(root: &Path, options: &Options, kernel: &Kernel) -> Result<bool, String> {
    stage("building for the guest");
    let began = Instant::now();
    let suites = if options.everything() { Vec::new() } else { guest_suites(root, options)? };
    let common = archive(root, &programs(root, true)?, &suites)?;
    let initrd = write_initrd(&folder(root, kernel), &common, kernel, &[])?;
    println!("built in {:.1} s; booting", began.elapsed().as_secs_f64());
    guest::shell(kernel, &initrd, MEMORY).map(|status| status.success())
}
