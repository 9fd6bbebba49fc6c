//! Conflicts between the configuration files of several daemons.

use std::os::unix::fs::symlink;

use super::*;

fn claims(addresses: &[(&'static str, Protocol, &str)], files: &[&str]) -> Claims {
    let addresses = addresses.iter().map(|(key, protocol, text)| Claim {
        key,
        what: (*protocol, text.parse().unwrap()),
    });
    let files = files.iter().map(|path| Claim {
        key: "snapshot.path",
        what: path.into(),
    });
    Claims {
        addresses: addresses.collect(),
        files: files.collect(),
    }
}

/// The conflicts that are reported when `aquatic-ws` serves `address`, and `other` is the
/// name and the content of another file.
fn said(address: &str, other: (&str, &str)) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aquatic-ws.toml");
    fs::write(&path, "").unwrap();
    fs::write(directory.path().join(other.0), other.1).unwrap();
    let claims = claims(&[("network.address", Protocol::Tcp, address)], &[]);
    conflicts("aquatic-ws", &path, &claims)
        .into_iter()
        .map(|one| {
            let said = one.error.to_string();
            said.replace(&format!("{}/", directory.path().display()), "")
        })
        .collect()
}

#[test]
fn an_address_of_another_daemon_is_named_with_its_place() {
    let http = "aquatic-http.toml";
    let text = "[network]\naddress = ['0.0.0.0:443', '[::]:443']\n";
    assert_eq!(
        said("0.0.0.0:443", (http, text)),
        [
            "network.address: 0.0.0.0:443 is also used by aquatic-http: 0.0.0.0:443 in \
             aquatic-http.toml:2:11; two daemons cannot share a port, so change one of them"
        ]
    );
    // A wildcard address includes each single address.
    assert_eq!(said("127.0.0.1:443", (http, text)).len(), 1);
    assert_eq!(said("[::1]:443", (http, text)).len(), 1);
    // No conflict: another port, protocol or address family, or a file of no daemon.
    assert_eq!(said("127.0.0.1:444", (http, text)), [""; 0]);
    assert_eq!(said("127.0.0.1:443", ("aquatic-udp.toml", text)), [""; 0]);
    let ipv6 = "network.address = '[::]:443'";
    assert_eq!(said("127.0.0.1:443", (http, ipv6)), [""; 0]);
    assert_eq!(said("127.0.0.1:443", ("other.toml", text)), [""; 0]);
}

#[test]
fn defaults_old_keys_and_metrics_of_others_count() {
    let http = "aquatic-http.toml";
    for (text, place) in [
        ("", "the defaults of aquatic-http.toml"),
        ("no = [", "the defaults of aquatic-http.toml"),
        (
            "[network]\naddress_ipv4 = '0.0.0.0:3000'\n",
            "aquatic-http.toml:2:1",
        ),
        (
            "[metrics]\nrun_prometheus_endpoint = true\n\
             prometheus_endpoint_address = '0.0.0.0:3000'\n[network]\naddress = '0.0.0.0:1'",
            "aquatic-http.toml:2:1",
        ),
    ] {
        let said = said("127.0.0.1:3000", (http, text));
        assert!(
            said.len() == 1 && said[0].contains(place),
            "{text}: {said:?}"
        );
    }
    // All daemons serve metrics over TCP, including aquatic-udp.
    let udp = "[metrics]\naddress = '127.0.0.1:3001'\n[network]\naddress = '0.0.0.0:3001'\n";
    assert_eq!(said("0.0.0.0:3001", ("aquatic-udp.toml", udp)).len(), 1);
}

#[test]
fn a_snapshot_of_two_daemons_is_found_by_whatever_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::create_dir(file("state")).unwrap();
    symlink(file("state"), file("link")).unwrap();
    fs::write(file("aquatic-udp.toml"), "").unwrap();
    let snapshot = file("state/swarm");
    let path = file("aquatic-udp.toml");
    let ours = claims(&[], &[snapshot.to_str().unwrap()]);
    for (text, count) in [
        (
            format!("snapshot.path = '{}'", file("link/swarm").display()),
            1,
        ),
        (
            format!("snapshot.path = '{}'", file("link/other").display()),
            0,
        ),
        ("snapshot.path = ''".to_owned(), 0),
    ] {
        fs::write(file("aquatic-http.toml"), &text).unwrap();
        let found = conflicts("aquatic-udp", &path, &ours);
        assert_eq!(found.len(), count, "{text}: {found:?}");
    }
}

#[test]
fn what_is_not_started_at_boot_claims_nothing() {
    let root = tempfile::tempdir().unwrap();
    let system = root.path().join("etc/systemd/system");
    let shipped = root.path().join("usr/lib/systemd/system");
    fs::create_dir_all(system.join("sockets.target.wants")).unwrap();
    fs::create_dir_all(&shipped).unwrap();
    let is_enabled = || is_enabled(root.path(), "aquatic-http");
    assert!(!is_enabled());
    let unit = shipped.join("aquatic-http.socket");
    fs::write(&unit, "").unwrap();
    assert!(!is_enabled());
    symlink(
        &unit,
        system.join("sockets.target.wants/aquatic-http.socket"),
    )
    .unwrap();
    assert!(is_enabled());
    // When the package is removed but not purged, the link stays, and the unit is masked.
    symlink("/dev/null", system.join("aquatic-http.socket")).unwrap();
    assert!(!is_enabled());
}
