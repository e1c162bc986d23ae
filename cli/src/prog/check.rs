//! `tracewell prog load FILE --check`.

use crate::objects::{Options, out};
use crate::output::jsonw::Json;
use anyhow::{Context, Result};
use loader::{Loader, Object};
use std::io::Write;
use std::path::Path;

/// Tries every program on its own, says what becomes of each, and leaves nothing. Status 0 when all load.
pub fn run(loader: &Loader<'_>, object: &Object, file: &Path, options: Options, verbose: bool) -> Result<u8> {
    let verdicts = loader.check(object).with_context(|| file.display().to_string())?;
    let (mut out, mut text) = (out(), Vec::new());
    let mut j = Json::new(&mut out, options.pretty);
    if options.json {
        j.begin_object()?;
        j.field_str("object", &object.name)?;
        j.key("programs")?;
        j.begin_array()?;
    }
    let mut loaded = 0;
    for verdict in &verdicts {
        let spec = object.programs.iter().find(|program| program.name == verdict.program);
        let section = spec.map_or("", |spec| spec.section.as_str());
        let summary = verdict.result.as_ref().ok().and_then(|program| program.prog.summary().ok());
        loaded += usize::from(verdict.result.is_ok());
        if options.json {
            j.begin_object()?;
            j.field_str("name", &verdict.program)?;
            j.field_str("section", section)?;
            if let Some(spec) = spec {
                j.field_str("type", &spec.prog_type.to_string())?;
            }
            j.field("loaded", verdict.result.is_ok())?;
            if let Some(summary) = &summary {
                j.field("bytes_xlated", summary.xlated_len)?;
                if let Some(verified) = summary.verified_insns {
                    j.field("verified_insns", verified)?;
                }
            }
            if let Err(error) = &verdict.result {
                j.field_str("error", &error.to_string())?;
            }
            if (verbose || verdict.result.is_err()) && !verdict.log.is_empty() {
                j.field_str("log", &verdict.log)?;
            }
            j.end_object()?;
        } else {
            write!(text, "{} ({section}): ", verdict.program)?;
            match (&verdict.result, &summary) {
                (Ok(_), Some(summary)) => {
                    write!(text, "loads, {} instructions", summary.xlated_len / 8)?;
                    match summary.verified_insns {
                        Some(verified) => writeln!(text, ", {verified} verified")?,
                        None => writeln!(text)?,
                    }
                }
                (Ok(_), None) => writeln!(text, "loads")?,
                (Err(error), _) => writeln!(text, "does not load\n  {}", indented(&error.to_string()))?,
            }
            if verbose && !verdict.log.is_empty() {
                writeln!(text, "  the verifier's log:\n  {}", indented(verdict.log.trim_end()))?;
            }
        }
    }
    if options.json {
        j.end_array()?;
        j.field("loaded", loaded)?;
        j.field("programs_in_all", verdicts.len())?;
        j.end_object()?;
        j.finish()?;
    } else {
        writeln!(text, "{loaded} of {} programs load", verdicts.len())?;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(u8::from(loaded != verdicts.len()))
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}
