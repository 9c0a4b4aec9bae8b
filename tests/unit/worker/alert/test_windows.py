import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.worker.alert.builders import signal
from worker.alert import windows
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


def filled(items: list[Signal]) -> Buckets:
    """The buckets that hold `items`."""
    buckets: Buckets = ()
    for item in items:
        buckets = windows.add(buckets, item, BUCKET_MS)
    return buckets


def figures(buckets: Buckets) -> tuple[int, int]:
    """Messages and negatives."""
    tally = windows.total(buckets)
    return tally.messages, tally.negatives


@given(st.lists(signals, max_size=40), st.integers(0, 13))
def test_buckets_are_split_at_a_boundary(items: list[Signal], at: int) -> None:
    """On either side those of the signals whose event times lie there, each counted as it was."""
    at_ms = at * BUCKET_MS
    before = [item for item in items if item.event_time_ms < at_ms]
    assert windows.split(filled(items), at_ms) == (filled(before), filled([item for item in items if item not in before]))
    assert figures(filled(before)) == (len(before), sum(item.label == "negative" for item in before))


def test_a_sample_says_how_similar_its_text_was_to_the_topic() -> None:
    """As evidence of why the message counted; None where the topic was named."""
    items = [replace(signal(1, "negative", score=-0.9), similarity=0.4), signal(1, "negative", score=-0.5)]
    for buckets in (filled(items), windows.add_all((), items, BUCKET_MS)):
        assert [sample.similarity for sample in buckets[0].samples] == [0.4, None]


def test_a_sample_is_of_its_message() -> None:
    """All that evidence shows of it, and where it stands."""
    item = signal(
        1.5, "negative", score=-0.7, message_id="m", excerpt="words", source="s", origin=Origin("t", 3, 4), similarity=0.2
    )
    for buckets in (filled([item]), windows.add_all((), [item], BUCKET_MS)):
        assert buckets[0].samples == (Sample("m", "words", -0.7, "s", 1_500, Origin("t", 3, 4), 0.2),)


@pytest.mark.parametrize(
    ("came", "kept"),
    [
        ([(-0.9, 1), (-0.8, 2), (-0.5, 3), (-0.6, 4)], [(-0.9, 1), (-0.8, 2), (-0.6, 4)]),
        ([(-0.5, 2), (-0.5, 3), (-0.5, 1), (-0.5, 4)], [(-0.5, 4), (-0.5, 3), (-0.5, 2)]),
        ([(-0.9, 1), (-0.8, 2), (-0.7, 3), (-0.6, 4)], [(-0.9, 1), (-0.8, 2), (-0.7, 3)]),
    ],
)
def test_a_fourth_sample_takes_the_place_of_the_last(came: list[tuple[float, int]], kept: list[tuple[float, int]]) -> None:
    """Where it is more negative, or as much so and later."""
    (bucket,) = filled([signal(at_s, score=score) for score, at_s in came])
    assert [(sample.score, sample.event_time_ms // 1_000) for sample in bucket.samples] == kept


def test_of_equally_negative_messages_the_newest_and_then_the_first_by_place_go_first() -> None:
    """So that the few that are kept do not depend on the order in which they came."""
    one = Sample("b", "x", -0.5, "s", 2_000, Origin("t", 2, 2), None)
    before = [
        replace(one, score=-0.6, event_time_ms=1_000),
        replace(one, event_time_ms=3_000, message_id="c"),
        replace(one, message_id="a", origin=Origin("u", 9, 9)),
        replace(one, origin=Origin("s", 9, 9)),
        replace(one, origin=Origin("t", 1, 9)),
        replace(one, origin=Origin("t", 2, 1)),
    ]
    for other in before:
        assert windows.most_negative((one, other)) == (other, one)


@given(st.lists(signals, max_size=20).flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_order_of_arrival_makes_no_difference(pair: tuple[list[Signal], list[Signal]]) -> None:
    """The same signals in any order give the same buckets: counts, samples and model."""
    assert filled(pair[0]) == filled(pair[1])


@given(st.lists(signals, max_size=30))
def test_samples_are_the_most_negative(items: list[Signal]) -> None:
    """Each bucket keeps its three negatives of lowest score."""
    for bucket in filled(items):
        here = [
            i.score for i in items if i.label == "negative" and i.event_time_ms // BUCKET_MS == bucket.start_ms // BUCKET_MS
        ]
        assert [sample.score for sample in bucket.samples] == sorted(here)[:3]


@given(st.lists(signals, max_size=20))
def test_tally_is_that_of_the_signals(items: list[Signal]) -> None:
    """Sums of scores in thousandths, of their squares, and the largest probability of a negative in millionths."""
    tally = windows.total(filled(items))
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
            assert [bucket.model for bucket in filled(items)] == [ModelRef(*new)]
            assert windows.add_all((), items, BUCKET_MS) == filled(items)


@given(st.lists(signals, max_size=30), st.lists(st.sampled_from("12"), min_size=30, max_size=30), st.integers(0, 30))
def test_many_at_once_count_as_one_by_one(items: list[Signal], versions: list[str], cut: int) -> None:
    """Tallies, samples and models, whatever the buckets held before."""
    scored = [replace(item, model=ModelRef("m", version)) for item, version in zip(items, versions, strict=False)]
    first = windows.add_all((), scored[:cut], BUCKET_MS)
    assert windows.add_all(first, scored[cut:], BUCKET_MS) == filled(scored)
