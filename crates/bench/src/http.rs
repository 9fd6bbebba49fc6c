//! What is measured for `aquatic-http`.

use std::path::Path;

use anyhow::{Context, ensure};
use aquatic_load_test::http::{
    Config, NetworkConfig, PopulationConfig, RequestsConfig, TlsConfig, TransportConfig,
};

use super::event_loops::{EVENT_LOOPS, EventLoop, encryption};
use super::http_row::{Case, Row, Wire};
use super::load::{self, Latency, Report};
use super::machine::{Cores, Machine};
use super::samples::median;
use super::server::{Addresses, Binaries, Server};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) seconds: u32,
    warm_up_seconds: u32,
    /// The same for loads that are slow to start; none of these if it is 0.
    slow_warm_up_seconds: u32,
    pub(super) runs: usize,
    pub(super) torrents: u32,
    pub(super) idle_connections: usize,
}

impl Scale {
    pub(super) fn new(arguments: &super::Arguments) -> Self {
        if arguments.quick {
            Self {
                seconds: 1,
                warm_up_seconds: 0,
                slow_warm_up_seconds: 0,
                runs: 1,
                torrents: 100,
                idle_connections: 500,
            }
        } else {
            Self {
                seconds: arguments.seconds,
                warm_up_seconds: 1,
                slow_warm_up_seconds: 4,
                runs: arguments.runs,
                torrents: 10_000,
                idle_connections: 10_000,
            }
        }
    }

    /// Enough for a full reply to each of them.
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
}

/// What connections cost that do nothing.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) event_loop: EventLoop,
    pub(super) tls: bool,
    pub(super) bytes_per_connection: f64,
    pub(super) latency_without: Latency,
    pub(super) latency_with: Latency,
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
    let mut idle = Vec::new();
    for event_loop in EVENT_LOOPS {
        for tls in [false, true] {
            idle.push(bench.idle(event_loop, tls)?);
        }
    }
    Ok(Results {
        machine: Machine::this(),
        scale,
        rows,
        idle,
    })
}

struct Bench<'a> {
    binaries: &'a Binaries,
    scale: Scale,
    directory: &'a Path,
}

/// The servers of an event loop, all on one core; only one of them has to do
/// anything at a time.
struct Servers {
    event_loop: EventLoop,
    bare: Server,
    plain: Server,
    tls: Server,
}

impl Bench<'_> {
    /// All cases over all servers, in turns.
    fn traffic(&self) -> anyhow::Result<Vec<Row>> {
        let mut all = Vec::new();
        for event_loop in EVENT_LOOPS {
            let servers = Servers {
                event_loop,
                bare: Server::bare_tcp(self.binaries, &event_loop.bare_program("http"), &[])?,
                plain: self.daemon(event_loop, false)?,
                tls: self.daemon(event_loop, true)?,
            };
            eprintln!(
                "announcing {} peers with {}",
                self.scale.peers(),
                event_loop.name
            );
            for (server, wire) in [(&servers.plain, Wire::Plain), (&servers.tls, Wire::Tls)] {
                let case = Case {
                    wire,
                    keep_alive: true,
                    connections: 64,
                };
                let config = Config {
                    fill: true,
                    duration_seconds: 1,
                    warm_up_seconds: 0,
                    ..self.config(case)
                };
                self.load(server, config)?;
            }
            all.push(servers);
        }

        let with_slow = self.scale.slow_warm_up_seconds > 0;
        let mut rows: Vec<Row> = Case::all()
            .filter(|case| with_slow || !case.is_slow_to_start())
            .flat_map(|case| {
                EVENT_LOOPS.into_iter().flat_map(move |event_loop| {
                    let bare = (case.wire == Wire::Plain).then(|| Row::new(case, event_loop, true));
                    bare.into_iter().chain([Row::new(case, event_loop, false)])
                })
            })
            .collect();
        for _ in 0..self.scale.runs {
            for row in &mut rows {
                let servers = all
                    .iter()
                    .find(|servers| servers.event_loop == row.event_loop)
                    .context("an event loop without servers")?;
                let server = match (row.is_bare, row.case.wire) {
                    (true, _) => &servers.bare,
                    (false, Wire::Plain) => &servers.plain,
                    (false, _) => &servers.tls,
                };
                let report = self.load(server, self.config(row.case))?;
                row.add(report)?;
            }
        }
        Ok(rows)
    }

    /// Memory of idle connections, and how long others wait because of them.
    fn idle(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Idle> {
        let count = self.scale.idle_connections;
        let protocol = if tls { "TLS" } else { "plain" };
        eprintln!(
            "{count} idle {protocol} connections with {}",
            event_loop.name
        );
        let daemon = self.daemon(event_loop, tls)?;
        let config = |idle_connections| {
            let config = self.config(Case {
                wire: if tls { Wire::Tls } else { Wire::Plain },
                keep_alive: true,
                connections: 64,
            });
            Config {
                network: NetworkConfig {
                    requests_per_second: IDLE_REQUESTS_PER_SECOND,
                    // Its own wake-ups are not to be measured.
                    spin_microseconds: 1_000,
                    ..config.network
                },
                transport: TransportConfig {
                    idle_connections,
                    ..config.transport
                },
                population: PopulationConfig {
                    // Almost nothing, so that memory is that of connections.
                    torrents: 10,
                    peers: 10 * PEERS_PER_TORRENT,
                    ..config.population
                },
                ..config
            }
        };

        let mut memory = None;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..self.scale.runs {
            without.push(self.load(&daemon, config(0))?);
            let report = self.load(&daemon, config(count))?;
            // Later, the memory of the first round may be used again.
            let process = &report.server;
            memory.get_or_insert(
                process
                    .resident_bytes
                    .saturating_sub(process.resident_bytes_before),
            );
            with.push(report);
        }
        Ok(Idle {
            event_loop,
            tls,
            bytes_per_connection: memory.unwrap_or(0) as f64 / count as f64,
            latency_without: median_latency(&without),
            latency_with: median_latency(&with),
        })
    }

    fn daemon(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Server> {
        Server::tcp_daemon(
            self.binaries,
            "aquatic-http",
            |addresses| daemon_config(addresses, event_loop, tls),
            self.directory,
        )
    }

    fn config(&self, case: Case) -> Config {
        Config {
            progress: false,
            duration_seconds: self.scale.seconds,
            warm_up_seconds: if case.is_slow_to_start() {
                self.scale.slow_warm_up_seconds
            } else {
                self.scale.warm_up_seconds
            },
            network: NetworkConfig {
                source_addresses: vec!["127.0.0.1-127.0.0.32".to_owned()],
                ..NetworkConfig::default()
            },
            transport: TransportConfig {
                connections: case.connections,
                tls: TlsConfig {
                    enable: case.wire != Wire::Plain,
                    resumption: case.wire == Wire::ResumedTls,
                    ..TlsConfig::default()
                },
                ..TransportConfig::default()
            },
            population: PopulationConfig {
                torrents: self.scale.torrents,
                peers: self.scale.peers(),
                // Seeders are sent leechers only.
                seeder_fraction: 0.1,
                ..PopulationConfig::default()
            },
            requests: RequestsConfig {
                keep_alive: case.keep_alive,
                scrape_weight: 0,
                peers_wanted: 30,
                ..RequestsConfig::default()
            },
            ..Config::default()
        }
    }

    fn load(&self, server: &Server, mut config: Config) -> anyhow::Result<Report> {
        config.server_address = server.address.to_string();
        config.server_pid = server.pid();
        let program = self.binaries.path("aquatic-http-load-test");
        let report = load::run_program(&program, Cores::Load, &config, self.directory)?;
        ensure!(
            report.unexpected == 0,
            "the server has sent {} replies that are none",
            report.unexpected
        );
        Ok(report)
    }
}

fn median_latency(reports: &[Report]) -> Latency {
    let of = |value: fn(&Latency) -> f64| {
        median(
            reports
                .iter()
                .map(|report| value(&report.all.latency))
                .collect(),
        )
    };
    Latency {
        p50_microseconds: of(|latency| latency.p50_microseconds),
        p99_microseconds: of(|latency| latency.p99_microseconds),
        p999_microseconds: of(|latency| latency.p999_microseconds),
        max_microseconds: of(|latency| latency.max_microseconds),
    }
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
         max_peers = 30\n\
         [cleaning]\n\
         max_peer_age = 28800\n\
         [metrics]\n\
         address = \"{}\"\n",
        addresses.service, event_loop.name, addresses.metrics,
    )
}

/// Enough that nearly every reply has 30.
const PEERS_PER_TORRENT: u32 = 40;

/// Few enough that nobody has to wait for the processor.
const IDLE_REQUESTS_PER_SECOND: u32 = 5_000;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[test]
    fn the_config_is_toml() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let addresses = Addresses {
            service: address,
            metrics: address,
        };
        let table: toml::Table =
            toml::from_str(&daemon_config(addresses, EVENT_LOOPS[1], true)).unwrap();
        assert_eq!(table["network"]["event_loop"].as_str(), Some("glommio"));
        for key in ["tls_certificate_path", "tls_private_key_path"] {
            let path = table["network"][key].as_str().unwrap();
            assert!(Path::new(path).is_file(), "{path}");
        }
        let table: toml::Table =
            toml::from_str(&daemon_config(addresses, EVENT_LOOPS[0], false)).unwrap();
        assert!(
            !table["network"]
                .as_table()
                .unwrap()
                .contains_key("enable_tls")
        );
    }
}
