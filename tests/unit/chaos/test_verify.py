import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from tests.chaos.outcome import Outcome, StreamEntry
from tests.chaos.plan import PLAN_ID, Plan, Planned
from tests.chaos.verify import FAULTY, MIN_FIRED, Counts, compare
from worker.codec import encode_alert_event, encode_prediction
from worker.messages import AlertEvent, AlertState, Evidence, ModelRef, Origin, Prediction, Probabilities, Record, Sample

Tamper = Callable[[Outcome], Outcome]
MODEL = ModelRef("sentiment", "1")
STREAM = "redis:{signals-0}:alerts"


def planned(name: str, expects: Literal["prediction", "dead_letter"] = "prediction", **fields: Any) -> Planned:
    """A message of the plan, published at 1000."""
    known: dict[str, Any] = {"kind": "news", "key": b"k", "value": b"{}", "headers": (), "timestamp_ms": 1000, "at_s": 0.0}
    return Planned(id=name, event_time_ms=1000, expects=expects, **{**known, **fields})


PLAN = Plan(
    messages=(
        planned("m1"),
        planned("m2"),
        planned("bad-1", "dead_letter", key=None, value=b"42", headers=((PLAN_ID, b"bad-1"), ("twice", b"1"))),
        planned("bad-2", "dead_letter", key=b"bad-2", value=None),
    ),
    closing=(planned("m3"),),
    watchlist="",
    rules="",
    lateness_s=1,
    max_skew_ms=1,
)


def record(offset: int, key: bytes | None, value: bytes | None, headers: Any = (), partition: int = 0) -> Record:
    """A record as the onlooker read it."""
    return Record("topic", partition, offset, key, value, 5, headers)


def prediction(name: str, offset: int = 0, **fields: Any) -> Record:
    """A prediction's record; `fields` replace those of the prediction."""
    known: dict[str, Any] = {
        "label": "negative",
        "probabilities": Probabilities(0.7, 0.2, 0.1),
        "score": -0.6,
        "entities": ("acme",),
        "topics": (),
        "kind": "news",
        "source": None,
        "event_time_ms": 1000,
        "event_time_source": "published_at",
        "duplicate_of": None,
        "model": MODEL,
        "origin": Origin("news", 0, offset),
    }
    return record(offset, name.encode(), encode_prediction(Prediction(**{"id": name, **known, **fields})))


def letter(name: str, planned_message: Planned, reason: bytes = b"not_an_object", **fields: Any) -> Record:
    """A dead letter as the worker writes it."""
    headers = (*planned_message.headers, ("tidings.reason", reason), ("tidings.offset", name.encode()))
    made: dict[str, Any] = {"key": planned_message.key, "value": planned_message.value, "headers": headers, **fields}
    return record(0, made["key"], made["value"], made["headers"])


def event(alert: int, state: AlertState, offset: int = 0, **fields: Any) -> AlertEvent:
    """One of the events of alert number `alert`, which fires at 100 times its number and resolves 50 later."""
    at_ms = alert * 100 + (50 if state == "resolved" else 0)
    sample = Sample("m1", "bad", -0.6, None, 900, Origin("news", 0, offset))
    evidence = Evidence(
        window_start_ms=0,
        window_end_ms=at_ms,
        messages=10,
        negatives=9,
        negative_share=0.9,
        detector="share",
        statistic=0.71,
        threshold=0.5,
        samples=(sample,),
    )
    known: dict[str, Any] = {
        "id": f"{alert}-{state}",
        "alert_id": str(alert),
        "state": state,
        "reason": "threshold_passed",
        "alert_key": "entity:acme",
        "rule": "turned",
        "rule_version": "1",
        "severity": "critical",
        "started_at_ms": alert * 100,
        "at_ms": at_ms,
        "evidence": evidence,
        "model": MODEL,
    }
    return AlertEvent(**{**known, **fields})


def heard(events: list[AlertEvent]) -> dict[str, Any]:
    """The events as they are on the topic and on the stream, all of them seen live."""
    bodies = [encode_alert_event(one) for one in events]
    entries = [StreamEntry(STREAM, f"{at + 1}-0", body) for at, body in enumerate(bodies)]
    alerts = [record(at, one.alert_key.encode(), body) for at, (one, body) in enumerate(zip(events, bodies, strict=True))]
    return {"alerts": alerts, "stream_seen": entries, "stream_end": {STREAM: list(entries)}}


EVENTS = [event(alert, state) for alert in range(1, MIN_FIRED + 1) for state in ("firing", "resolved")]
GOOD = Outcome(
    predictions=[prediction("m1"), prediction("m2"), prediction("m3")],
    dead_letters=[letter("1", PLAN.messages[2]), letter("2", PLAN.messages[3], b"empty_body")],
    **heard(EVENTS),
)


def counts_of(tamper: Tamper) -> dict[str, int]:
    """The counts that are not 0 after tampering with a good outcome."""
    verdict = compare(PLAN, GOOD, tamper(GOOD))
    assert verdict.void == ()
    assert verdict.green == (not any(getattr(verdict.counts, name) for name in FAULTY))
    assert verdict.details.keys() == {
        name for name in Counts.__annotations__ if name != "messages" and getattr(verdict.counts, name)
    }
    return {name: getattr(verdict.counts, name) for name in verdict.details}


def predictions(*records: Record) -> Tamper:
    """Put these predictions in place of the good ones."""
    return lambda good: replace(good, predictions=list(records))


def with_m2(**fields: Any) -> Tamper:
    """Change fields of one prediction."""
    return predictions(prediction("m1"), prediction("m2", **fields), prediction("m3"))


def letters(*records: Record) -> Tamper:
    """Put these in place of the good dead letter of bad-1."""
    return lambda good: replace(good, dead_letters=[*records, good.dead_letters[1]])


def changed_letter(**fields: Any) -> Tamper:
    """Change the dead letter of bad-1."""
    return letters(letter("1", PLAN.messages[2], **fields))


def test_the_same_outcome_is_green() -> None:
    """Nothing lost, nothing doubled: every count is 0, and the messages are counted."""
    verdict = compare(PLAN, GOOD, GOOD)
    assert verdict.green
    assert verdict.counts == Counts(messages=5)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda good: replace(good, predictions=good.predictions[::-1]), id="another order of predictions"),
        pytest.param(with_m2(offset=77, duplicate_of="m1"), id="another origin, seen before"),
        pytest.param(with_m2(probabilities=Probabilities(0.7004, 0.1998, 0.0998)), id="within the tolerance"),
        pytest.param(lambda good: replace(good, **heard([event(int(e.alert_id), e.state, 9) for e in EVENTS])), id="origins"),
        pytest.param(lambda good: replace(good, stream_seen=[]), id="never seen live, there at the end"),
        pytest.param(letters(letter("77", PLAN.messages[2])), id="another offset in a dead letter"),
    ],
)
def test_what_may_differ_is_green(tamper: Tamper) -> None:
    """Offsets, order between partitions, memory of one process, rounding: none of them is a fault."""
    assert counts_of(tamper) == {}


def test_what_was_sent_twice_is_due_twice() -> None:
    """Of a plan that arrived with doubles the same doubles are due: one fewer is lost, one more is a duplicate."""
    twice = replace(PLAN, messages=(*PLAN.messages, PLAN.messages[0], PLAN.messages[2]))
    good = replace(
        GOOD,
        predictions=[*GOOD.predictions, prediction("m1", offset=9, duplicate_of="m1")],
        dead_letters=[*GOOD.dead_letters, letter("9", PLAN.messages[2])],
    )
    assert compare(twice, good, good).green
    assert compare(twice, good, GOOD).counts == Counts(messages=7, lost=1, dead_letters_wrong=1)
    more = replace(
        good, predictions=[*good.predictions, prediction("m1")], dead_letters=[*good.dead_letters, good.dead_letters[0]]
    )
    assert compare(twice, good, more).counts == Counts(messages=7, duplicates=1, dead_letters_wrong=1)


@pytest.mark.parametrize(
    ("tamper", "count"),
    [
        (predictions(prediction("m1"), prediction("m3")), "lost"),
        (predictions(*GOOD.predictions, prediction("m1")), "duplicates"),
        (predictions(*GOOD.predictions, prediction("m9")), "predictions_differing"),
        (with_m2(label="neutral"), "predictions_differing"),
        (with_m2(probabilities=Probabilities(0.702, 0.198, 0.1)), "predictions_differing"),
        (with_m2(score=-0.59), "predictions_differing"),
        (with_m2(entities=()), "predictions_differing"),
        (with_m2(topics=("film",)), "predictions_differing"),
        (with_m2(kind="chat"), "predictions_differing"),
        (with_m2(source="x"), "predictions_differing"),
        (with_m2(event_time_ms=1001), "predictions_differing"),
        (with_m2(event_time_source="clock"), "predictions_differing"),
        (with_m2(model=ModelRef("sentiment", "2")), "predictions_differing"),
        (with_m2(extra={"desk": json.dumps(1)}), "predictions_differing"),
        (with_m2(id="m1"), "predictions_differing"),
        (predictions(*GOOD.predictions[:2], record(0, b"m3", b"{")), "predictions_differing"),
        (letters(), "dead_letters_wrong"),
        (letters(GOOD.dead_letters[0], GOOD.dead_letters[0]), "dead_letters_wrong"),
        (letters(GOOD.dead_letters[0], letter("3", planned("m1"))), "dead_letters_wrong"),
        (changed_letter(key=b""), "dead_letters_wrong"),
        (changed_letter(value=b"43"), "dead_letters_wrong"),
        (changed_letter(headers=((PLAN_ID, b"bad-1"), ("tidings.reason", b"not_an_object"))), "dead_letters_wrong"),
        (changed_letter(headers=(*GOOD.dead_letters[0].headers, ("stray", b""))), "dead_letters_wrong"),
        (changed_letter(reason=b"not_json"), "dead_letters_wrong"),
    ],
)
def test_every_count_of_messages_notices(tamper: Tamper, count: str) -> None:
    """The least tampering makes just one count 1."""
    assert counts_of(tamper) == {count: 1}


def on_topic(change: Callable[[list[Record]], list[Record]]) -> Tamper:
    """Change what is on the topic alone."""
    return lambda good: replace(good, alerts=change(list(good.alerts)))


def on_stream(change: Callable[[list[StreamEntry]], list[StreamEntry]]) -> Tamper:
    """Change what was on the stream, both live and at the end."""

    def tamper(good: Outcome) -> Outcome:
        entries = change(list(good.stream_seen))
        return replace(good, stream_seen=entries, stream_end={STREAM: list(dict.fromkeys(entries))})

    return tamper


def other(body: AlertEvent) -> bytes:
    """An event with other figures."""
    return encode_alert_event(body.__class__(**{**_fields(body), "severity": "info"}))


def _fields(body: AlertEvent) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.__struct_fields__}


KEY = b"entity:acme"
LAST = EVENTS[-1]
UNKNOWN = encode_alert_event(event(9, "firing"))


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (on_topic(lambda a: a[:-1]), {"alerts_lost": 1}),
        (on_topic(lambda a: [*a, record(99, KEY, a[0].value)]), {"alerts_duplicated": 1}),
        (on_topic(lambda a: [*a, record(99, KEY, UNKNOWN)]), {"alerts_differing": 1}),
        (on_topic(lambda a: [*a, record(99, KEY, b"?")]), {"alerts_differing": 1}),
        (on_topic(lambda a: [*a[:-1], record(99, KEY, other(LAST))]), {"alerts_differing": 1}),
        (on_topic(lambda a: [*a[:-1], record(99, b"entity:x", a[-1].value)]), {"alerts_differing": 1}),
        (on_topic(lambda a: [*a[:8], a[9], a[8]]), {"alerts_out_of_order": 2}),
        (on_topic(lambda a: [*a[:1], *a[2:]]), {"alerts_lost": 1, "alerts_out_of_order": 1}),
        (on_stream(lambda s: s[:-1]), {"alerts_lost": 1}),
        (on_stream(lambda s: [*s, StreamEntry(STREAM, "99-0", s[-1].event)]), {"alerts_duplicated": 1}),
        (on_stream(lambda s: [*s, StreamEntry(STREAM, "99-0", UNKNOWN)]), {"alerts_differing": 1}),
        (on_stream(lambda s: [*s[:-1], StreamEntry(STREAM, "99-0", other(LAST))]), {"alerts_differing": 1}),
        (
            on_stream(lambda s: [*s, StreamEntry(STREAM, s[-1].id, other(LAST))]),
            {"alerts_differing": 1, "alerts_duplicated": 1},
        ),
        (on_stream(lambda s: [StreamEntry(STREAM, f"{99 - at}-0", e.event) for at, e in enumerate(s)]), None),
        (on_stream(lambda s: [*s, s[0], s[0]]), {"stream_repeats": 2}),
        (lambda good: replace(good, stream_end={STREAM: good.stream_end[STREAM][1:]}), {"alerts_lost": 1}),
    ],
)
def test_every_count_of_alerts_notices(tamper: Tamper, expected: dict[str, int] | None) -> None:
    """The least tampering, on the topic or on the stream, is seen and called by its name."""
    found = counts_of(tamper)
    if expected is None:
        assert found.keys() == {"alerts_out_of_order"}
    else:
        assert found == expected


def test_repeats_alone_are_no_fault() -> None:
    """A stream that Redis lost and that was written again as it was is told of, and the run is green."""
    verdict = compare(PLAN, GOOD, on_stream(lambda s: [*s, s[0]])(GOOD))
    assert verdict.green
    assert verdict.counts.stream_repeats == 1


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (predictions(prediction("m1"), prediction("m3"))(GOOD), "lost: m2"),
        (with_m2(event_time_ms=1)(GOOD), "another event time than planned"),
        (changed_letter(value=b"43")(GOOD), "dead_letters_wrong"),
        (on_topic(lambda a: a[:-1])(GOOD), "not in the reference"),
        (replace(GOOD, **heard(EVENTS[:4])), "fired 2 alerts, fewer than"),
        (replace(GOOD, **heard(EVENTS[:-1])), f"fired {MIN_FIRED} alerts and resolved {MIN_FIRED - 1}"),
    ],
)
def test_a_bad_reference_makes_the_run_void(reference: Outcome, told: str) -> None:
    """A fault-free run that is itself wrong, or in which nothing happened, proves nothing, and the verdict says why."""
    verdict = compare(PLAN, reference, reference)
    assert not verdict.green
    assert any(told in line for line in verdict.void), verdict.void
