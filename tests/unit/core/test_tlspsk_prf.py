"""Key derivation against vectors that this code did not make."""

from tlspsk import prf

# The P_SHA256 vector of the IETF TLS list (2009), which `openssl kdf ... TLS1-PRF` gives too.
SECRET = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
SEED = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
WANT = bytes.fromhex(
    "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
    "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
    "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
    "87347b66"
)


def test_prf_vector():
    assert bytes(prf.prf(SECRET, b"test label", SEED, 100)) == WANT


def test_prf_gives_any_length():
    for n in (0, 1, 12, 31, 32, 33, 48, 64, 96):
        assert bytes(prf.prf(SECRET, b"test label", SEED, n)) == WANT[:n]


def test_premaster_of_rfc4279():
    assert bytes(prf.psk_premaster(b"abc")) == b"\x00\x03\x00\x00\x00\x00\x03abc"


def test_key_block_is_cut_in_the_order_of_rfc5246():
    master = bytes(range(48))
    cm, sm, ce, se = prf.key_block(master, b"c" * 32, b"s" * 32)
    assert bytes(cm + sm + ce + se) == bytes(prf.prf(master, b"key expansion", b"s" * 32 + b"c" * 32, 96))
    assert [len(k) for k in (cm, sm, ce, se)] == [32, 32, 16, 16]


def test_secrets_can_be_wiped():
    assert isinstance(prf.psk_premaster(b"k"), bytearray)
    assert isinstance(prf.master_secret(b"p", b"c", b"s"), bytearray)
    assert isinstance(prf.extended_master_secret(b"p", b"t"), bytearray)
