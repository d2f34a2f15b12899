"""`ringkey derive` against a few lines of hashlib and hmac, and against fixed hex."""

import hashlib
import hmac
import json

import pytest

SEED = bytes(range(16))
G = bytes(range(0x10, 0x20))
RE = bytes(range(0x20, 0x30))
RG = bytes(range(0x30, 0x40))
PIN = "1234"
ALL = ["--g", G.hex(), "--pin", PIN, "--re", RE.hex(), "--rg", RG.hex(), "--json"]


def expected(name):
    def mac(key, *parts):
        return hmac.new(key, b"".join(parts), name).digest()[: 16 if name == "sha1" else 32]

    km = hashlib.new(name, SEED).digest()
    kg = mac(km, G)
    return {
        "Km": km.hex(),
        "CVm": hashlib.new(name, km).digest()[-3:].hex(),
        "Kg": kg.hex(),
        "Ka": mac(kg, b"ringkey-auth", PIN.encode()).hex(),
        "Kr": mac(kg, b"ringkey-reject").hex(),
        "Ks": mac(kg, b"ringkey-session", PIN.encode(), RE, RG).hex(),
    }


def derive(ringkey, *args):
    return json.loads(ringkey("derive", *args).stdout)


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_every_value_from_a_seed(ringkey, name):
    found = derive(ringkey, "--suite", name, "--seed", SEED.hex(), *ALL)
    assert found == expected(name)
    assert list(found) == ["Km", "CVm", "Kg", "Ka", "Kr", "Ks"]


def test_fixed_hex(ringkey):
    found = derive(ringkey, "--seed", SEED.hex(), *ALL)
    assert found["Km"] == "be45cb2605bf36bebde684841a28f0fd43c69850a3dce5fedba69928ee3a8991"
    assert found["CVm"] == "166e8b"
    assert found["Kg"] == "e95cd692e1929185a32f16907b5713592edeaca4b769d91e9972e7b0960073ae"
    assert found["Ks"] == "08001923a66bb3b17f846346398e7364c36bb06d4c14446e15811688f4a98419"


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_from_km_and_from_kg(ringkey, name):
    want = expected(name)
    assert derive(ringkey, "--suite", name, "--km", want["Km"], *ALL) == want
    del want["Km"], want["CVm"]
    assert derive(ringkey, "--suite", name, "--kg", want["Kg"], *ALL[2:]) == want


def test_as_far_as_the_inputs_reach(ringkey):
    seed = ["--seed", SEED.hex(), "--json"]
    assert list(derive(ringkey, *seed)) == ["Km", "CVm"]
    assert list(derive(ringkey, *seed, "--g", G.hex())) == ["Km", "CVm", "Kg", "Kr"]
    assert list(derive(ringkey, *seed, "--g", G.hex(), "--pin", PIN)) == ["Km", "CVm", "Kg", "Ka", "Kr"]
    with_file = derive(ringkey, *seed, "--g", G.hex(), "--file", "a.json")
    kg = bytes.fromhex(with_file["Kg"])
    assert with_file["Kf"] == hmac.new(kg, b"ringkey-filea.json", "sha256").hexdigest()


def test_as_a_table(ringkey):
    lines = ringkey("derive", "--seed", SEED.hex()).stdout.splitlines()
    want = expected("sha256")
    assert lines == [f"Km   {want['Km']}", f"CVm  {want['CVm']}"]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "one of --seed, --km and --kg"),
        (["--seed", "00" * 16, "--km", "00" * 32], "one of"),
        (["--seed", "00" * 15], "at least 16"),
        (["--seed", "feedfacefeedfacefeedfacefeedfac?"], "--seed: not hex"),
        (["--km", "00" * 20], "--km: 20 octets"),
        (["--km", "00" * 32, "--g", "00"], "g has "),
        (["--km", "00" * 32, "--pin", "1234"], "need Kg"),
        (["--kg", "00" * 32, "--g", "00" * 16], "leave --g out"),
        (["--kg", "00" * 32, "--pin", "56789a"], "PIN: digits"),
        (["--kg", "00" * 32, "--pin", "1", "--re", "00" * 16], "all of --pin, --re and --rg"),
        (["--kg", "00" * 32, "--pin", "1", "--re", "00", "--rg", "00" * 16], "Re has "),
        (["--suite", "md5"], "md5"),
    ],
)
def test_wrong_inputs_exit_2_and_are_not_shown(ringkey, args, complaint):
    done = ringkey("derive", *args, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.rstrip().endswith("try: ringkey derive --help")
    assert done.stdout == ""
    for secret in ("feedface", "56789a"):
        assert secret not in done.stderr
