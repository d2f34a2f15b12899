"""ringkey.toml: what init writes, defaults, and complaints that name file, table and key."""

import os

import pytest
from ras.keys import SHA1, SHA256
from ringkey.errors import UserError
from ringkey.site import runtime
from ringkey.site.config import Site, Throttle, load, resolve_address, resolve_url

PLAIN, NETWORK = "[gatekeeper.plain]\n", 'networks = ["192.0.2.0/24"]\n'
ID = '[keyserver]\nserver_id = "02:00:5e:10:00:01"\n'


def read(tmp_path, text):
    (tmp_path / "ringkey.toml").write_text(text)
    return load(Site(tmp_path))


def test_what_init_writes(site_template):
    config = load(Site(site_template))
    k, g = config.need_keyserver(), config.need_gatekeeper()
    assert (k.port, k.advanced_port, k.suite) == (8443, 8444, SHA256)
    assert k.names == ("127.0.0.1", "localhost")
    assert k.gatekeepers == (("127.0.0.1", 1719),)
    assert len(k.server_id) == 6
    assert any(k.server_id)
    assert (k.allow_phone_g, k.allow_unnamed, k.peers) == (False, False, ())
    assert k.seed == site_template / "keyserver" / "seed"
    assert (g.port, g.signalling_port, g.multicast, g.advertise) == (1719, 1300, True, None)
    assert (g.advertise_port, g.advertise_signalling_port) == (0, 0)
    assert g.key_servers == ("https://localhost:8444",)
    assert g.throttle == Throttle(10, 900, 30, 3600)
    assert (g.time_to_live, g.suites, g.alternates) == (300, ("sha256",), ())
    assert g.plain is None
    for path in (k.certificate, k.private_key, k.client_ca, k.seed, k.counter):
        assert path.is_file()
    c = config.need_console()
    assert (c.port, c.session_idle, c.session_total, c.client_ca) == (8447, 1800, 43200, None)
    assert (c.certificate, c.private_key) == (k.certificate, k.private_key)
    for path in (g.key_server_ca, g.certificate, g.private_key, g.pin_key):
        assert path.is_file()


def test_defaults_and_other_values(tmp_path):
    config = read(
        tmp_path, ID + 'suite = "sha1"\npeers = ["02005e100002"]\ngatekeepers = ["[::1]:0", "gk:1719"]'
    )
    k = config.need_keyserver()
    assert (k.port, k.suite, k.server_id) == (8443, SHA1, bytes.fromhex("02005e100001"))
    assert k.peers == (bytes.fromhex("02005e100002"),)
    assert k.gatekeepers == (("::1", 0), ("gk", 1719))
    with pytest.raises(UserError, match="no \\[gatekeeper\\]"):
        config.need_gatekeeper()
    old = read(tmp_path, "[gatekeeper]\n")  # made before there was a console
    assert old.need_console().port == 8447
    g = old.need_gatekeeper()
    assert g.throttle == Throttle()
    assert g.directory == tmp_path / "gatekeeper" / "directory.db"
    assert g.plain is None


def test_plain_endpoints_are_named_by_network_and_extension(tmp_path):
    text = '[gatekeeper.plain]\nnetworks = ["192.0.2.0/25", "198.51.100.7"]\n'
    plain = read(tmp_path, text + 'extensions = ["2001", "2100-2199"]').need_gatekeeper().plain
    assert [str(one) for one in plain.networks] == ["192.0.2.0/25", "198.51.100.7/32"]
    there = [ext for ext in ("2001", "2100", "2150", "2199") if ext in plain.extensions]
    assert there == ["2001", "2100", "2150", "2199"]
    others = ("2000", "200", "20011", "2099", "2200", "02100", "")
    assert not [ext for ext in others if ext in plain.extensions]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[keyserver]\n", "[keyserver] server_id: missing"),
        ('[keyserver]\nserver_id = "000000000000"', "[keyserver] server_id: 6 octets in hex, not all zero"),
        ('[keyserver]\nserver_id = "0200"', "[keyserver] server_id"),
        ('[keyserver]\nserver_id = "zz"', "[keyserver] server_id"),
        (ID + "port = 65536", "[keyserver] port: not a whole number from 0 to 65535"),
        (ID + 'port = "8443"', "[keyserver] port"),
        (ID + "port = true", "[keyserver] port"),
        (ID + "port = 8444", "[keyserver] advanced_port: the same as port"),
        (ID + "prot = 1", "[keyserver] prot: no such key, did you mean port?"),
        (ID + 'listen = "localhost"', "[keyserver] listen: 'localhost' is not an IP address"),
        (ID + 'suite = "md5"', "[keyserver] suite: there are sha256 and sha1"),
        (ID + 'peers = ["x"]', "[keyserver] peers"),
        (ID + 'peers = "x"', "[keyserver] peers: not a list"),
        (ID + 'gatekeepers = ["here"]', "[keyserver] gatekeepers: 'here'"),
        (ID + 'gatekeepers = [":0"]', "[keyserver] gatekeepers"),
        (ID + f"gatekeepers = {['a:1'] * 9}", "[keyserver] gatekeepers: more than 8"),
        (ID + "allow_phone_g = 1", "[keyserver] allow_phone_g: not true or false"),
        (ID + 'seed = ""', "[keyserver] seed: not a text of 1 to"),
        ("keyserver = 1", "keyserver: not a table"),
        ("[gatekeper]", "gatekeper: no such key, did you mean gatekeeper?"),
        ("[gatekeeper]\ntime_to_live = 9", "[gatekeeper] time_to_live: not a whole number from 10 to 86400"),
        ("[gatekeeper]\nsuites = []", "[gatekeeper] suites: at least one"),
        ('[gatekeeper]\nsuites = ["sha2"]', "[gatekeeper] suites: there are"),
        (
            '[gatekeeper]\nkey_servers = ["http://a:1"]',
            "[gatekeeper] key_servers: 'http://a:1' is not of the form",
        ),
        ('[gatekeeper]\nkey_servers = ["https://a"]', "[gatekeeper] key_servers"),
        ('[gatekeeper]\nkey_servers = ["https://a:99999"]', "[gatekeeper] key_servers"),
        ('[gatekeeper]\nkey_servers = ["https://u:p@a:1"]', "[gatekeeper] key_servers"),
        ("[gatekeeper]\nkey_servers = []", "[gatekeeper] key_servers: at least one"),
        ('[gatekeeper]\nadvertise = "gk"', "[gatekeeper] advertise"),
        ("[gatekeeper]\nadvertise_port = -1", "[gatekeeper] advertise_port"),
        ("[gatekeeper]\nadvertise_signalling_port = 65536", "[gatekeeper] advertise_signalling_port"),
        (f'[gatekeeper]\nidentifier = "{"x" * 129}"', "[gatekeeper] identifier: not a text of 1 to 128"),
        ("[gatekeeper.plain]", "[gatekeeper.plain] networks: at least one"),
        (PLAIN + 'extensions = ["1"]\nnetworks = []', "[gatekeeper.plain] networks: at least one"),
        (PLAIN + 'networks = ["192.0.2.1/24"]', "[gatekeeper.plain] networks: '192.0.2.1/24' is no IPv4"),
        (PLAIN + 'networks = ["2001:db8::/32"]', "[gatekeeper.plain] networks: '2001:db8::/32' is no IPv4"),
        (PLAIN + 'networks = ["gk"]', "[gatekeeper.plain] networks: 'gk' is no IPv4 network"),
        (PLAIN + f"networks = {['192.0.2.0/24'] * 65}", "[gatekeeper.plain] networks: more than 64 entries"),
        (PLAIN + NETWORK, "[gatekeeper.plain] extensions: at least one"),
        (PLAIN + NETWORK + f"extensions = {['1'] * 257}", "[gatekeeper.plain] extensions: more than 256"),
        (PLAIN + NETWORK + 'extensions = ["2*"]', "[gatekeeper.plain] extensions: '2*' is neither"),
        (PLAIN + NETWORK + 'extensions = ["bell"]', "[gatekeeper.plain] extensions: 'bell' is neither"),
        (PLAIN + NETWORK + 'extensions = ["9-10"]', "[gatekeeper.plain] extensions: '9-10': two numbers"),
        (PLAIN + NETWORK + 'extensions = ["29-20"]', "[gatekeeper.plain] extensions: '29-20': two numbers"),
        (PLAIN + NETWORK + 'extensions = ["1"]\nnetwork = 1', "[gatekeeper.plain] network: no such key, did"),
        ("[gatekeeper.throttle]\nfailures = 0", "[gatekeeper.throttle] failures"),
        ("[gatekeeper.throttle]\nignore_max = 3", "[gatekeeper.throttle] ignore_max: smaller than ignore"),
        ("[console]\nport = -1", "[console] port: not a whole number from 0 to 65535"),
        ("[console]\nsession_idle = 59", "[console] session_idle: not a whole number from 60 to"),
        ("[console]\nsession_total = 600", "[console] session_total: smaller than session_idle"),
        ('[console]\nlisten = "all"', "[console] listen: 'all' is not an IP address"),
        ("[console]\nprot = 1", "[console] prot: no such key, did you mean port?"),
        ("port = ", "Invalid value"),
        ("\ufeff=", "ringkey.toml"),
    ],
)
def test_complaints_name_the_place(tmp_path, text, complaint):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert complaint in caught.value.what
    assert str(tmp_path / "ringkey.toml") in caught.value.what
    assert caught.value.next_step.endswith(str(tmp_path / "ringkey.toml"))


def test_no_site_says_init(tmp_path):
    with pytest.raises(UserError) as caught:
        load(Site(tmp_path / "none"))
    assert caught.value.next_step == f"ringkey init {tmp_path / 'none'}"


def test_port_zero_is_the_one_that_runs_now(tmp_path):
    site = Site(tmp_path)
    site.run.mkdir()
    assert resolve_address(("127.0.0.1", 1719), site) == ("127.0.0.1", 1719)
    assert resolve_address(("127.0.0.1", 0), site) is None
    assert resolve_url("https://a:1", site) == "https://a:1"
    with pytest.raises(UserError, match="does not run"):
        resolve_url("https://a:0", site)
    runtime.write(site.run, "gatekeeper", {"ras": 4711})
    runtime.write(site.run, "keyserver", {"files": 1, "advanced": 4712})
    assert resolve_address(("127.0.0.1", 0), site) == ("127.0.0.1", 4711)
    assert resolve_url("https://[::1]:0", site) == "https://[::1]:4712"
    runtime.remove(site.run, "gatekeeper")
    assert resolve_address(("127.0.0.1", 0), site) is None


def test_a_runtime_file_of_a_dead_process_counts_for_nothing(tmp_path):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / "keyserver.json").write_text(f'{{"pid": {child}, "ports": {{"files": 1}}}}')
    assert runtime.ports(tmp_path, "keyserver") == {}
    assert runtime.ask(tmp_path, "keyserver") is None
    runtime.remove(tmp_path, "keyserver")  # it is not ours
    assert runtime.read(tmp_path, "keyserver") != {}
    (tmp_path / "keyserver.json").write_text("{")
    assert runtime.ports(tmp_path, "keyserver") == {}
