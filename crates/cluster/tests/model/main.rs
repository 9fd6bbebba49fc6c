//! Several nodes and an engine in simulated time, from random seeds.
//!
//! Clients announce at nodes, batches are delayed, sent twice, cut off and read again;
//! nodes lose the engine, are stopped and killed; the engine trims its stream. Clocks
//! differ. Each node's swarm is a plain map. When nothing is on its way any more:
//!
//! * if nothing was lost, all nodes hold the same peers in the same roles, each for about
//!   the same time, and have counted the same downloads;
//! * if something was lost, the nodes that missed it have noticed that, and all nodes
//!   agree again once live peers have announced again and the others have expired.
//!
//! At every moment, no peer is held beyond its age by more than [`MAX_EXTRA`], and no
//! memory grows beyond its bound.

mod engine;
mod node;
mod run;

use std::fmt::Write as _;

use run::{Plan, Run};

/// The number of runs, which take a second or two.
const RUNS: u64 = 5_000;

/// Milliseconds by which peers may be held too long: those until a batch is closed, the
/// errors of two clocks, and one second because remaining times are in whole seconds.
const MAX_EXTRA: u64 = run::CLOSE_INTERVAL + 2 * run::MAX_CLOCK_ERROR + 1_000;

/// `AQUATIC_CLUSTER_SEED` repeats a single run, with its trace.
#[test]
fn nodes_agree_when_all_is_quiet() {
    if let Ok(seed) = std::env::var("AQUATIC_CLUSTER_SEED") {
        let seed = seed.parse().expect("a number");
        let (trace, result) = outcome(&Plan::new(seed));
        println!("{trace}");
        result.expect("nodes agree");
        return;
    }
    let base = fastrand::u64(..1 << 40) * RUNS;
    let mut covered = run::Covered::default();
    for seed in base..base + RUNS {
        let plan = Plan::new(seed);
        let mut run = Run::new(&plan);
        match run.execute() {
            Ok(()) => covered.add(&run.covered),
            Err(message) => {
                let plan = smallest(plan);
                let (trace, result) = outcome(&plan);
                let message = result.err().unwrap_or(message);
                panic!(
                    "AQUATIC_CLUSTER_SEED={seed}, cut down to {} steps:\n{trace}{message}",
                    plan.steps.len()
                );
            }
        }
    }
    covered.expect_all();
}

/// Leaves out steps as long as the run still fails: halves, quarters, single ones.
fn smallest(mut plan: Plan) -> Plan {
    let mut size = plan.steps.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < plan.steps.len() {
            let mut shorter = plan.clone();
            let end = (start + size).min(plan.steps.len());
            shorter.steps.drain(start..end);
            if Run::new(&shorter).execute().is_err() {
                plan = shorter;
            } else {
                start = end;
            }
        }
        size /= 2;
    }
    plan
}

fn outcome(plan: &Plan) -> (String, Result<(), String>) {
    let mut run = Run::new(plan);
    run.trace = Some(Vec::new());
    let result = run.execute();
    let mut trace = String::new();
    for line in run.trace.iter().flatten() {
        writeln!(trace, "{line}").expect("a string takes it");
    }
    (trace, result)
}
