//! The two ways in which the tools write the time.

use crate::output::Moment;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The moment of a block that covers the time since `last`, in a run that began at `start`.
pub fn moment(start: Instant, last: Instant, now: Instant) -> Moment {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Moment {
        local: local(wall.as_secs()),
        utc: utc(wall),
        elapsed_us: now.duration_since(start).as_micros() as u64,
        interval_us: now.duration_since(last).as_micros() as u64,
    }
}

fn local(unix: u64) -> String {
    match bpf_sys::host::local_time(unix as i64) {
        Some(t) => format!("{:02}:{:02}:{:02}", t.hour, t.minute, t.second),
        None => utc(Duration::from_secs(unix))[11..19].to_string(),
    }
}

/// `2026-11-21T05:07:43+0000`, in UTC.
pub fn iso_seconds(unix: u64) -> String {
    format!("{}+0000", &utc(Duration::from_secs(unix))[..19])
}

/// RFC 3339 with milliseconds. The date is the proleptic Gregorian one: years are counted from March, so that
/// the leap day is a year's last.
fn utc(wall: Duration) -> String {
    let (days, secs) = (wall.as_secs() / 86_400, wall.as_secs() % 86_400);
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = era * 400 + yoe + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        secs / 3600,
        secs / 60 % 60,
        secs % 60,
        wall.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |secs, ms, expected| {
            assert_eq!(utc(Duration::from_secs(secs) + Duration::from_millis(ms)), expected);
        };
        check(0, 0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, 7, "2000-02-29T00:00:00.007Z");
        check(1_709_251_199, 999, "2024-02-29T23:59:59.999Z");
        check(4_107_542_400, 0, "2100-03-01T00:00:00.000Z");
        assert_eq!(iso_seconds(1_795_237_663), "2026-11-21T05:07:43+0000");
    }

    #[test]
    fn time_of_day_has_eight_characters() {
        assert_eq!(local(1_763_688_896).len(), 8);
    }
}
