//! Lists of an operator: what all trackers do with them.

use std::fs::{self, File};
use std::process::Command;

use crate::tracker::{Place, Tracker};
use crate::{Setup, Signal, http};

/// What trackers say of a torrent that is not served.
const NOT_ALLOWED: &str = "torrent is not allowed";

/// Lines of an access list: torrents, whose info hashes consist of 20 of the same byte.
#[must_use]
pub fn torrents(bytes: &[u8]) -> String {
    let line = |byte: &u8| format!("{byte:02x}").repeat(20) + "\n";
    bytes.iter().map(line).collect()
}

impl Place {
    /// Starts a tracker whose clients come through a trusted proxy, which names them in the
    /// header `X-Forwarded-For`, and bans these addresses.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[track_caller]
    pub fn start_behind_proxy_with_bans(mut self, bans: &str) -> Tracker {
        self.setup.write("bans", bans);
        self.set_paths("bans.paths", &["bans"]);
        let header = "network.reverse_proxy_ip_header_name";
        self.with(&[
            ("network.runs_behind_reverse_proxy", "true"),
            (header, "\"X-Forwarded-For\""),
        ])
        .start()
    }

    /// Checks that a torrent is served if an allow list has it and no deny list has it, also
    /// after a reload. `announce` announces the torrent of this byte, and returns the error.
    ///
    /// # Panics
    /// When it is otherwise.
    #[must_use]
    #[track_caller]
    pub fn start_with_allow_and_deny_lists(
        mut self,
        mut announce: impl FnMut(&Tracker, u8) -> Option<String>,
    ) -> Tracker {
        let [served, denied, missing, left_out] = *b"abcd";
        fs::create_dir(self.setup.path("allowed")).expect("a directory");
        self.setup.write("allowed/1", torrents(&[served, denied]));
        self.setup.write("denied", torrents(&[denied]));
        self.set_paths("access_list.allow_paths", &["allowed"]);
        self.set_paths("access_list.deny_paths", &["denied"]);
        let mut tracker = self.start();
        assert_eq!(announce(&tracker, served), None);
        for torrent in [denied, missing] {
            let error = announce(&tracker, torrent);
            assert!(
                error.as_ref().is_some_and(|it| it.contains(NOT_ALLOWED)),
                "{error:?}"
            );
        }
        // A file that appears is found, and one that is not meant is not.
        tracker
            .place
            .setup
            .write("allowed/3~", torrents(&[left_out]));
        tracker.rewrite("allowed/2", torrents(&[missing]));
        assert_eq!(announce(&tracker, missing), None);
        let error = announce(&tracker, left_out);
        assert!(error.is_some_and(|it| it.contains(NOT_ALLOWED)));
        tracker
    }
}

impl Tracker {
    /// Writes a file, and lets the tracker reload, whether it takes the file over or not.
    ///
    /// # Panics
    /// When that takes too long.
    #[track_caller]
    pub fn rewrite(&mut self, name: &str, contents: impl AsRef<[u8]>) {
        self.place.setup.write(name, contents);
        self.daemon.reload(Signal::SIGHUP);
    }

    /// Checks that these secrets are neither in the log, nor on the status page or among the
    /// metrics.
    ///
    /// # Panics
    /// When one is.
    #[track_caller]
    pub fn hides(&self, secrets: &[&str]) {
        let page = |path| http::get(self.place.metrics.ipv4(), path).body;
        for text in [page("/"), page("/metrics"), self.daemon.log()] {
            for secret in secrets {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

/// Checks `list-check` of this program: of good and bad files, one that is not there, and
/// standard input.
///
/// # Panics
/// When it says something else.
#[track_caller]
pub fn check_lists_with(program: &str) {
    let setup = Setup::new(program);
    let good = setup.write("good", "10.0.0.0/8\n10.0.0.0/9\n");
    let bad = setup.write("bad", "-XL too greedy\n%zz\n");
    let [good, bad] = [good, bad].map(|path| path.display().to_string());
    let checked = setup.run(&["list-check", &good]);
    assert!(checked.status.success(), "{}", checked.stderr);
    let expected = format!("{good}: bans: 2 entries, 1 range after merging; ");
    assert!(checked.stdout.starts_with(&expected), "{}", checked.stdout);

    let checked = setup.run(&["list-check", "--json", &good, &bad, "/nonexistent"]);
    assert_eq!(checked.status.code(), Some(1));
    for part in ["\"kind\": \"clients\"", "\"line\": 2", "No such file"] {
        assert!(checked.stdout.contains(part), "{}", checked.stdout);
    }

    let input = setup.write("input", torrents(b"a") + "10.0.0.0/8\n");
    let output = Command::new(program)
        .args(["list-check", "--kind", "torrents", "-"])
        .stdin(File::open(input).expect("an input"))
        .output()
        .expect("a program");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("-: torrents: 1 entry; "), "{text}");
    assert!(text.contains("\n-: line 2: "), "{text}");
}
