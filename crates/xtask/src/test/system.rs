//! The prerequisites of the tests of packages: the packages, the container image, and root
//! file systems of the releases on which they are tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow, bail};

use super::{Totals, run_counted};
use crate::commands::{program_of, succeed};
use crate::dist::{deb, oci, rpm};
use crate::{requirements, root};

/// A root file system of a release of Debian.
struct Release {
    /// What its archive is called.
    archive: &'static str,
    name: &'static str,
    /// The Redis or Valkey of the release, as a package and service, which is not started.
    engine: Option<&'static str>,
    /// More packages.
    included: &'static str,
}

/// The oldest and the newest systemd that is supported, and the newest podman: the first one
/// that is in Debian with Quadlet.
const RELEASES: [Release; 3] = [
    Release {
        archive: "bookworm",
        name: "bookworm",
        engine: Some("redis-server"),
        included: "man-db,nftables",
    },
    Release {
        archive: "trixie",
        name: "trixie",
        engine: Some("valkey-server"),
        included: "man-db,nftables",
    },
    Release {
        archive: "trixie-podman",
        name: "trixie",
        engine: None,
        included: "catatonit,crun,dbus-user-session,passt,podman,podman-compose,uidmap",
    },
];

/// The packages of all root file systems, in addition to those of every system.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,libpam-systemd,iproute2,procps";

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
    command.env("AQUATIC_TEST_IMAGE", packages.image);
    command.env("AQUATIC_TEST_RPM", packages.rpm);
    command.env("AQUATIC_TEST_RPM_NEXT", packages.next_rpm);
    run_counted(&mut command)
}

/// Repositories of packages, and the container image.
struct Packages {
    image: PathBuf,
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
    let image = oci::ensure_built(&oci::Arguments {
        profile: profile.to_owned(),
        check_reproducible: false,
    })?;
    Ok(Packages {
        image,
        debian: debian.repository,
        rpm: rpm("")?,
        next_rpm: rpm(".next")?,
    })
}

/// Makes a root file system as a tar, unless there is one with the same content.
fn make_root(roots: &Path, release: &Release) -> anyhow::Result<()> {
    let Release { name, engine, .. } = release;
    let archive = roots.join(format!("{}.tar", release.archive));
    let made_of = roots.join(format!("{}.made-of", release.archive));
    let mut included = format!("{INCLUDED},{}", release.included);
    if let Some(engine) = engine {
        included = format!("{included},{engine}");
    }
    if archive.exists() && fs::read_to_string(&made_of).is_ok_and(|text| text == included) {
        return Ok(());
    }
    let unfinished: PathBuf = roots.join(format!("{}.unfinished", release.archive));
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "--format=tar"]);
    command.arg(format!("--include={included}"));
    if let Some(engine) = engine {
        let disable = format!("chroot \"$1\" systemctl --quiet disable {engine}");
        command.arg(format!("--customize-hook={disable}"));
    }
    succeed(command.arg(name).arg(&unfinished))
        .with_context(|| format!("cannot make a root file system of {name}"))?;
    fs::rename(&unfinished, &archive)?;
    fs::write(made_of, included)?;
    Ok(())
}
