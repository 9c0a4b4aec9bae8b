import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.worker.alert.builders import signal
from worker.alert import windows
from worker.alert.state import NEVER_MS
from worker.alert.windows import Buckets
from worker.messages import Label, ModelRef, Origin, Sample, Signal

BUCKET_MS = 10_000
labels: st.SearchStrategy[Label] = st.sampled_from(("negative", "neutral", "positive"))
signals = st.builds(
    lambda at_s, label, score, name: signal(at_s, label, score=score, message_id=name),
    st.integers(0, 120),
    labels,
    st.sampled_from([-0.9, -0.5, -0.5, 0.1]),
    st.uuids().map(str),
)


def ring(items: list[Signal]) -> Buckets:
    """The ring that holds `items`."""
    buckets: Buckets = ()
    for item in items:
        buckets = windows.add(buckets, item, BUCKET_MS)
    return buckets


def figures(buckets: Buckets) -> tuple[int, int]:
    """Messages and negatives."""
    tally = windows.total(buckets)
    return tally.messages, tally.negatives


@given(st.lists(signals, max_size=40), st.integers(0, 13), st.integers(1, 6))
def test_ring_equals_brute_force(items: list[Signal], end: int, length: int) -> None:
    """The window's figures are those of the signals whose event times lie in [start, end)."""
    end_ms = end * BUCKET_MS
    start_ms = end_ms - length * BUCKET_MS
    inside = [item for item in items if start_ms <= item.event_time_ms < end_ms]
    expected = len(inside), sum(item.label == "negative" for item in inside)
    assert figures(windows.within(ring(items), start_ms, end_ms)) == expected


def test_a_sample_says_how_similar_its_text_was_to_the_topic() -> None:
    """As evidence of why the message counted; None where the topic was named."""
    items = [replace(signal(1, "negative", score=-0.9), similarity=0.4), signal(1, "negative", score=-0.5)]
    for buckets in (ring(items), windows.add_all((), items, BUCKET_MS)):
        assert [sample.similarity for sample in buckets[0].samples] == [0.4, None]


def test_a_sample_is_of_its_message() -> None:
    """All that evidence shows of it, and where it stands."""
    item = signal(
        1.5, "negative", score=-0.7, message_id="m", excerpt="words", source="s", origin=Origin("t", 3, 4), similarity=0.2
    )
    for buckets in (ring([item]), windows.add_all((), [item], BUCKET_MS)):
        assert buckets[0].samples == (Sample("m", "words", -0.7, "s", 1_500, Origin("t", 3, 4), 0.2),)


@pytest.mark.parametrize(
    ("came", "kept"),
    [
        ([(-0.9, 1), (-0.8, 2), (-0.5, 3), (-0.6, 4)], [(-0.9, 1), (-0.8, 2), (-0.6, 4)]),
        ([(-0.5, 2), (-0.5, 3), (-0.5, 4), (-0.5, 1)], [(-0.5, 1), (-0.5, 2), (-0.5, 3)]),
        ([(-0.9, 1), (-0.8, 2), (-0.7, 3), (-0.6, 4)], [(-0.9, 1), (-0.8, 2), (-0.7, 3)]),
    ],
)
def test_a_fourth_sample_takes_the_place_of_the_last(came: list[tuple[float, int]], kept: list[tuple[float, int]]) -> None:
    """Where it is more negative, or as much so and earlier."""
    (bucket,) = ring([signal(at_s, score=score) for score, at_s in came])
    assert [(sample.score, sample.event_time_ms // 1_000) for sample in bucket.samples] == kept


def test_of_equally_negative_messages_the_first_by_time_and_place_go_first() -> None:
    """So that the few that are kept do not depend on the order in which they came."""
    one = Sample("b", "x", -0.5, "s", 2_000, Origin("t", 2, 2), None)
    before = [
        replace(one, score=-0.6, event_time_ms=9_000),
        replace(one, event_time_ms=1_000, message_id="c"),
        replace(one, message_id="a", origin=Origin("u", 9, 9)),
        replace(one, origin=Origin("s", 9, 9)),
        replace(one, origin=Origin("t", 1, 9)),
        replace(one, origin=Origin("t", 2, 1)),
    ]
    for other in before:
        assert windows.most_negative((one, other)) == (other, one)


@given(st.lists(signals, max_size=40), st.integers(0, 13), st.sets(st.integers(1, 6), min_size=1))
def test_spans_are_those_of_the_windows(items: list[Signal], end: int, lengths: set[int]) -> None:
    """Every figure of every span, as if each were added up by itself."""
    end_ms, buckets, spans_ms = end * BUCKET_MS, ring(items), [length * BUCKET_MS for length in sorted(lengths, reverse=True)]
    window = windows.within(buckets, end_ms - spans_ms[0], end_ms)
    expected = tuple(windows.total(windows.within(buckets, end_ms - span_ms, end_ms)) for span_ms in spans_ms)
    assert windows.spans(window, end_ms, spans_ms) == expected


@given(st.lists(signals, max_size=20).flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_order_of_arrival_makes_no_difference(pair: tuple[list[Signal], list[Signal]]) -> None:
    """The same signals in any order give the same ring: counts, samples and model."""
    assert ring(pair[0]) == ring(pair[1])


@given(st.lists(signals, max_size=30))
def test_samples_are_the_most_negative(items: list[Signal]) -> None:
    """Each bucket keeps its three negatives of lowest score."""
    for bucket in ring(items):
        here = [
            i.score for i in items if i.label == "negative" and i.event_time_ms // BUCKET_MS == bucket.start_ms // BUCKET_MS
        ]
        assert [sample.score for sample in bucket.samples] == sorted(here)[:3]


@given(st.lists(signals, max_size=30), st.integers(0, 13))
def test_since_forgets_what_lies_before(items: list[Signal], start: int) -> None:
    """Pruning keeps exactly the buckets from a boundary on."""
    later = [item for item in items if item.event_time_ms >= start * BUCKET_MS]
    assert windows.since(ring(items), start * BUCKET_MS) == ring(later)


def visited(buckets: Buckets, since_ms: int, looks: windows.Looks) -> list[int]:
    """Every boundary at which to look after `since_ms`."""
    found, at_ms = list[int](), since_ms
    while (following := windows.next_look(buckets, NEVER_MS, at_ms, looks)) is not None:
        found.append(at_ms := following)
    return found


@given(st.lists(signals, max_size=10), st.integers(0, 13), st.integers(0, 40), st.integers(0, 5))
def test_looks_are_where_something_can_change(items: list[Signal], first: int, count: int, patience: int) -> None:
    """At every boundary whose bucket has messages, or before which some came within the patience, and at no other."""
    buckets, since_ms = ring(items), first * BUCKET_MS
    looks = windows.Looks(BUCKET_MS, patience * BUCKET_MS, (first + count) * BUCKET_MS)
    everyone = range(since_ms + BUCKET_MS, looks.until_ms + 1, BUCKET_MS)
    reach_ms = looks.patience_ms + BUCKET_MS
    expected = [at for at in everyone if any(0 < at - b.start_ms <= reach_ms for b in buckets)]
    assert visited(buckets, since_ms, looks) == expected


@given(st.lists(signals, max_size=10), st.integers(0, 20), st.integers(0, 20), st.integers(0, 5))
def test_looks_in_two_spans_are_those_of_one(items: list[Signal], first: int, second: int, patience: int) -> None:
    """How often a key is looked at makes no difference."""
    buckets, middle_ms, until_ms = ring(items), first * BUCKET_MS, (first + second) * BUCKET_MS
    early, late, whole = (
        visited(buckets, since_ms, windows.Looks(BUCKET_MS, patience * BUCKET_MS, upto_ms))
        for since_ms, upto_ms in ((0, middle_ms), (middle_ms, until_ms), (0, until_ms))
    )
    assert early + late == whole


def test_looks_leap_over_silence() -> None:
    """A key that was silent for a year costs a handful of looks, not a million."""
    year_ms = 365 * 86_400_000
    buckets = windows.add(ring([signal(5)]), signal(year_ms / 1000), BUCKET_MS)
    found = visited(buckets, 0, windows.Looks(BUCKET_MS, 50_000, year_ms + 60_000))
    assert len(found) <= 14
    assert found[-1] >= year_ms


@given(st.lists(signals, max_size=20))
def test_tally_is_that_of_the_signals(items: list[Signal]) -> None:
    """Sums of scores in thousandths, of their squares, and the largest probability of a negative in millionths."""
    tally = windows.total(ring(items))
    assert tally.score == sum(round(item.score * 1_000) for item in items)
    assert tally.square == sum(round(item.score * 1_000) ** 2 for item in items)
    assert tally.worst == max((round(item.negative * 1_000_000) for item in items), default=0)


def test_floor_is_right_before_the_epoch() -> None:
    """Boundaries go on below zero."""
    assert [windows.floor_to(ms, 10) for ms in (-11, -10, -1, 0, 9, 10)] == [-20, -10, -10, 0, 0, 10]


def test_a_bucket_names_the_newest_of_its_models() -> None:
    """Where two models scored one bucket, it names the same one in whatever order they came."""
    for old, new in (("a", "1"), ("a", "2")), (("a", "2"), ("b", "1")):
        first, second = signal(1, model=ModelRef(*old)), signal(2, model=ModelRef(*new))
        for items in ([first, second], [second, first]):
            assert [bucket.model for bucket in ring(items)] == [ModelRef(*new)]
            assert windows.add_all((), items, BUCKET_MS) == ring(items)


@given(st.lists(signals, max_size=30), st.lists(st.sampled_from("12"), min_size=30, max_size=30), st.integers(0, 30))
def test_many_at_once_count_as_one_by_one(items: list[Signal], versions: list[str], cut: int) -> None:
    """Tallies, samples and models, whatever the buckets held before."""
    scored = [replace(item, model=ModelRef("m", version)) for item, version in zip(items, versions, strict=False)]
    first = windows.add_all((), scored[:cut], BUCKET_MS)
    assert windows.add_all(first, scored[cut:], BUCKET_MS) == ring(scored)


@given(st.lists(signals, max_size=20), st.integers(1, 25))
def test_buckets_hold_so_many_messages(items: list[Signal], wanted: int) -> None:
    """As their total has it."""
    assert windows.hold(ring(items), wanted) == (len(items) >= wanted) == (windows.total(ring(items)).messages >= wanted)
