"""`make demo` from its command on: all of it happens, and no secret shows in anything it leaves."""

import hashlib
import hmac
import os
import re
import subprocess
import sys
from pathlib import Path

from sites import seed_of

ROOT = Path(__file__).resolve().parents[2]


def secrets_of(folder, pins):
    """Return every secret of the demo's site and of its phones, by name, as the texts they may show as."""
    seed = seed_of(folder / "site")
    km = hashlib.sha256(seed).digest()
    found = {"seed": seed, "Km": km}
    logs = "".join(path.read_text() for path in folder.glob("*.log"))
    issued = set(re.findall(r"\b[0-9a-f]{32}\b", logs))
    assert len(issued) >= 2  # a g for each phone
    for g in issued:
        kg = hmac.digest(km, bytes.fromhex(g), "sha256")
        found["Kg of " + g] = kg
        found["Kr of " + g] = hmac.digest(kg, b"ringkey-reject", "sha256")
        for pin in pins:
            found[f"Ka of {g}"] = hmac.digest(kg, b"ringkey-auth" + pin.encode(), "sha256")
    return {name: {value.hex(), repr(value)[2:-1]} for name, value in found.items()}


def test_all_of_it_happens_and_no_secret_shows(tmp_path, environment):
    folder = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "demo.py"), "--folder", str(folder)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "key file fetched over HTTPS, server verified",
        "check value compared",
        *("sends GRQ", "gets GCF", "sends RRQ", "gets RCF"),
        "TLS-PSK channel open: TLS",
        "loses its power",
        "its store holds a record",
        "[Log-in failed:  ]",
        "All of it happened.",
    ):
        assert text in done.stdout, text
    written = {"the demo's output": done.stdout + done.stderr}
    for path in folder.glob("*.log"):
        written[path.name] = path.read_text()
    assert {"keyserver.log", "gatekeeper.log", "phone-1001.log", "phone-1002.log"} <= written.keys()
    pins = [line.split()[1] for line in (folder / "pins").read_text().splitlines()]
    assert len(pins) == 2
    for where, text in written.items():
        for pin in pins:
            assert pin not in text, f"a PIN in {where}"
        for name, shapes in secrets_of(folder, pins).items():
            assert not any(shape.lower() in text.lower() for shape in shapes), f"{name} in {where}"


def test_secrets_of_the_phones_are_for_their_owner_only(tmp_path, environment):
    """What the demo leaves on disk with keys in it is 0600, in directories of 0700."""
    from harness.unixphone import UnixPhone, write_settings

    (tmp_path / "root.der").write_bytes(b"no certificate")
    settings = write_settings(tmp_path / "phone", tmp_path / "root.der", ["127.0.0.1:1"])
    phone = UnixPhone(settings)
    phone.power_on()
    try:
        phone.expect_display("^Extension:")
    finally:
        phone.switch_off()
        phone.close()
    assert os.stat(tmp_path / "phone" / "state").st_mode & 0o077 == 0
    for path in (tmp_path / "phone" / "state").iterdir():
        assert path.stat().st_mode & 0o077 == 0
