"""Draws, per alert key, what came, what the rules made of it, when they fired, and what really happened.

The only module that imports matplotlib, which comes with the extra `backtest`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.dates as mdates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worker.alert.backtest import Alert, Outcome
from worker.alert.rules import Rule
from worker.backtest.incidents import Incident
from worker.backtest.scoring import DAY_MS
from worker.backtest.trace import Counted, Seen, Trace
from worker.errors import SelectionError

_INCH = (1.1, 1.0)
"""Heights of counts and scores."""
_RULE_INCH = 0.6
_LANE_INCH = 0.17
_GREY, _RED, _BLUE = "#b8bec6", "#c0392b", "#2c5f8a"
_FALSE = "#e39b3f"
_RULE_COLOURS = ("#2c5f8a", "#7a4fa3", "#2f8f6b", "#b5651d", "#8a2c5f", "#5b6b2c")


class Side(NamedTuple):
    """One rule file and what it came to, with the places in memory of the alerts that match no incident."""

    name: str
    outcome: Outcome
    false: frozenset[int] = frozenset()


class Picture(NamedTuple):
    """What to draw: keys from top to bottom, the sides, of which the first was traced, the incidents."""

    keys: Sequence[str]
    sides: Sequence[Side]
    incidents: Sequence[Incident]
    trace: Trace

    @property
    def outcome(self) -> Outcome:
        """What was traced."""
        return self.sides[0].outcome


class _Span(NamedTuple):
    start: float
    end: float


class _Lane(NamedTuple):
    """A row of bars: what it is called, and from when to when they go, with their colours."""

    name: str
    bars: list[tuple[_Span, str]]


def draw(picture: Picture, path: Path) -> None:
    """Write the picture; the ending of `path` says in what format.

    Raises:
        SelectionError: it cannot be written, or not in that format.
    """
    lanes = {key: _lanes(picture, key) for key in picture.keys}
    heights = [0.9 + sum(_ratios(picture, key, of_key)) for key, of_key in lanes.items()]
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(12, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(lanes), 1, squeeze=False, height_ratios=heights)
        for (key, of_key), (part,) in zip(lanes.items(), parts, strict=True):
            _draw_key(picture, key, of_key, part)
        try:
            figure.savefig(path, dpi=110)
        except (OSError, ValueError) as error:
            raise SelectionError(f"{path} cannot be written: {error}") from error


def _days(at_ms: int) -> float:
    """Return a moment as matplotlib counts time: days since the epoch."""
    return at_ms / DAY_MS


def _draw_key(picture: Picture, key: str, lanes: Sequence[_Lane], part: Any) -> None:
    ratios = _ratios(picture, key, lanes)
    spans, counts, score, *statistics = part.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    part.suptitle(key, fontsize=10, fontweight="bold", x=0.01, ha="left")
    rules = picture.outcome.rules.for_key(key)
    _draw_lanes(spans, lanes)
    _draw_counts(counts, picture, key, rules)
    _draw_score(score, picture, key, rules)
    for axes, rule in zip(statistics, rules, strict=True):
        _draw_statistic(axes, _seen(picture, (key, rule.name)), rule)
        if rule.detector.baseline_of == "share":
            _draw_baseline(axes, picture, (key, rule.name), _GREY, 1.0)
    for alert in (alert for alert in picture.outcome.alerts if alert.alert_key == key):
        span = _span(alert, picture)
        for axes in (counts, score, *statistics):
            axes.axvspan(span.start, span.end, color=_RED, alpha=0.12, lw=0)
    spans.set_xlim(_days(picture.outcome.first_ms or 0), _days((picture.outcome.last_ms or 0) + picture.trace.width_ms))
    locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
    spans.xaxis.set_major_locator(locator)
    spans.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _ratios(picture: Picture, key: str, lanes: Sequence[_Lane]) -> list[float]:
    """Return the heights of a key's axes, in inches."""
    return [_LANE_INCH * max(1, len(lanes)), *_INCH, *[_RULE_INCH] * len(picture.outcome.rules.for_key(key))]


def _lanes(picture: Picture, key: str) -> list[_Lane]:
    """Return a lane for each rule and file, the files beside each other, and one for the incidents."""
    lanes = []
    rules = (rule.name for side in picture.sides for rule in side.outcome.rules.for_key(key))
    for rule in dict.fromkeys(rules):
        for side in picture.sides:
            alerts = [alert for alert in side.outcome.alerts if (alert.alert_key, alert.rule) == (key, rule)]
            bars = [(_span(alert, picture), _FALSE if id(alert) in side.false else _RED) for alert in alerts]
            lanes.append(_Lane(f"{rule} ({side.name})" if len(picture.sides) > 1 else rule, bars))
    incidents = [one for one in picture.incidents if one.alert_key == key]
    spans = [_Span(_days(one.start_ms), _days(one.end_ms)) for one in incidents]
    return [*lanes, _Lane("incidents", [(span, _BLUE) for span in spans])] if picture.incidents else lanes


def _draw_lanes(axes: Axes, lanes: Sequence[_Lane]) -> None:
    for place, lane in enumerate(lanes):
        for span, colour in lane.bars:
            bar = (span.start, span.end - span.start)
            axes.broken_barh([bar], (place - 0.35, 0.7), facecolors=colour, edgecolors=colour, lw=1)
    axes.set_yticks(range(len(lanes)), [lane.name for lane in lanes])
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    if any(colour == _FALSE for lane in lanes for _, colour in lane.bars):
        axes.set_title("orange: matches no incident", fontsize=7, loc="right")


def _span(alert: Alert, picture: Picture) -> _Span:
    end_ms = alert.resolved_at_ms if alert.resolved_at_ms is not None else picture.outcome.last_ms
    return _Span(_days(alert.fired_at_ms), _days(max(alert.fired_at_ms, end_ms or 0)))


def _draw_counts(axes: Axes, picture: Picture, key: str, rules: Iterable[Rule]) -> None:
    bins, width = picture.trace.counts[key], _days(picture.trace.width_ms)
    at = [_days(start_ms) for start_ms in bins]
    for colour, name, heights in (
        (_GREY, "messages", [found.messages for found in bins.values()]),
        (_RED, "negative", [found.negatives for found in bins.values()]),
    ):
        axes.bar(at, heights, width=width, align="edge", color=colour, label=name)
    for place, rule in enumerate(rules):
        if rule.detector.baseline_of in {"messages", "negatives"}:
            scale = picture.trace.width_ms / rule.detector.bucket
            _draw_baseline(axes, picture, (key, rule.name), _RULE_COLOURS[place % len(_RULE_COLOURS)], scale)
    axes.set_ylabel("messages")
    axes.legend(loc="upper left", frameon=False, ncols=4)


def _draw_score(axes: Axes, picture: Picture, key: str, rules: Iterable[Rule]) -> None:
    bins = sorted(picture.trace.counts[key].items())
    axes.plot([_days(at_ms) for at_ms, _ in bins], [_mean(found) for _, found in bins], ".", ms=2.5, color=_BLUE)
    for place, rule in enumerate(rules):
        if rule.detector.baseline_of == "score":
            _draw_baseline(axes, picture, (key, rule.name), _RULE_COLOURS[place % len(_RULE_COLOURS)], 1.0)
    axes.axhline(0, color=_GREY, lw=0.6)
    axes.set_ylim(-1.05, 1.05)
    axes.set_ylabel("mean score")


def _draw_baseline(axes: Axes, picture: Picture, place: tuple[str, str], colour: str, scale: float) -> None:
    known = [(at_ms, seen.baseline * scale) for at_ms, seen in _seen(picture, place) if seen.baseline is not None]
    if known:
        times, values = [_days(at_ms) for at_ms, _ in known], [value for _, value in known]
        axes.plot(times, values, "--", lw=1, color=colour, label=f"usual ({place[1]})")
        axes.legend(loc="upper left", frameon=False, ncols=4)


def _draw_statistic(axes: Axes, seen: Sequence[tuple[int, Seen]], rule: Rule) -> None:
    """Draw what the rule held to its threshold, and that."""
    times = [_days(at_ms) for at_ms, _ in seen]
    axes.plot(times, [found.statistic for _, found in seen], lw=1, color=_BLUE)
    axes.plot(times, [found.threshold for _, found in seen], ":", lw=1, color=_RED)
    axes.set_ylabel(f"{rule.name}\n{rule.detector.type}", rotation=0, ha="right", va="center")


def _seen(picture: Picture, place: tuple[str, str]) -> list[tuple[int, Seen]]:
    return sorted(picture.trace.seen[place].items())


def _mean(found: Counted) -> float:
    return found.score / found.messages
