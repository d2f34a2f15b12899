"""Every derivation of protocol.md section 2, in both suites.

The fixed hex stands so that nobody drifts; it came from, and on CPython is held against,
the few lines of hashlib and hmac below, which share nothing with the core.
"""

from ras import generator, keys

from support import raises

SEED = bytes(range(16))
G = bytes.fromhex("02005e1000001122334400000000002a")
PIN = "4711"
RE = bytes(range(0x20, 0x30))
RG = bytes(range(0x40, 0x50))
FILE = "settings/1001.txt"
MESSAGE = b"the whole encoded message, its icv bits zero"

VECTORS = {
    "sha1": {
        "Km": "56178b86a57fac22899a9964185c2cc96e7da589",
        "CVm": "6f0929",
        "Kg": "8b22266708d57eeb32b9a44396eb52c0",
        "Ka": "07c3bd64a59a0e3af434421504fe36ad",
        "Ks": "fc08f933dbdefb8955ce04273523fae2",
        "Kr": "4878477875b08811d2fd07191cae4d49",
        "Kf": "b0143984c021ba23871050fe6545db20",
        "ICV": "a993e581152769478d2ebe0a",
    },
    "sha256": {
        "Km": "be45cb2605bf36bebde684841a28f0fd43c69850a3dce5fedba69928ee3a8991",
        "CVm": "166e8b",
        "Kg": "2a30fc7c0d6c39ce8166b065f2c359272c5e578da8c7ef3b34114200fb4a024a",
        "Ka": "c9d25f00b40c5f34e8e01805bf047cfe965fa97bdd81b05a7223b09c3dd15511",
        "Ks": "8f3c0b8260bce99971e778a5e2b1a08e3672861e43c74e08940574b1da5bb1f2",
        "Kr": "f3da4d905b8a47f7243f057ac95b19f2af475429475ae83105e7575444fe933b",
        "Kf": "4248edeaf8ee0e81f4112d5824b9b07e8746cf70d0ef0bbf64d9766af65f7f47",
        "ICV": "7bd61f57f6f893e1a9726cd536fb86df",
    },
}


def derive(suite):
    """Return every value by name, as the core derives it."""
    km = keys.master_key(suite, SEED)
    kg = keys.device_key(suite, km, G)
    ka = keys.authentication_key(suite, kg, PIN)
    return {
        "Km": km.hex(),
        "CVm": keys.check_value(suite, km).hex(),
        "Kg": kg.hex(),
        "Ka": ka.hex(),
        "Ks": keys.session_key(suite, kg, PIN, RE, RG).hex(),
        "Kr": keys.reject_key(suite, kg).hex(),
        "Kf": keys.file_key(suite, kg, FILE).hex(),
        "ICV": keys.integrity_check_value(suite, ka, MESSAGE).hex(),
    }


def independent(name):
    """Return the same by hashlib and hmac alone; None where there is no hmac."""
    try:
        import hashlib
        import hmac
    except ImportError:
        return None
    key, icv = {"sha1": (16, 12), "sha256": (32, 16)}[name]

    def mac(k, m):
        return hmac.new(k, m, name).digest()

    km = hashlib.new(name, SEED).digest()
    kg = mac(km, G)[:key]
    ka = mac(kg, b"ringkey-auth" + PIN.encode())[:key]
    return {
        "Km": km.hex(),
        "CVm": hashlib.new(name, km).digest()[-3:].hex(),
        "Kg": kg.hex(),
        "Ka": ka.hex(),
        "Ks": mac(kg, b"ringkey-session" + PIN.encode() + RE + RG)[:key].hex(),
        "Kr": mac(kg, b"ringkey-reject")[:key].hex(),
        "Kf": mac(kg, b"ringkey-file" + FILE.encode())[:key].hex(),
        "ICV": mac(ka, MESSAGE)[:icv].hex(),
    }


def test_sha256_vectors():
    assert derive(keys.SHA256) == VECTORS["sha256"]
    assert independent("sha256") in (None, VECTORS["sha256"])


def test_sha1_vectors():
    assert derive(keys.SHA1) == VECTORS["sha1"]
    assert independent("sha1") in (None, VECTORS["sha1"])


def test_hmac_rfc2202_and_rfc4231():
    from ras.mac import hmac_digest

    text = b"what do ya want for nothing?"
    assert hmac_digest("sha1", b"Jefe", text).hex() == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    assert (
        hmac_digest("sha256", b"Jefe", text).hex()
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    long_key = b"\xaa" * 131
    text = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert (
        hmac_digest("sha256", long_key, text).hex()
        == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )
    assert hmac_digest("sha256", long_key, text[:9], text[9:]) == hmac_digest("sha256", long_key, text)


def test_hmac_without_the_hosts_own():
    from ras import mac

    native, new = mac._native, mac._new
    mac._native = mac._new = None
    try:
        for name in ("sha1", "sha256"):
            for key in (b"", b"k", b"k" * 64, b"k" * 65):
                ours = mac.hmac_digest(name, key, b"a", b"bc")
                if native is not None:
                    assert ours == native(key, b"abc", name)
                assert len(ours) == (20 if name == "sha1" else 32)
        assert derive(keys.SHA256) == VECTORS["sha256"]
    finally:
        mac._native, mac._new = native, new


def test_each_hmac_of_the_hosts_is_the_same():
    from ras import mac

    native, new = mac._native, mac._new
    if new is None:
        return  # MicroPython has none of them
    try:
        for name in ("sha1", "sha256"):
            for key in (b"", b"k", b"k" * 64, b"k" * 65):
                mac._new = new
                fast = mac.hmac_digest(name, key, b"a", b"b" * 300)
                mac._new = None
                assert (
                    fast
                    == mac.hmac_digest(name, key, b"a", b"b" * 300)
                    == native(key, b"a" + b"b" * 300, name)
                )
    finally:
        mac._new = new


def test_seed_and_digits_are_refused_without_showing_them():
    with raises(ValueError):
        keys.master_key(keys.SHA256, b"fifteen octets!")
    for pin in ("", "12a4", "1" * (keys.MAX_PIN + 1), "12 4", "\u0661\u0662"):
        with raises(ValueError) as caught:
            keys.authentication_key(keys.SHA256, bytes(32), pin)
        assert not pin or pin not in str(caught.value)
    with raises(ValueError):
        keys.suite_named("md5")


def test_lengths_are_checked():
    with raises(ValueError):
        keys.device_key(keys.SHA256, bytes(32), bytes(15))
    with raises(ValueError):
        keys.session_key(keys.SHA256, bytes(32), "1", bytes(16), bytes(17))


def test_g_is_laid_out_as_in_section_2():
    g = generator.pack(b"\x02\x00\x5e\x10\x00\x01", "1001", 0x0102030405)
    assert g[:6] == b"\x02\x00\x5e\x10\x00\x01"
    # SHA-256("1001") begins fe675fe7
    assert g[6:10].hex() == "fe675fe7"
    assert g[10:].hex() == "000102030405"
    assert generator.unpack(g) == (g[:6], g[6:10], 0x0102030405)
    assert generator.fits(g, "1001")
    assert not generator.fits(g, "1002")
    assert generator.fits(generator.pack(bytes(6), None, 1), "1002")
    assert generator.COUNTER_START_END == 1 << 47


def test_g_out_of_range_is_refused():
    for server, counter in ((bytes(5), 1), (bytes(6), -1), (bytes(6), 1 << 48)):
        with raises(ValueError):
            generator.pack(server, "1001", counter)
    with raises(ValueError):
        generator.unpack(bytes(17))


def test_compare_digest():
    from ras.compat import compare_digest, wipe

    assert compare_digest(b"abc", b"abc")
    assert not compare_digest(b"abc", b"abd")
    assert not compare_digest(b"abc", b"abcd")
    buffer = bytearray(b"secret")
    wipe(buffer)
    assert buffer == bytearray(6)
