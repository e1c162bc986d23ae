//! Asks the ELF reader everything that the tools ask. Shared by the property tests and the fuzz target (`fuzz/`).

use std::ops::ControlFlow;
use std::path::Path;

use tracewell_probes::spec::{Pattern, Syntax};
use tracewell_probes::symbols::FileSymbols;
use tracewell_probes::user::elf::{Elf, TableKind};
use tracewell_probes::user::{Root, UserError};

/// Every question on bytes that may be anything; none may panic, and what is found lies in the file.
pub fn elf(bytes: Vec<u8>) {
    let size = bytes.len() as u64;
    let Ok(elf) = Elf::from_bytes(bytes, "f") else { return };
    // Nothing is looked up outside of the file: there are no debug files below this folder.
    let (root, inside) = (Root::at("/nonexistent"), Path::new("/f"));
    for name in ["main", "copy", "copy@V_1", "search", "nothing", "malloc"] {
        if let Ok(f) = elf.function(name, &root, inside) {
            assert!(f.file_offset < size, "{name} at {:#x} of {size:#x} bytes", f.file_offset);
            let _ = elf.function_length(&f);
        }
    }
    match elf.functions(&Pattern::any(), &root, inside) {
        Ok(found) => {
            for f in found.functions.iter().take(100) {
                assert!(f.file_offset < size, "{} at {:#x} of {size:#x} bytes", f.name, f.file_offset);
                let _ =
                    (elf.function_length(f), elf.file_offset(f.addr), elf.address_of_offset(f.file_offset));
            }
        }
        Err(UserError::Damaged { place, .. }) => assert!(!place.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(none) = Pattern::new("no_such_*", Syntax::Glob)
        && let Ok(found) = elf.functions(&none, &root, inside)
        && found.functions.is_empty()
    {
        let _ = elf.no_match(&none, found).to_string();
    }
    let _ =
        (elf.build_id(), elf.debug_link(), elf.has_minidebug(), elf.machine(), elf.is_position_independent());
    for kind in [TableKind::Static, TableKind::Dynamic] {
        if let Ok(Some(source)) = elf.symbol_source(kind) {
            let mut symbols = 0;
            let read = elf.each_symbol(&source, |_, _| {
                symbols += 1;
                Ok(ControlFlow::Continue(()))
            });
            assert!(read.is_err() || symbols <= size);
        }
    }
    let starts: Vec<u64> = elf.segments().iter().take(8).map(|s| s.vaddr).collect();
    let table = FileSymbols::new(elf, &root, inside);
    for start in starts.into_iter().chain([0, 0x40_0000, u64::MAX - 0x200]) {
        for addr in [start, start.wrapping_add(0x100), start.wrapping_sub(1)] {
            let _ = (table.lookup(addr), table.lookup_offset(addr));
        }
    }
    let _ = (table.len(), table.is_empty(), table.only_exported(), table.trouble().map(ToString::to_string));
}
