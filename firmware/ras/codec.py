"""How a registrar reads requests and makes answers: the reference, which takes each on its own.

A host may give the registrar another one with the same face that is faster
(ringkey.gatekeeper.shapes); both must give the same octets and the same values.
"""

from ras import answers, build, profile, refusals
from ras.errors import RemoteProtocolError
from ras.keys import Suite, ext_digits
from ras.message import GCF, GRQ, RCF, UCF, Message, decode_message, verify


class Codec:
    """Octets to a Message and back."""

    def decode(self, octets: bytes) -> Message:
        """Return the message; raises RemoteProtocolError as `decode_message` does."""
        return decode_message(octets)

    def remembered(self, source: "tuple[str, int]", octets: bytes):
        """Return what the answer to a request is remembered by: a key that no other one has."""
        return source, octets

    def verified(self, message: Message) -> None:
        """Hear that a request has proved its key: more of its kind will come."""

    def brief(self, message: Message) -> dict:
        """Return a dict that has of the message's value what is no list: numbers, texts, keepAlive."""
        return message.value

    def is_plain(self, message: Message) -> bool:
        """Tell whether a GRQ or RRQ comes from an endpoint that does not speak the profile."""
        return refusals.is_plain(message)

    def elements(self, message: Message) -> "dict[int, bytes]":
        """Return the profile's elements; raises RemoteProtocolError as `profile.elements` does."""
        return profile.elements(message)

    def suite_of(self, message: Message) -> "Suite | None":
        """Return the suite, None without an ICV; raises RemoteProtocolError as `profile.suite_of` does."""
        return profile.suite_of(message)

    def extension(self, message: Message) -> str:
        """Return EXT, the first dialledDigits alias; raises RemoteProtocolError."""
        name = "endpointAlias" if message.kind == GRQ else "terminalAlias"
        for kind, value in message.value.get(name, ()):
            if kind == "dialledDigits":
                try:
                    ext_digits(value)
                except ValueError:
                    break
                return value
        raise RemoteProtocolError("%s: no extension" % message.kind)

    def verify(self, message: Message, suite: Suite, key: bytes) -> bool:
        """Tell whether the message's integrity check value is the one that `key` gives."""
        return verify(message, suite, key)

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
