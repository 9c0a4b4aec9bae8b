import random

import pytest

from training.augment.templates import FAMILIES, NOT_BAD, Behaviour, Opinion, behavioural
from training.data import THRESHOLD, label_of


def texts_of(family: str, count: int = 1200) -> list[Behaviour]:
    """The sentences that one family makes."""
    return [b for b in behavioural(count, 3) if b.capability == family]


def test_the_same_seed_makes_the_same_sentences() -> None:
    """So that a training run can be done again; another seed makes others."""
    assert behavioural(100, 1) == behavioural(100, 1)
    assert behavioural(100, 1) != behavioural(100, 2)


def test_every_family_has_its_share_and_no_text_is_twice() -> None:
    """A few doubles are dropped, so the shares are equal to a quarter."""
    made = behavioural(1200, 5)
    assert len({b.text for b in made}) == len(made) <= 1200
    shares = [sum(b.capability == family.__name__ for b in made) for family in FAMILIES]
    assert min(shares) > 0.75 * 1200 / len(FAMILIES)
    assert max(shares) <= -(-1200 // len(FAMILIES))


@pytest.mark.parametrize(("sign", "label"), [(1, "negative"), (0, "neutral"), (-1, "positive")])
def test_denial_turns_a_judgement(sign: int, label: str) -> None:
    """What judges nothing stays neutral; a denied reproach lies on the border of neutral and positive, never negative."""
    assert label_of(Opinion("word", sign).negated) == label
    assert NOT_BAD == THRESHOLD


@pytest.mark.parametrize("family", ["facts", "memories"])
def test_what_judges_nothing_now_is_neutral(family: str) -> None:
    """Names, places, numbers and what only used to be so."""
    assert {label_of(b.rating) for b in texts_of(family)} == {"neutral"}


def test_a_group_alone_is_neutral() -> None:
    """Whoever is named; only a judging word after it makes the sentence one or the other."""
    persons = texts_of("persons")
    assert {label_of(b.rating) for b in persons if ", and " not in b.text} == {"neutral"}
    assert {label_of(b.rating) for b in persons if ", and " in b.text} == {"negative", "positive"}


@pytest.mark.parametrize("family", ["kinds", "subjects"])
def test_people_are_as_often_neutral_as_judged(family: str) -> None:
    """More than half of what is said of a kind of people, or of her, him and them, judges nobody; the rest goes both ways."""
    labels = [label_of(b.rating) for b in texts_of(family)]
    assert labels.count("neutral") > len(labels) / 2
    assert set(labels) == {"negative", "neutral", "positive"}


def test_ratings_lie_on_the_scale_and_texts_are_sentences() -> None:
    """In [-4, 4]; no article stands before a wrong vowel, no placeholder is left."""
    for made in behavioural(1200, 9):
        assert -4 <= made.rating <= 4
        assert not set("{}") & set(made.text)
        assert not [w for a, w in zip(made.text.split(), made.text.split()[1:], strict=False) if a == "a" and w[0] in "aeio"]


def test_families_draw_from_the_generator_they_are_given() -> None:
    """A family has no randomness of its own."""
    assert all(family(random.Random(4)) == family(random.Random(4)) for family in FAMILIES)
