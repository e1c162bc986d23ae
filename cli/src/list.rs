//! `tracewell list`: what a pattern matches, without attaching anything.

use crate::output::json::{Object, string};
use anyhow::Result;
use clap::ArgMatches;
use probes::attach::{ResolveOptions, TargetKind, resolve};
use probes::kernel::{functions, tracepoints, why_not};
use probes::spec::{self, Dialect, EventKind, EventSpec, FuncRef, Syntax};
use probes::tracefs::Tracefs;
use std::io::{BufWriter, Write, stderr, stdout};

/// Prints one line an event: `kprobe:vfs_read`, `tracepoint:sched:sched_switch`, `uprobe:/bin/bash:readline`.
pub fn main(matches: &ArgMatches) -> Result<u8> {
    let syntax = if matches.get_flag("regexp") { Syntax::Regex } else { Syntax::Glob };
    let texts: Vec<&str> =
        matches.get_many::<String>("pattern").into_iter().flatten().map(|s| s.as_str()).collect();
    let options = ResolveOptions { pid: matches.get_one::<u32>("pid").copied() };
    let json = matches.get_one::<String>("format").is_some_and(|f| f == "json");
    let mut sink = Sink { out: BufWriter::with_capacity(64 * 1024, stdout().lock()), json };

    if texts.is_empty() {
        // Everything that can be listed is worth more than an error about the rest.
        let mut failed = 0;
        for text in ["k:*", "t:*:*"] {
            let all = spec::parse(text, Dialect::Auto, Syntax::Glob)?;
            if let Err(e) = list(&all, &options, &mut sink) {
                if crate::run::is_broken_pipe(&e) {
                    return Ok(0);
                }
                sink.out.flush()?;
                failed += 1;
                let _ = crate::report(&mut stderr(), "warning", &e);
            }
        }
        sink.out.flush()?;
        return Ok(u8::from(failed == 2));
    }
    let specs: Result<Vec<_>, _> = texts.iter().map(|t| spec::parse(t, Dialect::Auto, syntax)).collect();
    for spec in specs? {
        list(&spec, &options, &mut sink)?;
    }
    sink.out.flush()?;
    Ok(0)
}

struct Sink<W: Write> {
    out: W,
    json: bool,
}

impl<W: Write> Sink<W> {
    /// One event; `scope` is the category, the module or the file.
    fn put(&mut self, kind: &str, scope: &str, name: &str) -> std::io::Result<()> {
        if !self.json {
            return match scope {
                "" => writeln!(self.out, "{kind}:{name}"),
                _ => writeln!(self.out, "{kind}:{scope}:{name}"),
            };
        }
        let mut object = Object::begin(&mut self.out)?;
        object.str("type", kind)?;
        if !scope.is_empty() {
            let key = match kind {
                "tracepoint" => "category",
                "kprobe" | "kretprobe" => "module",
                _ => "file",
            };
            string(object.key(key)?, scope)?;
        }
        object.str("name", name)?.end()?;
        writeln!(self.out)
    }
}

fn list<W: Write>(spec: &EventSpec, options: &ResolveOptions, sink: &mut Sink<W>) -> Result<()> {
    match &spec.kind {
        EventKind::Kprobe { ret, module, func, offset } => {
            let kind = if *ret { "kretprobe" } else { "kprobe" };
            let at = |name: &str| if *offset == 0 { name.to_string() } else { format!("{name}+{offset:#x}") };
            if let FuncRef::Exact(name) = func {
                let places = functions::locate(name, module.as_ref())?;
                if places.is_empty() {
                    return Err(why_not::why_not(name).into_error().into());
                }
                for (_, module) in places {
                    sink.put(kind, module.as_deref().unwrap_or(""), &at(name))?;
                }
                return Ok(());
            }
            let table = functions::find(func, module.as_ref(), false)?;
            for i in 0..table.len() {
                sink.put(kind, table.module(i).unwrap_or(""), &at(table.name(i)))?;
            }
        }
        EventKind::Tracepoint { category, event } => {
            for t in tracepoints::find(&Tracefs::locate()?, category, event)? {
                sink.put("tracepoint", &t.category, &t.event)?;
            }
        }
        _ => {
            let targets = resolve(std::slice::from_ref(spec), options)?;
            for (i, name) in targets.names().enumerate() {
                let file = targets.file(i).map(|f| f.to_string_lossy()).unwrap_or_default();
                let (kind, name) = match targets.kind(i) {
                    Some(TargetKind::Kprobe { ret: false }) => ("kprobe", name),
                    Some(TargetKind::Kprobe { ret: true }) => ("kretprobe", name),
                    Some(TargetKind::Uprobe { ret: true }) => ("uretprobe", name),
                    Some(TargetKind::Uprobe { ret: false }) => ("uprobe", name),
                    _ => ("tracepoint", name),
                };
                sink.put(kind, &file, name)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lines_and_objects() {
        let mut text = String::new();
        for json in [false, true] {
            let mut sink = Sink { out: Vec::new(), json };
            sink.put("kprobe", "", "vfs_read").unwrap();
            sink.put("kprobe", "ext4", "ext4_sync_fs").unwrap();
            sink.put("tracepoint", "sched", "sched_switch").unwrap();
            sink.put("uprobe", "/bin/a \"b\"", "main").unwrap();
            text += &String::from_utf8(sink.out).unwrap();
        }
        expect![[r#"
            kprobe:vfs_read
            kprobe:ext4:ext4_sync_fs
            tracepoint:sched:sched_switch
            uprobe:/bin/a "b":main
            {"type":"kprobe","name":"vfs_read"}
            {"type":"kprobe","module":"ext4","name":"ext4_sync_fs"}
            {"type":"tracepoint","category":"sched","name":"sched_switch"}
            {"type":"uprobe","file":"/bin/a \"b\"","name":"main"}
        "#]]
        .assert_eq(&text);
    }
}
