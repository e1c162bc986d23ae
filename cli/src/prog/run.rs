//! `tracewell prog run` and `prog pin`.

use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, check_pin_path, out, words::usage};
use crate::output::jsonw::Json;
use anyhow::{Result, anyhow};
use bpf_sys::prog::TestRun;
use clap::ArgMatches;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const GRAMMAR: &str = "run PROG { data_in FILE | ctx_in FILE } [data_out FILE [data_size_out N]] \
                       [ctx_out FILE [ctx_size_out N]] [repeat N]";

/// Room for what comes back, where the command line says nothing.
const DEFAULT_ROOM: usize = 32 * 1024;
/// The kernel takes no more than this.
const MOST_ROOM: usize = 64 << 20;

#[derive(Debug, Default)]
struct Request {
    data_in: Option<PathBuf>,
    data_out: Option<PathBuf>,
    ctx_in: Option<PathBuf>,
    ctx_out: Option<PathBuf>,
    data_room: Option<usize>,
    ctx_room: Option<usize>,
    repeat: u32,
}

impl Request {
    fn read(words: &mut Words) -> Result<Request> {
        let mut request = Request::default();
        let r = &mut request;
        while !words.is_empty() {
            let path = |words: &mut Words, place: &mut Option<PathBuf>| -> Result<()> {
                *place = Some(words.path("a file")?);
                Ok(())
            };
            // The longer words first: a beginning of a keyword will do, and these begin alike.
            if words.keyword("data_in") {
                path(words, &mut r.data_in)?;
            } else if words.keyword("data_out") {
                path(words, &mut r.data_out)?;
            } else if words.keyword("ctx_in") {
                path(words, &mut r.ctx_in)?;
            } else if words.keyword("ctx_out") {
                path(words, &mut r.ctx_out)?;
            } else if words.keyword("data_size_out") {
                r.data_room = Some(words.number("bytes of data")?);
            } else if words.keyword("ctx_size_out") {
                r.ctx_room = Some(words.number("bytes of context")?);
            } else if words.keyword("repeat") {
                r.repeat = words.number("how often to run")?;
            } else {
                return words.unexpected("`data_in`, `data_out`, `ctx_in`, `ctx_out` or `repeat`");
            }
        }
        let stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        if r.data_in.is_none() && r.ctx_in.is_none() {
            return usage(format!("the program needs input: {GRAMMAR}"));
        }
        if stdin(&r.data_in) && stdin(&r.ctx_in) {
            return usage("standard input can be the data or the context, not both");
        }
        if [r.data_room, r.ctx_room].into_iter().flatten().any(|room| room > MOST_ROOM) {
            return usage(format!("room for output: at most {MOST_ROOM} bytes"));
        }
        Ok(request)
    }
}

fn read(path: Option<&Path>) -> Result<Vec<u8>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes).map_err(|e| anyhow!("cannot read standard input: {e}"))?;
    } else {
        bytes = super::object::read(path)?;
    }
    Ok(bytes)
}

/// Runs a program on made-up input.
pub fn run(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", GRAMMAR);
    let which = Which::prog(&mut words)?;
    let request = Request::read(&mut words)?;
    let prog = select::prog(&which)?;
    let (data, ctx) = (read(request.data_in.as_deref())?, read(request.ctx_in.as_deref())?);
    let room = |file: &Option<PathBuf>, input: &[u8], size: Option<usize>| match (file, size) {
        (None, None) => Vec::new(),
        _ => vec![0; size.unwrap_or(DEFAULT_ROOM.max(input.len()))],
    };
    let mut data_out = room(&request.data_out, &data, request.data_room);
    let mut ctx_out = room(&request.ctx_out, &ctx, request.ctx_room);
    let run = TestRun {
        data: &data,
        data_out: &mut data_out,
        ctx: &ctx,
        ctx_out: &mut ctx_out,
        repeat: request.repeat,
        ..TestRun::default()
    };
    let done = prog.test_run(run)?;
    data_out.truncate(done.data_len);
    ctx_out.truncate(done.ctx_len);
    let mut out = out();
    let mut j = Json::new(&mut out, options.pretty);
    let mut text = Vec::new();
    if options.json {
        j.begin_object()?;
    }
    for (name, path, bytes) in
        [("data_out", &request.data_out, &data_out), ("ctx_out", &request.ctx_out, &ctx_out)]
    {
        match path.as_deref() {
            None => {}
            Some(path) if path != Path::new("-") => {
                std::fs::write(path, bytes).map_err(|e| anyhow!("cannot write {}: {e}", path.display()))?;
            }
            Some(_) if options.json => j.field_numbers(name, bytes.iter())?,
            Some(_) => dump(&mut text, bytes)?,
        }
    }
    let (retval, ns) = (done.retval, done.duration.as_nanos());
    if options.json {
        j.field("retval", retval)?;
        j.field("duration", ns)?;
        j.end_object()?;
        j.finish()?;
    } else {
        let average = if request.repeat > 1 { " (average)" } else { "" };
        writeln!(text, "Return value: {retval}, duration{average}: {ns}ns")?;
    }
    out.write_all(&text)?;
    out.flush()?;
    if done.truncated {
        writeln!(
            io::stderr(),
            "tracewell: warning: the output is cut off: {} bytes of data and {} of context came; data_size_out and \
             ctx_size_out make more room",
            done.data_len,
            done.ctx_len
        )?;
    }
    Ok(0)
}

/// Bytes in rows of sixteen, with their characters beside them.
fn dump(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    for (n, row) in bytes.chunks(16).enumerate() {
        write!(out, "{:07x}\t", n * 16)?;
        for i in 0..16 {
            match row.get(i) {
                Some(byte) => write!(out, "{byte:02x}")?,
                None => write!(out, "  ")?,
            }
            if i % 2 == 1 {
                write!(out, " ")?;
            }
        }
        write!(out, "| ")?;
        for (i, byte) in row.iter().enumerate() {
            let shown = if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
            write!(out, "{}{shown}", if i == 8 { " " } else { "" })?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Pins a program.
pub fn pin(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", "pin PROG FILE");
    let which = Which::prog(&mut words)?;
    let path = words.path("the file to pin it at")?;
    words.end()?;
    check_pin_path(&path)?;
    select::prog(&which)?.pin(&path)?;
    crate::objects::done(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn requests_are_read() {
        let read = |text| Request::read(&mut Words::of(text)).map_err(|e| e.to_string());
        let r = read("data_in a data_out - data_size_out 10 repeat 3").unwrap();
        assert_eq!((r.data_in, r.data_room, r.repeat), (Some("a".into()), Some(10), 3));
        assert!(read("repeat 3").unwrap_err().contains("needs input"));
        assert!(read("data_in - ctx_in -").unwrap_err().contains("not both"));
        assert!(read("data_in x data_size_out 999999999999").unwrap_err().contains("at most"));
    }

    #[test]
    fn dumps_have_rows_of_sixteen() {
        let mut out = Vec::new();
        dump(&mut out, b"0123456789abcdef\x00z").unwrap();
        expect![[r#"
            0000000	3031 3233 3435 3637 3839 6162 6364 6566 | 01234567 89abcdef
            0000010	007a                                    | .z
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
