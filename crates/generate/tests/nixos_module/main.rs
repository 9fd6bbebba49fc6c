//! Tests of the NixOS module, without NixOS: evaluates configurations, and checks the result
//! with daemons and systemd.
//!
//! - [`nix`]: evaluating the module.
//! - [`options`]: every option and its type, and errors that name it.
//! - [`outcome`]: the results of configurations, and of changes to them.
//! - [`cluster`]: the effects of options of clusters.
//! - [`examples`]: the examples of the documentation, and the appliance.
//! - [`switch`]: how NixOS changes units when it switches to another configuration.
//! - [`machines`]: the configurations of tests on virtual machines.
//! - [`units`]: compared with those of the packages for other distributions.
//! - [`flake`]: the flake, with a stand-in for nixpkgs.
//! - [`programs`]: programs of this system, and the daemons under test.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cluster;
mod examples;
mod flake;
mod machines;
mod monitoring;
mod nix;
mod options;
mod outcome;
mod programs;
mod switch;
mod units;
