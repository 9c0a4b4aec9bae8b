"""One report on any number of variants: every set, behaviour, fairness, cost, in one pass and on the same rows.

`as_json` is what `build/training/report.json` holds: by variant, and in it by set, with the names that the aims are stated in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from training.evaluation import fairness
from training.evaluation.checklist import Behaviour, Suite, behaviour
from training.evaluation.fairness import FamilyFigures
from training.evaluation.figures import Answered, SetFigures, set_figures
from training.evaluation.predictors import answer
from training.evaluation.sets import EvaluationSet
from training.evaluation.stability import Stability, Subject, stability
from training.evaluation.threshold import ReviewThreshold
from training.evaluation.topics import TopicGate
from training.tokens import token_ids

SCHEMA_VERSION = 1
STABILITY_TEXTS = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure on: the sets, the home set first; a suite of behaviour, or None; fairness or not; with progress or not.

    `tokenizer` counts the tokens that texts are put into bands of length by.
    """

    sets: Sequence[EvaluationSet]
    tokenizer: Tokenizer
    suite: Suite | None = None
    fairness: bool = False
    progress: bool = False


@dataclass(frozen=True, slots=True)
class SetNote:
    """What a set is: its rows, those left out because they were trained on, and the best accuracy one answer a text allows."""

    rows: int
    left_out_as_trained_on: int
    accuracy_ceiling: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of one variant."""

    stability: Stability
    sets: Mapping[str, SetFigures]
    behaviour: Behaviour | None = None
    fairness: Mapping[str, FamilyFigures] | None = None

    @property
    def abroad(self) -> dict[str, float | None]:
        """Return mean macro-F1, and mean ECE where there is any, over the sets but the home set, the first; {} without such."""
        away = [figures.overall for figures in self.sets.values()][1:]
        if not away:
            return {}
        errors = [figures.ece for figures in away if figures.ece is not None]
        mean_f1 = float(np.mean([figures.macro_f1 for figures in away]))
        return {"macro_f1": mean_f1, "ece": float(np.mean(errors)) if errors else None}


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, by variant; `topics` and `review` are of the first variant, where they were asked for.

    `refused` says of each variant that did not pass the gates of an export why not.
    """

    sets: Mapping[str, SetNote]
    variants: Mapping[str, Measured]
    topics: TopicGate | None = None
    review: ReviewThreshold | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


def measure(subjects: Sequence[Subject], plan: Plan) -> Report:
    """Measure every subject on everything that the plan names."""
    by_set = {of.name: _on_set(subjects, of, plan) for of in plan.sets}
    notes = {of.name: SetNote(len(of.examples), of.seen, of.ceiling) for of in plan.sets}
    texts = plan.sets[0].texts[:STABILITY_TEXTS]
    variants = {}
    for subject in subjects:
        name = subject.predictor.name
        variants[name] = Measured(
            stability(subject, texts),
            {of: figures[name] for of, figures in by_set.items()},
            behaviour(subject.predictor, plan.suite, progress=plan.progress) if plan.suite else None,
            fairness.fairness(subject.predictor) if plan.fairness else None,
        )
    return Report(notes, variants)


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "sets": {name: asdict(note) for name, note in report.sets.items()},
        "variants": {name: _variant(measured) for name, measured in report.variants.items()},
        "topics": asdict(report.topics) if report.topics else None,
        "review": asdict(report.review) if report.review else None,
        "refused": dict(report.refused),
    }


def _on_set(subjects: Sequence[Subject], of: EvaluationSet, plan: Plan) -> dict[str, SetFigures]:
    texts, predictors = of.texts, [subject.predictor for subject in subjects]
    return set_figures(
        Answered(
            of,
            {p.name: answer(p, texts, of.name if plan.progress else "") for p in predictors},
            np.array([len(row) for row in token_ids(plan.tokenizer, texts)]),
            frozenset(p.name for p in predictors if p.calibrated),
        )
    )


def _variant(measured: Measured) -> dict[str, Any]:
    return {
        **asdict(measured.stability),
        "sets": {name: _set(figures) for name, figures in measured.sets.items()},
        "abroad": measured.abroad,
        **_behaviour(measured.behaviour),
        **({"fairness": {name: asdict(f) for name, f in measured.fairness.items()}} if measured.fairness else {}),
    }


def _set(figures: SetFigures) -> dict[str, Any]:
    whole = asdict(figures)
    return {**whole.pop("overall"), **whole}


def _behaviour(found: Behaviour | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "checklist_failure_rate": dict(found.failure_rate),
        "checklist_failure_rate_by_case": dict(found.failure_rate_by_case),
        "checklist_left_out": found.left_out,
        "checklist_tests": {test.name: asdict(test) for test in found.tests},
    }
