//! bpftool's keyword arguments: `id 7`, `key hex 00 01 value 5`, read from left to right.

use anyhow::Result;
use clap::ArgMatches;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A command line that cannot be understood; the command ends with status 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A usage error.
pub fn usage<T>(what: impl Into<String>) -> Result<T> {
    Err(Usage(what.into()).into())
}

/// The words of a command line that are left to read.
#[derive(Clone, Debug)]
pub struct Words {
    words: std::iter::Peekable<std::vec::IntoIter<OsString>>,
    /// What the grammar is, for errors.
    grammar: &'static str,
}

impl Words {
    /// The words of the positional argument `name`.
    pub fn new(matches: &ArgMatches, name: &str, grammar: &'static str) -> Words {
        // A command that was given without a verb has no such argument.
        let given = matches.try_get_many::<OsString>(name).ok().flatten();
        let words: Vec<OsString> = given.into_iter().flatten().cloned().collect();
        Words { words: words.into_iter().peekable(), grammar }
    }

    #[cfg(test)]
    pub fn of(text: &str) -> Words {
        let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        Words { words: words.into_iter().peekable(), grammar: "X" }
    }

    /// Whether there is nothing left.
    pub fn is_empty(&mut self) -> bool {
        self.words.peek().is_none()
    }

    /// The next word, left where it is.
    pub fn peek(&mut self) -> Option<&OsStr> {
        self.words.peek().map(|w| w.as_os_str())
    }

    /// Whether the next word is this keyword or a beginning of it.
    pub fn at(&mut self, keyword: &str) -> bool {
        let word = self.peek().and_then(OsStr::to_str);
        word.is_some_and(|word| !word.is_empty() && keyword.starts_with(word))
    }

    /// Takes the next word if it is this keyword or a beginning of it.
    pub fn keyword(&mut self, keyword: &str) -> bool {
        let at = self.at(keyword);
        if at {
            self.words.next();
        }
        at
    }

    /// Takes the next word, which is to be `what`.
    pub fn next(&mut self, what: &str) -> Result<OsString> {
        match self.words.next() {
            Some(word) => Ok(word),
            None => usage(format!("{what} is missing at the end: {}", self.grammar)),
        }
    }

    /// Takes the next word as text.
    pub fn text(&mut self, what: &str) -> Result<String> {
        let word = self.next(what)?;
        match word.into_string() {
            Ok(text) => Ok(text),
            Err(word) => usage(format!("{what}: `{}` is not UTF-8", word.to_string_lossy())),
        }
    }

    /// Takes the next word as a path.
    pub fn path(&mut self, what: &str) -> Result<PathBuf> {
        Ok(self.next(what)?.into())
    }

    /// Takes the next word as a number, decimal or `0x` hexadecimal.
    pub fn number<T: FromStr + TryFrom<u64>>(&mut self, what: &str) -> Result<T> {
        let text = self.text(what)?;
        let value = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok().and_then(|n| T::try_from(n).ok()),
            None => text.parse().ok(),
        };
        match value {
            Some(value) => Ok(value),
            None => usage(format!("{what}: `{text}` is not a number that fits")),
        }
    }

    /// Fails where words are left.
    pub fn end(&mut self) -> Result<()> {
        match self.words.next() {
            None => Ok(()),
            Some(word) => {
                usage(format!("`{}` is not expected here: {}", word.to_string_lossy(), self.grammar))
            }
        }
    }

    /// The error for a next word that is none of what can stand there.
    pub fn unexpected<T>(&mut self, expected: &str) -> Result<T> {
        match self.words.next() {
            Some(word) => {
                usage(format!("`{}` where {expected} should be: {}", word.to_string_lossy(), self.grammar))
            }
            None => usage(format!("{expected} is missing at the end: {}", self.grammar)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_one_by_one() {
        let mut w = Words::of("id 0x10 n x");
        assert!(!w.keyword("name") && w.keyword("id"));
        assert_eq!(w.number::<u32>("an id").unwrap(), 16);
        assert!(w.keyword("name"));
        assert!(w.clone().end().unwrap_err().is::<Usage>());
        assert_eq!(w.text("a name").unwrap(), "x");
        w.end().unwrap();
        assert_eq!(w.next("a key").unwrap_err().to_string(), "a key is missing at the end: X");
        assert!(Words::of("-1").number::<u32>("n").is_err() && Words::of("0x1g").number::<u8>("n").is_err());
    }
}
