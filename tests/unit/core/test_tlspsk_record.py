"""The record layer: what goes in comes out, and nothing else gets in."""

from ras.aes import cbc_decrypt, cbc_encrypt_in_place
from ras.mac import hmac_digest
from tlspsk import errors, record
from tlspsk.errors import LocalProtocolError, RemoteProtocolError

from support import Random, raises

MAC = bytes(range(32))
ENC = bytes(range(16))


def pair():
    """Return (sender, receiver) under the same keys."""
    a = record.RecordLayer(Random(5))
    b = record.RecordLayer(Random(6))
    a.protect_write(bytearray(MAC), bytearray(ENC))
    b.protect_read(bytearray(MAC), bytearray(ENC))
    return a, b


def refused(layer, data):
    layer.receive(data)
    with raises(RemoteProtocolError) as caught:
        layer.next_record()
    return caught.value


def cbc_encrypt(key, iv, data):
    buffer = bytearray(data)
    cbc_encrypt_in_place(key, iv, memoryview(buffer))
    return bytes(buffer)


def sealed(plaintext, seq=0, kind=record.APPLICATION_DATA):
    """Return a record with a right MAC over whatever whole blocks of plaintext, padding and all."""
    iv = b"i" * 16
    keys = record._Keys(bytearray(MAC), bytearray(ENC))
    keys.seq = seq
    fragment = iv + cbc_encrypt(ENC, iv, plaintext)
    body = fragment + keys.tag(kind, fragment)
    return bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body


def test_aes_vector():
    # NIST SP 800-38A F.2.1, CBC-AES128
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    iv = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    secret = bytes.fromhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2")
    assert cbc_encrypt(key, iv, plain) == secret
    assert cbc_decrypt(key, iv, secret) == plain


def test_round_trip_of_every_padding():
    a, b = pair()
    for n in range(40):
        wire = a.encode(record.APPLICATION_DATA, b"x" * n)
        assert (len(wire) - record.HEADER) % 16 == 0
        b.receive(wire)
        assert b.next_record() == (record.APPLICATION_DATA, b"x" * n)
    assert b.next_record() is None


def test_record_comes_in_octets():
    a, b = pair()
    wire = a.encode(record.APPLICATION_DATA, b"hello")
    for i in range(len(wire)):
        assert b.next_record() is None
        b.receive(wire[i : i + 1])
    assert b.next_record() == (record.APPLICATION_DATA, b"hello")


def test_each_octet_changed_is_refused():
    a, _ = pair()
    wire = a.encode(record.APPLICATION_DATA, b"hello")
    for i in range(record.HEADER, len(wire)):
        _, b = pair()
        bad = bytearray(wire)
        bad[i] ^= 1
        assert refused(b, bytes(bad)).alert == errors.BAD_RECORD_MAC, i


def test_type_is_authenticated():
    a, b = pair()
    wire = a.encode(record.APPLICATION_DATA, b"hello")
    assert refused(b, b"\x16" + wire[1:]).alert == errors.BAD_RECORD_MAC


def test_record_twice_lost_or_swapped_is_refused():
    a, b = pair()
    first, second = a.encode(record.APPLICATION_DATA, b"1"), a.encode(record.APPLICATION_DATA, b"2")
    _, c = pair()
    assert refused(c, second).alert == errors.BAD_RECORD_MAC
    b.receive(first)
    assert b.next_record() == (record.APPLICATION_DATA, b"1")
    assert refused(b, first).alert == errors.BAD_RECORD_MAC


def test_same_plaintext_twice_looks_different():
    a, _ = pair()
    first, second = a.encode(record.APPLICATION_DATA, b"same"), a.encode(record.APPLICATION_DATA, b"same")
    assert first[5:21] != second[5:21]
    assert first[21:] != second[21:]


def test_mac_is_checked_before_padding_and_all_refusals_look_alike():
    a, b = pair()
    wire = bytearray(a.encode(record.APPLICATION_DATA, b"hello"))
    wire[-1] ^= 1
    texts = [str(refused(b, bytes(wire)))]
    for plaintext in (
        b"x" * 15 + b"\x10",  # more padding than there is
        b"x" * 14 + b"\x00\x01",  # a padding octet that is wrong
        bytes(15) + b"\xff",
    ):
        _, b = pair()
        error = refused(b, sealed(plaintext))
        assert error.alert == errors.BAD_RECORD_MAC
        texts.append(str(error))
    for size in (0, 16, 48, 63, 65, 79):  # too short for IV, block and MAC, or no whole blocks
        _, b = pair()
        error = refused(b, b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size))
        assert error.alert == errors.BAD_RECORD_MAC
        texts.append(str(error))
    assert len(set(texts)) == 1


def test_longest_padding_is_taken():
    _, b = pair()
    b.receive(sealed(b"abcdefghijklmnop" + b"\xff" * 256))
    assert b.next_record() == (record.APPLICATION_DATA, b"abcdefghijklmnop")


def test_limits_of_length():
    a, b = pair()
    b.receive(a.encode(record.APPLICATION_DATA, b"x" * record.SMALL_PLAINTEXT))
    assert len(b.next_record()[1]) == record.SMALL_PLAINTEXT
    with raises(LocalProtocolError):
        a.encode(record.APPLICATION_DATA, b"x" * (record.SMALL_PLAINTEXT + 1))
    # told by the header alone, before the octets are kept
    over = record.SMALL_PLAINTEXT + record.MAX_EXPANSION + 1
    assert refused(b, b"\x17\x03\x03" + over.to_bytes(2, "big")).alert == errors.RECORD_OVERFLOW
    # short enough on the wire, too long inside
    _, b = pair()
    wire = sealed(b"x" * record.SMALL_PLAINTEXT + b"x" + b"\x0e" * 15)
    assert refused(b, wire).alert == errors.RECORD_OVERFLOW
    # where the server did not agree to less
    _, b = pair()
    b.limit = record.MAX_PLAINTEXT
    b.receive(sealed(b"x" * record.MAX_PLAINTEXT + b"\x0f" * 16))
    assert len(b.next_record()[1]) == record.MAX_PLAINTEXT


def test_unprotected_length_is_limited():
    b = record.RecordLayer(Random(1))
    assert refused(b, b"\x16\x03\x03\x08\x01").alert == errors.RECORD_OVERFLOW


def test_types_and_versions():
    for head, alert in (
        (b"\x13\x03\x03\x00\x01", errors.UNEXPECTED_MESSAGE),
        (b"\x18\x03\x03\x00\x01", errors.UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\x00\x01", errors.PROTOCOL_VERSION),
        (b"\x16\x02\x03\x00\x01", errors.PROTOCOL_VERSION),
        (b"\x16\x03\x03\x00\x00", errors.DECODE_ERROR),
    ):
        assert refused(record.RecordLayer(Random(1)), head).alert == alert
    old = record.RecordLayer(Random(1))
    old.receive(b"\x15\x03\x01\x00\x02\x02\x46")
    assert old.next_record() == (record.ALERT, b"\x02\x46")


def test_plain_record_is_refused_once_protected():
    _, b = pair()
    assert refused(b, b"\x17\x03\x03\x00\x05hello").alert == errors.BAD_RECORD_MAC


def test_sequence_numbers_end():
    a, b = pair()
    a._write.seq = b._read.seq = record.MAX_RECORDS - 1
    b.receive(a.encode(record.APPLICATION_DATA, b"last"))
    assert b.next_record() == (record.APPLICATION_DATA, b"last")
    with raises(LocalProtocolError):
        a.encode(record.APPLICATION_DATA, b"one more")
    assert refused(b, a.encode(record.ALERT, b"\x01\x00")).alert == errors.UNEXPECTED_MESSAGE


def test_mac_covers_what_rfc7366_says():
    a, _ = pair()
    a.encode(record.APPLICATION_DATA, b"")
    wire = a.encode(record.APPLICATION_DATA, b"hello")
    covered = wire[5:-32]
    head = (1).to_bytes(8, "big") + b"\x17\x03\x03" + len(covered).to_bytes(2, "big")
    assert wire[-32:] == hmac_digest("sha256", MAC, head + covered)


def test_nothing_is_sent_under_wiped_keys():
    a, _ = pair()
    a.wipe()
    with raises(LocalProtocolError):
        a.encode(record.APPLICATION_DATA, b"x")
