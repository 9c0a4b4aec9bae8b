from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.score.batching import Batch, Batcher, BatchLimits, Tokenised, pad

LIMITS = BatchLimits(buckets=(4, 8, 16), max_tokens=32, max_texts=6, deadline_ms=50)


def text(tokens: int, arrived_ms: float = 0, item: int = 0) -> Tokenised[int]:
    """A text of so many tokens, counted from 1."""
    return Tokenised(list(range(1, tokens + 1)), arrived_ms, item)


def filled(texts: Iterable[Tokenised[int]], limits: BatchLimits = LIMITS) -> Batcher[int]:
    """A batcher that holds these."""
    batcher: Batcher[int] = Batcher(limits)
    for one in texts:
        batcher.add(one)
    return batcher


def items(batch: Batch[int] | None) -> list[int]:
    """The items of a batch; none of no batch."""
    return [] if batch is None else [one.item for one in batch.texts]


@pytest.mark.parametrize(("bucket", "expected"), [(4, 6), (8, 4), (16, 2), (32, 1), (64, 1)])
def test_how_many_texts_fill_a_batch(bucket: int, expected: int) -> None:
    """The token budget or the count, whichever is less; one text always fits."""
    assert LIMITS.texts(bucket) == expected


def test_the_ceiling_is_a_full_batch_without_padding() -> None:
    """Three texts of 5, 6 and 8 tokens: three quarters of a batch of four, their tokens and pairs; 0 if no cost is known."""
    costly = msgspec.structs.replace(LIMITS, cost=(0.1, 0.01, 0.001))
    assert costly.ceiling_s(8, [5, 6, 8]) == pytest.approx(0.075 + 0.19 + 0.125)
    assert LIMITS.ceiling_s(8, [5, 6, 8]) == 0


@pytest.mark.parametrize(("tokens", "bucket"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16), (0, 4)])
def test_a_text_goes_to_the_smallest_bucket_that_holds_it(tokens: int, bucket: int) -> None:
    """Padding is the least it can be."""
    batch = filled([text(tokens)]).take(0, idle=True)
    assert batch is not None
    assert batch.bucket == bucket


def test_a_text_too_long_is_a_fault() -> None:
    """The tokenizer truncates; what still does not fit is refused and not cut in silence."""
    with pytest.raises(ValueError, match="17 tokens do not fit the largest bucket, 16"):
        filled([text(17)])


def test_a_full_bucket_leaves_at_once_and_the_rest_waits() -> None:
    """What does not fit starts the next batch."""
    batcher = filled(text(8, item=item) for item in range(5))
    assert items(batcher.take(0)) == [0, 1, 2, 3]
    assert batcher.take(0) is None
    assert len(batcher) == 1


@pytest.mark.parametrize(("now_ms", "leaves"), [(10, False), (59.9, False), (60, True), (1_000, True)])
def test_the_oldest_text_sets_the_deadline(now_ms: float, leaves: bool) -> None:
    """A batch leaves when its oldest has waited as long as allowed, the young ones with it."""
    batcher = filled([text(3, 10, 1), text(3, 55, 2)])
    assert items(batcher.take(now_ms)) == ([1, 2] if leaves else [])


def test_an_idle_model_waits_for_nothing() -> None:
    """While nothing is at the model, waiting for more would gain nothing."""
    assert items(filled([text(3, item=7)]).take(0, idle=True)) == [7]


def test_of_the_batches_due_the_oldest_leaves_first() -> None:
    """No bucket can starve another, however busy it is."""
    batcher = filled([*(text(3, 20, item) for item in range(6)), text(16, 10, 9)])
    assert items(batcher.take(20)) == [0, 1, 2, 3, 4, 5]
    batcher = filled([*(text(3, 20, item) for item in range(6)), text(16, 10, 9)])
    assert items(batcher.take(60)) == [9]


def test_a_batch_that_is_not_full_is_filled_up_from_the_buckets_just_below() -> None:
    """Of four places its own two texts take the first, and then the oldest of the next; what would be padding mostly stays."""
    limits = BatchLimits(buckets=(4, 7, 8, 10), max_tokens=40, max_texts=6, deadline_ms=50, fills_up=True)
    ten, eight, seven, four = (
        text(size, arrived, item) for size, arrived, item in ((10, 0, 0), (8, 9, 1), (7, 2, 2), (4, 1, 3))
    )
    batcher = filled([ten, four, seven, text(7, 3, 5), eight, text(10, 10, 4)], limits)
    batch = batcher.take(60)
    assert batch is not None
    assert (batch.bucket, items(batch)) == (10, [0, 4, 1, 2])
    assert items(batcher.take(60)) == [3]
    assert items(batcher.take(60)) == [5]


def test_a_batch_that_is_full_takes_nothing_from_elsewhere() -> None:
    """With a backlog each bucket has its own batches, and next to no padding."""
    limits = BatchLimits(buckets=(9, 10), max_tokens=20, max_texts=6, deadline_ms=50, fills_up=True)
    batcher = filled([text(9, 0, 0), text(10, 1, 1), text(10, 2, 2), text(9, 3, 3)], limits)
    assert [items(batcher.take(5)) for _ in range(2)] == [[0, 3], [1, 2]]


def test_where_an_answer_depends_on_its_padding_every_text_keeps_to_its_bucket() -> None:
    """As in bfloat16: else an answer would depend on who else came."""
    limits = BatchLimits(buckets=(9, 10), max_tokens=40, max_texts=6, deadline_ms=50)
    batcher = filled([text(10, 0, 0), text(9, 1, 1)], limits)
    assert [items(batcher.take(99)) for _ in range(2)] == [[0], [1]]


def test_a_model_that_takes_over_says_anew_whether_batches_are_filled_up() -> None:
    """And where they never were they are not now: the model beside it may not bear it."""
    waiting = [text(10, 0, 0), text(9, 1, 1)]
    limits = BatchLimits(buckets=(9, 10), max_tokens=40, max_texts=6, deadline_ms=50, fills_up=True)
    for begun, then, first in ((True, True, [0, 1]), (True, False, [0]), (False, True, [0])):
        batcher = filled(waiting, msgspec.structs.replace(limits, fills_up=begun))
        batcher.go_on_with(pads_freely=then)
        assert items(batcher.take(99)) == first


def test_nothing_waits_in_an_empty_batcher() -> None:
    """No batch leaves; clearing makes it empty."""
    batcher = filled([text(3), text(9)])
    batcher.clear()
    assert (len(batcher), batcher.take(9_999, idle=True)) == (0, None)


limits = st.builds(
    BatchLimits,
    buckets=st.sets(st.integers(1, 64), min_size=1, max_size=5).map(lambda sizes: tuple(sorted(sizes))),
    max_tokens=st.integers(1, 256),
    max_texts=st.integers(1, 20),
    deadline_ms=st.floats(1, 100),
    fills_up=st.booleans(),
)


@given(limits, st.data())
def test_nothing_is_lost_or_doubled_whatever_arrives(limits: BatchLimits, data: st.DataObject) -> None:
    """Every text leaves once, in the order of arrival within its bucket, in a batch within the limits, by its deadline."""
    lengths = data.draw(st.lists(st.integers(0, limits.buckets[-1]), max_size=60))
    batcher: Batcher[int] = Batcher(limits)

    def own(one: Tokenised[int]) -> int:
        return min(bucket for bucket in limits.buckets if len(one.ids) <= bucket)

    now_ms, arrived_ms, taken = 0.0, [], []
    for item, length in enumerate(lengths):
        arrived_ms.append(now_ms)
        batcher.add(text(length, now_ms, item))
        now_ms += data.draw(st.floats(0, 30))
        idle = data.draw(st.booleans())
        while (batch := batcher.take(now_ms, idle=idle)) is not None:
            taken.append(batch)
        waiting = set(range(item + 1)) - {gone for batch in taken for gone in items(batch)}
        assert all(now_ms - arrived_ms[one] < limits.deadline_ms for one in waiting)
        assert not (idle and len(batcher))
    while (batch := batcher.take(now_ms, idle=True)) is not None:
        taken.append(batch)
    for batch in taken:
        assert len(batch.texts) == 1 or len(batch.texts) * batch.bucket <= limits.max_tokens
        assert 1 <= len(batch.texts) <= limits.max_texts
        least = 0.7 * batch.bucket if limits.fills_up else batch.bucket
        assert all(least <= own(one) <= batch.bucket for one in batch.texts)
    for bucket in limits.buckets:
        order = [one.item for batch in taken for one in batch.texts if own(one) == bucket]
        assert order == sorted(order)
    assert sorted(item for batch in taken for item in items(batch)) == list(range(len(lengths)))


@given(st.lists(st.integers(0, 16), min_size=1, max_size=8), st.integers(0, 9))
def test_padding_goes_to_the_right_and_is_masked(lengths: list[int], pad_id: int) -> None:
    """Shape (texts, bucket), int64; where the mask is 1 stand the ids, in order, elsewhere the padding."""
    batch = Batch(16, tuple(text(length) for length in lengths))
    padded = pad(batch, pad_id)
    assert padded.input_ids.shape == padded.attention_mask.shape == (len(lengths), 16)
    assert padded.input_ids.dtype == padded.attention_mask.dtype == np.int64
    for length, ids, mask in zip(lengths, padded.input_ids.tolist(), padded.attention_mask.tolist(), strict=True):
        assert ids == [*range(1, length + 1), *[pad_id] * (16 - length)]
        assert mask == [1] * length + [0] * (16 - length)


def test_the_share_of_padding() -> None:
    """Three of eight places hold a token, five are padding."""
    assert Batch(4, (text(1), text(2))).padding == pytest.approx(5 / 8)
    assert Batch(4, (text(4),)).padding == 0
