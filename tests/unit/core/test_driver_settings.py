"""Settings from NVS, and the time by SNTP (drivers/nvs_settings.py, drivers/sntp.py)."""

from drivers import nvs_settings, sntp
from drivers.nvs_settings import parse, read
from drivers.password import Password
from phone.board import BoardError

from powercut import NVS, Power
from support import Random, raises


def settings(**found):
    return parse(found.get, "ringkey.local")


def test_nothing_set_has_defaults():
    found = settings()
    assert found["key_servers"] == [("ringkey.local", 8443)]
    assert found["gatekeepers"] == []
    assert found["time_server"] is None
    assert found["events"] is False
    assert found["wifi_ssid"] == "" and found["wifi_pass"].reveal() == ""
    assert found["hostname"] == ""


def test_all_that_may_be_set():
    found = settings(
        wifi_ssid="Café ",
        wifi_pass=" pass phrase ",
        key_servers="192.0.2.10, keys.example.org:9443,",
        gatekeepers="192.0.2.10:1719,gk2",
        time_server="time.example.org",
        events="1",
        hostname="desk-17",
    )
    # A network's name and a password are taken to the letter.
    assert found["wifi_ssid"] == "Café "
    assert found["wifi_pass"].reveal() == " pass phrase "
    assert found["key_servers"] == [("192.0.2.10", 8443), ("keys.example.org", 9443)]
    assert found["gatekeepers"] == [("192.0.2.10", 1719), ("gk2", 1719)]
    assert found["time_server"] == ("time.example.org", 123)
    assert found["events"] is True
    assert found["hostname"] == "desk-17"


def test_events_are_off_unless_they_are_on():
    for text in ("", "0", "no", "false", "2", "events"):
        assert settings(events=text)["events"] is False
    for text in ("1", "true", "Yes", "on"):
        assert settings(events=text)["events"] is True


def test_a_wrong_address_names_its_setting():
    for name in ("key_servers", "gatekeepers", "time_server"):
        with raises(BoardError) as caught:
            settings(**{name: "host:99999"})
        assert name in str(caught.value)


def test_the_password_does_not_show():
    found = settings(wifi_pass="geheim99")
    assert "geheim99" not in repr(found) + str(found["wifi_pass"]) + "%s" % found["wifi_pass"]
    assert repr(Password("x")) == "Password()"


def test_they_are_read_as_blobs():
    nvs = NVS(Power())
    nvs.set_blob("hostname", b"desk")
    assert read(nvs, "hostname") == "desk"
    assert read(nvs, "events") is None
    nvs.set_blob("hostname", b"\xff\xfe secret")
    with raises(BoardError) as caught:
        read(nvs, "hostname")
    assert "hostname" in str(caught.value) and "secret" not in str(caught.value)
    nvs.set_blob("wifi_pass", b"s" * 1025)
    with raises(BoardError) as caught:
        read(nvs, "wifi_pass")
    assert "wifi_pass" in str(caught.value) and "ss" not in str(caught.value).replace("pass", "")


def test_the_build_time_is_read_or_not_there():
    assert nvs_settings._built(b'{"version": "0.1.0", "time": 1770000000}') == 1770000000
    for wrong in (b"", b"[]", b"{}", b'{"time": "x"}', b'{"time": -5}', b'{"time": null}', b"\xff"):
        assert nvs_settings._built(wrong) == 0


def test_every_key_fits_nvs():
    asked = []

    def get(key):
        asked.append(key)

    parse(get, "k")
    known = "events gatekeepers hostname key_servers psk time_server wifi_pass wifi_ssid"
    assert sorted(set(asked)) == known.split()
    for key in asked:
        assert len(key) <= 15


# -- SNTP

NONCE = bytes(range(1, 9))


def answered(seconds, nonce=NONCE, first=0x24, stratum=2):
    packet = bytearray(48)
    packet[0] = first
    packet[1] = stratum
    packet[24:32] = nonce
    packet[40:44] = (seconds & 0xFFFFFFFF).to_bytes(4, "big")
    packet[44] = 1
    return bytes(packet)


def test_a_question_is_a_packet_of_version_4():
    packet = sntp.request(NONCE)
    assert len(packet) == 48
    assert packet[0] == 0b00_100_011
    assert packet[40:] == NONCE
    assert not any(packet[1:40])


def test_an_answer_gives_the_time():
    # RFC 4330 section 3: 1900 is 2208988800 s before 1970.
    assert sntp.answer(answered(2208988800 + 1700000000), NONCE) == 1700000000
    # After 7 February 2036 the seconds begin anew.
    assert sntp.answer(answered((1 << 32) + 10), NONCE) == (1 << 32) + 10 - 2208988800
    assert sntp.answer(answered(2208988800 + 2085978495), NONCE) == 2085978495
    # More than a packet may come (a key identifier and digest).
    assert sntp.answer(answered(3900000000) + bytes(20), NONCE) == 3900000000 - 2208988800


def test_what_is_no_answer_gives_none():
    good = answered(3900000000)
    assert sntp.answer(good, NONCE) is not None
    assert sntp.answer(good, bytes(8)) is None, "another question's"
    assert sntp.answer(good[:47], NONCE) is None
    assert sntp.answer(b"", NONCE) is None
    assert sntp.answer(answered(3900000000, first=0x23), NONCE) is None, "a question"
    assert sntp.answer(answered(3900000000, first=0x25), NONCE) is None, "a broadcast"
    assert sntp.answer(answered(3900000000, first=0xE4), NONCE) is None, "it does not know"
    assert sntp.answer(answered(3900000000, stratum=0), NONCE) is None, "go away"
    assert sntp.answer(answered(3900000000, stratum=16), NONCE) is None
    nothing = bytearray(answered(0))
    nothing[44] = 0
    assert sntp.answer(bytes(nothing), NONCE) is None


def test_noise_gives_none():
    random = Random(5)
    for _ in range(300):
        assert sntp.answer(random(48), NONCE) is None
