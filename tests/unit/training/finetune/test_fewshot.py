from itertools import groupby

import pytest

from tests.unit.training.builders import tokenizer_file
from tests.unit.training.finetune.builders import TINY, encoder, score, texts
from training.data import LABELS
from training.errors import TrainingError
from training.finetune.fewshot import draw_pairs, fewshot
from training.finetune.texts import Text
from training.quiet import quiet_libraries


def few(shots: int) -> list[Text]:
    """So many texts of each label."""
    ordered = sorted(texts()[:60], key=lambda one: one.label)
    return [one for _, group in groupby(ordered, key=lambda one: one.label) for one in list(group)[:shots]]


def test_eight_texts_a_label_are_enough(tmp_path) -> None:
    """An encoder that knew nothing tells unseen texts apart, from 24 labelled ones."""
    with quiet_libraries():
        model = fewshot(TINY, encoder(tmp_path), tokenizer_file(), few(8), pairs=320)
    assert score(model, texts()[60:]) > 0.9


def test_half_of_the_pairs_are_of_one_label() -> None:
    """Whatever the labels' shares; the same seed draws the same ones, and none is of a text with itself."""
    labels = [0] * 2 + [1] * 3 + [2] * 20
    pairs = list(draw_pairs(labels, 100, 3))
    assert [alike for _, _, alike in pairs] == [1.0, 0.0] * 50
    assert all((labels[one] == labels[other]) == bool(alike) and one != other for one, other, alike in pairs)
    assert pairs == list(draw_pairs(labels, 100, 3))


def test_a_label_with_one_text_has_no_pair(tmp_path) -> None:
    """The message names it, and how many it has."""
    short = [one for one in few(8) if one.label != "neutral"] + few(1)[1:2]
    assert {one.label for one in short} == set(LABELS)
    with pytest.raises(TrainingError, match="neutral has 1"):
        fewshot(TINY, encoder(tmp_path), tokenizer_file(), short)
