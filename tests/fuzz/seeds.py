"""Seed inputs, made from real messages, the same at each call."""

from collections.abc import Iterator

from pair import pair
from ras import keys, message, q931, tpkt


def decoder() -> list[bytes]:
    """Return datagrams of phones that are refused, log in, are kept alive, roll over and leave."""
    found = [data for suite in (keys.SHA256, keys.SHA1) for data in _lives(suite)]
    # One that a gatekeeper does not know, and the XRS it gets.
    arq = bytes.fromhex("26900001") + bytes(20)
    xrs = message.encode_message("XRS", {"requestSeqNum": 7, "messageNotUnderstood": arq})[0]
    return [*_once([*found, arq, bytes(xrs)])]


def tpkt_() -> list[bytes]:
    """Return streams of STATUS ENQUIRY, STATUS and others, keep-alives between them, cut and whole."""
    enquiry, status = q931.status_enquiry(5), q931.answer(q931.status_enquiry(9)) or b""
    short = bytes((8, 1, 5, q931.STATUS_ENQUIRY))
    setup = bytes((8, 2, 0, 1, 5)) + bytes((0xA1, 0x04, 3, 0x80, 0x90, 0xA2, 0x7E, 0, 4)) + b"user"
    frames = [tpkt.encode(one) for one in (enquiry, b"", status, short, setup, b"x" * 300)]
    streams = [*frames, b"".join(frames), b"".join(frames)[:-7], frames[0] + b"\x02", tpkt.encode(b"x" * 301)]
    return [bytes((seed,)) + stream for seed, stream in enumerate(streams)]


def registrar() -> list[bytes]:
    """Return scripts of fuzz_registrar.py: a registration, one doubled, lost, changed, one that ends, ..."""
    log_in = bytes((3, 0, 5, 0, 8, 0, 5, 0, 8, 0))  # phone 0: GRQ, GCF, RRQ, RCF
    scripts = [
        log_in,
        bytes((3, 1, 5, 5, 8, 0, 5, 5, 8, 0)) + log_in,  # suite sha1, everything twice
        bytes((3, 2, 5, 0, 8, 0, 5, 0, 8, 0, 13, 1, 0, 18, 5, 0, 8, 0)),  # old generation, keepAlive
        log_in + bytes((3, 3, 5, 0, 8, 0, 5, 0, 8, 0, 0, 12, 0, 13)),  # taken over, and told
        bytes((3, 4, 5, 0, 0, 11, 5, 0, 0, 12, 5, 0)) * 3,  # wrong PIN until it is ignored
        b"".join(bytes((3, number, 5, 0, 8, 0)) for number in (5, 6, 7, 8)),
        log_in + bytes((14, 0, 5, 0, 8, 0)),  # logs out
        log_in + bytes((12, 0, 8, 0, 5, 0)),  # is ended, and confirms
        log_in + bytes((0, 18, 5, 0, 8, 0)) * 3,  # keepAlives
        log_in + bytes((0, 18, 5, 2, 0, 50, 0, 8, 0)),  # one of which a bit is changed
        bytes((10, 1)) + b"".join(bytes((3, number, 5, 0)) for number in range(9)) + bytes((10, 0)) * 5,
        log_in + bytes((11, 0, 0, 11, 0, 1, 2, 11, 1, 1, 3)) + bytes((15, 1)),  # replays, a reflection
        bytes((3, 0, 5, 7, 0, 9, 1, 8, 0, 5, 7, 0, 40, 2, 8, 0)),  # changed, and signed again
        bytes((2, 0, 8))
        + b"\x00\x90\x00\x01abcd"
        + bytes((2, 1, 24))
        + bytes.fromhex("26900001")
        + bytes(20),
        b"".join(bytes((3, number, 5, 0, 8, 0, 5, 0, 8, 0)) for number in (0, 1, 2, 8)) + bytes((0, 22)),
    ]
    # Plain endpoints: GRQ, RRQ, keepAlive from here and elsewhere, URQ; one that a phone takes over; time.
    plain = [
        bytes((2, 0, 0, 0, 7, 2, 0, 0, 1, 7, 2, 0, 0, 2, 0, 2, 1, 0, 2, 0, 2, 1, 0, 3, 0, 2, 0, 0, 3, 0)),
        bytes((2, 0, 0, 9, 7, 2, 1, 0, 9, 8, 3, 2, 5, 0, 8, 0, 5, 0, 8, 0, 2, 0, 0, 9, 7, 2, 0, 0, 2, 0)),
        log_in + bytes((2, 0, 0, 1, 7, 2, 0, 0, 2, 1, 2, 0, 0, 3, 1, 0, 17, 0, 20, 2, 1, 0, 1, 9)),
        bytes((3, 0, 5, 8, 3, 0, 5, 0, 8, 0, 5, 8, 3, 0, 5, 0, 8, 0, 5, 0, 8, 0, 0, 18, 5, 8)),
    ]
    # The core's registrar, ICV from Ka and from Kg in turn, then the host's.
    found = [bytes((n & 1 | which,)) + script for which in (0, 2) for n, script in enumerate(scripts)]
    return found + [bytes((4 | which,)) + script for which in (0, 2) for script in plain]


def _lives(suite: keys.Suite) -> list[bytes]:
    net, phone, gatekeeper, site = pair(3, suite)
    phone.login.boot(None, 0)
    phone.login.entered("1002", "1234", 0)
    net.run(20000)
    phone.login.entered("1001", "1234", net.now)
    net.run(net.now + 400000)
    site.rotate()
    site.tell(gatekeeper.registrar)
    net.run(net.now + 400000)
    gatekeeper.registrar.end_registration("1001", "reregistrationRequired", net.now)
    net.run(net.now + 20000)
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    return [data for _, data, _, _ in net.log]


def _once(found: list[bytes]) -> Iterator[bytes]:
    """One of each kind and length: a life has dozens of keepAlives that differ in a counter."""
    seen = set()
    for data in found:
        which = (message.decode_message(data).kind, len(data))
        if which not in seen:
            seen.add(which)
            yield data


SEEDS = {"decoder": decoder, "registrar": registrar, "tpkt": tpkt_}
