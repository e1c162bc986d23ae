//! `--cmd`: a process that exists, and can be filtered for, before it becomes the command.
//!
//! It is this same binary under another name: it stops itself, and executes the command when it is continued.
//! So what is counted begins with the `execve` that starts the command, and needs no shell and no ptrace.

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which the binary is the waiting process.
pub const STARTER: &str = "tracewell-start";

/// A command that waits to be let go.
#[derive(Debug)]
pub struct Launched {
    /// Its process id, before and after it becomes the command.
    pub pid: Pid,
    ended: bool,
}

impl Launched {
    /// Starts the process that will become `command`.
    pub fn new(command: &str) -> Result<Launched> {
        let words = split(command).with_context(|| format!("cannot understand --cmd '{command}'"))?;
        let Some(name) = words.first() else {
            bail!("--cmd is empty; give it a command, as in --cmd 'ls -l'");
        };
        let program = find(name)?;
        let child = Command::new("/proc/self/exe")
            .arg0(STARTER)
            .arg(&program)
            .args(&words)
            .spawn()
            .context("cannot start a process for --cmd; is /proc mounted?")?;
        let pid = Pid::from_raw(child.id() as i32);
        match waitpid(pid, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(..)) => Ok(Launched { pid, ended: false }),
            Ok(status) => bail!("the process for --cmd ended before it began: {status:?}"),
            Err(e) => Err(e).context("cannot wait for the process of --cmd"),
        }
    }

    /// Lets it become the command.
    pub fn go(&self) -> Result<()> {
        kill(self.pid, Signal::SIGCONT).context("cannot start the command of --cmd")
    }

    /// Notes that it ended, so that its process id is not signalled when it may be another's.
    pub fn set_ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Launched {
    /// Tracing ended first: the command was started for it, so it is asked to end too.
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill(self.pid, Signal::SIGTERM);
            // One that was never let go would keep the signal pending for ever.
            let _ = kill(self.pid, Signal::SIGCONT);
        }
    }
}

/// The waiting process: `tracewell-start PROGRAM ARGV0 ARGS...`. Returns the exit status where it cannot become
/// the command.
pub fn starter(mut args: impl Iterator<Item = OsString>) -> u8 {
    // Should tracewell die first, then nobody is left to continue this process.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let (Some(program), Some(name)) = (args.next(), args.next()) else {
        return 2;
    };
    if raise(Signal::SIGSTOP).is_err() {
        return 126;
    }
    let _ = prctl::set_pdeathsig(None);
    let e = Command::new(&program).arg0(name).args(args).exec();
    eprintln!("tracewell: error: cannot execute {}: {e}", Path::new(&program).display());
    if e.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}

/// The file that a shell would execute for this name.
fn find(name: &str) -> Result<PathBuf> {
    let executable =
        |path: &Path| nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file();
    if name.contains('/') {
        let path = PathBuf::from(name);
        if !path.exists() {
            bail!("no such command: {name}");
        }
        if !executable(&path) {
            bail!("{name} is not an executable file");
        }
        return Ok(path);
    }
    let dirs = std::env::var_os("PATH").unwrap_or_else(|| OsStr::new("/usr/local/bin:/usr/bin:/bin").into());
    std::env::split_paths(&dirs)
        .map(|dir| dir.join(name))
        .find(|path| executable(path))
        .with_context(|| format!("no such command in $PATH: {name}"))
}

/// Splits into words like a shell: blanks, `'…'`, `"…"`, backslashes.
fn split(text: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut chars) = (Vec::new(), None::<String>, text.chars());
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => bail!("a ' is not closed"),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => bail!("a \" is not closed"),
                        },
                        Some(c) => word.push(c),
                        None => bail!("a \" is not closed"),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => bail!("it ends in a backslash"),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text).unwrap(), expected, "{text}");
        check("", &[]);
        check("  ls   -l\t/tmp ", &["ls", "-l", "/tmp"]);
        check("sh -c 'echo \"$0\" | wc'", &["sh", "-c", "echo \"$0\" | wc"]);
        check(r#"a"b c"d '' "" e\ f "\"\x""#, &["ab cd", "", "", "e f", r#""\x"#]);
        for bad in ["'", "a \"b", "a\\", "\"a\\"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        assert!(find("sh").unwrap().is_absolute());
        assert!(find("no-such-command-here").unwrap_err().to_string().contains("$PATH"));
        assert!(find("/").unwrap_err().to_string().contains("not an executable"));
        assert!(find("./no/such").unwrap_err().to_string().contains("no such command"));
    }
}
