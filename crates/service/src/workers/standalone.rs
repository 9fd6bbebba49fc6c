//! Workers without a supervisor.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{End, Workers};

/// Workers without a supervisor, for tests and benchmarks.
pub struct Standalone {
    workers: Workers,
    ends: Receiver<(usize, End)>,
}

impl Standalone {
    /// No workers yet.
    pub fn new() -> Self {
        let (sender, ends) = channel();
        let workers = Workers::new(move |index, end| {
            // The receiver is gone once this struct is dropped.
            let _ = sender.send((index, end));
        });
        Self { workers, ends }
    }

    /// Where workers are started.
    pub fn workers(&mut self) -> &mut Workers {
        &mut self.workers
    }

    /// Asks all workers to end, and waits until they have.
    ///
    /// # Errors
    ///
    /// Why workers failed, before or now, or that they did not end within
    /// `patience`.
    pub fn stop(self, patience: Duration) -> Result<(), Vec<String>> {
        self.workers.stop();
        let mut failures = Vec::new();
        for _ in 0..self.workers.len() {
            match self.ends.recv_timeout(patience) {
                Ok((index, End::Failed(reason))) => {
                    failures.push(format!("{}: {reason}", self.workers.name(index)));
                }
                Ok((_, End::Asked)) => (),
                Err(_) => failures.push("a worker did not end in time".to_owned()),
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }
}

impl Default for Standalone {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told() {
        let mut standalone = Standalone::new();
        let wait = |context: super::super::Context| {
            while !context.is_stopping() {
                std::thread::yield_now();
            }
            Ok(())
        };
        standalone.workers().spawn("good", || (), wait).unwrap();
        standalone
            .workers()
            .spawn("bad", || (), |_| anyhow::bail!("no good"))
            .unwrap();
        let failures = standalone.stop(Duration::from_secs(20)).unwrap_err();
        assert_eq!(failures, ["bad: no good"]);
    }
}
