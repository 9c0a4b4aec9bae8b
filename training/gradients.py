"""Which words drove a prediction: what share of the label's logit flows back to each.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, by captum.
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients  # type: ignore[import-untyped]
from torch import Tensor

from training.contract import MAX_LENGTH
from training.explain import Explanation, explained, spans_of
from training.predict import probabilities
from training.tokens import PAD_ID, load_tokenizer
from training.trained import Trained

STEPS = 48


def gradients(trained: Trained, text: str, temperature: float) -> Explanation:
    """Explain by integrated gradients, from a text of nothing but padding to this one; a word is the sum of its tokens.

    Raises:
        TrainingError: the text has no word.
    """
    spans = spans_of(text)
    encoding = load_tokenizer(trained.tokenizer, MAX_LENGTH).encode(text)
    ids, mask = torch.tensor([encoding.ids]), torch.ones((1, len(encoding.ids)), dtype=torch.int64)
    with torch.inference_mode():
        found = probabilities(trained.model(ids, mask).numpy(), temperature)[0]
    flown = _flow(trained, ids, mask, int(found.argmax()))
    weights = np.zeros(len(spans))
    for (start, _), weight in zip(encoding.offsets, flown.tolist(), strict=True):
        inside = [index for index, (low, high) in enumerate(spans) if low <= start < high]
        weights[inside] += weight
    return explained(text, found, "gradients", spans, weights)


def _flow(trained: Trained, ids: Tensor, mask: Tensor, label: int) -> Tensor:
    layer = next(module for name, module in trained.model.named_modules() if name.endswith("word_embeddings"))
    nothing = torch.where(_is_special(ids), ids, torch.full_like(ids, PAD_ID))
    attributed = LayerIntegratedGradients(trained.model, layer).attribute(
        ids, nothing, target=label, additional_forward_args=(mask,), n_steps=STEPS, internal_batch_size=8
    )
    total: Tensor = attributed.sum(dim=-1)[0].detach()
    return total


def _is_special(ids: Tensor) -> Tensor:
    """The first and the last token frame the text and are no part of it."""
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = special[:, -1] = True
    return special
