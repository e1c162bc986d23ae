//! The one definition of the command line, from which parsing, `--help`, completions and man pages come.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// `--attach-mode`'s values.
pub const ATTACH_MODES: [&str; 8] = [
    "kprobe-multi",
    "kprobe-perf",
    "kprobe-text",
    "uprobe-multi",
    "uprobe-perf",
    "uprobe-text",
    "tracepoint",
    "raw-syscalls",
];

/// The shells that `completions` knows.
pub const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

const PATTERN_HELP: &str = "\
Patterns:
  vfs_read  p::vfs_read  k:vfs_read     a kernel function
  'vfs_*'   'tcp_*' 'udp_*'             many, by wildcard; several patterns add up
  p:ext4:'ext4_*'                       functions of one kernel module
  c:malloc  p:c:malloc                  a function of a library, named as -l names it
  /usr/bin/bash:readline  ./test:'do_*' a function of a program
  r:vfs_read  kr:…  ur:…                returns instead of calls
  vfs_read+0x10                         an instruction inside a function
  t:sched:sched_switch  't:syscalls:*'  tracepoints";

/// For whom the definition is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Parsing: with the hidden options that tests and benches use.
    Parsing,
    /// Completions and man pages. Some generators show hidden options, so there are none.
    Documents,
}

/// `tracewell` with all its subcommands.
pub fn tracewell(purpose: For) -> Command {
    Command::new("tracewell")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Count, trace and profile a live Linux system with BPF, within milliseconds")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(before_args())
        .subcommand(funccount(purpose))
        .subcommand(stackcount(purpose))
        .subcommand(list())
        .subcommand(feature())
        .subcommand(crate::prog::command())
        .subcommand(crate::map::command())
        .subcommand(crate::link::command())
        .subcommand(crate::btf::command())
        .subcommand(
            Command::new("completions")
                .about("Print the completions for a shell")
                .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(SHELLS)),
        )
        .subcommand(
            Command::new("man")
                .about("Print the manual page, or write one page a command into a directory")
                .arg(
                    Arg::new("dir")
                        .value_name("DIR")
                        .value_parser(clap::value_parser!(std::path::PathBuf))
                        .help("Directory for tracewell.1, tracewell-funccount.1, ..."),
                ),
        )
}

/// bpftool's users write its options in front of the command: `-j prog list`. They are hidden here as the other
/// commands have options of their own.
fn before_args() -> Vec<Arg> {
    crate::objects::options::flags().map(|arg| arg.global(false).hide(true)).collect()
}

/// `funccount`, as a subcommand or on its own.
pub fn funccount(purpose: For) -> Command {
    let command = Command::new("funccount")
        .about("Count calls of functions and hits of tracepoints")
        .infer_long_args(true)
        .after_help(PATTERN_HELP)
        .after_long_help(format!(
            "{PATTERN_HELP}\n\nExamples:
  funccount 'vfs_*'                  count kernel functions that begin with vfs_
  funccount -r '^vfs.*'              the same with a regular expression
  funccount -Ti 5 'vfs_*'            a table every 5 seconds, with the time
  funccount -d 10 'vfs_*'            for 10 seconds
  funccount -p 185 'vfs_*'           calls by process 185
  funccount t:sched:sched_process_fork
  funccount c:malloc                 calls of malloc() in libc
  funccount --cmd 'ls -l' 'c:*'      calls into libc while ls runs
  funccount --live 't:syscalls:sys_enter_*'"
        ))
        .arg(pid())
        .arg(seconds("interval", 'i', "Print a table every SECS seconds and start again from zero"))
        .arg(seconds("duration", 'd', "End after SECS seconds; alone, it also sets the interval"))
        .arg(flag("timestamp", 'T', "Print the time before each table"))
        .arg(flag("regexp", 'r', "PATTERN is a regular expression, matched from the name's start"))
        .arg(flag("debug", 'D', "Print the BPF program before starting"))
        .arg(cpu());
    common(command, purpose)
}

/// `stackcount`, as a subcommand or on its own.
pub fn stackcount(purpose: For) -> Command {
    let command = Command::new("stackcount")
        .about("Count events by the stacks that led to them")
        .infer_long_args(true)
        .after_help(PATTERN_HELP)
        .after_long_help(format!(
            "{PATTERN_HELP}\n\nExamples:
  stackcount submit_bio              stacks that lead to block I/O
  stackcount -d ip_output            a line between kernel and user frames
  stackcount -sv ip_output           offsets and raw addresses
  stackcount -r '^tcp_send.*'        functions by a regular expression
  stackcount -Ti 5 ip_output         every 5 seconds, with the time
  stackcount -p 185 c:malloc         stacks that lead to malloc() in process 185
  stackcount -K t:sched:sched_switch kernel stacks only
  stackcount -fP -D 10 t:sched:sched_switch > out.folded"
        ))
        .arg(pid())
        .arg(cpu())
        .arg(seconds("interval", 'i', "Print the stacks every SECS seconds and start again from zero"))
        .arg(seconds("duration", 'D', "End after SECS seconds; alone, it also sets the interval"))
        .arg(flag("timestamp", 'T', "Print the time before each block"))
        .arg(flag("regexp", 'r', "PATTERN is a regular expression, matched from the name's start"))
        .arg(flag("offset", 's', "Print each frame's offset from its symbol"))
        .arg(flag("perpid", 'P', "Keep the stacks of different processes apart"))
        .arg(flag("kernel-stacks-only", 'K', "Kernel stacks only"))
        .arg(flag("user-stacks-only", 'U', "User stacks only").conflicts_with("kernel-stacks-only"))
        .arg(flag("verbose", 'v', "Print raw addresses"))
        .arg(flag("delimited", 'd', "Print a delimiter between kernel and user stacks"))
        .arg(
            Arg::new("max-stacks")
                .long("max-stacks")
                .value_name("N")
                .allow_negative_numbers(true)
                .value_parser(parse_positive)
                .help("Make room for N distinct stacks [default: 4096]"),
        )
        .arg(flag("folded", 'f', "Print folded stacks, the same as --format folded").conflicts_with("format"))
        .arg(
            Arg::new("debug")
                .long("debug")
                .action(ArgAction::SetTrue)
                .help("Print the BPF program before starting"),
        );
    common(command, purpose)
}

fn list() -> Command {
    Command::new("list")
        .about("List what can be traced")
        .arg(
            Arg::new("pattern")
                .value_name("PATTERN")
                .num_args(0..)
                .help("What to list, in the tools' own spelling; everything in the kernel when left out"),
        )
        .arg(pid())
        .arg(flag("regexp", 'r', "PATTERN is a regular expression, matched from the name's start"))
        .arg(two_formats())
}

fn feature() -> Command {
    Command::new("feature")
        .about("Say what this kernel offers and which path each tool will take")
        .arg(two_formats())
}

fn two_formats() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(["text", "json"])
        .default_value("text")
        .help("How to print it")
}

/// The options that both tools have beyond BCC's, and the patterns.
fn common(command: Command, purpose: For) -> Command {
    let command = if purpose == For::Parsing { hidden(command) } else { command };
    command
        .arg(
            Arg::new("tid")
                .long("tid")
                .value_name("TID")
                .allow_negative_numbers(true)
                .value_parser(parse_positive)
                .help("Trace this thread only"),
        )
        .arg(Arg::new("cgroup").long("cgroup").value_name("PATH|ID").help(
            "Trace this cgroup (version 2) only: its directory, absolute or below /sys/fs/cgroup, or its id",
        ))
        .arg(
            Arg::new("cmd")
                .long("cmd")
                .value_name("COMMAND")
                .conflicts_with_all(["pid", "tid"])
                .help("Start COMMAND once the probes are attached, trace its process, end when it ends")
                .long_help(
                    "Start COMMAND once the probes are attached, trace its process (all its threads, not its \
                     children) and end when it ends. COMMAND is split into words as a shell would, with quotes \
                     and backslashes; for anything else of a shell write --cmd \"sh -c '…'\". tracewell exits \
                     with the command's status, or 128 and the signal's number.",
                ),
        )
        .arg(
            Arg::new("top")
                .short('n')
                .long("top")
                .value_name("TOP")
                .allow_negative_numbers(true)
                .value_parser(parse_positive)
                .help("Print only the TOP largest counts"),
        )
        .arg(long_flag("percent", "Print each count's share of the total"))
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["text", "json", "csv", "folded"])
                .help("How to print the result [default: text]"),
        )
        .arg(long_flag("live", "Redraw one screen in place, every second or as -i says").conflicts_with("format"))
        .arg(flag("quiet", 'q', "Print no banner and no closing line"))
        .arg(
            Arg::new("pattern")
                .value_name("PATTERN")
                .num_args(1..)
                .required(true)
                .help("What to count, see below"),
        )
}

/// What tests and benches use.
fn hidden(command: Command) -> Command {
    command
        .arg(
            Arg::new("attach-mode")
                .long("attach-mode")
                .value_name("MODE")
                .hide(true)
                .value_parser(PossibleValuesParser::new(ATTACH_MODES))
                .help("Attach in this way or fail"),
        )
        .arg(long_flag("timings", "Print how long each step took").hide(true))
}

fn pid() -> Arg {
    Arg::new("pid")
        .short('p')
        .long("pid")
        .value_name("PID")
        .allow_negative_numbers(true)
        .value_parser(parse_positive)
        .help("Trace this process only")
}

fn cpu() -> Arg {
    Arg::new("cpu")
        .short('c')
        .long("cpu")
        .value_name("CPU")
        .allow_negative_numbers(true)
        .value_parser(parse_whole)
        .help("Trace this CPU only")
}

/// An option that takes seconds and gives microseconds.
pub fn seconds(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name)
        .short(short)
        .long(name)
        .value_name("SECS")
        // So that `-i -1` is a bad value and not an unknown option.
        .allow_negative_numbers(true)
        .value_parser(parse_seconds)
        .help(help)
}

fn flag(name: &'static str, short: char, help: &'static str) -> Arg {
    long_flag(name, help).short(short)
}

fn long_flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn parse_whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("not a whole number from 0 to {}", u32::MAX))
}

fn parse_positive(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|n| *n != 0);
    number.ok_or_else(|| format!("not a whole number from 1 to {}", u32::MAX))
}

/// Seconds, whole or with a fraction, as microseconds. Zero would print without end.
fn parse_seconds(text: &str) -> Result<u64, String> {
    let secs: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    // A hundred years is far below where microseconds in an i64 end.
    const MOST: f64 = 3.2e9;
    if secs > MOST {
        return Err(format!("must be at most {MOST} seconds; leave the option out for no end"));
    }
    if !(0.001..=MOST).contains(&secs) {
        return Err("must be at least 0.001 seconds".into());
    }
    Ok((secs * 1e6).round() as u64)
}

/// The tool that a binary of this name stands for: `funccount`, `funccount-bpfcc`, `stackcount.py`.
pub fn tool_of_name(argv0: &std::ffi::OsStr) -> Option<&'static str> {
    let name = std::path::Path::new(argv0).file_name()?.to_str()?;
    let name = name.strip_suffix("-bpfcc").or_else(|| name.strip_suffix(".py")).unwrap_or(name);
    ["funccount", "stackcount"].into_iter().find(|t| *t == name)
}

/// The options that both tools share, out of the matches.
#[derive(Debug)]
pub struct Common {
    /// `-p`.
    pub pid: Option<u32>,
    /// `--tid`.
    pub tid: Option<u32>,
    /// `-c`.
    pub cpu: Option<u32>,
    /// `--cgroup`.
    pub cgroup: Option<String>,
    /// `--cmd`.
    pub cmd: Option<String>,
    /// `-i`, or the duration where only that is given; microseconds.
    pub interval_us: Option<u64>,
    /// `-d` of funccount, `-D` of stackcount; microseconds.
    pub duration_us: Option<u64>,
    /// `-n`.
    pub top: Option<usize>,
    /// `-r`.
    pub regexp: bool,
    /// `--live`.
    pub live: bool,
    /// `-q`.
    pub quiet: bool,
    /// `-D` of funccount, `--debug` of stackcount.
    pub debug: bool,
    /// `--attach-mode`.
    pub attach_mode: Option<String>,
    /// `--timings`.
    pub timings: bool,
    /// `--format`.
    pub format: crate::output::Format,
    /// What the text forms show.
    pub style: crate::output::Style,
    /// The patterns as given.
    pub patterns: Vec<String>,
}

impl Common {
    /// Reads the options.
    pub fn new(m: &ArgMatches) -> Common {
        use crate::output::{Format, Style};
        let number = |name| m.get_one::<u32>(name).copied();
        let text = |name| m.get_one::<String>(name).cloned();
        let duration_us = m.get_one::<u64>("duration").copied();
        let interval_us = m.get_one::<u64>("interval").copied();
        Common {
            pid: number("pid"),
            tid: number("tid"),
            cpu: number("cpu"),
            cgroup: text("cgroup"),
            cmd: text("cmd"),
            interval_us: interval_us.or(duration_us),
            duration_us,
            top: number("top").map(|n| n as usize),
            regexp: m.get_flag("regexp"),
            live: m.get_flag("live"),
            quiet: m.get_flag("quiet"),
            debug: m.get_flag("debug"),
            attach_mode: text("attach-mode"),
            timings: m.get_flag("timings"),
            format: match text("format").as_deref() {
                Some("json") => Format::Json,
                Some("csv") => Format::Csv,
                Some("folded") => Format::Folded,
                _ => Format::Text,
            },
            style: Style {
                timestamp: m.get_flag("timestamp"),
                percent: m.get_flag("percent"),
                ..Style::default()
            },
            patterns: m.get_many::<String>("pattern").into_iter().flatten().cloned().collect(),
        }
    }

    /// The patterns as the banner shows them.
    pub fn pattern_text(&self) -> String {
        self.patterns.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn definition_is_consistent() {
        tracewell(For::Parsing).debug_assert();
        funccount(For::Parsing).debug_assert();
        stackcount(For::Parsing).debug_assert();
    }

    #[test]
    fn names_the_binary_answers_to() {
        let tool = |name: &str| tool_of_name(name.as_ref());
        assert_eq!(tool("/usr/sbin/funccount-bpfcc"), Some("funccount"));
        assert_eq!(tool("stackcount"), Some("stackcount"));
        assert_eq!(tool("./stackcount.py"), Some("stackcount"));
        assert_eq!(tool("/opt/tracewell"), None);
        assert_eq!(tool("myfunccount"), None);
    }

    #[test]
    fn bcc_short_options_bundle() {
        let m = funccount(For::Parsing)
            .try_get_matches_from(["funccount", "-rTi", "5", "-d10", "-c", "0", "^vfs"])
            .unwrap();
        let c = Common::new(&m);
        assert_eq!((c.interval_us, c.duration_us, c.cpu), (Some(5_000_000), Some(10_000_000), Some(0)));
        assert!(c.regexp && c.style.timestamp && !c.live);
        let m = stackcount(For::Parsing)
            .try_get_matches_from(["stackcount", "-sv", "-D", "0.5", "--deb", "a", "b"])
            .unwrap();
        let c = Common::new(&m);
        assert_eq!((c.interval_us, c.debug), (Some(500_000), true));
        assert_eq!(c.pattern_text(), "a b");
    }

    #[test]
    fn bad_usage_is_explained() {
        let check = |args: &[&str], expected: expect_test::Expect| {
            let e = tracewell(For::Parsing).try_get_matches_from(args).unwrap_err();
            assert_eq!(e.exit_code(), 2);
            expected.assert_eq(&e.to_string());
        };
        check(
            &["tracewell", "funccount"],
            expect![[r#"
            error: the following required arguments were not provided:
              <PATTERN>...

            Usage: tracewell funccount <PATTERN>...

            For more information, try '--help'.
        "#]],
        );
        check(
            &["tracewell", "funccount", "-d", "0", "x"],
            expect![[r#"
            error: invalid value '0' for '--duration <SECS>': must be at least 0.001 seconds

            For more information, try '--help'.
        "#]],
        );
        check(
            &["tracewell", "funccount", "-p", "zero", "x"],
            expect![[r#"
                error: invalid value 'zero' for '--pid <PID>': not a whole number from 1 to 4294967295

                For more information, try '--help'.
            "#]],
        );
        check(
            &["tracewell", "stackcount", "-KU", "x"],
            expect![[r#"
            error: the argument '--kernel-stacks-only' cannot be used with '--user-stacks-only'

            Usage: tracewell stackcount --kernel-stacks-only <PATTERN>...

            For more information, try '--help'.
        "#]],
        );
        check(
            &["tracewell", "funcount", "x"],
            expect![[r#"
            error: unrecognized subcommand 'funcount'

              tip: some similar subcommands exist: 'stackcount', 'funccount'

            Usage: tracewell <COMMAND>

            For more information, try '--help'.
        "#]],
        );
    }
}
