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

/// Compiles the program of a package, which takes longer than this one, and runs it.
///
/// # Errors
///
/// It cannot be compiled, or fails.
pub(crate) fn run_package(package: &str, arguments: &[OsString]) -> anyhow::Result<()> {
    succeed(program_of(package)?.args(arguments))
}

/// Compiles the program of a package: with the profile of tests, and the features that the
/// libraries have in tests of the whole workspace, so that they are compiled only once.
///
/// # Errors
///
/// It cannot be compiled.
pub(crate) fn program_of(package: &str) -> anyhow::Result<Command> {
    let mut command = cargo_command();
    command.args(["build", "--quiet", "--profile=test"]);
    command.args(["--workspace", "--all-features", "--bin", package]);
    succeed(&mut command)?;
    let target = metadata("Cargo.toml")?.target_directory;
    let mut program = Command::new(target.join("debug").join(package));
    program.current_dir(root());
    Ok(program)
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
