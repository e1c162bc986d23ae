//! Steps that touch memory.

use super::code::{NUMBERS, Writer, reg};
use super::model::{Kind, SLOTS};
use asm::{AtomicOp, Helper, MapRef, R0, R1, R2, R3, R4, R10, Reg, Size};
use bpf_sys::prog::ProgType;

impl Writer<'_, '_> {
    /// A register goes to the stack, or comes back; or a part of a slot is read or written.
    pub fn stack(&mut self) {
        let slot = self.bytes.below(SLOTS as u32) as usize;
        let off = -8 * (slot as i16 + 1);
        match self.bytes.below(6) {
            0 | 1 => {
                let Some(reg) = self.any(|kind| !matches!(kind, Kind::Nothing | Kind::Busy)) else { return };
                self.b.store(Size::DW, R10, off, reg);
                self.model.slots[slot] = self.kind(reg);
            }
            2 | 3 if self.model.slots[slot] != Kind::Nothing => {
                let dst = self.target();
                self.b.load(Size::DW, dst, R10, off);
                self.set(dst, self.model.slots[slot]);
            }
            4 => {
                let (imm, size) = (self.bytes.number(), self.bytes.pick(&[Size::DW, Size::W]));
                self.b.store_imm(size, R10, off, imm);
                let whole = size == Size::DW || self.model.slots[slot].is_number();
                self.model.slots[slot] = if whole { Kind::Number } else { Kind::Nothing };
            }
            _ if self.model.slots[slot].is_number() => {
                let (size, dst) = (self.size(), self.target());
                let within = (self.bytes.below(8) as i16) & !(size.bytes() as i16 - 1);
                match self.any(NUMBERS) {
                    Some(src) if self.bytes.chance(128) => {
                        self.b.store(size, R10, off + within, src);
                    }
                    _ => {
                        self.b.load(size, dst, R10, off + within);
                        self.set(dst, Kind::Number);
                    }
                }
            }
            _ => {}
        }
    }

    /// Bytes of a map's value: read, written, changed in one go, behind a fixed or a computed offset.
    pub fn memory(&mut self) {
        let Some(base) = self.any(|kind| matches!(kind, Kind::Value(_, 8..) | Kind::Packet(1..))) else {
            return self.look_up();
        };
        let (room, is_packet) = match self.kind(base) {
            Kind::Value(_, room) => (room, false),
            Kind::Packet(room) => (room, true),
            _ => return,
        };
        let mut size = self.size();
        if size.bytes() > usize::from(room) {
            size = Size::B;
        }
        let last = room - size.bytes() as u16;
        let off = (self.bytes.below(u32::from(last) + 1) as u16) & !(size.bytes() as u16 - 1);
        let off = off as i16;
        let dst = self.target();
        match self.bytes.below(8) {
            0..3 => {
                self.b.load(size, dst, base, off);
                self.set(dst, Kind::Number);
            }
            3 => {
                let imm = self.bytes.number();
                self.b.store_imm(size, base, off, imm);
            }
            4 => {
                if let Some(src) = self.any(NUMBERS) {
                    self.b.store(size, base, off, src);
                }
            }
            5 if !is_packet => self.atomic(base, off & !7),
            6 if !is_packet => {
                let small = |kind| matches!(kind, Kind::Below(most) if most <= u32::from(room - 8));
                if let Some(index) = self.any(small) {
                    let kind = self.kind(index);
                    let Kind::Below(most) = kind else { return };
                    self.b.add(base, index);
                    let left = room - most as u16;
                    if let Kind::Value(map, _) = self.kind(base) {
                        self.set(base, Kind::Value(map, left));
                    }
                }
            }
            _ if self.shape.v4 => {
                let size = if size == Size::DW { Size::W } else { size };
                self.b.load_sx(size, dst, base, off);
                self.set(dst, Kind::Number);
            }
            _ => {}
        }
    }

    fn atomic(&mut self, base: Reg, off: i16) {
        const PLAIN: [AtomicOp; 4] = [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor];
        const FETCHING: [AtomicOp; 5] =
            [AtomicOp::FetchAdd, AtomicOp::FetchOr, AtomicOp::FetchAnd, AtomicOp::FetchXor, AtomicOp::Xchg];
        let Some(src) = self.any(NUMBERS) else { return };
        let size = self.bytes.pick(&[Size::W, Size::DW]);
        let op = if self.shape.v4 && self.bytes.chance(128) {
            self.bytes.pick(&FETCHING)
        } else {
            self.bytes.pick(&PLAIN)
        };
        self.b.atomic(op, size, base, off, src);
        self.set(src, Kind::Number);
    }

    /// A field of the context.
    pub fn context(&mut self) {
        let Some(ctx) = self.any(|kind| kind == Kind::Ctx) else { return self.constant_on_stack() };
        let dst = self.target();
        let off = match self.prog_type {
            ProgType::Xdp => self.bytes.pick(&[12, 16]),
            // len, mark, protocol, queue_mapping, priority
            _ => self.bytes.pick(&[0, 8, 16, 12, 32]),
        };
        self.b.load(Size::W, dst, ctx, off);
        self.set(dst, Kind::Number);
    }

    fn constant_on_stack(&mut self) {
        let imm = self.bytes.number();
        self.b.store_imm(Size::DW, R10, -8, imm);
        self.model.slots[0] = Kind::Number;
    }

    /// A look-up, and mostly the check of its result.
    pub fn look_up(&mut self) {
        let sizes = self.sizes();
        let map = self.bytes.below(sizes.len() as u32);
        let key_size = sizes[map as usize].0;
        self.key(key_size);
        self.b.mov(R2, R10).add_imm(R2, -8).ld_map(R1, MapRef(map)).call(Helper::MAP_LOOKUP_ELEM);
        self.model.called(Kind::MaybeValue(map));
        if self.bytes.chance(232) {
            let size = sizes[map as usize].1 as u16;
            let present = self.b.label();
            if self.bytes.chance(160) {
                self.b.jne_imm(R0, 0, present);
                // Without it there is nothing to do.
                self.b.mov_imm(R0, 0).exit().bind(present);
                let keep = reg(self.bytes.pick(&[0, 7, 8, 9]));
                let keep = if self.kind(keep) == Kind::Busy { R0 } else { keep };
                if keep != R0 {
                    self.b.mov(keep, R0);
                }
                self.set(keep, Kind::Value(map, size));
                self.set(R0, Kind::Value(map, size));
            } else {
                let skip = present;
                self.b.jeq_imm(R0, 0, skip);
                let before = self.model.clone();
                self.set(R0, Kind::Value(map, size));
                self.memory();
                self.memory();
                self.b.bind(skip);
                self.model = self.model.meet(&before);
                self.set(R0, Kind::Nothing);
            }
        }
    }

    /// A key in the first slot.
    fn key(&mut self, size: u32) {
        let fitting = self.any(|kind| matches!(kind, Kind::Below(..5)));
        let imm = self.bytes.below(5) as i32;
        self.b.store_imm(Size::DW, R10, -8, imm);
        if let Some(reg) = fitting.filter(|_| self.bytes.chance(128)) {
            self.b.store(if size == 4 { Size::W } else { Size::DW }, R10, -8, reg);
        }
        self.model.slots[0] = Kind::Number;
    }

    /// An element is written or deleted.
    pub fn change_map(&mut self) {
        // The hash: its values are 48 bytes, which are six slots.
        let map = 1;
        self.key(8);
        if self.bytes.chance(96) {
            self.b.mov(R2, R10).add_imm(R2, -8).ld_map(R1, MapRef(map)).call(Helper::MAP_DELETE_ELEM);
        } else {
            for slot in 1..7 {
                if !self.model.slots[slot].is_number() {
                    let imm = self.bytes.number();
                    self.b.store_imm(Size::DW, R10, -8 * (slot as i16 + 1), imm);
                    self.model.slots[slot] = Kind::Number;
                }
            }
            let flags = self.bytes.pick(&[0, 1, 2]);
            self.b.mov(R3, R10).add_imm(R3, -56).mov(R2, R10).add_imm(R2, -8).mov_imm(R4, flags);
            self.b.ld_map(R1, MapRef(map)).call(Helper::MAP_UPDATE_ELEM);
        }
        self.model.called(Kind::Number);
    }

    /// Bytes of the packet, behind a comparison with its end.
    pub fn packet(&mut self, depth: u32) {
        let (data, end) = match self.prog_type {
            ProgType::Xdp => (0, 4),
            ProgType::SchedCls => (76, 80),
            _ => return self.context(),
        };
        let Some(ctx) = self.any(|kind| kind == Kind::Ctx) else { return };
        let room = self.bytes.pick(&[1_u16, 4, 8, 14, 34]);
        let skip = self.b.label();
        let (packet, limit, past) = (reg(2), reg(3), reg(4));
        if ctx == packet || ctx == limit || ctx == past {
            return;
        }
        self.b.load(Size::W, packet, ctx, data).load(Size::W, limit, ctx, end);
        self.b.mov(past, packet).add_imm(past, i32::from(room)).jgt(past, limit, skip);
        for reg in [limit, past] {
            self.set(reg, Kind::Nothing);
        }
        self.set(packet, Kind::Nothing);
        let before = self.model.clone();
        self.set(packet, Kind::Packet(room));
        self.memory();
        if depth < 2 {
            self.nested(depth);
        }
        self.b.bind(skip);
        self.model = self.model.meet(&before);
    }
}
