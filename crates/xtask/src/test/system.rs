//! The prerequisites of the tests of packages: the packages, and root file systems of the
//! releases on which they are tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow, bail};

use super::{Totals, run_counted};
use crate::commands::{program_of, succeed};
use crate::dist::{deb, rpm};
use crate::{requirements, root};

/// A release of Debian.
struct Release {
    name: &'static str,
    /// The Redis or Valkey of the release, as a package and service, which is not started.
    engine: &'static str,
}

/// The oldest and the newest systemd that is supported.
const RELEASES: [Release; 2] = [
    Release {
        name: "bookworm",
        engine: "redis-server",
    },
    Release {
        name: "trixie",
        engine: "valkey-server",
    },
];

/// The packages of a root file system, in addition to those of every system and the engine.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,libpam-systemd,iproute2,procps,man-db,nftables";

/// Builds what is missing, and runs the tests with these arguments, such as a part of their
/// names.
pub(super) fn run(arguments: &[String]) -> anyhow::Result<(Totals, bool)> {
    if !requirements::is_root()? {
        bail!("the tests of the packages boot containers, for which they must be root");
    }
    let roots = root().join("target/system");
    fs::create_dir_all(&roots).with_context(|| roots.display().to_string())?;
    // Downloads run while the packages are compiled.
    let (packages, archives) = thread::scope(|scope| {
        let archives = scope.spawn(|| {
            RELEASES
                .iter()
                .try_for_each(|release| make_root(&roots, release))
        });
        // The profile of releases, but compiled faster.
        let packages = packages("system-test");
        let archives = archives.join();
        (packages, archives)
    });
    archives.map_err(|_| anyhow!("the thread that makes root file systems failed"))??;
    let packages = packages?;

    let mut command = program_of("aquatic_system_tests")?;
    // Tests mostly wait, so they run in parallel.
    command.arg("--test-threads=5").args(arguments);
    command.env("AQUATIC_TEST_ROOTS", &roots);
    command.env("AQUATIC_TEST_REPOSITORY", packages.debian);
    command.env("AQUATIC_TEST_RPM", packages.rpm);
    command.env("AQUATIC_TEST_RPM_NEXT", packages.next_rpm);
    run_counted(&mut command)
}

/// Repositories of packages.
struct Packages {
    debian: PathBuf,
    rpm: PathBuf,
    /// The same packages, of a newer release.
    next_rpm: PathBuf,
}

/// Builds all packages, unless they are there.
fn packages(profile: &str) -> anyhow::Result<Packages> {
    let debian = deb::ensure(&deb::Arguments {
        version_suffix: String::new(),
        profile: profile.to_owned(),
        signing_key: None,
        check_reproducible: false,
    })?;
    let rpm = |suffix: &str| {
        rpm::ensure(&rpm::Arguments {
            release_suffix: suffix.to_owned(),
            profile: profile.to_owned(),
        })
    };
    Ok(Packages {
        debian: debian.repository,
        rpm: rpm("")?,
        next_rpm: rpm(".next")?,
    })
}

/// Makes a root file system as a tar, unless there is one with the same content.
fn make_root(roots: &Path, release: &Release) -> anyhow::Result<()> {
    let Release { name, engine } = release;
    let archive = roots.join(format!("{name}.tar"));
    let made_of = roots.join(format!("{name}.made-of"));
    let included = format!("{INCLUDED},{engine}");
    if archive.exists() && fs::read_to_string(&made_of).is_ok_and(|text| text == included) {
        return Ok(());
    }
    let unfinished: PathBuf = roots.join(format!("{name}.unfinished"));
    succeed(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--format=tar"])
            .arg(format!("--include={included}"))
            .arg(format!(
                "--customize-hook=chroot \"$1\" systemctl --quiet disable {engine}"
            ))
            .arg(name)
            .arg(&unfinished),
    )
    .with_context(|| format!("cannot make a root file system of {name}"))?;
    fs::rename(&unfinished, &archive)?;
    fs::write(made_of, included)?;
    Ok(())
}
