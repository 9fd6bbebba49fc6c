//! The environment variables of the service, which override keys of its configuration.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aquatic_service::config::Environment;

use super::Unit;

/// A variable and its value.
pub(crate) type Variable = (String, OsString);

/// The variables of the running service that may set keys; if it does not run, or this user
/// cannot see them, those of its unit.
pub(super) fn of(service: &Unit, proc: &Path) -> Vec<Variable> {
    let id = service.value("MainPID");
    // Without a process, the id is 0.
    let mut variables = match fs::read(proc.join(id).join("environ")) {
        Ok(bytes) if !bytes.is_empty() => of_process(&bytes),
        _ => of_unit(service),
    };
    variables.retain(|(name, _)| Environment::may_set_key(name));
    variables
}

/// Parses `/proc/PID/environ`, where each variable ends with a zero byte (proc(5)).
fn of_process(bytes: &[u8]) -> Vec<Variable> {
    let variables = bytes.split(|byte| *byte == 0);
    variables
        .filter_map(|variable| {
            let equals = variable.iter().position(|byte| *byte == b'=')?;
            let name = String::from_utf8(variable[..equals].to_vec()).ok()?;
            Some((name, OsStr::from_bytes(&variable[equals + 1..]).to_owned()))
        })
        .collect()
}

/// The variables of `Environment=`, and those of the files of `EnvironmentFile=`, which
/// override them.
fn of_unit(service: &Unit) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    let mut set = |text: &str| {
        if let Some((name, value)) = text.split_once('=') {
            variables.retain(|(other, _)| other != name);
            variables.push((name.to_owned(), value.into()));
        }
    };
    for word in words(service.value("Environment")) {
        set(&word);
    }
    for file in service.0.get("EnvironmentFiles").into_iter().flatten() {
        // "/etc/default/aquatic (ignore_errors=yes)"
        let path = file.rsplit_once(" (").map_or(&**file, |(path, _)| path);
        let text = fs::read_to_string(path).unwrap_or_default();
        for line in text.lines().map(str::trim) {
            if !line.starts_with(['#', ';'])
                && let Some((name, value)) = line.split_once('=')
            {
                let value = words(value.trim()).join(" ");
                set(&format!("{}={value}", name.trim()));
            }
        }
    }
    variables
}

/// Splits a text as a shell does, with the quotation marks that systemctl(1) prints: `"a b"`
/// and `$'a b'`, within which a backslash makes the next character an ordinary one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut all = text.chars().peekable();
    while let Some(one) = all.next() {
        match (one, quote) {
            ('\\', _) => word.get_or_insert_default().extend(all.next()),
            (_, Some(end)) if one == end => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(one),
            ('$', None) if all.peek() == Some(&'\'') => {}
            ('"' | '\'', None) => {
                quote = Some(one);
                word.get_or_insert_default();
            }
            (' ' | '\t', None) => words.extend(word.take()),
            (_, None) => word.get_or_insert_default().push(one),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(properties: &[(&str, &str)]) -> Unit {
        let mut unit = Unit::default();
        for (name, value) in properties {
            let values = unit.0.entry((*name).to_owned()).or_default();
            values.push((*value).to_owned());
        }
        unit
    }

    fn variables(expected: &[(&str, &str)]) -> Vec<Variable> {
        let pairs = expected.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), value.into()))
            .collect()
    }

    #[test]
    fn variables_of_the_process_precede_those_of_the_unit() {
        let proc = tempfile::tempdir().unwrap();
        let unit = service(&[("MainPID", "7"), ("Environment", "AQUATIC_LOG_LEVEL=warn")]);
        let expected = variables(&[("AQUATIC_LOG_LEVEL", "warn")]);
        assert_eq!(of(&unit, proc.path()), expected);
        let directory = proc.path().join("7");
        fs::create_dir(&directory).unwrap();
        let environ = "PATH=/bin\0AQUATIC_SOCKET_UNIT=a.socket\0AQUATIC_PROTOCOL__X=a=b c\0";
        fs::write(directory.join("environ"), environ).unwrap();
        let expected = variables(&[("AQUATIC_PROTOCOL__X", "a=b c")]);
        assert_eq!(of(&unit, proc.path()), expected);
    }

    #[test]
    fn variables_of_the_unit_are_parsed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("with (all)");
        let text = "# AQUATIC_LOG_LEVEL=no\n AQUATIC_D = \"4 5\" \nAQUATIC_A=6\n\nnothing\n";
        fs::write(&file, text).unwrap();
        let unit = service(&[
            ("MainPID", "0"),
            (
                "Environment",
                r#"AQUATIC_A=1 "AQUATIC_B=2 \"3\"" $'AQUATIC_C=["[::]:1"]' AQUATIC_BOOT_ID=x LANG=C"#,
            ),
            (
                "EnvironmentFiles",
                &format!("{} (ignore_errors=no)", file.display()),
            ),
            ("EnvironmentFiles", "/nonexistent (ignore_errors=yes)"),
        ]);
        let expected = variables(&[
            ("AQUATIC_B", "2 \"3\""),
            ("AQUATIC_C", "[\"[::]:1\"]"),
            ("AQUATIC_D", "4 5"),
            ("AQUATIC_A", "6"),
        ]);
        assert_eq!(of(&unit, Path::new("/proc")), expected);
    }
}
