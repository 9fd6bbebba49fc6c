//! CPU time of a node for requests, and of its threads for records.

use std::thread;
use std::time::{Duration, Instant};

use super::stand_in::{Population, StandIn};
use super::{Bench, node};
use crate::results::{Capacity, PerRecord, Row};
use crate::rows::{self, Label, Sample};
use crate::server::Server;
use crate::threads;
use crate::udp::requests::{ANNOUNCES, ANNOUNCES_NAME, MIXED, MIXED_NAME, Shares};

/// The measured nodes, all with the same torrents and peers.
pub(super) struct Nodes {
    pub(super) alone: Server,
    /// An `aquatic-udp`, and an `aquatic-http` without requests.
    pub(super) linked: [Server; 2],
    pub(super) through_engine: Option<ThroughEngine>,
}

/// A node that shares its swarm through an engine.
pub(super) struct ThroughEngine {
    /// The label of its rows.
    pub(super) engine_name: String,
    pub(super) node: Server,
    /// The other node.
    pub(super) stand_in: StandIn,
    pub(super) population: Population,
}

/// The results of these nodes.
pub(super) struct Traffic {
    pub(super) rows: Vec<Row>,
    pub(super) capacities: Vec<Capacity>,
    pub(super) per_record: Vec<PerRecord>,
}

/// The compared cases.
struct Contest<'a> {
    setup: Setup,
    label: Label,
    shares: Shares,
    server: &'a Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    Alone,
    Local,
    Engine,
    /// Another node publishes as many records.
    AnotherAsBusy,
}

/// The work of a thread with records.
struct Job<'a> {
    what: &'static str,
    setup: Setup,
    server: &'a Server,
    thread: &'static str,
    /// The metric that counts its records, and one of records to subtract.
    counted: &'static str,
    not_counted: Option<&'static str>,
    spent: Spent,
}

/// CPU time, records and duration of a thread.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    cpu: Duration,
    time: Duration,
    records: f64,
}

const UDP_SENT: &str = "aquatic_udp_cluster_records_sent_total";
const UDP_RECEIVED: &str = "aquatic_udp_cluster_records_received_total";
const HTTP_RECEIVED: &str = "aquatic_http_cluster_records_received_total";

/// Records of another node for a node that is otherwise idle.
const IDLE_RECORDS_PER_SECOND: u32 = 200_000;

/// Measures all rows, interleaved, and the CPU time of threads meanwhile.
///
/// # Errors
///
/// A daemon or the load test fails.
pub(super) fn measure(bench: &Bench, nodes: &Nodes) -> anyhow::Result<Traffic> {
    let contests = contests(nodes);
    let mut jobs = jobs(nodes);
    let measure = |contest: &Contest<'_>| {
        let is_theirs = |job: &&mut Job<'_>| job.setup == contest.setup && contest.shares == MIXED;
        let started = Instant::now();
        let mut before = Vec::new();
        for job in jobs.iter_mut().filter(is_theirs) {
            before.push(job.total()?);
        }
        let load = || {
            let config = bench.load_config(contest.shares);
            bench.load(contest.server, &config)
        };
        let report = match &nodes.through_engine {
            Some(others) if contest.setup == Setup::AnotherAsBusy => {
                let (report, published) = others.stand_in.follow(&others.population, load)?;
                eprintln!("another node has published {published} records");
                report?
            }
            _ => load()?,
        };
        for (job, before) in jobs.iter_mut().filter(is_theirs).zip(before) {
            job.add(before, started.elapsed())?;
        }
        Sample::of(&report)
    };
    let mut rows = rows::measure(bench.runs, &contests, |it| it.label.clone(), measure)?;
    rows::compare(&mut rows, &contests, "alone", |one, other| {
        other.setup == Setup::Alone && other.shares == one.shares
    });
    let mut per_record: Vec<PerRecord> = jobs.iter().map(Job::per_record).collect();
    if let Some(others) = &nodes.through_engine {
        per_record.push(idle(bench, others)?);
    }
    Ok(Traffic {
        capacities: capacities(&contests, &rows),
        rows,
        per_record,
    })
}

/// Extrapolation to many nodes.
fn capacities(contests: &[Contest<'_>], rows: &[Row]) -> Vec<Capacity> {
    let cpu = |setup, load: &str| {
        let mut found = contests.iter().zip(rows);
        let (_, row) = found.find(|(it, row)| it.setup == setup && row.load == load)?;
        Some(row.cpu_microseconds.median)
    };
    let capacity = |load: &str| {
        let alone = cpu(Setup::Alone, load)?;
        let shared = cpu(Setup::Engine, load)? / alone;
        // On a busy machine, the difference may be negative.
        let another = (cpu(Setup::AnotherAsBusy, load)? / alone - shared).max(0.0);
        Some(Capacity {
            load: load.to_owned(),
            shared,
            another,
        })
    };
    [MIXED_NAME, ANNOUNCES_NAME]
        .into_iter()
        .filter_map(capacity)
        .collect()
}

fn contests(nodes: &Nodes) -> Vec<Contest<'_>> {
    let contest = |setup, shares, server, name: &str, with: String| Contest {
        setup,
        label: Label {
            load: name.to_owned(),
            server: with,
            bar: None,
        },
        shares,
        server,
    };
    let [linked, _] = &nodes.linked;
    let mut contests = Vec::new();
    for (shares, name) in [(MIXED, MIXED_NAME), (ANNOUNCES, ANNOUNCES_NAME)] {
        let alone = "aquatic-udp alone".to_owned();
        contests.push(contest(Setup::Alone, shares, &nodes.alone, name, alone));
        if shares == MIXED {
            let with = "linked with an idle aquatic-http".to_owned();
            contests.push(contest(Setup::Local, shares, linked, name, with));
        }
        let Some(others) = &nodes.through_engine else {
            continue;
        };
        let engine = &others.engine_name;
        for (setup, with) in [
            (Setup::Engine, format!("with {engine}")),
            (
                Setup::AnotherAsBusy,
                format!("with {engine}, another node as busy"),
            ),
        ] {
            contests.push(contest(setup, shares, &others.node, name, with));
        }
    }
    contests
}

fn jobs(nodes: &Nodes) -> Vec<Job<'_>> {
    let [udp, http] = &nodes.linked;
    let mut jobs = vec![
        Job::new("sending, local", Setup::Local, udp, "cluster", UDP_SENT),
        Job::new(
            "receiving and applying, local, on an idle node",
            Setup::Local,
            http,
            "cluster",
            HTTP_RECEIVED,
        ),
    ];
    if let Some(others) = &nodes.through_engine {
        let node = &others.node;
        jobs.extend([
            Job::new(
                "publishing, engine",
                Setup::Engine,
                node,
                "cluster-out",
                UDP_SENT,
            ),
            Job::new(
                "reading its own, engine",
                Setup::Engine,
                node,
                "cluster-in",
                UDP_RECEIVED,
            ),
            Job {
                not_counted: Some(UDP_SENT),
                ..Job::new(
                    "reading and applying those of another node as busy, and reading its own, \
                     engine",
                    Setup::AnotherAsBusy,
                    node,
                    "cluster-in",
                    UDP_RECEIVED,
                )
            },
        ]);
    }
    jobs
}

/// The cost of reading for a node without requests.
fn idle(bench: &Bench, others: &ThroughEngine) -> anyhow::Result<PerRecord> {
    let mut job = Job::new(
        "reading and applying those of another node, engine, on an idle node",
        Setup::AnotherAsBusy,
        &others.node,
        "cluster-in",
        UDP_RECEIVED,
    );
    // Records that are still in transit are not counted.
    let own = others.node.metric(UDP_SENT)?;
    node::wait_for_metric(&others.node, UDP_RECEIVED, own)?;
    thread::sleep(Duration::from_millis(500));
    let before = job.total()?;
    let started = Instant::now();
    let time = Duration::from_secs(bench.seconds.into());
    others
        .stand_in
        .publish_at(IDLE_RECORDS_PER_SECOND, &others.population, || {
            thread::sleep(time);
        })?;
    job.add(before, started.elapsed())?;
    Ok(job.per_record())
}

impl<'a> Job<'a> {
    fn new(
        what: &'static str,
        setup: Setup,
        server: &'a Server,
        thread: &'static str,
        counted: &'static str,
    ) -> Self {
        Self {
            what,
            setup,
            server,
            thread,
            counted,
            not_counted: None,
            spent: Spent::default(),
        }
    }

    /// Processor time and records since the daemon started.
    fn total(&self) -> anyhow::Result<(Duration, f64)> {
        let cpu = threads::cpu_time(self.server.pid(), self.thread)?;
        let not_counted = self.not_counted.map(|name| self.server.metric(name));
        let records = self.server.metric(self.counted)? - not_counted.transpose()?.unwrap_or(0.0);
        Ok((cpu, records))
    }

    fn add(&mut self, before: (Duration, f64), time: Duration) -> anyhow::Result<()> {
        let (cpu, records) = self.total()?;
        self.spent.cpu += cpu.saturating_sub(before.0);
        self.spent.records += records - before.1;
        self.spent.time += time;
        Ok(())
    }

    fn per_record(&self) -> PerRecord {
        let Spent { cpu, time, records } = self.spent;
        PerRecord {
            what: self.what.to_owned(),
            records_per_second: records / time.as_secs_f64(),
            cpu_nanoseconds: cpu.as_secs_f64() * 1e9 / records.max(1.0),
        }
    }
}
