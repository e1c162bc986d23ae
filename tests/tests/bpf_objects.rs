//! The compiled objects in `tests/bpf/obj` are what the sources beside them give.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use tracewell_tests::support::skip;

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| {
            let path = entry.expect("the folder is ours").path();
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_name().expect("it has one").to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

#[test]
fn bpf_objects_are_what_the_sources_give() {
    let test = "bpf_objects_are_what_the_sources_give";
    for program in ["clang-19", "llvm-strip-19", "bpftool"] {
        if Command::new(program).arg("--version").output().is_err() {
            return skip(test, &format!("{program} is not installed"));
        }
    }
    let bpf = Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf");
    let out = env::temp_dir().join(format!("tracewell-bpf-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let built = Command::new(bpf.join("build")).arg(&out).output().expect("bash is there");
    let result = files(&out);
    fs::remove_dir_all(&out).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let kept = files(&bpf.join("obj"));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&kept), names(&result), "start tests/bpf/build");
    let changed: Vec<&String> =
        kept.iter().filter(|(name, bytes)| result[*name] != **bytes).map(|(n, _)| n).collect();
    assert!(changed.is_empty(), "{changed:?} are not what their sources give: start tests/bpf/build");
}
