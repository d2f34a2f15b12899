"""A gatekeeper's figures for Prometheus, and what makes it ready (docs/gatekeeper-seeing.md)."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from ringkey import figures
from ringkey.admin import Check
from ringkey.figures import Figures, as_mapping
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.keys import KeyClient
from ringkey.gatekeeper.observed import Observed
from ringkey.site import certificates
from ringkey.site.config import GatekeeperConfig

# Seconds.  An answer from memory takes 0.3 ms, with a key server 3 to 10; a phone asks again after 2 s.
BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_OUTCOMES = "ringkey_ras_outcomes"


class Metrics(figures.Metrics):
    """All figures of one gatekeeper; `time` takes what an Observed times."""

    def __init__(self) -> None:
        super().__init__()
        self._answers = Histogram(
            "ringkey_ras_answer_seconds",
            "Seconds from a GRQ to its GCF, and from an RRQ that registers to its RCF.",
            ["message"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._keys = Histogram(
            "ringkey_key_look_up_seconds",
            "Seconds until the key server had answered for a key, or none had.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        # There from the first scrape on, so that a rate has something to start from.
        self._timed = {kind: self._answers.labels(kind).observe for kind in ("GRQ", "RRQ")}
        self._timed["key"] = self._keys.observe

    def time(self, kind: str, seconds: float) -> None:
        """Put a latency of kind "GRQ", "RRQ" or "key" into its histogram."""
        self._timed[kind](seconds)


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
    found.counter("ringkey_ras_received", "Datagrams received.", as_mapping(observed.received), "message")
    found.counter("ringkey_ras_sent", "Datagrams sent.", as_mapping(observed.sent), "message")
    found.counter(
        "ringkey_ras_throttled",
        "Messages of sources that are ignored.",
        lambda: sum(n for labels, n in observed.outcomes.items() if labels[2] == "throttled"),
    )
    found.counter("ringkey_key_look_ups", "Keys looked up.", as_mapping(observed.look_ups), "outcome")
    found.counter("ringkey_key_requests", "Requests to key servers for keys.", lambda: keys.batches.requests)
    found.gauge("ringkey_key_server_ready", "1 while a key server answers.", keys.ready.is_set)
    found.gauge("ringkey_key_servers_followed", "Streams of changes that are open.", lambda: keys.following)
    found.gauge(
        "ringkey_certificate_end_seconds",
        "When the gatekeeper's certificate ends, in seconds from 1970.",
        lambda: _end(config),
    )
    return found


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
