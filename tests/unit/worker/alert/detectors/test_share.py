from math import log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, detector_of
from worker.alert.detectors import Reading, ShareMemory, Verdict, View
from worker.alert.detectors.share import judge, usual_of, wilson_lower_bound
from worker.alert.parameters import ShareDetector
from worker.alert.windows import Tally

Z95 = 1.959963984540054
PARAMETERS = detector_of(RULE, ShareDetector)


SCANNING = detector_of(
    """
rules:
  - name: scanning
    detector: {type: share, window: 60s, bucket: 5s, shortest_window: 10s, threshold: 0.5, min_messages: 4, confidence: 0.9}
""",
    ShareDetector,
)


def reading(messages: int, negatives: int) -> Reading:
    """What is made of a window with so many messages."""
    memory, found = judge(PARAMETERS, ShareMemory(), View(0, Tally(messages, negatives), Tally()))
    assert memory is None
    return found


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (0, 10, 0.0),
        (5, 10, 0.2365931),
        (10, 10, 0.7224672),
        (1, 1, 0.2065493),
        (81, 263, 0.2552891),
        (15, 148, 0.0624),
    ],
)
def test_wilson_matches_published_figures(successes: int, trials: int, expected: float) -> None:
    """The last two are the worked examples of Newcombe (1998), Statistics in Medicine 17, table I (0.2553 and 0.0624)."""
    assert wilson_lower_bound(successes, trials, Z95) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.1, 4))
def test_wilson_solves_its_own_equation(counts: tuple[int, int], z: float) -> None:
    """The bound p is where the observed share lies z standard errors above it: share - p = z * sqrt(p (1 - p) / n)."""
    successes, trials = counts
    bound = wilson_lower_bound(successes, trials, z)
    assert 0 <= bound <= successes / trials + 1e-12
    assert successes / trials - bound == pytest.approx(z * sqrt(bound * (1 - bound) / trials), abs=1e-7)


def test_no_trials_say_nothing() -> None:
    """An empty window has the lowest bound there is, not a division by zero."""
    assert wilson_lower_bound(0, 0, Z95) == 0.0


@pytest.mark.parametrize(
    ("messages", "negatives", "verdict"),
    [
        (3, 3, "no_data"),
        (4, 4, "breach"),
        (4, 3, "breach"),
        (4, 2, "hold"),
        (4, 1, "clear"),
        (10, 4, "hold"),
        (10, 3, "clear"),
        (100, 60, "breach"),
        (100, 50, "hold"),
        (100, 39, "clear"),
        (0, 0, "no_data"),
    ],
)
def test_share_verdicts(messages: int, negatives: int, verdict: Verdict) -> None:
    """Too much by the bound (threshold 0.5), well by the share itself (below 0.4), silent below 4 messages."""
    found = reading(messages, negatives)
    span_ms = None if verdict == "no_data" else PARAMETERS.window
    assert found == Reading(verdict, wilson_lower_bound(negatives, messages, PARAMETERS.z), 0.5, None, span_ms)


def test_a_bound_at_the_threshold_is_too_much() -> None:
    """It reaches it."""
    bound = wilson_lower_bound(6, 9, PARAMETERS.z)
    at_bound = PARAMETERS.model_copy(update={"threshold": bound})
    assert judge(at_bound, ShareMemory(), View(0, Tally(9, 6), Tally()))[1].verdict == "breach"


def test_fewer_messages_of_the_same_kind_do_not_clear() -> None:
    """A high share in a thin window has a low bound; it must not pass for a recovery."""
    found = reading(4, 2)
    assert found.statistic < PARAMETERS.resolve_below
    assert found.verdict == "hold"


def scanned(*tallies: tuple[int, int]) -> Reading:
    """What is made of messages and negatives in the last 60, 30 and 15 s; a quarter is 15 s, an eighth would be 5 s."""
    spans = tuple(Tally(*tally) for tally in tallies)
    return judge(SCANNING, ShareMemory(), View(0, spans[0], Tally(), spans))[1]


def test_shorter_windows_are_halves_in_whole_buckets_and_have_to_be_surer() -> None:
    """Each half pays for twice as many looks: 2 ln 2 more on the squared quantile."""
    assert SCANNING.spans_ms == (60_000, 30_000, 15_000)
    squares = [z * z for _, z in SCANNING.quantiles]
    assert squares == pytest.approx([SCANNING.z**2, SCANNING.z**2 + 2 * log(2), SCANNING.z**2 + 4 * log(2)])
    assert PARAMETERS.spans_ms == (PARAMETERS.window,)


@pytest.mark.parametrize(
    ("tallies", "verdict", "span_ms"),
    [
        (((40, 10), (20, 10), (10, 10)), "breach", 15_000),  # a short fall that the window as a whole does not show
        (((40, 30), (20, 15), (3, 3)), "breach", 60_000),  # a long one, of which the last seconds say too little
        (((40, 22), (20, 10), (10, 5)), "hold", 60_000),  # sure of 0.4, and not of 0.5
        (((40, 16), (20, 8), (10, 5)), "clear", 60_000),  # nowhere sure of 0.4: the last ten may be chance
        (((40, 4), (3, 3), (3, 3)), "clear", 60_000),  # the only one with messages enough is the window
        (((3, 3), (3, 3), (3, 3)), "no_data", None),
    ],
)
def test_the_loudest_span_decides(tallies: tuple[tuple[int, int], ...], verdict: Verdict, span_ms: int | None) -> None:
    """The statistic is the largest bound, and the reading says of which span."""
    found = scanned(*tallies)
    bounds = [wilson_lower_bound(bad, n, z) for (n, bad), (_, z) in zip(tallies, SCANNING.quantiles, strict=True) if n >= 4]
    assert (found.verdict, found.span_ms) == (verdict, span_ms)
    assert found.statistic == max(bounds, default=wilson_lower_bound(3, 3, SCANNING.z))


def test_with_one_shorter_window_it_is_the_bound_that_resolves() -> None:
    """As with more of them: half of ten is a share of 0.5 and a bound below 0.4, which is well again."""
    two = detector_of(
        """
rules:
  - name: halves
    detector: {type: share, window: 60s, bucket: 5s, shortest_window: 30s, threshold: 0.5, min_messages: 4, confidence: 0.9}
""",
        ShareDetector,
    )
    assert two.spans_ms == (60_000, 30_000)
    half = Tally(10, 5)
    assert judge(two, ShareMemory(), View(0, half, Tally(), (half, half)))[1].verdict == "clear"
    assert reading(10, 5).verdict == "hold"


HOUR_MS = 3_600_000
RISING = detector_of(
    """
rules:
  - name: rising
    detector: {type: share, window: 1h, bucket: 5m, threshold: 0.2, min_messages: 4, confidence: 0.9, rise: 0.1, half_life: 1d}
""",
    ShareDetector,
)


def risen(memory: ShareMemory, messages: int, negatives: int, at_ms: int = HOUR_MS) -> tuple[ShareMemory, Reading]:
    """What is made of a window all of whose messages have just come, and what is carried on."""
    carried, found = judge(RISING, memory, View(at_ms, Tally(messages, negatives), Tally(messages, negatives)))
    assert carried is not None
    return carried, found


ANGRY, CHEERFUL = ShareMemory(990.0, 397.5, HOUR_MS), ShareMemory(990.0, 47.5, HOUR_MS)
"""Usually 0.4, and usually 0.05."""


@pytest.mark.parametrize(
    ("memory", "usual", "level"),
    [
        (ShareMemory(), 0.25, 0.35),
        (ANGRY, 0.4, 0.5),
        (CHEERFUL, 0.05, 0.2),  # usual and rise come to 0.15, which the threshold forbids
    ],
)
def test_with_a_rise_the_bound_is_held_to_what_is_usual_on_the_key(memory: ShareMemory, usual: float, level: float) -> None:
    """And to the rule's threshold; a key of which nothing is known has a usual share like any other."""
    found = risen(memory, 400, 10)[1]
    assert found.baseline == pytest.approx(usual)
    assert found.threshold == pytest.approx(level)
    assert risen(memory, 40, 39)[1].verdict == "breach"


def test_a_key_that_always_complains_is_left_alone_and_a_cheerful_one_is_not() -> None:
    """The same hour on both."""
    assert risen(ANGRY, 100, 45)[1].verdict == "clear"
    assert risen(CHEERFUL, 100, 45)[1].verdict == "breach"


@pytest.mark.parametrize(
    ("memory", "negatives", "verdict"),
    [
        (ANGRY, 40, "clear"),  # back to what is usual
        (ANGRY, 47, "clear"),
        (ANGRY, 49, "hold"),  # four fifths of the rise above it, as `resolve_below` is of the threshold
        (ANGRY, 54, "hold"),
        (ANGRY, 58, "breach"),
        (CHEERFUL, 15, "clear"),
        (CHEERFUL, 17, "hold"),  # `resolve_below` itself
        (CHEERFUL, 28, "breach"),
    ],
)
def test_what_is_back_to_usual_is_well_again(memory: ShareMemory, negatives: int, verdict: Verdict) -> None:
    """Whatever is usual; where that is little, the rule's own limits hold."""
    assert risen(memory, 100, negatives)[1].verdict == verdict


def test_the_past_is_forgotten_by_halves() -> None:
    """Between two buckets that hold messages; silence alone changes nothing, however often a key is looked at."""
    past = ShareMemory(800.0, 80.0, HOUR_MS)
    assert risen(past, 10, 1, 25 * HOUR_MS)[0] == ShareMemory(410.0, 41.0, 25 * HOUR_MS)
    carried, found = risen(past, 0, 0, 25 * HOUR_MS)
    assert carried == past
    assert found.baseline == pytest.approx((80 + 2.5) / (800 + 10))
    assert RISING.memory_ms == 4 * 24 * HOUR_MS
    assert PARAMETERS.memory_ms == 0


@pytest.mark.parametrize(
    ("messages", "negatives", "weight"),
    [
        (3, 3, 1.0),  # too few to say anything
        (100, 12, 1.0),
        (100, 30, 0.05),  # not too much, for the threshold is higher; and still far from usual
        (100, 60, 0.05),
    ],
)
def test_the_past_takes_in_little_of_what_is_far_from_usual(messages: int, negatives: int, weight: float) -> None:
    """All of the rest, once it was judged."""
    carried, found = risen(CHEERFUL, messages, negatives)
    assert found.baseline == usual_of(CHEERFUL)
    assert carried == ShareMemory(990.0 + weight * messages, 47.5 + weight * negatives, HOUR_MS)


@pytest.mark.parametrize(("messages", "weight"), [(99.9, 1.0), (100.0, 0.05)])
def test_a_past_must_be_one_before_it_says_what_is_far_from_usual(messages: float, weight: float) -> None:
    """Else a key that always complained would be an alarm for as long as it takes to learn that by twentieths."""
    carried, found = risen(ShareMemory(messages, 5.0, HOUR_MS), 100, 60)
    assert found.verdict == "breach"
    assert carried == ShareMemory(messages + weight * 100, 5.0 + weight * 60, HOUR_MS)


def verdicts(*stretches: tuple[float, int]) -> list[list[Verdict]]:
    """What comes of days of ten messages every five minutes, so many of them negative, stretch by stretch."""
    memory, at_ms, told = ShareMemory(), 0, list[list[Verdict]]()
    for days, negatives in stretches:
        told.append([])
        for _ in range(round(12 * 24 * days)):
            at_ms += 300_000
            memory, found = risen(memory, 10, negatives, at_ms)
            told[-1].append(found.verdict)
    return told


def test_an_alarm_does_not_hide_the_next_one_and_what_stays_becomes_usual() -> None:
    """Six hours of trouble hardly move the usual share; weeks of it are the usual, and then all is well."""
    peace, trouble, peace_again, lasting = verdicts((2, 1), (0.25, 7), (5, 1), (40, 7))
    assert set(peace) == set(peace_again) == {"clear"}
    assert set(trouble) == {"breach"}
    assert lasting[0] == "breach"
    assert set(lasting[-288:]) == {"clear"}


@pytest.mark.parametrize("negatives", [6, 8, 9])
def test_a_key_that_always_complained_is_known_within_hours(negatives: int) -> None:
    """At first it is like any other, and that is too much."""
    (told,) = verdicts((3, negatives))
    assert told[0] in {"breach", "hold"}
    assert set(told[12 * 6 :]) == {"clear"}
