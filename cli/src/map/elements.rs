//! Going through all elements of a map: with batches where the kernel has them for the type, key by key where not.

use anyhow::{Context, Result, bail};
use bpf_sys::Errno;
use bpf_sys::map::{BatchCursor, Map, MapType, UpdateFlags};

/// Bytes of keys and values that are asked for at once.
const BATCH: usize = 256 * 1024;

/// Calls `each` with the key and the value of every element and answers with their number.
///
/// What programs add or delete meanwhile may be missed.
pub fn for_each(map: &Map, mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<u64> {
    match map.map_type() {
        t @ (MapType::Queue | MapType::Stack) => {
            bail!("a {t} has no keys to go through: `map peek` shows the element that would be taken next")
        }
        t @ (MapType::Ringbuf | MapType::UserRingbuf | MapType::BloomFilter | MapType::Arena) => {
            bail!("a {t} has no elements that could be listed")
        }
        _ => {}
    }
    let batches = !matches!(
        map.map_type(),
        // The kernel has no batches for these, or none that read them.
        MapType::ProgArray | MapType::PerfEventArray | MapType::CgroupArray | MapType::StackTrace
    );
    if batches && let Some(count) = by_batches(map, &mut each)? {
        return Ok(count);
    }
    by_keys(map, &mut each)
}

/// `None` where there are no batches for this map, and nothing was done.
fn by_batches(map: &Map, each: &mut impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<Option<u64>> {
    let (key_len, value_len) = (map.key_size(), map.value_len());
    if key_len == 0 || value_len == 0 {
        return Ok(None);
    }
    let mut room = (BATCH / (key_len + value_len)).clamp(64, (map.max_entries() as usize).max(64));
    let (mut keys, mut values) = (vec![0; room * key_len], vec![0; room * value_len]);
    let mut cursor = BatchCursor::new();
    let mut count = 0;
    while !cursor.is_done() {
        match map.lookup_batch(&mut cursor, &mut keys, &mut values, UpdateFlags::ANY) {
            Ok(got) => {
                for (key, value) in keys.chunks_exact(key_len).zip(values.chunks_exact(value_len)).take(got) {
                    each(key, value)?;
                }
                count += got as u64;
            }
            // A bucket that is larger than the buffers.
            Err(e) if e.is_errno(Errno::ENOSPC) && room < 1 << 24 => {
                room *= 4;
                keys.resize(room * key_len, 0);
                values.resize(room * value_len, 0);
            }
            Err(_) if count == 0 => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Some(count))
}

fn by_keys(map: &Map, each: &mut impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<u64> {
    let (mut key, mut next) = (vec![0; map.key_size()], vec![0; map.key_size()]);
    let mut value = vec![0; map.value_len()];
    let mut have = map.next_key(None, &mut key).context("this map cannot be listed")?;
    let mut count = 0;
    // A deletion of the key at hand throws the walk back to the start.
    let mut left = u64::from(map.max_entries()).saturating_mul(2).max(1 << 20);
    while have && left > 0 {
        match map.lookup(&key, &mut value) {
            Ok(true) => {
                count += 1;
                each(&key, &value)?;
            }
            Ok(false) => {}
            // Some types list keys but do not give values to user space.
            Err(e) if e.is_errno(Errno::ENOTSUPP) || e.is_errno(Errno::EOPNOTSUPP) => {
                return Err(anyhow::Error::from(e).context(format!(
                    "the kernel does not let user space read the values of a {}",
                    map.map_type()
                )));
            }
            Err(e) => return Err(e.into()),
        }
        have = map.next_key(Some(&key), &mut next)?;
        std::mem::swap(&mut key, &mut next);
        left -= 1;
    }
    Ok(count)
}
