//! Reads of memory that may not be there.

use super::super::errno::{EFAULT, EINVAL, EPERM};
use super::super::machine::Machine;
use super::{Done, value};

/// Whose memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Kernel,
    User,
}

impl Machine {
    /// Bytes at an address of the kernel, where programs' own memory is too, or of the process.
    pub(super) fn peek(&self, addr: u64, len: usize, side: Side) -> Option<Vec<u8>> {
        if len == 0 {
            return Some(Vec::new());
        }
        match side {
            Side::User => self.world.user.read(addr, len),
            Side::Kernel => match self.mem.read(addr, len as u64) {
                Ok(bytes) => Some(bytes.to_vec()),
                Err(_) => self.world.kernel.read(addr, len),
            },
        }
    }

    /// A string with at most `room` bytes, its zero included, which is added where it was cut.
    pub(super) fn peek_str(&self, addr: u64, room: usize, side: Side) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() + 1 < room {
            let byte = self.peek(addr.wrapping_add(out.len() as u64), 1, side)?;
            if byte == [0] {
                break;
            }
            out.extend(byte);
        }
        if room == 1 {
            self.peek(addr, 1, side)?;
        }
        out.push(0);
        Some(out)
    }

    pub(super) fn probe_read(&mut self, name: &str, to: u64, size: u32, from: u64, side: Side) -> Done {
        self.check_write(name, to, size.into())?;
        match self.peek(from, size as usize, side) {
            Some(bytes) => {
                self.write_out(name, to, &bytes)?;
                value(0)
            }
            None => {
                self.write_out(name, to, &vec![0; size as usize])?;
                value(EFAULT)
            }
        }
    }

    pub(super) fn probe_read_str(&mut self, name: &str, to: u64, size: u32, from: u64, side: Side) -> Done {
        self.check_write(name, to, size.into())?;
        if size == 0 {
            return value(0);
        }
        match self.peek_str(from, size as usize, side) {
            Some(bytes) => {
                self.write_out(name, to, &bytes)?;
                value(bytes.len() as i64)
            }
            None => {
                self.write_out(name, to, &vec![0; size as usize])?;
                value(EFAULT)
            }
        }
    }

    pub(super) fn copy_from_user_task(
        &mut self,
        name: &str,
        [to, size, from, _task, flags]: [u64; 5],
    ) -> Done {
        if flags != 0 {
            return value(EINVAL);
        }
        self.probe_read(name, to, size as u32, from, Side::User)
    }

    pub(super) fn probe_write_user(&mut self, name: &str, to: u64, from: u64, size: u32) -> Done {
        let bytes = self.bytes_in(name, from, size.into())?.to_vec();
        value(if self.world.user.write(to, &bytes) { 0 } else { EPERM })
    }
}
