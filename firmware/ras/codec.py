"""How a registrar reads requests and makes answers: the reference, which takes each on its own.

A host may give the registrar another one with the same face that is faster
(ringkey.gatekeeper.shapes); both must give the same octets and the same values.
"""

from ras import answers, build, profile
from ras.keys import Suite
from ras.message import GCF, RCF, UCF, Message, decode_message


class Codec:
    """Octets to a Message and back."""

    def decode(self, octets: bytes) -> Message:
        """Return the message; raises RemoteProtocolError as `decode_message` does."""
        return decode_message(octets)

    def verified(self, message: Message) -> None:
        """Hear that a request has proved its key: more of its kind will come."""

    def gatekeeper_confirm(self, number: int, ras, others, elements: dict, suite: Suite, key: bytes) -> bytes:
        """Return a GCF's octets; ras, others: as `answers.gatekeeper_confirm` takes them."""
        return profile.seal(GCF, answers.gatekeeper_confirm(number, ras, others), elements, suite, key)

    def registration_confirm(
        self,
        number: int,
        identifier: str,
        signalling,
        life: int,
        others,
        elements: dict,
        suite: Suite,
        key: bytes,
    ) -> bytes:
        """Return an RCF's octets; signalling, life, others: as `answers.registration_confirm` takes them."""
        value = answers.registration_confirm(number, identifier, signalling, life, others)
        return profile.seal(RCF, value, elements, suite, key)

    def unregistration_confirm(self, number: int, elements: dict, suite: Suite, key: bytes) -> bytes:
        """Return a UCF's octets."""
        return profile.seal(UCF, build.unregistration_confirm(number), elements, suite, key)
