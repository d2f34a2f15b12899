"""Wi-Fi and Ethernet: joining, back-off, words for what is wrong, loss (drivers/link.py, wlan.py, lan.py)."""

from drivers import lan, link, wlan
from drivers.link import FIRST, LONGEST, Backoff
from drivers.password import Password
from phone.words import REASONS

from support import Asleep, Random, raises, run


class Statuses:
    """The numbers of MicroPython's network, as an ESP32 has them."""

    STAT_IDLE = 1000
    STAT_CONNECTING = 1001
    STAT_GOT_IP = 1010
    STAT_NO_AP_FOUND = 201
    STAT_WRONG_PASSWORD = 202
    STAT_HANDSHAKE_TIMEOUT = 204
    STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY = 210


class Radio:
    """network.WLAN as an ESP32 has it.  `plan`: what comes of each connect(), the last for ever.

    An entry: ("joins", ms), ("fails", ms, status), ("no-dhcp", ms) or ("busy",).
    """

    def __init__(self, *plan):
        self.plan = list(plan)
        self.is_active = False
        self.connected = False
        self.address = "0.0.0.0"
        self.state = Statuses.STAT_IDLE
        self.calls = []
        self.at = None
        self.now = 0

    def active(self, on):
        self.is_active = on

    def config(self, **values):
        assert self.is_active
        self.calls.append(("config", values))

    def disconnect(self):
        if not self.is_active:
            raise OSError("Wifi Not Started")
        self.connected = False
        self.at = None

    def connect(self, *names):
        assert self.is_active
        self.calls.append(names)
        what = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        if what[0] == "busy":
            raise OSError("Wifi Internal State Error")
        self.at = (self.now + what[1], what)

    def isconnected(self):
        return self.connected

    def ifconfig(self):
        return (self.address, "255.255.255.0", "192.0.2.1", "192.0.2.1")

    def status(self):
        return self.state

    def wake(self, now):
        self.now = now
        if self.at is not None and now >= self.at[0]:
            what, self.at = self.at[1], None
            if what[0] == "fails":
                self.state = what[2]
            else:
                self.connected = True
                self.state = Statuses.STAT_GOT_IP
                self.address = "192.0.2.77" if what[0] == "joins" else "0.0.0.0"

    def drop(self):
        self.connected = False
        self.state = 200


def station(radio, ssid="home", password="secret-pw", **params):
    """Return (station, its simulated time)."""
    asleep = Asleep(radio.wake)
    link.asyncio = wlan.asyncio = asleep
    settings = {"wifi_ssid": ssid, "wifi_pass": Password(password)}
    return wlan.Station(radio, Statuses, settings, params), asleep


def test_the_waits_double_to_a_limit():
    backoff = Backoff(bytes)  # no jitter: n zeros
    waits = [backoff.next() for _ in range(8)]
    assert waits == [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    backoff.reset()
    assert backoff.next() == FIRST
    most = Backoff(lambda n: b"\xff" * n)
    for least in waits:
        wait = most.next()
        assert least * 1.49 < wait < least * 1.5 + 1


def test_the_waits_of_two_phones_differ():
    one, two = Backoff(Random(1)), Backoff(Random(2))
    assert [one.next() for _ in range(6)] != [two.next() for _ in range(6)]
    for _ in range(100):
        assert LONGEST <= one.next() or LONGEST <= LONGEST * 3 // 2


def test_it_joins():
    radio = Radio(("joins", 2500))
    wifi, asleep = station(radio)
    told = []
    assert not wifi.is_up()
    run(wifi.up(told.append))
    assert wifi.is_up()
    assert wifi.address_towards("192.0.2.10") == "192.0.2.77"
    assert told == []
    assert ("home", "secret-pw") in radio.calls
    assert ("config", {"reconnects": 0}) in radio.calls, "the waits are ours"
    assert 2500 <= asleep.now < 3000


def test_an_open_network_takes_no_password():
    radio = Radio(("joins", 10))
    wifi, _ = station(radio, password="")
    run(wifi.up())
    assert ("home",) in radio.calls


def test_it_says_what_is_wrong_and_goes_on():
    for status, word in (
        (Statuses.STAT_NO_AP_FOUND, "wifi-not-found"),
        (Statuses.STAT_WRONG_PASSWORD, "wifi-password"),
        (Statuses.STAT_HANDSHAKE_TIMEOUT, "wifi-password"),
        (Statuses.STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY, "wifi-security"),
    ):
        radio = Radio(("fails", 3000, status), ("fails", 3000, status), ("joins", 3000))
        wifi, asleep = station(radio)
        told = []
        run(wifi.up(told.append))
        assert told == [word, word]
        assert "\n%s|" % word in REASONS
        assert asleep.now < 3 * 4500 + 1500 + 3000


def test_a_status_of_the_attempt_before_is_not_believed():
    # It stays until something else happens: an ESP32 clears it only when it gets an address.
    radio = Radio(("joins", 3500))
    radio.state = Statuses.STAT_NO_AP_FOUND
    wifi, _ = station(radio)
    told = []
    run(wifi.up(told.append))
    assert told == []


def test_no_address_is_told_from_no_network():
    radio = Radio(("no-dhcp", 500), ("joins", 500))
    wifi, _ = station(radio)
    told = []
    run(wifi.up(told.append))
    assert told == ["no-address"]
    radio = Radio(("fails", 500, Statuses.STAT_CONNECTING), ("joins", 500))
    wifi, _ = station(radio)
    told = []
    run(wifi.up(told.append))
    assert told == ["wifi-failed"]


def test_a_driver_that_says_no_is_asked_again():
    radio = Radio(("busy",), ("busy",), ("joins", 100))
    wifi, _ = station(radio)
    told = []
    run(wifi.up(told.append))
    assert told == ["network-failed", "network-failed"]


def test_without_a_network_in_the_settings_it_says_so():
    class Enough(Exception):
        pass

    told = []

    def tell(word):
        told.append(word)
        if len(told) == 3:
            raise Enough

    wifi, asleep = station(Radio(("joins", 1)), ssid="")
    with raises(Enough):
        run(wifi.up(tell))
    assert told == ["no-wifi"] * 3
    assert asleep.now >= 1000 + 2000


def falls_away(radio, at):
    """Return a wake() that drops the radio's link at `at`."""

    def wake(now):
        radio.wake(now)
        if now >= at:
            radio.drop()

    return wake


def test_loss_is_noticed_and_it_comes_back():
    radio = Radio(("joins", 100))
    wifi, asleep = station(radio, poll_ms=250)
    for _ in range(5):
        run(wifi.up())
        start = asleep.now
        asleep.wake = falls_away(radio, start + 60000)
        run(wifi.lost())
        assert start + 60000 <= asleep.now <= start + 60250
        asleep.wake = radio.wake
        assert not wifi.is_up()
        start = asleep.now
        run(wifi.up())
        assert asleep.now - start <= 500, "the first attempt is at once"


def test_a_lost_address_is_a_lost_network():
    radio = Radio(("joins", 100))
    wifi, _ = station(radio)
    run(wifi.up())
    radio.address = "0.0.0.0"
    run(wifi.lost())
    assert not wifi.is_up()


def test_an_access_point_that_is_back_is_not_waited_for_in_vain():
    # While it waits for the next attempt the platform gets there by itself.
    radio = Radio(("fails", 100, Statuses.STAT_NO_AP_FOUND))
    wifi, asleep = station(radio, first_ms=20000)

    def wake(now):
        radio.wake(now)
        if now >= 5000:
            radio.connected, radio.address = True, "192.0.2.9"

    asleep.wake = wake
    run(wifi.up())
    assert asleep.now < 6000


def test_the_password_stays_where_it_is():
    wifi, _ = station(Radio(("joins", 1)))
    assert "secret" not in repr(wifi) + str(wifi)


def test_ethernet_waits_for_cable_and_address():
    class Wire:
        def __init__(self):
            self.up_at = None
            self.now = 0

        def active(self, on):
            if self.up_at is None:
                self.up_at = 40000

        def isconnected(self):
            return self.up_at is not None and self.now >= self.up_at

        def ifconfig(self):
            return ("192.0.2.5", "", "", "")

        def wake(self, now):
            self.now = now

    wire = Wire()
    asleep = Asleep(wire.wake)
    link.asyncio = asleep
    ethernet = lan.Lan(wire, {})
    told = []
    run(ethernet.up(told.append))
    assert ethernet.is_up()
    assert set(told) == {"no-cable"}
    assert 40000 <= asleep.now < 41000


def test_every_word_of_a_network_is_on_the_display():
    for line in wlan._WRONG.split("\n"):
        word = line.split(" ")[1]
        assert "\n%s|" % word in REASONS
    for word in ("no-wifi", "wifi-failed", "no-address", "network-failed", "no-cable"):
        assert "\n%s|" % word in REASONS
