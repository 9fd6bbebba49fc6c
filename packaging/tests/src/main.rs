//! Tests of the packages as an operator uses them: installed by apt from a signed repository,
//! and run by the systemd of a release in a separate container. Also of the container image,
//! as a user there runs it.
//!
//! `cargo xtask test --system` builds the packages and the root file systems of
//! the containers, and runs this. Everything that a container sends stays in
//! network namespaces that end with it. Needs root.
//!
//! - [`daemons`]: the daemons.
//! - [`environment`]: the packages and root file systems.
//! - [`container`]: a release with its systemd, and a client on another host.
//! - [`udp`], [`http`], [`websocket`] and [`tls`]: clients.
//! - [`names`]: a name server.
//! - [`podman`]: a user who runs the container image.
//! - [`scenarios`]: the tests.
#![forbid(unsafe_code)]

mod container;
mod daemons;
mod environment;
mod http;
mod names;
mod podman;
mod scenarios;
mod tls;
mod udp;
mod websocket;

use std::process::ExitCode;
use std::sync::{PoisonError, RwLock};

use libtest_mimic::{Arguments, Trial};

use environment::{Environment, RELEASES, WITH_PODMAN};
use scenarios::{Kind, Scenario};

/// Tests with measurements run alone.
static MACHINE: RwLock<()> = RwLock::new(());

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let packages = scenarios::all().into_iter();
    let containers = scenarios::of_containers().into_iter();
    let everywhere = packages.map(|scenario| (scenario, &RELEASES[..]));
    let with_podman = containers.map(|scenario| (scenario, &[WITH_PODMAN][..]));
    for (scenario, releases) in with_podman.chain(everywhere) {
        for &release in releases {
            let Scenario { name, kind, run } = scenario;
            let trial = Trial::test(format!("{release}::{name}"), move || {
                let environment = Environment::of(release);
                match kind {
                    Kind::Shares => {
                        let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
                        run(&environment);
                    }
                    Kind::Measures => {
                        let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
                        run(&environment);
                    }
                }
                Ok(())
            });
            trials.push(trial);
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
