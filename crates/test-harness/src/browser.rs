//! A page as its readers see it, in headless Chromium.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Process, tools};

/// The environment variable with the directory in which to keep screenshots.
const SCREENSHOTS: &str = "AQUATIC_TEST_SCREENSHOTS";

/// How long the inspection of a page may take.
const BROWSER_PATIENCE: Duration = Duration::from_secs(180);

/// The directory of the scripts that Node runs, and of the packages that they need.
#[must_use]
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

/// Whether Node, the packages of the scripts, and these programs are installed; see
/// [`tools::needs`].
///
/// # Panics
/// When one is missing and skipping is not allowed.
#[must_use]
#[track_caller]
pub fn can_run_scripts(programs: &[&str]) -> bool {
    let installed = scripts().join("node_modules/.package-lock.json");
    let mut look = Command::new("test");
    look.arg("-f").arg(installed);
    let programs: Vec<&str> = programs.iter().copied().chain(["node"]).collect();
    tools::needs(&programs)
        && tools::needs_success(
            "packages of npm (`npm ci --ignore-scripts` in crates/test-harness/node)",
            &mut look,
        )
}

/// Whether a page updates itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    /// It updates itself, unless the reader turns that off.
    Live,
    /// It does not update itself.
    Never,
}

/// Inspects a page in light and dark colours, on a desktop and a phone, with and without
/// JavaScript, and with axe-core; `name` names the directory of its screenshots. Does
/// nothing when a program is missing and skipping is allowed.
///
/// # Panics
/// When the page has a fault.
#[track_caller]
pub fn inspect(name: &str, url: &str, updates: Updates) {
    if !can_run_scripts(&["/usr/bin/chromium"]) {
        return;
    }
    let home = tempfile::tempdir().expect("a directory for the browser");
    let mut command = Command::new("node");
    command.arg(scripts().join("inspect_page.js"));
    if updates == Updates::Live {
        command.arg("--live");
    }
    command.arg(url);
    command.env("HOME", home.path()).current_dir(home.path());
    if let Some(directory) = env::var_os(SCREENSHOTS) {
        let directory = Path::new(&directory).join(name);
        fs::create_dir_all(&directory).expect("a directory for screenshots");
        command.arg(directory);
    }
    let finished = Process::start("inspect_page.js", &mut command).wait(BROWSER_PATIENCE);
    assert!(
        finished.status.success(),
        "{name}:\n{}{}",
        finished.stdout,
        finished.stderr
    );
}
