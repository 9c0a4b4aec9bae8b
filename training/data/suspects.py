"""Labels that are probably wrong: where a model that never saw a text is sure of another label than the one it has.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021, by cleanlab. The model
is a linear one on embeddings, each row judged by one that was fitted without its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.icwsm import LABELS
from training.data.rows import Row
from training.errors import TrainingError

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is doubted: the label it has, the one it is likely to have, and how probable its own was found."""

    row: Row
    likely: str
    confidence: float


def suspects(rows: Sequence[Row], embeddings: NDArray[np.float32], seed: int = 7) -> list[Suspect]:
    """Return the rows whose labels are probably wrong, the most doubtful first; `embeddings` are [rows, dimensions].

    Raises:
        TrainingError: there are too few groups, or too few rows of a label, to judge each without its own.
    """
    from cleanlab.filter import find_label_issues  # type: ignore[import-untyped] # noqa: PLC0415 - seconds of imports

    labels = np.array([LABELS.index(row.label) for row in rows])
    found = out_of_fold(labels, embeddings, [row.group for row in rows], seed)
    ranked = find_label_issues(labels, found, return_indices_ranked_by="self_confidence")
    return [Suspect(rows[i], LABELS[int(found[i].argmax())], float(found[i, labels[i]])) for i in ranked]


def out_of_fold(
    labels: NDArray[np.int64], embeddings: NDArray[np.float32], groups: Sequence[str], seed: int = 7
) -> NDArray[np.float64]:
    """Return probabilities [rows, labels] of each row by a logistic regression that saw no row of its group.

    Raises:
        TrainingError: there are fewer than five groups, or a label is missing from the data.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped] # noqa: PLC0415
    from sklearn.model_selection import StratifiedGroupKFold  # type: ignore[import-untyped] # noqa: PLC0415

    counts = np.bincount(labels, minlength=len(LABELS))
    if len(set(groups)) < FOLDS or counts.min() < FOLDS:
        raise TrainingError(f"to doubt labels needs {FOLDS} groups and {FOLDS} rows of each label, or more")
    found = np.zeros((len(labels), len(LABELS)))
    for known, judged in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(embeddings, labels, groups):
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit(embeddings[known], labels[known])
        found[np.ix_(judged, fitted.classes_)] = fitted.predict_proba(embeddings[judged])
    return found
