//! Running the binary as a user does.
#![allow(dead_code)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub const BIN: &str = env!("CARGO_BIN_EXE_tracewell");

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Run {
    fn from(o: Output) -> Run {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { status: o.status.code(), out: text(&o.stdout), err: text(&o.stderr) }
    }
}

impl Run {
    /// Asserts an error: status 1, nothing but one message on standard error, and each of `parts` in it.
    #[track_caller]
    pub fn fails_with(&self, parts: &[&str]) {
        assert_eq!(self.status, Some(1), "{self:?}");
        assert!(self.err.starts_with("tracewell: error: "), "{self:?}");
        assert_eq!(self.err.matches("error:").count(), 1, "printed twice: {self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in {self:?}");
        }
        // A Debug dump instead of a message.
        for dump in ["Some(", "Error {", "Os {", "Err(", "\\n"] {
            assert!(!self.err.contains(dump), "{self:?}");
        }
    }

    /// The count of a row of funccount's text.
    pub fn count(&self, name: &str) -> Option<u64> {
        let row = self.out.lines().find(|l| l.split_whitespace().next() == Some(name))?;
        row.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Runs it to its end.
pub fn tracewell(args: &[&str]) -> Run {
    Command::new(BIN).args(args).stdin(Stdio::null()).output().expect("the binary runs").into()
}

/// A copy of the binary in a directory that others may read.
pub fn copy_of_binary(name: &str) -> PathBuf {
    let copy = scratch(name).join("tracewell");
    // Another process copies: a descriptor of ours, open for writing, would go to whatever another test starts at the
    // same time, and the copy be busy.
    let copied = Command::new("cp").arg(BIN).arg(&copy).status().expect("cp runs");
    assert!(copied.success(), "copy of the binary: {copied}");
    copy
}

/// Runs it as a user without any privilege.
pub fn unprivileged(args: &[&str]) -> Run {
    // The build directory may not be readable for others.
    let copy = copy_of_binary("unprivileged");
    let mut command = Command::new(&copy);
    command.args(args).stdin(Stdio::null()).current_dir("/");
    if geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.output().expect("the binary runs").into()
}

/// An empty directory that others may read.
pub fn scratch(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("tracewell-cli-{name}-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for the test");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    dir
}

/// Whether this test can run: it says why when it cannot.
pub fn root(test: &str) -> bool {
    if !geteuid().is_root() {
        eprintln!("SKIP {test}: needs root");
        return false;
    }
    true
}

/// [`root`], and tracepoints.
pub fn tracepoints(test: &str) -> bool {
    if !root(test) {
        return false;
    }
    // Mounts tracefs where it is not.
    let run = tracewell(&["list", "t:syscalls:sys_enter_write"]);
    if run.status != Some(0) {
        eprintln!("SKIP {test}: no tracepoints: {}", run.err.trim());
        return false;
    }
    true
}

/// A run that goes on until it is told to end.
pub struct Running(pub Child);

impl Running {
    /// Starts it with pipes.
    pub fn start(args: &[&str]) -> Running {
        let child = Command::new(BIN)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Running(child)
    }

    /// Reads from standard output until this text has come; then the probes are attached.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        use std::io::Read;
        let out = self.0.stdout.as_mut().expect("a pipe");
        let (mut seen, mut byte) = (String::new(), [0]);
        while !seen.contains(text) {
            match out.read(&mut byte) {
                Ok(1) => seen.push(byte[0] as char),
                _ => {
                    let mut err = String::new();
                    let _ = self.0.stderr.as_mut().expect("a pipe").read_to_string(&mut err);
                    panic!("ended before {text:?}: {seen:?} {err:?}");
                }
            }
        }
        seen
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("it runs");
    }

    /// Waits for its end, at most ten seconds.
    #[track_caller]
    pub fn end(mut self) -> Run {
        let limit = Instant::now() + Duration::from_secs(10);
        while self.0.try_wait().expect("wait").is_none() {
            if Instant::now() > limit {
                let _ = self.0.kill();
                panic!("does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.0.wait_with_output().expect("its output").into()
    }
}

/// A process that sleeps until it is dropped.
pub struct Sleeper(Child);

impl Sleeper {
    pub fn new() -> Sleeper {
        Sleeper(Command::new("sleep").arg("60").spawn().expect("sleep"))
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
