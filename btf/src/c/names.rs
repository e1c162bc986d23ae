//! Names that C takes, and the suffixes of those that several types share.

use crate::Btf;

/// C has two: tags of structs, unions and enumerations, and everything else at file scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Tag,
    Ordinary,
}

#[derive(Clone, Copy)]
struct Slot<'data> {
    name: &'data str,
    tag: bool,
    count: u32,
}

/// How often each name was given out; open addressing over a power of two of places.
#[derive(Default)]
pub(super) struct Names<'data> {
    slots: Vec<Slot<'data>>,
    used: usize,
    /// Names of the data itself that look as if they had a suffix; read when the first suffix is needed.
    suffixed: Option<Vec<&'data str>>,
}

fn hash(name: &str, space: Space) -> usize {
    let start = if space == Space::Tag { 0x9e37_79b9_7f4a_7c15 } else { 0xcbf2_9ce4_8422_2325_u64 };
    let mut chunks = name.as_bytes().chunks_exact(8);
    let mut state = start;
    let mut mix = |word: u64| state = (state ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29);
    for chunk in &mut chunks {
        mix(chunk.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    }
    let rest = chunks.remainder();
    mix(rest.iter().fold(rest.len() as u64, |word, byte| (word << 8) | u64::from(*byte)));
    (state ^ (state >> 32)) as usize
}

impl<'data> Names<'data> {
    /// The how-manieth of its name this one is, from 1; several types of one name must not become one.
    pub(super) fn give(&mut self, btf: &Btf<'data>, space: Space, name: &'data str) -> u32 {
        let count = self.bump(space, name);
        if count == 1 {
            return 1;
        }
        // `name___2` may be the name of another type already.
        let mut count = count;
        loop {
            let suffixed = self.suffixed.get_or_insert_with(|| suffixed(btf));
            let taken = suffixed.iter().any(|other| {
                let number = other.strip_prefix(name).and_then(|rest| rest.strip_prefix("___"));
                number.is_some_and(|number| number.parse() == Ok(count))
            });
            if !taken {
                return count;
            }
            count = self.bump(space, name);
        }
    }

    fn bump(&mut self, space: Space, name: &'data str) -> u32 {
        if self.used * 2 >= self.slots.len() {
            self.grow();
        }
        let slot = find(&mut self.slots, space, name);
        self.used += usize::from(slot.count == 0);
        *slot = Slot { name, tag: space == Space::Tag, count: slot.count.saturating_add(1) };
        slot.count
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(1 << 10);
        let mut slots = vec![Slot { name: "", tag: false, count: 0 }; len];
        for old in self.slots.iter().filter(|slot| slot.count != 0) {
            let space = if old.tag { Space::Tag } else { Space::Ordinary };
            *find(&mut slots, space, old.name) = *old;
        }
        self.slots = slots;
    }
}

/// The place of a name, or the free place where it belongs. At least half of the places are free.
fn find<'s, 'data>(slots: &'s mut [Slot<'data>], space: Space, name: &str) -> &'s mut Slot<'data> {
    let mask = slots.len() - 1;
    let mut at = hash(name, space) & mask;
    while slots[at].count != 0 && (slots[at].tag != (space == Space::Tag) || slots[at].name != name) {
        at = (at + 1) & mask;
    }
    &mut slots[at]
}

/// All strings that end in `___` and digits. Three underscores in a row cover one of every three places.
fn suffixed<'data>(btf: &Btf<'data>) -> Vec<&'data str> {
    let mut found = Vec::new();
    for strings in [btf.base().map_or("", |base| base.own_strings()), btf.own_strings()] {
        let bytes = strings.as_bytes();
        let at_three = |at: usize| bytes.get(at..at + 3) == Some(b"___");
        for (step, byte) in bytes.iter().skip(2).step_by(3).enumerate() {
            let at = step * 3;
            let Some(at) = (at..at + 3).find(|at| *byte == b'_' && at_three(*at)) else { continue };
            let digits = bytes.get(at + 3..).unwrap_or_default();
            let end = digits.iter().position(|byte| !byte.is_ascii_digit());
            let Some(end) = end.filter(|end| *end > 0 && digits.get(*end) == Some(&0)) else { continue };
            let start = bytes.get(..at).and_then(|head| head.iter().rposition(|byte| *byte == 0));
            found.extend(strings.get(start.map_or(0, |start| start + 1)..at + 3 + end));
        }
    }
    found
}

/// Whether C knows an integer or floating-point type of this name without being told.
pub(super) fn is_builtin(name: &str) -> bool {
    const WORDS: [&str; 19] = [
        "char",
        "short",
        "int",
        "long",
        "signed",
        "unsigned",
        "_Bool",
        "__int128",
        "float",
        "double",
        "_Complex",
        "_Float16",
        "_Float32",
        "_Float64",
        "_Float128",
        "__fp16",
        "__bf16",
        "__float128",
        "__ibm128",
    ];
    !name.is_empty() && name.split(' ').all(|word| WORDS.contains(&word))
}

/// Appends a name, with `_` for what C does not take in one (`$` is taken by both compilers).
pub(super) fn push_identifier(out: &mut String, name: &str) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    if name.bytes().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return out.push_str(name);
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(name.bytes().map(|byte| if good(byte) { char::from(byte) } else { '_' }));
}

/// Appends a number; without the formatting machinery, which would be half of all the time.
pub(super) fn push_number(out: &mut String, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// Appends a number with its sign.
pub(super) fn push_signed(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
    push_number(out, number.unsigned_abs());
}
