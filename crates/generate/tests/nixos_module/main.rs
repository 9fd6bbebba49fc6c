//! The NixOS module, without NixOS: what it makes of configurations, and what
//! daemons and systemd say to that.
//!
//! - [`nix`]: evaluating the module.
//! - [`options`]: every option and its type, and errors that name it.
//! - [`outcome`]: what becomes of a configuration, and of a change of it.
//! - [`cluster`]: what becomes of options of clusters.
//! - [`examples`]: those of the documentation, and the appliance.
//! - [`switch`]: what NixOS does to units when it switches to another configuration.
//! - [`machines`]: what tests on virtual machines write.
//! - [`units`]: next to those of the packages for other distributions.
//! - [`flake`]: the flake, with a stand-in for nixpkgs.
//! - [`programs`]: those of this system, and the daemons that are tested.

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
