//! When keys expire: dates and times in UTC.

use std::fmt;
use std::str::FromStr;

/// When a key expires, in seconds since 1970. From this second on, it is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u32);

/// Why a text is not a date of expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseExpiryError {
    /// It is neither a date nor a date and time.
    #[error("expected a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z")]
    Form,
    /// There is no such day, hour, minute or second.
    #[error("there is no such {0}")]
    NoSuch(&'static str),
    /// It is outside of what can be stored.
    #[error("expected a time from 1970 to 2106")]
    Range,
}

const SECONDS_PER_DAY: i64 = 86_400;

impl Expiry {
    /// Expires at this second since 1970.
    #[must_use]
    pub const fn at(epoch_seconds: u32) -> Self {
        Self(epoch_seconds)
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn epoch_seconds(self) -> u32 {
        self.0
    }

    /// Whether it has passed at this second since 1970.
    #[must_use]
    pub const fn has_passed(self, epoch_seconds: u32) -> bool {
        epoch_seconds >= self.0
    }
}

impl FromStr for Expiry {
    type Err = ParseExpiryError;

    /// Parses a day (`2027-01-31`), which means its first second in UTC, or a time as in
    /// RFC 3339 (`2027-01-31T12:00:00Z`, `2027-01-31T12:00:00+01:00`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (date, time) = match text.split_once(['T', 't']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let seconds = day(date)? * SECONDS_PER_DAY + time.map_or(Ok(0), time_of_day)?;
        u32::try_from(seconds)
            .map(Self)
            .map_err(|_| ParseExpiryError::Range)
    }
}

impl fmt::Display for Expiry {
    /// As short as possible: a day, or a time in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::from(self.0);
        let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        let rest = seconds % SECONDS_PER_DAY;
        if rest == 0 {
            return Ok(());
        }
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        write!(f, "T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days from 1970-01-01 to `YYYY-MM-DD`.
fn day(text: &str) -> Result<i64, ParseExpiryError> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    if !(1..=12).contains(&month) {
        return Err(ParseExpiryError::NoSuch("month"));
    }
    if !(1..=days_of(year, month)).contains(&day) {
        return Err(ParseExpiryError::NoSuch("day"));
    }
    Ok(days_since_1970(year, month, day))
}

/// Seconds of `HH:MM:SS`, with a fraction, which is ignored, and an offset from UTC.
fn time_of_day(text: &str) -> Result<i64, ParseExpiryError> {
    let (time, zone) = text.split_at_checked(8).ok_or(ParseExpiryError::Form)?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    for (value, most, what) in [
        (hour, 23, "hour"),
        (minute, 59, "minute"),
        (second, 60, "second"),
    ] {
        if value > most {
            return Err(ParseExpiryError::NoSuch(what));
        }
    }
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if zone.len() == fraction.len() {
                return Err(ParseExpiryError::Form);
            }
            zone
        }
        None => zone,
    };
    Ok(hour * 3_600 + minute * 60 + second - offset(zone)?)
}

/// Seconds by which a zone is ahead of UTC.
fn offset(zone: &str) -> Result<i64, ParseExpiryError> {
    let (sign, text) = match zone {
        "Z" | "z" => return Ok(0),
        zone => match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
            (Some(text), _) => (1, text),
            (_, Some(text)) => (-1, text),
            _ => return Err(ParseExpiryError::Form),
        },
    };
    let [hours, minutes] = numbers(text, ':', [2, 2])?;
    if hours > 23 || minutes > 59 {
        return Err(ParseExpiryError::NoSuch("offset"));
    }
    Ok(sign * (hours * 3_600 + minutes * 60))
}

/// Numbers of so many digits each, with a separator in between.
fn numbers<const N: usize>(
    text: &str,
    separator: char,
    digits: [usize; N],
) -> Result<[i64; N], ParseExpiryError> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().ok_or(ParseExpiryError::Form)?;
        // `parse` would accept a sign.
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseExpiryError::Form);
        }
        *number = part.parse().map_err(|_| ParseExpiryError::Form)?;
    }
    match parts.next() {
        None => Ok(numbers),
        Some(_) => Err(ParseExpiryError::Form),
    }
}

fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, in years that begin in March,
/// so that the day that leap years add is the last one of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 0000-03-01 is 719,468 days before 1970-01-01.
    year * 365 + leap_days + day_of_year - 719_468
}

/// The year, month and day that are so many days after 1970-01-01, at most some hundred
/// years.
fn civil(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days / 366;
    while days >= days_since_1970(year + 1, 1, 1) {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= days_since_1970(year, month + 1, 1) {
        month += 1;
    }
    (year, month, days - days_since_1970(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> u32 {
        text.parse::<Expiry>().unwrap().epoch_seconds()
    }

    #[test]
    fn days_and_times() {
        // As printed by `date -u -d TEXT +%s`.
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2027-01-31", 1_801_353_600),
            ("2100-03-01", 4_107_542_400),
            ("2027-01-31T12:00:00Z", 1_801_396_800),
            ("2027-01-31t12:00:00.123z", 1_801_396_800),
            ("2027-01-31T12:00:00+01:30", 1_801_391_400),
            ("2027-01-31T23:30:00-01:00", 1_801_441_800),
            ("2106-02-07T06:28:15Z", u32::MAX),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        let error = |text: &str| text.parse::<Expiry>().unwrap_err().to_string();
        for text in [
            "",
            "2027",
            "2027-1-31",
            "2027-01-31-",
            "+027-01-31",
            "2027-01-31T",
            "31.01.2027",
            "2027-01-31T12:00",
            "2027-01-31T12:00:00",
            "2027-01-31T12:00:00.Z",
            "2027-01-31T12:00:00+1",
            "2027-01-31T12:00:00Zx",
            "2027-01-31T12:00:é0Z",
        ] {
            assert!(error(text).starts_with("expected a date such as"), "{text}");
        }
        for (text, what) in [
            ("2027-13-01", "month"),
            ("2027-00-01", "month"),
            ("2027-02-29", "day"),
            ("2100-02-29", "day"),
            ("2027-04-31", "day"),
            ("2027-01-00", "day"),
            ("2027-01-31T24:00:00Z", "hour"),
            ("2027-01-31T12:60:00Z", "minute"),
            ("2027-01-31T12:00:61Z", "second"),
            ("2027-01-31T12:00:00+24:00", "offset"),
        ] {
            assert_eq!(error(text), format!("there is no such {what}"), "{text}");
        }
        for text in [
            "1969-12-31",
            "2106-02-07T06:28:16Z",
            "9999-12-31",
            "0000-01-01",
        ] {
            assert!(error(text).contains("from 1970 to 2106"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_time_comes_back(seconds: u32) {
            let expiry = Expiry::at(seconds);
            prop_assert_eq!(expiry.to_string().parse(), Ok(expiry));
        }

        #[test]
        fn any_text_ends(text: String) {
            let _ = text.parse::<Expiry>();
        }
    }
}
