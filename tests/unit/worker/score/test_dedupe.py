import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.builders import GOOD, message
from worker.score.dedupe import DuplicateIndex


def test_a_repeat_names_the_first() -> None:
    """The same text of another record is a duplicate of the first message's id; the first is none."""
    index = DuplicateIndex(10)
    first, second, third = (message("same", offset=offset) for offset in range(3))
    assert [index.look_up(m).duplicate_of(m) for m in (first, second, third)] == [None, "m0", "m0"]


def test_a_repeat_knows_the_score_once_it_is_there() -> None:
    """All who look a text up share what is known of it, also what comes later."""
    index = DuplicateIndex(10)
    waiting = index.look_up(message("same", offset=0))
    assert index.look_up(message("same", offset=1)).sentiment is None
    waiting.sentiment = GOOD
    assert index.look_up(message("same", offset=2)).sentiment == GOOD


def test_a_record_that_is_read_again_is_no_duplicate_of_itself() -> None:
    """After an abort the same record comes again, and its prediction must not change."""
    index = DuplicateIndex(10)
    first = message("same", offset=3)
    for _ in range(2):
        assert index.look_up(first).duplicate_of(first) is None


def test_a_text_without_a_prediction_is_forgotten() -> None:
    """A repeat of it is a first again: nothing may point to an id that has no prediction."""
    index = DuplicateIndex(10)
    first, second = message("bad", offset=0), message("bad", offset=1)
    index.forget(first, index.look_up(first))
    assert index.look_up(second).duplicate_of(second) is None


def test_the_same_id_at_another_place_is_a_duplicate() -> None:
    """A producer that sent twice made two records; the place in Kafka tells them apart, not the id."""
    index = DuplicateIndex(10)
    once, twice = message("same", offset=0, id="a"), message("same", offset=1, id="a")
    assert [index.look_up(m).duplicate_of(m) for m in (once, twice)] == [None, "a"]


def test_a_day_later_the_text_is_a_first_again_and_its_sentiment_known() -> None:
    """Window and memory are two things: a greeting is not the story of the day before, and the model need not see it again."""
    index = DuplicateIndex(10, window_ms=1_000)
    index.look_up(message("good morning", event_time_ms=0)).sentiment = GOOD
    second, third = (message("good morning", offset=n, event_time_ms=1_000 + n) for n in (1, 2))
    assert [(index.look_up(m).duplicate_of(m), index.look_up(m).sentiment) for m in (second, third)] == [
        (None, GOOD),
        ("m1", GOOD),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a b", "a  b", True),
        ("a b", " a\n\tb ", True),
        ("a b", "a\u00a0b", True),
        ("a b", "ab", False),
        ("a", "A", False),
        ("a", "a.", False),
    ],
)
def test_what_counts_as_the_same_text(one: str, other: str, same: bool) -> None:
    """White space is folded, as the tokenizer does; everything else counts."""
    index = DuplicateIndex(10)
    assert (index.look_up(message(one, offset=0)) is index.look_up(message(other, offset=1))) == same


def test_the_title_is_part_of_the_text() -> None:
    """What the model sees decides: another title is another text."""
    index = DuplicateIndex(10)
    assert index.look_up(message("a", title="x")) is not index.look_up(message("a", title="y", offset=1))


def test_the_least_recently_seen_is_forgotten_first() -> None:
    """The cache is bounded; a text that keeps coming stays."""
    index = DuplicateIndex(2)
    for offset, text in enumerate(["a", "b", "a", "c"]):
        index.look_up(message(text, offset=offset))
    names = {text: index.look_up(message(text, offset=9)).story.first_id for text in ("a", "c")}
    assert names == {"a": "m0", "c": "m3"}
    assert index.look_up(message("b", offset=9)).story.first_id == "m9"


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30), st.integers(1, 5))
def test_memory_is_bounded_and_no_text_is_taken_for_another(texts: list[str], capacity: int) -> None:
    """Never more than the capacity is held; whatever is called a duplicate has an equal text."""
    index = DuplicateIndex(capacity)
    sent = [message(text, offset=offset) for offset, text in enumerate(texts)]
    for one in sent:
        first = index.look_up(one).duplicate_of(one)
        assert first is None or sent[int(first[1:])].text.split() == one.text.split()
        assert len(index._known) <= capacity
