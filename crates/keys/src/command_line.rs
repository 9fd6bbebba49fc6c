//! The command line.

use std::path::PathBuf;

use aquatic_policy::keys::{Expiry, Label};
use clap::{Args, Parser, Subcommand};

/// The file that is used if none is given.
pub const DEFAULT_FILE: &str = "/etc/aquatic/keys";

/// Maximum number of keys that are made at once.
pub const MAX_COUNT: u32 = 1_000_000;

/// Makes, lists and revokes the keys of clients of the aquatic trackers
#[derive(Debug, Clone, Parser)]
#[command(name = "aquatic-keys", version, max_term_width = 100)]
pub struct Arguments {
    /// File of keys, as in keys.path of the trackers' configurations
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, global = true)]
    pub file: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Make new keys, add them to the file, and print them
    Make(Make),
    /// List the keys: line, expiry and label
    List {
        /// Also print the keys themselves
        #[arg(long)]
        show: bool,
    },
    /// Remove keys from the file
    Revoke(Revoke),
    /// Check the file as the trackers do
    Check,
}

/// What keys to make.
#[derive(Debug, Clone, Args)]
pub struct Make {
    /// Whose keys they are, such as a user's name or number
    #[arg(short, long, value_name = "LABEL", default_value = "", value_parser = label)]
    pub label: String,
    /// When they expire: 2027-01-31 (when that day begins in UTC), or 2027-01-31T12:00:00Z
    #[arg(short, long, value_name = "DATE")]
    pub expires: Option<Expiry>,
    /// How many to make
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    pub count: u32,
}

/// What keys to revoke.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct Revoke {
    /// Keys to revoke; `-` reads them from standard input, one per line, so that other users
    /// of the machine do not see them in the list of processes
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Revoke all keys with this label
    #[arg(short, long, value_name = "LABEL")]
    pub label: Option<String>,
    /// Revoke all keys that have expired
    #[arg(long)]
    pub expired: bool,
}

fn label(text: &str) -> Result<String, String> {
    let label = Label::new(text).map_err(|error| error.to_string())?;
    Ok(label.as_str().to_owned())
}
