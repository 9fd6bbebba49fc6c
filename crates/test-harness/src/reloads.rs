//! Reloads of a tracker's configuration.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::tracker::Tracker;
use crate::{Signal, waiting::eventually};

/// Keys that need a restart in all trackers.
const NEED_RESTART: &[&str] = &[
    "socket_workers",
    "network.address",
    "privileges.",
    "metrics.address",
    "cluster.",
];

/// Values for keys that several trackers have, if no other value can be derived from the
/// default.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("socket_workers", "2"),
    ("log_level", "\"debug\""),
    ("network.address", "\"127.0.0.1:1\""),
    ("network.event_loop", "\"mio\""),
    ("network.reverse_proxy_ip_header_name", "\"X-Real-IP\""),
    ("network.trusted_proxies", "[\"192.0.2.1\"]"),
    ("network.believe_ip_from", "[\"192.0.2.1\"]"),
    ("protocol.full_scrape_from", "[\"192.0.2.1\"]"),
    (
        "address_map",
        "[{ from = \"192.0.2.0/24\", to = \"5.5.5.5\" }]",
    ),
    // The clients of tests send many requests.
    ("rates.requests_per_second", "10000"),
    ("rates.connections_per_second", "10000"),
    ("rates.exempt", "[\"127.0.0.0/8\"]"),
    ("page.name", "\"Other\""),
    ("page.contact", "\"https://example.org\""),
    ("metrics.address", "\"127.0.0.1:1\""),
    ("access_list.mode", "\"deny\""),
    ("bans.except", "[\"127.0.0.0/8\"]"),
    ("privileges.user", "\"somebody\""),
    ("privileges.group", "\"somebody\""),
    ("cluster.url", "\"redis://127.0.0.1:1\""),
    ("cluster.username", "\"somebody\""),
    ("cluster.namespace", "\"other\""),
    ("cluster.node", "\"other\""),
];

impl Tracker {
    /// Changes these keys in the configuration file, and reloads.
    ///
    /// # Panics
    /// When the tracker does not become ready again.
    #[track_caller]
    pub fn reload_with(&mut self, settings: &[(&str, &str)]) {
        for (key, value) in settings {
            self.place.set(key, value);
        }
        self.place.setup.write("config.toml", self.place.config());
        self.daemon.reload(Signal::SIGHUP);
    }

    /// For each key, reloads with another value, and again with the former one. Checks
    /// that the tracker uses the new value, or reports that it needs a restart, if the
    /// key begins with one of `need_restart` or needs one in all trackers. `values` has
    /// other values for keys that only this tracker has, if none can be derived from the
    /// default; keys with `None` are left out. Meanwhile, `ask` is called repeatedly; it
    /// has to panic if a request is not answered.
    ///
    /// # Panics
    /// When a check fails, or `ask` panics.
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

    /// A list for this key that changes nothing for clients.
    fn list(&self, key: &str) -> std::path::PathBuf {
        let lines: String = match key {
            "access_list.allow_paths" => (0..=255_u8)
                .map(|byte| format!("{byte:02x}").repeat(20) + "\n")
                .collect(),
            "clients.allow_paths" => (0..=255_u8).map(|byte| format!("%{byte:02x}\n")).collect(),
            _ => String::new(),
        };
        let name = key.replace('.', "-");
        self.place.setup.write(&name, lines)
    }

    fn change_each_key(&mut self, need_restart: &[&str], values: &[(&str, Option<&str>)]) {
        let before = self.place.config();
        let mut section = String::new();
        for line in self.place.setup.run(&["-p"]).stdout.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.replace(']', ".");
                continue;
            }
            let list = line
                .strip_prefix("# [[")
                .and_then(|it| it.strip_suffix("]]"));
            let (key, name, default) = match (list, line.split_once(" = ")) {
                (Some(list), _) => (list.to_owned(), list, "[]"),
                (None, Some((name, default))) if !name.starts_with('#') => {
                    (format!("{section}{name}"), name, default)
                }
                _ => continue,
            };
            let special = values.iter().find(|(other, _)| *other == key);
            let common = OTHER_VALUES.iter().find(|(other, _)| *other == key);
            let value = match (special, common) {
                (Some((_, None)), _) => continue,
                (Some((_, Some(value))), _) | (None, Some((_, value))) => (*value).to_owned(),
                (None, None) if name.ends_with("paths") => {
                    format!("[\"{}\"]", self.list(&key).display())
                }
                (None, None) if is_path(name) => {
                    format!("\"{}\"", self.place.setup.path("other").display())
                }
                (None, None) => {
                    another(default).unwrap_or_else(|| panic!("another value of {key}"))
                }
            };
            let is_set = |line: &&str| line.starts_with(&format!("{key} = "));
            let rest: Vec<&str> = before.lines().filter(|line| !is_set(line)).collect();
            let changed = format!("{}\n{key} = {value}\n", rest.join("\n"));

            let seen = self.daemon.log().len();
            self.place.setup.write("config.toml", changed);
            self.daemon.reload(Signal::SIGUSR1);
            let mut listed = NEED_RESTART.iter().chain(need_restart);
            let is_listed = listed.any(|listed| key.starts_with(listed));
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

/// Whether the value of a key with this name is a path.
fn is_path(name: &str) -> bool {
    name == "path" || name.ends_with("_path") || name.ends_with("_file")
}

/// A value that differs from the default.
fn another(default: &str) -> Option<String> {
    match default {
        "true" => Some("false".to_owned()),
        "false" => Some("true".to_owned()),
        number => Some((number.parse::<u64>().ok()? + 1).to_string()),
    }
}
