"""One pass, two answers: a second head on a tuned encoder, which says what a text means as the untouched encoder does.

Tuning for sentiment pulls texts of one mood together, and with layers cut off the last one never was an embedding. But what the
text is about still stands in the layers below. The head reads the mean of every layer and learns the vectors of the whole,
untouched encoder from them, by ridge regression: nothing of the sentiment changes, and the second answer costs one product of
matrices. Distilling one embedding space into another: Reimers and Gurevych, "Making Monolingual Sentence Embeddings
Multilingual using Knowledge Distillation", EMNLP 2020; reading all layers by a linear map: Peters et al., "Deep contextualized
word representations", NAACL 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.adapter import MEANING_WEIGHTS
from training.encoder import ENCODERS, fetch_encoder
from training.errors import TrainingError
from training.glosses import load_glosses
from training.model import PT, SentimentModel, load_encoder, mean_pool
from training.quiet import quiet_libraries
from training.tokens import load_tokenizer, pad, token_ids
from training.trained import Trained

TEXTS, GLOSSES = 4_000, 8_000
"""So many texts of the training data, and of what words mean, are learned from: the whole encoder has to read each."""
HELD_BACK = 0.1
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Tried as weights of the square of the map, beside features of unit variance."""
MAX_LENGTH = 128
_BATCH = 32
Floats = NDArray[np.float64]
Reader = Callable[[Tensor, Tensor], Tensor]


class MeaningHead(nn.Module):
    """A linear map from the mean of every layer to a unit vector in the space of the untouched encoder."""

    def __init__(self, inputs: int, dimensions: int) -> None:
        super().__init__()
        self.map = nn.Linear(inputs, dimensions)

    @property
    def dimensions(self) -> int:
        """Of the vectors."""
        return self.map.out_features

    def forward(self, pools: Tensor) -> Tensor:
        """Return unit vectors [batch, dimensions] for the layers' means [batch, (layers + 1) * hidden]."""
        return nn.functional.normalize(self.map(pools), dim=1)


class TwoAnswers(nn.Module):
    """The sentiment model and its second head, in one forward pass."""

    def __init__(self, sentiment: SentimentModel, meaning: MeaningHead) -> None:
        super().__init__()
        self.sentiment = sentiment
        self.meaning = meaning

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, 3] and unit vectors [batch, dimensions] for ids and mask [batch, tokens], both int64."""
        pools = layer_means(self.sentiment.encoder, input_ids, attention_mask)
        logits = self.sentiment.head(self.sentiment.dropout(pools[-1]))
        return logits, self.meaning(torch.cat(pools, dim=1))


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted head, and how near its vectors come to the untouched encoder's on texts that were held back."""

    head: MeaningHead
    cosine: float
    ridge: float


def layer_means(encoder: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
    """Return the mean over the real tokens of the embeddings and of each layer, [batch, hidden] each."""
    states = encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
    return [mean_pool(state, attention_mask) for state in states]


def learn_meaning(trained: Trained, texts: Sequence[str], seed: int = 0) -> Learned:
    """Fit the second head of a tuned model on some of the texts, and on glosses, which are about all that they are not about.

    Raises:
        TrainingError: there are too few texts, or the encoder or the glosses could not be fetched.
    """
    if len(texts) < 1 / HELD_BACK:
        raise TrainingError(f"{len(texts)} texts are too few to learn an embedding from")
    order = np.random.default_rng(seed).permutation(len(texts))[:TEXTS]
    drawn = [*(texts[index] for index in order.tolist()), *load_glosses(GLOSSES, seed)]
    drawn = [drawn[index] for index in np.random.default_rng(seed).permutation(len(drawn)).tolist()]
    features = read_layers(trained, drawn)
    return _fit(features, vectors_of(untouched_whole(trained), trained, drawn))


def untouched_whole(trained: Trained) -> PreTrainedModel:
    """Return the encoder of a model's recipe as it came, with all its layers."""
    with quiet_libraries():
        return load_encoder(fetch_encoder(trained.recipe.encoder))  # as `from_pretrained` gives it: in evaluation mode


def prefix_of(trained: Trained) -> str:
    """Return what the untouched encoder was trained to find before a text."""
    known = ENCODERS.get(trained.recipe.encoder)
    return known.prefix if known else ""


def read_layers(trained: Trained, texts: Sequence[str]) -> Floats:
    """Return the means of all layers of a tuned model, float64 [texts, (layers + 1) * hidden]."""
    encoder = trained.model.encoder

    def means(ids: Tensor, mask: Tensor) -> Tensor:
        return torch.cat(layer_means(encoder, ids, mask), dim=1)

    return _over(means, trained.tokenizer, texts)


def vectors_of(encoder: PreTrainedModel, trained: Trained, texts: Sequence[str]) -> Floats:
    """Return the untouched encoder's unit vectors, float64 [texts, hidden]."""

    def vectors(ids: Tensor, mask: Tensor) -> Tensor:
        return nn.functional.normalize(mean_pool(encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask), dim=1)

    prefix = prefix_of(trained)
    return _over(vectors, trained.tokenizer, [prefix + text for text in texts], "Asking the untouched encoder")


def save_meaning(head: MeaningHead, folder: Path) -> None:
    """Write the head beside an adapter's weights, at half precision as they are."""
    weights = {name: value.detach().half().contiguous() for name, value in head.map.state_dict().items()}
    save_file(weights, folder / MEANING_WEIGHTS, PT)


def load_meaning(folder: Path) -> MeaningHead | None:
    """Return the second head of an adapter, in evaluation mode, or None if it has none."""
    if not (folder / MEANING_WEIGHTS).is_file():
        return None
    weights = {name: value.float() for name, value in load_file(folder / MEANING_WEIGHTS).items()}
    dimensions, inputs = weights["weight"].shape
    head = MeaningHead(inputs, dimensions)
    head.map.load_state_dict(weights)
    return head.eval()


def _fit(features: Floats, targets: Floats) -> Learned:
    """Take the ridge whose map does best on what is held back; the map itself is of the rest."""
    held = max(1, int(HELD_BACK * len(features)))
    rest, kept = (features[held:], targets[held:]), (features[:held], targets[:held])
    found = [Learned(head, _cosine(head, *kept), ridge) for ridge, head in _maps(*rest)]
    return max(found, key=lambda learned: learned.cosine)


def _maps(features: Floats, targets: Floats) -> list[tuple[float, MeaningHead]]:
    """Return the ridge regression for each weight; features are centred and scaled, which the map takes back."""
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled, middle = (features - centre) / scale, targets.mean(axis=0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    turned = vectors.T @ (scaled.T @ (targets - middle) / len(scaled))
    found = []
    for ridge in RIDGES:
        weights = (vectors @ (turned / (np.maximum(values, 0.0) + ridge)[:, None])) / scale[:, None]
        found.append((ridge, _head(weights, middle - centre @ weights)))
    return found


def _head(weights: Floats, bias: Floats) -> MeaningHead:
    head = MeaningHead(*weights.shape)
    state = {"weight": torch.from_numpy(weights.T.copy()).float(), "bias": torch.from_numpy(bias).float()}
    head.map.load_state_dict(state)
    return head.eval()


@torch.inference_mode()
def _cosine(head: MeaningHead, features: Floats, targets: Floats) -> float:
    vectors = head(torch.from_numpy(features).float())
    return float(nn.functional.cosine_similarity(vectors, torch.from_numpy(targets).float(), dim=1).mean())


@torch.inference_mode()
def _over(read: Reader, tokenizer: str, texts: Sequence[str], progress: str = "") -> Floats:
    rows = token_ids(load_tokenizer(tokenizer, MAX_LENGTH), texts)
    order = np.array(sorted(range(len(rows)), key=lambda index: len(rows[index])))
    parts = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    shown = track(parts, progress, disable=not progress, transient=True)
    found = [read(*map(torch.from_numpy, pad([rows[i] for i in part]))) for part in shown]
    return np.asarray(torch.cat(found).double().numpy()[np.argsort(order)])
