//! Puts words through decoder, disassembler and encoder. Shared by the property tests and the fuzz targets (`fuzz/`).

use asm::*;

/// The words of bytes in the machine's order; a tail that fills no word is left out.
#[allow(dead_code)]
pub fn words(data: &[u8]) -> Vec<Insn> {
    data.as_chunks().0.iter().copied().map(Insn::from_bytes).collect()
}

/// What decodes at the front is printed, and encodes to the same words again.
#[allow(dead_code)]
pub fn round_trip(words: &[Insn]) {
    if let Ok((instruction, slots)) = decode(words) {
        assert!(slots == 1 || slots == 2);
        assert_eq!(instruction.encode().as_deref(), Ok(&words[..slots]), "{instruction:?}");
        assert!(!instruction.to_string().is_empty());
        // What the format allows, the kernel's own reading allows as well.
        assert!(decode_translated(words).is_ok(), "{instruction:?}");
    }
}

/// A program as text: each line's index follows from the lengths before it, none is empty, and what is no instruction
/// says so.
#[allow(dead_code)]
pub fn disassembly(words: &[Insn]) {
    for translated in [false, true] {
        for opcodes in [false, true] {
            let options = DisasmOptions { translated, opcodes, ..DisasmOptions::default() };
            let mut next = 0;
            for (index, text) in disassemble_with(words, options) {
                assert_eq!(index, next);
                let rest = &words[index..];
                let decoded = if translated { decode_translated(rest) } else { decode(rest) };
                assert_eq!(decoded.is_err(), text.contains("invalid: "), "{text}");
                next += decoded.map_or(1, |(_, slots)| slots);
            }
            assert_eq!(next, words.len());
        }
    }
}
