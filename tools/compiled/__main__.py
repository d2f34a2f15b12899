"""Compile the gatekeeper's busiest modules for this machine, by mypyc, and make a wheel of all of it.

    make compiled                    (or: PYTHONPATH=tools python -m compiled)
    pip install build/compiled/ringkey-*.whl

The sources are the same and stay the reference; where the compiled ones are not there, nothing else is
different but the time it takes.  Needs a C compiler and the interpreter's headers.  What is in the wheel lies
unpacked in build/compiled/lib too: with that first on PYTHONPATH whatever runs from here runs compiled.
"""

import argparse
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from compiled.modules import sources

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "compiled"
_LOG = "build.log"
# What setuptools is told beside pyproject.toml.  Types are checked by `make lint`; here they decide which
# code comes out, so an error of theirs still ends it.
_SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

setup(ext_modules=mypycify({arguments!r}, opt_level="3", debug_level="0", group_name="ringkey"))
"""
_CONFIG = """\
[mypy]
explicit_package_bases = True
mypy_path = host:firmware
follow_imports = silent
python_version = {version}
"""


def main() -> int:
    """Build; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="compiled", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT, help="a directory of its own (default %(default)s)")
    args = parser.parse_args()
    header = Path(sysconfig.get_path("include")) / "Python.h"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None or not header.exists():
        what = f"no C compiler ({compiler})" if header.exists() else f"no header {header}"
        print(f"compiled: {what}\n  try: sudo apt-get install gcc python3-dev", file=sys.stderr)
        return 2
    print("compiling: a minute on a PC, some on a Raspberry Pi", file=sys.stderr)
    try:
        wheel = build(args.out)
    except subprocess.CalledProcessError:
        log = args.out / _LOG
        print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-20:]), file=sys.stderr)
        print(f"compiled: that failed\n  try: less {log}", file=sys.stderr)
        return 1
    print(wheel)
    return 0


def build(out: Path) -> Path:
    """Return the wheel; raises CalledProcessError, with the log in `out`."""
    copy, library = out / "source", out / "lib"
    for old in (copy, library):
        shutil.rmtree(old, ignore_errors=True)
    for old in out.glob("*.whl"):
        old.unlink()
    for folder in ("firmware/ras", "host/ringkey"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "*.mpy"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (copy / "mypy.ini").write_text(_CONFIG.format(version=version))
    (copy / "setup.py").write_text(_SETUP.format(arguments=["--config-file=mypy.ini", *sources()]))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w"]
    with (out / _LOG).open("wb") as log:
        subprocess.run([*command, str(out), str(copy)], stdout=log, stderr=subprocess.STDOUT, check=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as found:
        found.extractall(library)
    return wheel


if __name__ == "__main__":
    sys.exit(main())
