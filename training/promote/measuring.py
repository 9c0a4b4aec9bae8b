"""What the gates need to know of two exported models, asked of both in turns on this machine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.evaluate import label_indices
from training.examples import Example
from training.metrics import Floats, Ints
from training.predict import LogitsModel, exported_model, logits_of, probabilities
from training.promote.gates import Measured
from training.promote.versions import Version
from training.repository import MODEL_FILE, TOKENIZER_FILE
from training.steps import Say
from training.tokens import load_tokenizer, pad, token_ids
from training.variant import Variant

_ROUNDS = 9
_ROUND_TEXTS = 64
_DISTURBED_TEXTS = 500


def _shift_digits(text: str) -> str:
    return re.sub(r"\d", lambda digit: str((int(digit.group()) + 1) % 10), text)


DISTURBANCES: Mapping[str, Callable[[str], str]] = {
    "lower case": str.lower,
    "upper case": str.upper,
    "other numbers": _shift_digits,
    "a full stop": lambda text: text.rstrip(" .") + ".",
}
"""What may be done to a text without changing its sentiment; Ribeiro et al., "Beyond Accuracy" (CheckList), ACL 2020."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same texts: what is true of them, what belongs together, and what each model said."""

    true: Ints
    groups: Sequence[str]
    serving: Measured
    candidate: Measured


class _Subject:
    """One exported model with what reading its answers takes."""

    def __init__(self, version: Version, tokenizer: Path) -> None:
        model, contract = version.folder / MODEL_FILE, version.contract
        self.model: LogitsModel = exported_model(model, Variant(contract["model"]["precision"]))
        self._temperature = float(contract["calibration"]["temperature"])
        self._tokenizer = load_tokenizer(tokenizer.read_text("utf-8"), contract["max_length"])

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of the texts."""
        return [list(row) for row in token_ids(self._tokenizer, texts)]

    def say(self, texts: Sequence[str], progress: str | None = None) -> Floats:
        """Return calibrated probabilities [n, 3]."""
        return probabilities(logits_of(self.model, self.rows(texts), progress=progress), self._temperature)


def measure(serving: Version, candidate: Version, examples: Sequence[Example], say: Say) -> Pair:
    """Ask both models for the examples, for disturbed ones, and against the clock, taking turns.

    The tokenizer is the serving model's; `versions.require_alike` has seen that the candidate's is the same.
    """
    tokenizer = serving.folder.parent / TOKENIZER_FILE
    subjects = _Subject(serving, tokenizer), _Subject(candidate, tokenizer)
    texts = [example.text for example in examples]
    say(f"Asking both models for {len(texts):,} texts")
    said = [subject.say(texts, progress="Predicting") for subject in subjects]
    say("Disturbing the texts, and timing both models in turns")
    some = np.random.default_rng(0).permutation(len(texts))[:_DISTURBED_TEXTS]
    disturbed = [_disturbed(subject, texts, some, plain) for subject, plain in zip(subjects, said, strict=True)]
    seconds = _timed(subjects, [texts[index] for index in some[:_ROUND_TEXTS]])
    both = [Measured(*parts) for parts in zip(said, disturbed, seconds, strict=True)]
    return Pair(label_indices(examples), [example.group for example in examples], both[0], both[1])


def _disturbed(subject: _Subject, texts: Sequence[str], some: Ints, plain: Floats) -> dict[str, Floats]:
    """The answers of all texts, those of `some` disturbed; only such as the disturbance changes are asked again."""
    answers = {}
    for name, disturb in DISTURBANCES.items():
        changed = [int(index) for index in some if disturb(texts[index]) != texts[index]]
        answers[name] = plain.copy()
        if changed:
            answers[name][changed] = subject.say([disturb(texts[index]) for index in changed])
    return answers


def _timed(subjects: Sequence[_Subject], texts: Sequence[str]) -> list[list[float]]:
    """Seconds for the same batch, by turns, so that whatever else the machine does falls on both; the first is not counted."""
    batches = [pad(subject.rows(texts)) for subject in subjects]
    seconds: list[list[float]] = [[] for _ in subjects]
    for turn in range(_ROUNDS + 1):
        for subject, batch, taken in zip(subjects, batches, seconds, strict=True):
            began = time.perf_counter()
            subject.model.logits(*batch)
            if turn:
                taken.append(time.perf_counter() - began)
    return seconds
