"""Tables and figures of the planted incidents. Pure."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from tests.benchmarks.planted import hindsight, naive
from tests.benchmarks.planted.curves import naive_alerts
from tests.benchmarks.planted.groups import GROUPS
from tests.benchmarks.planted.measuring import Figures, Result, figures, hold
from tests.benchmarks.planted.planting import STRENGTHS
from tests.benchmarks.planted.running import Ran

DETECTORS = ("share", "surge", "shift", "volume")
RECALL, FALSE_ALARMS = 0.95, 0.1
"""What is asked of every detector: at least, and at most on a key in a day."""
Results = dict[str, Result]


def results(ran: Sequence[Ran]) -> Results:
    """Return what each detector, each naive rule at its usual threshold and hindsight came to, by name."""
    truths, alerts = [truth for one in ran for truth in one.truths], [alert for one in ran for alert in one.alerts]
    found = {name: hold((alert for alert in alerts if alert.rule == name), truths, name) for name in DETECTORS}
    for name, threshold in naive.TEXTBOOK.items():
        found[name] = hold(naive_alerts(ran, name, threshold), truths, naive.ASKED[name])
    for name, detector in hindsight.NAMES.items():
        found[name] = hold(naive_alerts(ran, name, hindsight.THRESHOLD), truths, detector)
    return found


def table(found: Results) -> Table:
    """Return the figures of all groups together, one detector a row."""
    heads = ("detector", "asked for", "recall", "false/key/day", "< (95 %)", "delay", "90 %")
    made = Table(*heads, title="planted incidents")
    for name, result in found.items():
        made.add_row(name, *_cells(figures(result)), style="bold" if name in DETECTORS else None)
    return made


def by_rate(found: Results) -> Table:
    """Return recall and false alarms a key and day, by group of keys and detector."""
    made = Table("keys", *DETECTORS, title="by rate: recall / false alarms a key and day")
    for group in GROUPS:
        parts = [figures(found[name].only([group.name])) for name in DETECTORS]
        made.add_row(group.name, *(f"{_number(part.recall)} / {part.false_alarms_per_day:.3f}" for part in parts))
    return made


def by_strength(found: Results) -> Table:
    """Return recall and median delay by strength of the incident and detector."""
    made = Table("incident", *DETECTORS, title="by strength: recall of detectable / median delay")
    for strength in STRENGTHS:
        share = "as ever" if strength.share is None else f"{strength.share:.0%} negative"
        parts = [figures(of_strength(found[name], strength.name)) for name in DETECTORS]
        cells = (f"{_number(part.recall)} / {_minutes(part.median_delay_s)}" if part.incidents else "-" for part in parts)
        made.add_row(f"{strength.name}: {strength.multiple:g} x, {share}", *cells)
    return made


def of_strength(result: Result, strength: str) -> Result:
    """Return the result on incidents of this strength."""
    return result._replace(cases=tuple(case for case in result.cases if case.incident.strength.name == strength))


def as_json(found: Results) -> dict[str, object]:
    """Return figures by name of the figure, then by detector; and by group and strength."""
    every = {name: figures(result)._asdict() for name, result in found.items()}
    plain: dict[str, object] = {figure: {name: of[figure] for name, of in every.items()} for figure in Figures._fields}
    by_group = {group.name: _json_of({at: of.only([group.name]) for at, of in found.items()}) for group in GROUPS}
    by_strength = {one.name: _json_of({at: of_strength(of, one.name) for at, of in found.items()}) for one in STRENGTHS}
    return plain | {"by_group": by_group, "by_strength": by_strength}


def _json_of(found: Results) -> dict[str, dict[str, float | None]]:
    return {name: figures(result)._asdict() for name, result in found.items()}


def broken(found: Results) -> Iterator[str]:
    """Say which bound does not hold."""
    for name in DETECTORS:
        these = figures(found[name])
        if these.recall is None or these.recall < RECALL:
            yield f"planted.recall.{name} is {_number(these.recall)}, at least {RECALL} was asked"
        if these.false_alarms_per_day > FALSE_ALARMS:
            yield f"planted.false_alarms_per_day.{name} is {these.false_alarms_per_day:.3f}, at most {FALSE_ALARMS} was asked"


def _cells(these: Figures) -> tuple[str, ...]:
    return (
        str(these.incidents),
        _number(these.recall),
        f"{these.false_alarms_per_day:.3f}",
        f"{these.false_alarms_at_most:.3f}",
        _minutes(these.median_delay_s),
        _minutes(these.delay_p90_s),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.0f} min"
