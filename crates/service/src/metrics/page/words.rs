//! Numbers, durations and dates as people read them.

use std::time::Duration;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Whatever is counted.
    Count,
    /// Events per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// What is added to the title of a plot; nothing if it is part of every number.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::Count | Self::Bytes | Self::Seconds => "",
        }
    }

    /// A number of this unit: `1,234`, `0.5`, `12.3 MiB`, `20 ms`.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Count => count(value),
            Self::PerSecond => decimal(value),
            _ if value == 0.0 => "0".to_owned(),
            Self::Bytes => {
                let (scale, name) = bytes_scale(value);
                format!("{} {name}", decimal(value / scale))
            }
            Self::Seconds if value < 1.0 => format!("{} ms", decimal(value * 1e3)),
            Self::Seconds => format!("{} s", decimal(value)),
        }
    }

    /// The lowest round number that is not less than `value`, for the top of a plot, so that
    /// its half is a round number as well.
    pub(super) fn round_up(self, value: f64) -> f64 {
        // Any number will do for a line at the bottom.
        let value = if value == 0.0 { 1.0 } else { value };
        let scale = match self {
            Self::Bytes => bytes_scale(value).0,
            _ => 1.0,
        };
        let scaled = value / scale;
        let least = if self == Self::Count { 2.0 } else { 0.001 };
        let mut power = 10_f64.powf(scaled.max(least).log10().floor());
        for _ in 0..2 {
            for step in [1.0, 2.0, 4.0, 6.0, 8.0] {
                let top = step * power;
                if top >= scaled && top >= least && (self != Self::Count || top % 2.0 == 0.0) {
                    return top * scale;
                }
            }
            power *= 10.0;
        }
        scaled * scale
    }
}

/// An integer with its thousands apart; from ten million on, of three digits.
fn count(value: f64) -> String {
    if value >= 1e7 {
        let (scale, name) = match value {
            1e9.. => (1e9, "billion"),
            _ => (1e6, "million"),
        };
        return format!("{} {name}", decimal(value / scale));
    }
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with decimals as far as they matter, without zeros at the end.
fn decimal(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => return count(value),
        10.0.. => 1,
        0.1.. => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bytes_scale(value: f64) -> (f64, &'static str) {
    const NAMES: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut scale = 1.0;
    for name in NAMES {
        if value < scale * 1024.0 {
            return (scale, name);
        }
        scale *= 1024.0;
    }
    (scale / 1024.0, NAMES[NAMES.len() - 1])
}

/// A duration, rounded down: `5 seconds`, `47 hours`, `3 days`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / DAY, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", count(number as f64))
}

/// The time between two points in time, both in seconds since 1970: `3 minutes ago`,
/// `in 12 days`.
pub(super) fn relative(then: u64, now: u64) -> String {
    let between = |from: u64, to: u64| duration(Duration::from_secs(to - from));
    if then > now {
        format!("in {}", between(now, then))
    } else {
        format!("{} ago", between(then, now))
    }
}

/// A point in time in UTC, from seconds since 1970: `2026-11-30 06:38:22`.
pub(super) fn date(seconds: u64) -> String {
    let days = seconds / DAY;
    let (year, month, day) = civil(days);
    let time = seconds % DAY;
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day from days since 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from the 1st of March of the year 0, so that a leap day is the last of a year.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year_of_era + era * 400 + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (unit, value, expected) in [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 999.0, "999"),
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Count, 12_345_678.0, "12.3 million"),
            (Unit::Count, 2e9, "2 billion"),
            (Unit::PerSecond, 0.0, "0"),
            (Unit::PerSecond, 0.25, "0.25"),
            (Unit::PerSecond, 12.34, "12.3"),
            (Unit::PerSecond, 1_234.5, "1,234"),
            (Unit::Bytes, 512.0, "512 bytes"),
            (Unit::Bytes, 1_572_864.0, "1.5 MiB"),
            (Unit::Bytes, 1e18, "909,495 TiB"),
            (Unit::Seconds, 0.0, "0"),
            (Unit::Seconds, 0.02, "20 ms"),
            (Unit::Seconds, 3.0, "3 s"),
        ] {
            assert_eq!(unit.show(value), expected, "{unit:?} {value}");
        }
    }

    #[test]
    fn plots_end_at_a_round_number() {
        for (unit, value, expected) in [
            (Unit::Count, 0.0, 2.0),
            (Unit::Count, 3.0, 4.0),
            (Unit::Count, 4.0, 4.0),
            (Unit::Count, 81.0, 100.0),
            (Unit::Count, 1_000_001.0, 2_000_000.0),
            (Unit::PerSecond, 0.0, 1.0),
            (Unit::PerSecond, 0.3, 0.4),
            (Unit::PerSecond, 9.0, 10.0),
            (Unit::Bytes, 1_572_864.0, 2_097_152.0),
            (Unit::Seconds, 0.05, 0.06),
        ] {
            let top = unit.round_up(value);
            assert!(
                (top / expected - 1.0).abs() < 1e-9,
                "{unit:?} {value}: {top}"
            );
        }
        for unit in [Unit::Count, Unit::PerSecond, Unit::Bytes, Unit::Seconds] {
            for exponent in 0..200 {
                let value = 1.3_f64.powi(exponent);
                let top = unit.round_up(value);
                assert!(
                    top >= value && top <= 2.1 * value.max(1.0),
                    "{unit:?} {value}: {top}"
                );
            }
        }
    }

    #[test]
    fn durations_are_rounded() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (90 * DAY, "90 days"),
            (5_000 * DAY, "5,000 days"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(relative(100, 130), "30 seconds ago");
        assert_eq!(relative(30 * DAY, 10 * DAY), "in 20 days");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_799, "2000-02-29 23:59:59"),
            (1_796_020_702, "2026-11-30 06:38:22"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(date(seconds), expected);
        }
        let mut last = String::new();
        for day in 0..60_000 {
            let next = date(day * DAY);
            assert!(next > last, "{last} {next}");
            last = next;
        }
    }
}
