import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker import cli

Tidings = Callable[..., tuple[Any, str, str]]
GOOD = """
rules:
  - {name: b, detector: {type: single}, severity: info}
  - {name: a, scope: {entities: [globex, acme], kind: chat}, detector: {type: share, threshold: 0.6, window: 10m}, for: 90s}
"""
BAD = "rules:\n  - name: a\n    detector: {type: shar}\n    for: 5\n"


@pytest.fixture
def tidings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tidings:
    """Runs `tidings rules` in a folder of its own: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["tidings", "rules", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return (left.value.code, *capsys.readouterr())

    return run


def test_a_good_file_shows_its_rules(tidings: Tidings) -> None:
    """Name, scope, detector, for, severity and version, in the order of the names."""
    Path("rules.yaml").write_text(GOOD)
    code, out, err = tidings("check")
    title, head, a, b = out.splitlines()
    assert (code, err, title) == (0, "", "rules.yaml: 2 rules")
    assert head.split() == ["name", "scope", "detector", "for", "severity", "version"]
    assert " ".join(a.split()[:-1]) == "a entities acme, globex; kind chat share 0.6 in 10m 1m30s warning"
    assert " ".join(b.split()[:-1]) == "b everything single 0.95 in 1h 0s info"
    assert {len(row.split()[-1]) for row in (a, b)} == {12}


@pytest.mark.parametrize(
    ("detector", "shown"),
    [
        ("{type: share, rise: 0.1, window: 4h}", "share 0.1 above usual in 4h"),
        ("{type: share, rise: 0.1, threshold: 0.5, window: 4h}", "share 0.5 and 0.1 above usual in 4h"),
        ("{type: surge, once_in: 4d}", "surge once in 4d"),
    ],
)
def test_a_rule_shows_what_its_detector_compares_with(tidings: Tidings, detector: str, shown: str) -> None:
    """Not only the number."""
    Path("rules.yaml").write_text(f"rules: [{{name: a, detector: {detector}}}]")
    assert f"everything  {shown}  0s" in tidings("check")[1]


def test_a_bad_file_shows_every_fault(tidings: Tidings) -> None:
    """One line each, ready for an editor to jump to; the exit code says it to a script."""
    Path("mine.yaml").write_text(BAD)
    code, out, _ = tidings("check", "mine.yaml")
    assert code == 1
    first, second = out.splitlines()
    assert first.startswith(
        "mine.yaml:3: rules[0].detector: no such type as 'shar'; did you mean `share`? Types: share, surge,"
    )
    assert second == 'mine.yaml:4: rules[0].for: expected a duration such as "30s", "5m" or "1h30m", not 5'


def test_several_files_are_all_looked_at(tidings: Tidings) -> None:
    """One that is wrong, or not there, does not hide the next."""
    Path("good.yaml").write_text(GOOD)
    Path("bytes.yaml").write_bytes(b"\xff\xfe")
    code, out, _ = tidings("check", "missing.yaml", "bytes.yaml", "good.yaml")
    first, second, third = out.splitlines()[:3]
    assert (code, third) == (1, "good.yaml: 2 rules")
    assert first == "missing.yaml: cannot be read: No such file or directory"
    assert second.startswith("bytes.yaml: cannot be read: 'utf-8' codec")


def test_as_json(tidings: Tidings) -> None:
    """One object a file, with the same rules and faults."""
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)
    code, out, _ = tidings("check", "good.yaml", "bad.yaml", "--json")
    good, bad = map(json.loads, out.splitlines())
    assert code == 1
    assert (good["file"], good["ok"], [rule["name"] for rule in good["rules"]], good["faults"]) == (
        "good.yaml",
        True,
        ["a", "b"],
        [],
    )
    assert (bad["ok"], bad["rules"], bad["faults"][1]["line"], bad["faults"][1]["field"]) == (False, [], 4, "rules[0].for")


def test_the_file_of_the_settings_is_the_default(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker would read."""
    Path("other.yaml").write_text(GOOD)
    monkeypatch.setenv("TIDINGS_ALERT__RULES", "other.yaml")
    assert tidings("check")[1].startswith("other.yaml: 2 rules")


def test_nothing_in_a_file_steers_the_terminal(tidings: Tidings) -> None:
    """Names come from people, and markup is text."""
    Path("rules.yaml").write_text('rules: [{name: a, scope: {entities: "\\e[31m[red]x"}, detector: {type: share}}]')
    code, out, _ = tidings("check")
    assert (code, "\x1b" in out, "[red]" in out) == (0, False, True)


def test_the_schema_is_json(tidings: Tidings) -> None:
    """Nothing else on standard output."""
    code, out, _ = tidings("schema")
    assert (code, json.loads(out)["title"]) == (0, "Tidings alert rules")
