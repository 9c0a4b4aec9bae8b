from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.metrics import Floats, Ints
from training.promote.gates import Bounds, Check, Measured, judge, mcnemar

ROWS = 2000
TRUE: Ints = np.arange(ROWS, dtype=np.int64) % 3
GROUPS = [f"g{row // 20}" for row in range(ROWS)]


def says(labels: Ints, confidence: float = 0.8) -> Floats:
    """Probabilities [n, 3] with so much on the label."""
    probabilities = np.full((len(labels), 3), (1 - confidence) / 2)
    probabilities[np.arange(len(labels)), labels] = confidence
    return probabilities


def right(share: float, seed: int = 0) -> Ints:
    """Labels of which this share is true, which ones by the seed."""
    wrong = np.random.default_rng(seed).random(ROWS) >= share
    return np.where(wrong, (TRUE + 1) % 3, TRUE)


def measured(labels: Ints, confidence: float = 0.8, flips: float = 0.0, seconds: float = 1.0) -> Measured:
    """A model that says this, moves this share of its labels when disturbed, and takes so long."""
    moved = np.where(np.arange(ROWS) < flips * ROWS, (labels + 1) % 3, labels)
    return Measured(says(labels, confidence), {"lower case": says(moved)}, [seconds, 2 * seconds, seconds])


def failed(serving: Measured, candidate: Measured, bounds: Bounds | None = None) -> list[str]:
    """The gates that the candidate does not pass."""
    checks = judge(TRUE, GROUPS, serving, candidate, bounds or Bounds())
    assert [check.name for check in checks] == [
        "accuracy",
        "macro-F1",
        "calibration error",
        "labels moved by lower case",
        "seconds a round",
    ]
    return [check.name for check in checks if not check.ok]


SAME = measured(right(0.8))


@pytest.mark.parametrize(
    ("candidate", "names"),
    [
        (SAME, []),
        (measured(right(0.85), confidence=0.85), []),
        (measured(right(0.795)), ["accuracy"]),
        (measured(right(0.7)), ["accuracy", "macro-F1", "calibration error"]),
        (measured(right(0.8), confidence=0.9), ["calibration error"]),
        (measured(right(0.8), flips=0.02), ["labels moved by lower case"]),
        (measured(right(0.8), flips=0.005), []),
        (measured(right(0.8), seconds=1.3), ["seconds a round"]),
        (measured(right(0.8), seconds=1.1), []),
    ],
)
def test_what_is_worse_does_not_pass(candidate: Measured, names: list[str]) -> None:
    """Each gate by itself. Ten texts lost of 2,000 and none won are no chance."""
    assert failed(SAME, candidate) == names


def test_different_texts_right_is_not_worse_by_itself() -> None:
    """A model that errs elsewhere, as often, is neither better nor worse; but the set must be large enough to tell."""
    other = measured(right(0.8, seed=1))
    assert failed(SAME, other, Bounds(macro_f1=0.05)) == []
    narrow = Bounds(macro_f1=0.001)
    assert failed(SAME, other, narrow) == ["macro-F1"]


@pytest.mark.parametrize(("lost", "won", "p"), [(0, 0, 1.0), (5, 0, 1 / 32), (0, 5, 1.0), (3, 3, 42 / 64), (8, 2, 56 / 1024)])
def test_mcnemar_is_exact(lost: int, won: int, p: float) -> None:
    """By hand: the upper tail of a fair coin over the texts that one alone gets right."""
    was = np.array([True] * lost + [False] * won + [True] * 50)
    now = np.array([False] * lost + [True] * won + [True] * 50)
    assert mcnemar(was, now) == pytest.approx(p)


def test_a_check_says_what_was_asked() -> None:
    """For a person who reads the table."""
    checks: dict[str, Check] = {check.name: check for check in judge(TRUE, GROUPS, SAME, measured(right(0.7)), Bounds())}
    told: dict[str, Any] = {name: check.asked for name, check in checks.items()}
    assert "McNemar p 0.000" in told["accuracy"]
    assert told["seconds a round"] == "1.00 times as long, at most 1.2"


def test_a_capability_that_is_lost_does_not_pass() -> None:
    """The same cases are put to both: a significant loss in one capability is refused by its name, a trifle is not."""
    held = {name: np.arange(200) % 10 > 0 for name in ("negation", "robustness")}
    lost = {**held, "negation": np.arange(200) % 5 > 0}
    trifle = {**held, "negation": held["negation"] & (np.arange(200) > 2)}

    def checks(now: dict[str, Any]) -> dict[str, Check]:
        plain = measured(right(0.8))
        before, after = replace(plain, held=held), replace(plain, held=now)
        return {check.name: check for check in judge(TRUE, GROUPS, before, after, Bounds())}

    found = checks(lost)["CheckList failures, negation"]
    assert (found.ok, found.serving, found.candidate) == (False, 0.1, 0.2)
    assert checks(lost)["CheckList failures, robustness"].ok
    assert all(check.ok for check in checks(trifle).values())
