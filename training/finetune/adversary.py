"""Adversarial training on the embeddings: a batch is seen again, disturbed in the direction that hurts most.

FGM: Miyato, Dai and Goodfellow, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class FastGradient:
    """Watches what the embedding layer says, and adds a step of length `epsilon` along its gradient the second time."""

    def __init__(self, model: nn.Module, epsilon: float) -> None:
        self._epsilon = epsilon
        self._said: Tensor | None = None
        self._step: Tensor | None = None
        self._layer = next(module for name, module in model.named_modules() if name.endswith("embeddings"))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the embeddings of the pass inside, so that their gradient is there after it."""
        with self._hooked(self._note):
            yield

    @contextmanager
    def disturbing(self) -> Iterator[None]:
        """Disturb the embeddings of the pass inside, over the same batch as the one that was watched and gone back through."""
        if self._said is None or self._said.grad is None:
            raise RuntimeError("nothing was watched and gone back through before this")
        gradient = self._said.grad
        length = gradient.norm(dim=(-2, -1), keepdim=True)
        self._step = torch.where(length > 0, self._epsilon * gradient / length.clamp(min=1e-12), 0.0)
        with self._hooked(self._disturb):
            yield
        self._said = self._step = None

    @contextmanager
    def _hooked(self, hook: Any) -> Iterator[None]:
        handle = self._layer.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def _note(self, module: nn.Module, arguments: Any, said: Tensor) -> Tensor:
        del module, arguments
        if not said.requires_grad:
            said = said.detach().requires_grad_()
        said.retain_grad()
        self._said = said
        return said

    def _disturb(self, module: nn.Module, arguments: Any, said: Tensor) -> Tensor:
        del module, arguments
        return said if self._step is None else said + self._step.to(said.dtype)
