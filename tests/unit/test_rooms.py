"""The rooms of docs/architecture.md: what each imports is held to what its table allows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HOST = ("ringkey", "ras")
STANDARD = "standard library"
# MicroPython's own modules that the phone may use; none of them is a board's.
MICROPYTHON = (
    *("asyncio", "gc", "json", "micropython", "os", "random", "socket", "struct", "sys", "time", "tls"),
    *("builtins", "binascii", "errno", "hashlib", "io", "machine", "select"),
)

# room -> what its modules may import, by first name or dotted beginning.
ROOMS = {
    "firmware/ras": (
        # _hashlib: where `hmac` itself has its HMAC from, see ras/mac.py.
        *("ras", "hashlib", "_hashlib", "hmac", "micropython", "collections", "heapq"),
        *("cryptolib", "cryptography"),
    ),
    "firmware/tlspsk": ("tlspsk", "ras.mac", "ras.compat", "ras.errors", "ras.aes"),
    "firmware/phone": ("phone", "ras", "tlspsk", *MICROPYTHON),
    "firmware/drivers": (
        *(
            "phone.aio",
            "phone.board",
            "phone.parts",
            "phone.store",
            "phone.datagram",
            "phone.unload",
            "ras.compat",
            "drivers",
        ),
        *(*MICROPYTHON, "_thread", "esp32", "framebuf", "network", "termios"),
    ),
    "firmware/main.py": ("phone", "sys"),
    "boards/unix": ("phone.board", "phone.store", "ras.errors", *MICROPYTHON),
    "host/ringkey/site": (*HOST, STANDARD, "cryptography"),
    "host/ringkey/keyserver": (
        *HOST,
        STANDARD,
        *("aiohttp", "alembic", "cryptography", "jinja2", "mnemonic", "prometheus_client"),
        *("shamir_mnemonic", "sqlalchemy"),
    ),
    "host/ringkey/gatekeeper": (
        *HOST,
        STANDARD,
        "aiohttp",
        "alembic",
        "cryptography",
        "prometheus_client",
        "sqlalchemy",
        "sslpsk3",
        "yarl",
    ),
    "host/ringkey/explain": (*HOST, STANDARD, "dpkt"),
    "host/ringkey/administration": (*HOST, STANDARD, "cryptography", "sqlalchemy"),
    "host/ringkey/administration/accounts": (
        *(*HOST, STANDARD, "alembic", "argon2", "cryptography", "pyotp", "sqlalchemy"),
    ),
    "host/ringkey/console": (*HOST, STANDARD, "aiohttp", "jinja2", "markupsafe", "multidict", "segno"),
    "host/ringkey/admin.py": (*HOST, STANDARD, "aiohttp"),
    "host/ringkey/figures.py": (*HOST, STANDARD, "prometheus_client"),
    "host/ringkey/database.py": (*HOST, STANDARD, "alembic", "sqlalchemy"),
    "host/ringkey/cli": (*HOST, STANDARD, "click", "aiohttp", "cryptography", "sqlalchemy"),
    "tools": (
        *("ringkey", "ras", "bench", "harness", "heapmeter", "image", "flashing", "loadgen", STANDARD),
        "serial",
        "flash_board",
    ),
    "tools/image": (
        *("ringkey", "ras.address", "ras.hostport", "ras.record", "ras.errors", "image", STANDARD),
        *("cryptography", "esptool", "littlefs", "esp_idf_nvs_partition_gen"),
    ),
    "tools/flashing": ("ringkey.errors", "image", "flashing", STANDARD, "esptool", "serial"),
    "tools/compiled": ("compiled", STANDARD),
    "tools/loadgen": ("ringkey.site", "ras", "loadgen", STANDARD),
    "tools/heapmeter/onboard": MICROPYTHON,
}

# What both services are made of.
SHARED = ("ringkey.site", "ringkey.database", "ringkey.admin", "ringkey.figures")
# What one room of ringkey may know of the others: site knows none, the two services do not
# know each other, and nobody but the command line knows the command line.
WITHIN = {
    "host/ringkey/site": ("ringkey.site", "ringkey.errors", "ringkey.log"),
    "host/ringkey/explain": ("ringkey.explain",),
    "host/ringkey/administration": (
        "ringkey.administration",
        "ringkey.gatekeeper",
        "ringkey.keyserver",
        *SHARED,
    ),
    # Of the key server the port only: limits, TLS, the certificate.
    "host/ringkey/console": (
        *("ringkey.console", "ringkey.administration", "ringkey.keyserver.serving"),
        *SHARED,
    ),
    "host/ringkey/keyserver": ("ringkey.keyserver", *SHARED),
    "host/ringkey/gatekeeper": ("ringkey.gatekeeper", *SHARED),
}


def imports(file):
    """Return the dotted names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def files(room):
    """Return the Python files of a room."""
    path = ROOT / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def under(name, allowed):
    """Tell whether a dotted name is one of the allowed, or below it."""
    return any(name == one or name.startswith(one + ".") for one in allowed)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    import sys

    within = [ROOT / other for other in ROOMS if other.startswith(room + "/")]  # rooms of their own
    found = [file for file in files(room) if not any(file.is_relative_to(other) for other in within)]
    if not found:
        pytest.skip(f"{room} has no module yet")
    for file in found:
        for name in sorted(imports(file)):
            if STANDARD in ROOMS[room] and name.split(".")[0] in sys.stdlib_module_names:
                continue
            assert under(name, ROOMS[room]), f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", WITHIN)
def test_the_services_do_not_know_each_other(room):
    for file in files(room):
        for name in sorted(imports(file)):
            if name.split(".")[0] == "ringkey" and name != "ringkey.__version__":
                common = ("ringkey.log", "ringkey.errors", "ringkey.tls_buffer", "ringkey.waiting")
                allowed = (*WITHIN[room], *common)
                assert under(name, allowed), f"{file.relative_to(ROOT)} imports {name}"


def test_the_core_does_no_io_and_asks_no_clock():
    """No open, print, sleep or input, and nothing of time or sockets, anywhere in ras."""
    for file in files("firmware/ras"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "print", "input", "exec", "eval"}, file


def test_nobody_asks_for_the_platforms_name():
    """Portability is by feature test at import."""
    for room in ("firmware", "boards"):
        for file in files(room):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    assert (node.value.id, node.attr) not in {("sys", "platform"), ("os", "uname")}, file
                    assert (node.value.id, node.attr) != ("sys", "implementation"), file


def test_every_module_of_the_core_is_in_the_table_of_architecture_md():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for file in files("firmware/ras"):
        if file.name != "__init__.py":
            assert f"`{file.name}`" in text, f"{file.name} has no line in docs/architecture.md"


def test_no_file_is_two_ideas_long():
    """About 400 lines; tables of types are one idea however long."""
    for room in ("firmware", "boards", "host", "tools"):
        for file in files(room):
            lines = len(file.read_text().splitlines())
            assert lines <= 450, f"{file.relative_to(ROOT)} has {lines} lines"
