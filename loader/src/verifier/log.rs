//! The verifier's log: instructions, source lines, states, and at the end what is wrong.

/// What a log says about the end of the verification.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The instruction at which it stopped.
    pub insn: Option<usize>,
    /// File and line of the last source line before that (since Linux 6.9).
    pub file: Option<(String, u32)>,
    /// Text of that line.
    pub line: Option<String>,
    /// The kernel's last words, in one line.
    pub reason: String,
    /// Instructions in the order in which the verifier went through them, as `(index, text)`.
    pub path: Vec<(usize, String)>,
}

/// Instructions kept of the path that led to the end.
const PATH_KEPT: usize = 64;
/// Lines of the kernel's last words; more are repetitions.
const REASON_LINES: usize = 3;

impl Log {
    pub fn read(text: &str) -> Log {
        let mut log = Log::default();
        let mut words: Vec<&str> = Vec::new();
        for line in text.lines() {
            let line = line.trim_end();
            match kind(line) {
                Kind::Insn(at, text) => {
                    // What was complained about before the verifier went on was no reason to stop.
                    words.clear();
                    log.insn = Some(at);
                    if log.path.len() == PATH_KEPT {
                        log.path.remove(0);
                    }
                    log.path.push((at, text.to_owned()));
                }
                Kind::Source(text) => {
                    words.clear();
                    let (line, file) = source(text);
                    log.line = Some(line.to_owned()).filter(|line| !line.is_empty());
                    log.file = file;
                }
                Kind::Noise => {}
                Kind::Words => words.push(line.trim()),
            }
        }
        let skip = words.len().saturating_sub(REASON_LINES);
        log.reason = words.get(skip..).unwrap_or_default().join("; ");
        // Checks before and after the walk name their instruction.
        if let Some(named) = named_insn(&log.reason) {
            log.insn = Some(named);
        }
        log
    }
}

enum Kind<'l> {
    /// `12: (85) call bpf_x#5   ; R0_w=scalar()`
    Insn(usize, &'l str),
    /// `; text @ file.c:12`
    Source(&'l str),
    /// States, statistics, how far back precision goes.
    Noise,
    /// Something the kernel says in words.
    Words,
}

fn kind(line: &str) -> Kind<'_> {
    if line.trim().is_empty() {
        return Kind::Noise;
    }
    if let Some(text) = line.strip_prefix("; ") {
        return Kind::Source(text);
    }
    if let Some((number, rest)) = line.split_once(": ")
        && let Ok(at) = number.trim().parse()
    {
        return match rest.starts_with('(') {
            true => Kind::Insn(at, rest.split("  ;").next().unwrap_or(rest).trim()),
            // The state at that instruction.
            false => Kind::Noise,
        };
    }
    const NOISE: &[&str] = &[
        "processed ",
        "verification time",
        "stack depth",
        "mark_precise:",
        "propagating ",
        "from ",
        "safe",
        "func#",
        "Func#",
        "last_idx ",
        "parent ",
        "regs=",
        "frame",
        "caller:",
        "callee:",
        "returning from callee:",
        "to caller at ",
        "Live regs before insn:",
        "Validating ",
        "Unrecognized arg#",
        "arg#",
        "insn ",
        "cur state:",
        "old state:",
    ];
    // `R0=inv0 R10=fp0` is a state, `R0 invalid mem access` are words.
    let state = line.trim_start().strip_prefix('R').is_some_and(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with('=')
            || rest.starts_with("_w=")
            || rest.starts_with("_rw=")
            || rest.starts_with("_r=")
    });
    if state || NOISE.iter().any(|noise| line.trim_start().starts_with(noise)) && !is_complaint(line) {
        return Kind::Noise;
    }
    Kind::Words
}

/// Words that begin like noise.
fn is_complaint(line: &str) -> bool {
    ["insn ", "arg#", "func#", "frame"].iter().any(|start| line.trim_start().starts_with(start))
        && ["cannot", "must", "invalid", "not ", "expected", "too ", "doesn't", "unknown", "pointer type"]
            .iter()
            .any(|word| line.contains(word))
}

/// Text of a source line, and the file and line that newer kernels put behind it.
fn source(text: &str) -> (&str, Option<(String, u32)>) {
    let Some((line, place)) = text.rsplit_once(" @ ") else { return (text.trim(), None) };
    match place.rsplit_once(':').map(|(file, number)| (file, number.trim().parse())) {
        Some((file, Ok(number))) => (line.trim(), Some((file.to_owned(), number))),
        _ => (text.trim(), None),
    }
}

/// The instruction that words are about where they name it: `back-edge from insn 5 to 2`, `unreachable insn 7`.
fn named_insn(reason: &str) -> Option<usize> {
    const NAMES: &[&str] = &[
        "back-edge from insn ",
        "unreachable insn ",
        "jump out of range from insn ",
        "infinite loop detected at insn ",
    ];
    let rest = NAMES.iter().find_map(|name| reason.split_once(name).map(|(_, rest)| rest))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}
