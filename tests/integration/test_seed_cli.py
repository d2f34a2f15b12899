"""`ringkey seed …` as a person types it: words on one server, the same check value on the next."""

import re
import subprocess
import sys

import pytest
from keyserver_client import Client, cvm_of
from sites import seed_of, seeds_of

SERVE = ("keyserver", "serve")


@pytest.fixture
def seed(site, environment):
    """`seed("enter", typed=…)`: the command on the test's site; the CompletedProcess."""

    def run(*args, typed="", check=True, where=site):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "ringkey", "--site", str(where), "seed", *args],
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


def words_in(output):
    return re.findall(r"\b[a-z]{3,8}\b", output.split("check value")[0])


def cvm_in(output):
    return re.search(r"check value +([0-9a-f]{6})", output)[1]


def test_words_make_the_same_seed_on_the_next_server(site, site_template, tmp_path, seed, run_service):
    before = seed_of(site)
    drawn = seed("new").stdout
    words = words_in(drawn)
    assert len(words) == 24
    assert seed_of(site) != before
    assert cvm_in(drawn) == cvm_of(site) == cvm_in(seed("check").stdout)
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", str(site_template), str(other)], check=True)
    entered = seed("enter", typed=" ".join(words) + "\n", where=other).stdout
    assert cvm_in(entered) == cvm_in(drawn)
    assert seed_of(other) == seed_of(site)
    assert not [word for word in set(words) if re.search(rf"\b{word}\b", entered.split("check value")[0])]
    assert Client(run_service(site, *SERVE)).fetch()["CVM"] == cvm_in(drawn)


def test_shares_make_it_too(site, tmp_path, seed, site_template):
    shown = seed("split", "2-of-3").stdout
    blocks = [" ".join(words_in(block.split("needed:")[1])) for block in re.split(r"share \d of", shown)[1:]]
    assert [len(block.split()) for block in blocks] == [33, 33, 33]
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", str(site_template), str(other)], check=True)
    seed("new", where=other)
    assert seed_of(other) != seed_of(site)
    joined = seed("join", typed=f"{blocks[2]}\n{blocks[0]}\n", where=other).stdout
    assert cvm_in(joined) == cvm_in(shown)
    assert seed_of(other) == seed_of(site)
    assert seed("split", "2of3", check=False).returncode == 2
    assert seed("join", typed=f"{blocks[0]}\n", where=other, check=False).returncode == 1


def test_a_seed_in_use_is_not_replaced(site, seed, run_service):
    service = run_service(site, *SERVE)
    assert "another key server is using" in seed("new", check=False).stderr
    Client(service).fetch()
    service.stop()
    refused = seed("new", check=False)
    assert refused.returncode == 1
    assert f"try: ringkey --site {site} seed rotate" in refused.stderr


def test_a_lost_key_is_replaced_by_the_words(site, seed, run_service):
    words = words_in(seed("new").stdout)
    cvm = cvm_of(site)
    service = run_service(site, *SERVE)
    g = Client(service).fetch()["G"]
    service.stop()
    (site / "keyserver" / "seed.key").unlink()
    service = run_service(site, *SERVE, ready=False)
    assert service.process.wait(20) == 1
    service.stop()
    refused = seed("enter", typed=" ".join(words), check=False)
    assert f"try: ringkey --site {site} seed enter --replace" in refused.stderr
    assert cvm_in(seed("enter", "--replace", typed=" ".join(words)).stdout) == cvm
    assert Client(run_service(site, *SERVE)).look_up(g, "100")[0] == 200


def test_a_passphrase_at_the_start(site, seed, environment, run_service):
    passphrase = "correct horse battery staple"
    cvm = cvm_of(site)
    seed("seal", "passphrase", typed=passphrase + "\n")
    assert not (site / "keyserver" / "seed.key").exists()
    assert "does not open" in seed("check", typed="wrong horse battery staple\n", check=False).stderr
    assert cvm_in(seed("check", typed=passphrase + "\n").stdout) == cvm
    service = run_service(site, *SERVE, ready=False, typed=passphrase + "\n")
    run_service.secrets.add(passphrase)
    service.wait_for("ready")
    assert Client(service).fetch()["CVM"] == cvm
    service.stop()
    seed("seal", "key", typed=passphrase + "\n")
    assert len(seeds_of(site)) == 1


def test_a_clear_seed_of_an_older_version_is_sealed(site, seed):
    clear, cvm = seed_of(site), cvm_of(site)
    (site / "keyserver" / "seed").write_text(clear.hex() + "\n")
    assert f"try: ringkey --site {site} seed seal" in seed("check", check=False).stderr
    seed("seal", "key")
    assert seed_of(site) == clear
    assert cvm_in(seed("check").stdout) == cvm


def test_help_has_examples(seed):
    for name in ("new", "enter", "split", "join", "check", "seal"):
        assert "Example" in seed(name, "--help").stdout
