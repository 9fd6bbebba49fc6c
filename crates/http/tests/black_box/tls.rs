//! Certificates and their rotation, and curl.

use std::process::Command;

use aquatic_test_harness::certificates::{
    AUTHORITY, EC_CERTIFICATE, EC_CERTIFICATE_EXPIRED, EC_KEY_ENCRYPTED, EC_KEY_SEC1,
    RSA_CERTIFICATE, RSA_KEY_PKCS1, RSA_KEY_PKCS8,
};
use aquatic_test_harness::{Signal, eventually, tools};

use crate::tracker::{HttpTracker as _, KINDS, TLS, Tracker, new_place};

#[test]
fn keys_have_three_formats() {
    for (certificate, key) in [
        (None, EC_KEY_SEC1),
        (Some(RSA_CERTIFICATE), RSA_KEY_PKCS1),
        (Some(RSA_CERTIFICATE), RSA_KEY_PKCS8),
    ] {
        let place = new_place(TLS);
        if let Some(certificate) = certificate {
            place.setup.write("cert.pem", certificate);
        }
        place.setup.write("key.pem", key);
        let tracker = place.start();
        assert_eq!(tracker.client().get("/health").status, 200);
    }
}

#[test]
fn a_bad_certificate_keeps_the_tracker_from_starting() {
    for (file, contents, message) in [
        ("cert.pem", "nothing", "contains no certificate"),
        ("key.pem", "nothing", "contains no private key"),
        ("key.pem", EC_KEY_ENCRYPTED, "encrypted"),
        (
            "cert.pem",
            RSA_CERTIFICATE,
            "does not match the certificate",
        ),
    ] {
        let place = new_place(TLS);
        place.setup.write(file, contents);
        let (code, log) = place.start_in_vain();
        assert_ne!(code, Some(0));
        assert!(log.contains(message), "{log}");
        place.setup.write("check.toml", place.config());
        let path = place.setup.path("check.toml");
        let arguments = ["-c", path.to_str().unwrap(), "--check-config"];
        let checked = place.setup.run(&arguments);
        assert!(!checked.status.success());
        assert!(checked.stderr.contains(message), "{}", checked.stderr);
    }
}

#[test]
fn an_expired_certificate_is_warned_of() {
    let metric = "tls_certificate_expiry_timestamp_seconds";
    let place = new_place(TLS);
    place.setup.write("cert.pem", EC_CERTIFICATE_EXPIRED);
    place.setup.write("check.toml", place.config());
    let path = place.setup.path("check.toml");
    let checked = place
        .setup
        .run(&["-c", path.to_str().unwrap(), "--check-config"]);
    assert!(checked.status.success(), "{}", checked.stderr);
    assert!(checked.stderr.contains("expired"), "{}", checked.stderr);

    let mut tracker = place.start();
    let warning = tracker.daemon.wait_for_log("expired");
    assert!(warning.contains("cert.pem"), "{warning}");
    assert_eq!(tracker.metric(metric, &[]), 1_609_459_200.0);
    tracker.place.setup.write("cert.pem", EC_CERTIFICATE);
    tracker.daemon.reload(Signal::SIGHUP);
    assert!(tracker.metric(metric, &[]) > 4e9);
    // Another thread writes the log, so a line may appear after the event.
    tracker.daemon.wait_for_log("reloaded the TLS certificate");
    let count = |log: String| log.matches("expired").count();
    assert_eq!(count(tracker.daemon.log()), 1);
    tracker
        .place
        .setup
        .write("cert.pem", EC_CERTIFICATE_EXPIRED);
    tracker.daemon.reload(Signal::SIGHUP);
    eventually("a second warning", || {
        (count(tracker.daemon.log()) == 2).then_some(())
    });
}

#[test]
fn a_reload_replaces_the_certificate_and_keeps_connections() {
    let failures = ("reload_failures_total", &[("what", "tls_certificate")]);
    for kind in KINDS.into_iter().filter(|kind| kind.is_tls) {
        let mut tracker = Tracker::start(kind);
        let mut before = tracker.client();
        assert_eq!(before.get("/health").status, 200);
        assert_eq!(tracker.metric(failures.0, failures.1), 0.0);

        // A broken file changes nothing.
        tracker.place.setup.write("cert.pem", RSA_CERTIFICATE);
        tracker.daemon.reload(Signal::SIGHUP);
        tracker
            .daemon
            .wait_for_log("does not match the certificate");
        assert_eq!(tracker.metric(failures.0, failures.1), 1.0);
        assert_eq!(tracker.client().get("/health").status, 200);

        tracker.place.setup.write("key.pem", RSA_KEY_PKCS8);
        tracker.daemon.reload(Signal::SIGUSR1);
        assert_eq!(tracker.client().get("/health").status, 200);
        assert_eq!(before.get("/health").status, 200);
    }
}

#[test]
fn curl_is_served() {
    if !tools::needs(&["curl"]) {
        return;
    }
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let authority = tracker.place.setup.write("authority.pem", AUTHORITY);
        let scheme = if kind.is_tls { "https" } else { "http" };
        let query = "announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1";
        for address in [tracker.place.port.ipv4(), tracker.place.port.ipv6()] {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--include", "--globoff"]);
            curl.arg("--cacert").arg(&authority);
            // Two requests over one connection.
            let url = format!("{scheme}://{address}/{query}");
            let output = curl.args([&url, &url]).output().unwrap();
            let answer = output.stdout.escape_ascii().to_string();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind:?}: {errors}");
            assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
            assert_eq!(answer.matches("d8:complete").count(), 2, "{answer}");
        }
        assert_eq!(tracker.metric("connections_accepted_total", &[]), 2.0);
    }
}

#[test]
fn sessions_are_resumed() {
    if !tools::needs(&["openssl"]) {
        return;
    }
    for kind in KINDS.into_iter().filter(|kind| kind.is_tls) {
        let tracker = Tracker::start(kind);
        let mut openssl = Command::new("openssl");
        // Performs a full handshake and five that resume its session.
        openssl.args(["s_client", "-reconnect", "-tls1_2", "-connect"]);
        openssl.arg(tracker.ipv4().to_string());
        let output = openssl.stdin(std::process::Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.matches("Reused, TLSv1.2").count(), 5, "{text}");
        let resumed = [("resumed", "yes")];
        tracker.await_metric("tls_handshakes_total", &resumed, 5.0);
    }
}
