"""`ringkey explain` on captures made of real exchanges: of simulated pairs, and of a site that runs."""

import json
import random
import re
import struct
import subprocess
import sys
from contextlib import suppress

import pytest
from conftest import environment
from pair import GATEKEEPER, PHONE, pair
from ras import answers, keys, message, profile
from ras_phone import PIN, Phone, fetch_keys, record_of
from ringkey.errors import UserError
from ringkey.explain import datagrams, keyring
from ringkey.explain.datagrams import Capture
from ringkey.explain.keyring import Key, Keyring
from ringkey.explain.story import Story
from tshark import write_pcap

PORTS = frozenset((1718, 1719))
SECRET_PIN = "86753091"


def life(suite=keys.SHA256):
    """Return (net, phone, site) after: unknown extension, log-in, keepAlives, log-out."""
    net, phone, gatekeeper, site = pair(3, suite)
    site.pins = {"1001": SECRET_PIN}
    phone.login.boot(None, 0)
    phone.login.entered("1002", SECRET_PIN, 0)
    net.run(20000)
    phone.login.entered("1001", SECRET_PIN, net.now)
    net.run(net.now + 400000)
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    return net, phone, site


def rows(net):
    return [(when / 1000, source, target, data) for when, data, source, target in net.log]


def ring_of(net, site):
    """Return what a site knows of the keys of a net's messages."""
    ring = Keyring(check_values=(site.cvm,), servers=(b"server",))
    for _, data, _, _ in net.log:
        decoded = message.decode_message(data)
        if decoded.kind in ("GRQ", "RRQ") and not decoded.value.get("keepAlive"):
            found, ext = profile.elements(decoded), decoded.value.get("endpointAlias", [("", "1001")])[0][1]
            kg = keys.device_key(site.suite, site.km, found[profile.G])
            ring.keys[ext, found[profile.G]] = [Key(kg, site.pins.get(ext))]
    return ring


def tell(path, ring=None):
    story = Story(ring or Keyring())
    return list(story.tell(Capture(path).datagrams(PORTS))), story


@pytest.mark.parametrize("suite", [keys.SHA256, keys.SHA1])
def test_a_life_is_told_and_every_icv_is_right(tmp_path, suite):
    net, _, site = life(suite)
    write_pcap(tmp_path / "x.pcap", rows(net))
    lines, story = tell(tmp_path / "x.pcap", ring_of(net, site))
    assert len(lines) == len(net.log)
    assert [line.message.kind for line in lines[:6]] == ["GRQ", "GRJ", "GRQ", "GCF", "RRQ", "RCF"]
    assert {line.icv for line in lines if line.message.kind != "GRJ" and line.text.count("1001")} == {
        f"right ({suite.name}, Ka)"
    }
    assert lines[1].icv == f"right ({suite.name}, Kr: no PIN is proven)"
    assert lines[2].text == f"phone 1001 asks for a gatekeeper, CVm {site.cvm.hex()}"
    assert "still there" in " ".join(line.text for line in lines)
    # 1002 is not known: all else is right.
    assert [line.wrong for line in lines if line.wrong] == [
        "phone 1002 was refused: error 1, unknown extension"
    ]
    assert story.first is lines[1]
    assert (story.unchecked, story.unanswered()) == (1, [])


def test_without_keys_it_says_what_it_did_not_check(tmp_path):
    net, _, _ = life()
    write_pcap(tmp_path / "x.pcap", rows(net))
    lines, story = tell(tmp_path / "x.pcap")
    assert story.unchecked == len(lines)
    assert {line.icv for line in lines} == {"not checked: there is no key for it"}


def exchange(change):
    """Return (rows, ring) of a log-in of 1001 after `change(phone, site)`."""
    net, phone, _, site = pair(5)
    site.pins = {"1001": SECRET_PIN}
    phone.login.boot(None, 0)
    phone.login.entered("1001", SECRET_PIN if change != "PIN" else "1111", 0)
    if change == "CVm":
        site.cvm = bytes.fromhex("ab12cd")  # in the key file that the phone gets
    if change == "revoked":
        site.revoked = {g_of(site)}
    net.run(9000)
    ring = ring_of(net, site)
    if change == "CVm":
        ring.check_values = (bytes.fromhex("0a0b0c"),)
    return rows(net), ring


def g_of(site):
    from ras.generator import pack

    return pack(b"server", "1001", site.counter + 1)


def first_wrong(tmp_path, found, ring):
    write_pcap(tmp_path / "x.pcap", found)
    _, story = tell(tmp_path / "x.pcap", ring)
    return story.first.wrong if story.first else None


def test_obsolete_keys(tmp_path):
    assert first_wrong(tmp_path, *exchange("CVm")) == (
        "phone 1001 sent CVm ab12cd, the gatekeeper's is 0a0b0c: obsolete keys, GRJ 3"
    )


def test_a_wrong_pin(tmp_path):
    wrong = first_wrong(tmp_path, *exchange("PIN"))
    assert wrong.startswith("the ICV of phone 1001's GRQ is wrong (another PIN")


def test_a_wrong_pin_without_keys_is_silence(tmp_path):
    found, _ = exchange("PIN")
    assert "phone 1001 got no answer to its GRQ in 2." in first_wrong(tmp_path, found, Keyring())
    write_pcap(tmp_path / "x.pcap", found[:1])
    lines, story = tell(tmp_path / "x.pcap")
    assert story.unanswered() == ["phone 1001 at 192.0.2.50:40000 got no answer"]


def test_a_revoked_key(tmp_path):
    found, ring = exchange("revoked")
    assert first_wrong(tmp_path, found, Keyring()) == "phone 1001 was refused: error 4, keys revoked"


def test_the_key_server_s_refusal_comes_first(tmp_path):
    found, ring = exchange(None)
    g = next(iter(ring.keys))[1]
    ring.wrong["1001", g] = "the key server refuses the key of phone 1001: revoked"
    assert first_wrong(tmp_path, found, ring).endswith("1001: revoked")


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_one_bit_of_any_message_is_found(tmp_path, at):
    found, ring = exchange(None)
    when, source, target, data = found[at]
    changed = bytearray(data)
    changed[-1] ^= 1  # of the ICV: the message is well formed still
    found[at] = (when, source, target, bytes(changed))
    wrong = first_wrong(tmp_path, found, ring)
    assert "ICV" in wrong
    assert ("GRQ", "GCF", "RRQ", "RCF")[at] in wrong


def test_replays(tmp_path):
    found, ring = exchange(None)
    elsewhere = ("198.51.100.7", 4000)
    assert "replay" in first_wrong(tmp_path, [*found, (9.0, elsewhere, GATEKEEPER, found[0][3])], ring)
    later = (found[0][0] + 11, PHONE, GATEKEEPER, found[0][3])
    assert "11 s before: a replay" in first_wrong(tmp_path, [*found, later], ring)
    soon = (found[0][0] + 1, PHONE, GATEKEEPER, found[0][3])
    assert first_wrong(tmp_path, [*found, soon], ring) is None


def test_strangers_and_garbage(tmp_path):
    found, _ = exchange(None)
    plain = message.decode_message(found[0][3])
    del plain.value["tokens"], plain.value["integrityCheckValue"]
    octets = bytes(message.encode_message("GRQ", plain.value)[0])
    answer = bytes(message.encode_message("GCF", answers.gatekeeper_confirm(7, GATEKEEPER, ()))[0])
    for data, text in (
        (octets, "endpoint 1001 sent a GRQ without ringkey's token: a plain H.323 endpoint"),
        (answer, "a GCF without ringkey's token: to a plain H.323 endpoint, no phone believes it"),
        (b"garbage", "it cannot be decoded"),
        (found[0][3][:50], "it cannot be decoded: PER: truncated"),
    ):
        assert first_wrong(tmp_path, [(0, PHONE, GATEKEEPER, data)], None).startswith(text)


# -- the files


def ip6(source, target, octets):
    def address(end):
        return bytes.fromhex("20010db8") + bytes(11) + bytes((end,))

    inner = struct.pack(">HHHH", source[1], target[1], 8 + len(octets), 0) + octets
    return b"\x60\0\0\0" + struct.pack(">HBB", len(inner), 17, 64) + address(1) + address(2) + inner


def ip4(source, target, octets, flags=0):
    inner = struct.pack(">HHHH", source[1], target[1], 8 + len(octets), 0) + octets
    ends = b"".join(bytes(int(part) for part in end[0].split(".")) for end in (source, target))
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(inner), 0, flags, 64, 17, 0) + ends + inner


LINKS = {
    1: lambda packet, kind: bytes(12) + kind + packet,
    113: lambda packet, kind: bytes(14) + kind + packet,
    276: lambda packet, kind: kind + bytes(18) + packet,
    101: lambda packet, kind: packet,
}


def pcap(link, packets, order="<"):
    out = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for number, packet in enumerate(packets):
        out += struct.pack(order + "IIII", number, 0, len(packet), len(packet)) + packet
    return out


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def pcapng(link, packets):
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(
        1, struct.pack("<HHI", link, 0, 65535)
    )
    for number, packet in enumerate(packets):
        head = struct.pack("<IIIII", 0, 0, number * 1_000_000, len(packet), len(packet))
        out += block(6, head + packet)
    return out


@pytest.mark.parametrize("link", sorted(LINKS))
@pytest.mark.parametrize("form", [pcap, lambda link, p: pcap(link, p, ">"), pcapng])
def test_every_kind_of_capture(tmp_path, link, form):
    data = life()[0].log[0][1]
    packets = [
        LINKS[link](ip4(PHONE, GATEKEEPER, data), b"\x08\x00"),
        LINKS[link](ip6(PHONE, GATEKEEPER, data), b"\x86\xdd"),
        LINKS[link](ip4(PHONE, (GATEKEEPER[0], 53), data), b"\x08\x00"),
        LINKS[link](ip4(PHONE, GATEKEEPER, data, 0x2000), b"\x08\x00"),
        LINKS[link](ip4(PHONE, GATEKEEPER, data)[:-9], b"\x08\x00"),
        LINKS[link](b"\x00\x01\x08\x00", b"\x08\x06"),
        b"",
    ]
    path = tmp_path / "x.pcap"
    path.write_bytes(form(link, packets))
    capture = Capture(path)
    found = list(capture.datagrams(PORTS))
    assert [(one.number, one.missing) for one in found] == [(1, 0), (2, 0), (5, 9)]
    assert found[0].data == found[1].data == data
    assert (found[0].source, found[0].target) == (PHONE, GATEKEEPER)
    assert found[1].source == ("2001:db8:0:0:0:0:0:1", 40000)
    assert (capture.packets, capture.fragments, capture.trouble) == (7, 1, None)


def test_a_capture_that_is_cut_off_or_garbage(tmp_path):
    """Wherever it is cut and whatever is changed: what is whole is told, nothing else is raised."""
    net, _, _ = life()
    source = random.Random(1)
    path = tmp_path / "x.pcap"
    for form in (pcap, pcapng):
        whole = form(101, [ip4(a, b, data) for _, data, a, b in net.log[:8]])
        cases = [whole[:end] for end in range(0, len(whole), 37)]
        for _ in range(150):
            changed = bytearray(whole)
            for _ in range(source.randint(1, 8)):
                changed[source.randrange(len(changed))] = source.randrange(256)
            cases.append(bytes(changed))
        told = 0
        for case in cases:
            path.write_bytes(case)
            with suppress(UserError):
                told += len(tell(path)[0])
        assert told > len(cases)


def test_limits(tmp_path, monkeypatch):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(101, [ip4(PHONE, GATEKEEPER, b"x")] * 5))
    monkeypatch.setattr(datagrams, "MAX_PACKETS", 3)
    capture = Capture(path)
    assert len(list(capture.datagrams(PORTS))) == 3
    assert "only the first 3 packets" in capture.trouble
    monkeypatch.setattr(datagrams, "MAX_FILE", 10)
    with pytest.raises(UserError, match="MiB"):
        list(Capture(path).datagrams(PORTS))
    path.write_bytes(pcap(147, []))
    monkeypatch.setattr(datagrams, "MAX_FILE", 1 << 20)
    with pytest.raises(UserError, match="link type 147"):
        list(Capture(path).datagrams(PORTS))


def test_keys_of_a_file():
    ring = keyring.parse(["# EXT PIN KG", "", "1001 1234 " + "ab" * 32, "1001 99 " + "cd" * 16])
    assert [(one.kg, one.pin) for one in ring.of("1001", bytes(16))] == [
        (b"\xab" * 32, "1234"),
        (b"\xcd" * 16, "99"),
    ]
    assert "1234" not in repr(ring)
    for bad in ("1001 1234", "1001 x " + "ab" * 32, "1001 1234 " + "ab" * 20, "x 1234 " + "ab" * 16):
        with pytest.raises(ValueError, match=r"^line 1: EXT PIN KG is wanted") as caught:
            keyring.parse([bad])
        assert "1234" not in str(caught.value)


# -- the command


def test_the_command_with_the_keys_of_a_site(site, run_service, ringkey, tmp_path, no_secret):
    run_service.secrets.add(PIN)
    file = site / "import.csv"
    file.write_text(f"1001,{PIN}\n")
    ringkey("--site", site, "extension", "import", file)
    keyserver = run_service(site, "keyserver", "serve")
    gatekeeper = run_service(site, "gatekeeper", "serve")
    gatekeeper.wait_for("key_server_ready")
    address = ("127.0.0.1", gatekeeper.ports["ras"])
    known = fetch_keys(site, keyserver.ports["files"], "1001")
    phones = [
        Phone(record_of(known, "1001"), address),
        Phone(record_of(fetch_keys(site, keyserver.ports["files"], "1002"), "1002"), address),
    ]
    registration = phones[0].register()
    assert registration is not None
    phones[1].register()
    found = []
    for phone in phones:
        at = phone.socket.getsockname()
        for pair_of in zip(phone.sent, phone.heard, strict=True):
            for data, ends in zip(pair_of, ((at, GATEKEEPER), (GATEKEEPER, at)), strict=True):
                found.append((len(found) / 100, *ends, data))
        phone.socket.close()
    path = tmp_path / "ras.pcap"
    write_pcap(path, found)
    done = ringkey("--site", site, "explain", "-v", "--site-keys", path)
    assert done.stdout.count("ICV: right (sha256, Ka)") == 4
    assert "First thing that went wrong, in packet 5: extension 1002 is not in the directory" in done.stdout
    file = tmp_path / "keys.txt"
    file.write_text(f"1001 {PIN} {known.kg.hex()}\n")
    file.chmod(0o600)
    shown = ringkey("explain", "-v", "--json", "--keys", file, path).stdout
    *messages, whole = map(json.loads, shown.splitlines())
    assert [one["message"] for one in messages] == ["GRQ", "GCF", "RRQ", "RCF", "GRQ", "GRJ"]
    assert [one["icv"][:5] for one in messages] == ["right"] * 4 + ["not c"] * 2
    assert whole["first_wrong"] == {
        "packet": 6,
        "what": "phone 1002 was refused: error 1, unknown extension",
    }
    secrets = {PIN, known.kg.hex(), registration.ks.hex(), registration.sid.hex()}
    run_service.secrets |= {registration.ks.hex()}
    for output in (done.stdout, done.stderr, shown):
        no_secret(output, {site}, secrets)
    file.chmod(0o644)
    refused = ringkey("explain", "--keys", file, path, check=False)
    assert refused.returncode == 1
    assert "keys.txt" in refused.stderr


def test_keys_that_are_asked_for(tmp_path, monkeypatch):
    """From standard input, where there is no terminal; neither Kg nor PIN is shown."""
    found, ring = exchange(None)
    write_pcap(tmp_path / "x.pcap", found)
    ((kg, pin),) = {(key.kg.hex(), key.pin) for (known,) in ring.keys.values() for key in [known]}
    for typed, text in (
        (f"{kg}\n{pin}\n", "Nothing went wrong"),
        (f"{kg}\n1\n", "the ICV of phone 1001's GRQ is wrong"),
        (f"{kg[2:]}\n{pin}\n", "Kg of 16 or 32 octets in hex are wanted"),
        ("", "try: ringkey explain --help"),
    ):
        command = [sys.executable, "-W", "error", "-m", "ringkey", "explain", "--ask", "1001", "x.pcap"]
        done = subprocess.run(
            command,
            check=False,
            input=typed,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert text in done.stdout + done.stderr
        assert not {kg, kg[2:], pin} & set(re.findall(r"\w+", done.stdout + done.stderr))


def test_the_command_on_what_is_no_capture(ringkey, tmp_path):
    (tmp_path / "x").write_bytes(b"what is this" * 100)
    done = ringkey("explain", tmp_path / "x", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is no pcap or pcapng file" in done.stderr
    assert ringkey("explain", tmp_path / "none", check=False).returncode == 1
