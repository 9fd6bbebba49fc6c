"""Asks a UDP tracker for a scrape of one torrent until a count is reached.

Usage: await_scrape.py ADDRESS PORT INFO_HASH WHAT COUNT

WHAT is seeders, completed or leechers. Prints the last answer; exits with 1
when the count was not reached in time.
"""

import socket
import struct
import sys
import time

PROTOCOL_ID = 0x41727101980
CONNECT, SCRAPE = 0, 2
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 0.05


def main():
    address, port, info_hash, what, count = sys.argv[1:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    tracker = socket.socket(family, socket.SOCK_DGRAM)
    tracker.settimeout(PATIENCE_SECONDS)
    tracker.connect((address, int(port)))
    tracker.send(struct.pack(">QII", PROTOCOL_ID, CONNECT, 1))
    connection_id = struct.unpack(">IIQ", tracker.recv(2048))[2]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        request = struct.pack(">QII", connection_id, SCRAPE, 2)
        tracker.send(request + bytes.fromhex(info_hash))
        reply = struct.unpack(">IIIII", tracker.recv(2048))
        counts = dict(zip(("seeders", "completed", "leechers"), reply[2:]))
        if counts[what] == int(count):
            print(counts)
            return 0
        if time.monotonic() > deadline:
            print("waited in vain for", count, what, "- last answer:", counts)
            return 1
        time.sleep(PAUSE_SECONDS)


sys.exit(main())
