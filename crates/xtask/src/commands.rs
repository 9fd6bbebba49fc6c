//! Programs that tasks run, mostly cargo.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::root;

/// Cargo in the root of the repository, the one that runs this.
pub(crate) fn cargo_command() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Compiles a package, which takes longer than this one, and runs its program: with the
/// profile of tests, so that their common dependencies are compiled only once.
///
/// # Errors
///
/// It cannot be compiled, or fails.
pub(crate) fn run_package(package: &str, arguments: &[OsString]) -> anyhow::Result<()> {
    let mut command = cargo_command();
    command.args(["run", "--quiet", "--profile=test"]);
    command.args(["--package", package, "--"]);
    succeed(command.args(arguments))
}

/// Cargo's metadata of the packages of a workspace with this manifest.
///
/// # Errors
///
/// Cargo cannot read it.
pub(crate) fn metadata(manifest: &str) -> anyhow::Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(root().join(manifest))
        .no_deps()
        .exec()
        .with_context(|| manifest.to_owned())
}

/// Runs a command to its end.
///
/// # Errors
///
/// It cannot be started, or fails.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        bail!(
            "{} {} failed: {status}",
            command.get_program().display(),
            arguments.join(" ")
        );
    }
    Ok(())
}
