//! The current boot of the machine, and the time since then.

use std::env;
use std::fs;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The kernel's boot id, which is random.
pub(super) type BootId = [u8; 16];

/// Contains the boot id in units that hide the kernel's: `%b` of systemd.unit(5).
pub(crate) const VARIABLE: &str = "AQUATIC_BOOT_ID";

/// The kernel's boot id, see random(4).
const ID: &str = "/proc/sys/kernel/random/boot_id";

/// The offsets of the clocks in this process's time namespace, see time_namespaces(7).
const OFFSETS: &str = "/proc/self/timens_offsets";

/// The current boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boot {
    id: Option<BootId>,
    /// Offset of the time since boot in this time namespace, in seconds.
    ahead_seconds: i64,
}

static CURRENT: LazyLock<Boot> = LazyLock::new(|| {
    // Containers have the boot id of their machine, so without the offset, times since boot
    // cannot be compared.
    let ahead_seconds = ahead_seconds(fs::read_to_string(OFFSETS));
    let told = || {
        fs::read_to_string(ID)
            .ok()
            .or_else(|| env::var(VARIABLE).ok())
    };
    Boot {
        id: ahead_seconds.and_then(|_| parse_id(&told()?)),
        ahead_seconds: ahead_seconds.unwrap_or(0),
    }
});

/// The current boot. The first call reads files that are not accessible any more after a
/// chroot.
pub(crate) fn current() -> &'static Boot {
    &CURRENT
}

impl Boot {
    pub(super) fn id(&self) -> Option<BootId> {
        self.id
    }

    /// Seconds since the boot, without the offset of the time namespace.
    pub(super) fn seconds(&self) -> u64 {
        self.milliseconds() / 1000
    }

    /// Milliseconds since the boot, without the offset of the time namespace.
    pub(super) fn milliseconds(&self) -> u64 {
        let seen = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        // This cannot fail: Linux has had this clock since 2.6.39.
        let seen = seen.map_or(0, |time| time.as_millis() as u64);
        let ahead = self.ahead_seconds.saturating_mul(1000);
        seen.saturating_add_signed(ahead.saturating_neg())
    }
}

/// Parses a UUID with or without the dashes of RFC 9562.
fn parse_id(text: &str) -> Option<BootId> {
    let digits: String = text.trim().chars().filter(|&digit| digit != '-').collect();
    let is_number = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok();
    number
        .filter(|&number| is_number && number != 0)
        .map(u128::to_be_bytes)
}

/// Parses one line per clock, with its name, seconds and nanoseconds. The file does not
/// exist in kernels without time namespaces.
fn ahead_seconds(offsets: io::Result<String>) -> Option<i64> {
    match offsets {
        Ok(text) => text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            // Kernels before 5.7 have numbers instead of names.
            let is_boot_time = matches!(words.next()?, "boottime" | "7");
            let seconds = words.next()?.parse().ok()?;
            is_boot_time.then_some(seconds)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_and_systemd_write_them() {
        let expected = Some(0x60e4_7df5_2d4f_4a0d_9b7e_1c2d_3e4f_5a6b_u128.to_be_bytes());
        for text in [
            "60e47df5-2d4f-4a0d-9b7e-1c2d3e4f5a6b\n",
            "60e47df52d4f4a0d9b7e1c2d3e4f5a6b",
        ] {
            assert_eq!(parse_id(text), expected);
        }
        for text in [
            "",
            "%b",
            "60e47df5",
            "+0e47df52d4f4a0d9b7e1c2d3e4f5a6b",
            &"0".repeat(32),
        ] {
            assert_eq!(parse_id(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_are_those_of_the_time_since_boot() {
        let of = |text: &str| ahead_seconds(Ok(text.to_owned()));
        assert_eq!(
            of("monotonic    86400   1\nboottime     -600   5\n"),
            Some(-600)
        );
        assert_eq!(of("1 0 0\n7 604800 0\n"), Some(604_800));
        assert_eq!(of("monotonic 0 0\n"), None);
        let fails = |kind: io::ErrorKind| ahead_seconds(Err(kind.into()));
        assert_eq!(fails(io::ErrorKind::NotFound), Some(0));
        assert_eq!(fails(io::ErrorKind::PermissionDenied), None);
    }
}
