//! Loading programs.

use super::context_tags;
use super::fallback::{Fallback, trial};
use super::patch::{Patched, has_probe_reads};
use super::records;
use super::session::Session;
use crate::collection::LoadedProgram;
use crate::spec::{AttachTarget, MapKind, ProgramSpec};
use crate::verifier::{self, VerifierError};
use crate::{Error, Result};
use bpf_sys::Errno;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::features::{self, Capability};
use bpf_sys::prog::{AttachType, Prog, ProgFlags, ProgLoad, ProgLoadError, ProgType, Records};
use std::os::fd::{AsFd, BorrowedFd};

impl Session<'_> {
    /// Loads one program; where the kernel refuses it for something it can do without, again without that.
    ///
    /// # Errors
    ///
    /// [`Error::Verifier`] with the verifier's log; [`Error::Sys`] where the kernel did not get as far as verifying.
    pub fn load_program(&self, index: usize) -> Result<LoadedProgram> {
        let spec = &self.object.programs[index];
        if spec.prog_type == crate::sections::UNKNOWN {
            let what = format!(
                "its section `{}` does not say of which type it is; name it as libbpf does (`kprobe/FUNC`, `xdp`, `tc` …) \
                 or set `prog_type`",
                spec.section
            );
            return Err(Error::Program { program: spec.name.clone(), insn: None, what });
        }
        let own_types = |spec| Types { btf: self.btf.as_ref(), spec };
        let (patched, error) = match self.attempt(index, own_types(spec))? {
            Attempt::Done(loaded) => return Ok(*loaded),
            Attempt::Refused(patched, error) => (patched, error),
        };
        if self.can_do_without(spec, &error)
            && let Attempt::Done(loaded) = self.attempt(index, own_types(spec))?
        {
            return Ok(*loaded);
        }
        if let Some((btf, retyped)) = self.with_context_types(spec)?
            && let Attempt::Done(loaded) = self.attempt(index, Types { btf: Some(&btf), spec: &retyped })?
        {
            return Ok(*loaded);
        }
        Err(self.explain(spec, &patched, error))
    }

    /// The program and its types as kernels before Linux 6.8 understand parameters that are tagged as the context.
    fn with_context_types(&self, spec: &ProgramSpec) -> Result<Option<(BtfObj, ProgramSpec)>> {
        let retyped = self.object.btf.as_deref().and_then(|types| context_tags::retyped(types, spec));
        let Some((types, funcs)) = retyped.filter(|_| self.has_function_types()) else { return Ok(None) };
        // What the kernel does not take of these was refused for the object's own types already.
        let loaded = self.btf_of(&types)?.ok();
        Ok(loaded.map(|(btf, _)| (btf, ProgramSpec { funcs, ..spec.clone() })))
    }

    fn attempt(&self, index: usize, types: Types<'_>) -> Result<Attempt> {
        let Types { btf, spec } = types;
        let patched = self.patch(spec)?;
        let attach = self.attach_btf(spec)?;
        let member = self.struct_ops_member(index)?;
        let (mut btf_id, mut module) = (attach.id, attach.module);
        let mut expected = self.expected_attach_type(spec);
        if let Some(member) = member {
            btf_id = member.struct_type.0;
            module = member.module;
            // Programs of struct_ops state here which member they are.
            expected = Some(AttachType::from_raw(member.index));
        }
        let (funcs, lines) = match self.has_function_types() {
            true => (records::funcs(spec), records::lines(spec)),
            false => (Vec::new(), Vec::new()),
        };
        // Calls count descriptors from 1, so the first place is never looked at.
        let fds: Vec<BorrowedFd<'_>> = patched
            .modules
            .first()
            .into_iter()
            .chain(&patched.modules)
            .map(|module| module.as_fd())
            .collect();
        let load = ProgLoad {
            prog_type: spec.prog_type,
            name: if self.known_to_lack(Fallback::Names) { "" } else { &spec.name },
            insns: &patched.words,
            license: &self.object.license,
            expected_attach_type: expected,
            attach_btf_id: btf_id,
            attach_btf_obj: module.as_ref().map(|module| module.as_fd()),
            attach_prog: attach.prog.map(|prog| prog.as_fd()),
            prog_flags: spec.flags,
            kern_version: self.stated_version(),
            ifindex: self.options.ifindex,
            btf: btf.map(|btf| btf.as_fd()),
            func_info: Records { rec_size: records::FUNC_SIZE, bytes: &funcs },
            line_info: Records { rec_size: records::LINE_SIZE, bytes: &lines },
            fd_array: &fds,
            log_level: self.options.log_level,
            ..ProgLoad::default()
        };
        match load.load_with_log() {
            Ok((prog, log)) => {
                self.bind_rodata(&prog);
                Ok(Attempt::Done(Box::new(LoadedProgram { spec: spec.clone(), prog, log, index })))
            }
            Err(error) => Ok(Attempt::Refused(patched, error)),
        }
    }

    /// What the program states about its attachment, as far as this kernel wants to know.
    fn expected_attach_type(&self, spec: &ProgramSpec) -> Option<AttachType> {
        if matches!(spec.attach, AttachTarget::Usdt { .. }) && spec.expected_attach_type.is_none() {
            // One link for all places of a probe, where there is such a link.
            return (!self.lacks(Fallback::UprobeMulti)).then_some(AttachType::TraceUprobeMulti);
        }
        let left_out = spec.attach_type_optional && self.known_to_lack(Fallback::ExpectedAttachType);
        spec.expected_attach_type.filter(|_| !left_out)
    }

    /// The kernel's version where the object or the kernel wants it stated.
    fn stated_version(&self) -> u32 {
        match self.object.kernel_version {
            0 if self.known_to_lack(Fallback::AnyVersion) => crate::kernel::version().unwrap_or(0),
            version => version,
        }
    }

    /// Whether the refusal may be about something that can be left out or replaced: then it is, from now on.
    fn can_do_without(&self, spec: &ProgramSpec, error: &bpf_sys::Error) -> bool {
        let newly = |fallback: Fallback| !self.known_to_lack(fallback) && self.lacks(fallback);
        let (errno, unverified) = match error {
            bpf_sys::Error::ProgLoad(refused) => (refused.errno, refused.log.trim().is_empty()),
            _ => return false,
        };
        let mut any = false;
        if unverified && matches!(errno, Errno::E2BIG | Errno::EINVAL) {
            any |= newly(Fallback::Names);
            any |= spec.prog_type == ProgType::Kprobe && newly(Fallback::AnyVersion);
            any |= spec.attach_type_optional && newly(Fallback::ExpectedAttachType);
        }
        if !unverified && errno == Errno::EINVAL && has_probe_reads(&spec.insns) {
            any |= newly(Fallback::ProbeReadKernel);
        }
        any
    }

    /// Keeps constants alive as long as the program, also where no instruction uses them: who inspects the program later
    /// finds them.
    fn bind_rodata(&self, prog: &Prog) {
        for map in self.maps.iter().flatten().filter(|map| map.spec.kind == MapKind::Rodata) {
            if self.known_to_lack(Fallback::BindMap) {
                return;
            }
            if prog.bind_map(&map.map).is_err() {
                self.note_lack(Fallback::BindMap);
            }
        }
    }

    /// The refusal in terms of the program's source, or of what this kernel does not have.
    fn explain(&self, spec: &ProgramSpec, patched: &Patched, error: bpf_sys::Error) -> Error {
        let context = match spec.section.as_str() {
            "" => format!("program `{}`", spec.name),
            section => format!("program `{}` (section `{section}`)", spec.name),
        };
        let refused = match error {
            bpf_sys::Error::ProgLoad(refused) => refused,
            source => return Error::Sys { context, source },
        };
        if !refused.log.trim().is_empty() {
            let facts = verifier::Facts {
                program: spec,
                words: &patched.words,
                btf: self.object.btf.as_deref(),
                poisoned: &patched.poisoned,
                errno: refused.errno,
                log: &refused.log,
                license: &refused.license,
                remedy: refused.remedy(),
            };
            return Error::Verifier(Box::new(VerifierError::new(&facts)));
        }
        let privileged = features::has_capability(Capability::SysAdmin).is_yes();
        let context = if refused.errno == Errno::EPERM && privileged {
            format!(
                "{context} was refused though this process has CAP_SYS_ADMIN: the kernel's lockdown mode \
                 (/sys/kernel/security/lockdown), a security policy or a container may forbid it"
            )
        } else {
            context
        };
        let source = match unsupported(spec, &refused) {
            Some(unsupported) => unsupported,
            None => bpf_sys::Error::ProgLoad(refused),
        };
        Error::Sys { context, source }
    }
}

/// A program and the BTF that its functions and lines refer to.
#[derive(Clone, Copy)]
struct Types<'t> {
    btf: Option<&'t BtfObj>,
    spec: &'t ProgramSpec,
}

enum Attempt {
    Done(Box<LoadedProgram>),
    Refused(Patched, bpf_sys::Error),
}

/// What of the program's kind this kernel does not have: it says EINVAL without a word then.
fn unsupported(spec: &ProgramSpec, refused: &ProgLoadError) -> Option<bpf_sys::Error> {
    if !matches!(refused.errno, Errno::EINVAL | Errno::E2BIG) {
        return None;
    }
    let unsupported = |feature, since, how| Some(bpf_sys::Error::Unsupported { feature, since, how });
    if features::prog_type(spec.prog_type).is_no() {
        return unsupported(
            spec.prog_type.abi_name().unwrap_or("this type of program"),
            spec.prog_type.since().unwrap_or("a newer release than this loader knows"),
            format!("a trial program of type {} was refused", spec.prog_type),
        );
    }
    let flags = [
        (ProgFlags::XDP_HAS_FRAGS, "XDP programs for packets in several buffers", "5.18"),
        (ProgFlags::SLEEPABLE, "sleepable programs of this type", "5.10 (uprobes: 6.0)"),
    ];
    let trial = |expected_attach_type, prog_flags| {
        ProgLoad { prog_type: spec.prog_type, expected_attach_type, prog_flags, ..trial() }.load()
    };
    // Types that are verified for a target in BTF cannot be tried without one.
    let without = trial(None, ProgFlags::empty()).is_ok();
    for (flag, feature, since) in flags {
        if without && spec.flags.contains(flag) && trial(None, flag).is_err() {
            return unsupported(feature, since, "a trial program with this flag was refused".to_owned());
        }
    }
    let expected = spec.expected_attach_type?;
    if without && trial(Some(expected), ProgFlags::empty()).is_err() {
        return unsupported(
            expected.abi_name().unwrap_or("this attach type"),
            expected.since().unwrap_or("a newer release than this loader knows"),
            format!("a trial {} program for it was refused", spec.prog_type),
        );
    }
    None
}
