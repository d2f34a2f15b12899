"""Run the TLS-PSK client over a socket; the same file under CPython and MicroPython.

    upy_psk_client.py HOST PORT IDENTITY KEY(hex) SEND EXPECT

Sends SEND octets of a pattern (or SEND itself where it is no number), takes EXPECT octets (-1: until
the server closes), closes, and prints one line for each step.  Ends with 1 after "refused" and the reason.
"""

import hashlib
import os
import socket
import sys

from tlspsk.client import PSKClient
from tlspsk.errors import RemoteProtocolError

LINE = b"0123456789 ringkey 0123456789\n"


def pattern(size):
    """Return `size` octets: whole lines that begin with a digit, so no command to s_server."""
    return (LINE * (size // len(LINE) + 1))[:size]


def flush(sock, conn):
    rest = conn.data_to_send()
    while rest:
        rest = rest[sock.send(rest) :]


def run(address, identity, key, send, expect):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(*address)[0][-1])
    conn = PSKClient(identity, key, os.urandom)
    conn.start()
    got = hashlib.sha256()
    count = 0
    closing = False
    try:
        while True:
            flush(sock, conn)
            data = sock.recv(1024)
            if data:
                conn.receive(data)
            else:
                conn.receive_eof()
            event = conn.next_event()
            while event:
                if event[0] == "connected":
                    print("connected", event[1])
                    for at in range(0, len(send), 4096):
                        conn.send(send[at : at + 4096])
                        flush(sock, conn)
                elif event[0] == "data":
                    got.update(event[1])
                    count += len(event[1])
                else:
                    print("received", count, got.digest().hex())
                    print("closed")
                    flush(sock, conn)
                    return 0
                if count == expect and not closing:
                    conn.close()
                    closing = True
                event = conn.next_event()
    except RemoteProtocolError as error:
        try:  # noqa: SIM105  (MicroPython has no contextlib)
            flush(sock, conn)
        except OSError:
            pass  # the server has closed already
        print("refused", error.alert, error)
        return 1
    finally:
        sock.close()


if __name__ == "__main__":
    _, host, port, identity, key, send, expect = sys.argv
    octets = pattern(int(send)) if send.isdigit() else send.encode()
    sys.exit(run((host, int(port)), identity.encode(), bytes.fromhex(key), octets, int(expect)))
