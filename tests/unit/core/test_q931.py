"""Q.931 as far as a channel without calls needs it; under CPython and MicroPython."""

from ras import q931
from ras.errors import RemoteProtocolError

from support import Random, raises

# By hand from Q.931 section 4: discriminator, 2 octets of reference, message type.
ENQUIRY = bytes.fromhex("0802000075")
# Cause (08), 2 octets: user's side (80), 30 (9e); call state (14), 1 octet: null (00).
STATUS = bytes.fromhex("080280007d" + "0802809e" + "140100")


def test_an_enquiry_is_answered_with_the_state_and_cause_30():
    assert q931.status_enquiry() == ENQUIRY
    assert q931.answer(ENQUIRY) == STATUS


def test_the_answer_keeps_the_reference_and_turns_the_flag():
    assert q931.answer(bytes.fromhex("0802123475")) == bytes.fromhex("080292347d0802809e140100")
    assert q931.answer(bytes.fromhex("0802923475")) == bytes.fromhex("080212347d0802809e140100")
    # A basic rate interface's reference has one octet.
    assert q931.answer(bytes.fromhex("08010575")) == bytes.fromhex("0801857d0802809e140100")


def test_elements_of_an_enquiry_do_not_change_the_answer():
    display = bytes.fromhex("2803414243")
    sending_complete = b"\xa1"  # a single octet element
    user_user = bytes.fromhex("7e000205aa")
    assert q931.answer(ENQUIRY + display + sending_complete + user_user) == STATUS


def test_nothing_else_is_answered_least_of_all_a_status():
    assert q931.answer(STATUS) is None
    for kind in range(128):
        if kind != q931.STATUS_ENQUIRY:
            assert q931.answer(b"\x08\x02\x00\x01" + bytes([kind])) is None


def test_malformed_messages_are_refused():
    for text in (
        "",  # nothing
        "08",  # no reference
        "0902000075",  # another protocol
        "08000075",  # the dummy reference: H.225.0 has none
        "0803000000" + "75",  # a reference of three octets
        "08020000",  # no type
        "08020000f5",  # a type above 127
        "0802000075" + "28",  # an element without its length
        "0802000075" + "28034142",  # cut off
        "0802000075" + "7e00",  # half a length
        "0802000075" + "7e0002aa",  # cut off
    ):
        with raises(RemoteProtocolError):
            q931.answer(bytes.fromhex(text))


def test_what_is_encoded_decodes_to_the_same():
    random = Random(7)
    for _ in range(300):
        octets = 1 + random.below(2)
        elements = []
        for _ in range(random.below(4)):
            identifier = random.below(256)
            size = 0 if identifier & 0x80 else random.below(300 if identifier == 0x7E else 200)
            elements.append((identifier, random(size)))
        sent = q931.Message(
            random.below(1 << (8 * octets - 1)),
            octets,
            bool(random.below(2)),
            random.below(128),
            tuple(elements),
        )
        got = q931.decode(q931.encode(sent))
        assert got.reference == sent.reference
        assert got.octets == sent.octets
        assert got.answered == sent.answered
        assert got.kind == sent.kind
        assert got.elements == sent.elements


def test_random_octets_give_a_message_or_a_protocol_error():
    random = Random(3)
    for _ in range(2000):
        frame = random(random.below(24))
        if random.below(2):
            frame = b"\x08\x02" + frame
        try:
            answer = q931.answer(frame)
        except RemoteProtocolError:
            continue
        if answer is not None:
            assert q931.decode(answer).kind == q931.STATUS
            assert q931.answer(answer) is None


def test_an_element_that_is_too_long_is_not_encoded():
    with raises(ValueError):
        q931.encode(q931.Message(0, 2, False, q931.STATUS, ((0x28, bytes(256)),)))
