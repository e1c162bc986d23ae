//! Makes an exact number of calls, for tests that count them.
//!
//! ```text
//! workload [--mode MODE] [--calls N] [--threads T] [--children C] [--depth D] [--no-wait] [--linger]
//! ```
//! It prints `ready PID TID...`, waits for a line on standard input, lets every thread make N calls, prints
//! `done CALLS NANOSECONDS` (of all threads) and ends; with `--linger` it first waits for another line.
//!
//! | mode | each call | what counts exactly N in every kernel of the matrix |
//! | --- | --- | --- |
//! | `kernel` | `fallocate(2)` with length 0, refused at once | kernel functions `vfs_fallocate`, `__x64_sys_fallocate`; tracepoints `syscalls:sys_enter_fallocate` and `sys_exit_fallocate` |
//! | `user` | a function of this program | the symbol that contains `workload_user_call` |
//! | `libc` | `getppid` | that function of the C library, where it is linked dynamically |
//! | `rename` | `prctl(PR_SET_NAME)` | tracepoint `task:task_rename` |
//! | `module` | a write to dummy0's `carrier` | `dummy_change_carrier` of the module `dummy` |
//! | `chain` | `kernel`, under `workload_outer`, `workload_middle`, `workload_inner` | the same, with a known user stack |
//! | `recurse` | `kernel`, under `--depth` frames of `workload_recurse` | the same, with a deep user stack |
//! | `udp` | a datagram to itself over loopback | `udp_rcv`, at the end of a deep kernel stack |
//! | `write` | one byte to /dev/null | the time that it takes |
//! | `sleep` | nothing | a process that is there and does nothing |
//!
//! With `--children C` the calls are made by C short-lived processes, one after another.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::net::UdpSocket;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{getppid, gettid};

/// What the command line asks for.
#[derive(Debug, Clone)]
struct Options {
    mode: String,
    calls: u64,
    threads: usize,
    children: u64,
    depth: u32,
    wait: bool,
    linger: bool,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        mode: "kernel".to_owned(),
        calls: 1,
        threads: 1,
        children: 0,
        depth: 200,
        wait: true,
        linger: false,
    };
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--mode" => options.mode = value()?,
            "--calls" => options.calls = number(&value()?)?,
            "--threads" => options.threads = number(&value()?)? as usize,
            "--children" => options.children = number(&value()?)?,
            "--depth" => options.depth = u32::try_from(number(&value()?)?).map_err(|e| e.to_string())?,
            "--no-wait" => options.wait = false,
            "--linger" => options.linger = true,
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|e| format!("{text}: {e}"))
}

fn main() -> ExitCode {
    match parse(env::args().skip(1)).and_then(|options| run(&options).map_err(|e| e.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("workload: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    if options.children > 0 {
        return run_children(options);
    }
    let start = Arc::new(Barrier::new(options.threads + 1));
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..options.threads)
        .map(|_| {
            let (options, start, sender) = (options.clone(), Arc::clone(&start), sender.clone());
            thread::spawn(move || work(&options, &start, &sender))
        })
        .collect();
    let mut tids: Vec<i32> = receiver.iter().take(options.threads).collect();
    tids.sort_unstable();
    announce(&tids)?;
    wait(options.wait)?;
    start.wait();
    let began = Instant::now();
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
    }
    finish(options, options.calls * options.threads as u64, began.elapsed())
}

fn announce(tids: &[i32]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "ready {}", std::process::id())?;
    for tid in tids {
        write!(out, " {tid}")?;
    }
    writeln!(out)?;
    out.flush()
}

fn wait(really: bool) -> io::Result<()> {
    if really {
        io::stdin().lock().read_line(&mut String::new())?;
    }
    Ok(())
}

fn finish(options: &Options, calls: u64, took: Duration) -> io::Result<()> {
    println!("done {calls} {}", took.as_nanos());
    io::stdout().flush()?;
    wait(options.linger)
}

/// Lets short-lived processes make the calls, one after another.
fn run_children(options: &Options) -> io::Result<()> {
    announce(&[])?;
    wait(options.wait)?;
    let began = Instant::now();
    let me = env::current_exe()?;
    let (calls, depth) = (options.calls.to_string(), options.depth.to_string());
    for _ in 0..options.children {
        let status = Command::new(&me)
            .args(["--mode", &options.mode, "--calls", &calls, "--depth", &depth, "--no-wait"])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("a child ended with {status}")));
        }
    }
    finish(options, options.calls * options.children, began.elapsed())
}

/// What a thread's calls are made on.
struct Tools {
    null: File,
    socket: Option<UdpSocket>,
    carrier: Option<File>,
}

fn tools(mode: &str) -> io::Result<Tools> {
    let open = |path| OpenOptions::new().write(true).open(path);
    let mut tools = Tools { null: open("/dev/null")?, socket: None, carrier: None };
    match mode {
        "udp" => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(socket.local_addr()?)?;
            tools.socket = Some(socket);
        }
        "module" => tools.carrier = Some(open("/sys/class/net/dummy0/carrier")?),
        "kernel" | "user" | "libc" | "rename" | "chain" | "recurse" | "write" | "sleep" => {}
        other => return Err(io::Error::other(format!("unknown mode {other}"))),
    }
    Ok(tools)
}

/// One thread: gets everything ready, tells its id, waits for the start, makes its calls.
fn work(options: &Options, start: &Barrier, ready: &Sender<i32>) -> io::Result<()> {
    let tools = tools(&options.mode);
    // The receiver is there until every thread has told its id; one that cannot start must not keep the others.
    let _ = ready.send(gettid().as_raw());
    start.wait();
    let Tools { null, socket, carrier } = tools?;
    let calls = options.calls;
    match options.mode.as_str() {
        "kernel" => (0..calls).try_for_each(|_| refused_fallocate(&null)),
        "chain" => (0..calls).try_for_each(|_| workload_outer(&null)),
        "recurse" => (0..calls).try_for_each(|_| workload_recurse(&null, options.depth)),
        "user" => {
            let mut sum = 0;
            for i in 0..calls {
                sum = workload_user_call(black_box(i), sum);
            }
            black_box(sum);
            Ok(())
        }
        "libc" => {
            for _ in 0..calls {
                black_box(getppid());
            }
            Ok(())
        }
        "rename" => (0..calls).try_for_each(|i| {
            let name = if i % 2 == 0 { c"workload-even" } else { c"workload-odd" };
            nix::sys::prctl::set_name(name).map_err(io::Error::from)
        }),
        "write" => (0..calls).try_for_each(|_| (&null).write_all(b"x")),
        "udp" => socket.as_ref().map_or(Ok(()), |s| exchange(s, calls)),
        "module" => carrier.as_ref().map_or(Ok(()), |mut file| {
            (0..calls).try_for_each(|i| file.write_all(if i % 2 == 0 { b"0" } else { b"1" }))
        }),
        _ => Ok(()),
    }
}

/// Reaches `vfs_fallocate` and is refused there before anything else happens: a length of zero is invalid.
///
/// The C library's function makes no frame of its own, so a walk by frame pointers misses whoever calls it: this one.
#[inline(never)]
fn refused_fallocate(file: &File) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, 0) {
        Err(nix::errno::Errno::EINVAL) => Ok(()),
        Err(e) => Err(e.into()),
        Ok(()) => Err(io::Error::other("fallocate with length 0 was accepted")),
    }
}

fn exchange(socket: &UdpSocket, calls: u64) -> io::Result<()> {
    let mut byte = [0];
    for _ in 0..calls {
        socket.send(b"x")?;
        socket.recv(&mut byte)?;
    }
    Ok(())
}

/// What the mode `user` counts.
#[inline(never)]
fn workload_user_call(i: u64, sum: u64) -> u64 {
    black_box(sum.wrapping_add(i))
}

#[inline(never)]
fn workload_outer(file: &File) -> io::Result<()> {
    // black_box after the call keeps it from becoming a jump, which would leave no frame.
    let result = workload_middle(file);
    black_box(result)
}

#[inline(never)]
fn workload_middle(file: &File) -> io::Result<()> {
    let result = workload_inner(file);
    black_box(result)
}

#[inline(never)]
fn workload_inner(file: &File) -> io::Result<()> {
    let result = refused_fallocate(file);
    black_box(result)
}

#[inline(never)]
fn workload_recurse(file: &File, depth: u32) -> io::Result<()> {
    let result =
        if black_box(depth) <= 1 { refused_fallocate(file) } else { workload_recurse(file, depth - 1) };
    black_box(result)
}
