//! What was edited but not applied, of a daemon without a unit: its process says when it has
//! read its files.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::edited::{PRECISION, with_times};
use crate::announces::own_page;
use crate::finding::Finding;
use crate::sockets::daemon_processes;
use crate::subject::{Configured, Subject};

/// Maximum length of the metrics page.
const MAX_PAGE: usize = 4 << 20;

/// What a running daemon says of its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Applied {
    /// When it was started, or last reloaded successfully.
    at: SystemTime,
    /// How many keys differ from those in effect, and need a restart.
    needs_restart: u64,
}

/// What was not applied, if that can be known.
pub(super) fn findings(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let processes = daemon_processes(subject.name, &configured.listening);
    let Some(process) = processes.first() else {
        return Vec::new();
    };
    match ask(configured) {
        Ok(applied) => {
            let read = subject.sources.iter().chain(&configured.files).cloned();
            judge(subject.name, process.id, applied, &with_times(read))
        }
        Err(reason) => vec![Finding::unchecked(format!(
            "whether edited files were applied: {reason}"
        ))],
    }
}

fn judge(name: &str, id: u32, applied: Applied, files: &[(SystemTime, PathBuf)]) -> Vec<Finding> {
    let read = applied.at + PRECISION;
    let later = files.iter().filter(|(changed, _)| *changed > read);
    let mut findings: Vec<_> = later
        .map(|(_, path)| {
            Finding::warning(
                format!(
                    "{} was edited but not applied: it is newer than the last start or reload of \
                     {name} (process {id})",
                    path.display()
                ),
                format!("kill -HUP {id}; what a reload does not apply needs a restart of {name}"),
            )
        })
        .collect();
    if applied.needs_restart > 0 {
        findings.push(Finding::warning(
            format!(
                "edited but not applied: {} of the keys need a restart; the last reload has \
                 logged which",
                applied.needs_restart
            ),
            format!("restart {name}"),
        ));
    }
    if findings.is_empty() {
        let text = format!("{name} (process {id}) has read its files since they were edited");
        findings.push(Finding::ok(text));
    }
    findings
}

/// Reads the metrics of the daemon.
fn ask(configured: &Configured) -> Result<Applied, String> {
    let Some(address) = configured.listening.metrics else {
        return Err("there is no metrics.address at which the tracker could be asked".to_owned());
    };
    let (_, page) = own_page(address, "/metrics", MAX_PAGE)?;
    parse(&page).ok_or_else(|| format!("the page at http://{address}/metrics does not tell"))
}

fn parse(page: &str) -> Option<Applied> {
    let value = |metric: &str| {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let mut values = samples.filter_map(|line| line.split_once(' '));
        let (_, value) = values.find(|(name, _)| name.ends_with(metric))?;
        value.trim().parse::<u64>().ok()
    };
    let seconds = value("_last_reload_success_timestamp_seconds")?;
    Some(Applied {
        at: UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?,
        needs_restart: value("_restart_needed_keys")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    const PAGE: &str = "\
        # TYPE aquatic_udp_last_reload_success_timestamp_seconds gauge\n\
        aquatic_udp_last_reload_success_timestamp_seconds 500\n\
        aquatic_udp_restart_needed_keys 2\n";

    #[test]
    fn the_metrics_tell() {
        let applied = parse(PAGE).unwrap();
        assert_eq!(applied.at, UNIX_EPOCH + Duration::from_secs(500));
        assert_eq!(applied.needs_restart, 2);
        assert_eq!(parse("there is nothing here; see /"), None);
        assert_eq!(parse(&PAGE.replace(" 500", " 99999999999999999999")), None);
    }

    #[test]
    fn what_is_newer_or_needs_a_restart_was_not_applied() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let judge = |needs_restart, changed| {
            let applied = Applied {
                at: at(500),
                needs_restart,
            };
            let findings = judge("aquatic-x", 7, applied, &[(at(changed), "/x.toml".into())]);
            let state = |it: &Finding| (it.state, it.what.split(' ').next().unwrap().to_owned());
            findings.iter().map(state).collect::<Vec<_>>()
        };
        let sound = [(State::Ok, "aquatic-x".to_owned())];
        assert_eq!(judge(0, 501), sound);
        let edited = (State::Warning, "/x.toml".to_owned());
        assert_eq!(judge(0, 502), std::slice::from_ref(&edited));
        let keys = (State::Warning, "edited".to_owned());
        assert_eq!(judge(2, 502), [edited, keys]);
    }
}
