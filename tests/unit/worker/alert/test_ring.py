"""The closed buckets of a key: whatever is kept of them must be what the buckets themselves would say."""

from functools import reduce
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import signal
from worker.alert import ring, windows
from worker.alert.ring import EMPTY, Ring
from worker.alert.windows import Buckets, Tally
from worker.messages import Label, ModelRef, Signal

BUCKET_MS = 10_000
SPANS_MS = (60_000, 30_000, 10_000)
labels: st.SearchStrategy[Label] = st.sampled_from(("negative", "negative", "positive"))
signals = st.builds(
    lambda at_s, label, score, negative, name: signal(at_s, label, score=score, negative=negative, message_id=name),
    st.integers(0, 200),
    labels,
    st.sampled_from([-0.9, -0.8, -0.5, -0.5, 0.1]),
    st.sampled_from([0.1, 0.5, 0.5, 0.99]),
    st.uuids().map(str),
)


def filled(items: list[Signal]) -> Buckets:
    """The buckets that hold `items`."""
    return windows.add_all((), items, BUCKET_MS)


class Closed(NamedTuple):
    """A ring, and what it was made of."""

    ring: Ring
    buckets: Buckets
    end_ms: int

    def of(self, span_ms: int) -> Buckets:
        """The buckets of the last `span_ms`."""
        return tuple(bucket for bucket in self.buckets if bucket.start_ms >= self.end_ms - span_ms)


def closed(items: list[Signal], ends: list[int]) -> Closed:
    """What is left when the boundaries `ends`, in buckets, have been passed one after the other."""
    found, rest, done = EMPTY, filled(items), Buckets(())
    for end in sorted(ends):
        closing, rest = windows.split(rest, end * BUCKET_MS)
        found, done = ring.close(found, closing, end * BUCKET_MS, SPANS_MS), (*done, *closing)
    return Closed(found, done, max(ends) * BUCKET_MS)


ends = st.lists(st.integers(0, 24), min_size=1, max_size=24)


@given(st.lists(signals, max_size=60), ends)
def test_spans_add_up_to_their_buckets(items: list[Signal], passed: list[int]) -> None:
    """Every figure of every span, as if each were added up by itself; squares too."""
    found = closed(items, passed)
    expected = tuple(windows.total(found.of(span_ms)) for span_ms in SPANS_MS)
    assert ring.tallies(found.ring, found.end_ms, SPANS_MS) == expected
    assert ring.messages(found.ring) == expected[0].messages
    assert all(peak.start_ms >= found.end_ms - SPANS_MS[0] for peak in found.ring.peaks)


@given(st.lists(signals, max_size=60), ends)
def test_what_is_kept_does_not_depend_on_how_often_buckets_were_closed(items: list[Signal], passed: list[int]) -> None:
    """All at one time or one after the other: state stored by one worker is what another would have come to."""
    assert closed(items, passed).ring == closed(items, [max(passed)]).ring


@given(st.lists(signals, max_size=60), ends)
def test_the_most_negative_of_every_span_is_kept(items: list[Signal], passed: list[int]) -> None:
    """The evidence of each span, and of each that may yet be looked at, when the oldest buckets have left."""
    found = closed(items, passed)
    for span_ms in range(BUCKET_MS, SPANS_MS[0] + 1, BUCKET_MS):
        everyone = tuple(sample for bucket in found.of(span_ms) for sample in bucket.samples)
        kept = tuple(sample for sample in found.ring.samples if sample.event_time_ms >= found.end_ms - span_ms)
        assert windows.most_negative(kept) == windows.most_negative(everyone)


@given(st.lists(signals, max_size=60), ends)
def test_spans_are_intact_until_one_of_them_loses_a_bucket(items: list[Signal], passed: list[int]) -> None:
    """The boundary before the first at which one of them holds fewer, if nothing comes."""
    found = closed(items, passed)
    later = range(found.end_ms + BUCKET_MS, found.end_ms + SPANS_MS[0] + BUCKET_MS, BUCKET_MS)
    expected = next((at_ms for at_ms in later if any(fewer(found, span_ms, at_ms) for span_ms in SPANS_MS)), None)
    intact_ms = ring.intact_until(found.ring, SPANS_MS)
    assert intact_ms + BUCKET_MS == expected if expected else intact_ms > 1 << 60


def fewer(found: Closed, span_ms: int, at_ms: int) -> bool:
    """Whether a span that ends then holds fewer of the buckets than now."""
    return len(Closed(found.ring, found.buckets, at_ms).of(span_ms)) < len(found.of(span_ms))


def test_an_empty_window_is_as_one_in_which_nothing_ever_was() -> None:
    """No rows, sums or model of old are carried along, so that states of equal meaning are equal."""
    assert closed([signal(1), signal(12)], [2, 30]).ring == EMPTY
    assert ring.tallies(EMPTY, 10_000, SPANS_MS) == (Tally(), Tally(), Tally())
    assert ring.messages(EMPTY) == 0


def test_model_is_that_of_the_newest_messages() -> None:
    """A window that spans a change of model names the new one, also when nothing comes any more."""
    new = ModelRef("sentiment", "2")
    assert closed([signal(1), signal(11, model=new)], [1]).ring.model == signal(1).model
    assert closed([signal(1), signal(11, model=new)], [1, 2, 5]).ring.model == new


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([-0.9, -0.5], [-0.5, -0.9]),
        ([-0.2, -0.3, -0.4, -0.5], [-0.5, -0.4, -0.3]),
        ([-0.15, -0.1, -0.2, -0.5], [-0.5, -0.2, -0.1, -0.15]),
    ],
)
def test_what_newer_ones_outweigh_is_no_evidence_any_more(scores: list[float], kept: list[float]) -> None:
    """Three of them; one less bad may be shown once the others have left."""
    found = closed([signal(index * 10 + 1, score=score) for index, score in enumerate(scores)], [len(scores)])
    assert [sample.score for sample in found.ring.samples] == kept


def test_evidence_goes_with_its_bucket() -> None:
    """A message of the very first moment of a span is in it."""
    assert [sample.event_time_ms for sample in closed([signal(10)], [2, 7]).ring.samples] == [10_000]
    assert closed([signal(10), signal(21)], [3, 8]).ring.samples == closed([signal(21)], [3]).ring.samples


def test_the_worst_are_evidence_for_as_long_as_they_are_in_the_window() -> None:
    """Also in a recovery so steady that each message may yet be the worst."""
    long_ms, found = 60 * BUCKET_MS, EMPTY
    for index in range(240):
        fading = filled([signal(index * 10 + 1, score=-0.9 + index / 1_000)])
        found = ring.close(found, fading, (index + 1) * BUCKET_MS, (long_ms,))
        worst = [sample.event_time_ms // BUCKET_MS for sample in windows.most_negative(found.samples)]
        assert worst == list(range(max(0, index - 59), index + 1))[:3]
    assert len(found.samples) == 60


def test_of_messages_that_are_all_alike_the_newest_are_evidence() -> None:
    """They stay longest, so that three are enough, however long the window."""
    found = closed([signal(index * 10 + 1) for index in range(6)], [6]).ring
    assert [sample.event_time_ms for sample in found.samples] == [51_000, 41_000, 31_000]


def test_a_million_messages_are_added_up_exactly() -> None:
    """Far beyond what 32 bits hold of scores and their squares."""
    loud = Tally(4_000_000_000, 3_000_000_000, -2_900_000_000_000, 2_810_000_000_000_000, 990_000)
    buckets = tuple(windows.Bucket(start_ms, loud, (), ModelRef("m", "1")) for start_ms in (0, 10_000, 20_000))
    found = reduce(lambda kept, one: ring.close(kept, (one,), one.start_ms + 10_000, (30_000,)), buckets, EMPTY)
    assert ring.tallies(found, 30_000, (30_000,)) == (windows.total(buckets),)
