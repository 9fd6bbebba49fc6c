//! Programs that manage firewalls and are asked themselves: firewalld and ufw.

use super::rules::Packet;

/// The zones of `firewall-cmd --list-all-zones` in which interfaces are, and whether the
/// port is open in each. Zones that open it by a service, not by number, are only known
/// for the services of web servers.
pub(crate) fn firewalld_zones(text: &str, packet: &Packet) -> Vec<(String, bool)> {
    let mut zones = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut lines = paragraph.lines().skip_while(|line| line.is_empty());
        let Some(title) = lines.next() else { continue };
        // "public (active)", or "public (default, active)".
        let Some((name, marks)) = title.split_once(' ') else {
            continue;
        };
        if !marks.contains("active") {
            continue;
        }
        let mut is_open = false;
        for (key, value) in lines.filter_map(|line| line.trim().split_once(": ")) {
            is_open |= match key {
                "target" => value == "ACCEPT",
                "ports" => value.split(' ').any(|port| is_port(port, '-', packet)),
                "services" => value.split(' ').any(|service| is_web(service, packet)),
                _ => false,
            };
        }
        zones.push((name.to_owned(), is_open));
    }
    zones
}

/// Whether a service of firewalld is the port.
fn is_web(service: &str, packet: &Packet) -> bool {
    let is_tcp = packet.protocol == super::Protocol::Tcp;
    is_tcp && matches!((service, packet.port), ("http", 80) | ("https", 443))
}

/// Whether `3000/udp` or `3000-3010/udp` includes the port.
fn is_port(text: &str, separator: char, packet: &Packet) -> bool {
    let (ports, protocol) = text
        .split_once('/')
        .unwrap_or((text, packet.protocol.name()));
    protocol == packet.protocol.name()
        && ports.split(',').any(|range| {
            let (first, last) = range.split_once(separator).unwrap_or((range, range));
            let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
                return false;
            };
            (first..=last).contains(&packet.port)
        })
}

/// What `ufw status` says of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ufw {
    /// ufw is not active.
    Inactive,
    Open,
    /// Open for some clients.
    OpenForSome,
    Closed,
}

/// Reads the output of `ufw status verbose`.
pub(crate) fn ufw(text: &str, packet: &Packet) -> Ufw {
    if !text.lines().any(|line| line == "Status: active") {
        return Ufw::Inactive;
    }
    let allows_all = text
        .lines()
        .filter_map(|line| line.strip_prefix("Default: "))
        .any(|line| line.starts_with("allow (incoming)"));
    let mut is_open_for_some = false;
    for line in text.lines() {
        let is_of_ipv6 = line.contains("(v6)");
        if is_of_ipv6 != packet.is_ipv6 {
            continue;
        }
        let line = line.replace(" (v6)", "");
        let words: Vec<_> = line.split_whitespace().collect();
        let Some(action) = words
            .iter()
            .position(|word| ["ALLOW", "LIMIT", "DENY", "REJECT"].contains(word))
        else {
            continue;
        };
        let is_meant = match words[..action] {
            [port] => port == "Anywhere" || is_port(port, ':', packet),
            // "192.0.2.1 3000/udp"
            [_, port] => is_port(port, ':', packet),
            _ => false,
        };
        if !is_meant {
            continue;
        }
        let is_for_all = words.last() == Some(&"Anywhere");
        match (words[action], is_for_all) {
            ("ALLOW" | "LIMIT", true) => return Ufw::Open,
            ("ALLOW" | "LIMIT", false) => is_open_for_some = true,
            (_, true) => return Ufw::Closed,
            (_, false) => {}
        }
    }
    match (allows_all, is_open_for_some) {
        (true, _) => Ufw::Open,
        (false, true) => Ufw::OpenForSome,
        (false, false) => Ufw::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::*;

    const UDP: Packet = Packet {
        protocol: Protocol::Udp,
        port: 3000,
        is_ipv6: false,
    };

    #[test]
    fn zones_are_read() {
        let zones = |ports: &str, services: &str, target: &str, packet: &Packet| {
            let text = format!(
                "block\n  target: %%REJECT%%\n  ports: 3000/udp\n\npublic (default, active)\n  \
                 target: {target}\n  interfaces: eth0\n  services: {services}\n  ports: {ports}\n  \
                 protocols: \n\n"
            );
            firewalld_zones(&text, packet)
        };
        let is_open = |open| vec![("public".to_owned(), open)];
        assert_eq!(
            zones("3000/udp 80/tcp", "ssh", "default", &UDP),
            is_open(true)
        );
        assert_eq!(
            zones("2990-3010/udp", "ssh", "default", &UDP),
            is_open(true)
        );
        assert_eq!(zones("3000/tcp", "ssh", "default", &UDP), is_open(false));
        assert_eq!(zones("", "ssh", "ACCEPT", &UDP), is_open(true));
        let https = Packet {
            protocol: Protocol::Tcp,
            port: 443,
            is_ipv6: true,
        };
        assert_eq!(zones("", "ssh https", "default", &https), is_open(true));
        assert_eq!(firewalld_zones("", &UDP), []);
    }

    #[test]
    fn ufw_is_read() {
        let status = |rules: &str| {
            format!(
                "Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), \
                 disabled (routed)\nNew profiles: skip\n\nTo                         Action      \
                 From\n--                         ------      ----\n22/tcp                     \
                 ALLOW IN    Anywhere\n{rules}"
            )
        };
        assert_eq!(ufw("Status: inactive\n", &UDP), Ufw::Inactive);
        for (rules, expected) in [
            ("3000/udp ALLOW IN Anywhere\n", Ufw::Open),
            ("3000 ALLOW IN Anywhere\n", Ufw::Open),
            ("2990:3010/udp LIMIT IN Anywhere\n", Ufw::Open),
            ("Anywhere ALLOW IN Anywhere\n", Ufw::Open),
            ("3000/tcp ALLOW IN Anywhere\n", Ufw::Closed),
            ("3000/udp (v6) ALLOW IN Anywhere (v6)\n", Ufw::Closed),
            ("3000/udp ALLOW IN 192.0.2.0/24\n", Ufw::OpenForSome),
            (
                "3000/udp DENY IN Anywhere\nAnywhere ALLOW IN Anywhere\n",
                Ufw::Closed,
            ),
            ("", Ufw::Closed),
        ] {
            assert_eq!(ufw(&status(rules), &UDP), expected, "{rules}");
        }
        let ipv6 = Packet {
            is_ipv6: true,
            ..UDP
        };
        let rule = "3000/udp (v6) ALLOW IN Anywhere (v6)\n";
        assert_eq!(ufw(&status(rule), &ipv6), Ufw::Open);
        let allows = status("").replace("deny (incoming)", "allow (incoming)");
        assert_eq!(ufw(&allows, &UDP), Ufw::Open);
    }
}
