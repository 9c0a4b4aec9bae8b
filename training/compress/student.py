"""The student before it learns: some of the teacher's layers made thinner, or a narrow BERT that knows the teacher's words.

A student cut from the teacher starts with what those layers know (Sajjad et al., "On the Effect of Dropping Layers of
Pre-trained Transformer Models", 2023: the top layers matter least). A narrow one starts with the teacher's token embeddings,
reduced to its width by principal components, and learns the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from training.compress.compact import Compact
from training.compress.pruning import drop_layers, importance, least_each, plain_bert, prune_heads, prune_neurons
from training.compress.rows import labelled_batches
from training.compress.vocabulary import trim, trim_embeddings
from training.data import Snippet
from training.errors import TrainingError
from training.model import SentimentModel
from training.quiet import quiet_libraries

SCORED = 512
"""Texts that tell which heads and neurons matter."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A student cut from its teacher: which layers it keeps, and how many heads and neurons in each (None: all)."""

    layers: tuple[int, ...] = (0, 1)
    heads: int | None = None
    neurons: int | None = None


@dataclass(frozen=True, slots=True)
class Narrow:
    """A student of its own shape; its width is a multiple of its heads, and at most the teacher's."""

    layers: int = 2
    hidden: int = 256
    heads: int = 8
    neurons: int = 1024


def cut_student(teacher: Compact, shape: Cut, snippets: Sequence[Snippet]) -> Compact:
    """Return the teacher's layers of `shape`, each with the heads and neurons that matter most for `snippets`; and its head.

    Raises:
        TrainingError: the teacher has no such layer.
    """
    model = copy.deepcopy(teacher.model).requires_grad_(True)
    drop_layers(model.encoder, shape.layers)
    if shape.heads is not None or shape.neurons is not None:
        scores = importance(teacher.model, labelled_batches(spread(snippets), teacher.tokenizer))
        if shape.heads is not None:
            prune_heads(model.encoder, least_each([scores.heads[layer] for layer in shape.layers], shape.heads))
        if shape.neurons is not None:
            prune_neurons(model.encoder, least_each([scores.neurons[layer] for layer in shape.layers], shape.neurons))
    return Compact(model, teacher.tokenizer)


def narrow_student(teacher: Compact, shape: Narrow, seed: int = 7) -> Compact:
    """Return a fresh BERT of `shape` with the teacher's embeddings reduced to its width.

    Raises:
        TrainingError: the student is wider than its teacher, or its width is no multiple of its heads.
    """
    bert = plain_bert(teacher.model.encoder)
    old = bert.config
    if shape.hidden > old.hidden_size or shape.hidden % shape.heads:
        raise TrainingError(f"{shape.hidden} must be a multiple of {shape.heads} heads, and at most {old.hidden_size}")
    torch.manual_seed(seed)
    sizes = {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.neurons,
    }
    with quiet_libraries():
        encoder = BertModel(BertConfig(**{**old.to_dict(), **sizes}), add_pooling_layer=False)
    _take_embeddings(encoder, bert, shape.hidden)
    return Compact(SentimentModel(encoder, shape.hidden).eval(), teacher.tokenizer)


def trim_student(student: Compact, texts: Sequence[str], at_least: int = 1) -> Compact:
    """Return the student with the vocabulary of `texts` alone; its model is changed in place."""
    trimmed = trim(student.tokenizer, texts, at_least)
    trim_embeddings(student.model.encoder, trimmed.kept)
    return Compact(student.model, trimmed.tokenizer, student.temperature)


def spread(snippets: Sequence[Snippet], count: int = SCORED) -> Sequence[Snippet]:
    """Return about `count` snippets, evenly over all: the archive has its sources one after the other."""
    return snippets[:: max(1, len(snippets) // count)]


def principal(matrix: Tensor, width: int) -> Tensor:
    """Return the `width` directions [columns, width], orthonormal, that keep most of the rows' squared length."""
    _, directions = torch.linalg.eigh((matrix.T @ matrix).double())
    found: Tensor = directions[:, -width:].flip(1).to(matrix.dtype)
    return found


@torch.no_grad()
def _take_embeddings(student: BertModel, teacher: BertModel, width: int) -> None:
    """Reduce all three embeddings by the same directions, so that their sum is the teacher's sum, reduced."""
    directions = principal(teacher.embeddings.word_embeddings.weight.detach(), width)
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        old, new = getattr(teacher.embeddings, name), getattr(student.embeddings, name)
        new.weight.copy_(old.weight @ directions)
