//! piuparts installs, upgrades, removes and purges packages in a bare root file
//! system, and compares every file.

use std::process::Command;

use aquatic_test_harness::Process;

use crate::container::PATIENCE;
use crate::environment::Environment;

pub(super) fn finds_nothing(environment: &Environment) {
    let names = [
        "aquatic-common",
        "aquatic-udp",
        "aquatic-http",
        "aquatic-ws",
        "aquatic-load-test",
        "aquatic",
    ];
    // Without a network: everything is there.
    let mut command = Command::new("unshare");
    command
        .args(["--net", "piuparts", "--no-upgrade-test"])
        .arg(format!("--distribution={}", environment.release))
        .arg(format!(
            "--existing-chroot={}",
            environment.root().display()
        ))
        // Where debconf looks for questions of packages that apt installs; it may
        // leave the directory behind.
        .arg("--ignore=/var/cache/debconf/tmp.ci/")
        .args(environment.packages(&names));
    let finished = Process::start("piuparts", &mut command).wait(PATIENCE * 3);
    assert!(finished.status.success(), "{}", finished.stdout);
}
