//! Boots a kernel under QEMU with a root file system in memory, and reads back what its tests reported.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernels::Kernel;

/// How often the guest's output is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Lines of the console that a report shows.
const CONSOLE_TAIL: usize = 40;

/// Limits of one guest.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// MiB of memory.
    pub memory: u32,
    /// From start to end.
    pub whole: Duration,
    /// Without any output on either port.
    pub silence: Duration,
    /// From start to user space.
    pub boot: Duration,
}

/// What one test binary printed in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteOutput {
    /// Its name.
    pub suite: String,
    /// Standard output and error, merged.
    pub output: String,
    /// Its exit status; `None` when the guest ended in the middle of it.
    pub status: Option<i32>,
}

/// What became of a guest.
#[derive(Debug)]
pub struct GuestRun {
    /// `uname -r` in the guest; `None` when it did not get to user space.
    pub release: Option<String>,
    /// What ran, in order.
    pub suites: Vec<SuiteOutput>,
    /// Complaints in the kernel's own log.
    pub complaints: Vec<String>,
    /// Why it ended before its time; `None` when it came to its proper end.
    pub broken: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// How a guest that says nothing any more is reported.
const SILENT: &str = "without output";

/// How often a kernel is started until it reaches user space: before that nothing of ours has run, and an emulated
/// machine may fail all by itself. What happens after that counts.
const BOOTS: u32 = 3;

/// The arguments that all guests share. KVM is used only on demand (`TRACEWELL_ACCEL=kvm`): a machine that
/// has the device is often itself a guest in which it does not work.
fn qemu(kernel: &Kernel, initrd: &Path, memory: u32, append: &str) -> Command {
    let accel = std::env::var("TRACEWELL_ACCEL").unwrap_or_else(|_| "tcg".to_owned());
    let cpu = if accel.starts_with("kvm") { "host" } else { "max" };
    let mut command = Command::new("tests/qemu");
    command.args(["-accel", &accel, "-cpu", cpu, "-smp", "2", "-m", &memory.to_string()]);
    command.args(["-display", "none", "-no-reboot", "-nic", "none", "-nodefaults"]);
    command.arg("-kernel").arg(kernel.folder.join("vmlinuz")).arg("-initrd").arg(initrd);
    command.args(["-append", &format!("console=ttyS0 quiet panic=-1 {append}")]);
    command
}

/// Runs a guest to its end, or until it has failed to boot three times. `folder` gets its two logs: `console.log`
/// and `results.log`. `initrd` makes the root file system for the suites that are not among those given.
///
/// A guest that falls silent for so long that even its own time limit on a suite did nothing is dead as a machine. It is
/// started once more for what has not ended by then; a second death counts.
///
/// # Errors
/// When QEMU cannot be started or the logs cannot be read.
pub fn run(
    kernel: &Kernel,
    initrd: &dyn Fn(&[SuiteOutput]) -> Result<PathBuf, String>,
    folder: &Path,
    limits: Limits,
) -> Result<GuestRun, String> {
    let mut first = boot(kernel, &initrd(&[])?, folder, limits)?;
    let silent = first.broken.as_ref().is_some_and(|cause| cause.contains(SILENT));
    if first.release.is_none() || !silent {
        return Ok(first);
    }
    let hung = first.suites.pop_if(|suite| suite.status.is_none());
    let suite = hung.map_or_else(|| "between two suites".to_owned(), |suite| format!("in {}", suite.suite));
    println!("-- {}: the machine died {suite}: once more from there", kernel.series);
    let mut second = boot(kernel, &initrd(&first.suites)?, folder, limits)?;
    second.suites.splice(0..0, first.suites);
    second.complaints.splice(0..0, first.complaints);
    second.took += first.took;
    Ok(second)
}

fn boot(kernel: &Kernel, initrd: &Path, folder: &Path, limits: Limits) -> Result<GuestRun, String> {
    for boot in 1.. {
        let run = run_once(kernel, initrd, folder, limits)?;
        if run.release.is_some() || boot == BOOTS {
            return Ok(run);
        }
        let cause = run.broken.unwrap_or_default();
        let line = cause.lines().find(|l| l.contains("BUG") || l.contains("Oops") || l.contains("panic"));
        let line = line.or(cause.lines().next()).unwrap_or_default();
        println!("-- {}: boot {boot} did not reach user space, once more: {line}", kernel.series);
    }
    Err(format!("{}: not booted", kernel.series))
}

fn run_once(kernel: &Kernel, initrd: &Path, folder: &Path, limits: Limits) -> Result<GuestRun, String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let console = folder.join("console.log");
    let results = folder.join("results.log");
    for log in [&console, &results] {
        File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
    }
    let mut command = qemu(kernel, initrd, limits.memory, "");
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.arg("-serial").arg(format!("file:{}", results.display()));
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("tests/qemu could not be started: {e}"))?;
    let mut guest = Running { child };
    let ended = guest.wait(&[&console, &results], limits, started);
    let took = started.elapsed();
    let (text, console) = (read_lossy(&results)?, read_lossy(&console)?);
    let mut run = parse(&text);
    run.took = took;
    let cause = match ended {
        Err(cause) => Some(cause),
        Ok(_) if text.lines().any(|l| l.trim_end() == "@@done") => None,
        Ok(status) => Some(format!("the guest stopped early (QEMU: {status}) {}", guest.message())),
    };
    run.broken = cause.map(|cause| {
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(CONSOLE_TAIL)..].join("\n");
        format!("{cause}\nthe last lines of its console:\n{tail}")
    });
    Ok(run)
}

/// Gives the terminal to a shell in a guest.
///
/// # Errors
/// When QEMU cannot be started.
pub fn shell(kernel: &Kernel, initrd: &Path, memory: u32) -> Result<ExitStatus, String> {
    let mut command = qemu(kernel, initrd, memory, "tracewell.shell");
    command.args([
        "-chardev",
        "stdio,id=terminal,signal=off",
        "-serial",
        "chardev:terminal",
        "-serial",
        "null",
    ]);
    command.status().map_err(|e| format!("tests/qemu could not be started: {e}"))
}

/// A QEMU that does not outlive us.
struct Running {
    child: Child,
}

impl Running {
    fn wait(&mut self, logs: &[&PathBuf], limits: Limits, started: Instant) -> Result<ExitStatus, String> {
        let (mut size, mut last) = (0, Instant::now());
        loop {
            if let Some(status) = self.child.try_wait().map_err(|e| format!("waiting for QEMU: {e}"))? {
                return Ok(status);
            }
            // The results begin with a line that says so.
            let booted = fs::metadata(logs[1]).is_ok_and(|m| m.len() > 0);
            if !booted && started.elapsed() > limits.boot {
                return Err(format!("the guest did not boot within {} s", limits.boot.as_secs()));
            }
            let now: u64 = logs.iter().filter_map(|log| fs::metadata(log).ok()).map(|m| m.len()).sum();
            if now != size {
                (size, last) = (now, Instant::now());
            }
            if started.elapsed() > limits.whole {
                return Err(format!("the guest was ended after {} s", limits.whole.as_secs()));
            }
            if last.elapsed() > limits.silence {
                return Err(format!("the guest was ended after {} s {SILENT}", limits.silence.as_secs()));
            }
            thread::sleep(POLL);
        }
    }

    /// What QEMU itself said.
    fn message(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            // Best effort: it only explains a failure that is reported anyway.
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lossy(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the protocol of the init script: lines that begin with `@@`, everything else is test output.
fn parse(text: &str) -> GuestRun {
    let mut run = GuestRun {
        release: None,
        suites: Vec::new(),
        complaints: Vec::new(),
        broken: None,
        took: Duration::ZERO,
    };
    let mut open: Option<SuiteOutput> = None;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        if let Some(release) = line.strip_prefix("@@booted ") {
            run.release = Some(release.to_owned());
        } else if let Some(name) = line.strip_prefix("@@begin ") {
            run.suites.extend(open.take());
            open = Some(SuiteOutput { suite: name.to_owned(), output: String::new(), status: None });
        } else if let Some(rest) = line.strip_prefix("@@end ") {
            if let Some(mut suite) = open.take() {
                suite.status = rest.rsplit(' ').next().and_then(|s| s.parse().ok());
                run.suites.push(suite);
            }
        } else if let Some(complaint) = line.strip_prefix("@@dmesg ") {
            run.complaints.push(complaint.to_owned());
        } else if let Some(suite) = &mut open {
            suite.output.push_str(line);
            suite.output.push('\n');
        }
    }
    run.suites.extend(open);
    run
}

#[cfg(test)]
mod tests {
    use super::parse;
    use expect_test::expect;

    #[test]
    fn a_guest_that_dies_in_its_second_suite() {
        let run = parse(
            "@@booted 6.1.0\r\n@@begin a/b\r\ntest x ... ok\r\n\n@@end a/b 0\r\n@@begin c\r\ntest y ... \r\n",
        );
        expect![[r#"
            Some("6.1.0") [SuiteOutput { suite: "a/b", output: "test x ... ok\n\n", status: Some(0) }, SuiteOutput { suite: "c", output: "test y ... \n", status: None }] []
        "#]]
        .assert_eq(&format!("{:?} {:?} {:?}\n", run.release, run.suites, run.complaints));
    }
}
