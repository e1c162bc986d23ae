//! `tracewell prog load FILE --autoattach`: a running object, and the records that it sends.

use super::object::{find_type, pairs, type_name};
use crate::objects::Options;
use crate::output::jsonw::Json;
use crate::output::value::{Style, write as write_value};
use crate::wait::{Waiter, Wake};
use anyhow::{Context, Result, bail};
use bpf_sys::map::MapType;
use bpf_sys::perfbuf::PerfBuf;
use bpf_sys::poll::Epoll;
use bpf_sys::ringbuf::RingBuf;
use btf::value::decode;
use btf::{Btf, TypeId};
use clap::ArgMatches;
use loader::records::{RecordType, Records};
use loader::{Collection, Target};
use probes::object::{AttachOptions, attach_all};
use std::collections::HashSet;
use std::io::{self, BufWriter, StdoutLock, Write, stderr, stdout};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Pages of a processor's perf ring.
const PERF_PAGES: usize = 64;

/// Where records of one map come from.
enum Source {
    Ring(RingBuf),
    Perf(PerfBuf),
}

/// One map that programs send records through.
struct Stream {
    name: String,
    source: Source,
    records: Records,
    /// The type that the command line gives.
    given: Option<TypeId>,
    count: u64,
}

/// Prints records.
struct Printer<'b> {
    out: BufWriter<StdoutLock<'static>>,
    btf: Option<&'b Btf<'b>>,
    options: Options,
    /// What was explained already: a map and a record's length.
    explained: HashSet<(String, usize)>,
}

/// Attaches what was loaded and prints what it sends until it is told to end.
pub fn run(m: &ArgMatches, options: Options, target: &Target<'_>, collection: &Collection) -> Result<u8> {
    let object = collection.object();
    let btf = object.btf.as_ref().map(|bytes| Btf::parse(bytes)).transpose().context("the object's BTF")?;
    let given = given_types(m, btf.as_ref(), collection)?;
    let mut streams = Vec::new();
    for index in object.record_maps() {
        let Some(loaded) = collection.maps().iter().find(|map| map.index == index) else { continue };
        let name = loaded.spec.name.clone();
        let source = match loaded.spec.map_type {
            MapType::Ringbuf => Source::Ring(RingBuf::new(&loaded.map)?),
            _ => Source::Perf(PerfBuf::new(&loaded.map, PERF_PAGES)?),
        };
        let given = given.iter().find(|(map, _)| *map == name).map(|(_, id)| *id);
        // The kernel's own types are worth opening only where they decide something.
        let kernel = if given.is_none() { target.btf() } else { None };
        streams.push(Stream { records: object.records(index, kernel), name, source, given, count: 0 });
    }
    let epoll = Epoll::new()?;
    for (token, stream) in streams.iter().enumerate() {
        match &stream.source {
            Source::Ring(ring) => epoll.add(ring.as_fd(), token as u64)?,
            Source::Perf(perf) => epoll.add(perf.as_fd(), token as u64)?,
        }
    }
    // Signals have to wait before there is something to take away.
    let mut waiter = Waiter::new(None, false)?;
    let attachments = attach_all(collection, &AttachOptions::default())?;
    for skipped in &attachments.skipped {
        writeln!(stderr(), "tracewell: warning: `{}` is not attached: {}", skipped.name, skipped.why)?;
    }
    if attachments.attached.is_empty() {
        bail!("none of the object's programs could be attached, so there is nothing to wait for");
    }
    let names: Vec<String> = attachments.attached.iter().map(ToString::to_string).collect();
    writeln!(stderr(), "Attached {}: {}; Ctrl-C ends", names.len(), names.join(", "))?;
    if streams.is_empty() {
        writeln!(
            stderr(),
            "the object has no ring buffer and no perf event array to print records of; its maps can be read with \
             `tracewell map dump`"
        )?;
    }
    let out = BufWriter::with_capacity(64 * 1024, stdout().lock());
    let mut printer = Printer { out, btf: btf.as_ref(), options, explained: HashSet::new() };
    let end = m.get_one::<u64>("duration").map(|us| Instant::now() + Duration::from_micros(*us));
    let ended = events(&mut waiter, &epoll, end, &mut streams, &mut printer);
    waiter.release();
    drop(attachments);
    // What was sent before the programs were taken away is worth as much as the rest.
    let rest = ended.and_then(|()| streams.iter_mut().try_for_each(|stream| stream.read(&mut printer)));
    let flushed = rest.and_then(|()| Ok(printer.out.flush()?));
    match flushed {
        Err(e) if crate::run::is_broken_pipe(&e) => Ok(0),
        Err(e) => Err(e),
        Ok(()) => {
            summary(&streams, options)?;
            Ok(0)
        }
    }
}

/// `--record MAP=TYPE`, all of them.
fn given_types(
    m: &ArgMatches,
    btf: Option<&Btf<'_>>,
    collection: &Collection,
) -> Result<Vec<(String, TypeId)>> {
    let mut given = Vec::new();
    for (map, name) in pairs(m, "record")? {
        let maps: Vec<&str> = collection
            .object()
            .record_maps()
            .map(|index| collection.object().maps[index].name.as_str())
            .collect();
        if !maps.contains(&map) {
            bail!(
                "--record {map}={name}: the object sends no records through a map `{map}`; it has {}",
                if maps.is_empty() { "no such maps".to_string() } else { maps.join(", ") }
            );
        }
        let Some(id) = btf.and_then(|btf| find_type(btf, name)) else {
            bail!("--record {map}={name}: the object's BTF has no type `{name}`");
        };
        given.push((map.to_string(), id));
    }
    Ok(given)
}

/// How often it is looked whether processors came or went.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Waits and prints until a signal comes, the time is over or nobody reads any more.
fn events(
    waiter: &mut Waiter,
    epoll: &Epoll,
    end: Option<Instant>,
    streams: &mut [Stream],
    printer: &mut Printer<'_>,
) -> Result<()> {
    let perf = streams.iter().any(|stream| matches!(stream.source, Source::Perf(_)));
    let mut look = perf.then(|| Instant::now() + LOOK_AGAIN);
    loop {
        let deadline = [end, look].into_iter().flatten().min();
        let wake = waiter.wait(deadline, Some(epoll.as_fd()))?;
        let now = Instant::now();
        match wake {
            Wake::Stop | Wake::ReaderGone => return Ok(()),
            Wake::Deadline if end.is_some_and(|end| now >= end) => return Ok(()),
            Wake::Deadline => {
                look = Some(now + LOOK_AGAIN);
                for stream in &mut *streams {
                    stream.look_again(printer)?;
                }
            }
            _ => {}
        }
        // All of them, whichever had something: a perf event says that it can be read to the first who asks, and to
        // nobody after that.
        for stream in &mut *streams {
            stream.read(printer)?;
        }
        printer.out.flush()?;
    }
}

impl Stream {
    /// Prints all records that are there.
    fn read(&mut self, printer: &mut Printer<'_>) -> Result<()> {
        self.with_records(printer, |source, each| match source {
            Source::Ring(ring) => ring.consume(each),
            Source::Perf(perf) => perf.consume(each),
        })
    }

    /// Opens rings for processors that came, and prints what those that went had left.
    fn look_again(&mut self, printer: &mut Printer<'_>) -> Result<()> {
        self.with_records(printer, |source, each| match source {
            Source::Ring(_) => Ok(0),
            Source::Perf(perf) => perf.refresh(each),
        })
    }

    fn with_records(
        &mut self,
        printer: &mut Printer<'_>,
        read: impl FnOnce(&mut Source, &mut dyn FnMut(&[u8])) -> bpf_sys::Result<usize>,
    ) -> Result<()> {
        let Stream { name, source, records, given, count } = self;
        let padded = matches!(source, Source::Perf(_));
        let mut printed = Ok(());
        let mut each = |record: &[u8]| {
            *count += 1;
            if printed.is_ok() {
                printed = printer.print(name, records, *given, padded, record);
            }
        };
        read(source, &mut each)?;
        Ok(printed?)
    }
}

impl Printer<'_> {
    fn print(
        &mut self,
        map: &str,
        records: &Records,
        given: Option<TypeId>,
        padded: bool,
        record: &[u8],
    ) -> io::Result<()> {
        let found = match given {
            Some(id) => RecordType::Known(id),
            None => records.of_len(record.len(), padded),
        };
        let typed = match (&found, self.btf) {
            (RecordType::Known(id), Some(btf)) => Some((btf, *id)),
            _ => None,
        };
        if typed.is_none() {
            self.explain(map, records, &found, record.len())?;
        }
        if self.options.json {
            let mut j = Json::new(&mut self.out, self.options.pretty);
            j.begin_object()?;
            j.field_str("map", map)?;
            match typed {
                Some((btf, id)) => {
                    j.field_str("type", &type_name(btf, id))?;
                    j.key("value")?;
                    write_value(&mut j, &decode(btf, id, record), Style::Strict)?;
                }
                None => {
                    j.key("bytes")?;
                    j.hex_bytes(record)?;
                }
            }
            j.end_object()?;
            return j.finish();
        }
        match typed {
            Some((btf, id)) => writeln!(self.out, "{map}: {}", decode(btf, id, record)),
            None => {
                write!(self.out, "{map}: {} bytes:", record.len())?;
                record.iter().try_for_each(|byte| write!(self.out, " {byte:02x}"))?;
                writeln!(self.out)
            }
        }
    }

    /// Says once for each length why records are printed as bytes, and what to do about it.
    fn explain(&mut self, map: &str, records: &Records, found: &RecordType, len: usize) -> io::Result<()> {
        if !self.explained.insert((map.to_string(), len)) {
            return Ok(());
        }
        let Some(btf) = self.btf else {
            return writeln!(
                stderr(),
                "tracewell: warning: records of `{map}` are printed as bytes, as the object has no BTF: compile it with -g"
            );
        };
        let names = |ids: &[TypeId]| ids.iter().map(|id| type_name(btf, *id)).collect::<Vec<_>>().join(", ");
        let why = match found {
            RecordType::Ambiguous(types) => format!("{len} bytes could be one of {}", names(types)),
            _ if records.variable => "their size is known only when they are sent".to_string(),
            _ => format!("no struct of the object has {len} bytes"),
        };
        writeln!(
            stderr(),
            "tracewell: warning: records of `{map}` are printed as bytes: {why}; say which type they have with --record \
             {map}='struct NAME'"
        )
    }
}

/// How many records came, and how many did not.
fn summary(streams: &[Stream], options: Options) -> Result<()> {
    for stream in streams {
        let lost = match &stream.source {
            Source::Perf(perf) => perf.lost(),
            // The kernel does not count what did not fit a ring buffer: the program that could not send it knows.
            Source::Ring(_) => 0,
        };
        if !options.json {
            let noun = if stream.count == 1 { "record" } else { "records" };
            writeln!(stderr(), "{}: {} {noun}", stream.name, stream.count)?;
        }
        if lost != 0 {
            writeln!(
                stderr(),
                "tracewell: warning: {lost} records of `{}` were lost as its ring was full: what they are written to is \
                 too slow, or the program sends too many",
                stream.name
            )?;
        }
    }
    Ok(())
}
