import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.builders import NOW_MS, message
from worker.messages import Matches
from worker.score.dedupe import HALF_A_DAY_MS, DuplicateIndex
from worker.score.near import NearIndex, NearLimits

STORY = "Acme said on Tuesday that it would close its oldest plant in Ohio and move the work to Mexico by spring"
WORDS = STORY.split()


def index(capacity: int = 1_000, near: int = 1_000, min_words: int = 8) -> DuplicateIndex:
    """An index that knows near-duplicates."""
    return DuplicateIndex(capacity, HALF_A_DAY_MS, NearIndex(NearLimits(near, 0.6, min_words), HALF_A_DAY_MS))


def told(*texts: str, by: DuplicateIndex | None = None) -> list[str | None]:
    """Whom each text repeats, as messages m0, m1, m2..."""
    by = by or index()
    sent = [message(text, offset=offset) for offset, text in enumerate(texts)]
    return [by.look_up(one).duplicate_of(one) for one in sent]


def other_story(number: int) -> str:
    """A text of twenty words that no other shares."""
    return " ".join(f"{word}x{number}" for word in WORDS)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(f"LONDON, Nov 24 (Reuters) - {STORY}", id="agency"),
        pytest.param(STORY.upper(), id="case"),
        pytest.param(f"{STORY} https://t.co/Ab3dE", id="link"),
        pytest.param(" ".join(WORDS[:15]) + "...", id="tail cut"),
        pytest.param(f"RT @newsdesk24: {STORY}", id="retweet"),
        pytest.param(f"RT @a: RT @b_1: {STORY}", id="retweet of a retweet"),
        pytest.param(f'"{STORY}" via @alerts', id="quoted"),
        pytest.param(STORY.replace(" and", ", and").replace("Ohio", "Ohio's"), id="punctuation"),
        pytest.param(STORY.replace("Ohio", "U.S."), id="abbreviation"),
        pytest.param(STORY.replace("spring", "summer"), id="a word"),
    ],
)
def test_what_syndication_does_to_a_text_leaves_it_the_same_story(again: str) -> None:
    """Whichever of the two comes first, the other one names it."""
    assert told(STORY, again) == told(again, STORY) == [None, "m0"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("good morning everyone", "good morning, everyone!", id="short"),
        pytest.param(STORY, " ".join(reversed(WORDS)), id="the same words in another order"),
        pytest.param(STORY, " ".join(WORDS[:8]), id="less than half of it"),
        pytest.param(f"{STORY} at 13.20 dollars", f"{STORY} at 13.45 dollars", id="each has a number of its own"),
        pytest.param("早上好各位朋友", "早上好各位朋友們", id="short, without spaces"),
    ],
)
def test_what_is_no_near_duplicate(one: str, other: str) -> None:
    """Greetings, other texts of the same words, and texts made from one template are each their own first."""
    assert told(one, other) == [None, None]


def test_scripts_without_spaces_are_compared_by_their_characters() -> None:
    """A sentence of Japanese is one word to a regular expression, and many to us."""
    text = "東京証券取引所は火曜日に新しい規則を発表し来年の春から適用する"
    assert told(text, f"【速報】{text}。") == [None, "m0"]


def test_a_number_more_is_no_other_story() -> None:
    """The agency's date line adds one; only where both have one that the other lacks are they two."""
    assert told(STORY, f"NEW YORK, 24 Nov 2026 - {STORY}") == [None, "m0"]


def test_punctuation_lost_is_no_other_number_or_word() -> None:
    """An agency writes U.S. and 13.20, a chat bot US and 1320."""
    text = "The U.S. carrier's shares didn't fall below $13.20 on Monday, a long-awaited low for 1,200 holders of 9-year bonds"
    assert told(text, re.sub(r"[^\w\s]", "", text)) == [None, "m0"]


def test_digits_in_a_retweeters_name_are_no_number() -> None:
    """Who passed a text on says nothing about it."""
    assert told(f"{STORY} via @bob12", f"{STORY} via @al33") == [None, "m0"]


def test_all_name_the_first() -> None:
    """A repeat of a repeat names the first, not the repeat; also where it is word for word the repeat."""
    cut = " ".join(WORDS[:17])
    assert told(STORY, cut, f"RT @x: {cut}", cut) == [None, "m0", "m0", "m0"]


def test_a_story_does_not_drift() -> None:
    """What is like a repeat and not like the first is a first: else many small changes would join two stories."""
    sent = [" ".join([*WORDS[number:], *(f"new{n}x" for n in range(number))]) for number in (0, 4, 8, 12)]
    sent = [re.sub(r"\d", "", text) for text in sent]
    first, second, third, _ = told(*sent)
    assert (first, second, third) == (None, "m0", None)


def test_a_near_duplicate_has_its_own_sentiment() -> None:
    """The difference may be a "not"; only a text repeated word for word takes the score from memory."""
    known = index()
    assert known.look_up(message(STORY)) is not known.look_up(message(STORY.replace("would", "would not"), offset=1))


def test_news_on_another_name_is_no_duplicate() -> None:
    """Of two that differ in whom they are about, each is the first for its own name; one that names fewer is a repeat."""
    by = index()
    on = {"Acme": Matches(("Acme",), ("plants",)), "Globex": Matches(("Globex",), ("plants",)), "it": Matches((), ("plants",))}
    sent = {name: message(STORY.replace("Acme", name), offset=offset) for offset, name in enumerate(on)}
    found = {name: by.look_up(one, on[name]).duplicate_of(one) for name, one in sent.items()}
    assert found == {"Acme": None, "Globex": None, "it": "m0"}


@pytest.mark.parametrize(("after_ms", "repeats"), [(HALF_A_DAY_MS, True), (HALF_A_DAY_MS + 1, False)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("again", [STORY, f"RT @x: {STORY}"])
def test_the_window_is_of_event_time_and_reaches_both_ways(after_ms: int, repeats: bool, sign: int, again: str) -> None:
    """The same text a day later is a first again, exact or nearly; so is one that is a day late."""
    by = index()
    first = message(STORY, event_time_ms=NOW_MS)
    by.look_up(first)
    second = message(again, offset=1, event_time_ms=NOW_MS + sign * after_ms)
    assert by.look_up(second).duplicate_of(second) == ("m0" if repeats else None)
    third = message(f"{STORY}!", offset=2, event_time_ms=second.event_time_ms)
    assert by.look_up(third).duplicate_of(third) == ("m0" if repeats else "m1")


def test_a_record_that_is_read_again_is_no_duplicate_of_itself() -> None:
    """Also when its text has left the memory of exact ones; and a repeat read again names the same first."""
    by = index(capacity=1)
    first, second = message(STORY), message(f"RT @x: {STORY}", offset=1)
    for _ in range(3):
        assert [by.look_up(one).duplicate_of(one) for one in (first, second)] == [None, "m0"]
    assert [by.look_up(one).duplicate_of(one) for one in (second, first)] == ["m0", None]


def test_nothing_points_to_a_message_without_a_prediction() -> None:
    """Of a first that is refused no later text is a repeat, nor one that is in hand already; the next one is the first."""
    by = index()
    first, second = message(STORY), message(f"RT @x: {STORY}", offset=1)
    known, waiting = by.look_up(first), by.look_up(second)
    by.forget(first, known)
    assert waiting.duplicate_of(second) is None
    third, fourth = message(f"{STORY}!", offset=2), message(f"{STORY}!!", offset=3)
    assert [by.look_up(one).duplicate_of(one) for one in (third, fourth)] == [None, "m2"]


def test_a_refused_repeat_leaves_the_first_alone() -> None:
    """It was the repeat that the model could not take."""
    by = index()
    first, second = message(STORY), message(f"RT @x: {STORY}", offset=1)
    by.look_up(first)
    by.forget(second, by.look_up(second))
    assert told(STORY, f"{STORY}!", by=by)[1] == "m0"


def test_the_story_that_keeps_coming_stays() -> None:
    """The least recently told is forgotten first."""
    near = NearIndex(NearLimits(capacity=2), HALF_A_DAY_MS)
    by = DuplicateIndex(1_000, near=near)
    told(STORY, other_story(1), f"{STORY}!", other_story(2), by=by)
    again = message(f"{STORY}!!", offset=9), message(f"{other_story(1)}!!", offset=10)
    assert [by.look_up(one).duplicate_of(one) for one in again] == ["m0", None]


@given(st.integers(1, 20), st.integers(1, 60))
def test_memory_is_bounded(capacity: int, texts: int) -> None:
    """Never more stories than the capacity are held, and what is held is told from what is not."""
    near = NearIndex(NearLimits(capacity), HALF_A_DAY_MS)
    found = told(*map(other_story, range(texts)), by=DuplicateIndex(1_000, near=near))
    assert len(near) == min(capacity, texts)
    assert found == [None] * texts


@given(st.randoms(use_true_random=False))
def test_which_texts_tell_one_story_does_not_depend_on_their_order(rng: random.Random) -> None:
    """Whoever comes first is the first; how many are first does not change."""
    texts = [text for n in range(5) for text in (other_story(n), f"RT @x: {other_story(n)}", f"{other_story(n)} http://a.b/c")]
    rng.shuffle(texts)
    assert told(*texts).count(None) == 5


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_taken(one: str, other: str) -> None:
    """Whatever the script, nothing is raised, and a repeat is a repeat."""
    assert told(one, other, one, by=index(min_words=1))[2] == "m0"


def test_a_flood_from_one_template_costs_a_bounded_number_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand price lines are all worth comparing with the next one; sixteen of them are, and no more are kept."""
    compared: list[object] = []

    def differs(_index: NearIndex, _pairs: object, _numbers: object, other: object) -> bool:
        compared.append(other)
        return False

    monkeypatch.setattr(NearIndex, "_alike", differs)
    near = NearIndex(NearLimits(1_000), HALF_A_DAY_MS)
    told(*(f"{STORY} at {number} dollars" for number in range(100)), by=DuplicateIndex(1_000, near=near))
    assert len(compared) <= sum(min(number, 16) for number in range(100))
    assert len(near) <= 20
