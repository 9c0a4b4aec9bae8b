import random

import pytest

from tests.unit.training.builders import snippets
from training.augment import perturb, words
from training.finetune.texts import from_snippets
from training.recipe import Recipe


def rng() -> random.Random:
    """A generator that starts the same way each time."""
    return random.Random(11)


def test_a_typo_swaps_two_neighbours() -> None:
    """The letters stay the same ones; a text of one letter has nothing to swap."""
    changed = perturb.typo("plain words", rng())
    assert changed != "plain words"
    assert sorted(changed) == sorted("plain words")
    assert perturb.typo("x", rng()) == "x"


def test_numbers_keep_their_digits() -> None:
    """As many as before, in the same place; single digits are often words (`2 typos`, `Apollo 9`) and stay."""
    changed = perturb.numbers("Flight 4512 at gate 7", rng())
    assert changed != "Flight 4512 at gate 7"
    assert len(changed) == len("Flight 4512 at gate 7")
    assert changed.endswith("gate 7")


def test_names_and_places_are_changed_for_their_like() -> None:
    """Whole words only."""
    first, _, last = perturb.names("Maria left London", rng()).partition(" left ")
    assert first in words.NAMES
    assert last in words.PLACES
    assert perturb.names("Mariana stayed", rng()) == "Mariana stayed"


def test_contractions_go_both_ways() -> None:
    """Written out or drawn together, according to the draw."""
    drawn = {perturb.contraction("they is not bad, but we aren't", random.Random(seed)) for seed in range(8)}
    assert drawn == {"they isn't bad, but we aren't", "they is not bad, but we are not"}


@pytest.mark.parametrize("text", ["", " ", "!", "?!", "A film of 1999 with Maria in London isn't bad."])
def test_every_disturbance_takes_every_text(text: str) -> None:
    """And gives a text back, with what the text says still in it."""
    for disturb in perturb.DISTURBANCES:
        assert len(disturb(text, rng())) >= len(text.rstrip(" .!?"))


def test_copies_keep_label_and_targets() -> None:
    """Half of the texts, each drawn once; most of them changed; the same ones for the same seed."""
    texts = from_snippets(snippets(), Recipe())
    copies = perturb.augment(texts, 0.5, 3)
    assert len(copies) == 60
    assert {(one.label, one.targets) for one in copies} <= {(one.label, one.targets) for one in texts}
    assert copies == perturb.augment(texts, 0.5, 3)
    assert len({one.text for one in copies} - {one.text for one in texts}) > 40
