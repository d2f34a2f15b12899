"""Why the chip was last reset, and what the phone was doing then: asked once, at the start."""

# machine's names (less "_RESET") and ours, one text for the sake of the heap.
_CAUSES = "PWRON power-on\nWDT watchdog\nHARD reset\nSOFT soft-reset\nDEEPSLEEP deep-sleep"


def find_cause(machine: object) -> str:
    """Return the word of machine.reset_cause(), or "unknown"."""
    try:
        cause = machine.reset_cause()
    except AttributeError:
        return "unknown"
    for line in _CAUSES.split("\n"):
        name, word = line.split(" ")
        if getattr(machine, name + "_RESET", None) == cause:
            return word
    return "unknown"


def take_note(memory: "object | None", magic: bytes, cause: str) -> str:
    """Return what `memory`, RTC's or None, has noted behind `magic`, or ""; it is told once."""
    if memory is None:
        return ""
    found = bytes(memory())
    memory(b"")
    if cause == "power-on" or not found.startswith(magic):
        return ""  # nobody's, or what the cells held by chance
    try:
        return found[len(magic) :].decode()
    except (UnicodeError, ValueError):
        return ""
