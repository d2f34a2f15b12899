"""A server under test: it stops, dies and starts again, and its log is one through all its lives."""

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import timeline
from harness.errors import HarnessError
from harness.service import Service
from harness.timeline import BAD, PLAIN, Switch
from harness.verdict import Evidence
from harness.watched import Watched

Moved = Callable[[dict[str, int] | None], None]


class Server:
    """`ringkey ARGS` over a site.

    who: its column in the report; moved: called with its ports when it has started, with None when
    it has stopped; evidence: returns what facts against it go into; program: instead of `python -m
    ringkey`.
    """

    def __init__(
        self,
        site: Path,
        who: str,
        args: Sequence[str],
        *,
        switch: Switch,
        evidence: Callable[[], Evidence],
        moved: Moved,
        environment: Mapping[str, str] | None = None,
        warnings: str = "default",
        program: Sequence[str] | None = None,
    ) -> None:
        self.who = who
        self.events: Watched[dict[str, Any]] = Watched()
        self._site = site
        self._args = tuple(args)
        self._switch = switch
        self._evidence = evidence
        self._moved = moved
        self._environment = environment
        self._warnings = warnings
        self._program = program
        self._service: Service | None = None
        self._outputs: list[str] = []
        self._mark = 0

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._service is not None and self._service.process.poll() is None

    @property
    def ports(self) -> dict[str, int]:
        """Its ports by name; raises HarnessError where it does not run."""
        if self._service is None:
            raise HarnessError(f"the {self.who} does not run")
        return self._service.ports

    @property
    def log(self) -> list[dict[str, Any]]:
        """The events of its log since `mark`."""
        return list(self.events)[self._mark :]

    @property
    def output(self) -> str:
        """All that it has written, in all its lives."""
        return "".join([*self._outputs, self._service.output if self._service else ""])

    def mark(self) -> None:
        """Begin anew: what its log has said so far is no longer expected."""
        self._mark = len(self.events)

    def start(self) -> None:
        """Start it and wait until it is ready; nothing happens where it runs."""
        if self.running:
            return
        self._collect()
        self._service = Service(
            self._site,
            *self._args,
            on_event=self._event,
            on_line=self._line,
            environment=self._environment,
            warnings=self._warnings,
            program=self._program,
        )
        self._moved(self._service.ports)

    def stop(self) -> None:
        """Stop it in good order, and wait; nothing happens where it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9, and wait."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, and start it again: with its configuration as it is now."""
        self.stop()
        self.start()

    def expect(self, event: str, timeout: float = 20.0, **fields: object) -> dict[str, Any]:
        """Return the first event of its log since `mark` with this name and these fields."""
        found = self.events.find(
            lambda e: e.get("event") == event and all(e.get(k) == v for k, v in fields.items()),
            self._mark,
            timeout,
        )
        if found is None:
            said = "\n".join(" ".join(timeline.of_server(e)[:1]) for e in self.log[-40:])
            raise HarnessError(
                f"the {self.who}: no event {event!r} {fields or ''} within {timeout:g} s; its log:\n{said}"
            )
        return found[1]

    def check(self) -> None:
        """Put it on record if it has ended by itself."""
        if self._service is not None and (status := self._service.process.poll()) is not None:
            self._evidence().add(self.who, f"ended by itself, with exit status {status}")

    def _end(self, number: int) -> None:
        service = self._service
        if service is None:
            return
        self.check()
        self._switch.add(self.who, "is stopped" if number == signal.SIGTERM else "is killed", PLAIN)
        service.stop(number)
        self._collect()
        self._moved(None)

    def _collect(self) -> None:
        if self._service is not None:
            self._outputs.append(self._service.output)
            self._service = None

    def _event(self, event: dict[str, Any]) -> None:
        text, mood = timeline.of_server(event)
        self._switch.add(self.who, text, mood)
        if event.get("level") in ("error", "critical"):
            self._evidence().add(self.who, text)
        self.events.add(event)

    def _line(self, line: str) -> None:
        if not line.strip():
            return
        self._switch.add(self.who, line[:300], BAD)
        if not line.startswith((" ", "Traceback")):
            self._evidence().add(self.who, f"wrote: {line[:200]}")
