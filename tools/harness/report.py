"""The report of a run, one HTML file: each test with its transcript, all sides in one time line."""

import html
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.verdict import Finding, sentence

# Columns in this order; whoever else there is comes between phones and servers.
_LAST = ("network", "gatekeeper", "key server")
_MOST = 3000  # rows of one test; of 100 reboots, the last ones are what counts


@dataclass
class Result:
    """One test: outcome "passed", "failed" or "skipped"; error: its traceback, or why it was skipped.

    entries: timeline.Entry as dicts; findings: verdict.Finding as dicts; files: kept beside the report.
    """

    name: str
    outcome: str = "passed"
    seconds: float = 0.0
    error: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


class Report:
    """What is written to one file."""

    def __init__(self) -> None:
        self.properties: dict[str, str] = {}
        self.results: dict[str, Result] = {}

    def result(self, name: str) -> Result:
        """Return the result of a test, a new one where there is none."""
        return self.results.setdefault(name, Result(name))

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(self._page(), encoding="utf-8")
        new.replace(path)

    def _page(self) -> str:
        order = {"failed": 0, "skipped": 2}
        results = sorted(self.results.values(), key=lambda r: (order.get(r.outcome, 1), r.name))
        counts = {o: sum(r.outcome == o for r in results) for o in ("failed", "passed", "skipped")}
        totals = ", ".join(f"{n} {o}" for o, n in counts.items() if n) or "no test"
        rows = "".join(
            f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in self.properties.items()
        )
        tests = "\n".join(_test(result) for result in results)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        return _PAGE.format(totals=html.escape(totals), stamp=stamp, rows=rows, tests=tests)


def _test(result: Result) -> str:
    failed = result.outcome == "failed"
    parts = []
    if failed:
        findings = [Finding(**found) for found in result.findings]
        facts = "".join(
            f"<li><b>{html.escape(f.side)}</b> {html.escape(f.text)} <i>{_clock(f.when)}</i></li>"
            for f in findings
        )
        parts.append(f'<div class="verdict"><p>{html.escape(sentence(findings))}</p><ul>{facts}</ul></div>')
    if result.error:
        parts.append(_error(result.error))
    if result.files:
        links = " ".join(f'<a href="{html.escape(f, quote=True)}">{html.escape(f)}</a>' for f in result.files)
        parts.append(f'<p class="files">{links}</p>')
    if result.entries:
        parts.append(_transcript(result.entries))
    return (
        f'<details class="{html.escape(result.outcome)}"{" open" if failed else ""}><summary>'
        f'<span class="outcome">{html.escape(result.outcome)}</span> {html.escape(result.name)} '
        f"<small>{result.seconds:.1f} s</small></summary>{''.join(parts)}</details>"
    )


def _error(error: str) -> str:
    """Return what was expected and did not come, and the traceback behind it."""
    short = "\n".join(line[1:].strip() for line in error.splitlines() if line.startswith("E "))
    whole = f'<pre class="error">{html.escape(error)}</pre>'
    if not short:
        return whole
    return (
        f'<pre class="error">{html.escape(short)}</pre><details><summary>traceback</summary>{whole}</details>'
    )


def _transcript(entries: list[dict[str, Any]]) -> str:
    first = entries[0]["when"]
    left = len(entries) - _MOST
    names = list(dict.fromkeys(entry["who"] for entry in entries))
    columns = [n for n in names if n not in _LAST] + [n for n in _LAST if n in names]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = []
    for entry in entries[max(0, left) :]:
        cells = "".join(
            f'<td class="{html.escape(entry["mood"])}">{html.escape(entry["text"])}</td>'
            if name == entry["who"]
            else "<td></td>"
            for name in columns
        )
        title = _clock(entry["when"])
        rows.append(f'<tr><th title="{title}">{entry["when"] - first:.3f}</th>{cells}</tr>')
    note = f"<p>{left} earlier lines left out</p>" if left > 0 else ""
    return f'{note}<table class="line"><tr><th>s</th>{head}</tr>{"".join(rows)}</table>'


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when)) + f".{int(when * 1000) % 1000:03}"


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>ringkey, hardware in the loop: {totals}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff }}
table {{ border-collapse: collapse }}
th {{ text-align: left; font-weight: 600; vertical-align: top; padding: 1px 8px 1px 0 }}
td {{ vertical-align: top; padding: 1px 8px }}
details {{ border: 1px solid #ccc; border-left: 6px solid #2a7; margin: .5em 0; padding: .3em .6em }}
details.failed {{ border-left-color: #c22 }}
details.skipped {{ border-left-color: #bbb }}
summary {{ cursor: pointer }}
.outcome {{ display: inline-block; min-width: 4.5em; font-weight: 600 }}
.failed .outcome {{ color: #c22 }}
.verdict {{ background: #fdecea; border: 1px solid #e9b5b0; padding: .2em .8em; margin: .5em 0 }}
.verdict p {{ font-size: 16px; font-weight: 600; margin: .4em 0 }}
pre.error {{ background: #f6f6f6; padding: .6em; overflow-x: auto; max-height: 24em }}
table.line {{ font: 12px/1.35 ui-monospace, monospace; width: 100% }}
table.line td {{ border-left: 1px solid #eee; overflow-wrap: anywhere; white-space: pre-wrap }}
table.line tr:hover {{ background: #f4f8ff }}
table.line th {{ color: #888 }}
td.bad {{ background: #fdecea }}
td.good {{ background: #ecf8ee }}
</style></head><body>
<h1>Hardware in the loop: {totals}</h1>
<p>{stamp}</p>
<table>{rows}</table>
{tests}
</body></html>
"""
