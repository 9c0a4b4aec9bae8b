"""The trained weights of a run: their running average, and the best seen so far.

Averaging: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; the decay grows with the
steps, as in Tarvainen and Valpola, "Mean Teachers", NeurIPS 2017, so that the first steps are soon forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

STATE_FILE = "weights.pt"


class Weights:
    """Copies of what a model trains. `decay` is that of the running average; 0 keeps none."""

    def __init__(self, model: nn.Module, decay: float = 0.0) -> None:
        self._model = model
        self._decay = decay
        self._steps = 0
        self._average = self._copy() if decay else {}
        self._best: dict[str, Tensor] = {}
        self._best_score = float("-inf")

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards what the weights are after a step."""
        self._steps += 1
        weight = 1.0 - min(self._decay, self._steps / (self._steps + 10))
        for name, value in self._trained():
            if name in self._average:
                self._average[name].lerp_(value, weight)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average in the model's place for a while, if there is one."""
        if not self._average:
            yield
            return
        raw = self._copy()
        self._put(self._average)
        try:
            yield
        finally:
            self._put(raw)

    def keep_if_better(self, score: float) -> None:
        """Keep the weights that are in the model now if `score` is the highest so far."""
        if score > self._best_score:
            self._best_score, self._best = score, self._copy()

    def restore_best(self) -> None:
        """Put the best weights back into the model, if any were kept."""
        self._put(self._best)

    def save(self, folder: Path) -> None:
        """Write all of this beside a checkpoint."""
        content = {"steps": self._steps, "average": self._average, "best": self._best, "score": self._best_score}
        torch.save(content, folder / STATE_FILE)

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote beside a checkpoint."""
        content = torch.load(folder / STATE_FILE, weights_only=True)
        self._steps, self._best_score = content["steps"], content["score"]
        self._average, self._best = content["average"], content["best"]

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, value) for name, value in self._model.named_parameters() if value.requires_grad)

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._trained()}

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, value in self._trained():
            if name in values:
                value.copy_(values[name])
