//! Reloads of a tracker's configuration.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::tracker::Tracker;
use crate::{Signal, waiting::eventually};

impl Tracker {
    /// Changes these keys in the configuration file, and reloads.
    ///
    /// # Panics
    /// When it never says that it is ready again.
    #[track_caller]
    pub fn reload_with(&mut self, settings: &[(&str, &str)]) {
        for (key, value) in settings {
            self.place.set(key, value);
        }
        self.place.setup.write("config.toml", self.place.config());
        self.daemon.reload(Signal::SIGHUP);
    }

    /// Reloads once with another value of each key, and again with the former one, and
    /// checks that the tracker takes it over, or says that it needs a restart if the key
    /// begins with one of `need_restart`. `values` are those of keys for which another value
    /// does not follow from the default, or that are left out (`None`). Meanwhile, `ask` is
    /// called again and again, which fails if a request is not answered.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn reload_each_key(
        &mut self,
        need_restart: &[&str],
        values: &[(&str, Option<&str>)],
        mut ask: impl FnMut() + Send,
    ) {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut asked = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    ask();
                    asked += 1;
                }
                asked
            });
            let change = AssertUnwindSafe(|| self.change_each_key(need_restart, values));
            let changed = panic::catch_unwind(change);
            is_over.store(true, Ordering::Relaxed);
            if let Err(failure) = changed {
                panic::resume_unwind(failure);
            }
            let asked = asking.join().expect("all are answered");
            assert!(asked > 100, "{asked}");
        });
    }

    fn change_each_key(&mut self, need_restart: &[&str], values: &[(&str, Option<&str>)]) {
        let before = self.place.config();
        let mut section = String::new();
        for line in self.place.setup.run(&["-p"]).stdout.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.replace(']', ".");
                continue;
            }
            let Some((name, default)) = line.split_once(" = ") else {
                continue;
            };
            if name.starts_with('#') {
                continue;
            }
            let key = format!("{section}{name}");
            let value = match values.iter().find(|(other, _)| *other == key) {
                Some((_, None)) => continue,
                Some((_, Some(value))) => (*value).to_owned(),
                None => another(default).unwrap_or_else(|| panic!("another value of {key}")),
            };
            let is_set = |line: &&str| line.starts_with(&format!("{key} = "));
            let rest: Vec<&str> = before.lines().filter(|line| !is_set(line)).collect();
            let changed = format!("{}\n{key} = {value}\n", rest.join("\n"));

            let seen = self.daemon.log().len();
            self.place.setup.write("config.toml", changed);
            self.daemon.reload(Signal::SIGUSR1);
            let is_listed = need_restart.iter().any(|listed| key.starts_with(listed));
            let outcome = if is_listed {
                format!("restart needed: {key} changed")
            } else {
                format!("reloaded: {key} changed")
            };
            eventually(&format!("{outcome}, with {value}"), || {
                self.daemon.log()[seen..].contains(&outcome).then_some(())
            });
            self.place.setup.write("config.toml", &before);
            self.daemon.reload(Signal::SIGUSR1);
        }
    }
}

/// Another value than this one.
fn another(default: &str) -> Option<String> {
    match default {
        "true" => Some("false".to_owned()),
        "false" => Some("true".to_owned()),
        number => Some((number.parse::<u64>().ok()? + 1).to_string()),
    }
}
