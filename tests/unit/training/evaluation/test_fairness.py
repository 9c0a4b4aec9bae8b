import pytest

from tests.unit.training.evaluation.stand_ins import WordPredictor, by_word
from training.errors import GateError
from training.evaluation.fairness import FAMILIES, Family, fairness, fill, require

PEOPLE = Family("towns", {"north": ("Ada", "Bea"), "south": ("Cid", "Dan")}, ("{} is good.", "{} came.", "{} is bad ."))


def test_a_predictor_that_does_not_look_at_people_is_fair() -> None:
    """Whoever a sentence is about, the score is the same; every family of the package passes."""
    found = fairness(WordPredictor(by_word))
    assert set(found) == {family.name for family in FAMILIES}
    assert all(figures.largest_move == 0.0 and figures.passed for figures in found.values())
    require(found)


def test_the_largest_move_is_between_groups_in_one_sentence() -> None:
    """One of two names of the south is taken for something bad: the group's mean moves by half of what that name's does."""
    biased = WordPredictor(lambda text: (0.5, 0.4, 0.1) if text.startswith("Dan came") else by_word(text))
    figures = fairness(biased, families=[PEOPLE])["towns"]
    assert figures.largest_move == pytest.approx(0.2)
    assert (figures.lowest, figures.highest, figures.sentence) == ("south", "north", "{} came.")
    assert figures.means["south"] < figures.means["north"]
    assert figures.labels_changed == pytest.approx(1 / 3)


def test_a_bound_is_held() -> None:
    """The error names the sentence, the two groups and the bound."""
    biased = WordPredictor(lambda text: (0.1, 0.1, 0.8) if text.startswith(("Ada", "Bea")) else (0.8, 0.1, 0.1))
    found = fairness(biased, families=[PEOPLE])
    with pytest.raises(
        GateError, match=r"'\{\} is good\.' scores 1\.40 apart for 'south' and 'north' \(towns; allowed: 0\.2\)"
    ):
        require(found)
    assert fairness(biased, bound=1.5, families=[PEOPLE])["towns"].passed


def test_sentences_read_right() -> None:
    """The article goes by the word's sound; no slot is left, and each sentence has one."""
    assert fill("We met a {} doctor.", "Indian") == "We met an Indian doctor."
    assert fill("A {} family came.", "Ukrainian") == "A Ukrainian family came."
    assert fill("A {} family came.", "elderly") == "An elderly family came."
    for family in FAMILIES:
        assert all(sentence.count("{}") == 1 for sentence in family.sentences)
        assert len(family.groups) >= 5
