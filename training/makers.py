"""The ways from a corpus to a model: a fine-tune, a few texts a label, none at all, or on from a model that is there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from training.adapter import RECIPE_FILE
from training.corpus import Corpus
from training.data import LABELS, load_snippets
from training.encoder import fetch_encoder
from training.finetune.continual import Batch, Memory, go_on
from training.finetune.fewshot import fewshot
from training.finetune.texts import Text, from_snippets
from training.finetune.trainer import Material, TrainingRun, Watch, finetune
from training.finetune.zeroshot import zeroshot
from training.model import SentimentModel
from training.quiet import quiet_libraries
from training.recipe import Method, Recipe
from training.tokens import tokenizer_json
from training.trained import untouched

Made = tuple[SentimentModel, Recipe, TrainingRun]
Maker = Callable[[Recipe, Corpus, Watch | None], Made]
"""Makes a model of the training part, and says by which recipe it is to be loaded again, and what it measured of itself."""

BACKGROUND = 1000
_UNLABELLED = "of descriptions of the labels, without a labelled text"


def fine_tuned(recipe: Recipe, corpus: Corpus, watch: Watch | None) -> Made:
    """Learn from the whole training part."""
    tokenizer, encoder = tokenizer_json(fetch_encoder(recipe.encoder)), untouched(recipe, for_training=True)
    with quiet_libraries(bars=True):
        model, run = finetune(recipe, Material(encoder, tokenizer, corpus.train, corpus.validation), watch)
    return model, recipe, run


def of_few(shots: int) -> Maker:
    """Return a maker that learns from `shots` texts of each label, drawn from the training part."""

    def make(recipe: Recipe, corpus: Corpus, watch: Watch | None) -> Made:
        del watch
        tokenizer, encoder = tokenizer_json(fetch_encoder(recipe.encoder)), untouched(recipe, for_training=True)
        started = time.perf_counter()
        with quiet_libraries():
            model = fewshot(recipe, encoder, tokenizer, _few(corpus, shots, recipe.seed))
        return model, recipe, _run(model, started, f"of {shots} texts a label, by pairs of them, and a head fitted afterwards")

    return make


def of_descriptions(recipe: Recipe, corpus: Corpus, watch: Watch | None) -> Made:
    """Learn from no label at all; the training part's texts are looked at for their mean alone."""
    del watch
    tokenizer, encoder = tokenizer_json(fetch_encoder(recipe.encoder)), untouched(recipe)
    started = time.perf_counter()
    drawn = random.Random(recipe.seed).sample(list(corpus.train), min(BACKGROUND, len(corpus.train)))  # noqa: S311
    model = zeroshot(recipe, encoder, tokenizer, [one.text for one in drawn])
    return model, Recipe(encoder=recipe.encoder, layers=recipe.layers, method=Method.HEAD), _run(model, started, _UNLABELLED)


def going_on(adapter: Path, memory: Memory | None = None) -> Maker:
    """Return a maker that goes on from an adapter, replaying the snippets it was made of."""

    def make(recipe: Recipe, corpus: Corpus, watch: Watch | None) -> Made:
        old = from_snippets([s for s in load_snippets() if s.split == "train"], recipe)
        with quiet_libraries(bars=True):
            model, run = go_on(adapter, recipe, Batch(corpus.train, corpus.validation, old), memory or Memory(), watch)
        return model, Recipe.read(adapter / RECIPE_FILE), run

    return make


def _few(corpus: Corpus, shots: int, seed: int) -> list[Text]:
    rng = random.Random(seed)  # noqa: S311 - drawn to be repeated, not to be secret
    of_label = {label: [one for one in corpus.train if one.label == label] for label in LABELS}
    return [one for texts in of_label.values() for one in rng.sample(texts, min(shots, len(texts)))]


def _run(model: SentimentModel, started: float, way: str) -> TrainingRun:
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    share = trained / sum(value.numel() for value in model.parameters())
    return TrainingRun(0.0, 0.0, time.perf_counter() - started, trained, share, way)
