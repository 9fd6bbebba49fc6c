//! The measurements of `aquatic-http`.

use std::fmt;

use anyhow::{Context, ensure};
use aquatic_load_test::http::{
    Config, NetworkConfig, PopulationConfig, RequestsConfig, TlsConfig, TransportConfig,
};
use aquatic_load_test::numbers::{Count, Microseconds, Seconds, ZeroOr};
use aquatic_load_test::{Latency, Report};

use crate::event_loops::{EVENT_LOOPS, EventLoop};
use crate::load;
use crate::machine::Cores;
use crate::results::{Conditions, Http, IdleHttp, Row, WithAndWithout};
use crate::rows::{self, Label, Sample, median};
use crate::server::{Addresses, Launch, Programs, Server, free_tcp_address};

/// The extent of the measurements.
#[derive(Debug, Clone, Copy)]
struct Scale {
    warm_up_seconds: u32,
    /// The same for loads that are slow to start; none of these if it is 0.
    slow_warm_up_seconds: u32,
    torrents: u32,
    idle_connections: usize,
}

const FULL: Scale = Scale {
    warm_up_seconds: 1,
    slow_warm_up_seconds: 4,
    torrents: 10_000,
    idle_connections: 10_000,
};

const QUICK: Scale = Scale {
    warm_up_seconds: 0,
    slow_warm_up_seconds: 0,
    torrents: 100,
    idle_connections: 500,
};

/// Measures everything, which takes minutes unless `quick` is set.
///
/// # Errors
///
/// If a server or the load test fails, or does something else than intended.
pub(crate) fn measure(conditions: Conditions, quick: bool) -> anyhow::Result<Http> {
    let bench = Bench {
        programs: Programs::build(&conditions.profile, &["aquatic_http"])?,
        scale: if quick { QUICK } else { FULL },
        seconds: conditions.seconds,
        runs: conditions.runs,
    };
    let rows = bench.traffic()?;
    let mut idle = Vec::new();
    for event_loop in EVENT_LOOPS {
        for tls in [false, true] {
            idle.push(bench.idle(event_loop, tls)?);
        }
    }
    Ok(Http {
        conditions,
        torrents: bench.scale.torrents,
        peers: bench.peers(),
        rows,
        idle_connections: bench.scale.idle_connections,
        idle,
    })
}

struct Bench {
    programs: Programs,
    scale: Scale,
    seconds: u32,
    runs: usize,
}

/// Kinds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Plain,
    /// Over TLS; every connection begins with a full handshake.
    Tls,
    /// Over TLS; every connection but the first resumes a session.
    ResumedTls,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    wire: Wire,
    keep_alive: bool,
    connections: usize,
}

impl Case {
    /// All that are measured, in the order of the table.
    fn all() -> impl Iterator<Item = Self> {
        let kinds = [
            (Wire::Plain, true),
            (Wire::Plain, false),
            (Wire::Tls, true),
            (Wire::Tls, false),
            (Wire::ResumedTls, false),
        ];
        kinds.into_iter().flat_map(|(wire, keep_alive)| {
            [FEW_CONNECTIONS, 2000].map(|connections| Self {
                wire,
                keep_alive,
                connections,
            })
        })
    }

    /// Whether many handshakes begin at once, so that it takes seconds until they are spread
    /// evenly.
    fn is_slow_to_start(self) -> bool {
        self.wire != Wire::Plain && !self.keep_alive && self.connections > FEW_CONNECTIONS
    }

    /// Checks that connections were as intended.
    fn ensure_handshakes(self, full: u64, resumed: u64) -> anyhow::Result<()> {
        // A few sessions are lost when many connections share a store.
        ensure!(
            if self.wire == Wire::ResumedTls {
                full <= resumed / 20
            } else {
                resumed == 0
            },
            "{full} handshakes were full and {resumed} resumed a session"
        );
        Ok(())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.wire, self.keep_alive) {
            (Wire::Plain, true) => "kept connections",
            (Wire::Plain, false) => "a connection a request",
            (Wire::Tls | Wire::ResumedTls, true) => "TLS, kept connections",
            (Wire::Tls, false) => "TLS, a full handshake a request",
            (Wire::ResumedTls, false) => "TLS, a resumption a request",
        };
        write!(f, "{kind}, {}", self.connections)
    }
}

/// A kind of load on a server.
#[derive(Debug, Clone, Copy)]
struct Contest {
    case: Case,
    event_loop: EventLoop,
    /// On the bare server instead of the daemon.
    is_bare: bool,
}

impl Contest {
    fn all() -> impl Iterator<Item = Self> {
        let cases = Case::all().flat_map(|case| EVENT_LOOPS.map(|event_loop| (case, event_loop)));
        cases.flat_map(|(case, event_loop)| {
            [true, false]
                .into_iter()
                .filter(move |is_bare| !is_bare || case.wire == Wire::Plain)
                .map(move |is_bare| Self {
                    case,
                    event_loop,
                    is_bare,
                })
        })
    }

    fn label(&self) -> Label {
        let EventLoop {
            name, bare_name, ..
        } = self.event_loop;
        let short = if self.is_bare { bare_name } else { name };
        let kind = if self.case.keep_alive {
            "kept"
        } else {
            "one a request"
        };
        let is_pictured = self.case.wire == Wire::Plain && self.case.connections == FEW_CONNECTIONS;
        Label {
            load: self.case.to_string(),
            server: if self.is_bare {
                bare_name.to_owned()
            } else {
                format!("aquatic-http, {name}")
            },
            bar: is_pictured.then(|| format!("{short}, {kind}")),
        }
    }

    fn has_floor(&self, other: &Self) -> bool {
        other.is_bare && (other.case, other.event_loop) == (self.case, self.event_loop)
    }
}

/// The servers of an event loop, all on one core; only one of them has to do
/// anything at a time.
struct Servers {
    event_loop: EventLoop,
    bare: Server,
    plain: Server,
    tls: Server,
}

impl Bench {
    /// Enough peers for full replies.
    fn peers(&self) -> u32 {
        self.scale.torrents * PEERS_PER_TORRENT
    }

    /// All cases over all servers, interleaved.
    fn traffic(&self) -> anyhow::Result<Vec<Row>> {
        let servers: Vec<Servers> = EVENT_LOOPS
            .into_iter()
            .map(|event_loop| self.servers(event_loop))
            .collect::<anyhow::Result<_>>()?;
        let with_slow = self.scale.slow_warm_up_seconds > 0;
        let contests: Vec<Contest> = Contest::all()
            .filter(|contest| with_slow || !contest.case.is_slow_to_start())
            .collect();
        let mut rows = rows::measure(self.runs, &contests, Contest::label, |contest| {
            let servers = servers
                .iter()
                .find(|servers| servers.event_loop == contest.event_loop)
                .context("an event loop without servers")?;
            let server = match (contest.is_bare, contest.case.wire) {
                (true, _) => &servers.bare,
                (false, Wire::Plain) => &servers.plain,
                (false, _) => &servers.tls,
            };
            let report = self.load(server, &self.config(contest.case))?;
            if let Some(connections) = &report.connections {
                let (full, resumed) = (connections.full_handshakes, connections.resumed_handshakes);
                contest.case.ensure_handshakes(full, resumed)?;
            }
            Sample::of(&report)
        })?;
        rows::compare(&mut rows, &contests, "floor", Contest::has_floor);
        Ok(rows)
    }

    /// Starts the servers of an event loop, and announces all peers to the daemons.
    fn servers(&self, event_loop: EventLoop) -> anyhow::Result<Servers> {
        let bare = event_loop.bare_program("http");
        let servers = Servers {
            event_loop,
            bare: Server::bare(&self.programs, &bare, free_tcp_address()?, &[])?,
            plain: self.daemon(event_loop, false)?,
            tls: self.daemon(event_loop, true)?,
        };
        eprintln!("announcing {} peers with {}", self.peers(), event_loop.name);
        for (server, wire) in [(&servers.plain, Wire::Plain), (&servers.tls, Wire::Tls)] {
            let config = Config {
                fill: true,
                duration_seconds: Seconds::of::<1>(),
                warm_up_seconds: Seconds::of::<0>(),
                ..self.config(Case {
                    wire,
                    keep_alive: true,
                    connections: FEW_CONNECTIONS,
                })
            };
            self.load(server, &config)?;
        }
        Ok(servers)
    }

    /// Memory of idle connections, and the latency of requests over others.
    fn idle(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<IdleHttp> {
        let count = self.scale.idle_connections;
        let name = event_loop.over(tls);
        eprintln!("{count} idle connections, {name}");
        let daemon = self.daemon(event_loop, tls)?;
        let config = |idle_connections| {
            let config = self.config(Case {
                wire: if tls { Wire::Tls } else { Wire::Plain },
                keep_alive: true,
                connections: FEW_CONNECTIONS,
            });
            Config {
                network: NetworkConfig {
                    requests_per_second: ZeroOr::of::<IDLE_REQUESTS_PER_SECOND>(),
                    // Its wake-ups for metrics are not to be measured.
                    spin_microseconds: Microseconds::of::<1_000>(),
                    ..config.network
                },
                transport: TransportConfig {
                    idle_connections: Count::nearest(idle_connections),
                    ..config.transport
                },
                population: PopulationConfig {
                    // Almost empty, so that the memory is that of connections.
                    torrents: Count::of::<10>(),
                    peers: Count::nearest(10 * PEERS_PER_TORRENT),
                    ..config.population
                },
                ..config
            }
        };

        let mut memory = None;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            without.push(self.load(&daemon, &config(0))?.all.latency);
            let report = self.load(&daemon, &config(count))?;
            // Later rounds may reuse the memory of the first.
            let process = rows::process(&report)?;
            memory.get_or_insert(
                process
                    .resident_bytes
                    .saturating_sub(process.resident_bytes_before),
            );
            with.push(report.all.latency);
        }
        let medians = |value: fn(&Latency) -> f64| WithAndWithout {
            with: median(with.iter().map(value).collect()),
            without: median(without.iter().map(value).collect()),
        };
        Ok(IdleHttp {
            server: name,
            bytes_per_connection: memory.unwrap_or(0) as f64 / count as f64,
            p50_microseconds: medians(|latency| latency.p50_microseconds),
            p99_microseconds: medians(|latency| latency.p99_microseconds),
        })
    }

    fn daemon(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Server> {
        let addresses = Addresses {
            service: free_tcp_address()?,
            metrics: free_tcp_address()?,
        };
        let config = daemon_config(addresses, event_loop, tls);
        let launch = Launch {
            name: "aquatic-http",
            cores: Cores::Server,
            addresses,
            config: &config,
            runtime_directory: None,
        };
        Server::daemon(&self.programs, &launch)
    }

    fn config(&self, case: Case) -> Config {
        Config {
            duration_seconds: Seconds::nearest(self.seconds),
            warm_up_seconds: Seconds::nearest(if case.is_slow_to_start() {
                self.scale.slow_warm_up_seconds
            } else {
                self.scale.warm_up_seconds
            }),
            network: NetworkConfig {
                source_addresses: vec!["127.0.0.1-127.0.0.32".to_owned()],
                ..NetworkConfig::default()
            },
            transport: TransportConfig {
                connections: Count::nearest(case.connections),
                tls: TlsConfig {
                    enable: case.wire != Wire::Plain,
                    resumption: case.wire == Wire::ResumedTls,
                    ..TlsConfig::default()
                },
                ..TransportConfig::default()
            },
            population: PopulationConfig {
                torrents: Count::nearest(self.scale.torrents),
                peers: Count::nearest(self.peers()),
                // Seeders only get leechers.
                seeder_fraction: 0.1,
                ..PopulationConfig::default()
            },
            requests: RequestsConfig {
                keep_alive: case.keep_alive,
                scrape_weight: 0,
                peers_wanted: ZeroOr::of::<30>(),
                ..RequestsConfig::default()
            },
            ..Config::default()
        }
    }

    fn load(&self, server: &Server, config: &Config) -> anyhow::Result<Report> {
        let program = "aquatic-http-load-test";
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
}

fn daemon_config(addresses: Addresses, event_loop: EventLoop, tls: bool) -> String {
    event_loop.daemon_config(addresses, tls, "max_response_peers = 30")
}

/// Few enough for their handshakes to begin at about the same time.
const FEW_CONNECTIONS: usize = 64;

/// Enough for nearly every reply to have 30.
const PEERS_PER_TORRENT: u32 = 40;

/// Few enough to never wait for the CPU.
const IDLE_REQUESTS_PER_SECOND: u64 = 5_000;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::Path;

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
        assert!(table["network"].get("enable_tls").is_none());
    }

    #[test]
    fn plain_rows_have_a_floor_of_the_same_load() {
        let all: Vec<Contest> = Contest::all().collect();
        assert_eq!(all.len(), 28);
        for contest in &all {
            let mut floors = all.iter().filter(|other| contest.has_floor(other));
            assert_eq!(
                floors.next().is_some(),
                contest.case.wire == Wire::Plain,
                "{contest:?}"
            );
            assert!(floors.next().is_none(), "{contest:?}");
        }
        let bars: Vec<_> = all.iter().filter_map(|it| it.label().bar).collect();
        assert_eq!(bars.len(), 8);
        assert_eq!(bars[..2], ["bare epoll, kept", "mio, kept"]);
    }

    #[test]
    fn handshakes_must_be_of_the_kind() {
        let ensure = |wire, full_handshakes, resumed_handshakes| {
            let case = Case {
                wire,
                keep_alive: false,
                connections: FEW_CONNECTIONS,
            };
            case.ensure_handshakes(full_handshakes, resumed_handshakes)
        };
        assert!(ensure(Wire::Tls, 100, 0).is_ok());
        assert!(ensure(Wire::Tls, 100, 1).is_err());
        assert!(ensure(Wire::ResumedTls, 1, 100).is_ok());
        assert!(ensure(Wire::ResumedTls, 50, 100).is_err());
    }
}
