//! The root file system of a guest: busybox, the test binaries, the tracer, a workload of each kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::TestBinary;
use crate::cpio::Archive;
use crate::guest::SuiteOutput;
use crate::kernels::Kernel;

/// One binary to run in a guest, and which of its tests.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The binary.
    pub binary: TestBinary,
    /// Full names of the tests to run.
    pub tests: Vec<String>,
}

/// What a guest gets.
#[derive(Debug)]
pub struct Content<'a> {
    /// A static busybox.
    pub busybox: &'a Path,
    /// The tracer.
    pub tracewell: &'a Path,
    /// The workload, static.
    pub workload: &'a Path,
    /// The workload, linked with the C library of the machine that built it.
    pub workload_dynamic: &'a Path,
    /// Where cargo put the tracer for these test binaries: cargo tells a package's own tests of that path.
    pub tracewell_built: &'a Path,
    /// The crates' examples by name, static.
    pub examples: &'a [(String, PathBuf)],
    /// Pages whose commands are tested; they get the same absolute paths.
    pub pages: &'a [PathBuf],
    /// The tests to run.
    pub suites: &'a [Suite],
    /// How long one suite may take, seconds.
    pub suite_seconds: u64,
}

/// The folders under which file systems are mounted, and those that programs expect.
const FOLDERS: [&str; 9] = ["proc", "sys", "dev", "tmp", "run", "root", "mnt", "var", "etc"];

/// Programs of the machine that builds, each with its libraries, where busybox's are different or too small: tests
/// trace them, or run the tracer under them.
/// (busybox's shell is among these: it takes its own programs before those of PATH.)
const PROGRAMS: [&str; 11] =
    ["cat", "dd", "env", "head", "ls", "setpriv", "sh", "sleep", "taskset", "true", "unshare"];

/// The parts that all kernels share.
///
/// # Errors
/// The file that could not be read.
pub fn common(content: &Content<'_>) -> Result<Vec<u8>, String> {
    let mut archive = Archive::new();
    for folder in FOLDERS {
        archive.dir(folder);
    }
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    );
    archive.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    add(&mut archive, "bin/busybox", content.busybox)?;
    add(&mut archive, "bin/tracewell", content.tracewell)?;
    for name in ["funccount", "stackcount"] {
        archive.symlink(&format!("bin/{name}"), "tracewell");
    }
    let built = content.tracewell_built.to_string_lossy();
    archive.symlink(built.trim_start_matches('/'), "/bin/tracewell");
    add(&mut archive, "bin/workload", content.workload)?;
    add(&mut archive, "bin/workload-dynamic", content.workload_dynamic)?;
    add_libraries(&mut archive, content.workload_dynamic)?;
    for (name, path) in content.examples {
        add(&mut archive, &format!("examples/{name}"), path)?;
    }
    for name in PROGRAMS {
        let places = [Path::new("/usr/bin").join(name), Path::new("/bin").join(name)];
        let from = places.iter().find(|p| p.exists()).ok_or_else(|| format!("no program {name} here"))?;
        add(&mut archive, &format!("usr/bin/{name}"), from)?;
        add_libraries(&mut archive, from)?;
    }
    for page in content.pages {
        add(&mut archive, page.to_string_lossy().trim_start_matches('/'), page)?;
    }
    let mut script = String::new();
    for suite in content.suites {
        let file = format!("tests/{}", suite.binary.suite.replace('/', "-"));
        add(&mut archive, &file, &suite.binary.path)?;
        script += &format!("suite {} /{file} {}", suite.binary.suite, content.suite_seconds);
        for test in &suite.tests {
            script += &format!(" '{test}'");
        }
        script.push('\n');
    }
    archive.file("etc/suites", 0o644, script.as_bytes());
    Ok(archive.finish())
}

/// The part that belongs to one kernel; it follows the common part. Suites that have ended are left out.
///
/// # Errors
/// The file that could not be read.
pub fn of_kernel(kernel: &Kernel, ended: &[SuiteOutput]) -> Result<Vec<u8>, String> {
    let mut archive = Archive::new();
    add(&mut archive, "lib/modules/dummy.ko", &kernel.folder.join("dummy.ko"))?;
    let release = kernel.release.as_deref().unwrap_or_default();
    archive.file("etc/kernel-release", 0o644, release.as_bytes());
    let ended: String = ended.iter().map(|suite| format!("{}\n", suite.suite)).collect();
    archive.file("etc/ended", 0o644, ended.as_bytes());
    // Where distributions put it; objects ask for values of it.
    let config = kernel.folder.join("config");
    if config.exists() {
        archive.dir("boot");
        add(&mut archive, &format!("boot/config-{release}"), &config)?;
    }
    Ok(archive.finish())
}

fn add(archive: &mut Archive, inside: &str, from: &Path) -> Result<(), String> {
    let bytes = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
    archive.file(inside, 0o755, &bytes);
    Ok(())
}

fn add_libraries(archive: &mut Archive, program: &Path) -> Result<(), String> {
    for library in libraries(program)? {
        add(archive, library.to_string_lossy().trim_start_matches('/'), &library)?;
    }
    Ok(())
}

/// The shared libraries and the loader of a dynamic program, as its loader itself names them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let out = Command::new("ldd").arg(program).output().map_err(|e| format!("ldd: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let found: Vec<PathBuf> =
        text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect();
    if found.is_empty() { Err(format!("ldd {}: no libraries", program.display())) } else { Ok(found) }
}

/// PID 1. What the machine reads goes to the second serial port; the first one is the console.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/root TERM=linux RUST_BACKTRACE=1 PROPTEST_RNG_SEED=1
export TRACEWELL_GUEST=1 TRACEWELL_BIN=/bin/tracewell TRACEWELL_WORKLOAD=/bin/workload
export TRACEWELL_WORKLOAD_DYNAMIC=/bin/workload-dynamic TRACEWELL_EXAMPLES=/examples
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /sys/fs/cgroup
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mount -t tracefs nodev /sys/kernel/tracing
mount -t debugfs nodev /sys/kernel/debug
mount -t bpf nodev /sys/fs/bpf
mount -t cgroup2 nodev /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
insmod /lib/modules/dummy.ko numdummies=1 && ip link set dummy0 up
stty -F /dev/ttyS1 raw -echo 2>/dev/null

case "$(cat /proc/cmdline)" in
*tracewell.shell*)
    clear 2>/dev/null
    echo "Linux $(uname -r): tracewell, funccount, stackcount and workload are in PATH; exit ends it"
    ls /tests 2>/dev/null
    cd /root
    setsid cttyhack sh -l
    reboot -f
    ;;
esac

# suite NAME BINARY SECONDS TEST...
suite() {
    name=$1 binary=$2 seconds=$3
    shift 3
    grep -qxF "$name" /etc/ended && return
    echo "@@begin $name"
    timeout -s KILL "$seconds" "$binary" --test-threads=1 --nocapture --exact "$@" </dev/null 2>&1
    echo "
@@end $name $?"
}
{
    echo "@@booted $(uname -r)"
    . /etc/suites
    dmesg | grep -E 'BUG:|WARNING:|Oops|general protection|INFO: (task|rcu)|blocked for more|Call Trace' | sed 's/^/@@dmesg /'
    echo "@@done"
} >/dev/ttyS1 2>&1
sync
reboot -f
"#;
