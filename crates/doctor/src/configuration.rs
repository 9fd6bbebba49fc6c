//! The configuration, as `--check-config` sees it.
//!
//! The check is a process of its own, because it becomes the user of the service.

use std::env;
use std::process::Command;

use aquatic_service::config::Environment;

use crate::command::{self, Output};
use crate::finding::Finding;
use crate::subject::Subject;
use crate::units::Variable;

/// Checks the configuration.
pub(crate) fn examine(subject: &Subject) -> Vec<Finding> {
    if subject.is_elsewhere {
        return vec![Finding::unchecked(
            "this machine has no configuration, and no tracker at the default addresses, so only \
             the URL is examined",
        )];
    }
    let mut command = Command::new(&subject.program);
    command.arg("--check-config");
    let what = match &subject.file {
        Some(file) => {
            command.arg("-c").arg(file);
            file.display().to_string()
        }
        None => "the default configuration".to_owned(),
    };
    let mut findings = Vec::new();
    if let Some(variables) = &subject.variables {
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(Environment::may_set_key) {
                command.env_remove(name);
            }
        }
        command.envs(variables.iter().cloned());
        findings.extend(overridden(subject.name, variables));
    }
    match command::run_within(command, command::PATIENCE) {
        Ok(output) => findings.extend(judge(&what, &output)),
        Err(failure) => findings.push(Finding::unchecked(failure.text(subject.name))),
    }
    findings
}

/// Says which variables of the unit override keys of the file.
fn overridden(name: &str, variables: &[Variable]) -> Option<Finding> {
    let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
    (!names.is_empty()).then(|| {
        Finding::ok(format!(
            "the environment of {name}.service sets {}, which is examined with the file",
            names.join(" and ")
        ))
    })
}

/// Judges the output of the check, of which each line begins with its level.
fn judge(what: &str, output: &Output) -> Vec<Finding> {
    let of_level = |level: &str| -> Vec<String> {
        let lines = output.stderr.lines();
        lines
            .filter_map(|line| {
                let (before, text) = line.split_once(level)?;
                // After the time, if there is one.
                let is_level = before
                    .chars()
                    .all(|one| !one.is_alphabetic() || one == 'T' || one == 'Z');
                is_level.then(|| text.trim_start_matches([' ', ':', ']']).to_owned())
            })
            .collect()
    };
    if !output.is_success {
        let errors = of_level("ERROR");
        let text = if errors.is_empty() {
            output.stderr.trim().to_owned()
        } else {
            // Each error of a file has a line of its own, the first has the level.
            let start = output.stderr.find("ERROR").unwrap_or(0) + "ERROR".len();
            output.stderr[start..].trim().to_owned()
        };
        return vec![Finding::wrong(
            format!("{what} is invalid: {text}"),
            "correct it; until then, the tracker does not start, and a reload changes nothing",
        )];
    }
    let mut findings = vec![Finding::ok(format!("{what} is valid"))];
    findings.extend(of_level("WARN").into_iter().map(|text| {
        Finding::warning(
            text,
            "see the manual page of the configuration for this key",
        )
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    fn judged(is_success: bool, stderr: &str) -> Vec<(State, String)> {
        let output = Output {
            is_success,
            stdout: String::new(),
            stderr: stderr.to_owned(),
        };
        let findings = judge("f.toml", &output);
        findings.into_iter().map(|it| (it.state, it.what)).collect()
    }

    #[test]
    fn errors_and_warnings_are_found() {
        let info = "2026-11-30T07:00:00Z INFO the configuration is valid\n";
        assert_eq!(judged(true, info), [(State::Ok, "f.toml is valid".into())]);
        let warning = "INFO a WARN in the text\nWARN access_list: it is empty\n";
        let expected = [
            (State::Ok, "f.toml is valid".into()),
            (State::Warning, "access_list: it is empty".into()),
        ];
        assert_eq!(judged(true, warning), expected);
        let error = "ERROR f.toml:1:1: key: wrong\nf.toml:2:1: other: wrong, too\n";
        let text = "f.toml is invalid: f.toml:1:1: key: wrong\nf.toml:2:1: other: wrong, too";
        assert_eq!(judged(false, error), [(State::Wrong, text.into())]);
        assert_eq!(judged(false, "killed")[0].0, State::Wrong);
    }
}
