//! What is known of registers and stack, in the log's words.

use super::types::type_name;
use crate::verifier::env::Env;
use crate::verifier::reg::{ADD_CONST, Base, BtfIdx, DynptrKind, Extra, Flags, IterState, Live, Reg};
use crate::verifier::state::{Frame, RefKind, Slot, SlotType, State, StateId};
use std::fmt::{self, Write};

/// Column at which the state begins behind an instruction, and to multiples of which it moves when that is too long.
const COLUMN: u64 = 40;
const TAB: u64 = 8;

impl<'a> Env<'a> {
    /// Prints what is known of a frame (`R0=0 R1=ctx() R10=fp0 fp-8=mmmmmmmm`), all of it or what changed, and a line end.
    pub(in crate::verifier) fn print_state(&mut self, frame: usize, all: bool) {
        if self.log.level == 0 {
            if !all {
                (self.scratched_regs, self.scratched_slots) = (0, 0);
            }
            return;
        }
        let mut text = std::mem::take(&mut self.keep.text);
        text.clear();
        let (regs, slots) =
            if all { (u32::MAX, u64::MAX) } else { (self.scratched_regs, self.scratched_slots) };
        let _ = Printer { env: self, out: &mut text, marks: !self.since(6, 18) }
            .frame(&self.cur, frame, regs, slots);
        self.log.write(format_args!("{text}"));
        self.keep.text = text;
        if !all {
            (self.scratched_regs, self.scratched_slots) = (0, 0);
        }
    }

    /// As [`print_state`](Self::print_state), of a cached state, all of it.
    pub(in crate::verifier) fn print_cached_state(&mut self, id: StateId, frame: usize) {
        let Some(state) = self.nodes.get(id.0 as usize).and_then(Option::as_deref) else { return };
        let mut text = String::new();
        let _ = Printer { env: self, out: &mut text, marks: !self.since(6, 18) }.frame(
            state,
            frame,
            u32::MAX,
            u64::MAX,
        );
        self.log.write(format_args!("{text}"));
    }

    /// After an instruction, what it changed: on the same line where nothing was said since.
    pub(in crate::verifier) fn print_insn_state(&mut self, frame: usize) {
        if self.log.level & 3 == 0 {
            (self.scratched_regs, self.scratched_slots) = (0, 0);
            return;
        }
        if self.prev_log_pos != 0 && self.prev_log_pos == self.log.position() {
            self.log.reset(self.prev_log_pos - 1);
            let width = padding(self.prev_insn_print_pos);
            self.log.write(format_args!("{:width$};", "", width = width.max(1) as usize));
        } else {
            let at = self.insn_idx;
            self.log.write(format_args!("{at}:"));
        }
        self.print_state(frame, false);
    }
}

/// Blanks between an instruction's text of that length (its line end included) and the state.
fn padding(len: u64) -> u64 {
    (len + TAB / 2).max(COLUMN).next_multiple_of(TAB) - len - 1
}

struct Printer<'p, 'a> {
    env: &'p Env<'a>,
    out: &'p mut String,
    /// Read and write marks are printed: Linux 6.18 keeps none.
    marks: bool,
}

impl<'a> Printer<'_, 'a> {
    fn frame(&mut self, state: &State, number: usize, regs: u32, slots: u64) -> fmt::Result {
        let Some(frame) = state.frames.get(number) else { return writeln!(self.out) };
        if frame.frameno != 0 {
            write!(self.out, " frame{}:", frame.frameno)?;
        }
        for (at, reg) in frame.regs.iter().enumerate() {
            if reg.base == Base::NotInit || regs >> at & 1 == 0 {
                continue;
            }
            write!(self.out, " R{at}{}=", Marks(reg.live, self.marks))?;
            self.reg(frame, reg)?;
        }
        let mut at = 0;
        while let Some(slot) = frame.stack.get(at) {
            if at > 63 || slots >> at & 1 != 0 {
                self.slot(frame, &mut at, slot)?;
            }
            at += 1;
        }
        self.refs(state, number)?;
        if frame.in_callback {
            self.out.push_str(" cb");
        }
        if frame.in_async_callback {
            self.out.push_str(" async_cb");
        }
        self.out.push('\n');
        Ok(())
    }

    fn slot(&mut self, frame: &Frame, at: &mut usize, slot: &Slot) -> fmt::Result {
        if slot.types.iter().all(|&kind| kind == SlotType::Invalid) {
            return Ok(());
        }
        let place = |at: usize| -8 * (at as i64 + 1);
        let reg = &slot.spilled;
        match slot.types[7] {
            SlotType::Spill => {
                write!(self.out, " fp{}{}=", place(*at), Marks(reg.live, self.marks))?;
                // Bytes above a narrower spill.
                slot.types
                    .iter()
                    .take_while(|&&kind| kind != SlotType::Spill)
                    .for_each(|&kind| self.out.push(letter(kind)));
                self.reg(frame, reg)
            }
            SlotType::Dynptr => {
                // The object's own slot is the next, at the lower address.
                *at += 1;
                let Some(slot) = frame.stack.get(*at) else { return Ok(()) };
                let reg = &slot.spilled;
                let Extra::Dynptr { kind, first_slot } = reg.extra else { return Ok(()) };
                write!(
                    self.out,
                    " fp{}{}=dynptr_{}(",
                    place(*at),
                    Marks(reg.live, self.marks),
                    dynptr_name(kind)
                )?;
                let mut list = List(",", true);
                if reg.id != 0 {
                    list.next(self.out)?;
                    write!(self.out, "id={}", reg.id)?;
                }
                if reg.ref_obj_id != 0 {
                    list.next(self.out)?;
                    write!(self.out, "ref_id={}", reg.ref_obj_id)?;
                }
                // The kernel reads this from where it keeps whether it is the first slot.
                if first_slot {
                    list.next(self.out)?;
                    self.out.push_str("dynptr_id=1");
                }
                self.out.push(')');
                Ok(())
            }
            SlotType::Iter => {
                let Extra::Iter { btf, id, state, depth } = reg.extra else { return Ok(()) };
                if reg.ref_obj_id == 0 {
                    return Ok(());
                }
                let name = self.name_of(btf, id);
                let name = name.strip_prefix("bpf_iter_").unwrap_or(name);
                let state = match state {
                    IterState::Active => "active",
                    IterState::Drained => "drained",
                };
                write!(
                    self.out,
                    " fp{}{}=iter_{name}(ref_id={},state={state},depth={depth})",
                    place(*at),
                    Marks(reg.live, self.marks),
                    reg.ref_obj_id
                )
            }
            _ => {
                write!(self.out, " fp{}{}=", place(*at), Marks(reg.live, self.marks))?;
                slot.types.iter().for_each(|&kind| self.out.push(letter(kind)));
                Ok(())
            }
        }
    }

    fn refs(&mut self, state: &State, frame: usize) -> fmt::Result {
        // Locks are listed since they are kept as references, in one list for all frames.
        let locks = self.env.since(6, 14);
        let refs = if locks || frame == state.curframe() { &state.refs } else { &state.frames[frame].held };
        let mut separator = " refs=";
        for held in refs {
            if held.id != 0 && (locks || held.kind == RefKind::Ptr) {
                write!(self.out, "{separator}{}", held.id)?;
                separator = ",";
            }
        }
        Ok(())
    }

    fn name_of(&self, btf: BtfIdx, id: u32) -> &'a str {
        let types = self.env.btfs.get(usize::from(btf.0));
        types.and_then(|btf| btf.type_by_id(::btf::TypeId(id))).map_or("<invalid>", |ty| ty.name())
    }

    fn reg(&mut self, frame: &Frame, reg: &Reg) -> fmt::Result {
        if reg.is(Base::Scalar) {
            if reg.precise {
                self.out.push('P');
            }
            if reg.var_off.mask == 0 {
                return write!(self.out, "{}", Signed(reg.var_off.value as i64));
            }
        }
        self.out.push_str(&type_name(reg.base, reg.flags));
        if reg.is(Base::Arena) {
            return Ok(());
        }
        if reg.is(Base::Stack) {
            if frame.frameno != reg.frameno {
                write!(self.out, "[{}]", reg.frameno)?;
            }
            if reg.var_off.mask == 0 {
                let off = (reg.var_off.value as i64).wrapping_add(i64::from(reg.off));
                return write!(self.out, "{}", Signed(off));
            }
        }
        if let (Base::BtfId, Some((btf, id))) = (reg.base, reg.btf()) {
            let name = self.name_of(btf, id);
            self.out.push_str(name);
        }
        self.out.push('(');
        let mut list = List(",", true);
        self.attributes(reg, &mut list)?;
        if reg.var_off.mask == 0 {
            if reg.var_off.value != 0 {
                list.next(self.out)?;
                write!(self.out, "imm={}", Signed(reg.var_off.value as i64))?;
            }
        } else {
            ranges(self.out, reg, &mut list)?;
            if reg.var_off.mask != u64::MAX {
                list.next(self.out)?;
                write!(self.out, "var_off=({:#x}; {:#x})", reg.var_off.value, reg.var_off.mask)?;
            }
        }
        self.out.push(')');
        Ok(())
    }

    /// Ids, map, offset, sizes.
    fn attributes(&mut self, reg: &Reg, list: &mut List) -> fmt::Result {
        if reg.id != 0 {
            list.next(self.out)?;
            write!(self.out, "id={}", reg.id & !ADD_CONST)?;
        }
        if reg.id & ADD_CONST != 0 {
            write!(self.out, "{:+}", reg.off)?;
        }
        if reg.ref_obj_id != 0 {
            list.next(self.out)?;
            write!(self.out, "ref_obj_id={}", reg.ref_obj_id)?;
        }
        if reg.base == Base::BtfId && reg.flags.contains(Flags::ALLOC.union(Flags::NON_OWN_REF)) {
            list.next(self.out)?;
            self.out.push_str("non_own_ref");
        }
        if let (Base::ConstMap | Base::MapKey | Base::MapValue, Extra::Map { map, inner, .. }) =
            (reg.base, reg.extra)
        {
            self.map(map, inner, list)?;
        }
        if !reg.is(Base::Scalar) && reg.off != 0 {
            list.next(self.out)?;
            write!(self.out, "off={}", Signed(i64::from(reg.off)))?;
        }
        if matches!(reg.base, Base::Packet | Base::PacketMeta) {
            list.next(self.out)?;
            write!(self.out, "r={}", Unsigned(i64::from(reg.range()) as u64))?;
        }
        if let (Base::Mem, Extra::Mem { size, .. }) = (reg.base, reg.extra) {
            list.next(self.out)?;
            write!(self.out, "sz={}", Unsigned(u64::from(size)))?;
        }
        if let (true, Extra::Dynptr { kind, .. }) = (reg.is(Base::ConstDynptr), reg.extra) {
            list.next(self.out)?;
            write!(self.out, "type={}", dynptr_name(kind))?;
        }
        Ok(())
    }

    fn map(&mut self, map: u32, inner: bool, list: &mut List) -> fmt::Result {
        let Some(spec) = self.env.program.maps.get(map as usize) else { return Ok(()) };
        // What the kernel keeps of an inner map's like has no name.
        let (name, spec) = match &spec.inner {
            Some(inner_spec) if inner => ("", &**inner_spec),
            _ => (spec.kernel_name.as_str(), spec),
        };
        if !name.is_empty() {
            list.next(self.out)?;
            write!(self.out, "map={}", name.get(..15).unwrap_or(name))?;
        }
        list.next(self.out)?;
        write!(self.out, "ks={},vs={}", spec.key_size, spec.value_size)
    }
}

/// Separator, and whether nothing was listed yet.
struct List(&'static str, bool);

impl List {
    fn next(&mut self, out: &mut String) -> fmt::Result {
        if !std::mem::take(&mut self.1) {
            out.push_str(self.0);
        }
        Ok(())
    }
}

fn ranges(out: &mut String, reg: &Reg, list: &mut List) -> fmt::Result {
    // Beyond what is printed in decimal, 32-bit numbers are not sign-extended.
    let wide = |value: i32| {
        if i16::try_from(value).is_ok() { i64::from(value) as u64 } else { u64::from(value as u32) }
    };
    let mut bounds = [
        ("smin", reg.smin as u64, reg.smin == i64::MIN),
        ("smax", reg.smax as u64, reg.smax == i64::MAX),
        ("umin", reg.umin, reg.umin == 0),
        ("umax", reg.umax, reg.umax == u64::MAX),
        ("smin32", wide(reg.s32_min), reg.s32_min == i32::MIN),
        ("smax32", wide(reg.s32_max), reg.s32_max == i32::MAX),
        ("umin32", u64::from(reg.u32_min), reg.u32_min == 0),
        ("umax32", u64::from(reg.u32_max), reg.u32_max == u32::MAX),
    ];
    let is_signed = |name: &str| name.starts_with('s');
    let is_negative = |name: &str, value: u64| is_signed(name) && (value as i64) < 0;
    for at in 0..bounds.len() {
        let (name, value, omit) = bounds[at];
        if omit {
            continue;
        }
        list.next(out)?;
        write!(out, "{name}=")?;
        // Lower bounds that are equal are printed once, and upper bounds.
        for (other, other_value, omit) in bounds[at..].iter_mut().skip(2).step_by(2) {
            if !*omit && *other_value == value && is_negative(other, *other_value) == is_negative(name, value)
            {
                *omit = true;
                write!(out, "{other}=")?;
            }
        }
        if is_signed(name) {
            write!(out, "{}", Signed(value as i64))?;
        } else {
            write!(out, "{}", Unsigned(value))?;
        }
    }
    Ok(())
}

/// Decimal where 16 bits suffice, hexadecimal otherwise.
struct Signed(i64);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if i16::try_from(self.0).is_ok() { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

struct Unsigned(u64);

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if u16::try_from(self.0).is_ok() { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

/// `_rw`, `_w`, `_rD`: read, written, final; only where the kernel prints them.
struct Marks(Live, bool);

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Live::NONE || !self.1 {
            return Ok(());
        }
        f.write_str("_")?;
        for (mark, letter) in [(Live::READ, "r"), (Live::WRITTEN, "w"), (Live::DONE, "D")] {
            if self.0.has(mark) {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

fn letter(kind: SlotType) -> char {
    match kind {
        SlotType::Invalid => '?',
        SlotType::Spill => 'r',
        SlotType::Misc => 'm',
        SlotType::Zero => '0',
        SlotType::Dynptr => 'd',
        SlotType::Iter => 'i',
        SlotType::IrqFlag => 'f',
    }
}

fn dynptr_name(kind: DynptrKind) -> &'static str {
    match kind {
        DynptrKind::Invalid => "<invalid>",
        DynptrKind::Local => "local",
        DynptrKind::Ringbuf => "ringbuf",
        DynptrKind::Skb => "skb",
        DynptrKind::Xdp => "xdp",
        DynptrKind::SkbMeta => "skb_meta",
        DynptrKind::File => "file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::scalar::Tnum;

    fn bounds(reg: &Reg) -> String {
        let mut out = String::new();
        ranges(&mut out, reg, &mut List(",", true)).unwrap();
        out
    }

    #[test]
    fn equal_bounds_are_printed_once() {
        let unknown = Reg { base: Base::Scalar, ..Reg::NOT_INIT };
        assert_eq!(bounds(&unknown), "");
        let byte = Reg {
            smin: 0,
            smax: 255,
            umax: 255,
            s32_min: 0,
            s32_max: 255,
            u32_max: 255,
            var_off: Tnum { value: 0, mask: 0xff },
            ..unknown
        };
        assert_eq!(bounds(&byte), "smin=smin32=0,smax=umax=smax32=umax32=255");
        let negative = Reg { smin: -2, smax: -1, umin: u64::MAX - 1, s32_min: -2, s32_max: -1, ..unknown };
        assert_eq!(bounds(&negative), "smin=smin32=-2,smax=smax32=-1,umin=0xfffffffffffffffe");
        let large = Reg { smin: -0x8000_0000, s32_min: -0x10000, umax: 0x10000, ..unknown };
        assert_eq!(bounds(&large), "smin=0xffffffff80000000,umax=0x10000,smin32=0xffff0000");
    }

    #[test]
    fn the_state_begins_at_column_40_or_the_next_tab() {
        // Texts with line ends; a semicolon and a blank precede the state.
        for (len, column) in [(14, 40), (36, 40), (37, 48), (44, 48), (45, 56)] {
            assert_eq!(len - 1 + padding(len) + 2, column, "{len}");
        }
    }

    #[test]
    fn marks_follow_the_name() {
        assert_eq!(Marks(Live::NONE, true).to_string(), "");
        assert_eq!(Marks(Live(Live::READ64.0 | Live::WRITTEN.0), true).to_string(), "_rw");
        assert_eq!(Marks(Live(Live::READ32.0 | Live::DONE.0), true).to_string(), "_rD");
        assert_eq!(Marks(Live::WRITTEN, false).to_string(), "");
    }
}
