//! Records for the journal, read from a socket in its place.

use std::process::Command;

use aquatic_test_harness::{Port, tools};

/// In a mount namespace of its own: replaces the journal's socket, starts the daemon as
/// the service manager would, and prints the records that arrive as JSON, one per line,
/// until the daemon is ready.
const JOURNAL: &str = r#"
import json, os, socket, struct, subprocess, sys
os.makedirs("/run/systemd/journal", exist_ok=True)
subprocess.check_call(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd/journal"])
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.settimeout(20)
output, stderr = os.pipe()
status = os.fstat(stderr)
stream = "%d:%d" % (status.st_dev, status.st_ino)
daemon = subprocess.Popen(sys.argv[1:], stderr=stderr, env={"JOURNAL_STREAM": stream})
try:
    ready = False
    while not ready:
        data, fields = journal.recv(1 << 16), {}
        while data:
            line, _, data = data.partition(b"\n")
            name, is_plain, value = line.partition(b"=")
            if not is_plain:
                length = struct.unpack("<Q", data[:8])[0]
                value, data = data[8:8 + length], data[9 + length:]
            fields[name.decode()] = value.decode()
        # The logger tries the socket with an empty datagram.
        if fields:
            print(json.dumps(fields))
        ready = fields.get("MESSAGE") == "ready"
finally:
    daemon.terminate()
    code = daemon.wait(20)
sys.exit(code)
"#;

#[test]
fn the_journal_gets_messages_with_their_fields() {
    // Fails in a changed root directory that is not a mount point.
    let mut namespace = Command::new("unshare");
    namespace.args(["--mount", "true"]);
    if !tools::needs_root()
        || !tools::needs(&["unshare", "python3"])
        || !tools::offers("mount namespaces", &mut namespace)
    {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("aquatic-udp.toml");
    let port = Port::reserve();
    let text = format!(
        "socket_workers = 1\n[network]\naddress = \"127.0.0.1:{}\"\n",
        port.number()
    );
    std::fs::write(&config, text).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "python3", "-c", JOURNAL])
        .arg(env!("CARGO_BIN_EXE_aquatic-udp"))
        .arg("-c")
        .arg(&config)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");

    let ready = text.lines().last().unwrap();
    for field in [
        r#""SYSLOG_IDENTIFIER": "aquatic-udp""#,
        // The priority is a number; 5 is a notice.
        r#""PRIORITY": "5""#,
        r#""MESSAGE": "ready""#,
        r#""WORKERS": "1""#,
    ] {
        assert!(ready.contains(field), "{field} is not in {ready}");
    }
}
