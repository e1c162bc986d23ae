//! What the tests share: starting the tracer and workloads, on the running machine and in the guests.
//!
//! Everything here panics when it goes wrong: the panic is the test's failure and says what happened.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// How long to wait for a tracer or a workload: guests are emulated and slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whether this runs in a guest, where everything may be traced. On the running machine a test traces only
/// what it started itself.
pub fn in_guest() -> bool {
    env::var_os("TRACEWELL_GUEST").is_some()
}

/// `uname -r`.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted").trim().to_owned()
}

/// Major and minor number of the running kernel.
pub fn kernel_version() -> (u32, u32) {
    crate::kernels::version(&kernel_release()).expect("a kernel release begins with two numbers")
}

/// Says that a test cannot run here; the caller returns. The harness accepts it only where
/// `tests/expected-skips` does.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIP {test}: {reason}");
}

/// Whether the process may trace at all; prints the skip line when not.
pub fn is_root(test: &str) -> bool {
    if !geteuid().is_root() {
        skip(test, "needs root");
        return false;
    }
    true
}

/// The ways to attach, as `--attach-mode` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// One link for many functions.
    KprobeMulti,
    /// A perf event for each function.
    KprobePerf,
    /// The `kprobe_events` file.
    KprobeText,
    /// One link for many functions of a file.
    UprobeMulti,
    /// A perf event for each function.
    UprobePerf,
    /// The `uprobe_events` file.
    UprobeText,
    /// A perf event for each tracepoint.
    Tracepoint,
    /// The raw tracepoint of all system calls.
    RawSyscalls,
}

impl Attach {
    /// The value of `--attach-mode`.
    pub fn name(self) -> &'static str {
        match self {
            Self::KprobeMulti => "kprobe-multi",
            Self::KprobePerf => "kprobe-perf",
            Self::KprobeText => "kprobe-text",
            Self::UprobeMulti => "uprobe-multi",
            Self::UprobePerf => "uprobe-perf",
            Self::UprobeText => "uprobe-text",
            Self::Tracepoint => "tracepoint",
            Self::RawSyscalls => "raw-syscalls",
        }
    }

    /// Whether this kernel has it, found without asking the code that is tested: by the kernel's own list of its
    /// functions and by its files.
    ///
    /// # Errors
    /// What is missing, for [`skip`].
    pub fn available(self) -> Result<(), String> {
        let tracing = Path::new("/sys/kernel/tracing");
        let (here, missing) = match self {
            Self::KprobeMulti => (
                kernel_has("bpf_kprobe_multi_link_attach") && kernel_has("register_fprobe_ips"),
                "kprobe.multi links (Linux 5.18, CONFIG_FPROBE)",
            ),
            Self::KprobePerf | Self::KprobeText => {
                (tracing.join("kprobe_events").exists(), "kprobes (CONFIG_KPROBE_EVENTS)")
            }
            Self::UprobeMulti => {
                (kernel_has("bpf_uprobe_multi_link_attach"), "uprobe.multi links (Linux 6.6)")
            }
            Self::UprobePerf | Self::UprobeText => {
                (tracing.join("uprobe_events").exists(), "uprobes (CONFIG_UPROBE_EVENTS)")
            }
            Self::Tracepoint | Self::RawSyscalls => {
                (tracing.join("events/syscalls").exists(), "system call tracepoints (CONFIG_FTRACE_SYSCALLS)")
            }
        };
        if here { Ok(()) } else { Err(format!("this kernel has no {missing}")) }
    }
}

/// Whether the kernel has a function of this name.
pub fn kernel_has(function: &str) -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").expect("/proc is mounted");
    symbols.lines().any(|line| line.split(' ').nth(2) == Some(function))
}

fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return PathBuf::from(path);
    }
    // Started by hand: target/PROFILE/deps/TEST, and programs are in target/PROFILE.
    let me = env::current_exe().expect("/proc is mounted");
    let beside = me.parent().and_then(Path::parent).map(|folder| folder.join(name));
    match beside {
        Some(path) if path.exists() => path,
        _ => panic!("{name} is not built: cargo build --bin {name}, or set {variable}"),
    }
}

/// The tracer's executable.
pub fn tracewell_path() -> PathBuf {
    program("TRACEWELL_BIN", "tracewell")
}

/// The workload's executable: static in the guests.
pub fn workload_path() -> PathBuf {
    program("TRACEWELL_WORKLOAD", "workload")
}

/// The workload linked with the machine's C library, for tests of `c:getppid` and the like.
pub fn workload_dynamic_path() -> PathBuf {
    program("TRACEWELL_WORKLOAD_DYNAMIC", "workload")
}

/// One of the crates' examples: static in the guests.
pub fn example_path(name: &str) -> PathBuf {
    if let Some(folder) = env::var_os("TRACEWELL_EXAMPLES") {
        return Path::new(&folder).join(name);
    }
    // Started by hand: target/PROFILE/deps/TEST, and examples are in target/PROFILE/examples.
    let me = env::current_exe().expect("/proc is mounted");
    let path = me.parent().and_then(Path::parent).map(|folder| folder.join("examples").join(name));
    match path {
        Some(path) if path.exists() => path,
        _ => panic!("{name} is not built: cargo build --workspace --examples, or set TRACEWELL_EXAMPLES"),
    }
}

/// What a tracer printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit status.
    pub status: ExitStatus,
}

impl Output {
    /// Panics with everything it printed unless it ended well.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(
            self.status.success(),
            "tracewell ended with {}:\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The count in BCC's table: the number at the end of the line that begins with `name`, or with the only
    /// name that contains it. `None` when there is no such line.
    pub fn count(&self, name: &str) -> Option<u64> {
        let rows = || {
            self.stdout.lines().filter_map(|line| {
                let (label, number) = line.trim_end().rsplit_once(char::is_whitespace)?;
                Some((label.trim(), number.parse::<u64>().ok()?))
            })
        };
        let exact = rows().find(|(label, _)| *label == name);
        let mut part = rows().filter(|(label, _)| label.contains(name));
        match (exact, part.next(), part.next()) {
            (Some((_, n)), ..) | (None, Some((_, n)), None) => Some(n),
            _ => None,
        }
    }

    /// Checks a count, showing all output when it differs. A count of zero has no line.
    #[track_caller]
    pub fn assert_count(&self, name: &str, expected: u64) {
        let found = self.count(name).unwrap_or(0);
        assert_eq!(
            found, expected,
            "count of {name}\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
    }
}

/// Text that a thread collects from a pipe, and whoever waits for a part of it.
#[derive(Debug, Default)]
struct Collected {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

impl Collected {
    fn start(mut pipe: impl Read + Send + 'static) -> (Arc<Self>, JoinHandle<()>) {
        let collected = Arc::new(Self::default());
        let mine = Arc::clone(&collected);
        let thread = thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let got = pipe.read(&mut bytes).unwrap_or(0);
                let mut text = mine.text.lock().expect("no panic while it is held");
                text.0.push_str(&String::from_utf8_lossy(&bytes[..got]));
                text.1 |= got == 0;
                mine.more.notify_all();
                if got == 0 {
                    break;
                }
            }
        });
        (collected, thread)
    }

    /// Waits until the text contains one of these or has ended; the latter is false.
    fn wait(&self, any: &[&str], until: Instant) -> Option<bool> {
        let mut text = self.text.lock().expect("no panic while it is held");
        loop {
            if any.iter().any(|part| text.0.contains(part)) {
                return Some(true);
            }
            if text.1 {
                return Some(false);
            }
            let left = until.checked_duration_since(Instant::now())?;
            text = self.more.wait_timeout(text, left).expect("no panic while it is held").0;
        }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no panic while it is held").0.clone()
    }
}

/// A tracer that is attached. Dropped, it is killed.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    out: Arc<Collected>,
    err: Arc<Collected>,
    threads: Vec<JoinHandle<()>>,
    attached: bool,
}

impl Tracer {
    /// Starts `tracewell ARGS` and returns once it says that it is tracing.
    ///
    /// # Panics
    /// When it ends before that (its output is in the message), or takes too long.
    #[track_caller]
    pub fn start<S: AsRef<str> + Debug>(args: &[S]) -> Self {
        let mut tracer = Self::launch(args);
        if !tracer.attached {
            let (child, out, err) = (&mut tracer.child, tracer.out.text(), tracer.err.text());
            // Running still: it took too long.
            let status = child.try_wait();
            panic!("tracewell {args:?} did not attach ({status:?}):\n--- stdout\n{out}\n--- stderr\n{err}");
        }
        tracer
    }

    /// Starts `tracewell ARGS` and waits until it says that it is tracing, or has ended, or takes too long.
    pub fn launch<S: AsRef<str> + Debug>(args: &[S]) -> Self {
        let path = tracewell_path();
        let mut child = Command::new(&path)
            .args(args.iter().map(AsRef::as_ref))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (out, one) = Collected::start(child.stdout.take().expect("piped"));
        let (err, two) = Collected::start(child.stderr.take().expect("piped"));
        let until = Instant::now() + PATIENCE;
        // The message may come on either: look at both in turn.
        let attached = loop {
            let soon = (Instant::now() + Duration::from_millis(5)).min(until);
            let answers = [&out, &err].map(|c| c.wait(&["Tracing ", "Attached ", "attached: "], soon));
            if answers.contains(&Some(true)) {
                break true;
            }
            if answers == [Some(false); 2] || Instant::now() >= until {
                break false;
            }
        };
        Self { child, out, err, threads: vec![one, two], attached }
    }

    /// The tracer's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it said that it is tracing.
    pub fn attached(&self) -> bool {
        self.attached
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill(as_pid(self.child.id()), signal);
    }

    /// Sends Ctrl-C, waits for the end, returns what it printed.
    #[track_caller]
    pub fn finish(self) -> Output {
        self.signal(Signal::SIGINT);
        self.wait()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let status = wait_for(&mut self.child, "tracewell");
        for thread in self.threads.drain(..) {
            thread.join().expect("reading a pipe does not panic");
        }
        Output { stdout: self.out.text(), stderr: self.err.text(), status }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn as_pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id is positive"))
}

#[track_caller]
fn wait_for(child: &mut Child, name: &str) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        assert!(Instant::now() < until, "{name} did not end within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `tracewell ARGS` to its end, without a workload: for `list`, `feature` and errors.
#[track_caller]
pub fn tracewell<S: AsRef<str> + Debug>(args: &[S]) -> Output {
    Tracer::launch(args).wait()
}

/// Starts `tracewell ARGS`, lets the workload make its calls, ends the tracer, returns what it printed.
#[track_caller]
pub fn run_tracewell<S: AsRef<str> + Debug>(args: &[S], workload: Workload) -> Output {
    let tracer = Tracer::start(args);
    workload.run();
    tracer.finish().success()
}

/// A workload that is ready and waits for its start. Dropped, it is killed.
#[derive(Debug)]
pub struct Workload {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    tids: Vec<i32>,
}

impl Workload {
    /// Starts the workload with these arguments (see `workload.rs`); it makes no calls yet.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::start_program(&workload_path(), args)
    }

    /// Starts the workload that is linked dynamically.
    #[track_caller]
    pub fn start_dynamic(args: &[&str]) -> Self {
        Self::start_program(&workload_dynamic_path(), args)
    }

    /// Starts a copy of the workload.
    #[track_caller]
    pub fn start_program(program: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a pipe can be read");
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("ready"), "workload {args:?} said {line:?}");
        let tids = words.skip(1).map(|w| w.parse().expect("a thread id")).collect();
        Self { child, input, output, tids }
    }

    /// Its process id, for `-p`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The ids of the threads that will make the calls.
    pub fn tids(&self) -> &[i32] {
        &self.tids
    }

    /// Lets it make its calls and waits until they are made. Returns their number and the time that they took.
    #[track_caller]
    pub fn go(&mut self) -> (u64, Duration) {
        self.input.write_all(b"go\n").expect("the workload reads its input");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe can be read");
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("done"), "the workload said {line:?}");
        let mut number = || words.next().and_then(|w| w.parse().ok()).expect("done has two numbers");
        (number(), Duration::from_nanos(number()))
    }

    /// [`Workload::go`], then waits until the process is gone (with `--linger`: lets it go).
    #[track_caller]
    pub fn run(mut self) -> (u64, Duration) {
        let made = self.go();
        self.run_out();
        made
    }

    /// After [`Workload::go`]: lets the process go and waits until it is gone.
    #[track_caller]
    pub fn run_out(mut self) {
        // Without --linger it may be gone already.
        let _ = self.input.write_all(b"end\n");
        let status = wait_for(&mut self.child, "the workload");
        assert!(status.success(), "the workload ended with {status}");
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
