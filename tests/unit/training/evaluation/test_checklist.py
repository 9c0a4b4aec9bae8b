import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.evaluation.stand_ins import WordPredictor, by_word
from training.errors import TrainingError
from training.evaluation.checklist import RULES, behaviour, load_suite
from training.evaluation.folder import MissingDataError, data_dir

REAL = data_dir()
HEADER = "test\tcapability\ttype\tcases\ttexts\trule\n"
INVARIANT = next(rule for rule in RULES if rule.startswith("for every x_i"))
NOT_DOWN = next(rule for rule in RULES if "go down" in rule)
NOT_UP = next(rule for rule in RULES if "go up" in rule)
BRIGHTER = next(rule for rule in RULES if ">= -0.1" in rule)
DARKER = next(rule for rule in RULES if rule.endswith("<= 0.1"))
NEG, NEU, POS = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]


def write(folder: Path, tests: list[tuple[str, str, str]], cases: list[dict[str, object]]) -> Path:
    """Write a suite of tests (name, capability, rule) with their cases, and return the data folder."""
    (folder / "checklist").mkdir()
    lines = "".join(f"{name}\t{capability}\tMFT\t0\t0\t{rule}\n" for name, capability, rule in tests)
    (folder / "checklist" / "tests.tsv").write_text(HEADER + lines, "utf-8")
    with gzip.open(folder / "checklist" / "cases.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"i": n, "label": None, **case}) + "\n" for n, case in enumerate(cases))
    return folder


@pytest.mark.parametrize(
    ("rule", "rows", "label", "verdict"),
    [
        ("pred==label", [NEG], 0, True),
        ("pred==label", [NEU], 0, False),
        ("pred!=0", [NEU], None, True),
        ("pred!=0", [NEG], None, False),
        ("pred==label, or pred!=0 where label==1", [POS], 1, True),
        ("pred==label, or pred!=0 where label==1", [NEG], 1, False),
        ("pred==label, or pred!=0 where label==1", [POS], 0, False),
        (INVARIANT, [POS, [0.0, 0.3, 0.7], POS], None, True),
        (INVARIANT, [POS, POS, NEU], None, False),
        (INVARIANT, [[0.0, 0.48, 0.52], [0.0, 0.52, 0.48]], None, True),
        (NOT_DOWN, [NEG, [0.69, 0.2, 0.11]], None, False),
        (NOT_DOWN, [NEG, [0.71, 0.2, 0.09]], None, True),
        (NOT_DOWN, [NEU, POS], None, None),
        (NOT_UP, [[0.1, 0.3, 0.6], [0.0, 0.29, 0.71]], None, False),
        (NOT_UP, [[0.1, 0.3, 0.6], NEG], None, True),
        (NOT_UP, [NEU, NEU], None, None),
        (BRIGHTER, [NEU, POS, NEU], None, True),
        (BRIGHTER, [POS, NEU], None, False),
        (DARKER, [POS, NEU], None, True),
        (DARKER, [NEG, NEG, POS], None, False),
    ],
)
def test_each_rule_is_the_suites_own(rule: str, rows: list[list[float]], label: int | None, verdict: bool | None) -> None:
    """A tenth is tolerated where the suite tolerates it; a case about an original called neutral is not asked."""
    assert RULES[rule](np.array(rows), label) is verdict


def test_failure_rates_are_per_test_and_per_capability(tmp_path) -> None:
    """By capability as the mean of its tests, and weighted by how many cases each has."""
    tests = [("plain", "Vocabulary", "pred==label"), ("shouted", "Vocabulary", "pred==label"), ("same", "NER", INVARIANT)]
    cases: list[dict[str, object]] = [
        {"test": "plain", "data": "good", "label": 2},
        {"test": "plain", "data": "a good day", "label": 2},
        {"test": "plain", "data": "so bad", "label": 0},
        {"test": "shouted", "data": "GOOD!", "label": 2},
        {"test": "same", "data": ["a good day", "a good film"]},
    ]
    found = behaviour(WordPredictor(by_word), load_suite(write(tmp_path, tests, cases)))
    assert [(test.name, test.asked, test.failed) for test in found.tests] == [
        ("plain", 3, 0),
        ("shouted", 1, 1),
        ("same", 1, 0),
    ]
    assert found.failure_rate == {"Vocabulary": 0.5, "NER": 0.0}
    assert found.failure_rate_by_case == {"Vocabulary": 0.25, "NER": 0.0}
    assert found.tests[1].ci95.low < 1.0 == found.tests[1].ci95.high


def test_a_test_that_asks_nothing_has_no_part_in_its_capability(tmp_path) -> None:
    """All its originals are called neutral: neither good nor bad."""
    tests = [("reduced", "Vocabulary", NOT_UP), ("plain", "Vocabulary", "pred==label")]
    cases: list[dict[str, object]] = [
        {"test": "reduced", "data": ["a day", "a good day"]},
        {"test": "plain", "data": "good", "label": 0},
    ]
    found = behaviour(WordPredictor(by_word), load_suite(write(tmp_path, tests, cases)))
    assert found.failure_rate == {"Vocabulary": 1.0}


def test_what_is_no_text_is_left_out_and_counted(tmp_path) -> None:
    """The suite as published holds printed Python objects in place of a thousand sentences, three times."""
    tests = [("hard", "Negation", "pred==label"), ("plain", "Negation", "pred==label")]
    cases: list[dict[str, object]] = [
        {"test": "hard", "data": "<__main__.Stub object at 0x7f16006edd90>", "label": 0},
        {"test": "plain", "data": "bad", "label": 0},
    ]
    suite = load_suite(write(tmp_path, tests, cases))
    assert ([test.name for test in suite.tests], suite.empty, suite.left_out) == (["plain"], ("hard",), 1)


def test_a_sample_is_the_same_each_time(tmp_path) -> None:
    """A seed's, at most so many a test, without a say in how many there are."""
    cases: list[dict[str, object]] = [{"test": "plain", "data": f"text {n}", "label": 1} for n in range(40)]
    folder = write(tmp_path, [("plain", "Vocabulary", "pred==label")], cases)
    one, again, other = (load_suite(folder, 5, seed).tests[0] for seed in (0, 0, 1))
    assert one == again
    assert one.cases != other.cases
    assert (len(one.cases), one.available) == (5, 40)


def test_a_rule_that_is_not_known_is_an_error(tmp_path) -> None:
    """Rather than a test that always passes."""
    folder = write(tmp_path, [("plain", "Vocabulary", "pred>=label")], [{"test": "plain", "data": "good", "label": 2}])
    with pytest.raises(TrainingError, match=r"'plain' is not known: pred>=label"):
        load_suite(folder)


def test_without_the_suite_the_error_says_what_to_do(tmp_path) -> None:
    """It is no part of the repository."""
    with pytest.raises(MissingDataError, match="set TIDINGS_DATA_DIR"):
        load_suite(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the measuring data is not at {REAL}; it is no part of the repository")
def test_the_real_suite_is_read_whole() -> None:
    """35 tests with 83,420 cases, every rule known, and the 3,000 broken ones left out."""
    suite = load_suite(REAL)
    assert (len(suite.tests), len(suite.empty), suite.left_out) == (35, 3, 3_000)
    assert sum(len(test.cases) for test in suite.tests) == 83_420
