"""A BitTorrent client of a few lines, on libtorrent, for the transfer tests.

Usage: libtorrent_client.py TORRENT DIRECTORY LISTEN_ADDRESS

Downloads into DIRECTORY, or seeds what is there already, knowing nothing but
the tracker in TORRENT. Everything that libtorrent reports goes to the output.
Asks the tracker for a scrape once the torrent is complete. Upon SIGTERM it tells
the tracker that it stops, and ends.
"""

import signal
import sys

import libtorrent

# How long one wait for news lasts, in milliseconds.
TURN = 100


def session_for(listen_address):
    return libtorrent.session(
        {
            "listen_interfaces": listen_address,
            "alert_mask": libtorrent.alert.category_t.all_categories,
            # The tracker is to be the only way to find a peer.
            "enable_dht": False,
            "enable_lsd": False,
            "enable_natpmp": False,
            "enable_upnp": False,
            # Now and then the seeder resets the first connection; the next try comes
            # after so many seconds, of 60 by default.
            "min_reconnect_time": 1,
            # uTP between libtorrent and Transmission can stall for a long time.
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
        }
    )


def main():
    torrent_path, directory, listen_address = sys.argv[1:]
    stopping = False

    def stop(_signal, _frame):
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    session = session_for(listen_address)
    torrent = libtorrent.add_torrent_params()
    torrent.ti = libtorrent.torrent_info(torrent_path)
    torrent.save_path = directory
    handle = session.add_torrent(torrent)
    asked = False
    while not stopping:
        session.wait_for_alert(TURN)
        for alert in session.pop_alerts():
            if alert.category() & NOISE == 0:
                print(alert.what(), alert.message(), flush=True)
        if not asked and handle.status().is_seeding:
            asked = True
            handle.scrape_tracker()
    session.pause()
    for _ in range(30):
        session.wait_for_alert(TURN)
        for alert in session.pop_alerts():
            print(alert.what(), alert.message(), flush=True)
            if alert.what() in ("tracker_reply", "tracker_error"):
                return


NOISE = (
    libtorrent.alert.category_t.stats_notification
    | libtorrent.alert.category_t.block_progress_notification
    | libtorrent.alert.category_t.piece_progress_notification
    | libtorrent.alert.category_t.session_log_notification
    | libtorrent.alert.category_t.torrent_log_notification
    | libtorrent.alert.category_t.peer_log_notification
    | libtorrent.alert.category_t.picker_log_notification
)

main()
