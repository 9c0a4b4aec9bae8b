"""A whole training run: data, fine-tuning, calibration, evaluation on the test split, card; kept only when complete."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from training.adapter import RECIPE_FILE
from training.calibrate import fit_hardest, write_temperature
from training.card import model_card
from training.corpus import Corpus, of_snippets, prepared
from training.data import DATASET_NAME, Split, load_snippets, of_split
from training.evaluate import Evaluation, compare, label_indices, predict
from training.examples import from_snippets
from training.files import atomic_folder
from training.finetune.forgetting import changes
from training.finetune.trainer import TrainingRun, Watch
from training.makers import Maker, fine_tuned
from training.meaning import learn_meaning, save_meaning
from training.model import save_adapter
from training.predict import TorchModel, logits_of
from training.recipe import Recipe, Task
from training.steps import Say, silent
from training.tokens import load_tokenizer, token_ids
from training.trained import Trained, load_trained

METRICS_FILE = "metrics.json"
CARD_FILE = "README.md"
EVALUATION_MAX_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted beside a recipe: whose data, by which way (see `training.makers`), and who looks on."""

    data: Path | None = None
    maker: Maker = fine_tuned
    watch: Watch | None = None
    going_on_from: Path | None = None
    """The adapter that the maker goes on from, if it does: what is forgotten is measured against it."""


def train(recipe: Recipe, out: Path, say: Say = silent, order: Order | None = None) -> Evaluation:
    """Train an adapter, put it at `out` with its card, and return its figures on the test split.

    An order's data are a folder of `tidings data prepare`; without it the snippets of the shipped model are learned from.

    Raises:
        TrainingError: the data or the encoder could not be fetched or read.
    """
    say("Fetching the data and the encoder")
    order = order or Order()
    corpus = prepared(order.data, recipe) if order.data else of_snippets(load_snippets(), recipe)
    with atomic_folder(out) as folder:
        say(f"Training on {len(corpus.train):,} texts")
        model, kept, run = order.maker(recipe, corpus, order.watch)
        save_adapter(model, kept, folder)
        run = replace(run, embedding_cosine=_learn_meaning(folder, corpus, say)) if kept.embedding else run
        evaluation = finish(folder, corpus, run, say)
        if order.going_on_from:
            _measure_forgetting(order.going_on_from, folder, corpus, say)
        return evaluation


def finish(folder: Path, corpus: Corpus, run: TrainingRun, say: Say = silent) -> Evaluation:
    """Calibrate and evaluate the adapter as it was saved, at half precision, and write its figures and card beside it."""
    trained = load_trained(folder)
    say("Fitting the temperature on the validation split")
    temperature = _temperature(trained, corpus)
    write_temperature(folder, temperature)
    say("Evaluating on the test split")
    model = TorchModel(trained.model)
    predictions = predict(model, corpus.test_examples, EVALUATION_MAX_LENGTH, temperature, trained.tokenizer)
    evaluation = Evaluation("torch", "test", temperature, compare(corpus.test_examples, predictions))
    write_measured(folder, evaluation, run, corpus)
    return evaluation


def _measure_forgetting(before: Path, folder: Path, corpus: Corpus, say: Say) -> None:
    """The old set is the test part of what `going_on` replays; the figures go into `metrics.json` and the card."""
    say("Measuring what was forgotten, on the old test set and the new one")
    old = from_snippets(of_split(load_snippets(), Split.TEST))
    found = changes(before, folder, {f"{DATASET_NAME}, old": old, f"{corpus.name}, new": corpus.test_examples})
    for name, change in found.items():
        say(change.told(name))
    measured = json.loads((folder / METRICS_FILE).read_text("utf-8"))
    measured["changes"] = {name: asdict(change) for name, change in found.items()}
    (folder / METRICS_FILE).write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
    write_card(folder)


def write_measured(folder: Path, evaluation: Evaluation, run: TrainingRun, corpus: Corpus) -> None:
    """Write `metrics.json` and the model card made from it."""
    measured = {"task": Task.SENTIMENT.value, "run": asdict(run), "manifest": corpus.manifest, "test": asdict(evaluation)}
    (folder / METRICS_FILE).write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
    write_card(folder)


def write_card(folder: Path) -> None:
    """Write the model card of an adapter from its recipe and its measured figures."""
    measured = json.loads((folder / METRICS_FILE).read_text("utf-8"))
    (folder / CARD_FILE).write_text(model_card(Recipe.read(folder / RECIPE_FILE), measured), "utf-8")


def _learn_meaning(folder: Path, corpus: Corpus, say: Say) -> float:
    """Fit the second head and save it; return how near it comes to the untouched encoder."""
    say("Learning what texts mean from the untouched encoder")
    learned = learn_meaning(load_trained(folder), [text.text for text in corpus.train])
    save_meaning(learned.head, folder)
    return learned.cosine


def _temperature(trained: Trained, corpus: Corpus) -> float:
    cutter = load_tokenizer(trained.tokenizer, EVALUATION_MAX_LENGTH)
    examples = corpus.validation_examples
    rows = token_ids(cutter, [example.text for example in examples])
    logits = logits_of(TorchModel(trained.model), rows, progress="Calibrating")
    return fit_hardest(logits, label_indices(examples), [example.source for example in examples])
