//! `tracewell btf dump`.

use super::source::{Opened, Source};
use super::{Pipe, SOURCE};
use crate::objects::words::usage;
use crate::objects::{Options, Words, out};
use anyhow::Result;
use btf::c::{COptions, dump_c};
use btf::{Btf, TypeId, raw};
use clap::ArgMatches;
use std::io::Write;

/// What is to be printed of what, and how.
struct Request {
    source: Source,
    c: bool,
    sorted: bool,
    /// Of a map: key, value.
    map: (bool, bool),
    roots: Vec<u32>,
}

impl Request {
    fn parse(m: &ArgMatches) -> Result<Request> {
        let mut words = Words::new(m, "words", SOURCE);
        let source = Source::parse(&mut words)?;
        let c = m.get_one::<String>("format").is_some_and(|format| format == "c");
        let mut request = Request { source, c, sorted: true, map: (true, true), roots: Vec::new() };
        if matches!(request.source, Source::Map(_)) {
            // `k` is a beginning of both.
            request.map = if words.peek().is_some_and(|word| word == "kv") && words.keyword("kv") {
                (true, true)
            } else if words.keyword("key") {
                (true, false)
            } else if words.keyword("value") {
                (false, true)
            } else if words.keyword("all") {
                (false, false)
            } else {
                (true, true)
            };
        }
        while !words.is_empty() {
            if words.keyword("format") {
                if words.keyword("c") {
                    request.c = true;
                    request.sorted = !words.keyword("unsorted");
                } else if words.keyword("raw") {
                    request.c = false;
                } else {
                    return words.unexpected("`raw` or `c`");
                }
            } else if words.keyword("root_id") {
                request.roots.push(words.number("the id of a type")?);
            } else {
                return words.unexpected("`format` or `root_id`");
            }
        }
        Ok(request)
    }
}

/// Prints types.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let request = Request::parse(m)?;
    if request.c && options.json {
        return usage("C is no JSON: leave out --json, or take `format raw`");
    }
    let opened = Opened::open(&request.source, m)?;
    opened.with(|btf| {
        let mut roots: Vec<TypeId> = request.roots.iter().copied().map(TypeId).collect();
        if let Some(bad) = roots.iter().find(|id| id.0 == 0 || btf.type_by_id(**id).is_none()) {
            anyhow::bail!("root_id {}: there are types from 1 to {}", bad.0, btf.next_id() - 1);
        }
        if let Some(map) = opened.map.filter(|_| roots.is_empty()) {
            let (key, value) = request.map;
            roots.extend(
                [(key, map.key), (value, map.value)].iter().filter(|(want, _)| *want).map(|(_, id)| *id),
            );
            roots.retain(|id| id.0 != 0);
            if roots.is_empty() && (key || value) {
                anyhow::bail!(
                    "the map does not tell its types; `all` prints those of the program it came with"
                );
            }
        }
        match request.c {
            true => header(btf, roots, request.sorted),
            false => records(btf, &roots, options),
        }
    })
}

fn header(btf: &Btf<'_>, roots: Vec<TypeId>, sorted: bool) -> Result<u8> {
    let mut how = COptions::default();
    (how.roots, how.sorted) = (roots, sorted);
    let mut pipe = Pipe::new(out());
    let result = dump_c(btf, &mut pipe, &how);
    let summary = pipe.done(result)?;
    if summary.skipped > 0 {
        let types = if summary.skipped == 1 { "type is" } else { "types are" };
        let _ = writeln!(
            std::io::stderr(),
            "tracewell: warning: the data is damaged: {} {types} left out, with a comment in place",
            summary.skipped
        );
    }
    Ok(0)
}

fn records(btf: &Btf<'_>, roots: &[TypeId], options: Options) -> Result<u8> {
    if options.pretty {
        let mut text = String::new();
        raw::dump_json(btf, roots, &mut text)?;
        let mut out = out();
        pretty(&text, &mut out)?;
        out.flush()?;
        return Ok(0);
    }
    let mut pipe = Pipe::new(out());
    let result = match options.json {
        true => raw::dump_json(btf, roots, &mut pipe),
        false => raw::dump(btf, roots, &mut pipe),
    };
    pipe.done(result)?;
    Ok(0)
}

/// Line breaks and indentation for JSON that has none.
fn pretty(text: &str, out: &mut dyn Write) -> Result<()> {
    let (mut level, mut quoted, mut escaped, mut last) = (0_usize, false, false, ' ');
    let line = |out: &mut dyn Write, level: usize| write!(out, "\n{:1$}", "", level * 4);
    for c in text.trim_end().chars() {
        let structural = !quoted;
        if structural && matches!(c, '}' | ']') {
            level = level.saturating_sub(1);
            if !matches!(last, '{' | '[') {
                line(out, level)?;
            }
        } else if structural && matches!(last, '{' | '[' | ',') {
            line(out, level)?;
        }
        write!(out, "{c}")?;
        match c {
            '"' if !escaped => quoted = !quoted,
            '{' | '[' if structural => level += 1,
            ':' if structural => write!(out, " ")?,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        last = if quoted || !structural { ' ' } else { c };
    }
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn json_with_line_breaks() {
        let mut out = Vec::new();
        pretty(r#"{"types":[{"id":1,"name":"a\"{,"},{"list":[]}]}"#, &mut out).unwrap();
        expect![[r#"
            {
                "types": [
                    {
                        "id": 1,
                        "name": "a\"{,"
                    },
                    {
                        "list": []
                    }
                ]
            }
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
