//! The measurements of several daemons with one swarm.
//!
//! The measured node runs on the core of servers, and so do other nodes that are measured
//! with it, one at a time. On the core of the load test are the load test itself, the
//! engine, a linked `aquatic-http` without requests, and this program, which plays
//! [another node](stand_in).
//!
//! * [`traffic`]: what requests cost a node, alone and with others, and what records cost
//!   its threads.
//! * [`visible`]: the time until an announce to one node is visible at another.
//! * [`joining`]: nodes that join, and nodes that are killed.

use std::fs;
use std::process;

use anyhow::ensure;
use aquatic_load_test::Report;
use aquatic_load_test::numbers::Seconds;
use aquatic_load_test::udp::Config;

use crate::load;
use crate::machine::Cores;
use crate::results::{Cluster, Conditions, Joining, Killing, Visible};
use crate::server::{Programs, Server};
use crate::udp::requests::{self, Shares};

mod client;
mod engine;
mod joining;
mod node;
mod stand_in;
mod traffic;
mod visible;

use engine::{Engine, Installed};
use node::{Sharing, start_http, start_udp, wait_for_metric};
use stand_in::{Population, StandIn};
use traffic::{Nodes, ThroughEngine};
use visible::Observer;

/// The extent of the measurements.
#[derive(Debug, Clone, Copy)]
struct Scale {
    warm_up_seconds: u32,
    torrents: u32,
    peers: u32,
    /// Duration of the measurement of [`visible`].
    announces_per_second: u32,
    /// Before a node is killed.
    requests_before_kill_per_second: u32,
    /// Torrents of the clients whose node is killed. They have two clients each, and all
    /// announce in less than a second.
    torrents_of_killed: u32,
}

const FULL: Scale = Scale {
    warm_up_seconds: 1,
    torrents: 1_000_000,
    peers: 2_000_000,
    announces_per_second: 20_000,
    requests_before_kill_per_second: 10_000,
    torrents_of_killed: 4_000,
};

const QUICK: Scale = Scale {
    warm_up_seconds: 0,
    torrents: 1_000,
    peers: 2_000,
    announces_per_second: 1_000,
    requests_before_kill_per_second: 1_000,
    torrents_of_killed: 200,
};

/// The kinds of torrents, apart from those of load tests.
const VISIBLE_LOCAL: u8 = 1;
const VISIBLE_ENGINE: u8 = 2;
/// One more for each node that is killed.
const KILLED: u8 = 3;

/// The environment of all measurements.
struct Bench {
    programs: Programs,
    scale: Scale,
    seconds: u32,
    runs: usize,
}

/// The measurements that need an engine.
struct OverEngine {
    visible: Visible,
    joining: Joining,
    killing: Killing,
}

/// Measures everything, which takes minutes unless `quick` is set.
///
/// # Errors
///
/// If a daemon, the engine or the load test fails, or does something else than intended.
pub(crate) fn measure(conditions: Conditions, quick: bool) -> anyhow::Result<Cluster> {
    let bench = Bench {
        programs: Programs::build(&conditions.profile, &["aquatic_udp", "aquatic_http"])?,
        scale: if quick { QUICK } else { FULL },
        seconds: conditions.seconds,
        runs: conditions.runs,
    };
    // This program is busy, and its threads and child processes run on the same core.
    Cores::Load.pin(process::id())?;
    let results = bench.measure(conditions);
    Cores::Both.pin(process::id())?;
    results
}

impl Bench {
    fn measure(&self, conditions: Conditions) -> anyhow::Result<Cluster> {
        let installed = Installed::find();
        if installed.is_none() {
            println!(
                "Neither valkey-server nor redis-server is installed: what needs one is not \
                 measured."
            );
        }
        let runtime_directory = self.programs.scratch().join("runtime");
        fs::create_dir(&runtime_directory)?;
        let engine = installed.as_ref();
        let engine = engine.map(|it| Engine::start(it, &self.programs));
        let engine = engine.transpose()?;
        let nodes = Nodes {
            alone: start_udp(&self.programs, Sharing::Alone)?,
            linked: [
                start_udp(&self.programs, Sharing::Local(&runtime_directory))?,
                start_http(&self.programs, &runtime_directory)?,
            ],
            through_engine: match (&engine, &installed) {
                (Some(engine), Some(installed)) => {
                    Some(self.through_engine(engine, &installed.name)?)
                }
                _ => None,
            },
        };
        let [udp, http] = &nodes.linked;
        wait_for_metric(udp, "aquatic_udp_cluster_readers", 1.0)?;
        self.fill(&nodes.alone)?;
        self.fill(udp)?;
        wait_for_metric(http, "aquatic_http_peers", self.scale.peers.into())?;
        let traffic = traffic::measure(self, &nodes)?;
        let observer = Observer::http(http.address)?;
        let local = visible::measure(self, "the local link", udp, observer, VISIBLE_LOCAL)?;
        let population = nodes.through_engine.map(|it| it.population);
        // They are stopped, so that they do not affect the next measurements.
        drop((nodes.alone, nodes.linked, engine));

        let over_engine = match (&installed, &population) {
            (Some(installed), Some(population)) => Some(self.over_engine(installed, population)?),
            _ => None,
        };
        let mut visible = vec![local];
        let (joining, killing) = match over_engine {
            Some(found) => {
                visible.push(found.visible);
                (Some(found.joining), Some(found.killing))
            }
            None => (None, None),
        };
        Ok(Cluster {
            conditions,
            engine: installed.map(|it| it.name),
            torrents: self.scale.torrents,
            peers: self.scale.peers,
            rows: traffic.rows,
            capacities: traffic.capacities,
            per_record: traffic.per_record,
            visible,
            joining,
            killing,
        })
    }

    /// A node with all peers, and one played by this program.
    fn through_engine(&self, engine: &Engine, name: &str) -> anyhow::Result<ThroughEngine> {
        let stand_in = StandIn::start(engine)?;
        let node = start_udp(&self.programs, Sharing::Engine(engine, "measured"))?;
        let population = stand_in.collect(self.scale.peers as usize, || self.fill(&node))?;
        Ok(ThroughEngine {
            engine_name: name.to_owned(),
            node,
            stand_in,
            population,
        })
    }

    /// Measures nodes that find all peers in the stream of an engine.
    fn over_engine(
        &self,
        installed: &Installed,
        population: &Population,
    ) -> anyhow::Result<OverEngine> {
        let engine = Engine::start(installed, &self.programs)?;
        StandIn::start(&engine)?.publish_all(population)?;
        let survivor = joining::join(self, &engine, "survivor")?;
        let mut joined = vec![survivor.times];
        let mut killed = Vec::new();
        for kind in (KILLED..).take(self.runs) {
            let victim = joining::join(self, &engine, "killed")?;
            joined.push(victim.times);
            killed.push(joining::kill(self, victim.node, &survivor.node, kind)?);
        }
        let other = joining::join(self, &engine, "other")?;
        joined.push(other.times);
        let observer = Observer::udp(other.node.address)?;
        let over = &installed.name;
        let visible = visible::measure(self, over, &survivor.node, observer, VISIBLE_ENGINE)?;
        Ok(OverEngine {
            visible,
            joining: joining::joining(self, &joined),
            killing: joining::killing(self, &killed),
        })
    }

    fn load_config(&self, shares: Shares) -> Config {
        Config {
            duration_seconds: Seconds::nearest(self.seconds),
            warm_up_seconds: Seconds::nearest(self.scale.warm_up_seconds),
            ..requests::load_config(self.scale.torrents, self.scale.peers, shares)
        }
    }

    fn load(&self, server: &Server, config: &Config) -> anyhow::Result<Report> {
        let program = "aquatic-udp-load-test";
        let address = server.address;
        load::run(
            &self.programs,
            program,
            Cores::Load,
            server,
            address,
            config,
        )
    }

    /// Announces every peer once.
    fn fill(&self, server: &Server) -> anyhow::Result<()> {
        eprintln!("announcing {} peers", self.scale.peers);
        let config = Config {
            fill: true,
            duration_seconds: Seconds::of::<1>(),
            warm_up_seconds: Seconds::of::<0>(),
            // What follows the filling leaves the peers alone.
            ..self.load_config(Shares(1, 0, 0))
        };
        self.load(server, &config)?;
        let known = server.metric("aquatic_udp_peers")?;
        ensure!(
            known == f64::from(self.scale.peers),
            "the daemon knows {known} of {} peers",
            self.scale.peers
        );
        Ok(())
    }
}
