"""The kept corpora: corpus/NAME.hex, an input a line, so that a change of one reads in a diff."""

from pathlib import Path

import seeds

FOLDER = Path(__file__).parent / "corpus"
# Octets of one kept corpus: what unit tests go through in a few seconds, and a review can look at.
MAX_KEPT = 24_576


def read(name: str) -> list[bytes]:
    """Return the seeds of a target, then what was kept of its runs."""
    file = FOLDER / f"{name}.hex"
    lines = file.read_text().splitlines() if file.exists() else []
    return [*seeds.SEEDS[name](), *(bytes.fromhex(line) for line in lines if not line.startswith("#"))]


def unpack(name: str, folder: Path) -> None:
    """Write all of them as files, as libFuzzer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(read(name)):
        (folder / f"kept{number:04}").write_bytes(data)


def keep(name: str, folder: Path) -> int:
    """Replace what is kept by the files of a folder, shortest first, up to MAX_KEPT; return how many.

    Lines that begin with "#" and the line after each stay: they are inputs that once found a fault.
    """
    file = FOLDER / f"{name}.hex"
    lines = file.read_text().splitlines() if file.exists() else []
    faults = [line for i, line in enumerate(lines) if line.startswith("#") or (i and lines[i - 1][:1] == "#")]
    known = {*seeds.SEEDS[name](), *(bytes.fromhex(line) for line in faults if not line.startswith("#"))}
    room, kept = MAX_KEPT, []
    for data in sorted({one.read_bytes() for one in folder.iterdir()} - known, key=lambda d: (len(d), d)):
        room -= len(data)
        if room < 0:
            break
        kept.append(data.hex())
    file.write_text("\n".join([*faults, *(line for line in kept if line)]) + "\n")
    return len(kept)
