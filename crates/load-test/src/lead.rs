//! Leads the workers through the phases of a run.

use std::num::NonZero;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::control::{Control, Phase};
use crate::counters::{Count, Counters, Kind};
use crate::latency::{self, Latencies};
use crate::population::Population;
use crate::process::Process;
use crate::progress::{Position, Progress};
use crate::report::{Fill, Measured, ProcessUsage, Report};
use crate::run_settings::RunSettings;
use crate::tally::Tally;

/// What a leader has to know of a protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol {
    /// The kinds that are requests to the tracker.
    pub(crate) requests: &'static [Kind],
    /// What [`Count::Connected`] counts, as the end of a sentence.
    pub(crate) connected: &'static str,
    /// What may be filtered on the way to the tracker.
    pub(crate) transport: &'static str,
}

/// What the body of a worker's thread gets.
pub(crate) struct Part {
    /// Which worker of all.
    pub(crate) number: usize,
    pub(crate) control: Arc<Control>,
    pub(crate) population: Arc<Population>,
}

impl Part {
    /// Counters that are all zero.
    pub(crate) fn tally(&self) -> anyhow::Result<Tally> {
        Tally::new(Arc::clone(&self.control), self.number)
    }

    /// Random numbers, other ones for each worker.
    pub(crate) fn random(&self, settings: &RunSettings) -> fastrand::Rng {
        let seed = settings.population.seed;
        fastrand::Rng::with_seed(seed.wrapping_add(self.number as u64))
    }
}

/// Tests a tracker; returns when the time is over.
///
/// `connections` is how far [`Count::Connected`] has to come before anything
/// else is requested. `work` is the body of each worker's thread.
///
/// # Errors
///
/// When the tracker does not answer, or stops to, and when the machine refuses
/// sockets or threads.
pub(crate) fn run(
    settings: &RunSettings,
    protocol: Protocol,
    connections: u64,
    work: impl Fn(Part) -> anyhow::Result<Latencies> + Send + Sync + 'static,
) -> anyhow::Result<Report> {
    let mut leader = Leader::start(settings, protocol, work)?;
    let led = leader.lead(connections);
    leader.control.set_phase(match led {
        Ok(_) => Phase::Drain,
        Err(_) => Phase::Abort,
    });
    // What a worker says has the reason why leading it failed.
    let latencies = leader.join()?;
    let mut measurement = led?;

    // Of what was under way at the end, count what got no reply.
    let afterwards = leader.control.sum() - measurement.counters_at_end;
    for counter in [Count::Lost, Count::Late] {
        measurement.counters[counter] += afterwards[counter];
    }

    Ok(Report::new(&Measured {
        server_address: settings.server.to_string(),
        time: measurement.time,
        counters: measurement.counters,
        requests: protocol.requests,
        latencies,
        first_error: leader.control.first_error(),
        first_failure: leader.control.first_failure(),
        fill: measurement.fill,
        server: measurement.server,
        load_test: measurement.load_test,
    }))
}

struct Leader<'a> {
    settings: &'a RunSettings,
    protocol: Protocol,
    control: Arc<Control>,
    workers: Vec<JoinHandle<anyhow::Result<Latencies>>>,
    server: Option<Process>,
    this_process: Process,
    /// Memory of the two before the first request.
    resident_bytes_before: (Option<u64>, u64),
    progress: Progress,
}

/// What was found between the start and the end of measuring.
struct Measurement {
    time: Duration,
    counters: Counters,
    counters_at_end: Counters,
    fill: Option<Fill>,
    server: Option<ProcessUsage>,
    load_test: ProcessUsage,
}

impl<'a> Leader<'a> {
    fn start(
        settings: &'a RunSettings,
        protocol: Protocol,
        work: impl Fn(Part) -> anyhow::Result<Latencies> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let server = settings.server_pid.map(Process::new).transpose()?;
        let this_process = NonZero::new(process::id()).context("this process has no id")?;
        let this_process = Process::new(this_process)?;
        let resident_bytes_before = (
            server.as_ref().map(Process::resident_bytes).transpose()?,
            this_process.resident_bytes()?,
        );
        let control = Arc::new(Control::new(settings.workers));
        let work = Arc::new(work);
        let population = Arc::new(Population::new(&settings.population));

        let mut leader = Self {
            settings,
            protocol,
            workers: Vec::with_capacity(settings.workers),
            server,
            this_process,
            resident_bytes_before,
            progress: Progress::new(settings.progress, protocol.requests),
            control: Arc::clone(&control),
        };
        for number in 0..settings.workers {
            let work = Arc::clone(&work);
            let part = Part {
                number,
                control: Arc::clone(&control),
                population: Arc::clone(&population),
            };
            let worker = thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(part))
                .context("cannot start a thread")?;
            leader.workers.push(worker);
        }
        Ok(leader)
    }

    /// Goes through all phases up to the end of measuring.
    fn lead(&mut self, connections: u64) -> anyhow::Result<Measurement> {
        let settings = self.settings;
        self.work_until(Phase::Connect, Count::Connected, connections)?;

        let fill = if settings.fill {
            Some(self.fill()?)
        } else {
            None
        };
        if !settings.warm_up.is_zero() {
            self.work_for(Phase::WarmUp, settings.warm_up)?;
        }

        let counters_before = self.control.sum();
        let cpu_before = self.cpu_times()?;
        let started = Instant::now();
        self.work_for(Phase::Measure, settings.duration)?;
        let time = started.elapsed();
        let cpu_after = self.cpu_times()?;
        let counters_at_end = self.control.sum();

        let (server_before, own_before) = cpu_before;
        let (server_after, own_after) = cpu_after;
        let server = match (&self.server, server_before, server_after) {
            (Some(server), Some(before), Some(after)) => Some(ProcessUsage {
                cpu_time: after - before,
                resident_bytes_before: self.resident_bytes_before.0.unwrap_or_default(),
                resident_bytes: server.resident_bytes()?,
            }),
            _ => None,
        };
        Ok(Measurement {
            time,
            counters: counters_at_end - counters_before,
            counters_at_end,
            fill,
            server,
            load_test: ProcessUsage {
                cpu_time: own_after - own_before,
                resident_bytes_before: self.resident_bytes_before.1,
                resident_bytes: self.this_process.resident_bytes()?,
            },
        })
    }

    fn fill(&mut self) -> anyhow::Result<Fill> {
        let before = self.control.sum();
        let started = Instant::now();
        let peers = u64::from(self.settings.population.peers);
        self.work_until(Phase::Fill, Count::Filled, peers)?;

        let counted = self.control.sum() - before;
        Ok(Fill {
            peers: counted[Count::Filled],
            seconds: started.elapsed().as_secs_f64(),
            errors: counted[Count::Errors],
            lost: counted[Count::Lost],
        })
    }

    /// Of the server, if it is known, and of this process.
    fn cpu_times(&self) -> anyhow::Result<(Option<Duration>, Duration)> {
        let server = self.server.as_ref().map(Process::cpu_time).transpose()?;
        Ok((server, self.this_process.cpu_time()?))
    }

    /// Enters a phase and stays there for a time.
    fn work_for(&mut self, phase: Phase, duration: Duration) -> anyhow::Result<()> {
        self.control.set_phase(phase);
        let start = Instant::now();
        loop {
            let passed = start.elapsed().min(duration);
            self.check_workers()?;
            let position = Position::Time(passed, duration);
            self.progress.show(phase, position, &self.control.sum());
            if passed == duration {
                return Ok(());
            }
            thread::sleep((duration - passed).min(CHECK_INTERVAL));
        }
    }

    /// Enters a phase and stays there until a counter has come far enough.
    fn work_until(&mut self, phase: Phase, counter: Count, goal: u64) -> anyhow::Result<()> {
        self.control.set_phase(phase);
        let patience = PATIENCE.max(self.settings.timeout * TIMEOUTS_OF_PATIENCE);
        let mut reached = 0;
        let mut last_advance = Instant::now();
        loop {
            let counters = self.control.sum();
            let position = Position::Count(counters[counter].min(goal), goal);
            self.progress.show(phase, position, &counters);
            if counters[counter] >= goal {
                return Ok(());
            }
            if counters[counter] > reached {
                reached = counters[counter];
                last_advance = Instant::now();
            } else if last_advance.elapsed() > patience {
                bail!(self.standstill(phase, reached, goal, patience));
            }
            thread::sleep(SHORT_CHECK_INTERVAL);
            self.check_workers()?;
        }
    }

    fn standstill(&self, phase: Phase, reached: u64, goal: u64, patience: Duration) -> String {
        let server = self.settings.server;
        let seconds = patience.as_secs_f32();
        let what = match phase {
            Phase::Connect => self.protocol.connected,
            _ => "peers could announce",
        };
        let reply = match (self.control.first_error(), self.control.first_failure()) {
            (Some(message), _) => format!("it replied with the error \"{message}\""),
            (None, Some(reason)) => format!("a connection could not be opened: {reason}"),
            (None, None) => format!(
                "is it running, and does nothing between filter {}?",
                self.protocol.transport
            ),
        };
        format!(
            "no progress with the tracker at {server} for {seconds:.0} s: \
             {reached} of {goal} {what}; {reply}"
        )
    }

    /// Notices a worker that has failed.
    fn check_workers(&self) -> anyhow::Result<()> {
        // Workers only end before they are asked to if they fail.
        if self.workers.iter().any(JoinHandle::is_finished) {
            bail!("a worker has failed");
        }
        Ok(())
    }

    /// Waits for all workers to end.
    fn join(&mut self) -> anyhow::Result<Latencies> {
        let mut sum = latency::histograms()?;
        let mut failure = None;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(latencies)) => {
                    for (sum, histogram) in sum.iter_mut().zip(latencies) {
                        // All have the same bounds.
                        *sum += histogram;
                    }
                }
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or(Some(anyhow!("a worker has panicked"))),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(sum),
        }
    }
}

/// Interval between checks of a phase of a fixed duration.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Interval between checks of a phase that ends by itself.
const SHORT_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// A tracker that does not reply for so long does not work.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same in timeouts, where these are long.
const TIMEOUTS_OF_PATIENCE: u32 = 3;
