"""What a line's output says about a phone that does not start: one sentence that says what to do."""

import re
from typing import Any

# What the boot ROM, ESP-IDF's boot loader and MicroPython print, the most telling first.
_SIGNS = (
    (
        r"mismatch chip ID, expected (?P<chip>\d+)|Invalid chip id\. Expected (?P<rom>\d+)|wrong chip id",
        "the image on it is for another chip: make flash PORT={port} BOARD=… with this board's name",
    ),
    (
        r"chip revision .*(?:required|check failed)|requires chip rev",
        "its chip is older than the image wants: make flash with another base firmware (BASE=…)",
    ),
    (
        r"invalid header: 0xffffffff|flash read err, 1000|No bootable app partitions",
        "its flash is empty: make flash PORT={port} BOARD=…",
    ),
    (
        r"csum err|invalid header: 0x|Image hash failed|bad checksum|SHA-256 comparison failed",
        "the image on it is damaged: make flash PORT={port} BOARD=…",
    ),
    (
        r"waiting for download",
        "it waits in download mode: let go of BOOT (IO0) and reset it",
    ),
    (
        r"Brownout detector was triggered",
        "its supply voltage breaks down: another cable, or another USB port",
    ),
    (
        r"\n>>> |MicroPython v[^\n]*\n(?!.*\"e\": \"boot\")",
        "MicroPython is on it, but no phone: make flash PORT={port} BOARD=…",
    ),
    (
        r"Traceback \(most recent call last\)",
        "its firmware fails as it starts: see the traceback above, or make flash",
    ),
)


def of_silence(port: str, text: str) -> str:
    """Return why a phone has not said that it booted, by what it said instead."""
    for pattern, words in _SIGNS:
        if re.search(pattern, text):
            return f"{port}: {words.format(port=port)}"
    if not text.strip():
        return (
            f"{port}: the phone is silent: is it powered, is this its port, "
            f"and has it an image (make flash PORT={port} BOARD=…)?"
        )
    if text.count("\ufffd") > len(text) // 8:
        return f"{port}: only noise comes: is this the right port, and 115200 baud?"
    last = text.strip().splitlines()[-1][:80]
    return (
        f"{port}: it tells no boot event: an image of production tells none, and these tests want "
        f"events (set `events` in the phone's settings); its last line: {last!r}"
    )


def of_board(port: str, boot: "dict[str, Any]", wanted: "str | None") -> "str | None":
    """Return what is wrong with the board that a boot event names, or None."""
    found = boot.get("board")
    if wanted is None or found == wanted:
        return None
    return (
        f"{port}: this phone is a {found}, not a {wanted}: give --board {found}, "
        f"or the --phone of the {wanted}, or flash it: make flash PORT={port} BOARD={wanted}"
    )


# What esptool and the image tool say when they refuse.
_FLASH = (
    (
        r"This chip is (?P<is>[\w-]+)[^\n]*, not (?P<not>[\w-]+)",
        "the image is for another chip than the {is} on it: give the BOARD=… of that board, not {board}",
    ),
    (
        r"is not (?:a|an) [\w-]+ image|Unexpected chip id in image|for another chip|mismatch chip ID",
        "the image is for another chip than {board}: give a base firmware for it (BASE=…)",
    ),
    (r"No rule to make target|no such target", "this checkout has no `make flash` yet"),
    (
        r"Failed to connect|No serial data received|Timed out waiting for packet",
        "the chip does not answer: hold BOOT (IO0) while it resets, and try again",
    ),
    (
        r"port is busy|could not exclusively lock",
        "another program has it open, see fuser {port}: close that one",
    ),
    (r"could not open port|No such file", "there is no such port: ls /dev/tty*"),
)


def of_flash(port: str, board: str, output: str) -> str:
    """Return why flashing has failed, in one line."""
    for pattern, words in _FLASH:
        match = re.search(pattern, output)
        if match:
            return (
                f"{port}: not flashed: {words.format(**{'port': port, 'board': board, **match.groupdict()})}"
            )
    lines = output.strip().splitlines() or ["it says nothing"]
    return f"{port}: not flashed: {lines[-1][:200]}"
