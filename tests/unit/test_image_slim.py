"""A phone's modules are slimmed (tools/image/slim.py), and do what they did."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.unixphone import find_micropython
from image import inline, modules, prune, shorten, slim

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"


def phone():
    """Return path -> source of every phone's modules, and main.py."""
    paths = modules.of_every_phone(FIRMWARE)
    return {path: (FIRMWARE / path).read_bytes() for path in paths}, (FIRMWARE / "main.py").read_bytes()


@pytest.fixture(scope="module")
def slimmed():
    return slim.slim_all(*phone())


# -- the whole of it


def test_the_same_sources_give_the_same_octets_in_any_process():
    text = "import sys; sys.path[:0] = ['tools', 'host', 'firmware', 'tests/unit']\n"
    text += "import hashlib, test_image_slim as t\nfrom image import slim\n"
    text += "print(hashlib.sha256(repr(slim.slim_all(*t.phone())).encode()).hexdigest())"
    seen = set()
    for seed in "0", "1", "2":
        done = subprocess.run(
            [sys.executable, "-c", text],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert len(seen) == 1


def test_the_lines_stay_where_they_are(slimmed):
    sources, _ = phone()
    for path, source in sources.items():
        assert len(slimmed[path].splitlines()) == len(source.splitlines()), path
        ast.parse(slimmed[path])


def test_a_slimmed_core_speaks_as_the_core_does(slimmed, tmp_path):
    """On MicroPython, which alone knows const() without an import."""
    for path, source in slimmed.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source)
    (tmp_path / "say").mkdir()
    program = tmp_path / "say" / "say.py"  # where it finds no module beside it
    program.write_text(
        "from ras import build, message, profile\n"
        "from ras.keys import SUITES, authentication_key, reject_key, session_key\n"
        "SHA256 = SUITES['sha256']\n"
        "ka = authentication_key(SHA256, bytes(range(32)), '4711')\n"
        "found = {1: b'g' * 16, 2: b'cvm', 3: b'e' * 16}\n"
        "for value in (build.gatekeeper_request(5, '1001', ('192.0.2.50', 40000)),):\n"
        "    octets = profile.seal(message.GRQ, value, found, SHA256, ka)\n"
        "    back = message.decode_message(octets)\n"
        "    assert profile.elements(back) == found and message.verify(back, SHA256, ka)\n"
        "    print(octets.hex())\n"
        "value = build.keep_alive(7, 'abcd', ('192.0.2.50', 4), ('192.0.2.50', 5), 300)\n"
        "print(profile.seal(message.RRQ, value, {3: b'e' * 16, 4: b'r' * 16}, SHA256, ka).hex())\n"
        "print(reject_key(SHA256, ka).hex(), session_key(SHA256, ka, '1', ka[:16], ka[16:]).hex())\n"
    )

    def say(firmware):
        done = subprocess.run(
            [find_micropython(), str(program)],
            env={**os.environ, "MICROPYPATH": f"{firmware}:.frozen"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert say(tmp_path) == say(FIRMWARE)


def test_it_is_worth_it(slimmed):
    """Names that MicroPython would keep: a third fewer letters of them at the least."""

    def letters(sources):
        names = set()
        for source in sources.values():
            for node in ast.walk(ast.parse(source)):
                for field in "id", "attr", "arg", "name":
                    if isinstance(value := getattr(node, field, None), str):
                        names.add(value)
        return sum(map(len, names))

    assert letters(slimmed) < letters(phone()[0]) * 2 / 3


# -- constants


def test_constants_go_where_they_are_used():
    out = inline.inline_all(
        {
            "a": "from ras.compat import const\nONE = const(1)\nMANY = const(1 << 4)\nTEXT = 'x'\n",
            "b": "from a import (\n    MANY,\n    ONE,\n    TEXT,\n)\nx = [ONE, MANY, TEXT]\n",
            "c": "import sys\nfrom p import a\n\ndef f(MANY):\n    return MANY + a.ONE\n",
            "p.a": "ONE = const(7)\n",
        }
    )
    assert out["b"] == "from a import TEXT\n\n\n\n\nx = [1, 16, TEXT]\n"
    assert out["c"] == "import sys\nfrom p import a\n\ndef f(MANY):\n    return MANY + 7\n"
    assert out["a"].startswith("pass\nONE = const(1)\n")


def test_a_name_that_is_also_something_else_is_no_constant():
    out = inline.inline_all({"a": "N = const(3)\n", "b": "from a import N\n\ndef f(N):\n    return N\n"})
    assert out["b"] == "from a import N\n\ndef f(N):\n    return N\n"


# -- what nobody uses


def test_what_nobody_mentions_goes_and_what_only_that_used_goes_too():
    out = prune.prune_all(
        {
            "a": "_T = (1, 2)\n\ndef used():\n    return 1\n\n\ndef unused():\n    return _T\n",
            "b": "class C:\n    x = 1\n\n    def __repr__(self):\n        return 'secret'\n\n\nD = C()\n",
            "c": "def by_name():\n    pass\n\n\nf = {}['by_name']\n",
        },
        "from a import used\n",
    )
    assert out["a"] == "\n\ndef used():\n    return 1\n\n\n\n\n"
    assert "__repr__" not in out["b"]
    assert "D = C()" in out["b"], "making it may have an effect"
    assert "by_name" in out["c"]


# -- names


def shortened(**sources):
    tree = shorten.Tree(sources)
    return {name: tree.shorten(name) for name in sources}


def test_private_names_and_parameters_are_shortened():
    out = shortened(
        a="class C:\n    def __init__(self, first, second):\n        self._first = first\n"
        "        self.second = second\n\n    def _do(self):\n        return self._first\n",
        b="from a import C\n\n\ndef call():\n    return C(1, second=2)\n",
    )
    assert out["a"] == (
        "class C:\n    def __init__(self, a, second):\n        self._b = a\n"
        "        self.second = second\n\n    def _a(self):\n        return self._b\n"
    ), "`second` is named by a call"


def test_a_module_of_the_interpreter_keeps_its_name():
    out = shortened(
        a="import _thread as thread\n\n\nclass C:\n    def __init__(self):\n        self._thread = thread\n"
    )
    assert "import _thread as" in out["a"]


def test_texts_keep_the_names_that_they_may_stand_for():
    source = "class C:\n    def _do_show(self):\n        pass\n\n    def go(self, what):\n"
    source += "        getattr(self, '_do_' + what)()\n"
    assert "_do_show" in shortened(a=source)["a"]


def test_an_object_of_two_modules_has_no_two_names_alike():
    """A class and the one that it derives from keep their attributes in one object."""
    out = shortened(
        base="class Base:\n    def __init__(self):\n        self._mine = 1\n",
        derived="from base import Base\n\n\nclass Derived(Base):\n    def __init__(self):\n"
        "        Base.__init__(self)\n        self._yours = 2\n",
        other="class Other:\n    def __init__(self):\n        self._alone = 3\n",
    )
    mine = out["base"].split("self.")[1].split(" ")[0]
    yours = out["derived"].split("self.")[1].split(" ")[0]
    alone = out["other"].split("self.")[1].split(" ")[0]
    assert mine != yours
    assert alone in {mine, yours}, "modules that have nothing to do with each other share"


def test_what_is_private_to_another_module_is_not_used():
    with pytest.raises(ValueError, match="_secret, which is private"):
        shortened(a="_secret = []\n", b="import a\n\nprint(a._secret)\n")


def test_calls_that_hide_their_names_are_refused():
    with pytest.raises(ValueError, match="calls f with"):
        shortened(a="def f(name):\n    return name\n\n\nf(**{'name': 1})\n")


def test_names_py_tells_them_back():
    found = slim.names(*phone())
    assert found["ras.tpkt"].keys() >= {"_limit"}
    for names in found.values():
        assert len(set(names.values())) == len(names)
