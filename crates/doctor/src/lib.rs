//! `aquatic-udp doctor`, and the same for the other daemons: examines everything between a
//! client and the tracker, and says what is wrong and what to do. It changes nothing.
//!
//! Each check is a function that returns [`Finding`]s; [`checks`] is the list of them. A
//! check gathers facts and hands them to functions that only judge, so that those can be
//! tested with samples. Nothing waits without a limit: commands have [`command::PATIENCE`],
//! and each check has [`DEADLINE`].
//!
//! * [`configuration`], [`units`]: what was configured, and whether it is in effect.
//! * [`sockets`], with `socket_table` and `processes`: who listens, kernel drops.
//! * [`limits`], [`machine`]: limits of the process, IPv6, time.
//! * [`firewall`]: rules for the port, for several programs that manage them.
//! * `certificate`: chain, name and expiry, with the feature `tls`.
//! * [`names`]: DNS. [`announces`], with [`Url`] and [`Connection`]: whole announces.
//! * `finding`, `report`: the table, and JSON.
//!
//! `health` asks a single question of these, for health checks of containers.
#![forbid(unsafe_code)]

mod announces;
#[cfg(feature = "tls")]
mod certificate;
mod command;
mod configuration;
mod connection;
mod finding;
mod firewall;
mod health;
mod limits;
mod machine;
mod names;
mod processes;
mod report;
mod socket_table;
mod sockets;
mod subject;
mod units;
mod url;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_service::Examinations;
use aquatic_service::cli::{Arguments, DoctorArguments, EXIT_USAGE};

use finding::Finding;
use subject::Subject;

pub use announces::{Answer, Event, Peer, Refusals, Seen, Target, Trouble, announce_both};
pub use connection::Connection;
pub use subject::{Particulars, Patient};
pub use url::{Scheme, Url};

/// How long all checks may take, which run at the same time. The longest one announces to
/// several addresses at the same time, and gives up after a request without an answer.
const DEADLINE: Duration = Duration::from_secs(25);

/// A check: its name in the output, the function, and what a client that waits as long would
/// say.
type Check = (&'static str, fn(&Subject) -> Vec<Finding>, Late);

/// What it means that a check has no result in time.
#[derive(Clone, Copy)]
enum Late {
    /// This machine is slow, or a program hangs.
    Machine,
    /// The network or the tracker is slow, for clients as well.
    Tracker,
}

impl Late {
    fn finding(self, deadline: Duration) -> Finding {
        let text = format!("no result within {} seconds", deadline.as_secs());
        match self {
            Self::Machine => Finding::warning(text, "see what keeps this machine busy; ask again"),
            Self::Tracker => Finding::wrong(text, "see whether the network loses packets"),
        }
    }
}

/// All checks, in the order of the output.
fn checks() -> Vec<Check> {
    use Late::{Machine, Tracker};

    vec![
        ("configuration", configuration::examine, Machine),
        ("unit", units::examine, Machine),
        ("socket", sockets::examine, Machine),
        ("drops", sockets::examine_drops, Machine),
        ("receive buffer", sockets::examine_buffers, Machine),
        ("descriptors", limits::examine_descriptors, Machine),
        ("locked memory", limits::examine_locked_memory, Machine),
        ("io_uring", limits::examine_io_uring, Machine),
        ("firewall", firewall::examine, Machine),
        ("IPv6", machine::examine_ipv6, Machine),
        ("time", machine::examine_time, Machine),
        #[cfg(feature = "tls")]
        ("certificate", certificate::examine, Machine),
        ("health", announces::examine_health, Tracker),
        ("announce", announces::examine_here, Tracker),
        ("DNS", names::examine, Tracker),
        ("public announce", announces::examine_url, Tracker),
    ]
}

/// Runs a daemon, or examines it: the body of its `main`.
pub fn run<D: Patient>() -> ExitCode {
    aquatic_service::run::<D>(Examinations {
        doctor: examine::<D>,
        health: health::examine::<D>,
    })
}

/// Examines a daemon, and prints what was found.
fn examine<D: Patient>(arguments: &Arguments, options: &DoctorArguments) -> ExitCode {
    let subject = match Subject::new::<D>(arguments, options) {
        Ok(subject) => subject,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let findings = run_checks(checks(), &Arc::new(subject), DEADLINE);
    report::print(D::NAME, &findings, options.json);
    ExitCode::from(finding::worst(findings.iter().map(|(_, finding)| finding)).exit_code())
}

/// Runs all checks at the same time. Those that take longer than allowed are left behind.
fn run_checks(
    checks: Vec<Check>,
    subject: &Arc<Subject>,
    deadline: Duration,
) -> Vec<(&'static str, Finding)> {
    let end = Instant::now() + deadline;
    let running: Vec<_> = checks
        .into_iter()
        .map(|(name, examine, late)| {
            let (sender, findings) = mpsc::channel();
            let subject = Arc::clone(subject);
            // If it cannot be started, its channel is closed, which is reported below.
            let _ = thread::Builder::new().spawn(move || sender.send(examine(&subject)));
            (name, findings, late)
        })
        .collect();
    let mut all = Vec::new();
    for (name, findings, late) in running {
        let left = end.saturating_duration_since(Instant::now());
        let findings = match findings.recv_timeout(left) {
            Ok(findings) => findings,
            Err(mpsc::RecvTimeoutError::Timeout) => vec![late.finding(deadline)],
            Err(mpsc::RecvTimeoutError::Disconnected) => vec![Finding::failed()],
        };
        all.extend(findings.into_iter().map(|finding| (name, finding)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    fn states(checks: Vec<Check>, deadline: Duration) -> Vec<(&'static str, State)> {
        let subject = Arc::new(subject::sample());
        let all = run_checks(checks, &subject, deadline);
        all.iter().map(|(name, it)| (*name, it.state)).collect()
    }

    #[test]
    fn checks_that_hang_are_left_behind() {
        fn hang(_: &Subject) -> Vec<Finding> {
            loop {
                thread::park();
            }
        }
        let checks: Vec<Check> = vec![
            ("hangs", hang, Late::Machine),
            ("has no answer", hang, Late::Tracker),
            ("good", |_| vec![Finding::ok("it is")], Late::Tracker),
        ];
        assert_eq!(
            states(checks, Duration::from_millis(200)),
            [
                ("hangs", State::Warning),
                ("has no answer", State::Wrong),
                ("good", State::Ok)
            ]
        );
    }

    #[test]
    fn checks_that_fail_are_named() {
        let checks: Vec<Check> = vec![
            ("fails", |_| panic!("this one is to fail"), Late::Tracker),
            ("good", |_| vec![Finding::ok("it is")], Late::Tracker),
        ];
        assert_eq!(
            states(checks, Duration::from_secs(60)),
            [("fails", State::Warning), ("good", State::Ok)]
        );
    }
}
