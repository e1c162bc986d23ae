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

/// Everything that decodes is read back from its text, in each language, with the opcode in front and without; what does
/// not decode is read back from its number.
#[allow(dead_code)]
pub fn reassembly(words: &[Insn]) {
    for syntax in [Syntax::Kernel, Syntax::Mnemonic] {
        for opcodes in [false, true] {
            let options = DisasmOptions { syntax, opcodes, ..DisasmOptions::default() };
            let mut text = String::new();
            let mut lines = disassemble_with(words, options);
            let mut expected: Vec<Insn> = Vec::new();
            loop {
                let before = text.len();
                let Some(at) = lines.next_into(&mut text) else { break };
                match decode(&words[at..]) {
                    Ok((instruction, slots)) => {
                        // The kernel's text does not say which module's types an id is in.
                        let kfunc =
                            matches!(instruction, Instruction::Call(CallTarget::Kfunc { fd_index: 1.., .. }));
                        if kfunc
                            || matches!(
                                instruction,
                                Instruction::Call(CallTarget::Kfunc { fd_index: ..0, .. })
                            )
                        {
                            text.truncate(before);
                            text += &instruction.to_string();
                        }
                        expected.extend(&words[at..at + slots]);
                    }
                    Err(_) => {
                        text.truncate(before);
                        text += &format!(".raw {:#x}", u64::from_le_bytes(words[at].to_bytes_le()));
                        expected.push(words[at]);
                    }
                }
                text.push('\n');
            }
            let read = assemble(&text).unwrap_or_else(|errors| panic!("{}", errors.report("text")));
            assert_eq!(read.program.insns, expected, "{text}");
        }
    }
}

/// A program of these words as a text with labels is the same program again, and the text is the same too.
#[allow(dead_code)]
pub fn listing(words: &[Insn]) {
    let program = Program { insns: words.to_vec(), ..Program::default() };
    let assembly = Assembly::from(program);
    for syntax in [Syntax::Kernel, Syntax::Mnemonic] {
        let mut listing = Listing::new(&assembly);
        (listing.syntax, listing.exact_lines, listing.opcodes) =
            (syntax, true, words.len().is_multiple_of(2));
        let text = listing.to_string();
        let again = assemble(&text).unwrap_or_else(|errors| panic!("{}", errors.report("text")));
        assert_eq!(again, assembly, "{text}");
    }
}

/// Any text is an assembly, which its listing gives again, or a list of mistakes that lie in it.
#[allow(dead_code)]
pub fn text(text: &str) {
    match assemble(text) {
        Ok(assembly) => {
            for syntax in [Syntax::Kernel, Syntax::Mnemonic] {
                let mut listing = Listing::new(&assembly);
                (listing.syntax, listing.exact_lines) = (syntax, true);
                let printed = listing.to_string();
                let again = assemble(&printed).unwrap_or_else(|errors| panic!("{}", errors.report("text")));
                assert_eq!(again, assembly, "{printed}");
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty() && !errors.to_string().is_empty() && !errors.report("x").is_empty());
            let lines = text.split('\n').count();
            for error in errors.iter() {
                assert!(error.line >= 1 && error.line as usize <= lines, "{error:?}");
                let line = text.split('\n').nth(error.line as usize - 1).unwrap_or("");
                let end = error.column as usize - 1 + error.len as usize;
                assert!(error.column >= 1 && end <= line.chars().count(), "{error:?}");
            }
        }
    }
}
