//! Exports of all torrents to a file.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::tracker::{Place, Tracker};
use crate::waiting::eventually;

/// The shortest interval between two exports.
const INTERVAL: Duration = Duration::from_secs(60);

impl Place {
    /// Checks the configuration of exports, starts the tracker with them, and returns the
    /// first one. What `announce` returns, such as a connection, is kept until then.
    ///
    /// # Panics
    /// When a wrong path is not reported, or no file is written in time.
    #[must_use]
    #[track_caller]
    pub fn export<T>(mut self, announce: impl FnOnce(&Tracker) -> T) -> String {
        self.set("scrape_exports.enable_scrape_exports", "true");
        self.set("scrape_exports.frequency", "1");
        self.set_path("scrape_exports.path", "none/export");
        let config = self.setup.write("config.toml", self.config());
        let config = config.to_str().expect("UTF-8");
        let checked = self.setup.run(&["--check-config", "-c", config]);
        assert!(!checked.status.success(), "there is no such directory");
        let message = "scrape_exports.path: ";
        assert!(checked.stderr.contains(message), "{}", checked.stderr);

        self.set_path("scrape_exports.path", "export");
        let tracker = self.start();
        let announced = announce(&tracker);
        thread::sleep(INTERVAL);
        let path = tracker.place.setup.path("export");
        let text = eventually("an export is written", || fs::read_to_string(&path).ok());
        tracker.await_metric("scrape_exports_total", &[("result", "written")], 1.0);
        drop(announced);
        text
    }
}
