"""Say what this machine lacks that pip can not bring, before anything is installed.

Run by the Makefile with the Python that .venv will be made of; needs nothing but it.
Exit 0: all there.  Exit 1: the packages to install were named.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

# What the phone's firmware imports and not every build has: Debian's own is older.
_PHONE_NEEDS = "import tls, asyncio, cryptolib, termios, hashlib; hashlib.sha256; tls.SSLContext"


def missing_for_venv() -> "str | None":
    """Return what to install so that `python -m venv` works, or None."""
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return None
    return f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


def missing_for_psk() -> "list[str]":
    """Return what to install so that sslpsk3 compiles: before 3.13, ssl has no TLS-PSK."""
    if sys.version_info >= (3, 13):
        return []
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return ["gcc", "libssl-dev", "python3-dev"]
    missing = []
    for header, package in (("openssl/ssl.h", "libssl-dev"), ("Python.h", "python3-dev")):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(f"#include <{header}>\n")
            include = sysconfig.get_paths()["include"]
            done = subprocess.run(
                [compiler, "-E", f"-I{include}", str(source)], capture_output=True, check=False
            )
        if done.returncode != 0:
            missing.append(package)
    return missing


def missing_micropython() -> "str | None":
    """Return a sentence where no MicroPython can be had, or None.

    pip brings the unix port on x86-64 Linux; elsewhere, as on a Raspberry Pi, it has to be here.
    """
    named = os.environ.get("MICROPYTHON")
    if not named and platform.machine() == "x86_64" and sys.platform == "linux":
        return None
    command = named or shutil.which("micropython")
    if command is None:
        return (
            "No MicroPython: build its unix port (1.26 or later, `make -C ports/unix`) and put it on PATH,\n"
            "  or name it: make demo MICROPYTHON=/path/to/micropython"
        )
    done = subprocess.run([command, "-c", _PHONE_NEEDS], capture_output=True, check=False)
    if done.returncode != 0:
        return (
            f"{command} lacks modules that the phone needs (tls, asyncio, cryptolib, termios):\n"
            "  build MicroPython's unix port, 1.26 or later, and name it with MICROPYTHON=…"
        )
    return None


def main() -> int:
    """Print what is missing; return the exit status."""
    packages = [p for p in (missing_for_venv(), *missing_for_psk()) if p]
    status = 0
    if packages:
        print("This machine lacks what pip can not bring.", file=sys.stderr)
        print(f"  try: sudo apt install {' '.join(packages)}", file=sys.stderr)
        status = 1
    sentence = missing_micropython() if "--phone" in sys.argv[1:] else None
    if sentence:
        print(sentence, file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
