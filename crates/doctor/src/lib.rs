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
#![forbid(unsafe_code)]

mod announces;
#[cfg(feature = "tls")]
mod certificate;
mod command;
mod configuration;
mod connection;
mod finding;
mod firewall;
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

use aquatic_service::cli::{Arguments, DoctorArguments, EXIT_USAGE};

use finding::Finding;
use subject::Subject;

pub use announces::{Answer, Peer, Seen, Target};
pub use connection::Connection;
pub use subject::{Particulars, Patient};
pub use url::{Scheme, Url};

/// How long all checks may take, which run at the same time. The longest one announces to
/// several addresses, each with a deadline of its own.
const DEADLINE: Duration = Duration::from_secs(25);

/// A check: its name in the output, and the function.
type Check = (&'static str, fn(&Subject) -> Vec<Finding>);

/// All checks, in the order of the output.
fn checks() -> Vec<Check> {
    vec![
        ("configuration", configuration::examine),
        ("unit", units::examine),
        ("socket", sockets::examine),
        ("drops", sockets::examine_drops),
        ("receive buffer", sockets::examine_buffers),
        ("descriptors", limits::examine_descriptors),
        ("locked memory", limits::examine_locked_memory),
        ("io_uring", limits::examine_io_uring),
        ("firewall", firewall::examine),
        ("IPv6", machine::examine_ipv6),
        ("time", machine::examine_time),
        #[cfg(feature = "tls")]
        ("certificate", certificate::examine),
        ("health", announces::examine_health),
        ("announce", announces::examine_here),
        ("DNS", names::examine),
        ("public announce", announces::examine_url),
    ]
}

/// Runs a daemon, or examines it: the body of its `main`.
pub fn run<D: Patient>() -> ExitCode {
    aquatic_service::run::<D>(examine::<D>)
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
        .map(|(name, examine)| {
            let (sender, findings) = mpsc::channel();
            let subject = Arc::clone(subject);
            // If it cannot be started, its channel is closed, which is reported below.
            let _ = thread::Builder::new().spawn(move || sender.send(examine(&subject)));
            (name, findings)
        })
        .collect();
    let mut all = Vec::new();
    for (name, findings) in running {
        let left = end.saturating_duration_since(Instant::now());
        let findings = match findings.recv_timeout(left) {
            Ok(findings) => findings,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let text = format!("no result within {} seconds", deadline.as_secs());
                vec![Finding::unchecked(text)]
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                vec![Finding::unchecked("the check itself failed")]
            }
        };
        all.extend(findings.into_iter().map(|finding| (name, finding)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    #[test]
    fn checks_that_hang_or_fail_are_left_behind() {
        let checks: Vec<Check> = vec![
            ("good", |_| vec![Finding::ok("it is")]),
            ("hangs", |_| {
                loop {
                    thread::park();
                }
            }),
            ("fails", |_| panic!("this one is to fail")),
            ("later", |_| vec![Finding::ok("it is, too")]),
        ];
        let subject = Arc::new(subject::sample());
        let all = run_checks(checks, &subject, Duration::from_millis(200));
        let states: Vec<_> = all.iter().map(|(name, it)| (*name, it.state)).collect();
        assert_eq!(
            states,
            [
                ("good", State::Ok),
                ("hangs", State::Unchecked),
                ("fails", State::Unchecked),
                ("later", State::Ok)
            ]
        );
    }
}
