import json
from pathlib import Path

import pytest

from tests.mutation.report import Count, Outcome, as_json, as_text, count, judge, read, total


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("killed", Count(1, (), 0)),
        ("timeout", Count(1, (), 0)),
        ("segfault", Count(1, (), 0)),
        ("survived", Count(1, ("m",), 0)),
        ("no tests", Count(1, ("m",), 0)),
        ("suspicious", Count(1, ("m",), 0)),
        ("not checked", Count(0, (), 1)),
        ("check was interrupted by user", Count(0, (), 1)),
    ],
)
def test_a_mutant_is_noticed_alive_or_not_tried(status: str, expected: Count) -> None:
    """What no test reaches lives, too."""
    assert count({"m": status}) == expected


@pytest.mark.parametrize(
    ("alive", "tried", "unchecked", "outcome"),
    [
        (5, 100, 0, Outcome.ENOUGH_KILLED),
        (6, 100, 0, Outcome.TOO_MANY_ALIVE),
        (6, 100, 9, Outcome.TOO_MANY_ALIVE),
        (5, 100, 1, Outcome.UNFINISHED),
        (0, 0, 0, Outcome.UNFINISHED),
    ],
)
def test_judgement(alive: int, tried: int, unchecked: int, outcome: Outcome) -> None:
    """One in twenty may live; and who has not tried all has not passed."""
    assert judge(Count(tried, ("m",) * alive, unchecked)) == outcome


def test_reads_what_mutmut_wrote(tmp_path: Path) -> None:
    """By exit status of the tests: 1 noticed, 0 did not, none not tried yet; a module without functions is left out."""
    folder = tmp_path / "worker" / "alert"
    folder.mkdir(parents=True)
    (folder / "late.py.meta").write_text(json.dumps({"exit_code_by_key": {"a": 1, "b": 0, "c": None, "d": 33}}))
    (folder / "__init__.py.meta").write_text(json.dumps({"exit_code_by_key": {}}))
    modules = read(tmp_path)
    assert modules == {"worker/alert/late.py": Count(3, ("b", "d"), 1)}
    assert as_json(modules)["total"] == {
        "tried": 3,
        "killed": 1,
        "alive": 2,
        "unchecked": 1,
        "alive_share": 0.6667,
        "survivors": ["b", "d"],
    }
    assert as_text(modules).splitlines() == [
        "worker/alert/late.py: 2 of 3 alive (66.7%), 1 not tried yet",
        "together: 2 of 3 alive (66.7%), 1 not tried yet",
    ]


def test_modules_add_up() -> None:
    """The bound is on all together."""
    assert total([Count(3, ("b",), 1), Count(7, (), 0)]) == Count(10, ("b",), 1)
