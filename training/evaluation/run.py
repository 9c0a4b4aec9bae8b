"""What `tidings evaluate` does beyond one set: the model and what stands beside it, measured on all that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.contract import MAX_LENGTH
from training.data import Snippet, Split, load_snippets, of_split
from training.encoder import shown_name
from training.errors import GateError
from training.evaluate import label_indices
from training.evaluation import plots
from training.evaluation.asked import Asked
from training.evaluation.baselines import cached_probe, textblob, vader
from training.evaluation.checklist import load_suite
from training.evaluation.folder import data_dir
from training.evaluation.predictors import ModelPredictor, Predictor, answer
from training.evaluation.report import Plan, Report, as_json, measure
from training.evaluation.sets import EvaluationSet, read_sets, sample, unseen
from training.evaluation.stability import Subject
from training.evaluation.threshold import ReviewThreshold, review_threshold
from training.evaluation.topics import Article, HeadEmbedder, TopicGate, TorchEmbedder, read_articles, topic_gate
from training.examples import from_snippets
from training.files import atomic_path
from training.meaning import MeaningHead, load_meaning, prefix_of, untouched_whole
from training.paths import adapter_dir, cache_dir
from training.predict import size_of
from training.served import STUDENT, load_served
from training.steps import Say
from training.tokens import load_tokenizer
from training.trained import Trained, load_trained, untouched

REPORT_FILE = "report.json"


@dataclass(frozen=True, slots=True)
class Model:
    """The model to measure: how it is run (see `training.served`), and of which adapter, None for the committed one.

    `name` is what reports call it; without one, its runtime.
    """

    runtime: str
    adapter: Path | None = None
    name: str = ""

    @property
    def shown(self) -> str:
        """Return what reports call it."""
        return self.name or self.runtime


def evaluate(models: Sequence[Model], home: EvaluationSet, asked: Asked, say: Say) -> Report:
    """Measure models, and what stands beside the first, on the home set and on all that was asked for.

    Topics and the review queue's line are of the first model, as are the untouched encoder and the tokenizer that counts.

    Raises:
        MissingDataError: what was asked for lies in the folder of the measuring data, and is not there.
        TrainingError: there is no such adapter, or no confidence holds the review queue's precision.
    """
    # Before minutes of work: is all there that was asked for?
    snippets = load_snippets()
    sets = [sample(home, asked.rows), *(_outside(snippets, asked.rows, say) if asked.outside else ())]
    suite = load_suite(data_dir(), asked.cases) if asked.behaviour else None
    articles = read_articles(data_dir(), asked.rows) if asked.topics else None
    trained = load_trained(models[0].adapter or adapter_dir())
    measured, refused = _passing(models, say)
    subjects = [*measured, *(Subject(p) for p in (_baselines(trained, snippets, say) if asked.baselines else ()))]
    tokenizer = load_tokenizer(trained.tokenizer, MAX_LENGTH)
    report = measure(subjects, Plan(sets, tokenizer, suite, asked.fairness, progress=True))
    return replace(
        report,
        refused=refused,
        topics=_topics(trained, load_meaning(models[0].adapter or adapter_dir()), articles) if articles else None,
        review=_review(measured[0].predictor, snippets, asked.review) if asked.review else None,
    )


def write(report: Report, folder: Path, plot: Path | None) -> dict[str, Any]:
    """Write `report.json` to `folder`, and the pictures to `plot` if that is given; return what the file holds."""
    content = as_json(report)
    with atomic_path(folder / REPORT_FILE) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    if plot:
        plots.draw(report, plot)
    return content


def _outside(snippets: Sequence[Snippet], rows: int | None, say: Say) -> Iterator[EvaluationSet]:
    trained_on = [s.text for split in (Split.TRAIN, Split.VALIDATION) for s in of_split(snippets, split)]
    for of in (unseen(read, trained_on) for read in read_sets(data_dir())):
        if of.examples:
            yield sample(of, rows)
        else:
            say(f"Leaving out {of.name}: every text of it was trained on")


def _passing(models: Sequence[Model], say: Say) -> tuple[list[Subject], dict[str, str]]:
    """The models to measure, and why others are none: the first must pass its gates, a variant of it may fail them."""
    subjects, refused = [_subject(models[0], say)], {}
    for model in models[1:]:
        try:
            subjects.append(_subject(model, say))
        except GateError as error:
            say(f"{model.shown} is not measured: {error}")
            refused[model.shown] = str(error)
    return subjects, refused


def _subject(model: Model, say: Say) -> Subject:
    served = load_served(model.runtime, model.adapter, say)
    predictor = ModelPredictor(model.shown, served.model, served.tokenizer, served.temperature)
    if model.runtime in ("torch", STUDENT):
        return Subject(predictor, size_of(served.model))
    trained = load_served("torch", model.adapter, say)
    reference = ModelPredictor("torch", trained.model, trained.tokenizer, trained.temperature)
    return Subject(predictor, size_of(served.model), reference)


def _baselines(trained: Trained, snippets: Sequence[Snippet], say: Say) -> Iterator[Predictor]:
    yield vader()
    yield textblob()
    say("Fitting a head on the untouched encoder, unless that was done before")
    training_rows = from_snippets(of_split(snippets, Split.TRAIN))
    texts, labels = [row.text for row in training_rows], label_indices(training_rows)
    yield cached_probe(_untouched(trained), texts, labels, cache_dir() / "probes", _made_of(trained))


def _untouched(trained: Trained) -> TorchEmbedder:
    return TorchEmbedder(untouched(trained.recipe), trained.tokenizer)


def _made_of(trained: Trained) -> str:
    """What a probe was fitted on: the encoder, and after how many layers it was cut."""
    return f"{shown_name(trained.recipe.encoder)}-{trained.recipe.layers or 'all'}"


def _topics(trained: Trained, meaning: MeaningHead | None, articles: Sequence[Article]) -> TopicGate:
    """What is served of a model without a second head is the mean of its last layer; the reference is the whole encoder."""
    tuned = HeadEmbedder(trained, meaning) if meaning else TorchEmbedder(trained.model.encoder, trained.tokenizer)
    reference = TorchEmbedder(untouched_whole(trained), trained.tokenizer, prefix_of(trained))
    return topic_gate(tuned, reference, articles, progress=True)


def _review(predictor: Predictor, snippets: Sequence[Snippet], precision: float) -> ReviewThreshold:
    rows = from_snippets(of_split(snippets, Split.VALIDATION))
    answers = answer(predictor, [row.text for row in rows], "validation")
    return review_threshold(answers, label_indices(rows), precision)
