//! Starting a tool, waiting for the line that says it is attached, and ending it as a user would.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A command and the words by which it says that everything is attached.
pub struct Tool {
    argv: Vec<String>,
    attached: &'static str,
}

/// What one run of a tool took.
#[derive(Clone)]
pub struct ToolRun {
    attach: Duration,
    detach: Duration,
    peak_kib: f64,
    output: String,
}

/// Several runs of one tool.
pub struct Runs(pub Vec<ToolRun>);

impl Tool {
    pub fn new(argv: &[&str], attached: &'static str) -> Self {
        Self { argv: argv.iter().map(|&a| a.to_owned()).collect(), attached }
    }

    /// Runs the tool, calls `body` with its pid while it is attached, interrupts it and waits for its end.
    /// None where the tool is not installed or ended before it was attached (its words go to stderr then).
    pub fn run<T>(&self, body: impl FnOnce(u32) -> T) -> Option<(ToolRun, T)> {
        let (reader, writer) = std::io::pipe().ok()?;
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).stdin(Stdio::null());
        command.stdout(writer.try_clone().ok()?).stderr(writer);
        // BCC is Python, which holds back what it prints into a pipe.
        command.env("PYTHONUNBUFFERED", "1").env("BPFTRACE_MAX_PROBES", "100000");
        let begin = Instant::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(e) => {
                eprintln!("bench: {}: {e}", self.argv[0]);
                return None;
            }
        };
        // The command holds the writing end too; without this the pipe would never end.
        drop(command);
        let mut reader = BufReader::new(reader);
        let mut output = String::new();
        let mut attached = None;
        while attached.is_none() {
            let from = output.len();
            match reader.read_line(&mut output) {
                Ok(0) | Err(_) => break,
                Ok(_) if output[from..].contains(self.attached) => attached = Some(begin.elapsed()),
                Ok(_) => {}
            }
        }
        let Some(attach) = attached else {
            let _ = child.wait();
            eprintln!("bench: {} ended before it was attached:\n{output}", self.argv.join(" "));
            return None;
        };
        // `--timings` follows the banner; the body gives the tool the time to print it.
        let result = body(child.id());
        let peak_kib = peak_kib(child.id());
        let end = Instant::now();
        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGINT);
        let mut rest = Vec::new();
        let _ = reader.read_to_end(&mut rest);
        let _ = child.wait();
        let detach = end.elapsed();
        output.push_str(&String::from_utf8_lossy(&rest));
        Some((ToolRun { attach, detach, peak_kib, output }, result))
    }
}

/// The high-water mark of a process's resident memory. A tool that starts others (none does here) hides theirs.
fn peak_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

impl Runs {
    pub fn attach_ms(&self) -> Option<f64> {
        self.median(|r| r.attach.as_secs_f64() * 1e3)
    }

    pub fn detach_ms(&self) -> Option<f64> {
        self.median(|r| r.detach.as_secs_f64() * 1e3)
    }

    pub fn peak_kib(&self) -> Option<f64> {
        self.median(|r| r.peak_kib)
    }

    pub fn last_output(&self) -> &str {
        self.0.last().map_or("", |r| &r.output)
    }

    fn median(&self, figure: impl Fn(&ToolRun) -> f64) -> Option<f64> {
        median(self.0.iter().map(figure).collect())
    }
}

/// The middle value; None of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
