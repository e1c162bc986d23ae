//! Name patterns: literals, globs and regular expressions over names of functions, modules and events.
//!
//! Most patterns people type are a literal, `prefix*`, `*suffix` or `*part*`; those are compared directly. Other
//! globs run through a small matcher that never recurses, and regular expressions through the `regex` crate in byte
//! mode (no Unicode tables, so `\w` and `\d` are ASCII, as in symbol names).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// How wildcards are written in a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// Shell globs: `*`, `?`, `[a-z]`, `[!a-z]`; the whole name must match. The default.
    ///
    /// A superset of BCC's and bpftrace's wildcards: names of kernel functions and tracepoints never hold `?` or
    /// `[`. A special character is taken literally inside brackets: `[*]`.
    #[default]
    Glob,
    /// BCC's wildcards: only `*` is special; the whole name must match.
    BccWildcard,
    /// Regular expressions as with BCC's `-r`: matched from the start of the name (Python's `re.match`), so `vfs_`
    /// matches every name that begins with it and `vfs_read$` only one.
    Regex,
}

/// A pattern that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong, in one phrase.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
    /// Which bytes of the pattern are meant.
    pub span: Range<usize>,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {}); {}", self.problem, self.span.start, self.remedy)
    }
}

impl std::error::Error for PatternError {}

/// A compiled name pattern. Equality and hash go by its text, syntax and anchoring.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    syntax: Syntax,
    /// For regular expressions: whether the end is anchored as well.
    whole: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Literal(Box<[u8]>),
    Any,
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    Glob(Box<[Token]>),
    Regex(Box<regex::bytes::Regex>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyByte,
    Star,
    Class { negated: bool, ranges: Box<[(u8, u8)]> },
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.syntax == other.syntax && self.whole == other.whole
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, self.syntax, self.whole).hash(state);
    }
}

impl fmt::Display for Pattern {
    /// The pattern as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Compiles `text` in the given syntax.
    ///
    /// Errors: an unclosed or empty `[...]`, a range that runs backwards, or a regular expression that the `regex`
    /// crate refuses; each with the bytes that are meant.
    pub fn new(text: &str, syntax: Syntax) -> Result<Pattern, PatternError> {
        let matcher = match syntax {
            Syntax::Glob => glob_matcher(glob_tokens(text)?),
            Syntax::BccWildcard => glob_matcher(star_tokens(text)),
            Syntax::Regex => regex_matcher(text, false)?,
        };
        Ok(Pattern { text: text.to_owned(), syntax, whole: syntax != Syntax::Regex, matcher })
    }

    /// Like [`Pattern::new`], but a regular expression has to match the whole name. For the parts of an event spec
    /// that are followed by a `:`, where matching the start alone would surprise.
    pub fn new_whole(text: &str, syntax: Syntax) -> Result<Pattern, PatternError> {
        if syntax != Syntax::Regex {
            return Pattern::new(text, syntax);
        }
        Ok(Pattern { text: text.to_owned(), syntax, whole: true, matcher: regex_matcher(text, true)? })
    }

    /// The pattern that matches every name: `*`.
    pub fn any() -> Pattern {
        Pattern { text: "*".to_owned(), syntax: Syntax::Glob, whole: true, matcher: Matcher::Any }
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The syntax it was written in.
    pub fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Whether `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        self.matches_bytes(name.as_bytes())
    }

    /// Whether the bytes of `name` match; for names that need not be UTF-8.
    pub fn matches_bytes(&self, name: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Literal(text) => **text == *name,
            Matcher::Any => true,
            Matcher::Prefix(text) => name.starts_with(text),
            Matcher::Suffix(text) => name.ends_with(text),
            Matcher::Contains(text) => contains(name, text),
            Matcher::Glob(tokens) => glob_matches(tokens, name),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }

    /// The one name that can match, if the pattern has no wildcard in it.
    pub fn literal(&self) -> Option<&str> {
        match &self.matcher {
            // `[*]` is one name as well, and the bytes are then not the text's.
            Matcher::Literal(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Whether every name matches.
    pub fn is_any(&self) -> bool {
        matches!(self.matcher, Matcher::Any)
    }
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return true };
    hay.windows(needle.len()).any(|window| window[0] == first && window == needle)
}

fn star_tokens(text: &str) -> Vec<Token> {
    text.bytes().map(|b| if b == b'*' { Token::Star } else { Token::Byte(b) }).collect()
}

fn glob_tokens(text: &str) -> Result<Vec<Token>, PatternError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        at += 1;
        match b {
            b'*' => tokens.push(Token::Star),
            b'?' => tokens.push(Token::AnyByte),
            b'[' => {
                let (token, end) = class(bytes, at)?;
                tokens.push(token);
                at = end;
            }
            _ => tokens.push(Token::Byte(b)),
        }
    }
    Ok(tokens)
}

/// The bracket expression whose `[` is just before `start`; returns the position behind its `]`.
fn class(bytes: &[u8], start: usize) -> Result<(Token, usize), PatternError> {
    let open = start - 1;
    let mut at = start;
    let negated = matches!(bytes.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let Some(&low) = bytes.get(at) else {
            return Err(PatternError {
                problem: "`[` is never closed".into(),
                remedy: "close it with `]`, or write `[[]` for the character itself".into(),
                span: open..bytes.len(),
            });
        };
        // As in the shell, a `]` right at the beginning stands for itself.
        if low == b']' && at > first {
            break;
        }
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                if low > high {
                    return Err(PatternError {
                        problem: "this range runs backwards".into(),
                        remedy: "write the smaller character first".into(),
                        span: char_span(bytes, at, at + 3),
                    });
                }
                ranges.push((low, high));
                at += 3;
            }
            _ => {
                ranges.push((low, low));
                at += 1;
            }
        }
    }
    // A class of one character, like `[*]`, is how a special character is quoted.
    let token = match ranges[..] {
        [(low, high)] if low == high && !negated => Token::Byte(low),
        _ => Token::Class { negated, ranges: ranges.into() },
    };
    Ok((token, at + 1))
}

/// Widens a span to character boundaries, so that it can index the text.
fn char_span(bytes: &[u8], mut start: usize, mut end: usize) -> Range<usize> {
    let inside = |at: usize| bytes.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    while inside(start) {
        start -= 1;
    }
    while inside(end) {
        end += 1;
    }
    start..end.min(bytes.len())
}

fn glob_matcher(mut tokens: Vec<Token>) -> Matcher {
    tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
    let literal = |tokens: &[Token]| -> Option<Box<[u8]>> {
        tokens.iter().map(|t| if let Token::Byte(b) = t { Some(*b) } else { None }).collect()
    };
    let found = match &tokens[..] {
        [Token::Star] => Some(Matcher::Any),
        [Token::Star, middle @ .., Token::Star] => literal(middle).map(Matcher::Contains),
        [Token::Star, rest @ ..] => literal(rest).map(Matcher::Suffix),
        [rest @ .., Token::Star] => literal(rest).map(Matcher::Prefix),
        all => literal(all).map(Matcher::Literal),
    };
    found.unwrap_or_else(|| Matcher::Glob(tokens.into()))
}

/// Greedy matching that goes back to the last star only: linear space, never exponential time.
fn glob_matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let stepped = match (tokens.get(t), name.get(n)) {
            (None, None) => return true,
            (Some(Token::Star), _) => {
                retry = Some((t, n));
                t += 1;
                continue;
            }
            (Some(Token::AnyByte), Some(_)) => true,
            (Some(Token::Byte(want)), Some(have)) => want == have,
            (Some(Token::Class { negated, ranges }), Some(&have)) => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&have)) != *negated
            }
            _ => false,
        };
        if stepped {
            t += 1;
            n += 1;
            continue;
        }
        match retry {
            Some((star, from)) if from < name.len() => {
                retry = Some((star, from + 1));
                t = star + 1;
                n = from + 1;
            }
            _ => return false,
        }
    }
}

fn regex_matcher(text: &str, whole: bool) -> Result<Matcher, PatternError> {
    // Compiled alone first: an unbalanced `)` must not close the group that anchors it, and the position in a
    // message must be one of the user's text.
    build_regex(text).map_err(|error| regex_error(text, &error))?;
    let tail = if whole { r")\z" } else { ")" };
    // The line break ends a comment that the expression may hold under the `x` flag; without that flag it would be
    // part of the expression, so it is added only where it is needed.
    let anchored = build_regex(&format!(r"\A(?:{text}{tail}"))
        .or_else(|_| build_regex(&format!("\\A(?:{text}\n{tail}")))
        .map_err(|error| regex_error(text, &error))?;
    Ok(Matcher::Regex(Box::new(anchored)))
}

fn build_regex(text: &str) -> Result<regex::bytes::Regex, regex::Error> {
    // Symbols are short and patterns are typed by hand: a megabyte is ample and keeps `(a{9999}){9999}` out.
    regex::bytes::RegexBuilder::new(text).unicode(false).size_limit(1 << 20).build()
}

fn regex_error(text: &str, error: &regex::Error) -> PatternError {
    let remedy = "correct the regular expression, or leave out -r to use `*` as a wildcard".to_owned();
    let whole = 0..text.len();
    match error {
        regex::Error::CompiledTooBig(_) => PatternError {
            problem: "this regular expression is too large when compiled".into(),
            remedy: "use smaller repetition counts".into(),
            span: whole,
        },
        other => {
            // The crate reports the position as a caret under the text, and the reason in the last line.
            let shown = other.to_string();
            let reason = shown.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            let caret = shown.lines().find(|l| l.contains('^') && l.chars().all(|c| c == ' ' || c == '^'));
            let span = caret.and_then(|line| {
                let start = line.find('^')?.checked_sub(4)?;
                let len = line.matches('^').count();
                // The caret counts characters; a span counts bytes.
                let byte = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
                Some(byte(start)..byte(start + len))
            });
            PatternError {
                problem: format!("bad regular expression: {reason}"),
                remedy,
                span: span.unwrap_or(whole),
            }
        }
    }
}
