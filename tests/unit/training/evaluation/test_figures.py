from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score  # type: ignore[import-untyped]

from training.evaluation.figures import Answered, SetFigures, reliability, set_figures
from training.evaluation.sets import EvaluationSet
from training.examples import Example
from training.metrics import Floats

LABELS = ("negative", "neutral", "positive")


def of(labels: list[int], sources: str = "a") -> EvaluationSet:
    """A set with these labels, sources in turn, each text its own group."""
    rows = [Example(f"text {n}", LABELS[label], sources[n % len(sources)], f"g{n}") for n, label in enumerate(labels)]
    return EvaluationSet("mine", rows)


def rows(said: list[int], sure: float = 0.8) -> Floats:
    """Probabilities whose largest is what is said."""
    table = np.full((len(said), 3), (1 - sure) / 2)
    table[np.arange(len(said)), said] = sure
    return table


def figures(of_set: EvaluationSet, said: list[int], lengths: list[int] | None = None) -> SetFigures:
    """The figures of one predictor."""
    answered = Answered(of_set, {"it": rows(said)}, np.array(lengths or [5] * len(said)), frozenset({"it"}))
    return set_figures(answered)["it"]


def test_macro_f1_is_sklearns() -> None:
    """Over the labels that the rows have; the reference agrees, with its interval around it."""
    true, said = [0, 1, 2, 2, 1, 0, 0, 2, 1, 1] * 5, [0, 1, 2, 1, 1, 2, 0, 2, 0, 1] * 5
    overall = figures(of(true), said).overall
    assert overall.macro_f1 == pytest.approx(f1_score(true, said, average="macro"))
    assert overall.macro_f1_ci95.low < overall.macro_f1 < overall.macro_f1_ci95.high
    assert overall.accuracy == 0.7
    assert overall.ece == pytest.approx(0.1)


def test_of_two_labels_the_third_is_wrong_and_has_no_f1_of_its_own() -> None:
    """As on SST-2; what a choice between the two alone would score stands beside it."""
    true, said = [0, 0, 2, 2], [0, 1, 2, 1]
    two = of(true)
    found = figures(two, said)
    assert found.overall.macro_f1 == pytest.approx(f1_score(true, said, labels=[0, 2], average="macro"))
    assert found.overall.accuracy == 0.5
    table = rows(said)
    table[[1, 3]] = [[0.3, 0.5, 0.2], [0.2, 0.5, 0.3]]
    forced = set_figures(Answered(two, {"it": table}, np.full(4, 5), frozenset()))["it"].forced
    assert forced is not None
    assert (forced.macro_f1, forced.accuracy) == (1.0, 1.0)


def test_a_set_of_three_labels_forces_nobody() -> None:
    """There is nothing to choose between."""
    assert figures(of([0, 1, 2]), [0, 1, 2]).forced is None


def test_lengths_and_sources_are_slices() -> None:
    """Bands in tokens; those without rows are left out, and so is a lone source, which is the whole."""
    found = figures(of([0, 1, 2, 0, 1, 2], "ab"), [0, 1, 2, 0, 0, 0], [16, 17, 32, 64, 65, 200])
    assert {name: part.rows for name, part in found.lengths.items()} == {"≤16": 1, "≤32": 2, "≤64": 1, ">64": 2}
    assert {name: part.rows for name, part in found.sources.items()} == {"a": 3, "b": 3}
    assert found.lengths[">64"].accuracy == 0.0
    assert figures(of([0, 1, 2]), [0, 1, 2]).sources == {}
    assert set(figures(of([0, 1, 2]), [0, 1, 2]).lengths) == {"≤16"}


def test_whole_groups_are_drawn() -> None:
    """One sentence eight times tells no more than once: the interval is as wide as of two rows."""
    two = of([0, 2] * 8)
    one_sentence = replace(two, examples=[replace(e, group=e.label) for e in two.examples])
    said = [0, 0] * 8
    apart, together = (figures(each, said).overall.macro_f1_ci95 for each in (two, one_sentence))
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_numbers_that_are_no_probabilities_have_no_calibration_error() -> None:
    """A word list's score says nothing of how often it is right."""
    answered = Answered(of([0, 1, 2]), {"list": rows([0, 1, 2])}, np.full(3, 5), frozenset())
    assert set_figures(answered)["list"].overall.ece is None
    assert set_figures(answered)["list"].reliability == ()


def test_a_reliability_diagram_sets_confidence_beside_accuracy() -> None:
    """Ten rows at 0.8, of which seven are right, and two sure ones; nothing where no row is."""
    table = np.concatenate([rows([0] * 10), rows([2, 2], sure=1.0)])
    points = reliability(table, np.array([0] * 7 + [1] * 3 + [2, 2]))
    assert [(round(p.confidence, 6), p.accuracy, p.rows) for p in points] == [(0.8, 0.7, 10), (1.0, 1.0, 2)]
