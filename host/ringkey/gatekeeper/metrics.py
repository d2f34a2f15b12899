"""A gatekeeper's figures for Prometheus, and what makes it ready (docs/gatekeeper-seeing.md)."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from ras.message import GRQ, RRQ

from ringkey import figures
from ringkey.admin import Check
from ringkey.figures import Figures
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.keys import KeyClient
from ringkey.gatekeeper.latencies import BUCKETS, Latencies
from ringkey.gatekeeper.observed import Observed
from ringkey.site import certificates
from ringkey.site.config import GatekeeperConfig

_BOUNDS = (*map(floatToGoString, BUCKETS), "+Inf")
_OUTCOMES = "ringkey_ras_outcomes"


class Metrics(figures.Metrics):
    """All figures of one gatekeeper; time: takes what an Observed times, of GRQ, RRQ and "key"."""

    def __init__(self) -> None:
        super().__init__()
        latencies = Latencies((GRQ, RRQ, "key"))
        self.time = latencies.time
        answers = Times(
            "ringkey_ras_answer_seconds",
            "Seconds from a GRQ to its GCF, and from an RRQ that registers to its RCF.",
            {GRQ: [GRQ], RRQ: [RRQ]},
            latencies,
        )
        keys = Times(
            "ringkey_key_look_up_seconds",
            "Seconds until the key server had answered for a key, or none had.",
            {"key": []},
            latencies,
        )
        for times in (answers, keys):
            self.registry.register(times)


class Times(Collector):
    """A histogram that is put together when it is asked for: prometheus_client's own takes 2 µs a time.

    labels: value of the label "message" by kind, none where it has no label.
    """

    def __init__(self, name: str, text: str, labels: dict[str, list[str]], latencies: Latencies) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._created = time.time()
        self._latencies = latencies

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is need not be asked for at registration."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it is now."""
        names = ["message"] if any(self._labels.values()) else []
        family = HistogramMetricFamily(self._name, self._text, labels=names)
        for kind, labels in self._labels.items():
            buckets = list(zip(_BOUNDS, map(float, accumulate(self._latencies.counts(kind))), strict=True))
            family.add_metric(labels, buckets, self._latencies.sum(kind))
            created = dict(zip(names, labels, strict=True))
            family.add_sample(f"{self._name}_created", created, self._created)
        yield family


class Outcomes(Collector):
    """`ringkey_ras_outcomes_total`, with its three labels."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is need not be asked for at registration."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the figure as it is now."""
        family = CounterMetricFamily(
            _OUTCOMES, "What became of RAS messages.", labels=["message", "outcome", "reason"]
        )
        for labels, count in self._observed.outcomes.items():
            family.add_metric(list(labels), count)
        yield family


def read_when_asked(
    config: GatekeeperConfig, observed: Observed, keys: KeyClient, sizes: Callable[[], Mapping[str, float]]
) -> Figures:
    """Return the figures that are functions; sizes: tables by name."""
    found = Figures()
    found.gauge("ringkey_registrations", "Registrations now.", lambda: sizes().get("registrations", 0))
    found.gauge("ringkey_channels", "Signalling channels now.", lambda: sizes().get("channels", 0))
    found.gauge("ringkey_table_entries", "Entries of a gatekeeper's tables.", sizes, "table")
    found.counter("ringkey_ras_received", "Datagrams received.", lambda: observed.received, "message")
    found.counter("ringkey_ras_sent", "Datagrams sent.", lambda: observed.sent, "message")
    found.counter(
        "ringkey_ras_throttled",
        "Messages of sources that are ignored.",
        lambda: sum(n for labels, n in observed.outcomes.items() if labels[2] == "throttled"),
    )
    found.counter("ringkey_key_look_ups", "Keys looked up.", lambda: observed.look_ups, "outcome")
    found.counter("ringkey_key_requests", "Requests to key servers for keys.", lambda: keys.batches.requests)
    found.gauge("ringkey_key_server_ready", "1 while a key server answers.", keys.ready.is_set)
    found.gauge("ringkey_key_servers_followed", "Streams of changes that are open.", lambda: keys.following)
    found.gauge(
        "ringkey_certificate_end_seconds",
        "When the gatekeeper's certificate ends, in seconds from 1970.",
        lambda: _end(config),
    )
    return found


def count_dropped(figures: Figures, dropped: Callable[[], Mapping[str, float]]) -> None:
    """Add what the kernel has dropped at the port (steering.dropped)."""
    figures.counter(
        "ringkey_ras_kernel_dropped",
        "Datagrams that the kernel dropped: no room, or a source that is ignored.",
        dropped,
        "socket",
    )


def checks(config: GatekeeperConfig, keys: KeyClient, directory: Directory) -> dict[str, Check]:
    """Return what must be right for a phone with fresh keys that comes now to be registered."""
    return {
        "key_server": lambda: None if keys.ready.is_set() else "no key server answers",
        "directory": lambda: _directory(directory),
        "certificate": lambda: _certificate(config),
    }


def _end(config: GatekeeperConfig) -> float:
    return certificates.bundle(config.certificate)[0].not_valid_after_utc.timestamp()


def _directory(directory: Directory) -> str | None:
    directory.count()  # raises UserError, whose text is the answer
    return None


def _certificate(config: GatekeeperConfig) -> str | None:
    seen = certificates.look(config.certificate, certificates.bundle(config.key_server_ca))
    ended = seen.left(datetime.now(UTC)) <= timedelta()
    return f"{config.certificate} has ended (try: ringkey cert renew)" if ended else None
