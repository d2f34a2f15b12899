"""One phone, whatever the line to it: keys in, display and events out, power on and off.

The names are those of pytest-embedded and labgrid: press, expect, reset, transition.
"""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from harness import diagnosis, phonelog, timeline
from harness.errors import HarnessError
from harness.line import Line, LineError
from harness.phonelog import PhoneLog
from harness.power import NoPower, Power
from harness.stream import Stream
from harness.timeline import BAD, PLAIN, Add

STATES = ("off", "booted", "prompting", "provisioned", "registered")
BOOT = 20.0  # s from power to the boot event: an ESP32 takes 3 to 5, an emulated one more
TIMEOUT = 20.0  # s that `expect` waits unless told otherwise
_END = 10.0  # s for a phone that was asked to end
_CTRL_C, _CTRL_D = "\x03", "\x04"
_UNREAD = 2000  # characters of unread output that an error shows


class Phone:
    """A phone on a line.  It is taken to be off until `power_on`, and is not touched before.

    name: for logs and errors; board: the name its boot event must give, None for any; log: a
    PhoneLog; add: a Timeline's or a Switch's `add`; on_event: called in the reader's thread with
    each event; user: (extension, PIN) that `transition` logs in with.
    """

    def __init__(
        self,
        line: Line,
        power: Power | None = None,
        *,
        name: str = "phone",
        board: str | None = None,
        log: PhoneLog | None = None,
        add: Add | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.line = line
        self.power = power or NoPower(line.name)
        self.name = name
        self.board = board
        self.log = log
        self.add = add
        self.user: tuple[str, str] | None = None
        self.stream = Stream(self._event, self._other_line)
        self._on_event = on_event
        self._logged_in = ""  # the extension that was keyed in here last
        self._life = 0  # position of the stream where this life begins
        self._reader: threading.Thread | None = None
        self._closing = False
        self._gone: LineError | None = None

    def __repr__(self) -> str:
        return f"Phone({self.name} on {self.line.name}, {self.state})"

    # -- the line

    def attach(self) -> None:
        """Open the line and begin to read it: nothing happens to the phone.  Raises LineError."""
        if self._reader is None:
            self.line.open()
            self._closing = False
            self._reader = threading.Thread(target=self._read, name=f"reads {self.name}", daemon=True)
            self._reader.start()

    def close(self, *, drain: bool = False) -> None:
        """Let go of the line, after a little more of what the phone has to say; may be called again."""
        if self._reader is not None:
            if drain:
                self.drain()
            self._closing = True
            self._reader.join(_END)
            self._reader = None
        self.line.close()
        if self.log is not None:
            self.log.close()

    def drain(self) -> None:
        """Read on until the phone has been quiet for a moment."""
        phonelog.silence(lambda: self.stream.last)

    # -- power

    @property
    def is_on(self) -> bool:
        """Whether it has power, as far as anybody knows."""
        return self._reader is not None and self.power.is_on

    def power_on(self) -> None:
        """Give it power; what it said before is no longer waited for."""
        self.attach()
        if not self.power.is_on:
            self._note("power on")
            self._life = self.stream.skip()
        self.power.on()

    def power_cut(self) -> None:
        """Take its power away, whatever it is doing."""
        if self._reader is not None and self.power.is_on:
            self.power.off()
            self._note("power cut")
            phonelog.silence(lambda: self.stream.last, quiet=0.02)

    def reset(self, hard: bool = True) -> dict[str, Any]:
        """Let it start anew and return its boot event; hard: by its power, else by asking it."""
        if hard:
            self.power_cut()
            self.power_on()
        else:
            self.switch_off()
            self.power_on()
        return self.wait_boot()

    def switch_off(self) -> None:
        """Ask it to end, by Ctrl-C, and wait until it has; a board is then asked to start again."""
        if not self.is_on:
            raise HarnessError(f"{self.name} is off")
        self.press(_CTRL_C)
        self.expect_event("end", _END)
        self._life = self.stream.skip()
        self.press(_CTRL_D)  # MicroPython's prompt takes that for a soft reset

    def wait_boot(self, timeout: float = BOOT) -> dict[str, Any]:
        """Return the boot event of this life; raises HarnessError that says why there is none."""
        boot = next((e.members for e in self._events() if e.members["e"] == "boot"), None)
        if boot is None:
            found = self.stream.find_event(lambda e: e["e"] == "boot", timeout)
            if found is None:
                raise HarnessError(self._gone_or(diagnosis.of_silence(self.line.name, self._said())))
            boot = found.members
        wrong = diagnosis.of_board(self.line.name, boot, self.board)
        if wrong is not None:
            raise HarnessError(wrong)
        return boot

    # -- keys and display

    def press(self, keys: str, *, secret: bool = False) -> None:
        """Press keys: 0 to 9, # to enter, * to rub out, L (a held *) to log out.

        secret: the digits go into no log.
        """
        shown = re.sub(r"\d", phonelog.HIDDEN, keys) if secret else keys
        if self.log is not None:
            self.log.pressed(shown)
        if self.add is not None:
            self.add(self.name, f"⌨ {shown if shown.isprintable() else ascii(shown)}", PLAIN)
        self.line.write(keys.encode("latin-1"))

    def log_in(self, ext: str, pin: str, timeout: float = TIMEOUT) -> None:
        """Key in extension and PIN at the prompt, which is waited for where it is not there yet."""
        if self.display[:1] != ("Extension:",):
            self.expect_display("^Extension:", timeout)
        self._logged_in = ext
        self.press(ext + "#")
        self.expect_display("^PIN:", timeout)
        self.press(pin + "#", secret=True)

    @property
    def display(self) -> tuple[str, ...]:
        """The lines on its display now."""
        pictures = self.stream.pictures(self._life)
        return pictures[-1].lines if pictures else ()

    # -- what it says

    def expect(self, pattern: "str | re.Pattern[str]", timeout: float = TIMEOUT) -> "re.Match[str]":
        """Return the next match of a regular expression in what comes over the line.

        What is before it is passed over.  Raises HarnessError after `timeout` seconds, with the
        pattern, the unread output and where the log is.
        """
        match = self.stream.search(pattern, timeout)
        if match is None:
            shown = pattern if isinstance(pattern, str) else pattern.pattern
            raise self._nothing(f"match of /{shown}/", timeout)
        return match

    def expect_event(self, event: str, timeout: float = TIMEOUT, **fields: object) -> dict[str, Any]:
        """Return its next event of this name with these fields; what is before it is passed over."""
        found = self.stream.find_event(
            lambda e: e["e"] == event and all(e.get(k) == v for k, v in fields.items()), timeout
        )
        if found is None:
            raise self._nothing(f"event {event!r} {fields or ''}".rstrip(), timeout)
        return found.members

    def expect_display(self, pattern: "str | re.Pattern[str]", timeout: float = TIMEOUT) -> "re.Match[str]":
        """Return the match of `pattern` in the display's lines, joined with a line feed."""
        match = self.stream.find_picture(pattern, self._life, timeout)
        if match is None:
            raise self._nothing(f"display with /{pattern}/", timeout)
        return match

    @property
    def events(self) -> list[dict[str, Any]]:
        """All its events, of all its lives."""
        return [event.members for event in list(self.stream.events)]

    @property
    def output(self) -> str:
        """All that came, of all its lives, as readable text."""
        return self.stream.text

    # -- states

    @property
    def state(self) -> str:
        """How far it is, of STATES; "starting" before it has said that it booted."""
        if not self.is_on:
            return "off"
        found = self._look()
        if not found["boot"]:
            return "starting"
        first = (self.display or ("",))[0]
        if first == "Registered" and "opening" not in self.display[1]:
            return "registered"
        if found["keys"]:
            return "provisioned"
        return "prompting" if first in ("Extension:", "PIN:") else "booted"

    def transition(self, state: str, timeout: float = TIMEOUT) -> None:
        """Bring it into a state, from whatever state it is in; nothing happens where it is there.

        off; booted: on, at least; prompting: at the prompt, without keys; provisioned: with keys
        in its store, at least; registered: as `user`, its channel open.
        """
        if state not in STATES:
            raise HarnessError(f"no state {state!r}: there are {', '.join(STATES)}")
        if state == "off":
            self.power_cut()
            return
        if not self.is_on:
            self.power_on()
        self.wait_boot()
        if state == "prompting":
            self._to_prompt(timeout)
        elif state in ("provisioned", "registered"):
            self._to_keys(timeout)
            if state == "registered" and self.state != "registered":
                self.expect_display("^Registered\n(?!opening)", timeout)

    def _to_prompt(self, timeout: float) -> None:
        found = self._look()
        if not found["keys"]:
            if not found["prompted"]:  # it will, by itself
                self.expect_display("^Extension:", timeout)
            if self.display == ("Extension:", ""):
                self.stream.skip()
                return
        self.press("L")
        self.expect_display("^Extension:\n$", timeout)

    def _to_keys(self, timeout: float) -> None:
        if self.user is None:
            raise HarnessError(f"{self.name}: no user to log in: set phone.user = (extension, PIN)")
        found = self._look()
        # Keys of somebody who was here before are not `user`'s: those are logged out.
        if found["keys"] and (found["ext"] or self._logged_in) == self.user[0]:
            return
        self._to_prompt(timeout)
        self.log_in(*self.user, timeout)
        self.expect_event("commit", timeout, ok=True)

    def _look(self) -> dict[str, Any]:
        """Return what this life's events say: boot, keys, ext (None: not known), prompted."""
        found: dict[str, Any] = {"boot": False, "keys": False, "ext": None, "prompted": False}
        for event in self._events():
            members = event.members
            if members["e"] == "boot":
                found["boot"], found["keys"] = True, members.get("store") == "provisioned"
            elif members["e"] in ("commit", "erase") and members.get("ok"):
                found["keys"] = members["e"] == "commit"
            elif members["e"] == "registered":
                found["ext"] = members.get("ext")
            elif members["e"] == "display" and members["lines"][0] == "Extension:":
                found["prompted"] = True
        return found

    # -- inside

    def _events(self) -> list[Any]:
        return [e for e in list(self.stream.events) if e.at > self._life]

    def _said(self) -> str:
        return self.stream.text[self._life :]

    def _gone_or(self, text: str) -> str:
        return str(self._gone) if self._gone is not None else text

    def _nothing(self, what: str, timeout: float) -> HarnessError:
        unread = self.stream.unread[-_UNREAD:].replace("\x1e", "")
        lines = [
            self._gone_or(f"{self.name} on {self.line.name}: no {what} within {timeout:g} s"),
            f"it shows {list(self.display)}; since the last thing waited for it said:",
            unread.rstrip() or "(nothing)",
        ]
        if self.log is not None:
            lines.append(f"log: {self.log.path}")
        return HarnessError("\n".join(lines))

    def _note(self, text: str) -> None:
        if self.log is not None:
            self.log.note(text)
        if self.add is not None:
            self.add(self.name, text, PLAIN)

    def _read(self) -> None:
        while not self._closing:
            try:
                data = self.line.read()
            except LineError as error:
                if not self._closing:
                    self._gone = error
                    self._note(str(error))
                return
            if data:
                if self.log is not None:
                    self.log.received(data)
                self.stream.feed(data)

    def _event(self, event: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.line(json.dumps(event))
        if self.add is not None:
            self.add(self.name, *timeline.of_phone(event))
        if self._on_event is not None:
            self._on_event(event)

    def _other_line(self, line: str) -> None:
        if self.log is not None and line:
            self.log.line(line)
        if self.add is not None and line.strip() and not line.startswith("| "):
            bad = "Traceback" in line or "fault in" in line
            self.add(self.name, line[:300], BAD if bad else PLAIN)
