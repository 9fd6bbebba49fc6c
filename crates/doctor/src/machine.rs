//! What the machine must have: IPv6, and the right time.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aquatic_service::interfaces;
use aquatic_service::sockets::{Transport, has_ipv6};

use crate::command;
use crate::finding::Finding;
use crate::subject::Subject;

/// The seconds of a year of the Gregorian calendar, on average.
const YEAR_SECONDS: u64 = 31_556_952;

/// After this year, the clock is wrong, or this program too old.
const LAST_YEAR: u64 = 2100;

/// Where this machine reaches a socket of its own that is bound to `address`.
pub(crate) fn local(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Checks whether clients can connect over IPv6.
pub(crate) fn examine_ipv6(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let served = &configured.listening.addresses;
    if served.iter().all(|address| address.ip().is_loopback()) {
        let text = match configured.listening.transport {
            Transport::Udp { .. } => "only this machine can reach its loopback addresses",
            Transport::Tcp { .. } => {
                "the tracker listens on loopback addresses only, so this depends on the proxy"
            }
        };
        return vec![Finding::unchecked(text)];
    }
    let own = interfaces::addresses();
    let public: Vec<_> = own.into_iter().filter_map(public_ipv6).collect();
    let is_served = served.iter().any(|address| address.is_ipv6());
    vec![judge_ipv6(is_served, has_ipv6(), &public)]
}

/// An address that all of the Internet can reach: 2000::/3 (RFC 4291, 2.4).
pub(crate) fn public_ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) if address.segments()[0] & 0xe000 == 0x2000 => Some(address),
        _ => None,
    }
}

fn judge_ipv6(is_served: bool, has_ipv6: bool, public: &[Ipv6Addr]) -> Finding {
    match (is_served, public.first()) {
        (true, Some(address)) => Finding::ok(format!("served, and the machine has {address}")),
        (true, None) if has_ipv6 => Finding::warning(
            "network.address has an IPv6 address, but no interface has a public one, so only \
             clients of this network are served over IPv6",
            "ask your provider for IPv6; or remove the IPv6 address from network.address to be \
             rid of this warning",
        ),
        (true, None) => Finding::warning(
            "network.address has an IPv6 address, but this machine has no IPv6, so clients are \
             served over IPv4 only",
            "enable it (sysctl -w net.ipv6.conf.all.disable_ipv6=0, and the kernel's parameter \
             ipv6.disable); or remove the IPv6 address from network.address",
        ),
        (false, Some(address)) => Finding::warning(
            format!("the machine has {address}, but the tracker is not served over IPv6"),
            "add an address such as \"[::]:PORT\" to network.address",
        ),
        (false, None) => Finding::ok("neither configured nor available"),
    }
}

/// Checks the clock.
pub(crate) fn examine_time(subject: &Subject) -> Vec<Finding> {
    if subject.is_elsewhere {
        return Vec::new();
    }
    // The program was not installed in the future.
    let installed = fs::metadata("/proc/self/exe")
        .and_then(|it| it.modified())
        .ok();
    let synchronized = match command::run(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    ) {
        Ok(output) if output.is_success => match output.stdout.trim() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err("timedatectl does not say".to_owned()),
        },
        Ok(output) => Err(format!("timedatectl: {}", output.complaint())),
        Err(failure) => Err(failure.text("timedatectl")),
    };
    vec![judge_time(SystemTime::now(), installed, synchronized)]
}

fn judge_time(
    now: SystemTime,
    installed: Option<SystemTime>,
    synchronized: Result<bool, String>,
) -> Finding {
    const ADVICE: &str = "let the clock be synchronized: timedatectl set-ntp true, or install \
                          systemd-timesyncd or chrony";
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let year = 1970 + since_epoch.as_secs() / YEAR_SECONDS;
    if installed.is_some_and(|installed| now < installed) {
        return Finding::wrong(
            format!("the clock says {year}, and is earlier than the file of this program"),
            ADVICE,
        );
    }
    if year > LAST_YEAR {
        return Finding::wrong(format!("the clock says {year}"), ADVICE);
    }
    match synchronized {
        Ok(true) => Finding::ok("the clock is synchronized"),
        Ok(false) => Finding::warning("the clock is not synchronized", ADVICE),
        Err(reason) => Finding::unchecked(format!(
            "the clock says {year}; whether it is synchronized is not known: {reason}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    #[test]
    fn sockets_at_all_addresses_are_reached_at_loopback() {
        for (bound, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(local(bound.parse().unwrap()), reached.parse().unwrap());
        }
    }

    #[test]
    fn ipv6_is_judged() {
        let public: Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(public_ipv6(public.into()), Some(public));
        for other in ["fe80::1", "::1", "fd00::1", "192.0.2.1"] {
            assert_eq!(public_ipv6(other.parse().unwrap()), None);
        }
        for (is_served, has_ipv6, public, state) in [
            (true, true, &[public][..], State::Ok),
            (true, true, &[], State::Warning),
            (true, false, &[], State::Warning),
            (false, true, &[public], State::Warning),
            (false, false, &[], State::Ok),
        ] {
            assert_eq!(judge_ipv6(is_served, has_ipv6, public).state, state);
        }
        let none = judge_ipv6(true, false, &[]);
        assert!(
            none.what.contains("this machine has no IPv6"),
            "{}",
            none.what
        );
    }

    #[test]
    fn clocks_are_judged() {
        let at = |years: u64| UNIX_EPOCH + Duration::from_secs(years * YEAR_SECONDS);
        let state = |now, synchronized| judge_time(now, Some(at(56)), synchronized).state;
        assert_eq!(state(at(57), Ok(true)), State::Ok);
        assert_eq!(state(at(57), Ok(false)), State::Warning);
        assert_eq!(state(at(57), Err("no".to_owned())), State::Unchecked);
        assert_eq!(state(at(55), Ok(true)), State::Wrong);
        assert_eq!(state(at(0), Ok(true)), State::Wrong);
        assert_eq!(state(at(200), Ok(true)), State::Wrong);
    }
}
