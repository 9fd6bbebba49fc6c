//! `aquatic-udp health`: whether the running tracker is well, as an exit code. A container
//! image has no other program that could ask.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aquatic_service::cli::{Arguments, EXIT_FAILURE};
use aquatic_service::config::{self, Checks, Sources};

use crate::Patient;
use crate::announces::{self, Answer, MAX_HEALTH, Target};
use crate::subject::packaged_file;

/// How long all of it may take, which is less than what container engines wait by default.
const DEADLINE: Duration = Duration::from_secs(20);

/// Whether clients are served, with what to print.
type Health = Result<String, String>;

/// Asks the tracker of the configuration, and prints what it says.
pub(crate) fn examine<D: Patient>(arguments: &Arguments) -> ExitCode {
    let (sender, answer) = mpsc::channel();
    let file = arguments.config.clone().or_else(packaged_file::<D>);
    let asked = thread::Builder::new().spawn(move || {
        let sources = Sources::of_daemon(D::NAME, file.as_deref());
        // Nobody waits any more after the deadline.
        let _ = sender.send(ask::<D>(&sources));
    });
    let health = match asked {
        Ok(_) => answer
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| Err(format!("no answer within {} seconds", DEADLINE.as_secs()))),
        Err(error) => Err(format!("cannot start a thread: {error}")),
    };
    match health {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            // Engines keep both streams.
            eprintln!("{reason}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn ask<D: Patient>(sources: &Sources) -> Health {
    let loaded = config::load(sources).and_then(|loaded: config::Loaded<D::Config>| {
        let settings = loaded.settings(D::settings)?;
        Ok((loaded, settings))
    });
    let (loaded, settings) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return Ok(unknown(&error)),
    };
    let listening = D::listening(&loaded.config, &mut Checks::new());
    if let Some(address) = listening.metrics {
        let page = announces::own_page(address, "/health", MAX_HEALTH);
        return judge(
            page.map_err(|reason| format!("the metrics at {address} cannot be read: {reason}"))?,
        );
    }
    let particulars = D::particulars(&settings);
    if particulars.is_behind_proxy {
        return Err(
            "only proxies can announce to this tracker: set metrics.address, at which it \
                    can be asked"
                .to_owned(),
        );
    }
    let address = listening.addresses.first().ok_or("it has no address")?;
    let url = announces::url_here(D::SCHEMES, particulars.tls.is_some(), *address)
        .ok_or("it has no announce URL")?;
    let shown = url.to_string();
    let target = Target::here(url, *address)?;
    match D::announce(&target) {
        Ok(Answer::Accepted(_) | Answer::Forbidden | Answer::NeedsKey | Answer::RateLimited) => {
            Ok(format!("{shown} has answered"))
        }
        Err(trouble) => Err(format!("{shown} does not answer: {trouble}")),
    }
}

/// What is said if the configuration is invalid. A tracker that had started with it would have
/// ended, so the one that runs has an earlier one, and serves: whoever restarts it because of
/// its health would end that.
fn unknown(error: &config::Error) -> String {
    format!("not known, because the configuration has become invalid: {error}")
}

/// Judges the status and the text of the page about health.
fn judge((status, text): (u16, String)) -> Health {
    if status == 200 { Ok(text) } else { Err(text) }
}
