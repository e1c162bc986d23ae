//! Dynamic PMUs: the numbers that the kernel hands out at boot, read from `/sys/bus/event_source/devices`.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::OnceLock;

use crate::{Error, Result};

const DEVICES: &str = "/sys/bus/event_source/devices";

/// The number of a dynamic PMU such as `kprobe`, `uprobe` or `msr`, or `None` where this kernel has no PMU of that name.
///
/// # Errors
///
/// [`Error::File`] where `/sys` cannot be read (is sysfs mounted?), [`Error::Unexpected`] where it does not hold a number.
pub fn pmu_type(name: &str) -> Result<Option<u32>> {
    match read(&format!("{name}/type"))? {
        None if !Path::new(DEVICES).exists() => Err(Error::Unexpected {
            place: DEVICES.into(),
            what: "the folder is missing: mount sysfs (mount -t sysfs sysfs /sys), or use a kernel with CONFIG_PERF_EVENTS"
                .into(),
        }),
        None => Ok(None),
        Some(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(unexpected(&format!("{name}/type"), &text, "a number")),
        },
    }
}

/// The bits of `config` (or of `config1`, ...) that a PMU's format file such as `retprobe` names, as
/// `(field, lowest bit, highest bit)`; `None` where the PMU has no such setting.
///
/// # Errors
///
/// As for [`pmu_type`].
pub fn pmu_format(pmu: &str, setting: &str) -> Result<Option<FormatBits>> {
    let path = format!("{pmu}/format/{setting}");
    match read(&path)? {
        None => Ok(None),
        Some(text) => match FormatBits::parse(&text) {
            Some(bits) => Ok(Some(bits)),
            None => Err(unexpected(&path, &text, "FIELD:BIT or FIELD:LOW-HIGH")),
        },
    }
}

/// Where in the attribute structure a PMU looks for one of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatBits {
    /// `config`, `config1`, ...
    pub field: String,
    /// The lowest bit.
    pub low: u32,
    /// The highest bit.
    pub high: u32,
}

impl FormatBits {
    fn parse(text: &str) -> Option<Self> {
        let (field, bits) = text.trim().split_once(':')?;
        let (low, high) = bits.split_once('-').unwrap_or((bits, bits));
        let (low, high) = (low.parse().ok()?, high.parse().ok()?);
        (low <= high && high < 64).then(|| FormatBits { field: field.into(), low, high })
    }

    /// `value`, moved to these bits; bits that do not fit are cut off.
    pub fn place(&self, value: u64) -> u64 {
        let width = self.high - self.low + 1;
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        (value & mask) << self.low
    }
}

/// What the kernel says about one of its two probe PMUs; asked once.
#[derive(Clone, Debug)]
pub(super) struct ProbePmu {
    pub number: u32,
    /// The bit of `config` that asks for the return instead of the entry.
    pub retprobe: u64,
    /// The bits of `config` that hold a reference counter's offset; uprobes have them since Linux 4.20.
    pub ref_ctr: Option<FormatBits>,
}

impl ProbePmu {
    pub fn kprobe() -> Result<&'static ProbePmu> {
        static KPROBE: OnceLock<ProbePmu> = OnceLock::new();
        Self::cached(
            &KPROBE,
            "kprobe",
            "perf kprobe events",
            "it has no PMU named `kprobe`: its configuration lacks CONFIG_KPROBE_EVENTS, or it is older; \
             use the kprobe_events file, tracepoints, or another kernel",
        )
    }

    pub fn uprobe() -> Result<&'static ProbePmu> {
        static UPROBE: OnceLock<ProbePmu> = OnceLock::new();
        Self::cached(
            &UPROBE,
            "uprobe",
            "perf uprobe events",
            "it has no PMU named `uprobe`: its configuration lacks CONFIG_UPROBE_EVENTS, or it is older; \
             use the uprobe_events file or another kernel",
        )
    }

    fn cached(
        cell: &'static OnceLock<ProbePmu>,
        name: &'static str,
        feature: &'static str,
        missing: &str,
    ) -> Result<&'static ProbePmu> {
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let Some(number) = pmu_type(name)? else {
            return Err(Error::Unsupported { feature, since: "4.17", how: missing.into() });
        };
        let retprobe = match pmu_format(name, "retprobe")? {
            Some(bits) if bits.field == "config" => bits.place(1),
            Some(bits) => {
                return Err(unexpected(
                    &format!("{name}/format/retprobe"),
                    &bits.field,
                    "the field `config`",
                ));
            }
            None => {
                return Err(Error::Unsupported {
                    feature,
                    since: "4.17",
                    how: format!("{DEVICES}/{name}/format/retprobe is missing"),
                });
            }
        };
        let ref_ctr = pmu_format(name, "ref_ctr_offset")?.filter(|bits| bits.field == "config");
        Ok(cell.get_or_init(|| ProbePmu { number, retprobe, ref_ctr }))
    }
}

fn read(path: &str) -> Result<Option<String>> {
    let path = Path::new(DEVICES).join(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { action: "read", path, source }),
    }
}

fn unexpected(path: &str, text: &str, wanted: &str) -> Error {
    Error::Unexpected {
        place: format!("{DEVICES}/{path}"),
        what: format!("`{}` where {wanted} was expected", text.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_files_are_read_as_bit_ranges() {
        let bits = FormatBits::parse("config:32-63\n").unwrap();
        assert_eq!((bits.field.as_str(), bits.low, bits.high), ("config", 32, 63));
        assert_eq!(bits.place(0x1_0000_1234), 0x1234 << 32);
        assert_eq!(FormatBits::parse("config:0").unwrap().place(3), 1);
        assert_eq!(FormatBits::parse("config:0-63").unwrap().place(u64::MAX), u64::MAX);
        for bad in ["", "config", "config:", "config:x", "config:3-1", "config:0-64", "config:-"] {
            assert_eq!(FormatBits::parse(bad), None, "{bad}");
        }
    }
}
