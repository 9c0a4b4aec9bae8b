"""Behaviour: the sentiment suite of CheckList, 38 tests of what must and must not change a prediction.

MFT cases are one text with a right answer. INV and DIR cases are a text followed by changed versions of it, all of which must
hold to the original. `tests.tsv` states each test's rule, and the words of the rule choose the function here. Confidence is the
probability of the label that the original was given.

1,000 cases each of the three "hard" negation tests are no texts but the printed name of a Python object: they are left out.

M. T. Ribeiro, T. Wu, C. Guestrin, S. Singh, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList", ACL 2020.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import TrainingError
from training.evaluation.folder import data_file
from training.evaluation.intervals import wilson
from training.evaluation.predictors import Predictor, answer
from training.metrics import Floats, Interval

TOLERANCE = 0.1
"""By how much a confidence may go the wrong way, in the suite's own rules."""
NEGATIVE, NEUTRAL, POSITIVE = range(3)
_BROKEN = "<__main__.Stub object at "
Rule = Callable[[Floats, int | None], bool | None]
"""Judges one case by its probabilities [texts, 3] and label; None if it is not asked, which counts neither way."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its texts, the original first, and the right answer's index where there is one."""

    texts: tuple[str, ...]
    label: int | None


@dataclass(frozen=True, slots=True)
class Check:
    """A test of the suite, with the cases that are to be tried and how many it has."""

    name: str
    capability: str
    kind: str
    rule: str
    cases: tuple[Case, ...]
    available: int


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests with a case to try, the names of those without one, and how many broken cases were left out."""

    tests: tuple[Check, ...]
    empty: tuple[str, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one test went: of `asked` cases `failed` did not hold, of `available` there are."""

    name: str
    capability: str
    kind: str
    asked: int
    failed: int
    failure_rate: float
    ci95: Interval
    available: int


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a predictor behaves: failure rates by capability, as the mean of its tests' and by case, and every test's."""

    failure_rate: Mapping[str, float]
    failure_rate_by_case: Mapping[str, float]
    tests: Sequence[CheckResult]
    left_out: int


def load_suite(folder: Path, cases: int | None = None, seed: int = 0) -> Suite:
    """Read the suite, at most `cases` a test, drawn by the seed and the test's name; all of them for None.

    Raises:
        MissingDataError: the suite is not in the folder of the measuring data.
        TrainingError: a test has a rule that is not known here.
    """
    found, broken = _read_cases(data_file(folder, "checklist/cases.jsonl.gz"))
    with data_file(folder, "checklist/tests.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    tests = [_test(row, found[row["test"]], cases, seed) for row in rows]
    return Suite(tuple(t for t in tests if t.cases), tuple(t.name for t in tests if not t.cases), broken)


def behaviour(predictor: Predictor, suite: Suite, *, progress: bool = False) -> Behaviour:
    """Try the suite on a predictor."""
    texts = texts_of(suite)
    answers = answer(predictor, texts, "behaviour" if progress else "")
    judged = zip(suite.tests, verdicts(suite, answers), strict=True)
    results = [_result(test, [one for one in found if one is not None]) for test, found in judged]
    return Behaviour(_mean_of_tests(results), _mean_of_cases(results), results, suite.left_out)


def texts_of(suite: Suite) -> list[str]:
    """Return the texts of all cases, test by test."""
    return [text for test in suite.tests for case in test.cases for text in case.texts]


def verdicts(suite: Suite, answers: Floats) -> list[list[bool | None]]:
    """Return of each test what becomes of each case, by the probabilities [texts, 3] of `texts_of`; None if it is not asked."""
    found, start = [], 0
    for test in suite.tests:
        judged = []
        for case in test.cases:
            judged.append(RULES[test.rule](answers[start : start + len(case.texts)], case.label))
            start += len(case.texts)
        found.append(judged)
    return found


def _result(test: Check, held: Sequence[bool]) -> CheckResult:
    asked, failed = len(held), held.count(False)
    rate = failed / asked if asked else 0.0
    return CheckResult(test.name, test.capability, test.kind, asked, failed, rate, wilson(failed, asked), test.available)


def _mean_of_tests(results: Iterable[CheckResult]) -> dict[str, float]:
    return {name: float(np.mean([r.failure_rate for r in tests])) for name, tests in _by_capability(results).items()}


def _mean_of_cases(results: Iterable[CheckResult]) -> dict[str, float]:
    return {
        name: float(np.average([r.failure_rate for r in tests], weights=[r.available for r in tests]))
        for name, tests in _by_capability(results).items()
    }


def _by_capability(results: Iterable[CheckResult]) -> dict[str, list[CheckResult]]:
    groups: dict[str, list[CheckResult]] = defaultdict(list)
    for result in results:
        if result.asked:
            groups[result.capability].append(result)
    return groups


def _read_cases(path: Path) -> tuple[dict[str, list[Case]], int]:
    found: dict[str, list[Case]] = defaultdict(list)
    broken = 0
    for row in _json_lines(path):
        texts = (row["data"],) if isinstance(row["data"], str) else tuple(row["data"])
        if any(text.startswith(_BROKEN) for text in texts):
            broken += 1
        else:
            found[row["test"]].append(Case(texts, row["label"]))
    return found, broken


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _test(row: Mapping[str, str], cases: Sequence[Case], most: int | None, seed: int) -> Check:
    if row["rule"] not in RULES:
        raise TrainingError(f"checklist/tests.tsv: the rule of {row['test']!r} is not known: {row['rule']}")
    chosen = list(range(len(cases)))
    if most is not None and most < len(cases):
        # By the test's own name: the draw of one does not move with the others.
        drawn = np.random.default_rng([seed, zlib.crc32(row["test"].encode())]).permutation(len(cases))[:most]
        chosen = sorted(drawn.tolist())
    return Check(row["test"], row["capability"], row["type"], row["rule"], tuple(cases[index] for index in chosen), len(cases))


def _is_label(p: Floats, label: int | None) -> bool:
    return int(p[0].argmax()) == label


def _not_negative(p: Floats, _: int | None) -> bool:
    return int(p[0].argmax()) != NEGATIVE


def _is_label_or_not_negative(p: Floats, label: int | None) -> bool:
    return _is_label(p, label) or (label == NEUTRAL and _not_negative(p, label))


def _unchanged(p: Floats, _: int | None) -> bool:
    said = int(p[0].argmax())
    same = p.argmax(axis=1) == said
    return bool((same | (np.abs(p[:, said] - p[0, said]) <= TOLERANCE)).all())


def _confidence(change: Callable[[Floats], Floats]) -> Rule:
    def judge(p: Floats, _: int | None) -> bool | None:
        said = int(p[0].argmax())
        return None if said == NEUTRAL else bool((change(p[1:, said] - p[0, said]) <= TOLERANCE).all())

    return judge


def _brighter(p: Floats) -> Floats:
    return np.asarray((p[0, NEGATIVE] - p[1:, NEGATIVE]) + (p[1:, POSITIVE] - p[0, POSITIVE]))


RULES: dict[str, Rule] = {
    "pred==label": _is_label,
    "pred!=0": _not_negative,
    "pred==label, or pred!=0 where label==1": _is_label_or_not_negative,
    (
        "for every x_i: pred(x_i)==pred(x_0), or abs(conf(x_i)[pred(x_0)]-conf(x_0)[pred(x_0)])<=0.1; "
        "the case fails if any x_i fails"
    ): _unchanged,
    "if pred(x0)!=neutral: conf of the x0-predicted class must not go down by > 0.1": _confidence(np.negative),
    "if pred(x0)!=neutral: conf of the x0-predicted class must not go up by > 0.1": _confidence(np.positive),
    "for each x_i: (p0[neg]-pi[neg]) + (pi[pos]-p0[pos]) >= -0.1": lambda p, _: bool((_brighter(p) >= -TOLERANCE).all()),
    "for each x_i: (p0[neg]-pi[neg]) + (pi[pos]-p0[pos]) <= 0.1": lambda p, _: bool((_brighter(p) <= TOLERANCE).all()),
}
"""The judges by the words in which `tests.tsv` states the rules."""
