//! Clocks, as processes in other namespaces read them.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, ExitCode};

use aquatic_service::Daemon as _;
use aquatic_service::clock::{Clock, Mark};
use aquatic_service::snapshot;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::tools;

use crate::daemon::{CLOCK, TestDaemon};

crate::tests!(
    time_namespaces_do_not_change_what_has_elapsed,
    a_boot_that_is_hidden_is_told_by_the_unit,
    the_boot_is_known_below_another_root,
);

/// The environment variable with a mark; a process that has it prints how many seconds
/// ago the mark was made.
pub(crate) const MARK: &str = "AQUATIC_SERVICE_TEST_MARK";

pub(crate) fn tell(mark: &OsStr) -> ExitCode {
    let digits = mark.to_str().expect("hexadecimal digits");
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let pair = str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    let bytes: Vec<u8> = pairs.iter().map(byte).collect();
    let mark = Mark::from_bytes(&bytes).expect("a mark");
    println!("{}", mark.seconds_ago());
    ExitCode::SUCCESS
}

/// How many seconds ago a mark was made, as seen by a process that `wrapper` starts.
fn seconds_ago(mark: &[u8], wrapper: &[&str]) -> u64 {
    let program = env::current_exe().expect("this program has a path");
    let digits: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(program).env(MARK, digits);
    let output = command.output().expect("it can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    let told = told.trim().parse();
    told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn time_namespaces_do_not_change_what_has_elapsed() {
    if !Path::new("/proc/self/ns/time").exists() {
        println!("skipped: this kernel has no time namespaces");
        return;
    }
    if !tools::needs_root() {
        return;
    }
    let mark = Clock::start().mark().to_bytes();
    for ahead in ["0", "500", "100000"] {
        let wrapper = ["unshare", "--time", "--boottime", ahead, "--fork"];
        let told = seconds_ago(&mark, &wrapper);
        assert!(told < 60, "{ahead}: {told}");
    }
}

/// The boot id is hidden, as with `ProcSubset=pid` of systemd.exec(5).
fn a_boot_that_is_hidden_is_told_by_the_unit() {
    if !tools::needs_root() {
        return;
    }
    let mut mark = Clock::start().mark().to_bytes();
    let id: String = mark[24..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // The wall clock was wrong by a day when the mark was made.
    let wall = u64::from_le_bytes(mark[8..16].try_into().expect("eight bytes"));
    mark[8..16].copy_from_slice(&(wall - 86_400).to_le_bytes());
    let script =
        |variable: &str| format!("mount -t tmpfs none /proc/sys && {variable} exec \"$0\" \"$@\"");
    let ago = |variable: &str| {
        let script = script(variable);
        seconds_ago(&mark, &["unshare", "--mount", "sh", "-c", &script])
    };
    assert!(ago(&format!("AQUATIC_BOOT_ID={id}")) < 60);
    // The id of this boot is unknown, or it is another boot.
    for variable in ["", "AQUATIC_BOOT_ID=60e47df52d4f4a0d9b7e1c2d3e4f5a6b"] {
        let told = ago(variable);
        assert!((86_400..86_460).contains(&told), "{told}");
    }
}

fn the_boot_is_known_below_another_root() {
    const NOBODY: u32 = 65534;
    if !tools::needs_root() {
        return;
    }
    let setup = crate::setup();
    let port = Port::reserve();
    let jail = setup.path("jail");
    fs::create_dir(&jail).expect("a directory");
    chown(&jail, Some(NOBODY), Some(NOBODY)).expect("root may");
    let config = format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '/swarm'\n[privileges]\n\
         drop_privileges = true\nuser = 'nobody'\ngroup = 'nogroup'\nchroot_path = '{}'\n",
        port.ipv4(),
        jail.display()
    );
    setup.start(&config).stop();
    let bytes = fs::read(jail.join("swarm")).expect("it is written");
    let mut marks = Vec::new();
    snapshot::read_blocks(&bytes, TestDaemon::SNAPSHOT_VERSION, |block| {
        if block.kind == CLOCK {
            marks.push(block.payload.to_vec());
        }
    })
    .expect("it is whole");
    let here = Clock::start().mark().to_bytes();
    assert_ne!(here[24..], [0; 16], "this machine tells which boot it is");
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0][24..], here[24..]);
}
