//! The configurations of the tests on virtual machines, which need KVM.

use std::fs;
use std::process::Command;

use crate::nix;
use crate::programs::{program, succeeded};

#[test]
fn the_load_test_accepts_its_configuration() {
    if !nix::can_be_evaluated() {
        return;
    }
    let test = nix::root().join("nixos-module/tests/machines/restart.nix");
    let client = format!(
        "(import {} {{ module = {{ }}; aquatic-load-test = {{ type = \"derivation\"; \
         name = \"x\"; outPath = \"/x\"; }}; }}).nodes.client",
        test.display()
    );
    for lib in nix::libs() {
        let outcome = nix::outcome(&lib, &client).unwrap();
        let text = outcome["etc"]["load-test.toml"].as_str().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("load-test.toml");
        fs::write(&file, text).unwrap();
        let checked = Command::new(program("aquatic-udp-load-test"))
            .arg("-c")
            .arg(&file)
            .arg("-P")
            .output()
            .unwrap();
        succeeded(&checked, "the load test");
    }
}
