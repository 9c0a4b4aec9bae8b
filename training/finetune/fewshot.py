"""From a handful of texts a label: the encoder learns from pairs which texts belong together, then a head is fitted.

Eight texts a label make 24 texts, but 276 pairs. Tunstall et al., "Efficient Few-Shot Learning Without Prompts" (SetFit), 2022.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from torch import Tensor, nn
from transformers import PreTrainedModel, set_seed

from training.data import LABELS
from training.errors import TrainingError
from training.finetune.texts import Text, embeddings_of
from training.finetune.trainer import parameter_groups
from training.model import SentimentModel, mean_pool, new_model
from training.recipe import Recipe
from training.tokens import load_tokenizer, pad, token_ids

LEAST = 2
Pair = tuple[int, int, float]


def fewshot(
    recipe: Recipe, encoder: PreTrainedModel, tokenizer: str, texts: Sequence[Text], pairs: int = 600
) -> SentimentModel:
    """Return a model of a few labelled texts: `pairs` of them, half of one label, teach the encoder; then the head is fitted.

    The recipe says by which method, how fast, and in batches of how many pairs; its epochs are not used.

    Raises:
        TrainingError: a label has fewer than two texts.
    """
    _check(texts)
    set_seed(recipe.seed)
    model = new_model(encoder, recipe, steps=max(1, pairs // recipe.batch_size))
    ids = token_ids(load_tokenizer(tokenizer, recipe.max_length), [text.text for text in texts])
    labels = [LABELS.index(text.label) for text in texts]
    drawn = list(draw_pairs(labels, pairs, recipe.seed))
    optimizer = torch.optim.AdamW(parameter_groups(model.encoder, recipe))
    model.train()
    for start in track(range(0, len(drawn), recipe.batch_size), "Learning from pairs", transient=True):
        _step(model, optimizer, ids, drawn[start : start + recipe.batch_size])
    fit_head(model, embeddings_of(model.encoder, ids), labels)
    return model.eval()


def draw_pairs(labels: Sequence[int], count: int, seed: int) -> Iterator[Pair]:
    """Yield `count` pairs of indices, as many of one label as of two, each with its wanted cosine, 1 or 0."""
    rng = random.Random(seed)  # noqa: S311 - drawn to be repeated, not to be secret
    every = list(combinations(range(len(labels)), 2))
    kinds = [[pair for pair in every if (labels[pair[0]] == labels[pair[1]]) == alike] for alike in (True, False)]
    for number in range(count):
        alike = number % 2 == 0
        one, other = rng.choice(kinds[0 if alike else 1])
        yield one, other, float(alike)


def fit_head(model: SentimentModel, embeddings: NDArray[np.float32], labels: Sequence[int]) -> None:
    """Put the weights of a logistic regression on embeddings [n, hidden] and label indices [n] into the model's head."""
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(embeddings, labels)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(fitted.coef_))
        model.head.bias.copy_(torch.from_numpy(fitted.intercept_))


def _check(texts: Sequence[Text]) -> None:
    counts = {label: sum(text.label == label for text in texts) for label in LABELS}
    short = [label for label, count in counts.items() if count < LEAST]
    if short:
        raise TrainingError(f"few-shot learning needs {LEAST} texts a label or more; {short[0]} has {counts[short[0]]}")


def _step(model: SentimentModel, optimizer: torch.optim.Optimizer, ids: Sequence[Sequence[int]], pairs: Sequence[Pair]) -> None:
    sides = ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    one, other = (_embed(model.encoder, [ids[index] for index in side]) for side in sides)
    wanted = torch.tensor([pair[2] for pair in pairs])
    loss = nn.functional.mse_loss(nn.functional.cosine_similarity(one, other), wanted)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _embed(encoder: nn.Module, ids: Sequence[Sequence[int]]) -> Tensor:
    tokens, mask = map(torch.from_numpy, pad(ids))
    return mean_pool(encoder(input_ids=tokens, attention_mask=mask).last_hidden_state, mask)
