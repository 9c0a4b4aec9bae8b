from collections.abc import Iterable, Sequence
from math import log10

import pytest
from msgspec.structs import replace

from tests.unit.worker.alert.builders import rules, signal
from tests.unit.worker.alert.detectors.count_streams import A_DAY, BUCKET_MS, DAY_MS, bursty, with_burst
from worker.alert.decide import decide
from worker.alert.detectors.baseline import CountBaseline
from worker.alert.detectors.counts import VolumeParameters, VolumeReading, judge
from worker.alert.state import KeyState
from worker.messages import AlertEvent

USUAL = VolumeParameters()
HOUR = 12
"""Buckets."""


def read(counts: Iterable[int], parameters: VolumeParameters = USUAL) -> list[VolumeReading]:
    """What is made of each bucket, the first of them at midnight."""
    past, readings = CountBaseline(), []
    for index, count in enumerate(counts):
        past, reading = judge(parameters, past, index * BUCKET_MS, count)
        readings.append(reading)
    return readings


def verdicts(counts: Iterable[int], parameters: VolumeParameters = USUAL) -> list[str]:
    """The verdict on each bucket."""
    return [reading.verdict for reading in read(counts, parameters)]


def alerts(found: Sequence[str]) -> int:
    """How often it becomes too much after all was well."""
    told = [verdict for verdict in found if verdict != "hold"]
    return sum(now == "breach" != before for before, now in zip(["clear", *told], told, strict=False))


@pytest.mark.parametrize("mean", [0.2, 5, 300])
@pytest.mark.parametrize("burst", [0.1, 1.0])
def test_burst_is_found_within_its_first_half_hour(mean: float, burst: float) -> None:
    """Thirty times the usual for an hour, on quiet, middling and busy keys."""
    counts = bursty(mean, 15, burst=burst, swing=0.5)
    at = 14 * A_DAY
    assert "breach" in verdicts(with_burst(counts, at, HOUR, 30))[at : at + 6]


@pytest.mark.parametrize("mean", [0.05, 1, 20, 500])
def test_cold_start_is_quiet(mean: float) -> None:
    """No alarms by ignorance: on 8 keys in their first three days, starting at night, at most one; 24 days would have 2.4."""
    assert sum(alerts(verdicts(bursty(mean, 3, burst=0.5, swing=0.7, seed=seed))) for seed in range(8)) <= 1


@pytest.mark.parametrize("mean", [1, 20, 500])
def test_cold_start_is_of_use(mean: float) -> None:
    """Twelve hours after a key was first heard of, a hundred times the usual is too much."""
    counts = bursty(mean, 1)
    found = verdicts(with_burst(counts, 12 * HOUR, HOUR, 100))
    assert "breach" not in found[: 12 * HOUR]
    assert "breach" in found[12 * HOUR : 13 * HOUR]


def test_false_alarms_are_about_as_many_as_asked_for() -> None:
    """Bursty chat alerts on about a quarter of 100 days, to a factor of 2.5, however bursty; a steady feed on hardly any."""
    found = [verdicts(bursty(20, 100, burst=burst, swing=0.5)) for burst in (0.1, 1.0, 3.0)]
    days = [len({index // A_DAY for index, verdict in enumerate(one) if verdict == "breach"}) for one in found]
    assert days[0] <= 10
    assert min(days[1:]) >= 10
    assert max(days) <= 62


def test_a_rarer_threshold_asks_for_more() -> None:
    """What is too much once in a hundred days is too much once in three as well."""
    counts = with_burst(bursty(20, 60, burst=1.0), 50 * A_DAY, HOUR, 5)
    often, seldom = (verdicts(counts, replace(USUAL, once_in_ms=days * DAY_MS)) for days in (3, 100))
    assert {index for index, found in enumerate(seldom) if found == "breach"} < {
        index for index, found in enumerate(often) if found == "breach"
    }


def test_alert_is_held_while_it_ebbs() -> None:
    """Between too much and common it is neither: breach, hold, clear, in that order, with the figures that say so."""
    counts = with_burst(bursty(20, 16), 14 * A_DAY, HOUR, 30)
    readings = read(counts)[14 * A_DAY :]
    first = {name: next(i for i, found in enumerate(readings) if found.verdict == name) for name in ("breach", "hold")}
    clear = next(i for i, found in enumerate(readings) if found.verdict == "clear" and i > first["breach"])
    assert first["breach"] < clear
    assert any(found.verdict == "hold" for found in readings[first["breach"] : clear])
    for found in readings:
        assert found.threshold == pytest.approx(log10(4))
        assert (found.verdict == "breach") == (found.statistic >= log10(4) and found.figures.ratio >= 1.5)
        assert (found.verdict == "clear") == (found.statistic < log10(0.3 * 4))


@pytest.mark.parametrize(("messages", "verdict"), [(2, "hold"), (9, "hold"), (15, "breach")])
def test_few_messages_are_never_too_many(messages: int, verdict: str) -> None:
    """However rare: on a key that has been silent for twenty days, two are nothing yet, and nine no alert."""
    assert read([*[0] * 20 * A_DAY, messages])[-1].verdict == verdict


def test_little_more_than_usual_is_never_too_much() -> None:
    """A key that always has 100 is at 145 as never before; nobody hears of it who did not ask for so little."""
    counts = [*[100] * 20 * A_DAY, *[145] * 4 * HOUR]
    assert "breach" not in verdicts(counts)
    assert "breach" in verdicts(counts, replace(USUAL, min_ratio=1.1))


@pytest.mark.parametrize(("hours", "times", "apart"), [(1, 30, 3), (2, 20, 3), (6, 10, 10)])
def test_own_alarms_do_not_hide_the_next(hours: int, times: int, apart: int) -> None:
    """Three bursts some days apart are three alerts, each within the hour, although each of them was learnt from."""
    counts, days = bursty(20, 21 + 2 * apart), [20 + apart * nth for nth in range(3)]
    for day in days:
        counts = with_burst(counts, day * A_DAY, hours * HOUR, times)
    found = verdicts(counts)
    assert all("breach" in found[day * A_DAY : day * A_DAY + HOUR] for day in days)


def test_what_comes_more_often_than_asked_for_ceases_to_alert() -> None:
    """Six hours of ten times the usual, every second day: told for ten days; after three weeks such is usual on that key."""
    counts = bursty(20, 50)
    for day in range(20, 50, 2):
        counts = with_burst(counts, day * A_DAY, 6 * HOUR, 10)
    found = verdicts(counts)
    assert all("breach" in found[day * A_DAY : (day + 1) * A_DAY] for day in range(20, 32, 2))
    assert "breach" not in found[41 * A_DAY :]


def test_what_stays_ceases_to_alert() -> None:
    """A key that has become five times as busy for good is well again within three days."""
    found = verdicts([*bursty(20, 20), *bursty(100, 8, seed=2)])
    assert "breach" in found[20 * A_DAY : 21 * A_DAY]
    assert "breach" not in found[23 * A_DAY :]


def test_silence_is_well() -> None:
    """No messages are not too many: the absence of data is another detector's."""
    assert set(verdicts([*bursty(20, 3), *[0] * A_DAY])[-A_DAY + HOUR * 12 :]) == {"clear"}


RULES = """
rules:
  - name: loud
    detector: {type: volume, once_in: 1d}
  - name: outcry
    detector: {type: surge, once_in: 1d, min_messages: 20}
"""


def told(counts: Iterable[tuple[int, int]]) -> list[tuple[str, str, int]]:
    """Rule, state and hour of the alerts on a key with so many messages and negatives in each five minutes."""
    at_s, state, events, watermark_ms = 0, KeyState("entity:acme"), list[AlertEvent](), 0
    for messages, negatives in counts:
        for number in range(messages):
            item = signal(at_s + number / 1_000, "negative" if number < negatives else "neutral")
            watermark_ms = max(watermark_ms, item.event_time_ms)
            decision = decide(rules(RULES), state, item, watermark_ms)
            state, events = decision.state, [*events, *decision.events]
        at_s += 300
    return [(event.rule, event.state, event.at_ms // 3_600_000) for event in events]


def test_both_detectors_of_counts_work_in_rules() -> None:
    """Much talk is no outcry; the same talk as ever with ten times the negatives is one, and no volume."""
    calm = [(10 + step % 5, 1 + step % 2) for step in range(600)]
    loud = told([*calm, *[(120, 1)] * 12, *calm[:240]])
    assert [(rule, state) for rule, state, _ in loud] == [("loud", "firing"), ("loud", "resolved")]
    assert loud[0][2] == 50, "within the hour"
    outcry = told([*calm, *[(12, 12)] * 12, *calm[:12]])
    assert outcry == [("outcry", "firing", 50)]
    assert told(calm) == []
