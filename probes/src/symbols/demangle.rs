//! Rust and C++ names as people write them.

use std::borrow::Cow;

/// Longer names are left as they are: demangling them can cost more than it tells.
const LONGEST: usize = 4096;

/// C++ names nested deeper than this (templates in some 16 templates) are left as they are: the parser tries every
/// reading of a broken name, and with each level there are more of them.
const DEEPEST: u32 = 96;

/// The readable form of a linker name; a name that is not mangled comes back as it is.
///
/// Rust names lose their hash; C++ names keep their parameters. A suffix the compiler or linker added
/// (`.cold`, `.part.0`) stays.
pub fn demangle(name: &str) -> Cow<'_, str> {
    if name.len() > LONGEST || !name.starts_with("_") {
        return Cow::Borrowed(name);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let text = format!("{rust:#}");
        // `_ZNE` is a path of no parts: nothing to show is worse than the name as it is.
        return if text.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(text) };
    }
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return Cow::Borrowed(name);
    }
    let (base, suffix) = match name.find('.') {
        Some(dot) => name.split_at(dot),
        None => (name, ""),
    };
    let options = cpp_demangle::DemangleOptions::default().recursion_limit(DEEPEST);
    let parse = cpp_demangle::ParseOptions::default().recursion_limit(DEEPEST);
    let readable = cpp_demangle::Symbol::new_with_options(base, &parse).ok();
    match readable.and_then(|s| s.demangle_with_options(&options).ok()) {
        Some(text) if !text.is_empty() && text.len() <= 4 * LONGEST => Cow::Owned(text + suffix),
        _ => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_readable() {
        for (mangled, readable) in [
            ("main", "main"),
            ("_start", "_start"),
            ("_ZN3std2io5stdio6_print17h0123456789abcdefE", "std::io::stdio::_print"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_ZN3foo3barEv.part.0", "foo::bar().part.0"),
            ("_Znotcpp", "_Znotcpp"),
            ("_ZNE", "_ZNE"),
        ] {
            assert_eq!(demangle(mangled), readable);
        }
    }

    /// A name that a fuzzer found: with a limit of 160 it keeps a processor busy for a second.
    #[test]
    fn broken_templates_are_given_up() {
        let name = "_Z4rc_IIIIIIIL3cIIIIIIIL7a_Zr4c_IIL3cIIIIL7a_Z4rc_IIIIIIIL3cIIIIZL7a_Z4rc_IIL3IIIIL7a_Zr4c_IIL3\
            cIIIIL7a_Z4rc_IIIIIIIL3cIIIIZL7a_Z4rc_IIL3IIIIIIII4rc__";
        assert_eq!(demangle(name), name);
        let vectors = |depth| format!("_Z1f{}i{}", "St6vectorI".repeat(depth), "E".repeat(depth));
        assert!(demangle(&vectors(12)).starts_with("f(std::vector<std::vector<"));
    }

    proptest! {
        #[test]
        fn never_panics(tail in "[A-Za-z0-9_.$]{0,80}", head in "(_R|_ZN|_Z|__Z|_)") {
            let _ = demangle(&format!("{head}{tail}"));
        }
    }
}
