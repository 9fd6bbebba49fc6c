//! `systemctl reload`.

use aquatic_test_harness::certificates::{
    EC_CERTIFICATE, EC_KEY_PKCS8, RSA_CERTIFICATE, RSA_KEY_PKCS8,
};

use crate::container::Container;
use crate::daemons;
use crate::environment::Environment;
use crate::http;
use crate::tls;
use crate::udp::{Client, Scraped, hash};
use crate::websocket;

pub(super) fn the_access_list_is_read_again(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let file = "/etc/aquatic/aquatic-udp.toml";
    let list = "/etc/aquatic/access-list";
    container.write(list, "# none yet\n");
    container.replace(file, "mode = \"off\"", "mode = \"deny\"");
    container.replace(
        file,
        "as in allow_paths and deny_paths.\npath = \"\"",
        &format!("as in allow_paths and deny_paths.\npath = \"{list}\""),
    );
    container.succeed("systemctl restart aquatic-udp");
    let mut client = Client::connect(container.client(), container.address(3000));
    client.announce(hash(1), 1001).expect("nothing is denied");
    let before = container.property("aquatic-udp", "MainPID");

    let forbidden: String = hash(1).iter().map(|byte| format!("{byte:02x}")).collect();
    container.write(list, format!("{forbidden}\n"));
    container.succeed("systemctl reload aquatic-udp");
    container.wait_for("the torrent is denied", || {
        let outcome =
            Client::connect(container.client(), container.address(3000)).announce(hash(1), 1001);
        outcome.is_err()
    });

    // With an invalid file, the reload fails, and nothing else changes.
    container.write(list, "nonsense\n");
    container.fail("systemctl reload aquatic-udp");
    container.wait_for_log("aquatic-udp", "line 1: ");
    assert_eq!(container.property("aquatic-udp", "ActiveState"), "active");
    assert!(client.announce(hash(1), 1001).is_err());
    client.announce(hash(2), 1001).expect("others are served");

    container.write(list, "");
    container.succeed("systemctl reload aquatic-udp");
    container.wait_for("nothing is denied", || {
        Client::connect(container.client(), container.address(3000))
            .announce(hash(1), 1001)
            .is_ok()
    });
    let alone = [Scraped {
        seeders: 1,
        leechers: 0,
    }];
    assert_eq!(client.scrape(&[hash(2)]), alone);
    assert_eq!(container.property("aquatic-udp", "MainPID"), before);
    assert_eq!(container.property("aquatic-udp", "NRestarts"), "0");
}

pub(super) fn certificates_rotate_under_open_connections(environment: &Environment) {
    let container = Container::with(environment, &daemons::names(daemons::with_tls()));
    // The directory in which an ACME client keeps them, readable by a group.
    container.succeed("install --directory --mode=750 --group=aquatic /etc/tracker-certificates");
    let put = |certificate: &str, key: &str| {
        for (name, text) in [("cert.pem", certificate), ("key.pem", key)] {
            let path = format!("/etc/tracker-certificates/{name}");
            container.write(&path, text);
            container.succeed(&format!("chgrp aquatic {path} && chmod 640 {path}"));
        }
    };
    put(EC_CERTIFICATE, EC_KEY_PKCS8);
    for daemon in daemons::with_tls() {
        let file = daemon.file();
        container.replace(&file, "enable_tls = false", "enable_tls = true");
        for (key, name) in [("certificate", "cert"), ("private_key", "key")] {
            container.replace(
                &file,
                &format!("tls_{key}_path = \"\""),
                &format!("tls_{key}_path = \"/etc/tracker-certificates/{name}.pem\""),
            );
        }
        container.succeed(&format!("systemctl restart {}", daemon.name));
    }
    let shown = || -> Vec<_> {
        daemons::with_tls()
            .map(|daemon| tls::certificate(container.client(), container.address(daemon.port)))
            .collect()
    };
    let processes = || -> Vec<_> {
        daemons::with_tls()
            .map(|daemon| container.property(&daemon.name, "MainPID"))
            .collect()
    };
    let (first, before) = (shown(), processes());

    // These stay open all the time.
    let [mut http, ws] =
        [3000, 3001].map(|port| tls::connect(container.client(), container.address(port)));
    let path = http::announce(1, 1001);
    let mut ask = || http::ask(&mut http, &path, false).expect("an answer");
    let mut ws = websocket::Client::upgrade(ws);
    let answer = ask();
    assert!(answer.starts_with(b"d8:complete"));
    assert_eq!(ws.announce('a', 'p'), 0);

    container.write("/etc/tracker-certificates/cert.pem", "nonsense");
    for daemon in daemons::with_tls() {
        container.fail(&format!("systemctl reload {}", daemon.name));
    }
    assert_eq!(shown(), first);
    assert_eq!(ask(), answer);
    assert_eq!(ws.announce('a', 'p'), 0);

    put(RSA_CERTIFICATE, RSA_KEY_PKCS8);
    for daemon in daemons::with_tls() {
        container.succeed(&format!("systemctl reload {}", daemon.name));
    }
    container.wait_for("the new certificates are shown", || {
        shown().iter().zip(&first).all(|(now, first)| now != first)
    });
    assert_eq!(ask(), answer);
    let later = tls::connect(container.client(), container.address(3001));
    // Clients that are still connected are still peers.
    assert_eq!(websocket::Client::upgrade(later).announce('a', 'q'), 1);
    ws.announce('a', 'p');
    assert_eq!(processes(), before);
}
