//! What is measured for `aquatic-ws`.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use aquatic_load_test::ws::{
    Config, NetworkConfig, PopulationConfig, RequestsConfig, TlsConfig, TransportConfig,
};

use super::event_loops::{EVENT_LOOPS, EventLoop, certificate, encryption};
use super::load::{self, Report};
use super::machine::{Cores, Machine};
use super::server::{Addresses, Binaries, Server};
use super::ws_row::{Case, Row, Served};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) seconds: u32,
    warm_up_seconds: u32,
    pub(super) runs: usize,
    pub(super) torrents: u32,
    pub(super) connections: usize,
    pub(super) idle_connections: usize,
    /// Connections that come and go.
    pub(super) passing_connections: u64,
    /// Those of them that are open at the same time.
    pub(super) passing_at_once: usize,
}

impl Scale {
    pub(super) fn new(arguments: &super::Arguments) -> Self {
        if arguments.quick {
            Self {
                seconds: 1,
                warm_up_seconds: 0,
                runs: 1,
                torrents: 20,
                connections: 64,
                idle_connections: 200,
                passing_connections: 500,
                passing_at_once: 100,
            }
        } else {
            Self {
                seconds: arguments.seconds,
                warm_up_seconds: 1,
                runs: arguments.runs,
                torrents: 100,
                connections: 200,
                idle_connections: 10_000,
                passing_connections: 100_000,
                passing_at_once: 1_000,
            }
        }
    }

    pub(super) fn peers(&self) -> u32 {
        self.torrents * PEERS_PER_TORRENT
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) scale: Scale,
    pub(super) rows: Vec<Row>,
    pub(super) idle: Vec<Idle>,
    pub(super) passing: Vec<Passing>,
}

/// What connections cost that do nothing.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) event_loop: EventLoop,
    pub(super) tls: bool,
    /// Torrents that each has announced.
    pub(super) torrents: u32,
    pub(super) bytes_per_connection: f64,
}

/// What is left of connections that have come and gone.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) event_loop: EventLoop,
    pub(super) tls: bool,
    pub(super) connections: u64,
    /// Memory of the daemon before any connection.
    pub(super) empty_bytes: u64,
    /// After as many as are open at the same time.
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
}

/// Measures everything; this takes minutes.
pub(super) fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Results> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let bench = Bench {
        binaries,
        scale,
        directory: directory.path(),
    };
    let rows = bench.traffic()?;
    let (mut idle, mut passing) = (Vec::new(), Vec::new());
    for event_loop in EVENT_LOOPS {
        for tls in [false, true] {
            for torrents in [1, 10, 100] {
                idle.push(bench.idle(event_loop, tls, torrents)?);
            }
            passing.push(bench.passing(event_loop, tls)?);
        }
    }
    Ok(Results {
        machine: Machine::this(),
        scale,
        rows,
        idle,
        passing,
    })
}

struct Bench<'a> {
    binaries: &'a Binaries,
    scale: Scale,
    directory: &'a Path,
}

/// A server, all of them on one core; only one has to do anything at a time.
struct Contender {
    event_loop: EventLoop,
    tls: bool,
    served: Served,
    server: Server,
}

impl Bench<'_> {
    /// All cases over all servers, in turns.
    fn traffic(&self) -> anyhow::Result<Vec<Row>> {
        let mut contenders = Vec::new();
        for event_loop in EVENT_LOOPS {
            for tls in [false, true] {
                for served in Served::ALL {
                    contenders.push(self.contender(event_loop, tls, served)?);
                }
            }
        }
        let mut rows: Vec<Row> = Case::all()
            .flat_map(|case| {
                EVENT_LOOPS.into_iter().flat_map(move |event_loop| {
                    let all = Served::ALL.into_iter();
                    all.filter(move |served| served.takes_part(case))
                        .map(move |served| Row::new(case, event_loop, served))
                })
            })
            .collect();
        for _ in 0..self.scale.runs {
            for row in &mut rows {
                let contender = contenders
                    .iter()
                    .find(|it| {
                        (it.event_loop, it.tls, it.served)
                            == (row.event_loop, row.case.tls, row.served)
                    })
                    .context("a row without a server")?;
                let report = self.load(&contender.server, self.config_of(row))?;
                if row.served != Served::Echo {
                    ensure_all_relayed(&report, row.case)?;
                }
                row.add(report)?;
            }
        }
        Ok(rows)
    }

    fn contender(
        &self,
        event_loop: EventLoop,
        tls: bool,
        served: Served,
    ) -> anyhow::Result<Contender> {
        let server = match served {
            Served::Daemon => self.daemon(event_loop, tls)?,
            Served::Echo | Served::Relay => {
                let offers = if served == Served::Relay { OFFERS } else { 0 };
                let mut arguments = vec![offers.to_string(), DESCRIPTION_BYTES.to_string()];
                if tls {
                    arguments.extend(certificate().map(|path| path.display().to_string()));
                }
                Server::bare_tcp(self.binaries, &event_loop.bare_program("ws"), &arguments)?
            }
        };
        Ok(Contender {
            event_loop,
            tls,
            served,
            server,
        })
    }

    /// Memory of idle connections.
    fn idle(&self, event_loop: EventLoop, tls: bool, torrents: u32) -> anyhow::Result<Idle> {
        let count = self.scale.idle_connections;
        eprintln!(
            "{count} idle {} connections with {torrents} torrents each and {}",
            if tls { "TLS" } else { "plain" },
            event_loop.name
        );
        let daemon = self.daemon(event_loop, tls)?;
        let config = self.config(tls, IDLE_BESIDES);
        // Far below 2^32.
        let peers = (count + IDLE_BESIDES) as u32 * torrents;
        let report = self.load(
            &daemon,
            Config {
                duration_seconds: 1,
                network: NetworkConfig {
                    requests_per_second: 10,
                    ..config.network
                },
                transport: TransportConfig {
                    idle_connections: count,
                    ..config.transport
                },
                population: PopulationConfig {
                    torrents: (peers / PEERS_PER_TORRENT).max(torrents),
                    peers,
                    ..config.population
                },
                ..config
            },
        )?;
        let process = &report.server;
        let bytes = process
            .resident_bytes
            .saturating_sub(process.resident_bytes_before);
        Ok(Idle {
            event_loop,
            tls,
            torrents,
            bytes_per_connection: bytes as f64 / count as f64,
        })
    }

    /// Memory after many connections.
    fn passing(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Passing> {
        eprintln!(
            "{} passing {} connections with {}",
            self.scale.passing_connections,
            if tls { "TLS" } else { "plain" },
            event_loop.name
        );
        let daemon = self.daemon(event_loop, tls)?;
        let config = self.config(tls, self.scale.passing_at_once);
        let config = Config {
            duration_seconds: 1,
            warm_up_seconds: 0,
            requests: RequestsConfig {
                announces_per_connection: 1,
                ..config.requests
            },
            ..config
        };
        self.load(&daemon, config.clone())?;
        thread::sleep(UNTIL_CLOSED);
        let bytes_before = daemon.resident_bytes()?;

        let mut connections = 0;
        while connections < self.scale.passing_connections {
            let report = self.load(
                &daemon,
                Config {
                    duration_seconds: self.scale.seconds,
                    ..config.clone()
                },
            )?;
            ensure!(report.connect.replies > 0, "no connection was opened");
            connections += report.connect.replies;
        }
        thread::sleep(UNTIL_CLOSED);
        Ok(Passing {
            event_loop,
            tls,
            connections,
            empty_bytes: daemon.empty_bytes,
            bytes_before,
            bytes_after: daemon.resident_bytes()?,
        })
    }

    fn daemon(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Server> {
        Server::tcp_daemon(
            self.binaries,
            "aquatic-ws",
            |addresses| daemon_config(addresses, event_loop, tls),
            self.directory,
        )
    }

    fn config_of(&self, row: &Row) -> Config {
        let config = self.config(row.case.tls, self.scale.connections);
        Config {
            // Offers need somebody to get them.
            fill: row.served == Served::Daemon,
            requests: RequestsConfig {
                // An echo is as long as one offer.
                offers: if row.served == Served::Echo && row.case.offers > 0 {
                    1
                } else {
                    row.case.offers
                },
                ..config.requests
            },
            ..config
        }
    }

    /// No offers.
    fn config(&self, tls: bool, connections: usize) -> Config {
        Config {
            progress: false,
            duration_seconds: self.scale.seconds,
            warm_up_seconds: self.scale.warm_up_seconds,
            network: NetworkConfig {
                source_addresses: vec!["127.0.0.1-127.0.0.8".to_owned()],
                timeout_milliseconds: 30_000,
                ..NetworkConfig::default()
            },
            transport: TransportConfig {
                connections,
                tls: TlsConfig {
                    enable: tls,
                    ..TlsConfig::default()
                },
                ..TransportConfig::default()
            },
            population: PopulationConfig {
                torrents: self.scale.torrents,
                peers: self.scale.peers().max(connections as u32),
                // Seeders are sent to leechers only.
                seeder_fraction: 0.1,
                ..PopulationConfig::default()
            },
            requests: RequestsConfig {
                scrape_weight: 0,
                offers: 0,
                description_bytes: DESCRIPTION_BYTES,
                ..RequestsConfig::default()
            },
            ..Config::default()
        }
    }

    fn load(&self, server: &Server, mut config: Config) -> anyhow::Result<Report> {
        config.server_address = server.address.to_string();
        config.server_pid = server.pid();
        let program = self.binaries.path("aquatic-ws-load-test");
        let report = load::run_program(&program, Cores::Load, &config, self.directory)?;
        ensure!(
            report.unexpected == 0,
            "the server has sent {} messages that a tracker does not send",
            report.unexpected
        );
        Ok(report)
    }
}

/// Otherwise there would be less work than was meant.
fn ensure_all_relayed(report: &Report, case: Case) -> anyhow::Result<()> {
    let found = report.all.replies as f64 / report.announce.replies as f64;
    // A reply, offers, and their answers.
    let expected = (1 + 2 * case.offers) as f64;
    ensure!(
        found >= 0.8 * expected,
        "{found:.1} messages came for each announce, and not {expected}"
    );
    Ok(())
}

fn daemon_config(addresses: Addresses, event_loop: EventLoop, tls: bool) -> String {
    let encryption = if tls { encryption() } else { String::new() };
    format!(
        "socket_workers = 1\n\
         log_level = \"error\"\n\
         [network]\n\
         address = \"{}\"\n\
         event_loop = \"{}\"\n\
         tcp_backlog = 4096\n\
         max_connections_per_ip = 0\n\
         {encryption}\
         [protocol]\n\
         max_offers = {OFFERS}\n\
         [cleaning]\n\
         max_peer_age = 28800\n\
         max_connection_idle = 28800\n\
         [metrics]\n\
         address = \"{}\"\n",
        addresses.service, event_loop.name, addresses.metrics,
    )
}

/// Offers in an announce that has some: as many as bittorrent-tracker of npm
/// makes at most.
pub(super) const OFFERS: usize = 10;

/// About what browsers make.
pub(super) const DESCRIPTION_BYTES: usize = 700;

/// Enough that nearly every offer finds a peer.
const PEERS_PER_TORRENT: u32 = 40;

/// Connections besides idle ones: at least one for each source address.
const IDLE_BESIDES: usize = 8;

/// After this time, the daemon has noticed what was closed.
const UNTIL_CLOSED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[test]
    fn the_config_is_one_of_the_daemon() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let addresses = Addresses {
            service: address,
            metrics: address,
        };
        for event_loop in EVENT_LOOPS {
            for tls in [false, true] {
                let text = daemon_config(addresses, event_loop, tls);
                let table: toml::Table = toml::from_str(&text).unwrap();
                assert_eq!(
                    table["network"]["event_loop"].as_str(),
                    Some(event_loop.name)
                );
                assert_eq!(table["network"].get("enable_tls").is_some(), tls);
            }
        }
    }
}
