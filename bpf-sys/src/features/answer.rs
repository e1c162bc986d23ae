//! Yes, no, or could not tell.

use std::fmt;

use crate::errno::Errno;
use crate::error::{Error, Result};

/// What a probe found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was tried and it works.
    Yes,
    /// It was tried and the kernel does not have it.
    No {
        /// What the kernel said.
        why: String,
    },
    /// It could not be tried, or the kernel's answer has more than one meaning.
    Unknown {
        /// What got in the way, such as a missing capability.
        why: String,
    },
}

impl Answer {
    /// Whether it was tried and works.
    pub fn is_yes(&self) -> bool {
        matches!(self, Answer::Yes)
    }

    /// Whether it was tried and the kernel does not have it.
    pub fn is_no(&self) -> bool {
        matches!(self, Answer::No { .. })
    }

    pub(super) fn no(why: impl Into<String>) -> Self {
        Answer::No { why: why.into() }
    }

    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Answer::Unknown { why: why.into() }
    }

    /// Yes only if both are; the first that is not yes otherwise.
    pub(super) fn and(self, other: impl FnOnce() -> Answer) -> Self {
        if self.is_yes() { other() } else { self }
    }

    /// Success is yes; one of these error numbers is no; a lack of privileges or anything else is neither.
    pub(super) fn of<T>(result: Result<T>, no: &[Errno]) -> Self {
        match result {
            Ok(_) => Answer::Yes,
            Err(error) => Answer::of_error(&error, no),
        }
    }

    /// One of these error numbers is no; anything else is unknown.
    pub(super) fn of_error(error: &Error, no: &[Errno]) -> Self {
        let why = first_lines(error);
        match error.errno() {
            Some(errno) if no.contains(&errno) => Answer::No { why },
            None if matches!(error, Error::Unsupported { .. }) => Answer::No { why },
            _ => Answer::Unknown { why },
        }
    }
}

/// The error in one line.
fn first_lines(error: &Error) -> String {
    match error {
        Error::ProgLoad(e) => match e.log.lines().rev().find(|line| is_complaint(line)) {
            Some(line) => format!("{}: {line}", e.errno),
            None => format!("{}: the kernel did not get as far as verifying the trial program", e.errno),
        },
        Error::BtfLoad { errno, log, .. } => match log.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{errno}: {}", line.trim()),
            None => errno.to_string(),
        },
        Error::Sys { call, errno, .. } => format!("{call} said {errno}"),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// Whether this line of a verifier's log says what is wrong, rather than what was done.
fn is_complaint(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty()
        && !line.starts_with("processed ")
        && !line.starts_with("verification time")
        && !line.starts_with("stack depth")
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Yes => f.write_str("yes"),
            Answer::No { why } => write!(f, "no ({why})"),
            Answer::Unknown { why } => write!(f, "could not tell ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_answers() {
        let error = |errno| Err::<(), _>(Error::sys("bpf(BPF_MAP_CREATE)", "try", errno));
        assert_eq!(Answer::of(Ok(()), &[]), Answer::Yes);
        let no = Answer::of(error(Errno::EINVAL), &[Errno::EINVAL]);
        assert_eq!(no.to_string(), "no (bpf(BPF_MAP_CREATE) said EINVAL (Invalid argument))");
        let unknown = Answer::of(error(Errno::EPERM), &[Errno::EINVAL]);
        assert_eq!(
            unknown.to_string(),
            "could not tell (bpf(BPF_MAP_CREATE) said EPERM (Operation not permitted))"
        );
        assert!(no.clone().and(|| Answer::Yes).is_no());
        assert!(Answer::Yes.and(|| no).is_no());
    }
}
