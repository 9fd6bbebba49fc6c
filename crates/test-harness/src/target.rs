//! What is under test: the binary that was built with the tests, or the same program in a
//! container image. The variable `AQUATIC_TEST_TARGET` names an image that podman has, as
//! `cargo xtask test --target` sets it.
//!
//! In a container, a daemon has the network of the test, the files of the test's directory
//! under the same paths, and nothing else: the root file system is read-only, and there are no
//! capabilities. Signals and exit codes are passed on by podman. Tests that look at the
//! process itself, or give it another machine, need the binary.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::resource::{Resource, getrlimit};

/// The variable with the name of an image.
const VARIABLE: &str = "AQUATIC_TEST_TARGET";

/// Makes the only hierarchy of cgroups the second version, which the runtime demands, for
/// machines that have both.
const UNIFIED: &str = "[ -e /sys/fs/cgroup/cgroup.controllers ] || \
                       mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec podman \"$@\"";

/// Containers of a test. Dropping this removes those that still run.
#[derive(Debug)]
pub(crate) struct Containers {
    image: OsString,
    /// What their names begin with.
    prefix: String,
    started: AtomicU32,
}

impl Containers {
    /// Containers of the image under test, if it is one.
    pub(crate) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            image: env::var_os(VARIABLE).filter(|image| !image.is_empty())?,
            prefix: format!("aquatic-test-{}-{number}", std::process::id()),
            started: AtomicU32::new(0),
        })
    }

    /// Arguments of `sh` that run a program of the image in `directory` with these variables;
    /// those of the program follow.
    pub(crate) fn arguments<'e>(
        &self,
        program: &Path,
        directory: &Path,
        environment: impl Iterator<Item = (&'e OsStr, &'e OsStr)>,
    ) -> Vec<OsString> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut arguments: Vec<OsString> = ["-c", UNIFIED, "podman", "run", "--rm", "--quiet"]
            .map(OsString::from)
            .into();
        // The owner of the test's files.
        arguments.extend(
            [
                "--network=host",
                "--user=0:0",
                "--read-only",
                "--read-only-tmpfs=false",
                "--cap-drop=all",
                "--security-opt=no-new-privileges",
                // The filter of podman forbids io_uring, on which one of the event loops is.
                "--security-opt=seccomp=unconfined",
                "--sdnotify=ignore",
                "--cgroups=disabled",
                "--log-driver=none",
                "--pull=never",
                "--ulimit=nproc=4096:4096",
                "--env=STATE_DIRECTORY=",
                "--env=CONFIGURATION_DIRECTORY=",
            ]
            .map(OsString::from),
        );
        // Podman asks for more than this machine may allow.
        let (_, files) = getrlimit(Resource::RLIMIT_NOFILE).expect("a process has limits");
        arguments.push(format!("--ulimit=nofile={files}:{files}").into());
        arguments.push(format!("--name={}-{number}", self.prefix).into());
        let mut volume = OsString::from("--volume=");
        volume.push(directory);
        volume.push(":");
        volume.push(directory);
        arguments.push(volume);
        let mut work = OsString::from("--workdir=");
        work.push(directory);
        arguments.push(work);
        for (name, value) in environment {
            let mut variable = OsString::from("--env=");
            variable.push(name);
            variable.push("=");
            variable.push(value);
            arguments.push(variable);
        }
        arguments.push(self.image.clone());
        arguments.push(program.file_name().unwrap_or_default().to_owned());
        arguments
    }
}

/// The program that takes [`Containers::arguments`]: a shell in a mount namespace.
pub(crate) const RUNNER: [&str; 4] = ["unshare", "--mount", "--propagation=slave", "sh"];

impl Drop for Containers {
    fn drop(&mut self) {
        let started = *self.started.get_mut();
        if started == 0 {
            return;
        }
        let names = (0..started).map(|number| format!("{}-{number}", self.prefix));
        // Those that have ended are gone.
        let _ = Command::new("podman")
            .args(["rm", "--force", "--ignore", "--time=0"])
            .args(names)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
