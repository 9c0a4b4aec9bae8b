"""What going on from a model cost and brought: the model before and the one after, on the old test set and on the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.calibrate import read_temperature
from training.evaluate import label_indices
from training.examples import Example
from training.metrics import (
    ClusterBootstrap,
    Floats,
    Interval,
    confusion,
    expected_calibration_error,
    interval,
    macro_f1,
)
from training.predict import TorchModel, logits_of, probabilities
from training.tokens import load_tokenizer, token_ids
from training.trained import load_trained

MAX_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Change:
    """Macro-F1 and calibration error of both models on the same rows, and the paired 95 % interval of the difference."""

    rows: int
    before: float
    after: float
    change: float
    change_ci95: Interval
    ece_before: float
    ece_after: float

    def told(self, name: str) -> str:
        """Return one line for a person; `name` is what the set is called."""
        interval_ = f"{self.change_ci95.low:+.3f} to {self.change_ci95.high:+.3f}"
        return (
            f"On {name} ({self.rows:,} rows): macro-F1 {self.before:.3f} before, {self.after:.3f} now "
            f"({self.change:+.3f}, 95 % {interval_}); ECE {self.ece_before:.3f} before, {self.ece_after:.3f} now"
        )


def changes(before: Path, after: Path, sets: Mapping[str, Sequence[Example]]) -> dict[str, Change]:
    """Return by the set's name how two saved adapters, both calibrated, do on each set.

    Raises:
        TrainingError: one of the adapters is not whole.
    """
    texts = [example.text for examples in sets.values() for example in examples]
    said = [_said(adapter, texts) for adapter in (before, after)]
    found, start = {}, 0
    for name, examples in sets.items():
        end = start + len(examples)
        found[name] = _change(examples, said[0][start:end], said[1][start:end])
        start = end
    return found


def _said(adapter: Path, texts: Sequence[str]) -> Floats:
    trained = load_trained(adapter)
    rows = token_ids(load_tokenizer(trained.tokenizer, MAX_LENGTH), texts)
    return probabilities(logits_of(TorchModel(trained.model), rows, progress="Comparing"), read_temperature(adapter))


def _change(examples: Sequence[Example], before: Floats, after: Floats) -> Change:
    true = label_indices(examples)
    bootstrap = ClusterBootstrap([example.group for example in examples])
    labels = [said.argmax(axis=1) for said in (before, after)]
    was, now = (float(macro_f1(confusion(true, one))) for one in labels)
    resampled = [macro_f1(bootstrap.matrices(true, one)) for one in labels]
    ece = [expected_calibration_error(said, true) for said in (before, after)]
    return Change(len(true), was, now, now - was, interval(resampled[1] - resampled[0]), ece[0], ece[1])
