//! piuparts installs, upgrades, removes and purges packages in a bare root file
//! system, and compares every file.

use std::fs;
use std::process::Command;

use aquatic_test_harness::Process;

use crate::container::PATIENCE;
use crate::daemons;
use crate::environment::Environment;

pub(super) fn finds_nothing(environment: &Environment) {
    let mut names = vec!["aquatic-common"];
    names.extend(daemons::all().iter().map(|daemon| daemon.name.as_str()));
    names.extend(["aquatic-keys", "aquatic-load-test", "aquatic"]);
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let next = environment
        .next_packages(&names)
        .into_iter()
        .map(|package| {
            let name = package.file_name().expect("it has a name");
            let copy = scratch.path().join(name);
            fs::copy(package.join("package.deb"), &copy).expect("a copy");
            copy
        });
    // The packages to upgrade are found by apt. piuparts kills processes with open files in its
    // sight, which must not be those of other tests.
    let repository = scratch.path().join("repository");
    let mut copy = Command::new("cp");
    copy.arg("--recursive")
        .args([&environment.repository, &repository]);
    let copied = Process::start("cp", &mut copy).wait(PATIENCE);
    assert!(copied.status.success(), "{}", copied.stderr);
    // Without a network: everything is there.
    let mut command = Command::new("unshare");
    command
        .args(["--net", "piuparts"])
        .arg(format!("--bindmount={}", repository.display()))
        .arg(format!(
            "--extra-repo=deb [trusted=yes] file://{} stable main",
            repository.display()
        ))
        .arg(format!("--distribution={}", environment.release))
        .arg(format!(
            "--existing-chroot={}",
            environment.root().display()
        ))
        // The directory in which debconf searches for questions of packages; it may remain.
        .arg("--ignore=/var/cache/debconf/tmp.ci/")
        .args(next);
    let finished = Process::start("piuparts", &mut command).wait(PATIENCE * 3);
    assert!(finished.status.success(), "{}", finished.stdout);
    // Skipped tests are only mentioned.
    for passed in [
        "PASS: Installation and purging test.",
        "PASS: Installation, upgrade and purging tests.",
    ] {
        assert!(finished.stdout.contains(passed), "{}", finished.stdout);
    }
}
