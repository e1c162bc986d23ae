//! Attaching the programs of loaded objects: by what their sections say, through this crate's mechanisms for kernel and
//! user functions, tracepoints and perf events, and through the loader's links for the rest.
//!
//! | section | mechanism |
//! | --- | --- |
//! | `kprobe/`, `kretprobe/`, `ksyscall/`, `kretsyscall/` | a perf event of the kprobe PMU, else an event of `kprobe_events` |
//! | `kprobe.multi/`, `kretprobe.multi/`, `kprobe.session/` | one `kprobe.multi` link for all functions that match |
//! | `uprobe/`, `uretprobe/` | a perf event of the uprobe PMU, else an event of `uprobe_events` |
//! | `uprobe.multi/`, `uretprobe.multi/`, `uprobe.session/` | one `uprobe.multi` link for all functions that match |
//! | `tp/`, `tracepoint/` | a perf event of the tracepoint |
//! | `perf_event` | a perf event of the caller's ([`AttachOptions::perf`]) on each processor |
//! | `.struct_ops`, `.struct_ops.link` | the map (`loader::link::attach_struct_ops`) |
//! | all others | a link ([`loader::link::attach`]) |
//!
//! ```no_run
//! use probes::object::{self, AttachOptions};
//! # use tracewell_probes as probes;
//! # fn run(collection: &loader::Collection) -> probes::Result<()> {
//! let attached = object::attach_all(collection, &AttachOptions::default())?;
//! for left_out in &attached.skipped {
//!     eprintln!("{}: {}", left_out.name, left_out.why);
//! }
//! // Everything runs until `attached` is dropped.
//! # Ok(())
//! # }
//! ```

mod event;
mod syscall;

use std::fmt;

use bpf_sys::link::Link;
use bpf_sys::perf::PerfAttr;
use loader::link::{self, Need, Operations, Place};
use loader::{AttachTarget, Collection, LoadedMap, LoadedProgram, MapKind};

use crate::attach::run::Attached;
use crate::attach::{AttachMode, Skipped};
use crate::{Error, Result};

/// How programs are attached, beyond what their sections say.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions<'a> {
    /// What `bpf_get_attach_cookie` gives to the program; 0 for none. Perf events since Linux 5.15, `kprobe.multi` 5.18,
    /// tracing programs 6.0, `uprobe.multi` 6.6, raw tracepoints 6.10.
    pub cookie: u64,
    /// The process that user functions are watched in, and whose libraries are meant; all processes where `None`. Kernel
    /// functions and tracepoints are watched for all of them whatever this says: a program filters those by itself.
    pub pid: Option<u32>,
    /// The kernel's mechanism for kernel and user functions; of programs for `.multi` links there is no other than that.
    pub mode: AttachMode,
    /// What the program is attached to, in place of what its section says.
    pub target: Option<AttachTarget>,
    /// Where it is attached by a link: a network device, a cgroup.
    pub place: Place<'a>,
    /// The event of `perf_event` programs, on the processor [`cpu`](Self::cpu). With [`pid`](Self::pid) it watches that one
    /// thread, and those that it starts from then on where the event is inherited.
    pub perf: Option<&'a PerfAttr>,
    /// The processor of [`perf`](Self::perf); all where `None`.
    pub cpu: Option<u32>,
}

/// A program or struct_ops map that is attached. Dropping it detaches.
#[derive(Debug)]
pub struct Attachment {
    name: String,
    held: Held,
    mechanism: &'static str,
    skipped: Vec<Skipped>,
}

#[derive(Debug)]
enum Held {
    Events(Attached),
    Link(Link),
    Operations(Operations),
}

impl Attachment {
    /// The program's or map's name in the object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is attached: `kprobe-perf`, `uprobe-multi`, `tracepoint`, `link`, `struct_ops` and so on.
    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// Its links. Before Linux 5.15 programs at perf events have none.
    pub fn links(&self) -> &[Link] {
        match &self.held {
            Held::Events(attached) => &attached.links,
            Held::Link(link) | Held::Operations(Operations::Link(link)) => std::slice::from_ref(link),
            Held::Operations(_) => &[],
        }
    }

    /// Functions that the pattern of a `.multi` program matches and that could not be attached to, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Events that the kernel could not deliver, as far as it counts them.
    ///
    /// # Errors
    ///
    /// When the program cannot be asked.
    pub fn missed(&self) -> Result<u64> {
        match &self.held {
            Held::Events(attached) => attached.missed(),
            Held::Link(link) => Ok(link.missed()?),
            Held::Operations(_) => Ok(0),
        }
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.mechanism)
    }
}

/// What [`attach_all`] did. Dropping it detaches everything.
#[derive(Debug, Default)]
pub struct Attachments {
    /// What is attached, programs in the order of the object, struct_ops maps behind them.
    pub attached: Vec<Attachment>,
    /// What is not, and what it would need.
    pub skipped: Vec<Skipped>,
}

/// Attaches one program.
///
/// # Errors
///
/// [`Error::Program`] names the program, its section and target, and says what can be done; [`Error::Loader`] does so for
/// what is attached by a link, and where something has to be said first ([`link::need`]). Nothing remains attached then.
pub fn attach(program: &LoadedProgram, options: &AttachOptions<'_>) -> Result<Attachment> {
    let spec = &program.spec;
    let target = options.target.as_ref().unwrap_or(&spec.attach);
    let name = spec.name.clone();
    if let Some(attached) = event::attach(program, target, options) {
        let mut attached = attached.map_err(|source| Error::Program {
            program: name.clone(),
            section: spec.section.clone(),
            source: Box::new(source),
        })?;
        let mechanism = attached.modes.first().map_or("perf-event", |mode| mode.name());
        let skipped = std::mem::take(&mut attached.skipped);
        return Ok(Attachment { name, held: Held::Events(attached), mechanism, skipped });
    }
    let link = match &options.target {
        None => link::attach(program, &options.place, options.cookie)?,
        Some(target) => link::attach_to(program, target, &options.place, options.cookie)?,
    };
    Ok(Attachment { name, held: Held::Link(link), mechanism: "link", skipped: Vec::new() })
}

/// Puts a struct_ops map to work.
///
/// # Errors
///
/// As for [`link::attach_struct_ops`].
pub fn attach_map(map: &LoadedMap) -> Result<Attachment> {
    let operations = link::attach_struct_ops(map)?;
    let name = map.spec.name.clone();
    Ok(Attachment { name, held: Held::Operations(operations), mechanism: "struct_ops", skipped: Vec::new() })
}

/// Attaches all programs of an object that their sections, and `options`, say enough about, and its struct_ops maps. Those
/// that need more are in [`Attachments::skipped`] with what they need.
///
/// # Errors
///
/// As for [`attach`]: where one of them cannot be attached, nothing remains attached.
pub fn attach_all(collection: &Collection, options: &AttachOptions<'_>) -> Result<Attachments> {
    let mut all = Attachments::default();
    for program in collection.programs() {
        let spec = &program.spec;
        let mut skip = |why: String| {
            all.skipped.push(Skipped { name: spec.name.clone(), why });
        };
        if !spec.autoattach {
            skip("it is switched off: attach it by itself".into());
            continue;
        }
        let need = link::need(spec);
        let options = match need {
            Need::Nothing | Need::Event => AttachOptions { place: Place::Section, ..options.clone() },
            Need::PerfEvent if options.perf.is_some() => options.clone(),
            // The map is what is attached.
            Need::StructOps => continue,
            need if need.is_met_by(&options.place) => options.clone(),
            need => {
                skip(need.to_string());
                continue;
            }
        };
        // A cookie is for those that can have one.
        let cookie = if need == Need::Event || link::takes_cookie(spec) { options.cookie } else { 0 };
        all.attached.push(attach(program, &AttachOptions { target: None, cookie, ..options })?);
    }
    for map in collection.maps().iter().filter(|map| map.spec.kind == MapKind::StructOps) {
        all.attached.push(attach_map(map)?);
    }
    Ok(all)
}
