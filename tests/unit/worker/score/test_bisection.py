import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.score.batching import Batch, Tokenised
from worker.score.bisection import Accused, Refusal, Trial, judge
from worker.score.breaker import Fault

FAULT = Fault("refused", "cannot take it")


def trial(*items: int, strikes: int = 0) -> Trial[int]:
    """A batch of these texts."""
    return Trial(Batch(8, tuple(Tokenised([item], float(item), item) for item in items)), strikes)


def items_of(trials: tuple[Trial[int], ...]) -> list[list[int]]:
    """The items of each."""
    return [[text.item for text in each.batch.texts] for each in trials]


@pytest.mark.parametrize(
    ("items", "halves"),
    [
        ([1, 2], [[1], [2]]),
        ([1, 2, 3], [[1], [2, 3]]),
        ([1, 2, 3, 4], [[1, 2], [3, 4]]),
        ([5, 4, 3, 2, 1], [[5, 4], [3, 2, 1]]),
    ],
)
def test_a_batch_is_cut_in_halves(items: list[int], halves: list[list[int]]) -> None:
    """In the order it had, in the bucket it had, each at once and with no strike."""
    verdict = judge(Accused(trial(*items), FAULT), 8, 100.0, 1.0)
    assert isinstance(verdict, tuple)
    assert items_of(verdict) == halves
    assert {(part.batch.bucket, part.strikes, part.not_before_s) for part in verdict} == {(8, 0, 0.0)}


@pytest.mark.parametrize(
    ("strikes", "jitter", "pause_s"), [(0, 1.0, 0.1), (0, 0.0, 0.0), (1, 1.0, 0.2), (3, 0.5, 0.4), (6, 1.0, 1.0)]
)
def test_a_text_that_stands_alone_gets_a_strike(strikes: int, jitter: float, pause_s: float) -> None:
    """And waits, 0.1 s doubling to 1 s with full jitter, before it is tried again."""
    verdict = judge(Accused(trial(7, strikes=strikes), FAULT), 8, 100.0, jitter)
    assert isinstance(verdict, tuple)
    assert items_of(verdict) == [[7]]
    assert verdict[0].strikes == strikes + 1
    assert verdict[0].not_before_s == pytest.approx(100.0 + pause_s)


@pytest.mark.parametrize(("strikes", "most"), [(7, 8), (0, 1), (9, 8)])
def test_at_the_last_strike_it_is_refused(strikes: int, most: int) -> None:
    """With what was the matter."""
    verdict = judge(Accused(trial(7, strikes=strikes), FAULT), most, 100.0, 1.0)
    assert isinstance(verdict, Refusal)
    assert (verdict.text.item, verdict.fault) == (7, FAULT)


def test_an_acquitted_text_has_no_strikes() -> None:
    """What failed was the model."""
    assert trial(7, strikes=5).acquitted() == trial(7)


@pytest.mark.parametrize(("wanted", "left"), [({1, 2, 3}, [1, 2, 3]), ({2}, [2]), (set(), None)])
def test_texts_can_be_dropped(wanted: set[int], left: list[int] | None) -> None:
    """Those of a partition that is gone; strikes stay only with the whole."""
    kept = trial(1, 2, 3).keep(wanted.__contains__)
    assert (kept and items_of((kept,))[0]) == left


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=5))
def test_all_poison_is_found_and_nothing_else(count: int, poison: set[int]) -> None:
    """However many there are: each stands alone in the end, and every other text is answered once."""
    waiting, answered, refused, requests = [trial(*range(count))], [], [], 0
    while waiting:
        under_way, requests = waiting.pop(), requests + 1
        items = [text.item for text in under_way.batch.texts]
        if not poison & set(items):
            answered += items
            continue
        verdict = judge(Accused(under_way, FAULT), 8, 0.0, 1.0)
        if isinstance(verdict, Refusal):
            refused.append(verdict.text.item)
        else:
            waiting += verdict
    bad = poison & set(range(count))
    assert sorted(answered) == sorted(set(range(count)) - bad)
    assert sorted(refused) == sorted(bad)
    assert requests <= 1 + len(bad) * (2 * count.bit_length() + 8)
