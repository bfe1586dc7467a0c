//! Times as people type and read them.

use anyhow::{Context, Result};
use serde_json::Value;
use tidings_world_service::clock::wall_clock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix milliseconds of `90s`, `15m`, `24h` or `7d` ago, or of a time as in `2026-11-20T10:00:00Z`.
pub fn parse(text: &str) -> Result<i64> {
    let ago = || {
        let unit = match text.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let count: i64 = text[..text.len() - 1].parse().ok().filter(|count| *count >= 0)?;
        wall_clock()().checked_sub(count.checked_mul(unit * 1_000)?)
    };
    let time = || {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
    };
    ago().or_else(time).with_context(|| {
        format!("'{text}' is no time: 90s, 15m, 24h or 7d ago, or as in 2026-11-20T10:00:00Z")
    })
}

/// A time in Unix milliseconds as it is read.
pub fn shown(ms: &Value) -> String {
    let seconds = ms.as_i64().unwrap_or_default() / 1_000;
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
    format!("{date} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse("1970-01-01T00:00:02.5+00:00").expect("a time"), 2_500);
        assert_eq!(shown(&Value::from(2_500)), "1970-01-01 00:00:02 UTC");
        let (before, hour_ago, after) = (wall_clock()(), parse("1h").expect("an hour"), wall_clock()());
        assert!((before..=after).contains(&(hour_ago + 3_600_000)), "{hour_ago}");
        for text in ["", "h", "-1h", "1w", "é", "1é", "yesterday", "99999999999999999d", "2026-11-20"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
