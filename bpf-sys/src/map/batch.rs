//! Many elements with one system call. Since Linux 5.6.

use std::os::fd::AsFd;

use super::{Map, UpdateFlags};
use crate::abi::Cmd;
use crate::abi::attr::MapBatch;
use crate::abi::util::{addr, addr_mut, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

/// Where a batched walk through a map stands; a new one starts at the beginning.
#[derive(Debug, Clone, Default)]
pub struct BatchCursor {
    /// The kernel's token: a bucket's or element's number, or a key.
    token: Vec<u8>,
    started: bool,
    done: bool,
}

impl BatchCursor {
    /// A cursor at the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the walk came to the end.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

impl Map {
    /// Reads the next elements behind `cursor`, as many as fit `keys` and `values`, and returns how many.
    ///
    /// `keys` takes a multiple of [`key_size`](Self::key_size) bytes and `values` as many times
    /// [`value_len`](Self::value_len). The walk is over when [`BatchCursor::is_done`] says so; the last call may have
    /// brought elements as well. Since Linux 5.6.
    ///
    /// # Errors
    ///
    /// ENOSPC where a bucket of a hash table has more elements than fit: come again with larger buffers.
    #[doc(alias = "BPF_MAP_LOOKUP_BATCH")]
    pub fn lookup_batch(
        &self,
        cursor: &mut BatchCursor,
        keys: &mut [u8],
        values: &mut [u8],
        flags: UpdateFlags,
    ) -> Result<usize> {
        self.batch_out(Cmd::MAP_LOOKUP_BATCH, "bpf(BPF_MAP_LOOKUP_BATCH)", cursor, keys, values, flags)
    }

    /// [`lookup_batch`](Self::lookup_batch), and deletes what it reads. Hash tables only. Since Linux 5.6.
    #[doc(alias = "BPF_MAP_LOOKUP_AND_DELETE_BATCH")]
    pub fn lookup_and_delete_batch(
        &self,
        cursor: &mut BatchCursor,
        keys: &mut [u8],
        values: &mut [u8],
        flags: UpdateFlags,
    ) -> Result<usize> {
        self.batch_out(
            Cmd::MAP_LOOKUP_AND_DELETE_BATCH,
            "bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH)",
            cursor,
            keys,
            values,
            flags,
        )
    }

    /// Writes as many elements as `keys` and `values` hold. Since Linux 5.6.
    ///
    /// # Errors
    ///
    /// What the first element that could not be written was refused with, and how many were written before it.
    #[doc(alias = "BPF_MAP_UPDATE_BATCH")]
    pub fn update_batch(&self, keys: &[u8], values: &[u8], flags: UpdateFlags) -> Result<usize> {
        let count = self.batch_count(keys.len(), Some(values.len()), flags)?;
        let attr = MapBatch {
            keys: addr(keys),
            values: addr(values),
            elem_flags: flags.bits(),
            ..MapBatch::default()
        };
        self.batch_in(Cmd::MAP_UPDATE_BATCH, "bpf(BPF_MAP_UPDATE_BATCH)", count, attr)
    }

    /// Deletes as many elements as `keys` holds. Since Linux 5.6.
    ///
    /// # Errors
    ///
    /// ENOENT at the first key that is not there, and how many were deleted before it.
    #[doc(alias = "BPF_MAP_DELETE_BATCH")]
    pub fn delete_batch(&self, keys: &[u8]) -> Result<usize> {
        let count = self.batch_count(keys.len(), None, UpdateFlags::ANY)?;
        let attr = MapBatch { keys: addr(keys), ..MapBatch::default() };
        self.batch_in(Cmd::MAP_DELETE_BATCH, "bpf(BPF_MAP_DELETE_BATCH)", count, attr)
    }

    /// How many elements the buffers stand for.
    fn batch_count(&self, keys: usize, values: Option<usize>, flags: UpdateFlags) -> Result<u32> {
        let key = self.key_size();
        if key == 0 {
            return Err(Error::invalid(format!("a {} map has no keys and so no batches", self.map_type())));
        }
        let count = keys / key;
        let value = self.value_len_for(flags);
        let fits =
            keys.is_multiple_of(key) && values.is_none_or(|values| Some(values) == count.checked_mul(value));
        if !fits {
            return Err(Error::invalid(format!(
                "a batch of a {} map takes n times {key} bytes of keys and n times {value} bytes of values, \
                 but the buffers have {keys} and {}",
                self.map_type(),
                values.unwrap_or(0),
            )));
        }
        u32::try_from(count).map_err(|_| Error::invalid("a batch holds at most 4294967295 elements"))
    }

    fn batch_out(
        &self,
        cmd: u32,
        call: &'static str,
        cursor: &mut BatchCursor,
        keys: &mut [u8],
        values: &mut [u8],
        flags: UpdateFlags,
    ) -> Result<usize> {
        let count = self.batch_count(keys.len(), Some(values.len()), flags)?;
        if cursor.done || count == 0 {
            return Ok(0);
        }
        // A token is a 32-bit number for arrays and hash tables and a key for the rest.
        cursor.token.resize(self.key_size().max(8), 0);
        let mut out = vec![0; cursor.token.len()];
        let mut attr = MapBatch {
            in_batch: if cursor.started { addr(&cursor.token) } else { 0 },
            out_batch: addr_mut(&mut out),
            keys: addr_mut(keys),
            values: addr_mut(values),
            count,
            map_fd: fd_field(self.as_fd()),
            elem_flags: flags.bits(),
            flags: 0,
        };
        // SAFETY: the kernel writes at most `count` keys and values, which is what the buffers hold, and a token of at
        // most a key's or eight bytes.
        let answer = unsafe { syscall::bpf(cmd, &mut attr) };
        // A kernel that knows no better could answer with more than was asked for.
        let got = attr.count.min(count) as usize;
        match answer {
            Ok(_) => {
                cursor.started = true;
                cursor.token = out;
                Ok(got)
            }
            Err(Errno::ENOENT) => {
                cursor.done = true;
                Ok(got)
            }
            Err(errno) => Err(self.batch_error(call, errno, None)),
        }
    }

    fn batch_in(&self, cmd: u32, call: &'static str, count: u32, mut attr: MapBatch) -> Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        attr.count = count;
        attr.map_fd = fd_field(self.as_fd());
        // SAFETY: the kernel reads at most `count` keys and values, which is what the buffers hold.
        match unsafe { syscall::bpf(cmd, &mut attr) } {
            Ok(_) => Ok(attr.count.min(count) as usize),
            Err(errno) => Err(self.batch_error(call, errno, Some((attr.count.min(count), count)))),
        }
    }

    fn batch_error(&self, call: &'static str, errno: Errno, done: Option<(u32, u32)>) -> Error {
        let map_type = self.map_type();
        if errno == Errno::ENOTSUPP || errno == Errno::EOPNOTSUPP {
            return Error::Unsupported {
                feature: "this batch command for this type of map",
                since: "5.6 for arrays and hash tables",
                how: format!("{call} on a {map_type} map said {errno}; go one by one instead"),
            };
        }
        let mut context = format!("a batch on a {map_type} map");
        if let Some((done, count)) = done
            && errno != Errno::EINVAL
        {
            context += &format!(", {done} of {count} elements done");
        }
        match errno {
            Errno::ENOSPC => context += "; a bucket has more elements than the buffers take: use larger ones",
            Errno::EINVAL => context += "; before Linux 5.6 there are no batches: go one by one instead",
            _ => {}
        }
        Error::sys(call, context, errno)
    }
}
