//! Runs the fuzz targets for some time each, from their committed corpora.
//!
//! They are built without a sanitizer: they test safe code, whose possible faults are panics,
//! endless loops and unbounded memory, and libFuzzer detects all three by itself. So a
//! stable compiler is enough, the build is smaller, and twice as many inputs are tried.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cargo_metadata::Target;

use crate::commands::{cargo_command, metadata, succeed};
use crate::root;

mod report;

use report::Report;

/// The package of the fuzz targets, outside the workspace.
const PACKAGE: &str = "crates/fuzz";

/// The directory for builds and findings.
const BUILD: &str = "target/fuzz";

/// Maximum memory of a target in MiB: far more than a single input needs.
const MAX_MEMORY_MIB: u32 = 1024;

/// Seconds after which an input counts as a hang. Inputs take less than a
/// millisecond, and machines that run tests can be busy.
const MAX_INPUT_SECONDS: u32 = 20;

/// Additional time for a target to read its corpus and to end.
const GRACE: Duration = Duration::from_secs(90);

/// The pause between two checks whether a target has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// Number of lines of a failed target's output that are shown.
const SHOWN_LINES: usize = 60;

/// Number of bytes of an input that is shown.
const MAX_SHOWN_INPUT: usize = 16_384;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For how many seconds each target runs
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many targets run at the same time; as many as there are cores otherwise
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// List the targets, without running them
    #[arg(long)]
    list: bool,
    /// Which targets; all otherwise
    targets: Vec<String>,
}

/// Builds the fuzz targets and runs each of them.
///
/// # Errors
///
/// cargo-fuzz is missing, a target is not known or cannot be built, or one of them
/// has found something, or has not run.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let all = targets()?;
    if arguments.list {
        all.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let chosen = choose(&all, &arguments.targets)?;
    let host = host()?;
    build(&chosen, &host)?;

    let programs = root().join(BUILD).join(&host).join("release");
    let jobs = arguments.jobs.map_or_else(cores, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.min(chosen.len()) {
            scope.spawn(|| {
                while let Some(target) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = fuzz(target, &programs, arguments.seconds) {
                        println!("{target:<26} FAILED: {error:#}");
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(recap(target, read_report(target), &error));
                    }
                }
            });
        }
    });
    let failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() {
        return Ok(());
    }
    // Again at the end, where the log of a CI service is shown first.
    println!("=== failures\n{}", failures.join("\n"));
    bail!("{} of {} fuzz targets failed", failures.len(), chosen.len());
}

/// What a target wrote; nothing if it has not run.
fn read_report(target: &str) -> Report {
    let text = fs::read(log_of(target)).unwrap_or_default();
    Report::parse(&String::from_utf8_lossy(&text))
}

/// The file with the output of a target.
fn log_of(target: &str) -> PathBuf {
    root().join(BUILD).join(format!("{target}.log"))
}

/// Why a target failed, in short, and what is needed to repeat it elsewhere: its input.
fn recap(target: &str, report: Report, error: &anyhow::Error) -> String {
    let reason = report
        .reason
        .unwrap_or_else(|| error.root_cause().to_string());
    let Some(artifact) = report.artifact else {
        return format!("{target}: {reason}");
    };
    let input = match fs::read(&artifact) {
        Ok(input) => describe(&input),
        Err(error) => format!("{artifact}: {error}"),
    };
    format!("{target}: {reason}\n{target}: input, {input}")
}

/// An input as text, unless it is too long.
fn describe(input: &[u8]) -> String {
    if input.len() > MAX_SHOWN_INPUT {
        return format!("of {} bytes, too long to be shown", input.len());
    }
    format!("for `base64 --decode`: {}", BASE64.encode(input))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The names of all targets, in order. Each file in `fuzz_targets` is one, and is
/// named in the manifest: one that is forgotten there would never run.
fn targets() -> anyhow::Result<Vec<String>> {
    let package = root().join(PACKAGE);
    let packages = metadata(&format!("{PACKAGE}/Cargo.toml"))?.packages;
    let named: BTreeSet<String> = packages
        .into_iter()
        .flat_map(|package| package.targets)
        .filter(Target::is_bin)
        .map(|target| target.name)
        .collect();
    let files = fs::read_dir(package.join("fuzz_targets"))
        .context("fuzz_targets")?
        .map(|entry| Ok(entry?.path()))
        .filter_map(|path: anyhow::Result<PathBuf>| match path {
            Ok(path) => Some(Ok(path.file_stem()?.to_str()?.to_owned())),
            Err(error) => Some(Err(error)),
        })
        .collect::<anyhow::Result<BTreeSet<String>>>()?;
    if let Some(name) = named.symmetric_difference(&files).next() {
        bail!("{name} is not both a file in {PACKAGE}/fuzz_targets and a [[bin]] in its manifest");
    }
    Ok(named.into_iter().collect())
}

fn choose(all: &[String], asked_for: &[String]) -> anyhow::Result<Vec<String>> {
    if let Some(name) = asked_for.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {name}, but {}", all.join(", "));
    }
    let is_chosen = |name: &&String| asked_for.is_empty() || asked_for.contains(name);
    let chosen: Vec<String> = all.iter().filter(is_chosen).cloned().collect();
    if chosen.is_empty() {
        bail!("there are no fuzz targets");
    }
    Ok(chosen)
}

/// The platform that is compiled for: cargo-fuzz would take the one that it was
/// itself compiled for.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| anyhow!("rustc does not say for which platform it compiles"))
}

fn build(targets: &[String], host: &str) -> anyhow::Result<()> {
    let version = cargo_command()
        .args(["fuzz", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !version.is_ok_and(|status| status.success()) {
        bail!("cargo-fuzz is missing; install it with `cargo install --locked cargo-fuzz`");
    }
    let build = |target: Option<&str>| {
        let mut command = cargo_command();
        command.args(["fuzz", "build", "--fuzz-dir", PACKAGE]);
        command.args(["--sanitizer=none", "--target", host]);
        succeed(command.args(["--target-dir", BUILD]).args(target))
    };
    // It takes one name, or none for all.
    if targets.len() == self::targets()?.len() {
        return build(None);
    }
    targets.iter().try_for_each(|target| build(Some(target)))
}

/// Runs one target and prints its line.
///
/// # Errors
///
/// It has found something, or has not run.
fn fuzz(target: &str, programs: &Path, seconds: u32) -> anyhow::Result<()> {
    let package = root().join(PACKAGE);
    let work = root().join(BUILD);
    let artifacts = package.join("artifacts").join(target);
    // What is found goes into the first corpus, and is only read from the second.
    let found = work.join("corpus").join(target);
    let committed = package.join("corpus").join(target);
    for directory in [&artifacts, &found] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let log = log_of(target);
    let output = File::create(&log).with_context(|| log.display().to_string())?;
    if !committed.is_dir() {
        bail!("it has no corpus: {} is missing", committed.display());
    }

    let mut command = Command::new(programs.join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}"))
        .arg(format!("-timeout={MAX_INPUT_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .args([found, committed])
        .current_dir(&work)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let patience = Duration::from_secs(seconds.into()) + GRACE;
    let status = wait(&mut command, patience)?;
    let text = fs::read(&log).with_context(|| log.display().to_string())?;
    let text = String::from_utf8_lossy(&text);
    let report = Report::parse(&text);
    match judge(target, status, &report) {
        Ok(()) => {
            println!("{target:<26} {report}");
            Ok(())
        }
        Err(error) => {
            let first = text.lines().count().saturating_sub(SHOWN_LINES);
            let shown: Vec<&str> = text.lines().skip(first).collect();
            Err(error.context(format!("it wrote:\n{}\n{target}", shown.join("\n"))))
        }
    }
}

/// Runs a command that has to end by itself within `patience`; `None` if it was
/// killed.
fn wait(command: &mut Command, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let program = command.get_program().to_owned();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

/// Whether a target has done what it should; `None` is one that was killed.
fn judge(target: &str, status: Option<ExitStatus>, report: &Report) -> anyhow::Result<()> {
    if let Some(artifact) = &report.artifact {
        bail!(
            "it has found what must not be; once mended, keep the input as a test:\n\
             cp {artifact} {PACKAGE}/corpus/{target}/",
        );
    }
    match status {
        None => bail!("it did not end by itself"),
        Some(status) if !status.success() => bail!("it ended with {status}"),
        Some(_) => (),
    }
    if report.runs == 0 || report.features == 0 {
        bail!("it has tried nothing, or without seeing what is covered: {report}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn report(runs: u64, features: u64, artifact: Option<&str>) -> Report {
        Report {
            runs,
            features,
            artifact: artifact.map(str::to_owned),
            ..Report::default()
        }
    }

    #[test]
    fn every_target_has_a_corpus() {
        for target in targets().unwrap() {
            let corpus = root().join(PACKAGE).join("corpus").join(&target);
            let mut files = fs::read_dir(&corpus).expect(&target);
            assert!(files.next().is_some(), "{target} has no corpus");
        }
    }

    #[test]
    fn unknown_targets_are_named() {
        let all = ["one".to_owned(), "two".to_owned()];
        assert_eq!(choose(&all, &[]).unwrap(), all);
        assert_eq!(choose(&all, &["two".to_owned()]).unwrap(), ["two"]);
        let error = choose(&all, &["three".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no fuzz target three, but one, two"
        );
        assert!(choose(&[], &[]).is_err());
    }

    #[test]
    fn only_a_target_that_ran_and_found_nothing_is_good() {
        let good = Some(ExitStatus::from_raw(0));
        judge("x", good, &report(5, 7, None)).unwrap();
        assert!(judge("x", good, &report(0, 7, None)).is_err());
        assert!(judge("x", good, &report(5, 0, None)).is_err());
        assert!(judge("x", None, &report(5, 7, None)).is_err());
        let bad = Some(ExitStatus::from_raw(77 << 8));
        assert!(judge("x", bad, &report(5, 7, None)).is_err());
        let error = judge("x", bad, &report(5, 7, Some("/a/crash-1"))).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("cp /a/crash-1 crates/fuzz/corpus/x/"),
            "{message}"
        );
    }

    #[test]
    fn a_failure_can_be_repeated_from_its_recap() {
        let input = tempfile::NamedTempFile::new().unwrap();
        fs::write(input.path(), b"\x00GET /\xff").unwrap();
        let error = anyhow!("it ended with 77").context("more than anyone wants to read again");
        let crash = Report {
            reason: Some("head.rs:9:5: no".to_owned()),
            ..report(5, 7, input.path().to_str())
        };
        assert_eq!(
            recap("x", crash, &error),
            "x: head.rs:9:5: no\nx: input, for `base64 --decode`: AEdFVCAv/w=="
        );
        assert_eq!(
            recap("x", report(0, 0, None), &error),
            "x: it ended with 77"
        );
        let long = vec![0; MAX_SHOWN_INPUT + 1];
        assert_eq!(describe(&long), "of 16385 bytes, too long to be shown");
    }

    #[test]
    fn what_hangs_is_killed() {
        let mut sleeper = Command::new("sleep");
        let status = wait(sleeper.arg("60"), Duration::from_millis(10));
        assert_eq!(status.unwrap(), None);
    }
}
