"""Files sealed for one device (protocol.md section 8): fixed octets, and everything that must not open."""

from ras import keys, sealedfile
from ras.aes import BLOCK
from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.mac import digest, hmac_digest
from ras.sealedfile import CHUNK, HEADER, MAX_CONTENT, TAG, Opener, Sealer, seal, sealed_length, unseal

from support import Random, raises

NAME = "settings/phone.cfg"
KG = bytes(range(32))
CONTENT = b"wifi = secret of one phone\n"
# From a few lines of hmac, hashlib and `cryptography` that share nothing with the core.
VECTORS = {
    "sha1": (
        "524b4631010000000000001b283ccc9eff4106dae4579c8a0cd7c16ed346adf3456454292b75695179127fc5c21310af"
        "b9e149ee1aa62ca6b8680c92503ef79d87a830049b1033f0d4105150"
    ),
    "sha256": (
        "524b4631020000000000001b8b28f54e32bd07cedb8e3867235c1b5b3039c7543aa6c20314e4b6805989e742240b4cd5"
        "c38319a86199922dbca60fa23a9f590c52d53b8e63f041aa57333729"
    ),
}


def kf_of(suite, name=NAME):
    return keys.file_key(suite, KG[: suite.key], name)


def lengths():
    return (0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5)


def test_fixed_octets():
    for suite in keys.SUITES.values():
        assert seal(suite, kf_of(suite), CONTENT).hex() == VECTORS[suite.name]


def test_there_and_back_at_every_edge():
    random = Random(5)
    for suite in keys.SUITES.values():
        kf = kf_of(suite)
        for length in lengths():
            content = random(length)
            sealed = seal(suite, kf, content)
            assert len(sealed) == sealed_length(length)
            assert unseal(suite, kf, sealed) == content
            assert seal(suite, kf, content) == sealed  # or no phone could resume


def test_any_chunk_by_itself_equals_the_whole():
    suite, content = keys.SHA256, Random(6)(3 * CHUNK + 100)
    kf = kf_of(suite)
    whole = seal(suite, kf, content)
    sealer = Sealer(suite, kf, digest(suite.name, content), len(content))
    assert whole[:HEADER] == sealer.header
    for index in (3, 1, 0, 2):
        place = sealedfile.chunk_place(index)
        sealed = sealer.chunk(index, content[index * CHUNK : (index + 1) * CHUNK])
        assert whole[place : place + len(sealed)] == bytes(sealed)
    assert sealedfile.chunks_of(len(content)) == 4


def test_a_phone_goes_on_where_it_was():
    suite, content = keys.SHA256, Random(7)(3 * CHUNK + 100)
    kf = kf_of(suite)
    whole = seal(suite, kf, content)
    opener = Opener(suite, kf, whole[:HEADER])
    opener.skip(2)
    at, got = sealedfile.chunk_place(2), b""
    while opener.left:
        size = opener.next_size
        got += opener.chunk(whole[at : at + size])
        at += size
    assert got == content[2 * CHUNK :]
    assert at == len(whole)
    for wrong in (-1, 5):
        with raises(LocalProtocolError):
            Opener(suite, kf, whole[:HEADER]).skip(wrong)


def test_another_name_g_or_suite_does_not_open():
    suite = keys.SHA256
    sealed = seal(suite, kf_of(suite), CONTENT)
    for kf in (kf_of(suite, NAME + "x"), keys.file_key(suite, bytes(32), NAME)):
        with raises(RemoteProtocolError):
            unseal(suite, kf, sealed)
    with raises(RemoteProtocolError):
        unseal(keys.SHA1, kf_of(keys.SHA1), sealed)


def test_every_octet_that_is_changed_is_noticed():
    suite = keys.SHA256
    kf = kf_of(suite)
    sealed = seal(suite, kf, CONTENT)
    for i in range(len(sealed)):
        wrong = bytearray(sealed)
        wrong[i] ^= 0x40
        with raises(RemoteProtocolError):
            unseal(suite, kf, bytes(wrong))
    for i in range(len(sealed)):
        with raises(RemoteProtocolError):
            unseal(suite, kf, sealed[:i])
    with raises(RemoteProtocolError):
        unseal(suite, kf, sealed + b"\0")


def test_chunks_cannot_be_moved_left_out_or_mixed():
    suite, random = keys.SHA256, Random(8)
    kf = kf_of(suite)
    content = random(3 * CHUNK)
    sealed = seal(suite, kf, content)
    step = CHUNK + TAG
    head, a, b, c = sealed[:HEADER], sealed[HEADER:][:step], sealed[HEADER + step :][:step], sealed[-step:]
    other = seal(suite, kf, random(3 * CHUNK))
    short = head[:8] + (2 * CHUNK).to_bytes(4, "big") + head[12:]
    for wrong in (
        head + b + a + c,
        head + a + a + c,
        head + a + c,
        head + a + b,
        head + a + other[HEADER + step :][:step] + c,
        short + a + b,
    ):
        with raises(RemoteProtocolError):
            unseal(suite, kf, wrong)


def test_nothing_opens_after_a_failure():
    suite = keys.SHA256
    kf = kf_of(suite)
    sealed = seal(suite, kf, CONTENT)
    opener = Opener(suite, kf, sealed[:HEADER])
    with raises(RemoteProtocolError):
        opener.chunk(bytes(opener.next_size))
    with raises(RemoteProtocolError) as caught:
        opener.chunk(sealed[HEADER:])
    assert "secret" not in str(caught.value)


def test_headers_that_are_none():
    suite = keys.SHA256
    kf = kf_of(suite)
    head = seal(suite, kf, CONTENT)[:HEADER]
    for wrong in (
        b"",
        head[:-1],
        head + b"\0",
        b"RKF2" + head[4:],
        head[:4] + b"\x09" + head[5:],
        head[:5] + b"\x01" + head[6:],
        head[:8] + (MAX_CONTENT + 1).to_bytes(4, "big") + head[12:],
        head[:8] + b"\xff\xff\xff\xff" + head[12:],
    ):
        with raises(RemoteProtocolError):
            Opener(suite, kf, wrong)
    with raises(LocalProtocolError):
        Sealer(suite, kf, b"", MAX_CONTENT + 1)


def test_the_layout_by_hand():
    """The tag of the only chunk, from protocol.md's own words."""
    suite = keys.SHA256
    kf = kf_of(suite)
    sealed = seal(suite, kf, CONTENT)
    nonce = hmac_digest(
        "sha256", kf, b"ringkey-seal-non", len(CONTENT).to_bytes(4, "big"), digest("sha256", CONTENT)
    )[:16]
    assert sealed[:HEADER] == b"RKF1\x02\0\0\0" + len(CONTENT).to_bytes(4, "big") + nonce
    body, tag = sealed[HEADER:-TAG], sealed[-TAG:]
    assert len(body) == 2 * BLOCK
    mac = hmac_digest("sha256", kf, b"ringkey-seal-mac", nonce)
    assert hmac_digest("sha256", mac, sealed[:HEADER], bytes(4), body)[:16] == tag


def test_an_empty_file_is_authentic_too():
    suite = keys.SHA256
    kf = kf_of(suite)
    sealed = seal(suite, kf, b"")
    assert len(sealed) == HEADER
    assert unseal(suite, kf, sealed) == b""
    for wrong in (
        sealed[:-1] + bytes((sealed[-1] ^ 1,)),
        seal(suite, kf, CONTENT)[:8] + bytes(4) + sealed[12:-1] + b"x",
    ):
        with raises(RemoteProtocolError):
            unseal(suite, kf, wrong)


def test_no_key_in_a_repr():
    suite = keys.SHA256
    kf = kf_of(suite)
    sealed = seal(suite, kf, CONTENT)
    assert kf.hex() not in repr(Opener(suite, kf, sealed[:HEADER]))
    assert kf.hex() not in repr(Sealer(suite, kf, bytes(32), 5))
