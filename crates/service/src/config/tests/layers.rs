//! Drop-ins and environment variables over a file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;

use super::super::{Diagnostics, Environment, combine, recover};
use super::*;

/// A file, drop-ins by name, and variables.
fn combined(
    file: &str,
    drop_ins: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Loaded<Sample>, Diagnostics> {
    let drop_ins = drop_ins
        .iter()
        .map(|(name, text)| Layer::drop_in(Path::new(name), *text));
    let layers: Vec<_> = std::iter::once(Layer::file(file)).chain(drop_ins).collect();
    let variables = variables
        .iter()
        .map(|(name, value)| (*name, OsString::from(value)));
    let environment = Environment::new("aquatic-udp", variables);
    combine(Some(Path::new("f")), &layers, &environment)
}

fn faults_of(file: &str, drop_ins: &[(&str, &str)], variables: &[(&str, &str)]) -> Vec<String> {
    let faults = combined(file, drop_ins, variables).unwrap_err();
    faults.lines()
}

/// The configuration that variables alone result in.
fn of_variables(variables: &[(&str, &str)]) -> Sample {
    combined("", &[], variables).unwrap().config
}

fn faults_of_variables(variables: &[(&str, &str)]) -> Vec<String> {
    faults_of("", &[], variables)
}

#[test]
fn later_files_win_key_by_key_and_variables_over_them() {
    let file = "workers = 1\n[network]\naddress = ['1.1.1.1:1', '1.1.1.1:2']\nbuffer = 1\n";
    let drop_ins = [
        (
            "a",
            "[network]\nbuffer = 2\nratio = 2.5\n[metrics]\npeer_clients = true\n",
        ),
        ("b", "network.buffer = 3\nnetwork.address = '2.2.2.2:1'\n"),
    ];
    let config = combined(file, &drop_ins, &[]).unwrap().config;
    assert_eq!(config.workers, Count::of::<1>());
    assert_eq!(config.network.buffer, Bytes::of::<3>());
    assert_eq!(config.network.ratio.to_bits(), 2.5_f64.to_bits());
    // A list is one value.
    assert_eq!(config.network.address, addresses(&["2.2.2.2:1"]));
    assert!(config.metrics.peer_clients);

    let variables = [("AQUATIC_NETWORK__BUFFER", "4"), ("AQUATIC_WORKERS", "5")];
    let config = combined(file, &drop_ins, &variables).unwrap().config;
    assert_eq!(config.network.buffer, Bytes::of::<4>());
    assert_eq!(config.workers, Count::of::<5>());
}

#[test]
fn every_error_names_the_file_that_it_is_in() {
    let drop_ins = [
        ("f.d/10.toml", "[network]\nbufer = 1\nratio = 'x'\n"),
        ("f.d/20.toml", "\nlog_level = \"info\n"),
        ("f.d/30.toml", "[metrics]\naddress = 'x'\n"),
    ];
    assert_eq!(
        faults_of("workers = -1\n", &drop_ins, &[]),
        [
            "f:1:11: workers: -1 is out of range: it must be from 0 to 65535",
            "f.d/10.toml:2:1: network.bufer: unknown key; did you mean \"buffer\"? ([network] \
             has: address, buffer, ratio)",
            "f.d/10.toml:3:9: network.ratio: must be a number with a fraction, such as 1.5, not \
             a string in quotes",
            "f.d/20.toml:2:13: log_level: the text that begins here has no closing quote",
            "f.d/30.toml:2:11: metrics.address: \"x\" is not an IP address and port; write it \
             like \"127.0.0.1:9000\" or \"[::1]:9000\"",
        ]
    );
    // A wrong value is reported although another one overrides it.
    let good = [("f.d/10.toml", "workers = 1\n")];
    assert_eq!(faults_of("workers = -1\n", &good, &[]).len(), 1);
}

#[test]
fn errors_between_keys_of_several_files_name_that_of_the_key() {
    let list = "access_list.path: a file of info hashes is required unless access_list.mode is";
    let mode = ("f.d/10.toml", "[access_list]\nmode = 'deny'\n");
    let settings = |loaded: &Loaded<Sample>| {
        let check = |config: &Sample| match config.invalid() {
            errors if errors.is_empty() => Ok(()),
            errors => Err(errors),
        };
        loaded.settings(check).map_err(|error| error.to_string())
    };
    let with = |path: &str, over: &str| {
        let all = [mode, ("f.d/20.toml", over)];
        settings(&combined(path, &all, &[]).unwrap())
    };
    assert_eq!(with("access_list.path = 'list'\n", ""), Ok(()));
    let error = with(
        "access_list.path = 'list'\n",
        "\n[access_list]\npath = ''\n",
    )
    .unwrap_err();
    assert!(
        error.starts_with(&format!("f.d/20.toml:3:8: {list}")),
        "{error}"
    );
    let error = with("access_list.path = ''\n", "").unwrap_err();
    assert!(error.starts_with(&format!("f:1:20: {list}")), "{error}");

    let variables = [("AQUATIC_ACCESS_LIST__PATH", "")];
    let error = settings(&combined("", &[mode], &variables).unwrap()).unwrap_err();
    assert!(
        error.starts_with(&format!("AQUATIC_ACCESS_LIST__PATH: {list}")),
        "{error}"
    );
}

#[test]
fn old_keys_are_translated_where_they_are() {
    let drop_ins = [
        (
            "a",
            "[network]\naddress_ipv4 = '1.2.3.4:5'\nuse_ipv6 = false\n",
        ),
        ("b", "[network]\nold_buffer = 7\n"),
    ];
    let file = combined(
        "[network]\naddress = '[::1]:1'\nbuffer = 1\n",
        &drop_ins,
        &[],
    )
    .unwrap();
    assert_eq!(file.config.network.address, addresses(&["1.2.3.4:5"]));
    assert_eq!(file.config.network.buffer, Bytes::of::<7>());
    assert_eq!(
        file.warnings().lines(),
        [
            "a:2:1: network.address_ipv4: merged into network.address: [\"1.2.3.4:5\"]",
            "a:3:1: network.use_ipv6: merged into network.address: [\"1.2.3.4:5\"]",
            "b:2:1: network.old_buffer: renamed to network.buffer",
        ]
    );
    let outdated: Vec<_> = file.outdated_drop_ins().into_iter().collect();
    assert_eq!(outdated, [Path::new("a"), Path::new("b")]);

    // The current key of a later file wins over the former one of an earlier file.
    let newer = [("a", "[network]\nbuffer = 8\n")];
    let file = combined("[network]\nold_buffer = 7\n", &newer, &[]).unwrap();
    assert_eq!(file.config.network.buffer, Bytes::of::<8>());
}

#[test]
fn the_configuration_in_effect_says_what_sets_its_keys() {
    let drop_ins = [("f.d/10.toml", "\n[network]\nbuffer = 9\n")];
    let variables = [("AQUATIC_NETWORK__RATIO", "2.5")];
    let file = combined("workers = 3\n", &drop_ins, &variables).unwrap();
    let expected = Sample::DEFAULT_TOML
        .replace("workers = 0", "workers = 3")
        .replace("buffer = 5", "# Set in f.d/10.toml:3:10\nbuffer = 9")
        .replace(
            "ratio = 1.5",
            "# Set in AQUATIC_NETWORK__RATIO\nratio = 2.5",
        );
    assert_eq!(file.effective_toml(), expected);
}

#[test]
fn addresses_may_be_hidden_in_any_file() {
    let recovered = |file: &str, drop_in: &str| {
        let layers = [Layer::file(file), Layer::drop_in(Path::new("d"), drop_in)];
        let recovered = recover::<Sample>(&layers, Path::new("f"), &["network.address"], |_| {
            Vec::new()
        });
        let config = recovered.ok()?.loaded.config;
        Some(config.network.address.as_slice().first()?.to_string())
    };
    let right = "[network]\naddress = '127.0.0.1:1'\n";
    let other = "[network]\naddress = '127.0.0.1:2'\n";
    let mistake = "[metrics]\nno_such_key = 1\n[access_list\n";
    let first = Some("127.0.0.1:1".to_owned());
    let second = Some("127.0.0.1:2".to_owned());
    assert_eq!(recovered(right, ""), first);
    assert_eq!(recovered(right, other), second);
    assert_eq!(recovered(&format!("{right}{mistake}"), ""), first);
    assert_eq!(recovered(right, &format!("{other}{mistake}")), second);
    // A file that cannot be parsed can be overridden by a later one.
    assert_eq!(recovered(mistake, other), second);
    assert_eq!(recovered(right, mistake), None);
    assert_eq!(recovered(mistake, ""), None);
    assert_eq!(recovered(right, "[network]\naddress = 'x'\n"), None);
}

#[test]
fn variables_are_toml_or_plain_text() {
    for (value, expected) in [
        ("127.0.0.1:1", &["127.0.0.1:1"][..]),
        ("\"127.0.0.1:1\"", &["127.0.0.1:1"]),
        ("[::]:1", &["[::]:1"]),
        ("[::]:1, 127.0.0.1:1,", &["[::]:1", "127.0.0.1:1"]),
        ("['[::]:1', \"127.0.0.1:1\"]", &["[::]:1", "127.0.0.1:1"]),
        (" [\n'[::]:1',\n] \n", &["[::]:1"]),
    ] {
        let config = of_variables(&[("AQUATIC_NETWORK__ADDRESS", value)]);
        assert_eq!(config.network.address, addresses(expected), "{value}");
    }
    let config = of_variables(&[
        ("AQUATIC_LOG_LEVEL", "debug"),
        ("AQUATIC_ACCESS_LIST__MODE", "'deny'"),
        ("AQUATIC_ACCESS_LIST__PATH", "/a \"quoted\" \\ path = 1"),
        ("AQUATIC_NETWORK__BUFFER", " 0x10\n"),
        ("AQUATIC_NETWORK__RATIO", "0.5"),
        ("AQUATIC_METRICS__PEER_CLIENTS", "true"),
    ]);
    assert_eq!(config.log_level, LogLevel::Debug);
    let path = Path::new("/a \"quoted\" \\ path = 1");
    assert_eq!(config.access_list.path, path);
    assert_eq!(config.network.buffer, Bytes::of::<16>());
    assert!(config.metrics.peer_clients);
    // An empty value is a valid string, but not a valid number.
    assert_eq!(
        faults_of(
            "[access_list]\nmode = 'deny'\npath = 'x'\n",
            &[],
            &[("AQUATIC_ACCESS_LIST__PATH", ""), ("AQUATIC_WORKERS", "")]
        ),
        ["AQUATIC_WORKERS: workers: a value is missing, such as 0"]
    );
}

#[test]
fn errors_in_variables_name_them() {
    assert_eq!(
        faults_of_variables(&[
            ("AQUATIC_LOG_LEVEL", "wran"),
            ("AQUATIC_METRICS__PEER_CLIENTS", "yes"),
            ("AQUATIC_NETWORK__ADDRESS", "127.0.0.1:1, x"),
            ("AQUATIC_NETWORK__BUFFER", "1\nratio = 9.5"),
            ("AQUATIC_WORKERS", "70000"),
        ]),
        [
            "AQUATIC_LOG_LEVEL: log_level: \"wran\" is not one of \"off\", \"error\", \"warn\", \
             \"info\", \"debug\", \"trace\"; did you mean \"warn\"?",
            "AQUATIC_METRICS__PEER_CLIENTS: metrics.peer_clients: must be true or false, not yes",
            "AQUATIC_NETWORK__ADDRESS: network.address: \"x\" is not an IP address and port; \
             write it like \"0.0.0.0:3000\" or \"[::]:3000\"",
            "AQUATIC_NETWORK__BUFFER: network.buffer: must be a whole number, such as 5, not a \
             string in quotes",
            "AQUATIC_WORKERS: workers: 70000 is out of range: it must be from 0 to 65535",
        ]
    );
    let invalid = OsString::from_vec(b"\xff".to_vec());
    let environment = Environment::new("x", [("AQUATIC_WORKERS", invalid)]);
    let faults = combine::<Sample>(None, &[], &environment).unwrap_err();
    assert_eq!(
        faults.lines(),
        ["AQUATIC_WORKERS: workers: the value is not UTF-8"]
    );
}

#[test]
fn variables_that_are_nearly_right_are_errors_and_others_are_not_ours() {
    for (name, meant) in [
        ("AQUATIC_NETWORK__ADRESS", "AQUATIC_NETWORK__ADDRESS"),
        ("AQUATIC_network__address", "AQUATIC_NETWORK__ADDRESS"),
        ("AQUATIC_NETWORK_ADDRESS", "AQUATIC_NETWORK__ADDRESS"),
        ("AQUATIC_LOGLEVEL", "AQUATIC_LOG_LEVEL"),
        (
            "AQUATIC_UDP__NETWORK__ADRESS",
            "AQUATIC_UDP__NETWORK__ADDRESS",
        ),
        ("AQUATIC_UDP__WORKER", "AQUATIC_UDP__WORKERS"),
    ] {
        let expected = format!("{name}: no key has this name; did you mean {meant}?");
        assert_eq!(faults_of_variables(&[(name, "1")]), [expected]);
    }
    assert_eq!(
        faults_of_variables(&[("AQUATIC_NO__SUCH_THING", "1")]),
        ["AQUATIC_NO__SUCH_THING: no key has this name (aquatic-udp -p shows all keys)"]
    );
    for name in ["AQUATIC_NETWORK", "AQUATIC_UDP__NETWORK"] {
        let expected = format!(
            "{name}: is a section, of which each key has a variable, such as {name}__ADDRESS"
        );
        assert_eq!(faults_of_variables(&[(name, "{}")]), [expected]);
    }
    let invalid = OsString::from_vec(b"AQUATIC_NETWORK__ADDRES\xff".to_vec());
    let environment = Environment::new("x", [(invalid, "1".into())]);
    assert_eq!(
        combine::<Sample>(None, &[], &environment).unwrap_err().list[0].message,
        "no key has this name; did you mean AQUATIC_NETWORK__ADDRESS?"
    );
    let names: Vec<_> = (0..1_000)
        .map(|number| format!("AQUATIC_X__{number}"))
        .collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let faults = faults_of_variables(&many);
    assert_eq!(faults.len(), 100);
    assert_eq!(
        faults
            .iter()
            .filter(|fault| fault.starts_with("AQUATIC_X__"))
            .count(),
        99
    );
    let config = of_variables(&[
        // Variables like these are set by units, tests and Kubernetes, and are ignored.
        ("AQUATIC_SOCKET_UNIT", "x"),
        ("AQUATIC_CLUSTER_URL", "x"),
        ("AQUATIC_TEST_ROOTS", "x"),
        ("AQUATIC_PORT", "tcp://10.0.0.1:3000"),
        ("AQUATIC_UDP_PORT_3000_UDP_ADDR", "10.0.0.1"),
        ("AQUATIC_UDP_SERVICE_HOST", "10.0.0.1"),
        ("NETWORK__ADDRESS", "x"),
    ]);
    assert_eq!(config, Sample::default());
}

#[test]
fn each_daemon_can_have_its_own_variables() {
    let config = of_variables(&[
        ("AQUATIC_UDP__NETWORK__BUFFER", "3"),
        ("AQUATIC_NETWORK__BUFFER", "2"),
        ("AQUATIC_WORKERS", "4"),
        // Variables of other daemons may set keys that this daemon does not have.
        ("AQUATIC_HTTP__NETWORK__KEEP_ALIVE", "true"),
        ("AQUATIC_WS__WORKERS", "x"),
    ]);
    assert_eq!(config.network.buffer, Bytes::of::<3>());
    assert_eq!(config.workers, Count::of::<4>());
}

#[test]
fn drop_ins_are_found_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.toml");
    let drop_in = |name: &str| directory.path().join("x.toml.d").join(name);
    let buffer = |sources: &Sources| {
        let loaded = load::<Sample>(sources).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default())
        })?;
        Ok::<_, String>(loaded.config.network.buffer.as_u64())
    };
    let sources = Sources::files(&file);
    fs::write(&file, "[network]\nbuffer = 1\n").unwrap();
    assert_eq!(buffer(&sources), Ok(1));

    fs::create_dir(drop_in("")).unwrap();
    for (name, number) in [
        ("20.toml", 3),
        ("10.toml", 2),
        (".30.toml", 4),
        ("40.toml.dpkg-old", 5),
        ("50.toml~", 6),
        ("README", 7),
    ] {
        fs::write(drop_in(name), format!("network.buffer = {number}\n")).unwrap();
    }
    assert_eq!(buffer(&sources), Ok(3));
    assert_eq!(buffer(&Sources::file(Some(&file))), Ok(1));
    assert_eq!(
        sources.paths(),
        [
            file.clone(),
            drop_in("10.toml"),
            drop_in("20.toml"),
            directory.path().join("x.toml.d")
        ]
    );
    // A drop-in that is a dangling link is an error.
    symlink("nowhere", drop_in("60.toml")).unwrap();
    let error = buffer(&sources).unwrap_err();
    let begin = format!(
        "cannot read the configuration file {}",
        drop_in("60.toml").display()
    );
    assert!(error.starts_with(&begin), "{error}");

    for number in 0..101 {
        fs::write(drop_in(&format!("{number}.toml")), "").unwrap();
    }
    let error = buffer(&sources).unwrap_err();
    assert!(
        error.ends_with(": it contains more than 100 drop-ins"),
        "{error}"
    );

    fs::remove_dir_all(drop_in("")).unwrap();
    fs::write(directory.path().join("x.toml.d"), "").unwrap();
    let error = buffer(&sources).unwrap_err();
    let begin = "cannot read the configuration files in ";
    assert!(error.starts_with(begin), "{error}");
}
