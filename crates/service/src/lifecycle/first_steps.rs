//! What people are told who start a daemon on a terminal: how to use it.

use std::env;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::sockets::Listening;
use crate::{Daemon, interfaces, logging};

/// Maximum number of addresses that are listed.
const MAX_ADDRESSES: usize = 8;

/// Stands for an address of the machine in a URL. No other URL contains it.
const HOST: &str = "<HOST>";

/// Tells them, unless nobody is there.
pub(super) fn tell<D: Daemon>(daemon: &D, listening: &Listening) {
    if !logging::is_for_people() {
        return;
    }
    let hosts = hosts(&own_addresses(), &listening.addresses);
    let steps = FirstSteps {
        name: D::NAME,
        about: D::ABOUT,
        program: program(D::NAME),
        urls: urls(&daemon.overview(HOST).urls, &hosts),
        usage: D::USAGE,
        status_page: listening.metrics,
    };
    log::info!(target: logging::PLAIN, "{}", steps.text());
}

struct FirstSteps {
    name: &'static str,
    about: &'static str,
    /// How it was started.
    program: String,
    urls: Vec<String>,
    usage: &'static str,
    status_page: Option<SocketAddr>,
}

impl FirstSteps {
    fn text(&self) -> String {
        let Self {
            name,
            about,
            program,
            ..
        } = self;
        // Writing to a string cannot fail.
        let mut text = format!("\n{name} is running: {about}.\n\nAnnounce URLs:\n");
        for url in self.urls.iter().take(MAX_ADDRESSES) {
            let _ = writeln!(text, "  {url}");
        }
        if let more @ 1.. = self.urls.len().saturating_sub(MAX_ADDRESSES) {
            let _ = writeln!(text, "  and {more} more");
        }
        let _ = write!(text, "\n{}\n\n", self.usage);
        let _ = match self.status_page {
            Some(address) => writeln!(text, "Status page: http://{address}/"),
            None => writeln!(
                text,
                "For a status page: AQUATIC_METRICS__ADDRESS=127.0.0.1:9000 {program}"
            ),
        };
        let _ = writeln!(text, "All settings: {program} -p    To stop: Ctrl-C");
        text
    }
}

/// The program as it was called: it may not be where the shell looks for it.
fn program(name: &str) -> String {
    let called = env::args_os()
        .next()
        .and_then(|called| called.into_string().ok())
        .filter(|called| !called.is_empty());
    called.unwrap_or_else(|| name.to_owned())
}

/// The URLs with the addresses of the machine. A certificate is for a name, which only its
/// owner knows.
fn urls(urls: &[String], hosts: &[IpAddr]) -> Vec<String> {
    let mut all = Vec::new();
    for url in urls {
        let has_certificate = ["https:", "wss:"].iter().any(|it| url.starts_with(it));
        if !url.contains(HOST) {
            all.push(url.clone());
        } else if has_certificate {
            all.push(format!("{url}, with a name in the certificate as {HOST}"));
        } else {
            let of_host = |host: &IpAddr| {
                let text = match host {
                    IpAddr::V4(host) => host.to_string(),
                    IpAddr::V6(host) => format!("[{host}]"),
                };
                let only = if host.is_loopback() {
                    "    on this machine"
                } else {
                    ""
                };
                format!("{}{only}", url.replacen(HOST, &text, 1))
            };
            all.extend(hosts.iter().map(of_host));
        }
    }
    all
}

/// Which of the machine's addresses are served by sockets that are bound to all of a family.
fn hosts(own: &[IpAddr], bound: &[SocketAddr]) -> Vec<IpAddr> {
    let is_served = |host: &&IpAddr| {
        let is_all = |address: &SocketAddr| {
            address.ip().is_unspecified() && address.is_ipv4() == host.is_ipv4()
        };
        bound.iter().any(is_all)
    };
    let mut hosts: Vec<IpAddr> = own.iter().filter(is_served).copied().collect();
    // The others are more useful.
    hosts.sort_by_key(IpAddr::is_loopback);
    hosts.dedup();
    hosts
}

/// The addresses of this machine that others can use.
fn own_addresses() -> Vec<IpAddr> {
    let mut addresses = interfaces::addresses();
    addresses.retain(|address| !is_link_local(*address));
    // A container may have no interface that is up.
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses
}

/// Whether an address is only valid on one link, and not without its interface.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn urls_are_those_of_addresses_that_are_served() {
        let own: Vec<IpAddr> = addresses(&["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"]);
        let listed = |bound: &[&str], of: &str| {
            let hosts = hosts(&own, &addresses(bound));
            urls(&[of.to_owned()], &hosts)
        };
        assert_eq!(
            listed(&["0.0.0.0:1", "[::]:1"], "udp://<HOST>:1"),
            [
                "udp://192.0.2.1:1",
                "udp://[2001:db8::1]:1",
                "udp://127.0.0.1:1    on this machine",
                "udp://[::1]:1    on this machine",
            ]
        );
        assert_eq!(
            listed(&["[::]:1"], "http://<HOST>:1/announce"),
            [
                "http://[2001:db8::1]:1/announce",
                "http://[::1]:1/announce    on this machine"
            ]
        );
        assert_eq!(
            listed(&["192.0.2.1:1"], "ws://192.0.2.1:1"),
            ["ws://192.0.2.1:1"]
        );
        assert_eq!(
            listed(&["0.0.0.0:1"], "https://<HOST>:1/announce"),
            ["https://<HOST>:1/announce, with a name in the certificate as <HOST>"]
        );
    }

    #[test]
    fn steps_are_bounded_and_say_where_the_status_page_is() {
        let mut steps = FirstSteps {
            name: "aquatic-x",
            about: "A tracker",
            program: "target/release/aquatic-x".to_owned(),
            urls: vec!["x://a".to_owned(); 10],
            usage: "Use them.",
            status_page: None,
        };
        let text = steps.text();
        assert!(
            text.contains("  x://a\n  and 2 more\n\nUse them.\n"),
            "{text}"
        );
        assert!(
            text.contains("\nFor a status page: AQUATIC_METRICS__ADDRESS="),
            "{text}"
        );
        steps.status_page = "127.0.0.1:9000".parse().ok();
        let text = steps.text();
        assert!(
            text.contains("\nStatus page: http://127.0.0.1:9000/\n"),
            "{text}"
        );
    }

    #[test]
    fn addresses_of_links_are_no_help() {
        for (address, expected) in [
            ("169.254.0.1", true),
            ("fe80::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(
                is_link_local(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(!own_addresses().iter().any(|it| is_link_local(*it)));
    }
}
