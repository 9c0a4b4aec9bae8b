"""The report of all scenarios: `report.json`, the aims held against it, and the table in the README."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.suite import result
from tests.benchmarks.suite.figures import Figure, from_json, is_figure, rounded

MARKS = ("<!-- bench: begin, written by make bench -->", "<!-- bench: end -->")
_ABOUT = ("at", "seconds", "complete", "options", "machine", "versions")


class Aim(NamedTuple):
    """A figure by its path in the report, what it is called, and what is asked of it: at least, or at most."""

    path: str
    name: str
    asked: float
    at_least: bool = True

    def holds(self, value: float) -> bool:
        """Tell whether it is reached."""
        return value >= self.asked if self.at_least else value <= self.asked


AIMS = (
    Aim("efficiency", "whole pipeline to the model alone, exactly-once", 0.95),
    Aim("padding_waste", "token places that are padding", 0.10, at_least=False),
    Aim("overhead_messages_per_s", "messages/s with a model that answers at once, exactly-once", 10_000),
    Aim("overhead.at_least_once_messages_per_s", "the same, at-least-once", 25_000),
    Aim("latency.70.p99", "p99 at 70 % of capacity, ms", math.nan, at_least=False),
    Aim("alerts.signals_per_s.1000000", "signals/s through the alert role, a million keys", 30_000),
    Aim("alerts.to_the_fewest.1000000", "a million keys to a thousand", 0.8),
    Aim("scale.speedup_4", "four processes to one", math.nan),
    Aim("peers.plain.tidings_to_it", "Tidings to a plain loop around transformers' pipeline", 5.0),
)


def assemble(out: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the report of every scenario that left something, complete or not, and write it.

    At the top are the figures, each with its spread; under `scenarios` when and on what each was measured, and its details.
    """
    found = {name: one for name in names if (one := result.read(out, name)) is not None}
    report: dict[str, Any] = {}
    for one in found.values():
        merge(report, one["figures"])
    report["best_peer"] = best_peer(report)
    report["aims"] = list(judged(report))
    report["scenarios"] = {
        name: {**{key: one[key] for key in _ABOUT}, "details": one["details"]} for name, one in found.items()
    }
    result.write(out / "report.json", report)
    return report


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add groups of figures, those of one name into one."""
    for name, value in more.items():
        if isinstance(value, Mapping) and not is_figure(value) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value


def at(report: Mapping[str, Any], path: str) -> Figure | None:
    """Return the figure at a dotted path, None if there is none."""
    value: Any = report
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return from_json(value) if is_figure(value) else None


def best_peer(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the quickest peer and how Tidings compares, None if none was measured."""
    peers = report.get("peers") or {}
    if not peers:
        return None
    name = max(peers, key=lambda peer: peers[peer]["messages_per_s"]["value"])
    return {"name": name, "tidings_to_it": peers[name]["tidings_to_it"]}


def limit_of_p99(report: Mapping[str, Any]) -> float:
    """Return what is asked of p99 at 70 %, in ms: twice the deadline, a full batch's inference and a commit; see `latency`."""
    found = at(report, "latency_asked")
    return math.nan if found is None or math.isinf(found.value) else found.value


def judged(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each aim whose figure is there: what it is, what was asked, and whether it holds (None where nothing was asked)."""
    aims = [aim._replace(asked=limit_of_p99(report)) if aim.path == "latency.70.p99" else aim for aim in AIMS]
    if report.get("best_peer"):
        aims.append(Aim("best_peer.tidings_to_it", f"Tidings to the best peer, {report['best_peer']['name']}", 1.5))
    for aim in aims:
        if (found := at(report, aim.path)) is not None:
            asked = None if math.isnan(aim.asked) else aim.asked
            holds = None if asked is None else aim.holds(found.value)
            yield {**aim._asdict(), "asked": asked, **found.as_json(), "holds": holds}


def table(report: Mapping[str, Any]) -> str:
    """Return the README's table, in Markdown, with the machine under it."""
    lines = ["| what | median (range over rounds) | asked | |", "|---|---|---|---|"]
    for aim in report["aims"]:
        asked = "" if aim["asked"] is None else f"{'≥' if aim['at_least'] else '≤'} {rounded(aim['asked']):,}"
        verdict = {True: "yes", False: "no", None: ""}[aim["holds"]]
        lines.append(f"| {aim['name']} | {from_json(aim)} | {asked} | {verdict} |")
    return "\n".join([*lines, "", _measured_on(report)])


def _measured_on(report: Mapping[str, Any]) -> str:
    one = next(iter(report["scenarios"].values()))
    machine, versions = one["machine"], one["versions"]
    units = ", ".join(machine["units"]) or "no vector units of note"
    return (
        f"Measured {one['at'][:10]} at `{versions['commit']}` on {machine['cpu']}, {machine['cores']} cores ({units}), "
        "Kafka, Redis, Triton and worker sharing them. `make bench` measures anew."
    )


def refresh(readme: Path, report: Mapping[str, Any]) -> bool:
    """Put the table between the marks in the README; False if the marks are not there, or nothing was measured."""
    text = readme.read_text(encoding="utf-8")
    begin, end = MARKS
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not report["aims"] or not between.search(text):
        return False
    made = between.sub(lambda _: f"{begin}\n{table(report)}\n{end}", text)
    readme.write_text(made, encoding="utf-8")
    return True
