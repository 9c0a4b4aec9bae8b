"""A small report made for real: two word lists and a tiny plan, for what shows and writes it."""

from __future__ import annotations

from tests.unit.training.builders import tokenizer_file
from tests.unit.training.evaluation.stand_ins import WordPredictor, by_word
from training.evaluation.checklist import Case, Check, Suite
from training.evaluation.report import Plan, Report, measure
from training.evaluation.sets import HOME, EvaluationSet
from training.evaluation.stability import Subject
from training.examples import Example
from training.tokens import load_tokenizer

SUITE = Suite((Check("plain words", "Vocabulary", "MFT", "pred==label", (Case(("good",), 2), Case(("fine",), 2)), 2),), (), 3)


def labelled(name: str, *labels: str) -> EvaluationSet:
    """A set of texts whose word tells the label, but for the last, which is a word that nobody knows."""
    words = {"negative": "bad", "neutral": "plain", "positive": "good"}
    rows = [Example(f"the {words[label]} day {n}", label, name, f"g{n}") for n, label in enumerate(labels)]
    return EvaluationSet(name, [*rows, Example("superb", "positive", name, "last")], seen=1)


def small_report() -> Report:
    """A report on two sets, behaviour and fairness, of a list that knows words and one that knows none."""
    knows = WordPredictor(by_word)
    blind = WordPredictor(lambda _: (0.2, 0.6, 0.2), "blind")
    blind.calibrated = False
    sets = [labelled(HOME, *("negative", "neutral", "positive") * 4), labelled("films", "negative", "positive")]
    plan = Plan(sets, load_tokenizer(tokenizer_file(), 256), SUITE, fairness=True)
    return measure([Subject(knows, 1_000_000, blind), Subject(blind)], plan)
