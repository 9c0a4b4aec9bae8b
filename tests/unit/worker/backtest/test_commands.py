import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.alert.builders import RULE, signal
from tests.unit.worker.backtest.test_inputs import hide
from worker import cli
from worker.backtest.inputs import Batch, JsonLines
from worker.codec import encode_signal

Run = Callable[..., tuple[Any, str, str]]
START_S = 1_772_323_200
SIGNALS = [
    *[signal(START_S + at, "negative" if 100 <= at < 160 else "positive", message_id=str(at)) for at in range(300)],
    *[signal(START_S + at, "positive", alert_key="topic:x") for at in range(300, 320)],
]
LATER = RULE.replace("min_messages: 4", "min_messages: 4, window: 100s").replace("window: 50s, ", "")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tidings backtest ...` beside rules.yaml, later.yaml, signals.jsonl, incidents.jsonl: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULE)
    (tmp_path / "later.yaml").write_text(LATER)
    (tmp_path / "signals.jsonl").write_bytes(b"\n".join(map(encode_signal, SIGNALS)))
    seen = {"alert_key": "entity:acme", "start": (START_S + 100) * 1_000, "end": "2026-03-01T00:02:40Z", "name": "recall"}
    missed = seen | {"alert_key": "topic:x", "end": "2026-03-01T01:00:00Z", "name": "unheard"}
    (tmp_path / "incidents.jsonl").write_text(f"{json.dumps(seen)}\n{json.dumps(missed)}\n")

    def go(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["tidings", "backtest", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, *capsys.readouterr()

    return go


def test_it_tells_what_the_rules_would_have_done(run: Run) -> None:
    """Signals, times, figures, and each alert with what it was made of."""
    code, out, err = run("--input", "signals.jsonl")
    assert (code, err) == (0, "")
    assert "signals.jsonl: 320 signals on 2 keys, 2026-03-01T00:00:00Z to 2026-03-01T00:05:19Z" in out
    assert "2026-03-01T00:02:10Z  entity:acme  bad-press  for 1m10s  (" in out
    assert "precision" not in out


def test_it_holds_them_to_labels(run: Run) -> None:
    """Precision, recall, delay, the missed incident by name."""
    _, out, _ = run("--input", "signals.jsonl", "--labels", "incidents.jsonl")
    assert "1.000 (1 of 1)" in out
    assert "0.500 (1 of 2)" in out
    assert "for 1m10s, matched" in out
    assert "missed incidents: 1\n" in out
    assert "topic:x  for 58m20s  unheard" in out


def test_grace_can_be_none(run: Run) -> None:
    """An incident that ended before the alert is missed, and the alert is false; with grace it is found."""
    Path("incidents.jsonl").write_text(
        '{"alert_key": "entity:acme", "start": "2026-03-01T00:01:40Z", "end": "2026-03-01T00:02:00Z"}\n'
    )
    arguments = ("--input", "signals.jsonl", "--labels", "incidents.jsonl")
    assert "false alarm" in run(*arguments, "--grace", "9s")[1]
    assert "matched" in run(*arguments, "--grace", "10s")[1]


def test_json_has_everything(run: Run) -> None:
    """One object, in milliseconds."""
    code, out, _ = run("--input", "signals.jsonl", "--labels", "incidents.jsonl", "--compare", "later.yaml", "--json")
    found = json.loads(out)
    assert (code, found["signals"], found["bad"]["count"]) == (0, 320, 0)
    assert found["late"] == {"signals": 0, "rules": {}, "mean_behind_ms": 0, "most_behind_ms": 0}
    assert found["score"] == found["by_rule"]["bad-press"]
    assert (found["score"]["precision"], found["score"]["recall"], found["score"]["delay_median_ms"]) == (1.0, 0.5, 30_000)
    (alert,) = found["alerts"]
    assert (alert["fired_at_ms"], alert["matched"], alert["evidence"]["messages"]) == ((START_S + 130) * 1_000, True, 50)
    assert [one["name"] for one in found["missed"]] == ["unheard"]
    assert found["other"]["rules"] == "later.yaml"
    assert found["comparison"]["rules"] == {"removed": [], "added": [], "changed": ["bad-press"]}
    assert found["comparison"]["only_this"] == []


def test_compare_shows_what_changes(run: Run) -> None:
    """Both scores, side by side; which alerts move, and by how much."""
    _, out, _ = run("--input", "signals.jsonl", "--compare", "later.yaml")
    assert "rules changed in later.yaml: bad-press" in out
    assert "1 alert in both, 1 of them at another time, 1 with another end" in out
    assert "2026-03-01T00:02:10Z  entity:acme  bad-press  30s later" in out


def test_bad_lines_are_named_and_strict_fails(run: Run) -> None:
    """Never silently dropped."""
    with Path("signals.jsonl").open("ab") as file:
        file.write(b"\n{oops\n")
    code, out, _ = run("--input", "signals.jsonl")
    assert (code, "1 could not be read:\n  signals.jsonl:321: " in out) == (0, True)
    code, _, err = run("--input", "signals.jsonl", "--strict")
    assert (code, err.startswith("tidings: signals.jsonl:321: ")) == (1, True)


def test_late_signals_are_shown(run: Run) -> None:
    """By rule, and with what to do if they are many."""
    with Path("signals.jsonl").open("ab") as file:
        file.write(b"\n" + b"\n".join(map(encode_signal, SIGNALS[:20])))
    _, out, _ = run("--input", "signals.jsonl")
    assert "20 signals came too late for rules.yaml: bad-press 20; behind the newest by" in out
    assert "at most; sort the input by event time, or raise" in out
    assert "too late" not in run("--input", "signals.jsonl", "--allowed-lateness", "10m")[1]


def test_ctrl_c_tells_what_was_found_so_far(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And exits with 130."""
    whole = JsonLines.batches

    def broken(source: JsonLines) -> Iterator[Batch]:
        yield from whole(source)
        raise KeyboardInterrupt

    monkeypatch.setattr(JsonLines, "batches", broken)
    code, out, _ = run("--input", "signals.jsonl")
    assert (code, "broken off" in out, "alerts: 1" in out) == (130, True, True)


def test_plot_draws_the_keys_with_most_to_see(run: Run) -> None:
    """Or those asked for."""
    code, _, err = run("--input", "signals.jsonl", "--labels", "incidents.jsonl", "--plot", "out.svg", "--max-keys", "1")
    assert (code, err) == (0, "drew out.svg\n")
    assert ("<!-- entity:acme -->" in Path("out.svg").read_text(), "topic:x" in Path("out.svg").read_text()) == (True, False)
    run("--input", "signals.jsonl", "--plot", "out.svg", "--keys", "topic:x")
    assert ("<!-- topic:x -->" in Path("out.svg").read_text(), "entity:acme" in Path("out.svg").read_text()) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--input", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (("--input", "signals.jsonl", "--rules", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("--input", "signals.jsonl", "--rules", "signals.jsonl"), "signals.jsonl:"),
        (("--input", "signals.jsonl", "--labels", "signals.jsonl"), "signals.jsonl:1: "),
        (("--input", "signals.jsonl", "--plot", "out.png", "--keys", "entity:nobody"), "entity:nobody"),
        (("--input", "empty.jsonl", "--plot", "out.png"), "nothing to draw"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(run: Run, arguments: tuple[str, ...], why: str) -> None:
    """Exit code 1."""
    Path("empty.jsonl").touch()
    code, _, err = run(*arguments)
    assert (code, why in err, "Traceback" in err) == (1, True, False)


@pytest.mark.parametrize("arguments", [(), ("--input", "x", "--grace", "5"), ("--input", "x", "--allowed-lateness", "soon")])
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    """As with every command."""
    assert run(*arguments)[0] == 2


def test_without_matplotlib_it_says_so_before_the_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And which extra to install."""
    monkeypatch.setitem(sys.modules, "worker.backtest.plot", None)
    hide(monkeypatch, "plot")
    code, out, err = run("--input", "signals.jsonl", "--plot", "out.png")
    assert (code, out, "tidings[backtest]" in err) == (1, "", True)
