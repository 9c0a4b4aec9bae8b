"""The report as one HTML page that stands alone: the verdict, the counts, the timeline, and what was found."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tests.chaos.record import FaultDone, RunRecord
from tests.chaos.verify import FAULTY

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222; }
h1 span { padding: 0 .5em; border-radius: .2em; color: white; } .green { background: #228833; } .red { background: #bb3344; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
td.figure { text-align: right; font-variant-numeric: tabular-nums; } tr.wrong { color: #bb3344; font-weight: 600; }
img { width: 100%; } li, td.small { font-size: 13px; overflow-wrap: anywhere; }
"""
_MEANINGS = {
    "lost": "messages without the prediction that they should have",
    "duplicates": "predictions too many",
    "predictions_differing": "predictions that say something else than in the fault-free run, or that nobody asked for",
    "dead_letters_wrong": "dead letters lost, doubled, not byte for byte, or of another reason",
    "alerts_lost": "alert events missing on the topic, or never seen on a stream",
    "alerts_duplicated": "alert events too many on the topic or a stream",
    "alerts_out_of_order": "alert events that go back in time on their key, or fire or resolve twice in a row",
    "alerts_differing": "alert events that say something else than in the fault-free run, or are unknown to it",
}


def page(report: Mapping[str, Any], run: RunRecord, picture: Path) -> str:
    """Return the page; `report` is what report.json holds.

    Raises:
        OSError: the picture cannot be read.
    """
    image = base64.b64encode(picture.read_bytes()).decode()
    planted = f", the bug {run.planted} planted" if run.planted else ""
    told = (
        f"{report['faults_total']} faults, {report['messages']} messages, the same input once without faults and once with them"
    )
    return "\n".join(
        (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tidings under faults</title><style>{_STYLE}</style>',
            f'<h1>Tidings under faults: <span class="{report["verdict"]}">{report["verdict"]}</span></h1>',
            f"<p>Seed {run.seed}, {run.minutes:g} minutes{escape(planted)}: {told}.</p>",
            _list("Why it is red", report["problems"]),
            _counts(report),
            f'<img alt="timeline" src="data:image/png;base64,{image}">',
            *(_list(name, lines) for name, lines in report["details"].items()),
            _list("Twice in the input, by the sender's doing, and answered twice", report["input_doubled"]),
            _list("Not in the input, by the sender's doing", report["input_missing"]),
            _facts(report),
            "<h2>Faults</h2>",
            _faults(run.faults),
            "</html>\n",
        )
    )


def _counts(report: Mapping[str, Any]) -> str:
    rows = [(name, report[name], _MEANINGS[name], bool(report[name])) for name in FAULTY]
    rows += [
        ("orphans", report["orphans"], "processes that outlived the run", bool(report["orphans"])),
        ("stream_repeats", report["stream_repeats"], "stream entries written again after Redis lost them", False),
        (
            "by_wrong_clock",
            report["by_wrong_clock"],
            "predictions that rightly bear a time of a clock set off",
            False,
        ),
        (
            "rss_growth_ratio",
            report["rss_growth_ratio"],
            "memory late in a worker's life over early, of the longest-lived of each role the one that grew most",
            False,
        ),
        ("open_files_growth_ratio", report["open_files_growth_ratio"], "open files, likewise", False),
    ]
    return _table(
        f'<tr{" class=wrong" if wrong else ""}><td>{name}<td class="figure">{_figure(figure)}<td>{meaning}'
        for name, figure, meaning, wrong in rows
    )


def _figure(value: float | None) -> str:
    return "too short to tell" if value is None else f"{value:g}"


def _facts(report: Mapping[str, Any]) -> str:
    told = ("faults", "faults_without_effect", "not_injected", "worker_restarts", "survivors")
    names = (*told, "longest_lag_messages", "processor_share", "versions", "machine")
    return "<h2>Facts</h2>" + _table(f'<tr><td>{name}<td class="small">{escape(_say(report[name]))}' for name in names)


def _say(value: Any) -> str:
    return ", ".join(f"{name} {item}" for name, item in value.items()) if isinstance(value, dict) else str(value)


def _faults(faults: Sequence[FaultDone]) -> str:
    head = "<tr><th>from, s<th>to, s<th>kind<th>target<th>what"
    rows = (
        f'<tr><td class="figure">{fault.start_s:.1f}<td class="figure">{fault.end_s:.1f}<td>{escape(fault.kind)}'
        f'<td>{escape(fault.target)}<td class="small">{_became(fault)}{escape(fault.detail)}'
        for fault in faults
    )
    return _table((head, *rows))


def _became(fault: FaultDone) -> str:
    if not fault.injected:
        return "not injected: "
    return "" if fault.effective else "without effect: "


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}" for line in lines)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>" if lines else ""


def _table(rows: Iterable[str]) -> str:
    return f"<table>{''.join(rows)}</table>"
