"""settings.toml: a template when there is none, checked, kept secret; and as an NVS partition."""

import shutil
import stat

import pytest
from image import nvs, settings
from nvs_reader import read_nvs
from ringkey.errors import UserError


@pytest.fixture
def phone_settings(site_template, tmp_path):
    """`phone_settings(text)` returns a site whose phones have these settings."""
    site = tmp_path / "site"
    shutil.copytree(site_template, site)

    def write(text, mode=0o600):
        path = site / "phone" / "settings.toml"
        path.write_text(text)
        path.chmod(mode)
        return site

    return write


FULL = """
[wifi]
ssid = "Lab é"
password = "correct horse"
[servers]
key_servers = ["192.0.2.10", "keys.example.org:9443"]
gatekeepers = ["192.0.2.10"]
time_server = "192.0.2.1"
[phone]
hostname = "ringkey-1"
events = true
"""


def test_a_template_is_written_when_there_is_none(site_template, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(site_template, site)
    path = site / "phone" / "settings.toml"
    with pytest.raises(UserError, match=r"settings\.toml is new") as caught:
        settings.load(site, wifi=True)
    assert str(path) in caught.value.next_step
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UserError, match="ssid: missing"):
        settings.load(site, wifi=True)
    # As it is it would do for a board with a cable; this site's names are all of this machine.
    found = settings.load(site, wifi=False)
    assert found.key_servers == ("keys.example.org:8443",)
    path.write_text(path.read_text().replace("# ssid", "ssid").replace("# password", "password"))
    assert settings.load(site, wifi=True).password == "its password"


def test_the_template_names_the_sites_key_server(ringkey, tmp_path):
    ringkey("init", tmp_path / "site", "--name", "keys.example.net", "--ip", "192.0.2.7")
    with pytest.raises(UserError, match="is new"):
        settings.load(tmp_path / "site", wifi=True)
    assert settings.load(tmp_path / "site", wifi=False).key_servers == ("192.0.2.7:8443",)


def test_settings_become_entries_with_ports(phone_settings):
    found = settings.load(phone_settings(FULL), wifi=True).entries()
    assert found == {
        "wifi_ssid": "Lab é",
        "wifi_pass": "correct horse",
        "key_servers": "192.0.2.10:8443,keys.example.org:9443",
        "gatekeepers": "192.0.2.10:1719",
        "time_server": "192.0.2.1:123",
        "hostname": "ringkey-1",
        "events": "1",
    }
    assert all(len(name) <= nvs.MAX_NAME for name in found)


def test_what_is_not_set_has_no_entry(phone_settings):
    assert settings.load(phone_settings(""), wifi=False).entries() == {"events": "0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[wifi", "settings.toml"),
        ("[wlan]", "wlan: no such key; there are wifi"),
        ("[wifi]\nssid = 'é-lab-é-lab-é-lab-é-lab-é-lab'", "more than 32 octets"),
        ("[wifi]\nssid = 'lab'\npassword = 'short'", "8 to 63"),
        ("[wifi]\nssid = 'lab'\npassword = 'not quite ascii é'", "8 to 63"),
        ("[servers]\nkey_servers = ['192.0.2.10:port']", "key_servers"),
        ("[servers]\nkey_servers = ['a','b','c','d','e']", "more than 4"),
        ("[servers]\nkey_servers = ['a,b']", "one address each"),
        ("[servers]\ntime_server = 'ntp.example.org:x'", "time_server"),
        (f"[servers]\nkey_servers = {[c * 253 for c in 'abcd']}", "together"),
        ("[phone]\nhostname = 'my phone'", "letters, digits"),
        ("[phone]\nevents = 'yes'", "not true or false"),
    ],
)
def test_wrong_settings_are_named_and_no_password_is_told(text, words, phone_settings):
    with pytest.raises(UserError, match=words) as caught:
        settings.load(phone_settings(text), wifi=False)
    for secret in ("short", "quite"):
        assert secret not in str(caught.value)


def test_settings_that_others_may_read_are_refused(phone_settings):
    with pytest.raises(UserError, match="open to others") as caught:
        settings.load(phone_settings(FULL, 0o644), wifi=True)
    assert caught.value.next_step.startswith("chmod 600")


def test_without_a_site_the_next_step_makes_one(tmp_path):
    with pytest.raises(UserError, match="there is no site") as caught:
        settings.load(tmp_path / "none", wifi=True)
    assert caught.value.next_step.startswith("ringkey init")


# -- NVS


def test_nvs_reads_back_as_it_was_given(phone_settings):
    entries = settings.load(phone_settings(FULL), wifi=True).entries()
    data = nvs.build(entries, 0x6000)
    assert len(data) == 0x6000
    assert read_nvs(data) == {("ringkey-cfg", name): text.encode() for name, text in entries.items()}
    assert data == nvs.build(dict(reversed(entries.items())), 0x6000)
    assert data[-0x1000:] == b"\xff" * 0x1000  # the page that NVS wants free


def test_nvs_over_several_pages_reads_back_too():
    entries = {f"name{i}": chr(97 + i) * 1500 for i in range(6)}
    found = read_nvs(nvs.build(entries, 0x6000))
    assert found == {("ringkey-cfg", name): text.encode() for name, text in entries.items()}


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="do not fit"):
        nvs.build({f"name{i}": "x" * 1500 for i in range(16)}, 0x4000)
    for size in (0x2000, 0x6100):
        with pytest.raises(UserError, match="at least 12288"):
            nvs.build({}, size)
