//! The sockets of the configuration: who listens, dropped datagrams, receive buffers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use aquatic_service::resource_limits;
use aquatic_service::sockets::{Listening, Transport, has_ipv6};

use crate::command;
use crate::finding::Finding;
use crate::processes::{Holders, Process};
use crate::socket_table::{self, Entry};
use crate::subject::Subject;

/// The process that holds the sockets of socket units, in addition to the daemon.
const SERVICE_MANAGER: u32 = 1;

/// Checks that the daemon listens on each configured address.
pub(crate) fn examine(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let Some(entries) = socket_table::listening(configured.listening.transport) else {
        return vec![Finding::unchecked("cannot read the tables in /proc/net")];
    };
    let inodes = entries.iter().map(|entry| entry.inode).collect();
    let holders = Holders::find(Path::new("/proc"), &inodes);
    let addresses = configured.listening.addresses.iter();
    addresses
        .map(|address| judge(subject, *address, &entries, &holders))
        .collect()
}

/// Judges who serves an address.
fn judge(subject: &Subject, address: SocketAddr, entries: &[Entry], holders: &Holders) -> Finding {
    let name = subject.name;
    let serving: Vec<_> = entries.iter().filter(|it| it.serves(address)).collect();
    if serving.is_empty() {
        if address.is_ipv6() && !has_ipv6() {
            return Finding::warning(
                format!("nothing listens on {address}, because this machine has no IPv6"),
                "enable IPv6, or remove the address from network.address",
            );
        }
        let advice = if subject.has_unit() {
            format!(
                "start {name} (systemctl start {name}), and if that fails, see why: journalctl \
                 -u {name}; after a change of network.address: {}",
                subject.how_to_reopen()
            )
        } else {
            format!("start {name}, after a change of network.address again")
        };
        return Finding::wrong(format!("nothing listens on {address}"), advice);
    }
    let who = holders.of(serving.iter().map(|entry| entry.inode));
    let is_ours = |process: &&Process| process.is(name);
    let ours: Vec<_> = who.iter().filter(is_ours).collect();
    let others: Vec<_> = who
        .iter()
        .filter(|process| !is_ours(process) && process.id != SERVICE_MANAGER)
        .map(|process| format!("{} (process {})", process.name, process.id))
        .collect();
    if !others.is_empty() {
        return Finding::wrong(
            format!("{address} is served by {}", others.join(", ")),
            format!("stop it, or change its address or network.address; then restart {name}"),
        );
    }
    match ours.first() {
        Some(process) => Finding::ok(format!(
            "{name} (process {}) listens on {address} with {}",
            process.id,
            match serving.len() {
                1 => "one socket".to_owned(),
                count => format!("{count} sockets"),
            }
        )),
        None if who.is_empty() && holders.is_incomplete => Finding::unchecked(format!(
            "something listens on {address}; only root can see whether it is {name}"
        )),
        None if who.is_empty() => Finding::unchecked(format!(
            "something listens on {address}, which is none of the processes that are visible here"
        )),
        None => Finding::warning(
            format!("systemd listens on {address}, but {name} is not running"),
            format!("see why: systemctl status {name}; start it: systemctl start {name}"),
        ),
    }
}

/// The processes of this name that listen on an address of the configuration.
pub(crate) fn daemon_processes(name: &str, listening: &Listening) -> BTreeSet<Process> {
    let inodes: BTreeSet<_> = of(listening).iter().map(|entry| entry.inode).collect();
    let holders = Holders::find(Path::new("/proc"), &inodes);
    let mut who = holders.of(inodes);
    who.retain(|process| process.is(name));
    who
}

/// The sockets at the configured addresses.
fn of(listening: &Listening) -> Vec<Entry> {
    let mut entries = socket_table::listening(listening.transport).unwrap_or_default();
    entries.retain(|entry| {
        listening
            .addresses
            .iter()
            .any(|address| entry.serves(*address))
    });
    entries
}

/// Checks whether the kernel has dropped datagrams.
pub(crate) fn examine_drops(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let Transport::Udp { .. } = configured.listening.transport else {
        return Vec::new();
    };
    let entries = of(&configured.listening);
    if entries.is_empty() {
        return Vec::new();
    }
    let drops = entries.iter().map(|entry| entry.drops).sum();
    vec![judge_drops(drops, &subject.how_to_reopen())]
}

fn judge_drops(drops: u64, how_to_reopen: &str) -> Finding {
    if drops == 0 {
        return Finding::ok("the kernel has dropped no datagrams since the sockets were opened");
    }
    Finding::warning(
        format!(
            "the kernel has dropped {drops} datagrams since the sockets were opened, because \
             they arrived faster than they were answered"
        ),
        format!(
            "if the number increases, increase network.socket_recv_buffer_size or \
             socket_workers, then {how_to_reopen}"
        ),
    )
}

/// Checks the size of receive buffers.
pub(crate) fn examine_buffers(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let listening = &configured.listening;
    let Some(wanted) = listening.transport.receive_buffer_bytes() else {
        return Vec::new();
    };
    let wanted = wanted.get() as u64;
    let maximum = resource_limits::largest_receive_buffer_bytes();
    if of(listening).is_empty() {
        // What this process would get. With privileges, it gets any size, as does systemd.
        let is_limited = resource_limits::receive_buffer_note(wanted).is_some();
        return maximum
            .filter(|_| is_limited && !subject.has_unit())
            .map(|maximum| judge_buffer(subject, wanted, maximum, Some(maximum)))
            .into_iter()
            .collect();
    }
    let arguments = [
        "--udp",
        "--listening",
        "--numeric",
        "--memory",
        "--no-header",
    ];
    match command::run("ss", &arguments) {
        Ok(output) if output.is_success => {
            let granted = granted_buffers(&output.stdout);
            let smallest = granted
                .iter()
                .filter(|(local, _)| listening.addresses.contains(local))
                .map(|(_, bytes)| *bytes)
                .min();
            smallest
                .map(|smallest| judge_buffer(subject, wanted, smallest, maximum))
                .into_iter()
                .collect()
        }
        Ok(output) => vec![Finding::unchecked(format!("ss: {}", output.complaint()))],
        Err(failure) => vec![Finding::unchecked(failure.text("ss (iproute2)"))],
    }
}

fn judge_buffer(subject: &Subject, wanted: u64, granted: u64, maximum: Option<u64>) -> Finding {
    // The kernel rounds up, never down.
    if granted >= wanted {
        return Finding::ok(format!(
            "each socket has a receive buffer of {granted} bytes"
        ));
    }
    let advice = if subject.has_unit() {
        format!(
            "{}; if that does not help, look for ReceiveBuffer= in a drop-in: systemctl cat {}.socket",
            subject.how_to_reopen(),
            subject.name
        )
    } else if maximum.is_some_and(|maximum| maximum < wanted) {
        format!(
            "sysctl -w net.core.rmem_max={wanted} (and a line net.core.rmem_max={wanted} in a \
             file of /etc/sysctl.d), then {}",
            subject.how_to_reopen()
        )
    } else {
        subject.how_to_reopen()
    };
    let limit = maximum.map_or(String::new(), |maximum| {
        format!(" (net.core.rmem_max is {maximum})")
    });
    Finding::warning(
        format!(
            "a socket gets a receive buffer of {granted} bytes, not of the configured \
             {wanted}{limit}, so bursts of requests are lost"
        ),
        advice,
    )
}

/// The receive buffers in the output of ss(8) with `--memory`, by local address. The kernel
/// counts its own bookkeeping, too, and doubles the size for that (socket(7), SO_RCVBUF).
fn granted_buffers(text: &str) -> BTreeMap<SocketAddr, u64> {
    let mut buffers = BTreeMap::new();
    let mut local = None;
    for line in text.lines() {
        for (index, word) in line.split_whitespace().enumerate() {
            if let Some(memory) = word.strip_prefix("skmem:(") {
                let doubled = memory
                    .split(',')
                    .find_map(|part| part.strip_prefix("rb")?.parse::<u64>().ok());
                if let (Some(local), Some(doubled)) = (local, doubled) {
                    let least = buffers.entry(local).or_insert(doubled / 2);
                    *least = (*least).min(doubled / 2);
                }
            } else if index == 3 {
                local = local_address(word);
            }
        }
    }
    buffers
}

/// An address of ss(8), which writes `*` for all, and an interface after a `%`.
fn local_address(word: &str) -> Option<SocketAddr> {
    let (host, port) = word.rsplit_once(':')?;
    let host = host.split('%').next()?.trim_matches(['[', ']']);
    let host = if host == "*" { "::" } else { host };
    Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;
    use crate::subject;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_listens() {
        let finding = judge(
            &subject::sample(),
            address("192.0.2.1:3000"),
            &[],
            &Holders::default(),
        );
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.what.contains("nothing listens on 192.0.2.1:3000"));
    }

    #[test]
    fn holders_that_are_not_visible_are_not_judged() {
        let entries = [Entry {
            address: address("0.0.0.0:3000"),
            inode: 1,
            drops: 0,
        }];
        let finding = judge(
            &subject::sample(),
            address("192.0.2.1:3000"),
            &entries,
            &Holders::default(),
        );
        assert_eq!(finding.state, State::Unchecked);
    }

    #[test]
    fn buffers_are_parsed() {
        let text = "\
UNCONN 0      0           127.0.0.1:3000       0.0.0.0:*    skmem:(r0,rb16000000,t0,tb212992,f0,w0,o0,bl0,d0)
UNCONN 0      0      127.0.0.53%lo:53         0.0.0.0:*
\t skmem:(r0,rb212992,t0,tb212992,f4096,w0,o640,bl0,d0)
UNCONN 0      0               [::1]:3000          [::]:*    skmem:(r0,rb8,t0,tb212992,f0,w0,o0,bl0,d0)
UNCONN 0      0               [::1]:3000          [::]:*    skmem:(r0,rb6,t0,tb212992,f0,w0,o0,bl0,d0)
UNCONN 0      0                   *:3001             *:*    skmem:(r0,rb10,t0)
damaged
";
        let expected = [
            (address("127.0.0.1:3000"), 8_000_000),
            (address("127.0.0.53:53"), 106_496),
            (address("[::1]:3000"), 3),
            (address("[::]:3001"), 5),
        ];
        assert_eq!(granted_buffers(text), BTreeMap::from(expected));
    }

    #[test]
    fn small_buffers_and_drops_are_warned_of() {
        let subject = subject::sample();
        let enough = judge_buffer(&subject, 8_000_000, 8_000_000, Some(212_992));
        assert_eq!(enough.state, State::Ok);
        let small = judge_buffer(&subject, 8_000_000, 212_992, Some(212_992));
        assert_eq!(small.state, State::Warning);
        let advice = small.advice.unwrap();
        assert!(
            advice.contains("sysctl -w net.core.rmem_max=8000000"),
            "{advice}"
        );
        assert_eq!(judge_drops(0, "").state, State::Ok);
        assert_eq!(judge_drops(3, "").state, State::Warning);
    }
}
