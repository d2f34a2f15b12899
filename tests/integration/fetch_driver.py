"""Run by MicroPython from test_keyfetch.py: one key fetch, told as one line of JSON.

Arguments: file of the root certificate (DER), extension, limits in ms "connect,handshake,answer",
then "host:port" of each key server.
"""

import asyncio
import json
import sys

from phone import keyfetch
from ras.hostport import split_address


def read(path):
    with open(path, "rb") as file:
        return file.read()


async def main(root, ext, limits, *servers):
    failures = []
    try:
        fetched = await keyfetch.fetch(
            [split_address(server) for server in servers],
            ext,
            read(root),
            lambda error, more: failures.append([error.server, error.reason, error.status]),
            tuple(int(limit) for limit in limits.split(",")),
        )
    except keyfetch.FetchError as error:
        return {"reason": error.reason, "status": error.status, "server": error.server, "failures": failures}
    return {
        "g": fetched.keys.g.hex(),
        "suite": fetched.keys.suite.name,
        "gatekeepers": fetched.keys.gatekeepers,
        "server": fetched.server,
        "utc": fetched.utc,
        "failures": failures,
    }


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
