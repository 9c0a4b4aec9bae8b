"""Incidents planted in real texts: what is detectable, what counts as found and as false, and that a seed says all."""

import itertools

import numpy as np
import pytest

from tests.benchmarks.planted import arrivals, hindsight, naive, severe
from tests.benchmarks.planted.arrivals import A_DAY, BURSTY, CALM, DAY_MS, MINUTE_MS, START_MS, Arrivals
from tests.benchmarks.planted.curves import onsets
from tests.benchmarks.planted.measuring import GRACE_MS, Fired, Truth, figures, hold
from tests.benchmarks.planted.planting import DURATIONS_MS, Key, Planted, Strength, expected, plant
from tests.benchmarks.planted.running import RULES, Statistics
from tests.benchmarks.planted.streams import Stream, signals, stream
from tests.benchmarks.planted.texts import Pool, half_of
from tests.benchmarks.sentiments import Read
from worker.alert.rules import parse_rules

KEY = "entity:acme"
POOL = Pool("made", (Read("negative", 0.9, -0.8),), (Read("positive", 0.05, 0.9),))
OUTAGE = Strength("outage", 8.0, 0.9)


def _incident(strength: Strength, minutes: int, usual: float, peace: float = 0.2) -> Planted:
    return Planted(KEY, strength, START_MS + DAY_MS, START_MS + DAY_MS + minutes * MINUTE_MS, False, usual, peace)


def _made(seed: int) -> Arrivals:
    return arrivals.made(np.random.default_rng(seed), 5.0, 4, BURSTY)


def _stream(seed: int) -> Stream:
    came = _made(seed)
    return stream(np.random.default_rng(seed), Key(KEY, came.usual, 0.2), came, POOL)


@pytest.mark.parametrize(
    ("incident", "by"),
    [
        (_incident(OUTAGE, 60, 10), {"share", "surge", "shift", "volume"}),
        (_incident(OUTAGE, 10, 10), {"share"}),
        (_incident(OUTAGE, 60, 0.4), set()),
        (_incident(Strength("turn", 1.0, 0.9), 60, 100), {"share", "shift", "surge"}),
        (_incident(Strength("turn", 1.0, 0.9), 60, 100, 0.3), {"share", "shift"}),
        (_incident(Strength("swell", 5.0, None), 60, 10), {"volume"}),
        (_incident(Strength("swell", 5.0, None), 60, 100), {"volume", "surge"}),
        (_incident(Strength("mild", 2.0, 0.5), 60, 1_000), {"surge"}),
    ],
)
def test_what_is_detectable_follows_from_what_was_planted(incident: Planted, by: set[str]) -> None:
    """Three messages are not, nor is a count that only doubles."""
    assert {detector for detector in ("share", "surge", "shift", "volume") if incident.detectable_by(detector)} == by


def test_alerts_in_an_incident_find_it_and_others_are_false() -> None:
    """Its delay is that of the first; up to the grace after the end counts; what is not judged counts neither way."""
    incident = _incident(OUTAGE, 60, 10)
    unjudged = (START_MS + 2 * DAY_MS, START_MS + 3 * DAY_MS)
    at = [incident.start_ms - 1, incident.start_ms + 5_000, incident.end_ms + GRACE_MS, incident.end_ms + GRACE_MS + 1]
    alerts = [Fired(KEY, "surge", fired, None) for fired in (*at, unjudged[0] + 1)]
    found = hold(alerts, [Truth(KEY, "g", (incident,), (unjudged,), 5.0)], "surge")
    assert [case.delay_ms for case in found.cases] == [5_000]
    assert found.false_alarms == {"g": 2}
    assert found.days["g"] == pytest.approx(4 - 70 / 1_440)
    assert figures(found).recall == 1.0


def test_an_incident_that_is_not_asked_for_is_neither_missed_nor_false() -> None:
    """Something did happen."""
    incident = _incident(Strength("mild", 2.0, 0.5), 10, 10)
    found = hold([Fired(KEY, "share", incident.start_ms + 1, None)], [Truth(KEY, "g", (incident,), (), 5.0)], "share")
    assert (found.cases, found.false_alarms) == ((), {"g": 0})


def test_the_interval_of_no_false_alarm_is_garwoods() -> None:
    """3.69 divided by the days."""
    found = figures(hold([], [Truth(KEY, "g", (), (), 10.0)], "share"))
    assert (found.false_alarms_per_day, found.recall, found.median_delay_s) == (0.0, None, None)
    assert found.false_alarms_at_most == pytest.approx(0.3689, abs=1e-3)


@pytest.mark.parametrize("temper", [CALM, BURSTY])
def test_made_arrivals_have_their_rate_and_are_burstier_than_poisson(temper: arrivals.Temper) -> None:
    """In order, within their days, and with a night."""
    came = arrivals.made(np.random.default_rng(3), 5.0, 30, temper)
    counts = np.bincount((came.times - START_MS) // arrivals.BUCKET_MS, minlength=len(came.usual))
    assert np.all(np.diff(came.times) >= 0)
    assert len(came.usual) == 30 * A_DAY
    assert counts.mean() == pytest.approx(25, rel=0.1)
    assert np.var(counts - came.usual) > 1.5 * counts.mean()
    assert came.usual.max() / came.usual.min() == pytest.approx(4, rel=0.01)


def test_a_seed_says_all_and_another_says_otherwise() -> None:
    """Times, texts and incidents."""
    one, again, other = _stream(1), _stream(1), _stream(2)
    assert one.incidents == again.incidents
    assert np.array_equal(one.times, again.times)
    assert np.array_equal(one.texts, again.texts)
    assert one.incidents != other.incidents


def test_incidents_are_in_the_stream() -> None:
    """Of so many messages, of which such a share is negative."""
    came = arrivals.made(np.random.default_rng(5), 20.0, 14, CALM)
    made = stream(np.random.default_rng(5), Key(KEY, came.usual, 0.2), came, POOL)
    assert len(made.incidents) > 4
    assert all(one.end_ms - one.start_ms in DURATIONS_MS for one in made.incidents)
    for one in made.incidents:
        inside = (made.times >= one.start_ms) & (made.times < one.end_ms)
        assert (made.texts[inside] == 0).mean() == pytest.approx(one.share, abs=0.1)
        assert inside.sum() == pytest.approx(one.messages, rel=0.6)


def test_signals_come_in_order_and_none_is_lost() -> None:
    """Of all streams together."""
    made = [_stream(1), _stream(2)._replace(key="entity:other")]
    came = [signal for some in signals(made) for signal in some]
    assert len(came) == sum(len(one.times) for one in made)
    assert all(now.event_time_ms <= later.event_time_ms for now, later in itertools.pairwise(came))
    assert sum(signal.label == "negative" for signal in came) == sum(int((one.texts == 0).sum()) for one in made)


def test_what_is_expected_is_the_usual_rate_over_the_time() -> None:
    """Parts of buckets too."""
    usual = np.array([10.0, 20.0, 30.0])
    assert expected(usual, START_MS, START_MS + arrivals.BUCKET_MS * 3) == pytest.approx(60)
    assert expected(usual, START_MS + arrivals.BUCKET_MS // 2, START_MS + arrivals.BUCKET_MS * 2) == pytest.approx(25)


def test_incidents_lie_within_the_key_and_the_first_is_early() -> None:
    """Between half a day and two days from the cold start."""
    for seed in range(20):
        planted = plant(np.random.default_rng(seed), Key(KEY, np.full(14 * A_DAY, 5.0), 0.2))
        assert DAY_MS / 2 <= planted[0].start_ms - START_MS <= 2 * DAY_MS
        assert all(now.end_ms < later.start_ms for now, later in itertools.pairwise(planted))
        assert planted[-1].end_ms < START_MS + 14 * DAY_MS


def test_onsets_are_breaches_after_a_pause() -> None:
    """What comes again within the pause is the same alert; and none is none."""
    seen = Statistics()
    for at_ms, value in ((0, 1.0), (10, 3.0), (20, 3.0), (60, 2.0), (100, 5.0), (130, 3.0)):
        seen.at_ms.append(at_ms)
        seen.values.append(value)
    assert onsets(seen, 3.0, 50).tolist() == [10, 100]
    assert onsets(seen, 9.0, 50).tolist() == []


def test_naive_count_fires_on_a_burst_and_on_nothing_else() -> None:
    """Forty negatives within five minutes pass 30 an hour; and once."""
    times = START_MS + DAY_MS + np.arange(40, dtype=np.int64) * 1_000
    came = Arrivals(times, np.full(3 * A_DAY, 1.0))
    one = Stream(KEY, came, POOL, times, np.zeros(40, dtype=np.int64), ())
    fired = [alert.fired_ms for name, step, alert in naive.alerts(one, 3_600_000) if (name, step) == ("fixed count", 30)]
    assert fired == [START_MS + DAY_MS + arrivals.BUCKET_MS]


def test_halves_of_the_texts_are_kept_apart() -> None:
    """The same text is always in the same half, and both have some."""
    halves = [half_of(f"text {number}") for number in range(200)]
    assert halves == [half_of(f"text {number}") for number in range(200)]
    assert 60 < sum(halves) < 140


def test_rules_have_one_rule_for_each_detector() -> None:
    """Named as its detector, and for every key."""
    rules = parse_rules(RULES.read_text()).rules
    assert {rule.name for rule in rules} == {rule.detector.type for rule in rules} == {"share", "surge", "shift", "volume"}
    assert all(rule.scope.covers(KEY) for rule in rules)


def test_what_single_stands_on_is_counted_by_source() -> None:
    """Severe are those at the threshold and above; right are those of them that people call negative."""
    gloomy = (Read("negative", 0.99, -0.9), Read("negative", 0.9, -0.9), Read("neutral", 0.4, 0.0), Read("neutral", 0.3, 0.0))
    other = (Read("negative", 0.96, -0.9), Read("positive", 0.01, 0.9))
    found = severe.severe([Pool("chat", gloomy, other), Pool("mail", (), (other[1],))], [0.9, 0.98])
    assert found["chat"] == {0.9: (3 / 6, 2 / 3, 2 / 4), 0.98: (1 / 6, 1.0, 1 / 4)}
    assert found["mail"] == {0.9: (0.0, None, None), 0.98: (0.0, None, None)}


def test_hindsight_knows_what_is_usual_and_how_far_peace_goes() -> None:
    """Twice as many as ever in peace is told though peace itself swings; less than that is not."""
    expected = np.full(300, 10.0)
    counts, peace = np.array([20.0 if at % 50 == 10 else 10.0 for at in range(300)]), np.ones(300, dtype=np.bool_)
    peace[200:] = False
    assert not (hindsight.excess(counts, expected, peace) > 0).any()
    counts[230:240] = 40.0
    told = np.flatnonzero(hindsight.excess(counts, expected, peace) > 0)
    assert told[0] == 230
    assert told[-1] <= 240 + 48


def test_hindsight_knows_the_share_of_peace_and_how_far_it_strays() -> None:
    """Eight bad ones of ten are told though three of ten have been seen in peace; a few more messages of its kind are not."""
    messages, peace = np.full(300, 10.0), np.ones(300, dtype=np.bool_)
    negatives = np.array([3.0 if at % 50 == 10 else 1.0 for at in range(300)])
    peace[200:] = False
    assert not (hindsight.share_excess(messages, negatives, peace) > 0).any()
    messages[220:222], negatives[220:222] = 30.0, 3.0
    assert not (hindsight.share_excess(messages, negatives, peace) > 0).any()
    negatives[250:252] = 8.0
    assert np.flatnonzero(hindsight.share_excess(messages, negatives, peace) > 0)[0] == 250


def test_hindsight_raises_nothing_in_peace() -> None:
    """Its alerts begin in incidents, or while its longest scale still has one in it."""
    one = _stream(3)
    spans = [(i.start_ms, i.end_ms + GRACE_MS + 4 * 3_600_000) for i in one.incidents]
    fired = [alert.fired_ms for _, _, alert in hindsight.alerts(one, 3_600_000)]
    assert fired
    assert all(any(begin <= at <= end for begin, end in spans) for at in fired)
