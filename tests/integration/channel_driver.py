"""Run by MicroPython from test_channel.py: opens a channel, sends a frame, tells what came back.

Arguments: "native" or "own", port, identity, key in hex.
"""

import asyncio
import json
import os
import sys

from phone import channel
from ras import q931
from ras.errors import RemoteProtocolError


async def main(which, port, identity, key):
    if which == "native" and not channel.NATIVE:
        return {"skip": "this MicroPython's tls has no PSK"}
    address = ("127.0.0.1", int(port))
    try:
        opened = await channel.open_channel(
            address, identity.encode(), bytes.fromhex(key), os.urandom, which == "native"
        )
    except channel.ChannelError as error:
        return {"failed": error.step}
    told = {"cipher": opened.cipher, "frames": []}
    await opened.send(q931.status_enquiry())
    try:
        while True:
            frame = await asyncio.wait_for_ms(opened.receive(), 5000)
            if frame is None:
                told["end"] = "closed"
                break
            told["frames"].append(frame.hex())
    except RemoteProtocolError:
        told["end"] = "violated"
    except OSError:
        told["end"] = "lost"
    opened.close()
    opened.close()
    return told


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
