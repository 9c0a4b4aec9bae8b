"""What a run under faults lost, doubled or changed, against a fault-free run of the same plan. Pure.

Both runs are compared as their readers saw them. Each has topics and partitions of its own, so offsets and topic names may
differ, and where a text was seen first (`duplicate_of`) depends on what one process remembers. An event time that is the
clock's must be that of the writing, give or take how far clocks were set off. All else must be the same.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from tests.chaos.alert_books import Finding, alert_findings, differences
from tests.chaos.outcome import Outcome
from tests.chaos.plan import PLAN_ID, Plan, Planned
from tests.chaos.shifts import FARTHEST_JUMP_S, NEAREST_JUMP_S
from worker.codec import decode_alert_event, decode_prediction
from worker.errors import DecodeError
from worker.messages import Record

SHOWN = 20
"""Details kept of each count."""
MIN_FIRED = 5
"""Alerts that a reference must have fired and resolved to prove anything."""

_MOST_OFF_MS = int((FARTHEST_JUMP_S + NEAREST_JUMP_S) * 1_000)
_RIGHT_MS = int(NEAREST_JUMP_S * 500)
"""So long a message may take from its decoding to its prediction."""
_OURS = "tidings"
_REASON = ("tidings.reason", "tidings-reason")


@dataclass(frozen=True)
class Counts:
    """What was found, 0 where all is well; `messages` is how many were sent, what is in `TOLD` is told and no fault.

    Attributes:
        messages: what the plan sent.
        lost: messages without the prediction that they should have.
        duplicates: predictions too many.
        predictions_differing: predictions that say something else than in the reference, or that nobody asked for.
        dead_letters_wrong: lost, doubled, altered, of another reason than in the reference, or of what was no bad input.
        alerts_lost: events of the reference that are not on the topic, and those that were never on a stream.
        alerts_duplicated: events too many on the topic, and on the streams.
        alerts_out_of_order: events that go back in time on their key, or that fire or resolve twice in a row.
        alerts_differing: events that say something else than in the reference, or that it does not know.
        stream_repeats: entries that came again as they were, after Redis had lost its data.
        by_wrong_clock: predictions with the time of a clock that was set off, where the clock's is the time to take.
    """

    messages: int = 0
    lost: int = 0
    duplicates: int = 0
    predictions_differing: int = 0
    dead_letters_wrong: int = 0
    alerts_lost: int = 0
    alerts_duplicated: int = 0
    alerts_out_of_order: int = 0
    alerts_differing: int = 0
    stream_repeats: int = 0
    by_wrong_clock: int = 0


TOLD = ("stream_repeats", "by_wrong_clock")
"""The counts that say what a fault has led to and had to."""
FAULTY = tuple(field.name for field in fields(Counts) if field.name not in {"messages", *TOLD})
"""The counts of which every one must be 0."""


@dataclass(frozen=True)
class Verdict:
    """The counts, up to `SHOWN` details for each by its name, and why the run proves nothing, where that is so."""

    counts: Counts
    details: Mapping[str, tuple[str, ...]]
    void: tuple[str, ...] = ()

    @property
    def green(self) -> bool:
        """Whether the run proves that nothing was lost, doubled or changed."""
        return not self.void and not any(getattr(self.counts, name) for name in FAULTY)


def compare(plan: Plan, reference: Outcome, faulty: Outcome) -> Verdict:
    """Hold a run against the reference, and first the reference against the plan: if that is wrong the verdict is void."""
    found = list(_findings(plan, reference, faulty))
    sums = Counter(finding.name for finding in found)
    details = {name: tuple(f.what for f in found if f.name == name)[:SHOWN] for name in sorted(sums)}
    counts = Counts(messages=len(plan.messages) + len(plan.closing), **sums)
    return Verdict(counts, details, tuple(reference_problems(plan, reference)))


def reference_problems(plan: Plan, reference: Outcome) -> list[str]:
    """Say why a fault-free run proves nothing; empty where every message has its one outcome and alerts came and went."""
    problems = [f"{f.name}: {f.what}" for f in _findings(plan, reference, reference) if f.name != "stream_repeats"][:SHOWN]
    if problems:
        return [f"the reference is wrong: {line}" for line in problems]
    return [*_untimely(plan, reference.predictions), *_trivial(reference.alerts)]


def _findings(plan: Plan, reference: Outcome, faulty: Outcome) -> Iterator[Finding]:
    yield from _predictions(plan, reference.predictions, faulty.predictions)
    yield from _dead_letters(plan, reference.dead_letters, faulty.dead_letters)
    yield from alert_findings(reference, faulty)


def _of(plan: Plan, expects: str) -> dict[str, Planned]:
    return {planned.id: planned for planned in (*plan.messages, *plan.closing) if planned.expects == expects}


def _times(plan: Plan) -> Counter[str]:
    """How often each message was sent: once, unless the plan is one as it arrived (`arrival`)."""
    return Counter(planned.id for planned in (*plan.messages, *plan.closing))


def _predictions(plan: Plan, reference: Sequence[Record], faulty: Sequence[Record]) -> Iterator[Finding]:
    expected, known = _of(plan, "prediction"), {_text(record.key): record for record in reference}
    found, times = Counter(_text(record.key) for record in faulty), _times(plan)
    yield from (Finding("lost", name) for name in expected for _ in range(times[name] - found[name]))
    for name, count in found.items():
        if name in expected:
            yield from [Finding("duplicates", f"{name} has {count} predictions")] * (count - times[name])
        else:
            yield Finding("predictions_differing", f"{name}: nobody asked for this prediction")
    for record in faulty:
        before = known.get(_text(record.key))
        if _text(record.key) in expected and (difference := _prediction_difference(before, record)):
            yield Finding("predictions_differing", f"{_text(record.key)}: {difference}")
        elif _text(record.key) in expected and _is_off(off_ms := _clock_ms(record)):
            yield Finding("by_wrong_clock", f"{_text(record.key)}: {off_ms / 1000:+.0f} s")


def _prediction_difference(before: Record | None, after: Record) -> str:
    """Say in which fields a prediction differs from the reference's; empty where they agree."""
    if before is None:
        return "there is none in the reference"
    try:
        one, other = _said(before), _said(after)
    except DecodeError as error:
        return f"it cannot be read: {error}"
    if other["id"] != _text(after.key):
        return f"it is of {other['id']!r}"
    return "; ".join(differences(one, other))[:600]


def _said(record: Record) -> dict[str, Any]:
    """Return a prediction's JSON less what may differ between two runs."""
    free = {"origin", "duplicate_of", *(["event_time_ms"] if abs(_clock_ms(record)) <= _MOST_OFF_MS else ())}
    body: dict[str, Any] = json.loads(record.value or b"")
    return {name: value for name, value in body.items() if name not in free}


def _clock_ms(record: Record) -> float:
    """Return how long after the writing of the record its event time lies, where that is the clock's; else infinity."""
    prediction = decode_prediction(record.value or b"")
    return prediction.event_time_ms - record.timestamp_ms if prediction.event_time_source == "clock" else inf


def _is_off(clock_ms: float) -> bool:
    return _RIGHT_MS < abs(clock_ms) < inf


def _dead_letters(plan: Plan, reference: Sequence[Record], faulty: Sequence[Record]) -> Iterator[Finding]:
    expected, times = _of(plan, "dead_letter"), _times(plan)
    reasons = {_plan_id(record): _reason(record) for record in reference}
    found: dict[str, list[Record]] = defaultdict(list)
    for record in faulty:
        found[_plan_id(record)].append(record)
    missing = [name for name in expected for _ in range(times[name] - len(found.get(name, ())))]
    yield from (Finding("dead_letters_wrong", f"{name} is lost") for name in missing)
    for name, records in found.items():
        if name not in expected:
            yield from [Finding("dead_letters_wrong", f"{name} was no bad input: {records[0].value!r:.200}")] * len(records)
            continue
        yield from [Finding("dead_letters_wrong", f"{name} is there {len(records)} times")] * (len(records) - times[name])
        wrong = (_letter_difference(expected[name], record, reasons.get(name)) for record in records)
        yield from (Finding("dead_letters_wrong", f"{name}: {difference}") for difference in wrong if difference)


def _letter_difference(planned: Planned, record: Record, reason: str | None) -> str:
    """Say what of a dead letter is not as it was sent; empty where all is."""
    sent = len(planned.headers)
    if record.key != planned.key:
        return f"the key {planned.key!r} became {record.key!r}"
    if record.value != planned.value:
        return f"the value is not the one sent: {record.value!r:.200}"
    if record.headers[:sent] != planned.headers or any(not name.startswith(_OURS) for name, _ in record.headers[sent:]):
        return f"the headers {planned.headers!r} became {record.headers!r:.400}"
    return "" if _reason(record) == reason else f"the reason {reason} became {_reason(record)}"


def _plan_id(record: Record) -> str:
    marks = [value for name, value in record.headers if name == PLAN_ID]
    return _text(marks[0] if marks else record.key)


def _reason(record: Record) -> str | None:
    """Return the reason that the worker gave, which is the last header of that name: the input may have had one too."""
    reasons = [_text(value) for name, value in record.headers if name in _REASON]
    return reasons[-1] if reasons else None


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")


def _untimely(plan: Plan, predictions: Sequence[Record]) -> Iterator[str]:
    """Yield predictions of another event time than was planned: then alerts would hang on the clock."""
    planned = _of(plan, "prediction")
    wrong = [_text(record.key) for record in predictions if not _is_timely(planned[_text(record.key)], record)]
    if wrong:
        yield f"the reference has {len(wrong)} predictions of another event time than planned, {wrong[0]} among them"


def _is_timely(planned: Planned, record: Record) -> bool:
    if planned.by_clock:
        return abs(_clock_ms(record)) <= _RIGHT_MS
    return decode_prediction(record.value or b"").event_time_ms == planned.event_time_ms


def _trivial(alerts: Sequence[Record]) -> Iterator[str]:
    states = Counter(decode_alert_event(record.value or b"").state for record in alerts)
    if states["firing"] < MIN_FIRED:
        yield f"the reference fired {states['firing']} alerts, fewer than {MIN_FIRED}: it proves nothing about them"
    if states["firing"] != states["resolved"]:
        yield f"the reference fired {states['firing']} alerts and resolved {states['resolved']}: its end was not awaited"
