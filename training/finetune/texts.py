"""Labelled texts as a fine-tune sees them: token ids, how probable each label is, and where the embedding was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from training.data import LABELS, Snippet
from training.data.rows import Row as LabelledRow
from training.model import mean_pool, soft_labels
from training.recipe import Recipe
from training.tokens import load_tokenizer, pad, token_ids

Row = dict[str, Any]

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Text:
    """A text with its label's name, and the probability of each label in their order."""

    text: str
    label: str
    targets: tuple[float, ...]


def from_snippets(snippets: Sequence[Snippet], recipe: Recipe) -> list[Text]:
    """Return rated snippets with soft targets that follow from the rating (see `training.model.soft_labels`)."""
    if not snippets:
        return []
    soft = soft_labels(torch.tensor([s.rating for s in snippets]), recipe.label_sigma).tolist()
    return [Text(s.text, s.label, tuple(targets)) for s, targets in zip(snippets, soft, strict=True)]


def from_rows(rows: Iterable[LabelledRow], recipe: Recipe) -> list[Text]:
    """Return labelled rows with targets smoothed by the recipe's `label_smoothing`."""
    rest = recipe.label_smoothing / len(LABELS)
    targets = {label: tuple(rest + (1.0 - recipe.label_smoothing) * (label == other) for other in LABELS) for label in LABELS}
    return [Text(row.text, row.label, targets[row.label]) for row in rows]


def rows_of(texts: Sequence[Text], tokenizer: str, max_length: int) -> list[Row]:
    """Return one row a text: `input_ids`, soft `targets`, the label's index as `labels`; `tokenizer` is the file's content."""
    ids = token_ids(load_tokenizer(tokenizer, max_length), [text.text for text in texts])
    return [
        {"input_ids": row, "targets": text.targets, "labels": LABELS.index(text.label)}
        for row, text in zip(ids, texts, strict=True)
    ]


def with_reference(rows: Sequence[Row], encoder: nn.Module) -> list[Row]:
    """Return the rows with `reference`, the embedding [hidden] that the untouched encoder gives each."""
    embeddings = embeddings_of(encoder, [row["input_ids"] for row in rows], progress="Embedding")
    return [{**row, "reference": embedding} for row, embedding in zip(rows, embeddings, strict=True)]


@torch.inference_mode()
def embeddings_of(encoder: nn.Module, ids: Sequence[Sequence[int]], progress: str | None = None) -> NDArray[np.float32]:
    """Return the mean-pooled embeddings, float32 [rows, hidden], of token ids; `progress` names a progress bar."""
    was_training = encoder.training
    encoder.eval()
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    found = [_embed(encoder, [ids[i] for i in batch]) for batch in track(batches, progress or "", disable=progress is None)]
    encoder.train(was_training)
    return np.asarray(np.concatenate(found)[np.argsort(order)], dtype=np.float32)


def _embed(encoder: nn.Module, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    device = next(encoder.parameters()).device
    tokens, mask = (torch.from_numpy(side).to(device) for side in pad(ids))
    hidden = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
    return np.asarray(mean_pool(hidden, mask).float().cpu().numpy(), dtype=np.float32)


def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Return one batch, padded to its longest row."""
    ids, mask = pad([row["input_ids"] for row in rows])
    batch = {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "targets": torch.tensor([row["targets"] for row in rows]),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }
    if "reference" in rows[0]:
        batch["reference"] = torch.from_numpy(np.stack([row["reference"] for row in rows]))
    return batch
