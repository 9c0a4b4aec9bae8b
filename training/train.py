"""A whole training run: data, fine-tuning, calibration, evaluation on the test split, card; kept only when complete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from training.adapter import RECIPE_FILE
from training.calibrate import fit_temperature, write_temperature
from training.card import model_card
from training.data import Snippet, Split, load_snippets, manifest, of_split
from training.encoder import fetch_encoder
from training.evaluate import Evaluation, compare, label_indices, predict
from training.examples import from_snippets
from training.files import atomic_folder
from training.finetune import TrainingRun, finetune
from training.model import load_encoder, load_model, save_adapter
from training.predict import TorchModel, logits_of
from training.quiet import quiet_libraries
from training.recipe import Recipe
from training.steps import Say, silent
from training.tokens import load_tokenizer, token_ids, tokenizer_of_encoder

METRICS_FILE = "metrics.json"
CARD_FILE = "README.md"
EVALUATION_MAX_LENGTH = 256


def train(recipe: Recipe, out: Path, say: Say = silent) -> Evaluation:
    """Train an adapter, put it at `out` with its card, and return its figures on the test split.

    Raises:
        TrainingError: the data or the encoder could not be fetched.
    """
    say("Fetching the snippets and the encoder")
    snippets, encoder = load_snippets(), fetch_encoder()
    with atomic_folder(out) as folder:
        with quiet_libraries():
            base = load_encoder(encoder, recipe.encoder_dropout)
        parts = of_split(snippets, Split.TRAIN), of_split(snippets, Split.VALIDATION)
        say(f"Training on {len(parts[0]):,} snippets")
        with quiet_libraries(bars=True):
            model, run = finetune(recipe, base, tokenizer_of_encoder(), *parts)
        save_adapter(model, recipe, folder)
        return finish(folder, snippets, run, say)


def finish(folder: Path, snippets: Sequence[Snippet], run: TrainingRun, say: Say = silent) -> Evaluation:
    """Calibrate and evaluate the adapter as it was saved, at half precision, and write its figures and card beside it."""
    with quiet_libraries():
        model = TorchModel(load_model(folder, load_encoder(fetch_encoder())))
    say("Fitting the temperature on the validation split")
    temperature = _temperature(model, of_split(snippets, Split.VALIDATION))
    write_temperature(folder, temperature)
    say("Evaluating on the test split")
    examples = from_snippets(of_split(snippets, Split.TEST))
    predictions = predict(model, examples, EVALUATION_MAX_LENGTH, temperature)
    evaluation = Evaluation("torch", "test", temperature, compare(examples, predictions))
    write_measured(folder, evaluation, run, snippets)
    return evaluation


def write_measured(folder: Path, evaluation: Evaluation, run: TrainingRun, snippets: Sequence[Snippet]) -> None:
    """Write `metrics.json` and the model card made from it."""
    measured = {"run": asdict(run), "manifest": manifest(snippets), "test": asdict(evaluation)}
    (folder / METRICS_FILE).write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
    write_card(folder)


def write_card(folder: Path) -> None:
    """Write the model card of an adapter from its recipe and its measured figures."""
    measured = json.loads((folder / METRICS_FILE).read_text("utf-8"))
    (folder / CARD_FILE).write_text(model_card(Recipe.read(folder / RECIPE_FILE), measured), "utf-8")


def _temperature(model: TorchModel, validation: Sequence[Snippet]) -> float:
    examples = from_snippets(validation)
    cutter = load_tokenizer(tokenizer_of_encoder(), EVALUATION_MAX_LENGTH)
    rows = token_ids(cutter, [example.text for example in examples])
    return fit_temperature(logits_of(model, rows, progress="Calibrating"), label_indices(examples))
