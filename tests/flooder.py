"""A flood, as fast as one core sends: garbage, GRQs with random g, and replays, from one and many addresses.

    python flooder.py HOST PORT SECONDS MIX.json

MIX.json: {"grq": hex of a genuine GRQ, "g": hex of the g in it, "icv": [offset, length] of its ICV,
"replays": [hex, …], "sources": how many addresses besides the one}.  Prints how many it has sent.
"""

import json
import os
import random
import socket
import struct
import sys
import time

POOL = 20_000  # different datagrams, made before the first is sent
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # ip(7); Python has a name for it since 3.14


def packets(mix):
    """Return the datagrams, shuffled: a third each."""
    grq, g = bytes.fromhex(mix["grq"]), bytes.fromhex(mix["g"])
    at = grq.index(g)
    icv, length = mix["icv"]
    found = []
    for _ in range(POOL // 3):
        found.append(os.urandom(random.randrange(1, 400)))
        octets = bytearray(grq)
        octets[at + 10 : at + 16] = os.urandom(6)  # its counter: a g that was never issued
        octets[1:3] = os.urandom(2)
        octets[icv : icv + length] = os.urandom(length)
        found.append(bytes(octets))
        found.append(bytes.fromhex(random.choice(mix["replays"])))
    random.shuffle(found)
    return found


def bound(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    return sock


def forged(address):
    """Return what makes a datagram come from `address` of this machine, whatever its socket is bound to."""
    return [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, socket.inet_aton(address), bytes(4)))]


def main(host, port, seconds, file):
    with open(file) as stream:
        mix = json.load(stream)
    pool = packets(mix)
    one, any_ = bound("127.66.0.1"), bound("")
    many = [forged(f"127.77.{i >> 8}.{i & 255}") for i in range(1, mix["sources"] + 1)]
    target = (host, int(port))
    end = time.monotonic() + float(seconds)
    sent = lost = 0
    print("flooding", flush=True)
    while time.monotonic() < end:
        for _ in range(200):
            # Half of all from the one address.
            try:
                if sent & 1 or not many:
                    one.sendto(pool[sent % len(pool)], target)
                else:
                    any_.sendmsg([pool[sent % len(pool)]], many[(sent >> 1) % len(many)], 0, target)
            except OSError:
                lost += 1
            sent += 1
    print(json.dumps({"sent": sent, "lost": lost}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
