//! What our loader makes of object files, in the words of `tests/libbpf/check.c`; finds objects in programs that carry
//! them; compares the two sides. `tests/compare-libbpf` is what calls it.
#![forbid(unsafe_code)]

mod compare;
mod extract;
mod load;

use std::process::ExitCode;

const USAGE: &str = "\
usage: objcheck extract DIR PREFIX PROGRAM...   cut out the BPF objects that programs carry
       objcheck load OBJECT...                  load each, whole and program by program
       objcheck compare KNOWN DIR...            compare DIR/libbpf with DIR/own";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["extract", folder, prefix, programs @ ..] => {
            extract::extract(folder, prefix, programs).map(|()| true)
        }
        ["load", objects @ ..] => load::load(objects).map(|()| true),
        ["compare", known, folders @ ..] => compare::compare(known, folders),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
