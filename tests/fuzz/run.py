"""`make fuzz-NAME`: one target for some minutes, and what came of it (docs/fuzzing.md).

libFuzzer works in a process of its own (drive.py), which it ends itself.  Exit 0: nothing found;
1: an input that crashes, hangs or takes too much memory, which is named.  PYTHONPATH has firmware and
tests/unit/core.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import corpus
import seeds

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "fuzz"
# Seconds for one input: a script of the registrar takes 10 ms, a hang takes for ever.
TIMEOUT = 20
# Seconds of CPU for an input that libFuzzer calls slow (10 s by the clock), with the start of the process.
SLOW = 10
# MB of the process: some 60 are Python and its libraries.  An input that unfolds is found by it.
MEMORY = 512
# MB that the process may grow by after its first tenth: libFuzzer's own corpus is one or two.
GROWTH = 32
_LINE = re.compile(r"^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)/\S+.* rss: (\d+)Mb")


def main() -> int:
    """Run, and say what was run, reached and found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(seeds.SEEDS))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--keep", action="store_true", help="write what is worth keeping into corpus/NAME.hex"
    )
    options = parser.parse_args()
    folder, found = BUILD / options.name, BUILD / f"{options.name}-found"
    corpus.unpack(options.name, folder)
    found.mkdir(exist_ok=True)
    before = set(found.iterdir())
    log = BUILD / f"{options.name}.log"
    print(f"{options.name}: {options.minutes:g} minutes; its log is {log}", flush=True)
    code = _fuzz(options.name, folder, found, int(60 * options.minutes), log)
    new = [file for file in sorted(set(found.iterdir()) - before) if not _starved(options.name, file)]
    grown = _say(options.name, log)
    _cover(options.name, folder)
    if options.keep and not new:
        print(f"kept: {_keep(options.name, folder)} inputs in {corpus.FOLDER / options.name}.hex")
    for file in new:
        print(f"found: {file}\n  see the end of {log}, and docs/fuzzing.md for what to do with it")
    if code and not new:
        print(f"atheris ended with {code}: see {log}")
    if grown > GROWTH:
        print(f"the process has grown by {grown} MB")
    return 1 if new or code or grown > GROWTH else 0


def _fuzz(name: str, folder: Path, found: Path, seconds: int, log: Path) -> int:
    command = [sys.executable, str(HERE / "drive.py"), name]
    command += [f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}"]
    command += ["-print_final_stats=1", "-len_control=10", f"-artifact_prefix={found}/", str(folder)]
    with log.open("w") as out:
        return subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode


def _starved(name: str, file: Path) -> bool:
    """Tell whether an input was slow only since others had the processors, as nice 19 lets them."""
    if not file.name.startswith("slow-unit-"):
        return False
    before = _cpu()
    command = [sys.executable, str(HERE / "drive.py"), name, f"-timeout={TIMEOUT}", str(file)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    took = _cpu() - before
    if done.returncode or took > SLOW:
        return False
    print(f"{name}: one input was slow, but takes {took:.1f} s of CPU by itself, start and all: {file}")
    return True


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _say(name: str, log: Path) -> int:
    """Print the figures of a run; return by how many MB the process grew after its first tenth."""
    lines = [m for m in map(_LINE.match, log.read_text(errors="replace").splitlines()) if m]
    if not lines:
        return 0
    runs, points, features, inputs, memory = map(int, lines[-1].groups())
    early = next(int(m[5]) for m in lines if int(m[1]) >= runs // 10)
    print(
        f"{name}: {runs} executions, {points} points and {features} features of the core reached, "
        f"{inputs} inputs, {memory} MB at most ({early} MB after a tenth)"
    )
    return memory - early


def _cover(name: str, folder: Path) -> None:
    subprocess.run([sys.executable, str(HERE / "cover.py"), name, str(folder)], check=False)


def _keep(name: str, folder: Path) -> int:
    """Let libFuzzer choose the fewest inputs that reach all that is reached."""
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, str(HERE / "drive.py"), name, "-merge=1", temporary, str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not any(Path(temporary).iterdir()):
            raise SystemExit("libFuzzer has merged nothing: what is kept stays as it was")
        return corpus.keep(name, Path(temporary))


if __name__ == "__main__":
    sys.exit(main())
