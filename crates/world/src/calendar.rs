//! The world's own time, counted from Unix time by the content's hour: 24 hours a day, 30 days a season, four
//! seasons a year.

use tidings_protocol::Text;

use crate::content::Content;
use crate::input::Millis;
use crate::text::{t, t1};

/// Where the content does not say how long an hour is: a day of the world in a real hour.
const HOUR_SECONDS: u32 = 150;
const HOURS_A_DAY: i64 = 24;
const DAYS_A_SEASON: i64 = 30;
const SEASONS: [&str; 4] = ["time.spring", "time.summer", "time.autumn", "time.winter"];

/// How long an hour of the world lasts.
pub(crate) fn hour_ms(content: &Content) -> Millis {
    let seconds = content.world.as_ref().map_or(HOUR_SECONDS, |world| world.hour_seconds);
    Millis::from(seconds.max(1)) * 1_000
}

/// How many hours of the world have passed.
pub(crate) fn hour(now: Millis, hour_ms: Millis) -> i64 {
    now.div_euclid(hour_ms)
}

/// The hour of the day, 0 to 23.
pub(crate) fn of_day(hour: i64) -> i64 {
    hour.rem_euclid(HOURS_A_DAY)
}

/// The time as it is told.
pub(crate) fn told(now: Millis, hour_ms: Millis) -> Text {
    let hour = hour(now, hour_ms);
    let minute = now.rem_euclid(hour_ms) * 60 / hour_ms;
    let day = hour.div_euclid(HOURS_A_DAY);
    let season = day.div_euclid(DAYS_A_SEASON);
    let name = usize::try_from(season.rem_euclid(4)).ok().and_then(|n| SEASONS.get(n)).copied();
    t1("time.now", "hour", of_day(hour).to_string())
        .with("minute", format!("{minute:02}"))
        .with("day", (day.rem_euclid(DAYS_A_SEASON) + 1).to_string())
        .with("season", t(name.unwrap_or(SEASONS[0])))
        .with("year", (season.div_euclid(4) + 1).to_string())
        .with("part", t(part(of_day(hour))))
}

fn part(hour: i64) -> &'static str {
    match hour {
        5 | 6 => "time.dawn",
        7..=11 => "time.morning",
        12 | 13 => "time.noon",
        14..=17 => "time.afternoon",
        18..=21 => "time.evening",
        _ => "time.night",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_protocol::Catalogue;

    #[test]
    fn time_is_told_by_the_worlds_own_hours() {
        let catalogue = Catalogue::builtin();
        for (now, expected) in [
            (0, "It is 0:00 on day 1 of the spring, year 1. It is night."),
            (60_000 * 6 + 30_000, "It is 6:30 on day 1 of the spring, year 1. Dawn breaks."),
            (60_000 * 24 * 31, "It is 0:00 on day 2 of the summer, year 1. It is night."),
            (60_000 * (24 * 120 + 12), "It is 12:00 on day 1 of the spring, year 2. It is midday."),
        ] {
            assert_eq!(catalogue.render(&told(now, 60_000), "en"), expected);
        }
    }
}
