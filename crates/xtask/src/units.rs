//! The units of the packages, as systemd reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::commands::succeed;
use crate::root;

/// Maximum exposure according to `systemd-analyze security`, in tenths of a point. The scale
/// is from 0, the safest, to 10.
const MAX_EXPOSURE: u8 = 10;

/// Checks that systemd knows all directives of the units, and that their exposure is low.
/// Needs `systemd-analyze`.
///
/// # Errors
///
/// If it finds an error, or too much exposure.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut units = Vec::new();
    for entry in fs::read_dir(root().join("packaging/common"))? {
        let path = entry?.path();
        if let Some("service" | "socket") = path.extension().and_then(|it| it.to_str()) {
            units.push(path);
        }
    }
    units.sort();
    let units: Vec<_> = units.iter().map(AsRef::as_ref).collect();
    verify(&units)?;
    for unit in units {
        if unit.extension().is_some_and(|it| it == "service") {
            succeed(
                Command::new("systemd-analyze")
                    .args(["security", "--offline=yes", "--no-pager"])
                    .arg(format!("--threshold={MAX_EXPOSURE}"))
                    .arg(unit),
            )
            .with_context(|| format!("{} is exposed too much", unit.display()))?;
        }
    }
    Ok(())
}

/// Lets systemd check copies of units, as on a machine where their programs are installed
/// and a generator has added addresses to sockets.
fn verify(units: &[&Path]) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut copies = Vec::new();
    for unit in units {
        let name = unit.file_name().context("a unit has no name")?;
        let copy = directory.path().join(name);
        let text = fs::read_to_string(unit)?;
        fs::write(&copy, text.replace("=/usr/bin/aquatic-", "=/bin/true "))?;
        if unit.extension().is_some_and(|it| it == "socket") {
            let drop_ins = copy.with_extension("socket.d");
            fs::create_dir(&drop_ins)?;
            let address = "[Socket]\nListenStream=127.0.0.1:3000\n";
            fs::write(drop_ins.join("address.conf"), address)?;
        }
        copies.push(copy);
    }
    // Without the last option, unknown directives are only warnings.
    succeed(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=yes"])
            .args(copies),
    )
    .context("systemd finds faults in the units")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::has_program;

    fn can_check(test: &str) -> bool {
        let can = has_program("systemd-analyze");
        if !can {
            eprintln!("skipped {test}: missing: systemd-analyze");
        }
        can
    }

    #[test]
    fn committed_units_are_in_order() {
        if can_check("committed_units_are_in_order") {
            check().unwrap();
        }
    }

    #[test]
    fn what_systemd_does_not_know_is_found() {
        if !can_check("what_systemd_does_not_know_is_found") {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("aquatic-test.service");
        let good = "[Service]\nExecStart=/usr/bin/aquatic-test -c file\n";
        fs::write(&path, good).unwrap();
        verify(&[&path]).unwrap();
        fs::write(&path, format!("{good}NoSuchKey=yes\n")).unwrap();
        assert!(verify(&[&path]).is_err());
    }
}
