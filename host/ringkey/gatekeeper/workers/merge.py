"""One view of several workers: what each has answered, as if one gatekeeper had."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ringkey import figures
from ringkey.gatekeeper.observed import SHOWN, percentiles

Answer = dict[str, Any]
Families = list[dict[str, Any]]

# Of what each worker says of the site, and of what it sees of the key servers, the worst is true of all.
_LEAST = frozenset(
    {
        "ringkey_key_server_ready",
        "ringkey_key_servers_followed",
        "ringkey_certificate_end_seconds",
        "process_start_time_seconds",
        "process_max_fds",
    }
)


def together(answers: list[Any]) -> Any:
    """Return one of several answers to the same question.

    Lists are put one behind the other, numbers added, truths all to be true, dicts put together by key; of
    texts all that differ.
    """
    first = answers[0]
    kinds = {type(one) for one in answers}
    if kinds == {bool}:
        return all(answers)
    if kinds <= {int, float}:
        return sum(answers)
    if kinds == {list}:
        return [entry for one in answers for entry in one]
    if kinds == {dict}:
        keys = dict.fromkeys(key for one in answers for key in one)
        return {key: together([one[key] for one in answers if key in one]) for key in keys}
    if kinds == {str}:
        return "; ".join(dict.fromkeys(answers))
    return first


def statuses(answers: list[Answer]) -> Answer:
    """Return what `ringkey status` shows, of the workers' own."""
    found: Answer = dict(together(answers))
    first = answers[0]
    found.update(
        extensions=first["extensions"],
        cvm=max((one["cvm"] for one in answers), key=len),
        key_server=_worst([one["key_server"] for one in answers], "ready"),
        state=_worst([one["state"] for one in answers], "kept"),
    )
    return found


def both_figures(answers: list[Answer], at: float, up: float) -> Answer:
    """Return what `gatekeeper top` is made of; at, up: of the supervisor, s."""
    outcomes: Counter[tuple[str, ...]] = Counter()
    times: dict[str, list[float]] = {}
    for one in answers:
        for *labels, count in one["outcomes"]:
            outcomes[tuple(labels)] += count
        for kind, latest in one["times"].items():
            times.setdefault(kind, []).extend(latest)
    servers = [one["key_server"] for one in answers]
    special = ("at", "up", "outcomes", "times", "latencies", "failing", "key_server")
    found: Answer = together([{k: v for k, v in one.items() if k not in special} for one in answers])
    failing = sorted((row for one in answers for row in one["failing"]), key=lambda row: row["seconds_ago"])
    return {
        "at": at,
        "up": up,
        **found,
        "outcomes": [[*labels, count] for labels, count in outcomes.items()],
        "latencies": percentiles(times),
        "failing": failing[:SHOWN],
        "key_server": {
            "ready": all(one["ready"] for one in servers),
            "followed": min(one["followed"] for one in servers),
            "servers": servers[0]["servers"],
            "cvm": max((one["cvm"] for one in servers), key=len),
        },
    }


# Marks of all workers, in the order of their numbers; to whoever asks it is one text.
_BETWEEN = ","
# Where `Office.registrations` begins the rows.  Within a text of JSON no quotation mark is without a
# backslash before it, so nothing that is told of can look like it.
_ROWS = b'"registrations": ['


def registrations(answers: list[bytes]) -> bytes:
    """Return all registrations, as JSON: rows are put together without being taken apart."""
    heads, all_rows = [], []
    for one in answers:
        begin, _, rows = one.partition(_ROWS)
        heads.append(json.loads(begin.rstrip(b", ") + b"}"))
        all_rows.append(rows.removesuffix(b"]}"))
    head = b""
    if "mark" in heads[0]:  # where it was asked for
        told = {
            "mark": _BETWEEN.join(one["mark"] for one in heads),
            "failing": [row for one in heads for row in one["failing"]],
        }
        head = json.dumps(told)[1:-1].encode() + b", "
    return b"{" + head + _ROWS + b", ".join(filter(None, all_rows)) + b"]}"


def event_requests(request: Answer, shards: int) -> list[Answer]:
    """Return what each worker is to be asked for: what is new after its own part of the mark."""
    mark = request.get("mark")
    marks = mark.split(_BETWEEN) if isinstance(mark, str) else []
    if len(marks) != shards:
        marks = [""] * shards  # of other times: each says that there is a gap
    return [{**request, "mark": one} for one in marks]


def is_news(answers: dict[int, Answer]) -> bool:
    """Tell whether one of the workers, by number, has anything new."""
    return any(one["gap"] or one["phones"] for one in answers.values())


def events(requests: list[Answer], answers: dict[int, Answer]) -> Answer:
    """Return what is new; of workers that have not answered the mark stays where it was."""
    marks = [answers[n]["mark"] if n in answers else one["mark"] for n, one in enumerate(requests)]
    gap = any(one["gap"] for one in answers.values())
    phones = [phone for one in answers.values() for phone in one["phones"]]
    return {"mark": _BETWEEN.join(marks), "gap": gap, "phones": [] if gap else phones}


def _worst(texts: list[str], good: str) -> str:
    return next((text for text in texts if text != good), good)


# Metrics


def families(registry: CollectorRegistry) -> Families:
    """Return all of a registry as JSON has it."""
    return [
        {
            "name": metric.name,
            "text": metric.documentation,
            "type": metric.type,
            "samples": [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        }
        for metric in registry.collect()
    ]


def sums(of_all: Iterable[Families]) -> Iterator[Metric]:
    """Yield each metric once, its samples added up, or the least of them where a sum says nothing."""
    found: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for one in of_all:
        for family in one:
            name = family["name"]
            if name not in found:
                found[name] = Metric(name, family["text"], family["type"])
                values[name] = {}
            for sample, labels, value in family["samples"]:
                key = sample, tuple(labels.items())
                if name in _LEAST or sample.endswith("_created"):  # when a count began: with the first
                    values[name][key] = min(value, values[name].get(key, value))
                else:
                    values[name][key] = value + values[name].get(key, 0.0)
    for name, metric in found.items():
        for (sample, labels), value in values[name].items():
            metric.add_sample(sample, dict(labels), value)
        yield metric


class MergedMetrics(figures.Metrics, Collector):
    """The metrics of all workers, as they were when `families` was set, and what the supervisor adds."""

    def __init__(self) -> None:
        super().__init__()
        self._own = self.registry
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.families: list[Families] = []

    def add(self, figures: figures.Figures) -> None:
        """Show what `figures` says beside the sums."""
        self._own.register(figures)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is need not be asked for at registration."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the sums; of a process's own figures the supervisor's are part."""
        yield from sums([*self.families, families(self._own)])
