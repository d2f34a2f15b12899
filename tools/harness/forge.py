"""Messages of the harness's own making, in a gatekeeper's name: with the site's keys, or without."""

from pathlib import Path

from ras import answers, keys, profile
from ras.message import GRJ, decode_message

from harness import judge
from harness.errors import HarnessError
from harness.faults import Address, Datagram


def reject(
    site: Path,
    request: Datagram,
    code: int,
    *,
    signed: bool,
    others: tuple[Address, ...] = (),
) -> bytes:
    """Return a GRJ to a GRQ, signed with Kr of the site's seed or not at all.

    others: where it redirects to.
    """
    message = decode_message(request.data)
    found = profile.elements(message)
    suite = profile.suite_of(message)
    if suite is None:
        raise HarnessError("the GRQ is not signed: there is no suite to answer in")
    key = None
    for seed in judge.seeds_of(site):
        km = keys.master_key(suite, seed)
        if keys.check_value(suite, km) == found[profile.CVM_ID]:
            key = keys.reject_key(suite, keys.device_key(suite, km, found[profile.G]))
    if signed and key is None:
        raise HarnessError("the GRQ is of another seed than the site's: its answer cannot be signed")
    value = answers.gatekeeper_reject(message.value["requestSeqNum"], "securityDenial", others)
    elements = {profile.ERROR: bytes((code,)), profile.RE: found[profile.RE]}
    return bytes(profile.seal(GRJ, value, elements, suite if signed else None, key if signed else None))
