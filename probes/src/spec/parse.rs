//! Text to [`EventSpec`].

use std::borrow::Cow;
use std::ops::Range;

use super::{BinaryRef, Dialect, EventKind, EventSpec, FuncRef, Pattern, PatternError, SpecError, Syntax};

/// Parses one event spec.
///
/// Errors say which bytes are meant and what to write instead; nothing is looked up on the system.
pub fn parse(text: &str, dialect: Dialect, syntax: Syntax) -> Result<EventSpec, SpecError> {
    let trimmed = text.trim();
    let start = text.len() - text.trim_start().len();
    let span = start..start + trimmed.len();
    let parser = Parser { text, dialect, syntax };
    let kind = parser.event(span.clone())?;
    Ok(EventSpec { kind, text: text.to_owned(), span })
}

struct Parser<'t> {
    text: &'t str,
    dialect: Dialect,
    syntax: Syntax,
}

/// What stands between two colons.
#[derive(Clone)]
struct Part<'t> {
    /// Unquoted.
    text: Cow<'t, str>,
    quoted: bool,
    /// What follows the closing quote; only an offset may.
    tail: &'t str,
    /// Where it stands, quotes included.
    span: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    /// BCC's `p` and `r`: the scope is a library, or a module in our reading.
    Bcc {
        ret: bool,
    },
    Kprobe {
        ret: bool,
    },
    Uprobe {
        ret: bool,
    },
    Tracepoint,
    Usdt,
    /// A known provider whose events no spec of this grammar can name.
    Other(&'static str),
}

/// bpftrace's other providers: name, one-letter alias, and what to do instead.
const OTHER: &[(&str, &str, &str)] = &[
    ("fentry", "f", "use kprobe:FUNCTION, which counts the same calls"),
    ("kfunc", "f", "use kprobe:FUNCTION, which counts the same calls"),
    ("fexit", "fr", "use kretprobe:FUNCTION, which counts the same returns"),
    ("kretfunc", "fr", "use kretprobe:FUNCTION, which counts the same returns"),
    ("rawtracepoint", "rt", "use tracepoint:CATEGORY:EVENT"),
    ("profile", "p", "a timer has no functions to match; use kprobe:, uprobe: or tracepoint:"),
    ("interval", "i", "a timer has no functions to match; use kprobe:, uprobe: or tracepoint:"),
    ("software", "s", "perf counters have no functions to match; use kprobe:, uprobe: or tracepoint:"),
    ("hardware", "h", "perf counters have no functions to match; use kprobe:, uprobe: or tracepoint:"),
    ("watchpoint", "w", "use kprobe:, uprobe: or tracepoint:"),
    ("iter", "it", "an iterator is read, it does not happen; use kprobe:, uprobe: or tracepoint:"),
    ("begin", "", "use kprobe:, uprobe: or tracepoint:"),
    ("end", "", "use kprobe:, uprobe: or tracepoint:"),
];

impl<'t> Parser<'t> {
    fn error(&self, span: Range<usize>, problem: impl Into<String>, remedy: impl Into<String>) -> SpecError {
        SpecError { text: self.text.to_owned(), span, problem: problem.into(), remedy: remedy.into() }
    }

    fn event(&self, span: Range<usize>) -> Result<EventKind, SpecError> {
        if span.is_empty() {
            return Err(self.error(span, "the event is empty", "name a function, like vfs_read or 'vfs_*'"));
        }
        let parts = self.split(span.clone())?;
        let provider = match &parts[..] {
            [] | [_] => None,
            [first, ..] if first.quoted => None,
            [first, ..] => self.provider(&first.text),
        };
        let too_many = || {
            let problem = format!(
                "Too many ':'-separated components in pattern {}",
                self.text.get(span.clone()).unwrap_or("")
            );
            self.error(
                span.clone(),
                problem,
                "write TYPE:FILE:FUNCTION or TYPE:CATEGORY:EVENT; quote a name that holds `:`",
            )
        };
        if self.dialect == Dialect::Bcc && parts.len() > 3 {
            return Err(too_many());
        }
        match (provider, &parts[..]) {
            (Some(Provider::Other(remedy)), [first, ..]) => Err(self.error(
                first.span.clone(),
                format!("`{}` is not an event to match here", first.text),
                remedy,
            )),
            (Some(provider), [_, rest @ ..]) => match (provider, rest) {
                (Provider::Bcc { ret }, [func]) => self.kprobe(ret, None, func),
                (Provider::Bcc { ret }, [scope, func]) if scope.is_empty() => self.kprobe(ret, None, func),
                (Provider::Bcc { ret }, [scope, func]) => self.scoped(ret, scope, func),
                (Provider::Kprobe { ret }, [func]) => self.kprobe(ret, None, func),
                (Provider::Kprobe { ret }, [module, func]) => self.kprobe(ret, Some(module), func),
                (Provider::Uprobe { ret }, [func]) => self.uprobe(ret, None, func),
                (Provider::Uprobe { ret }, [binary, func]) => self.uprobe(ret, Some(binary), func),
                (Provider::Uprobe { .. }, [_, language, _]) => Err(self.error(
                    language.span.clone(),
                    "functions cannot be matched by their demangled names",
                    "match the symbol: uprobe:FILE:'*name*'; or quote a file name that holds `:`",
                )),
                (Provider::Tracepoint, [event]) => self.tracepoint(None, event),
                (Provider::Tracepoint, [category, event]) => self.tracepoint(Some(category), event),
                (Provider::Usdt, [probe]) => self.usdt(None, None, probe),
                (Provider::Usdt, [binary, probe]) => self.usdt(Some(binary), None, probe),
                (Provider::Usdt, [binary, name, probe]) => self.usdt(Some(binary), Some(name), probe),
                _ => Err(too_many()),
            },
            (None, [func]) if self.dialect == Dialect::Bpftrace => Err(self.error(
                func.span.clone(),
                "the provider is missing",
                "write kprobe:FUNCTION, uprobe:FILE:FUNCTION or tracepoint:CATEGORY:EVENT",
            )),
            (None, [func]) => self.kprobe(false, None, func),
            (None, [first, ..]) if self.dialect == Dialect::Bpftrace => Err(self.error(
                first.span.clone(),
                format!("unknown provider `{}`", first.text),
                "use kprobe, kretprobe, uprobe, uretprobe, tracepoint or usdt",
            )),
            (None, [scope, func]) if scope.is_empty() => self.kprobe(false, None, func),
            (None, [scope, func]) => self.scoped(false, scope, func),
            (None, [empty, scope, func]) if empty.is_empty() && scope.is_empty() => {
                self.kprobe(false, None, func)
            }
            (None, [empty, scope, func]) if empty.is_empty() => self.scoped(false, scope, func),
            (None, [first, _, _]) => Err(self.error(
                first.span.clone(),
                format!("unknown event type `{}`", first.text),
                "use p, r, k, kr, u, ur, t or U; or quote a name that holds `:`",
            )),
            _ => Err(too_many()),
        }
    }

    fn provider(&self, name: &str) -> Option<Provider> {
        use Provider::*;
        let bcc_like = self.dialect != Dialect::Bpftrace;
        // One-letter aliases are case-sensitive: `u` and `U` differ.
        match name {
            "p" if bcc_like => return Some(Bcc { ret: false }),
            "r" if bcc_like => return Some(Bcc { ret: true }),
            "t" => return Some(Tracepoint),
            "u" if self.dialect == Dialect::Bcc => return Some(Usdt),
            "u" => return Some(Uprobe { ret: false }),
            "U" => return Some(Usdt),
            "k" => return Some(Kprobe { ret: false }),
            "kr" => return Some(Kprobe { ret: true }),
            "ur" => return Some(Uprobe { ret: true }),
            _ => {}
        }
        let long = match &*name.to_ascii_lowercase() {
            "kprobe" => Some(Kprobe { ret: false }),
            "kretprobe" => Some(Kprobe { ret: true }),
            "uprobe" => Some(Uprobe { ret: false }),
            "uretprobe" => Some(Uprobe { ret: true }),
            "tracepoint" => Some(Tracepoint),
            "usdt" => Some(Usdt),
            _ => None,
        };
        long.or_else(|| {
            let found = OTHER.iter().find(|(long, short, _)| {
                // Elsewhere a short alias is more likely the name of a library.
                long.eq_ignore_ascii_case(name) || (!bcc_like && !short.is_empty() && *short == name)
            });
            found.map(|&(_, _, remedy)| Other(remedy))
        })
    }

    fn kprobe(&self, ret: bool, module: Option<&Part<'t>>, func: &Part<'t>) -> Result<EventKind, SpecError> {
        let module = match module.filter(|m| !m.is_empty()) {
            Some(part) => Some(self.name_pattern(part)?),
            None => None,
        };
        let (func, offset) = self.func(func, ret)?;
        Ok(EventKind::Kprobe { ret, module, func, offset })
    }

    fn uprobe(&self, ret: bool, binary: Option<&Part<'t>>, func: &Part<'t>) -> Result<EventKind, SpecError> {
        let binary = self.binary(binary)?;
        let (func, offset) = self.func(func, ret)?;
        Ok(EventKind::Uprobe { ret, binary, func, offset })
    }

    fn scoped(&self, ret: bool, scope: &Part<'t>, func: &Part<'t>) -> Result<EventKind, SpecError> {
        if self.dialect == Dialect::Bcc || scope.text.contains('/') {
            return self.uprobe(ret, Some(scope), func);
        }
        let module = self.name_pattern(scope)?;
        let binary = self.binary(Some(scope))?;
        let (func, offset) = self.func(func, ret)?;
        Ok(EventKind::Scoped { ret, binary, module, func, offset })
    }

    fn tracepoint(&self, category: Option<&Part<'t>>, event: &Part<'t>) -> Result<EventKind, SpecError> {
        let category = match category.filter(|c| !c.is_empty()) {
            Some(part) => {
                self.no_tail(part)?;
                self.pattern(part, Pattern::new_whole(&part.text, self.syntax))?
            }
            None => Pattern::any(),
        };
        self.not_empty(event, "tracepoint")?;
        self.no_tail(event)?;
        let event = self.pattern(event, Pattern::new(&event.text, self.syntax))?;
        Ok(EventKind::Tracepoint { category, event })
    }

    fn usdt(
        &self,
        binary: Option<&Part<'t>>,
        provider: Option<&Part<'t>>,
        probe: &Part<'t>,
    ) -> Result<EventKind, SpecError> {
        let binary = self.binary(binary)?;
        let provider = match provider.filter(|p| !p.is_empty()) {
            Some(part) => Some(self.name_pattern(part)?),
            None => None,
        };
        self.not_empty(probe, "USDT probe")?;
        self.no_tail(probe)?;
        let probe = self.pattern(probe, Pattern::new(&probe.text, self.syntax))?;
        Ok(EventKind::Usdt { binary, provider, probe })
    }

    /// A module or provider: always a whole name, and a glob even where functions are regular expressions.
    fn name_pattern(&self, part: &Part<'t>) -> Result<Pattern, SpecError> {
        self.no_tail(part)?;
        let syntax = if self.syntax == Syntax::Regex { Syntax::Glob } else { self.syntax };
        self.pattern(part, Pattern::new(&part.text, syntax))
    }

    fn binary(&self, part: Option<&Part<'t>>) -> Result<BinaryRef, SpecError> {
        let Some(part) = part.filter(|p| !p.is_empty()) else { return Ok(BinaryRef::Process) };
        if part.text.contains('\0') {
            return Err(self.error(part.span.clone(), "a file name cannot hold a NUL byte", "remove it"));
        }
        // BCC takes the library as it is written.
        if self.dialect == Dialect::Bcc || !part.text.contains(['*', '?', '[']) {
            self.no_tail(part)?;
            let text = part.text.to_string();
            return Ok(if text.contains('/') { BinaryRef::Path(text) } else { BinaryRef::Name(text) });
        }
        Ok(BinaryRef::Pattern(self.name_pattern(part)?))
    }

    fn func(&self, part: &Part<'t>, ret: bool) -> Result<(FuncRef, u64), SpecError> {
        self.not_empty(part, "function")?;
        if let Some(digits) = part.text.strip_prefix("0x").or_else(|| part.text.strip_prefix("0X"))
            && !part.quoted
        {
            let addr = u64::from_str_radix(digits, 16).map_err(|_| {
                let problem = format!("`{}` is not an address", part.text);
                self.error(
                    part.span.clone(),
                    problem,
                    "write at most 16 hexadecimal digits after 0x, and no offset",
                )
            })?;
            if ret {
                let remedy = "only an entry probe takes an address; name the function instead";
                return Err(self.error(part.span.clone(), "a return probe needs a function", remedy));
            }
            return Ok((FuncRef::Addr(addr), 0));
        }
        if self.syntax == Syntax::Regex {
            self.no_tail(part)?;
            let pattern = self.pattern(part, Pattern::new(&part.text, self.syntax))?;
            return Ok((FuncRef::Pattern(pattern), 0));
        }
        let (name, offset) = match (part.quoted, part.text.split_once('+')) {
            (true, _) if part.tail.is_empty() => (&*part.text, None),
            (true, _) => (&*part.text, part.tail.strip_prefix('+')),
            (false, Some((name, offset))) => (name, Some(offset)),
            (false, None) => (&*part.text, None),
        };
        if name.is_empty() && offset.is_some() {
            return Err(self.error(part.span.clone(), "the function is missing", "write FUNCTION+OFFSET"));
        }
        let pattern = self.pattern(part, Pattern::new(name, self.syntax))?;
        let func = match pattern.literal() {
            Some(literal) => FuncRef::Exact(literal.to_owned()),
            None => FuncRef::Pattern(pattern),
        };
        let Some(digits) = offset else { return Ok((func, 0)) };
        let at = part.span.end - digits.len()..part.span.end;
        let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
            None if !digits.starts_with('+') => digits.parse().ok(),
            _ => None,
        };
        let Some(offset) = parsed else {
            let remedy = "write it in bytes: FUNCTION+16 or FUNCTION+0x10";
            return Err(self.error(at, format!("`{digits}` is not an offset"), remedy));
        };
        if offset != 0 && ret {
            let remedy = "leave the offset out, or use an entry probe";
            return Err(self.error(at, "a return probe takes no offset", remedy));
        }
        if offset != 0 && matches!(func, FuncRef::Pattern(_)) {
            let remedy = "name one function without wildcards, or leave the offset out";
            return Err(self.error(at, "an offset needs one function", remedy));
        }
        Ok((func, offset))
    }

    fn not_empty(&self, part: &Part<'t>, what: &str) -> Result<(), SpecError> {
        if !part.is_empty() {
            return Ok(());
        }
        Err(self.error(part.span.clone(), format!("the {what} is missing"), "write a name, or `*` for all"))
    }

    fn no_tail(&self, part: &Part<'t>) -> Result<(), SpecError> {
        if part.tail.is_empty() {
            return Ok(());
        }
        let at = part.span.end - part.tail.len()..part.span.end;
        Err(self.error(at, "unexpected text after the closing quote", "end the part there, or put it inside"))
    }

    fn pattern(&self, part: &Part<'t>, made: Result<Pattern, PatternError>) -> Result<Pattern, SpecError> {
        made.map_err(|error| {
            // Inside quotes with escapes positions shift; then the whole part is meant.
            let exact = part.span.len() == part.text.len();
            let quoted = part.quoted && part.span.len() == part.text.len() + part.tail.len() + 2;
            let base = part.span.start + usize::from(quoted);
            let span = if exact || quoted || !part.quoted {
                let end = part.span.end;
                (base + error.span.start).min(end)..(base + error.span.end).min(end)
            } else {
                part.span.clone()
            };
            self.error(span, error.problem, error.remedy)
        })
    }

    /// Splits at the colons outside quotes and, in regular expressions, outside groups and brackets.
    fn split(&self, span: Range<usize>) -> Result<Vec<Part<'t>>, SpecError> {
        let mut parts = Vec::new();
        let mut start = span.start;
        loop {
            let (part, more) = self.part(start, span.end)?;
            start = part.span.end + 1;
            parts.push(part);
            if !more {
                return Ok(parts);
            }
        }
    }

    /// The part that begins at `start`, and whether a colon follows it.
    fn part(&self, start: usize, end: usize) -> Result<(Part<'t>, bool), SpecError> {
        let text = self.text;
        let bytes = text.as_bytes();
        if bytes.get(start) == Some(&b'"') && start < end {
            let (content, close) = self.quoted(start, end)?;
            let stop = text[close..end].find(':').map_or(end, |n| close + n);
            let part = Part { text: content, quoted: true, tail: &text[close..stop], span: start..stop };
            if !part.tail.is_empty() && !part.tail.starts_with('+') {
                self.no_tail(&part)?;
            }
            return Ok((part, stop < end));
        }
        let mut depth = 0u32;
        let mut bracket: Option<usize> = None;
        let mut stop = start;
        while stop < end {
            let b = bytes[stop];
            if self.syntax == Syntax::Regex {
                match b {
                    b'\\' => stop += 1,
                    // A `]` right behind `[` or `[^` is a member of the class.
                    b']' if bracket.is_some_and(|open| stop > open) => bracket = None,
                    b'[' if bracket.is_none() => {
                        bracket = Some(stop + 1 + usize::from(bytes.get(stop + 1) == Some(&b'^')));
                    }
                    b'(' if bracket.is_none() => depth += 1,
                    b')' if bracket.is_none() => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            if b == b':' && depth == 0 && bracket.is_none() {
                break;
            }
            if b.is_ascii_whitespace() && self.syntax != Syntax::Regex {
                let remedy = "quote a name that holds blanks, or give several events as several arguments";
                return Err(self.error(stop..stop + 1, "unexpected blank", remedy));
            }
            stop += 1;
        }
        // A backslash at the very end must not lead behind the text, nor into a character.
        let mut stop = stop.min(end);
        while !text.is_char_boundary(stop) {
            stop += 1;
        }
        let part =
            Part { text: Cow::Borrowed(&text[start..stop]), quoted: false, tail: "", span: start..stop };
        Ok((part, stop < end))
    }

    /// The content of the quotes that open at `start`, and the position behind them.
    fn quoted(&self, start: usize, end: usize) -> Result<(Cow<'t, str>, usize), SpecError> {
        let inner = &self.text[start + 1..end];
        let mut chars = inner.char_indices();
        let mut unescaped: Option<String> = None;
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let content = match unescaped {
                        Some(text) => Cow::Owned(text),
                        None => Cow::Borrowed(&inner[..at]),
                    };
                    return Ok((content, start + 1 + at + 1));
                }
                '\\' if matches!(inner.as_bytes().get(at + 1), Some(b'"' | b'\\')) => {
                    let text = unescaped.get_or_insert_with(|| inner[..at].to_owned());
                    if let Some((_, escaped)) = chars.next() {
                        text.push(escaped);
                    }
                }
                other => {
                    if let Some(text) = &mut unescaped {
                        text.push(other);
                    }
                }
            }
        }
        Err(self.error(start..end, "the quote is never closed", "add a closing \""))
    }
}

impl Part<'_> {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tail.is_empty()
    }
}
