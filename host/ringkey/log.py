"""Logs: lines for people, or JSON; on standard output, and in a file where one is named.

Everything takes the same way: structlog's events, the standard library's `logging` and so what
libraries say end in the same handlers.  An event is a short name, `key_issued`; what it is about is in
fields.  Secrets are never given to a logger; `hide_secrets` is the net below that rule.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from ringkey.errors import UserError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
# The keys of protocol.md section 2, the PIN and the seed, under any spelling of their names.
SECRET_FIELDS = frozenset(
    [
        "km",
        "kg",
        "ka",
        "ks",
        "kr",
        "kf",
        "pin",
        "seed",
        "psk",
        "password",
        "passphrase",
        "secret",
        "private_key",
    ]
)
# A line longer than this is somebody else's input; the rest of it is not worth a disk.
MAX_TEXT = 2000  # characters of one field
# Libraries whose every step is worth a line to themselves: selectors, plug-ins, transactions.
_CHATTY = ("asyncio", "alembic", "sqlalchemy")


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger `name`, such as "keyserver"; `configure` decides where it writes."""
    found: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return found


def logger(name: str) -> logging.Logger:
    """Return the standard library's logger `name`, for a library that wants one."""
    return logging.getLogger(name)


def configure(form: str = "text", file: Path | None = None, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (standard output), and to `file` as well.

    form: "text" or "json".  A log file is made with mode 0600 and appended to.  Raises UserError
    where it cannot be opened.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # As text before anything else sees it: the renderers' own tracebacks show local variables.
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    out = stream or sys.stdout
    handlers: list[logging.Handler] = [logging.StreamHandler(out)]
    if file is not None:
        handlers.append(logging.StreamHandler(_open(file)))
    for handler, colors in zip(handlers, (out.isatty(), False), strict=False):
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _renderer(form, colors),
                ],
            )
        )
    # What no line of ours shows need not be found out for each (Python's logging HOWTO, "Optimization"):
    # a third of what a line costs, and a key file costs one line.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def hide_secrets(_logger: "WrappedLogger", _method: str, event: "EventDict") -> "EventDict":
    """Structlog processor: replace what stands under a secret's name, at any depth, and cut long texts."""
    for key in event:
        event[key] = _hidden(key, event[key])
    return event


def _hidden(key: str, value: Any) -> Any:
    if value is not None and key.lower() in SECRET_FIELDS:
        return HIDDEN
    # Texts and numbers first: nearly all fields are, and asking whether one is a Mapping takes long.
    if isinstance(value, str):
        # A traceback is long by right, and ours.
        cut = len(value) > MAX_TEXT and key not in ("exception", "stack")
        return value[:MAX_TEXT] + "…" if cut else value
    return value if value is None or isinstance(value, int | float) else _hidden_within(value)


def _hidden_within(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _hidden(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", v) for v in value]
    if isinstance(value, bytes | bytearray):
        # Octets have no business in a log but as hex, written so by whoever knows that they may.
        return f"[{len(value)} octets]"
    return value


def _renderer(form: str, colors: bool) -> "Processor":
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=True)
    return structlog.dev.ConsoleRenderer(
        colors=colors,
        pad_event_to=24,
        exception_formatter=structlog.dev.plain_traceback,
    )


def _open(file: Path) -> TextIO:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise UserError(f"cannot write the log file {file}: {e.strerror}", f"ls -ld {file.parent}") from None
    return os.fdopen(descriptor, "a", encoding="utf-8")
