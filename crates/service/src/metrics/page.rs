//! The status page: how the daemon is, for people.
//!
//! Everything on it is text from a template that escapes it. The page needs no script; with
//! one, it updates itself.
//!
//! * `plot`: the plots of the last hour, and their tables.
//! * `facts`: what the process knows of itself.
//! * `words`: numbers, durations and dates.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use aquatic_http1::Status;
use serde::Serialize;

use super::history::History;
use super::server::{Page, Source};
use crate::host_name;
use crate::html::{self, BASE_STYLE, Inline};

mod facts;
mod plot;
mod words;

use facts::Group;
use plot::PlotView;

const STYLE: Inline = Inline {
    text: include_str!("page/status.css"),
    sha256: "LnxcS/aP+M/HWEnhOnNrKc2RrAWVUQCbz5lLgl79Dp0=",
};

const SCRIPT: Inline = Inline {
    text: include_str!("page/status.js"),
    sha256: "5nxnWfIv2NWeCXK6VrgzjyScmpFMOSNqid2STN35+B4=",
};

/// What the status page shows of a daemon in particular.
#[derive(Debug, Default)]
pub struct Overview {
    /// URLs for clients.
    pub urls: Vec<String>,
    /// What to know about these URLs.
    pub urls_note: Option<String>,
    /// The certificates that it uses.
    pub certificates: Vec<Certificate>,
    /// Which other daemons it is linked with; `None` if it cannot be linked with any.
    pub links: Option<String>,
    /// Lists of what is in it.
    pub tables: Vec<Table>,
}

/// A certificate of a daemon.
#[derive(Debug)]
pub struct Certificate {
    /// The file that it was read from.
    pub path: PathBuf,
    /// When it expires, in seconds since 1970, if that is known.
    pub expires_at: Option<u64>,
    /// What is wrong with it, or will be soon.
    pub warning: Option<String>,
}

/// A list on the status page.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Its title.
    pub title: &'static str,
    /// A sentence about it; also shown if there are no rows.
    pub caption: String,
    /// The titles of its columns.
    pub columns: &'static [&'static str],
    /// One text for each column.
    pub rows: Vec<Vec<String>>,
    /// Whether the first column is something to be copied, rather than to be read.
    pub is_code: bool,
}

/// What the template needs.
#[derive(Serialize)]
struct Values {
    daemon: &'static str,
    machine: String,
    version: &'static str,
    state: State,
    urls: Vec<String>,
    urls_note: Option<String>,
    plots: Vec<PlotView>,
    groups: Vec<Group>,
    tables: Vec<Table>,
    styles: [&'static str; 2],
    script: &'static str,
}

/// How the daemon is.
#[derive(Serialize)]
struct State {
    class: &'static str,
    words: &'static str,
    problems: Vec<String>,
}

/// The page, for a request that was sent to this host.
pub(super) fn status_page(host: Option<&str>, source: &Source, history: &History) -> Page {
    match render(host, source, history) {
        Ok(text) => Page {
            status: Status::Ok,
            headers: html::headers(&[BASE_STYLE, STYLE], &[SCRIPT]),
            text,
        },
        Err(error) => {
            log::error!("cannot make the status page: {error}");
            Page::text(Status::Unavailable, "see the log\n")
        }
    }
}

fn render(
    host: Option<&str>,
    source: &Source,
    history: &History,
) -> Result<String, minijinja::Error> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let overview = (source.overview)(&reachable_host(host));
    html::render(
        include_str!("page/status.html"),
        Values {
            daemon: source.daemon,
            machine: host_name(),
            version: env!("CARGO_PKG_VERSION"),
            state: State::of(source, &overview),
            groups: facts::groups(&source.process, &overview, now),
            urls: overview.urls,
            urls_note: overview.urls_note,
            plots: history.plots().iter().filter_map(PlotView::of).collect(),
            tables: overview.tables,
            styles: [BASE_STYLE.text, STYLE.text],
            script: SCRIPT.text,
        },
    )
}

impl State {
    fn of(source: &Source, overview: &Overview) -> Self {
        let ailment = source.process.ailment();
        let (class, words) = match &ailment {
            Some(_) => ("poor", "Not healthy"),
            None => ("good", "Healthy"),
        };
        let warnings = overview.certificates.iter();
        let problems: Vec<String> = ailment
            .into_iter()
            .chain(source.troubles())
            .chain(warnings.filter_map(|certificate| certificate.warning.clone()))
            .collect();
        let is_fair = class == "good" && !problems.is_empty();
        Self {
            class: if is_fair { "fair" } else { class },
            words: if is_fair {
                "Healthy, with problems"
            } else {
                words
            },
            problems,
        }
    }
}

/// The name of this machine that its clients may use as well: that which the request was
/// sent to, unless it is only known on this machine.
fn reachable_host(requested: Option<&str>) -> String {
    let host = requested.map(|host| match host.rsplit_once(':') {
        // In `[::1]`, the last colon is not that of a port.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    });
    let is_reachable = |host: &&str| {
        let bare = host.trim_matches(['[', ']']);
        let is_loopback = bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
        !is_loopback && !host.eq_ignore_ascii_case("localhost") && !host.is_empty()
    };
    host.filter(is_reachable)
        .map_or_else(host_name, str::to_owned)
}

#[cfg(test)]
mod tests;
