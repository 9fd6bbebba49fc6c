//! A seeder on the host of the tracker, behind a router with NAT, is found and reached from
//! outside.

use std::fs;
use std::path::Path;

use super::{TRACKER_PORT, await_copy, await_scrape, make_torrent, new_setup, payload};
use crate::clients::{self, Client, PEER_PORT, PYTHON};
use crate::network::{NAT_PROGRAMS, NatNetwork};
use crate::tools;

/// Transfers a file from `seeder`, on the host of the tracker `program`, to `leecher`, outside
/// of the network, through the router in between. `scheme` is that of the tracker's URLs. The
/// tracker maps the addresses of the network to that of the router.
///
/// # Panics
/// When the hosts cannot be made, the tracker does not start, or the file is not transferred
/// in time.
#[track_caller]
pub fn from_behind_nat(program: &Path, scheme: &str, seeder: Client, leecher: Client) {
    let needed: Vec<&str> = NAT_PROGRAMS
        .into_iter()
        .chain(clients::TORRENT_TOOLS)
        .collect();
    if !(seeder.is_there() && leecher.is_there() && tools::needs(&needed)) {
        return;
    }
    let network = NatNetwork::new(&[TRACKER_PORT, PEER_PORT]);
    let (inside, outside) = (&network.inside, &network.outside);
    let files = new_setup(program);
    let config = format!(
        "network.address = \"0.0.0.0:{TRACKER_PORT}\"\n\
         network.reject_special_addresses = true\n\
         [[address_map]]\nfrom = \"192.168.0.0/16\"\nto = \"{}\"\n",
        NatNetwork::OUTSIDE
    );
    let tracker = files.start_on(inside, &config);

    let original = files.path("seeder/payload.bin");
    for directory in ["seeder", "leecher"] {
        fs::create_dir(files.path(directory)).expect("make a directory");
    }
    files.write("seeder/payload.bin", payload());
    let mut running = Vec::new();
    for (role, client, host, address) in [
        ("seeder", seeder, inside, inside.ipv4),
        ("leecher", leecher, outside, NatNetwork::OUTSIDE),
    ] {
        let torrent = files.path(&format!("{role}.torrent"));
        let url = format!("{scheme}://{address}:{TRACKER_PORT}/announce");
        let info_hash = make_torrent(&url, &original, &torrent);
        let directory = files.path(role);
        running.push(client.start(host, &torrent, &directory, files.directory(), None));
        if role == "seeder" {
            await_scrape(host.command(PYTHON), &url, &info_hash, "seeders", 1);
        }
    }
    await_copy(&files);
    tracker.stop();
}
