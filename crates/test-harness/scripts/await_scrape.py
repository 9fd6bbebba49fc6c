"""Asks a tracker for a scrape of one torrent until a count is reached.

Usage: await_scrape.py URL INFO_HASH WHAT COUNT

URL is where the tracker is to be announced to, by udp, http or https. WHAT is
seeders, completed or leechers. Prints the last answer; exits with 1 when the
count was not reached in time.
"""

import re
import socket
import struct
import sys
import time
import urllib.parse
import urllib.request

PROTOCOL_ID = 0x41727101980
CONNECT, SCRAPE = 0, 2
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 0.05


def udp_scrape(url, info_hash):
    """Makes a function that asks over UDP (BEP 15)."""
    family = socket.AF_INET6 if ":" in url.hostname else socket.AF_INET
    tracker = socket.socket(family, socket.SOCK_DGRAM)
    tracker.settimeout(PATIENCE_SECONDS)
    tracker.connect((url.hostname, url.port))
    tracker.send(struct.pack(">QII", PROTOCOL_ID, CONNECT, 1))
    connection_id = struct.unpack(">IIQ", tracker.recv(2048))[2]
    request = struct.pack(">QII", connection_id, SCRAPE, 2) + info_hash

    def ask():
        tracker.send(request)
        reply = struct.unpack(">IIIII", tracker.recv(2048))
        return dict(zip(("seeders", "completed", "leechers"), reply[2:]))

    return ask


def http_scrape(url, info_hash):
    """Makes a function that asks over HTTP (BEP 48)."""
    query = urllib.parse.urlencode({"info_hash": info_hash})
    path = url.path.replace("announce", "scrape")
    scrape = url._replace(path=path, query=query).geturl()
    # Nothing else of the network is to be asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask():
        with opener.open(scrape, timeout=PATIENCE_SECONDS) as reply:
            body = reply.read()
        counts = re.search(
            rb"d8:completei(\d+)e10:downloadedi(\d+)e10:incompletei(\d+)ee", body
        )
        return dict(zip(("seeders", "completed", "leechers"), map(int, counts.groups())))

    return ask


def main():
    url, info_hash, what, count = sys.argv[1:]
    url = urllib.parse.urlsplit(url)
    make = udp_scrape if url.scheme == "udp" else http_scrape
    ask = make(url, bytes.fromhex(info_hash))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        counts = ask()
        if counts[what] == int(count):
            print(counts)
            return 0
        if time.monotonic() > deadline:
            print("waited in vain for", count, what, "- last answer:", counts)
            return 1
        time.sleep(PAUSE_SECONDS)


sys.exit(main())
