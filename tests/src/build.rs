//! Asks cargo for test binaries and programs, and the binaries for the names of their tests.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The target of everything that runs in a guest: static, so that it needs nothing there.
pub const GUEST_TARGET: &str = "x86_64-unknown-linux-musl";

/// One test binary.
#[derive(Debug, Clone)]
pub struct TestBinary {
    /// `probes` for a crate's own unit tests, `probes/attach` for `probes/tests/attach.rs`.
    pub suite: String,
    /// The folder of its package.
    pub package: PathBuf,
    /// The executable.
    pub path: PathBuf,
}

impl TestBinary {
    /// The names of its tests, found by running it with `--list`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn tests(&self) -> Result<Vec<String>, String> {
        let out = Command::new(&self.path)
            .args(["--list", "--format", "terse"])
            .current_dir(&self.package)
            .output()
            .map_err(|e| format!("{}: {e}", self.path.display()))?;
        if !out.status.success() {
            return Err(format!("{} --list: {}", self.path.display(), out.status));
        }
        let text = String::from_utf8_lossy(&out.stdout);
        Ok(text.lines().filter_map(|l| l.strip_suffix(": test")).map(str::to_owned).collect())
    }
}

/// What a build made.
#[derive(Debug, Default)]
pub struct Built {
    /// Test binaries, in the order of their suites.
    pub tests: Vec<TestBinary>,
    /// Programs by name.
    pub programs: Vec<(String, PathBuf)>,
}

impl Built {
    /// The path of a program.
    ///
    /// # Errors
    /// When cargo did not build it.
    pub fn program(&self, name: &str) -> Result<&Path, String> {
        self.programs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, path)| path.as_path())
            .ok_or_else(|| format!("cargo built no program {name}"))
    }
}

/// How to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For the running machine, with cargo's defaults.
    Host,
    /// For the guests: static, with symbols but no debug information, with frame pointers.
    Guest,
    /// The program as it is released: static, small.
    Release,
}

/// Runs cargo in the repository at `root` with `args` (`test --no-run ...` or `build ...`).
///
/// # Errors
/// When cargo fails; its messages have gone to standard error.
pub fn cargo(root: &Path, mode: Mode, args: &[&str]) -> Result<Built, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root).args(args).arg("--message-format=json-render-diagnostics");
    match mode {
        Mode::Host => {}
        Mode::Guest => {
            command.args(["--target", GUEST_TARGET, "--profile", "guest"]);
            for setting in ["inherits=\"dev\"", "opt-level=1", "debug=0", "strip=\"debuginfo\""] {
                command.arg("--config").arg(format!("profile.guest.{setting}"));
            }
            // Stacks of user space are walked by their frame pointers.
            command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS", "-Cforce-frame-pointers=yes");
        }
        Mode::Release => {
            command.args(["--target", GUEST_TARGET, "--release"]);
        }
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cargo could not be started: {e}"))?;
    let mut built = Built::default();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.map_err(|e| format!("reading from cargo: {e}"))?;
            if let Ok(message) = serde_json::from_str::<Value>(&line) {
                take_artifact(&message, &mut built);
            }
        }
    }
    let status = child.wait().map_err(|e| format!("waiting for cargo: {e}"))?;
    if !status.success() {
        return Err(format!("cargo {} failed: {status}", args.join(" ")));
    }
    built.tests.sort_by(|a, b| a.suite.cmp(&b.suite));
    Ok(built)
}

fn take_artifact(message: &Value, built: &mut Built) {
    if message["reason"] != "compiler-artifact" {
        return;
    }
    let (Some(path), Some(name)) = (message["executable"].as_str(), message["target"]["name"].as_str())
    else {
        return;
    };
    let path = PathBuf::from(path);
    if message["profile"]["test"] != true {
        built.programs.push((name.to_owned(), path));
        return;
    }
    let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
    let package = manifest.parent().unwrap_or(Path::new("."));
    let folder = package.file_name().unwrap_or_default().to_string_lossy();
    let suite = match message["target"]["kind"][0].as_str() {
        Some("test") => format!("{folder}/{name}"),
        _ => folder.into_owned(),
    };
    built.tests.push(TestBinary { suite, package: package.to_owned(), path });
}
