"""tshark as a second opinion on RAS datagrams."""

import os
import shutil
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

RAS_PORT = 1719


def need_tshark():
    """Skip the test where there is no tshark, unless RINGKEY_CI says that there must be."""
    if shutil.which("tshark") is None:
        if os.environ.get("RINGKEY_CI"):
            pytest.fail("CI installs tshark, and it is not here")
        pytest.skip("no tshark on PATH (Debian: apt install tshark)")


def write_pcap(path, datagrams):
    """Write [(seconds, source (host, port), target (host, port), octets)] as a capture of raw IPv4."""
    with Path(path).open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for when, source, target, octets in datagrams:
            udp = struct.pack(">HHHH", source[1], target[1], 8 + len(octets), 0) + octets
            ip = struct.pack(
                ">BBHHHBBH4s4s",
                0x45,
                0,
                20 + len(udp),
                0,
                0,
                64,
                17,
                0,
                bytes(int(part) for part in source[0].split(".")),
                bytes(int(part) for part in target[0].split(".")),
            )
            seconds = int(when)
            header = struct.pack("<IIII", seconds, int((when - seconds) * 1e6), len(ip + udp), len(ip + udp))
            out.write(header + ip + udp)


def fields(path, *names, display_filter="h225"):
    """Return a list of rows of field values, one row a packet that passes the filter."""
    need_tshark()
    command = ["tshark", "-r", str(path), "-d", f"udp.port=={RAS_PORT},h225", "-Y", display_filter]
    command += ["-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=,"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return [line.split("|") for line in done.stdout.splitlines()]


def malformed(messages):
    """Return for each RAS message whether tshark calls it malformed."""
    need_tshark()
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.pcap")
        here, there = ("192.0.2.1", 20000), ("192.0.2.2", RAS_PORT)
        write_pcap(path, [(i, here, there, octets) for i, octets in enumerate(messages)])
        bad = {int(row[0]) for row in fields(path, "frame.number", display_filter="_ws.malformed || !h225")}
    return [number in bad for number in range(1, len(messages) + 1)]
