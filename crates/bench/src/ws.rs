//! The measurements of `aquatic-ws`.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use aquatic_load_test::Report;
use aquatic_load_test::numbers::{Bytes, Count, Milliseconds, Seconds, ZeroOr};
use aquatic_load_test::ws::{
    Config, NetworkConfig, PopulationConfig, RequestsConfig, TlsConfig, TransportConfig,
};
use strum::VariantArray;

use crate::event_loops::{EVENT_LOOPS, EventLoop, certificate};
use crate::load;
use crate::machine::Cores;
use crate::results::{Conditions, IdleWs, Passing, Row, Ws};
use crate::rows::{self, Label, Sample};
use crate::server::{Addresses, Launch, Programs, Server, free_tcp_address};

/// The extent of the measurements.
#[derive(Debug, Clone, Copy)]
struct Scale {
    warm_up_seconds: u32,
    torrents: u32,
    connections: usize,
    idle_connections: usize,
    /// Number of connections that are opened and closed.
    passing_connections: u64,
    /// Number of them that are open at the same time.
    passing_at_once: usize,
}

const FULL: Scale = Scale {
    warm_up_seconds: 1,
    torrents: 100,
    connections: 200,
    idle_connections: 10_000,
    passing_connections: 100_000,
    passing_at_once: 1_000,
};

const QUICK: Scale = Scale {
    warm_up_seconds: 0,
    torrents: 20,
    connections: 64,
    idle_connections: 200,
    passing_connections: 500,
    passing_at_once: 100,
};

/// Measures everything, which takes minutes unless `quick` is set.
///
/// # Errors
///
/// If a server or the load test fails, or does something else than intended.
pub(crate) fn measure(conditions: Conditions, quick: bool) -> anyhow::Result<Ws> {
    let bench = Bench {
        programs: Programs::build(&conditions.profile, &["aquatic_ws"])?,
        scale: if quick { QUICK } else { FULL },
        seconds: conditions.seconds,
        runs: conditions.runs,
    };
    let rows = bench.traffic()?;
    let (mut idle, mut passing) = (Vec::new(), Vec::new());
    for event_loop in EVENT_LOOPS {
        for tls in [false, true] {
            idle.push(bench.idle(event_loop, tls)?);
            passing.push(bench.passing(event_loop, tls)?);
        }
    }
    Ok(Ws {
        conditions,
        connections: bench.scale.connections,
        torrents: bench.scale.torrents,
        peers: bench.peers(),
        offers: OFFERS,
        description_bytes: DESCRIPTION_BYTES,
        rows,
        idle_connections: bench.scale.idle_connections,
        idle,
        passing_at_once: bench.scale.passing_at_once,
        passing,
    })
}

struct Bench {
    programs: Programs,
    scale: Scale,
    seconds: u32,
    runs: usize,
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
enum Served {
    /// An echo server.
    Echo,
    /// A bare server that sends what a tracker sends.
    Relay,
    Daemon,
}

/// A server, all of them on one core; only one has to do anything at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contender {
    event_loop: EventLoop,
    tls: bool,
    served: Served,
}

impl Contender {
    fn all() -> impl Iterator<Item = Self> {
        EVENT_LOOPS.into_iter().flat_map(|event_loop| {
            [false, true].into_iter().flat_map(move |tls| {
                Served::VARIANTS.iter().map(move |&served| Self {
                    event_loop,
                    tls,
                    served,
                })
            })
        })
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventLoop {
            name, bare_name, ..
        } = self.event_loop;
        match self.served {
            Served::Echo => write!(f, "{bare_name}, echo"),
            Served::Relay => write!(f, "{bare_name}, relay"),
            Served::Daemon => write!(f, "aquatic-ws, {name}"),
        }
    }
}

/// A kind of load on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contest {
    contender: Contender,
    /// In an announce.
    offers: usize,
}

impl Contest {
    /// All that are measured, in the order of the table.
    fn all() -> impl Iterator<Item = Self> {
        [0, OFFERS].into_iter().flat_map(|offers| {
            [false, true].into_iter().flat_map(move |tls| {
                Contender::all()
                    .filter(move |it| it.tls == tls)
                    // Without offers there is nothing to relay.
                    .filter(move |it| it.served != Served::Relay || offers > 0)
                    .map(move |contender| Self { contender, offers })
            })
        })
    }

    fn label(&self) -> Label {
        let Contender {
            event_loop,
            tls,
            served,
        } = self.contender;
        let wire = if tls { ", TLS" } else { "" };
        let short = match served {
            Served::Daemon => event_loop.name,
            Served::Echo | Served::Relay => event_loop.bare_name,
        };
        let is_pictured = self.offers > 0 && served != Served::Echo;
        Label {
            load: format!("{} offers{wire}", self.offers),
            server: self.contender.to_string(),
            bar: is_pictured.then(|| format!("{short}{wire}")),
        }
    }

    /// The same load on another server with the same event loop.
    fn on(self, served: Served) -> Self {
        Self {
            contender: Contender {
                served,
                ..self.contender
            },
            ..self
        }
    }

    /// Checks that there was as much work as intended.
    fn ensure_all_relayed(self, report: &Report) -> anyhow::Result<()> {
        if self.contender.served == Served::Echo {
            return Ok(());
        }
        let found = report.all.replies as f64 / report.announce.replies as f64;
        // A reply, offers, and their answers.
        let expected = (1 + 2 * self.offers) as f64;
        ensure!(
            found >= 0.8 * expected,
            "{found:.1} messages came for each announce, and not {expected}"
        );
        Ok(())
    }
}

impl Bench {
    fn peers(&self) -> u32 {
        self.scale.torrents * PEERS_PER_TORRENT
    }

    /// All loads on all servers, interleaved.
    fn traffic(&self) -> anyhow::Result<Vec<Row>> {
        let contenders: Vec<(Contender, Server)> = Contender::all()
            .map(|contender| Ok((contender, self.start(contender)?)))
            .collect::<anyhow::Result<_>>()?;
        let contests: Vec<Contest> = Contest::all().collect();
        let mut rows = rows::measure(self.runs, &contests, Contest::label, |contest| {
            let mut contenders = contenders.iter();
            let (_, server) = contenders
                .find(|(contender, _)| *contender == contest.contender)
                .context("a row without a server")?;
            let report = self.load(server, &self.config_of(contest))?;
            contest.ensure_all_relayed(&report)?;
            Sample::of_announces(&report)
        })?;
        for (name, served) in [("relay", Served::Relay), ("echo", Served::Echo)] {
            rows::compare(&mut rows, &contests, name, |contest, other| {
                *other == contest.on(served)
            });
        }
        Ok(rows)
    }

    fn start(&self, contender: Contender) -> anyhow::Result<Server> {
        let Contender {
            event_loop,
            tls,
            served,
        } = contender;
        let offers = match served {
            Served::Daemon => return self.daemon(event_loop, tls),
            Served::Relay => OFFERS,
            Served::Echo => 0,
        };
        let mut arguments = vec![offers.to_string(), DESCRIPTION_BYTES.to_string()];
        if tls {
            arguments.extend(certificate().map(|path| path.display().to_string()));
        }
        let name = event_loop.bare_program("ws");
        Server::bare(&self.programs, &name, free_tcp_address()?, &arguments)
    }

    /// Memory of idle connections, by how many torrents each has announced.
    fn idle(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<IdleWs> {
        let count = self.scale.idle_connections;
        let server = event_loop.over(tls);
        let memory = |torrents: u32| {
            eprintln!("{count} idle connections with {torrents} torrents each, {server}");
            let daemon = self.daemon(event_loop, tls)?;
            let config = self.config(tls, IDLE_BESIDES);
            // Far below 2^32.
            let peers = (count + IDLE_BESIDES) as u32 * torrents;
            let config = Config {
                duration_seconds: Seconds::of::<1>(),
                network: NetworkConfig {
                    requests_per_second: ZeroOr::of::<10>(),
                    ..config.network
                },
                transport: TransportConfig {
                    idle_connections: Count::nearest(count),
                    ..config.transport
                },
                population: PopulationConfig {
                    torrents: Count::nearest((peers / PEERS_PER_TORRENT).max(torrents)),
                    peers: Count::nearest(peers),
                    ..config.population
                },
                ..config
            };
            let process = rows::process(&self.load(&daemon, &config)?)?;
            let bytes = process
                .resident_bytes
                .saturating_sub(process.resident_bytes_before);
            Ok((torrents, bytes as f64 / count as f64))
        };
        let bytes_per_connection: anyhow::Result<_> =
            [1, 10, 100].into_iter().map(memory).collect();
        Ok(IdleWs {
            bytes_per_connection: bytes_per_connection?,
            server,
        })
    }

    /// Memory after many connections were closed.
    fn passing(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Passing> {
        let server = event_loop.over(tls);
        let many = self.scale.passing_connections;
        eprintln!("{many} passing connections, {server}");
        let daemon = self.daemon(event_loop, tls)?;
        let config = self.config(tls, self.scale.passing_at_once);
        let config = Config {
            duration_seconds: Seconds::of::<1>(),
            warm_up_seconds: Seconds::of::<0>(),
            requests: RequestsConfig {
                announces_per_connection: ZeroOr::of::<1>(),
                ..config.requests
            },
            ..config
        };
        self.load(&daemon, &config)?;
        thread::sleep(UNTIL_CLOSED);
        let some_bytes = daemon.resident_bytes()?;

        let config = Config {
            duration_seconds: Seconds::nearest(self.seconds),
            ..config
        };
        let mut connections = 0;
        while connections < many {
            let report = self.load(&daemon, &config)?;
            ensure!(report.connect.replies > 0, "no connection was opened");
            connections += report.connect.replies;
        }
        thread::sleep(UNTIL_CLOSED);
        Ok(Passing {
            server,
            connections,
            empty_bytes: daemon.empty_bytes,
            some_bytes,
            all_bytes: daemon.resident_bytes()?,
        })
    }

    fn daemon(&self, event_loop: EventLoop, tls: bool) -> anyhow::Result<Server> {
        let addresses = Addresses {
            service: free_tcp_address()?,
            metrics: free_tcp_address()?,
        };
        let config = daemon_config(addresses, event_loop, tls);
        let launch = Launch {
            name: "aquatic-ws",
            cores: Cores::Server,
            addresses,
            config: &config,
            runtime_directory: None,
        };
        Server::daemon(&self.programs, &launch)
    }

    fn config_of(&self, contest: &Contest) -> Config {
        let Contest { contender, offers } = *contest;
        let config = self.config(contender.tls, self.scale.connections);
        Config {
            // Offers are only relayed if there are other peers.
            fill: contender.served == Served::Daemon,
            requests: RequestsConfig {
                // An echo is as long as one offer.
                offers: Count::nearest(match contender.served {
                    Served::Echo => offers.min(1),
                    Served::Relay | Served::Daemon => offers,
                }),
                ..config.requests
            },
            ..config
        }
    }

    /// No offers.
    fn config(&self, tls: bool, connections: usize) -> Config {
        Config {
            duration_seconds: Seconds::nearest(self.seconds),
            warm_up_seconds: Seconds::nearest(self.scale.warm_up_seconds),
            network: NetworkConfig {
                source_addresses: vec!["127.0.0.1-127.0.0.8".to_owned()],
                timeout_milliseconds: Milliseconds::of::<30_000>(),
                ..NetworkConfig::default()
            },
            transport: TransportConfig {
                connections: Count::nearest(connections),
                tls: TlsConfig {
                    enable: tls,
                    ..TlsConfig::default()
                },
                ..TransportConfig::default()
            },
            population: PopulationConfig {
                torrents: Count::nearest(self.scale.torrents),
                peers: Count::nearest(self.peers().max(connections as u32)),
                // Seeders are sent to leechers only.
                seeder_fraction: 0.1,
                ..PopulationConfig::default()
            },
            requests: RequestsConfig {
                scrape_weight: 0,
                offers: Count::of::<0>(),
                description_bytes: Bytes::of::<{ DESCRIPTION_BYTES as u64 }>(),
                ..RequestsConfig::default()
            },
            ..Config::default()
        }
    }

    fn load(&self, server: &Server, config: &Config) -> anyhow::Result<Report> {
        let program = "aquatic-ws-load-test";
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
    event_loop.daemon_config(addresses, tls, &format!("max_offers = {OFFERS}"))
}

/// Offers in an announce with offers: the maximum of npm's bittorrent-tracker.
const OFFERS: usize = 10;

/// About the length in browsers.
const DESCRIPTION_BYTES: usize = 700;

/// Enough for nearly every offer to find a peer.
const PEERS_PER_TORRENT: u32 = 40;

/// Connections besides idle ones: at least one for each source address.
const IDLE_BESIDES: usize = 8;

/// Time after which the daemon has noticed closed connections.
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

    #[test]
    fn every_row_has_an_echo_and_where_there_are_offers_a_relay() {
        let all: Vec<Contest> = Contest::all().collect();
        assert_eq!(all.len(), 20);
        for contest in &all {
            assert!(all.contains(&contest.on(Served::Echo)), "{contest:?}");
            let has_relay = all.contains(&contest.on(Served::Relay));
            assert_eq!(has_relay, contest.offers > 0, "{contest:?}");
        }
        let bars: Vec<_> = all.iter().filter_map(|it| it.label().bar).collect();
        assert_eq!(bars.len(), 8);
        assert_eq!(bars[..2], ["bare epoll", "mio"]);
    }
}
