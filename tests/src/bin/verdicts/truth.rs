//! What the kernel said.

use serde_json::Value;

/// One load of one program.
pub struct Truth {
    pub object: String,
    pub program: String,
    pub section: String,
    pub flags: u32,
    pub unprivileged: bool,
    pub annotated: bool,
    /// 0, or a negative `errno`.
    pub err: i64,
    /// Whether the kernel was asked at all; libbpf may refuse before.
    pub attempted: bool,
    pub log: String,
    pub libbpf: String,
}

/// Figures of the log's last lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub insns: u64,
    pub total_states: u64,
    pub peak_states: u64,
}

impl Truth {
    /// Reads a line; `None` for one that speaks of a whole object.
    pub fn read(line: &str) -> Option<Truth> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        value.get("program")?;
        Some(Truth {
            object: text("object"),
            program: text("program"),
            section: text("section"),
            flags: value["flags"].as_u64().unwrap_or(0) as u32,
            unprivileged: value["unpriv"].as_bool().unwrap_or(false),
            annotated: value["annotated"].as_bool().unwrap_or(false),
            err: value["err"].as_i64().unwrap_or(0),
            attempted: value["attempted"].as_bool().unwrap_or(false),
            log: text("log"),
            libbpf: text("libbpf"),
        })
    }

    pub fn accepted(&self) -> bool {
        self.err == 0
    }
}

/// Whether a line is of the statistics that end each log.
fn is_statistics(line: &str) -> bool {
    [
        "processed ",
        "insns processed ",
        "verification time",
        "stack depth",
        "mark_precise",
        "last_idx",
        "regs=",
    ]
    .iter()
    .any(|s| line.starts_with(s))
}

/// The last line that is no statistics: why a program was refused.
pub fn reason(log: &str) -> &str {
    log.lines()
        .rev()
        .map(str::trim_end)
        .find(|line| !line.is_empty() && !is_statistics(line))
        .unwrap_or_default()
}

/// The figures, where the log has them.
pub fn counts(log: &str) -> Option<Counts> {
    let line = log.lines().rev().find(|line| line.starts_with("processed "))?;
    let number_after = |word: &str| -> Option<u64> {
        let (_, rest) = line.split_once(word)?;
        rest.trim_start().split(' ').next()?.parse().ok()
    };
    Some(Counts {
        insns: number_after("processed")?,
        total_states: number_after("total_states")?,
        peak_states: number_after("peak_states")?,
    })
}
