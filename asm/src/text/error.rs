//! What is wrong with a text, and where.

use std::fmt;

/// One mistake in an assembly text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AsmError {
    /// Line, from 1.
    pub line: u32,
    /// Column of the first wrong character, from 1, counted in characters.
    pub column: u32,
    /// How many characters are wrong; 0 where something is missing.
    pub len: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The line as it stands in the text.
    pub text: String,
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AsmError {}

/// All mistakes of an assembly text, in the order of the text; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmErrors {
    pub(super) errors: Vec<AsmError>,
}

/// How many mistakes are printed.
const PRINTED: usize = 50;

impl AsmErrors {
    /// The mistakes, each with its line underlined, as a compiler prints them.
    ///
    /// ```
    /// let errors = asm::assemble("r0 = 1\nr1 <<<= 3\nexti").unwrap_err();
    /// assert_eq!(
    ///     errors.report("a.s"),
    ///     "a.s:2:4: no operator `<<<=`; did you mean `<<=`?\n    r1 <<<= 3\n       ^^^^\n\
    ///      a.s:3:1: no instruction `exti`; did you mean `exit`?\n    exti\n    ^^^^\n"
    /// );
    /// ```
    pub fn report(&self, file: &str) -> String {
        let mut out = String::new();
        for error in self.errors.iter().take(PRINTED) {
            out += &format!("{file}:{error}\n");
            // A line of a million characters helps nobody.
            if error.text.len() > 200 {
                continue;
            }
            let before = (error.column as usize).saturating_sub(1);
            // Tabs stay tabs, so that the mark stands below its place.
            let blank: String =
                error.text.chars().take(before).map(|c| if c == '\t' { c } else { ' ' }).collect();
            out += &format!("    {}\n    {blank}{}\n", error.text, "^".repeat(error.len.max(1) as usize));
        }
        if self.errors.len() > PRINTED {
            out += &format!("{file}: and {} more mistakes\n", self.errors.len() - PRINTED);
        }
        out
    }
}

impl std::ops::Deref for AsmErrors {
    type Target = [AsmError];
    fn deref(&self) -> &[AsmError] {
        &self.errors
    }
}

impl IntoIterator for AsmErrors {
    type Item = AsmError;
    type IntoIter = std::vec::IntoIter<AsmError>;
    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl fmt::Display for AsmErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().take(PRINTED).enumerate() {
            write!(f, "{}{error}", if n == 0 { "" } else { "\n" })?;
        }
        match self.errors.len().checked_sub(PRINTED) {
            Some(more @ 1..) => write!(f, "\nand {more} more mistakes"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for AsmErrors {}

/// A mistake by its bytes, before lines are counted.
#[derive(Debug)]
pub(super) struct Fail {
    pub at: usize,
    pub len: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl Fail {
    pub fn new(at: usize, len: usize, message: impl Into<String>) -> Fail {
        Fail { at, len, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Fail {
        self.hint = Some(hint.into());
        self
    }

    pub fn maybe(mut self, hint: Option<String>) -> Fail {
        self.hint = hint;
        self
    }
}

pub(super) type Parsed<T = ()> = Result<T, Fail>;
