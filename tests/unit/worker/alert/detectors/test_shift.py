import random
from itertools import pairwise
from math import sqrt

import msgspec
import pytest

from tests.unit.worker.alert.builders import detector_of
from worker.alert.detectors import Reading, ShiftMemory, Verdict, View
from worker.alert.detectors.shift import judge, mean_of
from worker.alert.parameters import ShiftDetector
from worker.alert.windows import Tally

RULE = """
rules:
  - name: mood
    detector: {type: shift, window: 1h, bucket: 5m, threshold: 10, drift: 0.5, half_life: 1d, warm_up: 30}
"""
PARAMETERS = detector_of(RULE, ShiftDetector)
EMPTY = Tally()


def bucket(scores: list[float]) -> Tally:
    """The figures of messages with these scores."""
    thousandths = [round(score * 1_000) for score in scores]
    return Tally(len(scores), sum(s < 0 for s in thousandths), sum(thousandths), sum(s * s for s in thousandths))


def run(buckets: list[Tally], memory: ShiftMemory | None = None) -> tuple[ShiftMemory, list[Reading]]:
    """Judge one bucket after the other, each with a window of itself, from where the memory ends."""
    memory, readings = memory or ShiftMemory(), []
    for newest in buckets:
        memory, reading = judge(PARAMETERS, memory, View((memory.at_ms or 0) + 300_000, newest, newest))
        readings.append(reading)
    return memory, readings


def chatter(chance: random.Random, mean: float, buckets: int, messages: int = 6) -> list[Tally]:
    """So many buckets of scores around a mean, spread by 0.5 and held within [-1, 1]."""
    return [bucket([max(-1.0, min(1.0, chance.gauss(mean, 0.5))) for _ in range(messages)]) for _ in range(buckets)]


def test_says_nothing_before_it_knows_the_key() -> None:
    """30 messages first, and then the window must hold some, too."""
    _, readings = run([*chatter(random.Random(1), -0.9, 5), bucket([-1.0]), EMPTY])
    assert [reading.verdict for reading in readings[:5]] == ["no_data"] * 5
    _, readings = run([*chatter(random.Random(1), 0.3, 50), EMPTY])
    assert [reading.verdict for reading in readings[-2:]] == ["clear", "no_data"]


@pytest.mark.parametrize("seed", range(5))
def test_a_lasting_fall_is_found_within_an_hour(seed: int) -> None:
    """From a mean of 0.3 to -0.3, about one standard deviation of a message: twelve buckets are plenty."""
    chance = random.Random(seed)
    memory, before = run(chatter(chance, 0.3, 288))
    assert "breach" not in {reading.verdict for reading in before}
    _, after = run(chatter(chance, -0.3, 12), memory)
    assert after[-1].verdict == "breach"
    assert after[-1].statistic >= after[-1].threshold == 10
    assert after[-1].baseline == pytest.approx(0.28, abs=0.08)


HALVING = detector_of(
    "rules: [{name: mood, detector: {type: shift, window: 10m, bucket: 5m, half_life: 10m, threshold: 4, drift: 0.5, "
    "warm_up: 30, min_messages: 5}}]",
    ShiftDetector,
)
KEEP = 0.5**0.5
"""Half a half-life is a bucket of `HALVING`."""


def aged(fall: float = 1.0, spread: float = 30.0, messages: float = 90.0) -> ShiftMemory:
    """What is, a bucket later, a past of a mean of 0.4 and a variance of 0.25, if it is of 90 messages in 10 buckets."""
    return ShiftMemory(messages / KEEP, 40 / KEEP, 38.5 / KEEP, 10 / KEEP, spread / KEEP, fall)


@pytest.mark.parametrize(
    ("mean", "spread", "deviation", "share", "square"),
    [
        (-0.1, 30.0, -sqrt(10), 3 / sqrt(10), 9.0),
        (0.3, 30.0, -sqrt(0.4), 1.0, 0.4),
        (0.4, 30.0, 0.0, 1.0, 0.0),
        (-0.1, 0.0, -sqrt(20), 3 / sqrt(20), 9.0),
    ],
)
def test_worked_examples(mean: float, spread: float, deviation: float, share: float, square: float) -> None:
    """25 messages against a past of 90, worth 100: 0.25 (1/25 + 1/100), widened by (spread + 10) / 20, at least 1.

    Beyond three standard deviations a bucket is learnt as a share of itself, its square as three of them.
    """
    newest = Tally(25, 12, round(25_000 * mean), 6_000_000)
    memory, reading = judge(HALVING, aged(spread=spread), View(300_000, newest, newest))
    widened = max(1.0, (spread + 10) / 20)
    assert list(msgspec.structs.astuple(memory)) == pytest.approx(
        [
            *(90 + share * 25, 40 + share * 25 * mean, 38.5 + share * 6),
            *(11, spread + square * widened, max(0.0, 1 - deviation - 0.5), 300_000),
        ]
    )
    assert reading.statistic == memory.fall
    assert reading.baseline == pytest.approx(memory.score / (memory.messages + 10))


@pytest.mark.parametrize(
    ("fall", "messages", "verdict"),
    [
        *((4.0, 5, "breach"), (3.999, 5, "hold"), (2.0, 5, "hold"), (1.999, 5, "clear"), (0.0, 5, "clear")),
        *((4.0, 4, "no_data"), (0.0, 4, "no_data")),
    ],
)
def test_verdicts(fall: float, messages: int, verdict: Verdict) -> None:
    """Too much from the threshold on, well again below half of it, if the window has messages, though the bucket has none."""
    _, reading = judge(HALVING, aged(fall), View(0, Tally(messages), EMPTY))
    assert (reading.verdict, reading.statistic, reading.threshold) == (verdict, fall, 4)


@pytest.mark.parametrize(("known", "verdict", "fall"), [(30.0, "breach", 8.0), (29.99, "no_data", 0.0)])
def test_nothing_adds_up_before_enough_is_known(known: float, verdict: Verdict, fall: float) -> None:
    """Warm from so many messages on; then the sum is bounded by twice the threshold."""
    newest = Tally(1_000, 1_000, -1_000_000, 1_000_000_000)
    memory, reading = judge(HALVING, ShiftMemory(known, known, known), View(0, newest, newest))
    assert (reading.verdict, memory.fall) == (verdict, fall)


def test_a_rise_is_no_alert() -> None:
    """One-sided: good news is not what is watched for."""
    chance = random.Random(3)
    _, readings = run([*chatter(chance, -0.3, 200), *chatter(chance, 0.6, 100)])
    assert "breach" not in {reading.verdict for reading in readings}


@pytest.mark.parametrize("messages", [1, 6, 40])
def test_false_alarms_are_rare_whatever_the_volume(messages: int) -> None:
    """Two weeks without a change, ten times: at most one alarm in 140 days."""
    alarms = 0
    for seed in range(10):
        _, readings = run(chatter(random.Random(seed), 0.1, 14 * 288, messages))
        verdicts = [reading.verdict for reading in readings]
        alarms += sum(now == "breach" != before for before, now in pairwise(verdicts))
    assert alarms <= 1


def test_what_comes_back_is_well_again() -> None:
    """The sum is bounded, so that the end of a long fall is noticed as soon as its beginning was."""
    chance = random.Random(5)
    memory, _ = run([*chatter(chance, 0.3, 288), *chatter(chance, -0.5, 100)])
    assert memory.fall <= 2 * PARAMETERS.threshold
    _, readings = run(chatter(chance, 0.3, 40), memory)
    assert readings[-1].verdict == "clear"


def test_the_past_is_not_taught_by_the_alert() -> None:
    """Buckets beyond three standard deviations move the mean by no more than three would."""
    chance = random.Random(7)
    memory, _ = run(chatter(chance, 0.5, 288))
    taught, _ = run(chatter(chance, -0.95, 6), memory)
    assert mean_of(memory) - mean_of(taught) < 0.03


def test_buckets_that_vary_more_than_their_messages_raise_the_bar() -> None:
    """Where messages answer each other, bucket means swing: that is known after a while and taken for usual."""
    chance = random.Random(11)
    swinging = [tally for _ in range(400) for tally in chatter(chance, chance.choice((-0.2, 0.4)), 1, 20)]
    memory, readings = run(swinging)
    assert memory.spread / memory.buckets > 2
    assert "breach" not in {reading.verdict for reading in readings[200:]}


def test_a_silence_passed_over_is_as_good_as_one_looked_at() -> None:
    """Buckets without messages, each by itself or not at all, leave the same behind."""
    chance = random.Random(17)
    memory, _ = run(chatter(chance, 0.5, 50))
    step_by_step, _ = run([EMPTY] * 70, memory)
    last = bucket([-0.5] * 6)
    at_ms = (memory.at_ms or 0) + 71 * 300_000
    (one, first), (other, second) = (judge(PARAMETERS, past, View(at_ms, last, last)) for past in (step_by_step, memory))
    assert other.messages == pytest.approx(one.messages)
    assert second.verdict == first.verdict
    assert second.statistic == pytest.approx(first.statistic)


def test_the_past_is_forgotten_by_halves() -> None:
    """Between two buckets that hold messages; silence alone changes nothing, however often a key is looked at."""
    memory, _ = run(chatter(random.Random(13), 0.5, 288))
    assert run([EMPTY] * 288, memory)[0] == memory
    newest, at_ms = bucket([0.5] * 6), (memory.at_ms or 0) + 24 * 3_600_000
    later, _ = judge(PARAMETERS, memory, View(at_ms, newest, newest))
    assert later.messages == pytest.approx(memory.messages / 2 + 6)
    assert later.at_ms == at_ms
    assert mean_of(later) == pytest.approx(mean_of(memory), abs=0.01)
