//! Warnings before a certificate expires, after which clients cannot connect any more.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;

use super::validity;

/// How long before its expiry to warn. Programs renew certificates when a third of their
/// lifetime is left, which is 30 days for most.
pub const NOTICE: Duration = Duration::from_hours(14 * 24);

/// Interval between warnings.
const PAUSE: Duration = Duration::from_hours(24);

/// The expiry time of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    epoch_seconds: u64,
}

impl Expiry {
    /// The expiry time of the server's own certificate; `None` if it cannot be parsed.
    #[must_use]
    pub fn of(certified: &CertifiedKey) -> Option<Self> {
        let epoch_seconds = validity::not_after(certified.cert.first()?)?;
        Some(Self { epoch_seconds })
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn epoch_seconds(self) -> u64 {
        self.epoch_seconds
    }

    /// The warning for the operator at this time, if any.
    #[must_use]
    pub fn warning(self, certificate: &Path, now: SystemTime) -> Option<String> {
        let path = certificate.display();
        let end = UNIX_EPOCH.checked_add(Duration::from_secs(self.epoch_seconds))?;
        match end.duration_since(now) {
            Ok(left) if left > NOTICE => None,
            Ok(left) => Some(format!(
                "the certificate in {path} expires in {}; clients will not be able to connect \
                 after that",
                Rough(left)
            )),
            Err(error) => Some(format!(
                "the certificate in {path} expired {} ago; clients cannot connect",
                Rough(error.duration())
            )),
        }
    }
}

/// A duration that is displayed in words, rounded.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.0.as_secs() / 3_600;
        let (count, unit) = match hours {
            0 => return formatter.write_str("less than an hour"),
            1..48 => (hours, "hour"),
            _ => (hours / 24, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(formatter, "{count} {unit}{plural}")
    }
}

/// When to check the certificate again.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Seconds since 1970.
    next: AtomicU64,
}

impl Watch {
    /// Checks a new certificate.
    pub(super) fn begin(&self, certificate: &Path, expiry: Option<Expiry>) {
        self.next.store(0, Relaxed);
        self.check(certificate, SystemTime::now(), || expiry);
    }

    /// Checks the certificate if that is due.
    pub(super) fn go_on(&self, certificate: &Path, expiry: impl FnOnce() -> Option<Expiry>) {
        self.check(certificate, SystemTime::now(), expiry);
    }

    fn check(
        &self,
        certificate: &Path,
        now: SystemTime,
        expiry: impl FnOnce() -> Option<Expiry>,
    ) -> Option<String> {
        let seconds = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let next = self.next.load(Relaxed);
        // If the clock was set back, the check is not postponed.
        let latest = seconds.saturating_add(PAUSE.as_secs());
        if next > seconds && next <= latest {
            return None;
        }
        let expiry = expiry()?;
        // The first warning is due exactly when the period begins, not up to a day later.
        let notice = expiry.epoch_seconds.saturating_sub(NOTICE.as_secs());
        let next = if notice > seconds {
            notice.min(latest)
        } else {
            latest
        };
        self.next.store(next, Relaxed);
        let warning = expiry.warning(certificate, now)?;
        log::warn!("{warning}");
        Some(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const END: Expiry = Expiry {
        epoch_seconds: 1_000 * DAY,
    };

    fn at(days: u64, seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(days * DAY + seconds)
    }

    #[test]
    fn the_last_days_and_the_time_after_are_warned_of() {
        let path = Path::new("cert.pem");
        let warning = |now| END.warning(path, now);
        assert_eq!(warning(at(985, 0)), None);
        assert_eq!(warning(at(985, DAY - 1)), None);
        for (now, expected) in [
            (at(986, 0), "expires in 14 days"),
            (at(998, 1), "expires in 47 hours"),
            (at(999, 0), "expires in 24 hours"),
            (at(999, DAY - 3_600), "expires in 1 hour;"),
            (at(999, DAY - 1), "expires in less than an hour"),
            (at(1_000, 1), "expired less than an hour ago"),
            (at(1_003, 0), "expired 3 days ago"),
        ] {
            let text = warning(now).unwrap();
            assert!(text.contains(expected), "{text}");
            assert!(text.starts_with("the certificate in cert.pem "), "{text}");
        }
    }

    #[test]
    fn it_is_said_once_a_day() {
        let watch = Watch::default();
        let check = |now| watch.check(Path::new("c"), now, || Some(END)).is_some();
        assert!(!check(at(900, 0)));
        assert!(!check(at(985, DAY - 1)));
        // The first warning comes when its period begins, not a day after the last check.
        assert!(check(at(986, 0)));
        assert!(!check(at(986, 1)));
        assert!(!check(at(986, DAY - 1)));
        assert!(check(at(987, 0)));
        assert!(check(at(1_001, 0)));
        // The clock was wrong, and is set back.
        assert!(check(at(990, 0)));
        assert!(!check(at(990, 1)));
    }
}
