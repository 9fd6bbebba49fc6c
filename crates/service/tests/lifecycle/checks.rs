//! What `--check-config` finds on a machine, each with its key and line.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use aquatic_service::snapshot::BlockWriter;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::tools;
use aquatic_test_harness::waiting::PATIENCE;

crate::tests!(
    what_another_daemon_claims_is_found,
    a_snapshot_that_is_a_directory_is_found,
    what_is_read_is_never_written,
    what_never_was_a_snapshot_is_refused,
    what_the_start_would_refuse_is_found,
    a_snapshot_that_the_service_cannot_read_is_found,
    a_broadcast_address_is_found,
    an_address_of_no_interface_is_found,
    all_that_the_start_would_refuse_is_found_at_once,
    a_start_beside_another_claim_is_told_and_serves,
    what_is_repeated_of_a_file_is_bounded,
);

/// Checks a configuration file, and returns the messages.
fn check(setup: &Setup, config: &str) -> String {
    let file = setup.write("config.toml", config);
    let file = file.to_str().expect("a path of UTF-8");
    let finished = setup.run(&["--check-config", "-c", file]);
    let said = finished
        .stderr
        .replace(&format!("{}/", setup.directory().display()), "");
    assert_eq!(finished.status.success(), !said.contains("ERROR"), "{said}");
    said
}

fn assert_says(said: &str, expected: &str) {
    assert!(said.contains(expected), "{expected}\n{said}");
}

fn what_another_daemon_claims_is_found() {
    let setup = crate::setup();
    let snapshot = setup.path("swarm");
    let other = format!(
        "[network]\naddress = '127.0.0.1:7000'\n[snapshot]\npath = '{}'\n",
        snapshot.display()
    );
    setup.write("aquatic-udp.toml", other);
    let address = "[network]\naddress = '0.0.0.0:7000'\n";
    assert_says(
        &check(&setup, address),
        "config.toml:2:11: network.address: 0.0.0.0:7000 is also used by aquatic-udp: \
         127.0.0.1:7000 in aquatic-udp.toml:2:11; two daemons cannot share a port",
    );
    let file = format!(
        "[network]\naddress = '127.0.0.1:7001'\n[snapshot]\npath = '{}'\n",
        snapshot.display()
    );
    assert_says(
        &check(&setup, &file),
        "config.toml:4:8: snapshot.path: swarm is also written by aquatic-udp, according to \
         aquatic-udp.toml:4:8",
    );
    let good = "[network]\naddress = '127.0.0.1:7001'\n";
    assert_says(&check(&setup, good), "the configuration is valid");
}

fn a_snapshot_that_is_a_directory_is_found() {
    let setup = crate::setup();
    fs::create_dir(setup.path("state")).expect("a directory");
    let path = setup.path("state");
    let file = format!("[snapshot]\npath = '{}'\n", path.display());
    let said = check(&setup, &file);
    assert_says(&said, "config.toml:2:8: snapshot.path: ");
    assert_says(&said, "is a directory");
}

/// Returns the messages of a check that fails. A start must fail with the same message,
/// and must not change any file.
fn refused(setup: &Setup, config: &str) -> String {
    let said = check(setup, config);
    assert!(said.contains("ERROR"), "{said}");
    let before = files(setup);
    let finished = setup.start_unready(config).wait(PATIENCE);
    assert_eq!(finished.status.code(), Some(78), "{}", finished.stderr);
    let at_start = finished
        .stderr
        .replace(&format!("{}/", setup.directory().display()), "");
    let last = said.lines().last().unwrap_or_default();
    assert_says(&at_start, last);
    assert_eq!(files(setup), before);
    said
}

/// Names and content of all files.
fn files(setup: &Setup) -> Vec<(OsString, Vec<u8>)> {
    let entries = fs::read_dir(setup.directory()).expect("the directory is there");
    let entries = entries.map(|entry| entry.expect("it can be listed"));
    let mut files: Vec<_> = entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).expect("a file")))
        .collect();
    files.sort();
    files
}

fn what_is_read_is_never_written() {
    let setup = crate::setup();
    let at = |name: &str| setup.path(name).display().to_string();
    let port = Port::reserve();
    fs::create_dir(setup.path("deeper")).expect("a directory");
    setup.write("list", format!("{}\n", "a".repeat(40)));
    setup.write("badge", "good");
    setup.write("config.toml", "");
    for name in ["list", "badge", "config.toml"] {
        fs::hard_link(at(name), at(&format!("hard-{name}"))).expect("a hard link");
        symlink(name, at(&format!("soft-{name}"))).expect("a symbolic link");
    }
    symlink("unwritten", at("loose")).expect("a symbolic link");
    let config = |snapshot: &str, log: &str| {
        format!(
            "[network]\naddress = '{}'\nbadge_path = '{}'\nlog_path = '{log}'\n\
             [access_list]\nmode = 'allow'\npath = '{}'\n[snapshot]\npath = '{snapshot}'\n",
            port.ipv4(),
            at("badge"),
            at("list"),
        )
    };
    let whose = [
        ("list", "also the file of access_list.path"),
        ("badge", "also the file of network.badge_path"),
        ("config.toml", "the configuration itself"),
    ];
    for (name, whose) in whose {
        for name in [
            at(name),
            at(&format!("deeper/../{name}")),
            at(&format!("soft-{name}")),
            at(&format!("hard-{name}")),
        ] {
            let said = refused(&setup, &config(&name, ""));
            assert_says(&said, ":9:8: snapshot.path: ");
            assert_says(&said, whose);
            let said = refused(&setup, &config("", &name));
            assert_says(&said, ":4:12: network.log_path: ");
            assert_says(&said, whose);
        }
    }
    // Two files that are written must not be the same file, either.
    let said = refused(&setup, &config(&at("unwritten"), &at("loose")));
    assert_says(
        &said,
        "network.log_path: loose is also the file of snapshot.path",
    );
    // Files are first written under a temporary name, which no other file may have.
    fs::rename(at("list"), at("log.new")).expect("rename it");
    let renamed = config("", &at("log")).replace(&at("list"), &at("log.new"));
    let said = refused(&setup, &renamed);
    assert_says(
        &said,
        "network.log_path: log.new, its temporary name while it is written",
    );
    // A directory of lists is read as a whole.
    let lists = |snapshot: &str| {
        format!(
            "[network]\naddress = '{}'\n[access_list]\ndeny_paths = ['{}']\n[snapshot]\n\
             path = '{snapshot}'\n",
            port.ipv4(),
            at("lists"),
        )
    };
    fs::create_dir(setup.path("lists")).expect("a directory");
    symlink("../unwritten", at("lists/link")).expect("a symbolic link");
    setup.write("unwritten", "");
    let said = refused(&setup, &lists(&at("lists/snapshot")));
    assert_says(&said, ":6:8: snapshot.path: ");
    assert_says(
        &said,
        "in a directory that is also the file of access_list.deny_paths",
    );
    let said = refused(&setup, &lists(&at("unwritten")));
    assert_says(&said, "also the file of access_list.deny_paths");
}

fn what_never_was_a_snapshot_is_refused() {
    let setup = crate::setup();
    let port = Port::reserve();
    setup.write("notes", "Buy milk.\n");
    let config = format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '{}'\n",
        port.ipv4(),
        setup.path("notes").display()
    );
    let said = refused(&setup, &config);
    assert_says(
        &said,
        "config.toml:4:8: snapshot.path: notes is not a snapshot",
    );
    let notes = fs::read_to_string(setup.path("notes")).expect("it is there");
    assert_eq!(notes, "Buy milk.\n");
}

fn what_the_start_would_refuse_is_found() {
    let setup = crate::setup();
    let at = |name: &str| setup.path(name).display().to_string();
    let port = Port::reserve();
    let pipe = setup.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    let _socket = UnixListener::bind(setup.path("socket")).expect("make a socket");
    setup.write("file", "");
    let mut bytes = Vec::new();
    let other = BlockWriter::new(&mut bytes, "aquatic-nine", 1, 1).expect("memory takes it");
    other.finish().expect("memory takes it");
    setup.write("other", bytes);
    let whole = setup.directory().display().to_string();
    let config = |key: &str, path: &str| {
        let network = format!("[network]\naddress = '{}'\n", port.ipv4());
        let section = match key {
            "path" => "[snapshot]\n",
            _ => "",
        };
        format!("{network}{section}{key} = \"{path}\"\n")
    };
    let long = "x".repeat(300);
    let longer = "/x".repeat(2_500);
    for (path, reason) in [
        (at("pipe"), "it is a named pipe, not a regular file"),
        (at("socket"), "it is a socket, not a regular file"),
        (whole, "it is a directory, not a regular file"),
        ("/dev/null".to_owned(), "it is a device, not a regular file"),
        (at("file/below"), "Not a directory"),
        (at(&long), "File name too long"),
        (longer, "File name too long"),
        (at("nul\\u0000"), "NUL"),
    ] {
        assert_says(&refused(&setup, &config("path", &path)), reason);
        assert_says(&refused(&setup, &config("log_path", &path)), reason);
    }
    let said = refused(&setup, &config("path", &at("other")));
    assert_says(&said, "other belongs to aquatic-nine, not to aquatic-test");
    let said = refused(&setup, "[network]\naddress = '[fe80::1]:7000'\n");
    assert_says(&said, "is link-local and needs a scope id");
}

fn a_snapshot_that_the_service_cannot_read_is_found() {
    if !tools::needs_root() {
        return;
    }
    let setup = crate::setup();
    let port = Port::reserve();
    let config = format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '{}'\n",
        port.ipv4(),
        setup.path("swarm").display()
    );
    setup.start(&config).stop();
    assert_says(&check(&setup, &config), "the configuration is valid");
    // Root can read this file only with capabilities, which the service gives up.
    let set_mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(setup.path("swarm"), permissions).expect("root may");
    };
    set_mode(0o000);
    let said = check(&setup, &config);
    assert_says(
        &said,
        "snapshot.path: cannot read snapshot swarm: Permission denied",
    );
    set_mode(0o600);
    let config = format!(
        "{config}[privileges]\ndrop_privileges = true\nuser = 'nobody'\ngroup = 'nogroup'\n"
    );
    let said = check(&setup, &config);
    assert_says(
        &said,
        "snapshot.path: cannot read snapshot swarm: Permission denied",
    );
}

fn an_address_of_no_interface_is_found() {
    let setup = crate::setup();
    for address in ["fe80::1%1", "fe80::1%4000000"] {
        let config = format!("[network]\naddress = '[{address}]:7000'\n");
        assert_says(
            &check(&setup, &config),
            &format!("network.address: no network interface has {address}"),
        );
    }
}

fn all_that_the_start_would_refuse_is_found_at_once() {
    let setup = crate::setup();
    let config = "[network]\naddress = '198.51.100.1:7000'\n\
        [privileges]\ndrop_privileges = true\nuser = 'nobody-of-that-name'\n\
        [access_list]\nmode = 'deny'\npath = '/nonexistent/list'\n\
        [snapshot]\npath = '/nonexistent/snapshot'\n";
    let said = check(&setup, config);
    for expected in [
        "config.toml:2:11: network.address: no network interface has 198.51.100.1",
        "config.toml:5:8: privileges.user: there is no user \"nobody-of-that-name\"",
        "config.toml:8:8: access_list.path: access list /nonexistent/list: cannot read it",
        "config.toml:10:8: snapshot.path: cannot create files in /nonexistent",
    ] {
        assert_says(&said, expected);
    }
}

fn a_broadcast_address_is_found() {
    let setup = crate::setup();
    assert_says(
        &check(&setup, "[network]\naddress = '127.255.255.255:7000'\n"),
        "config.toml:2:11: network.address: 127.255.255.255:7000 is the broadcast address",
    );
    let started = setup.start_unready("[network]\naddress = '127.255.255.255:7000'\n");
    let finished = started.wait(Duration::from_secs(10));
    assert_eq!(finished.status.code(), Some(78), "{}", finished.stderr);
    assert_says(
        &finished.stderr,
        "network.address: 127.255.255.255:7000 is the broadcast",
    );
    assert_says(&finished.stderr, "or \"0.0.0.0:7000\" for all of them");
    // TEST-NET-2 (RFC 5737).
    assert_says(
        &check(&setup, "[network]\naddress = '198.51.100.1:7000'\n"),
        "network.address: no network interface has 198.51.100.1",
    );
}

fn a_start_beside_another_claim_is_told_and_serves() {
    let setup = crate::setup();
    let port = Port::reserve();
    let file = format!("[network]\naddress = '{}'\n", port.ipv4());
    setup.write("aquatic-udp.toml", &file);
    let daemon = setup.start(&file);
    let said = daemon.wait_for_log("is also used by aquatic-udp");
    assert!(said.starts_with("ERROR "), "{said}");
    daemon.stop();
}

fn what_is_repeated_of_a_file_is_bounded() {
    let setup = crate::setup();
    let long = "x".repeat(100_000);
    let many: String = (0..5_000)
        .map(|number| format!("key-{number} = 1\n"))
        .collect();
    for config in [
        format!("{long} = 1\n"),
        format!("[{long}]\n"),
        format!("[network]\naddress = '{long}'\n"),
        format!("[network]\naddress = {long}\n"),
        format!("[network]\nworkers = '{long}'\n"),
        format!("[network]\nworkers = 1{}\n", "0".repeat(100_000)),
        format!("log_level = '{long}'\n"),
        format!("[snapshot]\npath = '/{long}'\n"),
        format!("[access_list]\nmode = 'allow'\npath = '/{long}'\n"),
        format!("[privileges]\ndrop_privileges = true\nuser = '{long}'\ngroup = 'x'\n"),
        format!("[privileges]\ndrop_privileges = true\nuser = 'nobody'\ngroup = '{long}'\n"),
    ] {
        let said = check(&setup, &config);
        assert!(said.contains("ERROR"), "{}", &config[..40]);
        let length = said.len();
        assert!(length < 5_000, "{length}: {}", &config[..40]);
    }
    let said = check(&setup, &many);
    assert_says(
        &said,
        "there are more errors than these; is this the right file?",
    );
    assert_eq!(said.matches("unknown key").count(), 99);
}
