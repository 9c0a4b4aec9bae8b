"""What the gates need to know of two exported models, asked of both in turns on this machine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import LABELS
from training.evaluation.checklist import Suite, load_suite, texts_of, verdicts
from training.evaluation.folder import MissingDataError, data_dir
from training.examples import Example
from training.metrics import Floats, Ints
from training.promote.answering import FileModel
from training.promote.gates import Measured
from training.promote.versions import Version
from training.steps import Say
from training.tokens import pad

_ROUNDS = 7
_ROUND_TEXTS = 32
_DISTURBED_TEXTS = 500
_CASES = 20
"""Of each of CheckList's 38 tests: enough to see a capability that is lost, in about a minute."""


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
    skipped: tuple[str, ...] = ()
    """What was not measured, and why."""


def measure(serving: Version, candidate: Version, examples: Sequence[Example], say: Say) -> Pair:
    """Ask both models for the examples, for disturbed ones, for CheckList's where it is, and against the clock, by turns."""
    subjects = FileModel(serving), FileModel(candidate)
    texts = [example.text for example in examples]
    say(f"Asking both models for {len(texts):,} texts")
    said = [subject.say(texts, progress="Predicting") for subject in subjects]
    say("Disturbing the texts, and timing both models in turns")
    some = np.random.default_rng(0).permutation(len(texts))[:_DISTURBED_TEXTS]
    disturbed = [_disturbed(subject, texts, some, plain) for subject, plain in zip(subjects, said, strict=True)]
    seconds = _timed(subjects, [texts[index] for index in some[:_ROUND_TEXTS]])
    suite, skipped = _suite()
    say(skipped[0] if suite is None else f"Asking both models for {sum(len(test.cases) for test in suite.tests):,} cases")
    held = [_held(subject, suite) for subject in subjects]
    both = [Measured(*parts) for parts in zip(said, disturbed, seconds, held, strict=True)]
    true = np.array([LABELS.index(example.label) for example in examples], dtype=np.int64)
    return Pair(true, [example.group for example in examples], both[0], both[1], skipped)


def _suite() -> tuple[Suite | None, tuple[str, ...]]:
    try:
        return load_suite(data_dir(), _CASES), ()
    except MissingDataError as error:
        return None, (f"CheckList is skipped: {error}",)


def _held(subject: FileModel, suite: Suite | None) -> dict[str, NDArray[np.bool_]]:
    """Whether each case held, by capability; a case that is not asked of an answer did nothing wrong."""
    found: dict[str, list[bool]] = {}
    if suite is not None:
        judged = verdicts(suite, subject.say(texts_of(suite), progress="Behaving"))
        for test, cases in zip(suite.tests, judged, strict=True):
            found.setdefault(test.capability, []).extend(one is not False for one in cases)
    return {name: np.array(cases) for name, cases in found.items()}


def _disturbed(subject: FileModel, texts: Sequence[str], some: Ints, plain: Floats) -> dict[str, Floats]:
    """The answers of all texts, those of `some` disturbed; only such as the disturbance changes are asked again."""
    answers = {}
    for name, disturb in DISTURBANCES.items():
        changed = [int(index) for index in some if disturb(texts[index]) != texts[index]]
        answers[name] = plain.copy()
        if changed:
            answers[name][changed] = subject.say([disturb(texts[index]) for index in changed])
    return answers


def _timed(subjects: Sequence[FileModel], texts: Sequence[str]) -> list[list[float]]:
    """Seconds for the same batch, by turns, so that whatever else the machine does falls on both; the first is not counted."""
    batches = [pad(subject.rows(texts)) for subject in subjects]
    seconds: list[list[float]] = [[] for _ in subjects]
    for turn in range(_ROUNDS + 1):
        for subject, batch, taken in zip(subjects, batches, seconds, strict=True):
            began = time.perf_counter()
            subject.logits(*batch)
            if turn:
                taken.append(time.perf_counter() - began)
    return seconds
