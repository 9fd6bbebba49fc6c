//! What `health` says of a tracker, to whoever restarts a container.

use crate::process::Finished;
use crate::tracker::{Place, Tracker};

impl Tracker {
    /// Asks whether this tracker is well while it runs and after it has ended, with and without
    /// an address of metrics, and with a configuration that has become invalid.
    ///
    /// # Panics
    /// When an answer is wrong.
    #[track_caller]
    pub fn examine_health(mut self) {
        assert_says(&health(&self.place, ""), 0, "ok");
        // Where there are no metrics, it is asked as clients do.
        self.place.set("metrics.address", "\"\"");
        assert_says(&health(&self.place, ""), 0, " has answered");
        let announce = [("kind", "announce")];
        assert!(self.metric("requests_total", &announce) >= 1.0);
        self.await_metric("peers", &[], 0.0);
        // A restart would make it worse.
        let invalid = "[no_such_section]\n";
        assert_says(&health(&self.place, invalid), 0, "has become invalid");

        let metrics = format!("\"{}\"", self.place.metrics.ipv4());
        let Self { mut place, daemon } = self;
        daemon.stop();
        assert_says(&health(&place, ""), 1, " does not answer: ");
        place.set("metrics.address", &metrics);
        assert_says(&health(&place, ""), 1, "cannot be read");
    }
}

/// Asks with the configuration of a place and more lines of it.
#[track_caller]
fn health(place: &Place, more: &str) -> Finished {
    place.setup.write("health.toml", place.config() + more);
    place.setup.run(&["health", "-c", "health.toml"])
}

#[track_caller]
fn assert_says(finished: &Finished, code: i32, text: &str) {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{text}\n{said}");
}
