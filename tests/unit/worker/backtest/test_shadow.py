import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.alert.builders import RULE
from tests.unit.worker.builders import shadowed
from worker import cli
from worker.backtest.shadow import Line, ShadowInput, signals_of
from worker.codec import encode_shadowed
from worker.messages import ModelRef, Probabilities, Said, Shadowed

START_MS = 1_772_323_200_000
FIRST, SECOND = ModelRef("sentiment", "1"), ModelRef("sentiment", "2")
BAD, GOOD = Probabilities(0.9, 0.05, 0.05), Probabilities(0.05, 0.05, 0.9)


def said(model: ModelRef, *, bad: bool) -> Said:
    """What a model says of a message."""
    return Said(model, "negative" if bad else "positive", BAD if bad else GOOD)


def message(second: int) -> Shadowed:
    """A message of that second: both models see bad news from 100 on, the second one from 200 on too."""
    serving, shadow = said(FIRST, bad=100 <= second < 160), said(SECOND, bad=100 <= second < 160 or 200 <= second < 260)
    return shadowed(id=f"m{second}", event_time_ms=START_MS + second * 1000, serving=serving, shadow=shadow)


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Any, str, str]:
    """Run `tidings backtest`: exit code, output, errors."""
    monkeypatch.setattr(sys, "argv", ["tidings", "backtest", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code, *capsys.readouterr()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rules, and with comparisons in the order of their ids' partitions, not of time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULE)
    bodies = [encode_shadowed(message(second)) for partition in range(3) for second in range(partition, 400, 3)]
    (tmp_path / "shadow.jsonl").write_bytes(b"\n".join([*bodies, b"{}", b""]))
    return tmp_path


@pytest.mark.usefixtures("place")
def test_the_rules_are_run_on_what_each_model_says(capsys, monkeypatch) -> None:
    """One alert both would have raised, one the second model alone; whatever order the records came in."""
    code, out, _ = run(capsys, monkeypatch, "--input", "shadow.jsonl", "--shadow", "--json")
    found = json.loads(out)
    assert (code, found["signals"], found["bad"]["count"]) == (0, 400, 1)
    assert (found["rules"], found["other"]["rules"]) == ("serving", "shadow")
    assert [len(found["comparison"][name]) for name in ("both", "only_this", "only_other")] == [1, 0, 1]
    assert found["comparison"]["both"][0]["shift_ms"] == 0
    [alone] = [one for one in found["other"]["alerts"] if one["alert_id"] in found["comparison"]["only_other"]]
    assert START_MS + 200_000 <= alone["fired_at_ms"] < START_MS + 260_000
    assert found["late"]["signals"] == 0


@pytest.mark.usefixtures("place")
def test_it_is_told_to_people_by_the_names_of_the_sides(capsys, monkeypatch) -> None:
    """And two rule files beside two models are too many."""
    _, out, _ = run(capsys, monkeypatch, "--input", "shadow.jsonl", "--shadow")
    assert "serving" in out
    assert "shadow" in out
    code, _, err = run(capsys, monkeypatch, "--input", "shadow.jsonl", "--shadow", "--compare", "rules.yaml")
    assert code == 2
    assert "one rule file" in " ".join(err.replace("│", " ").split())


def test_a_message_is_a_signal_on_each_of_its_keys() -> None:
    """With the probabilities of the model that is asked about; what cannot be read is named by its place."""
    one = shadowed(alert_keys=("entity:acme", "topic:film"), serving=said(FIRST, bad=True), shadow=said(SECOND, bad=False))
    serving, shadow = signals_of(one, one.serving), signals_of(one, one.shadow)
    assert [signal.alert_key for signal in serving] == ["entity:acme", "topic:film"]
    assert [(signal.label, signal.negative, signal.model) for signal in shadow] == [("positive", 0.05, SECOND)] * 2
    assert serving[0].score == pytest.approx(-0.85)
    [first, *_] = ShadowInput("x", [Line("x:1", b"no")]).batches()
    assert [fault.place for fault in first.faults] == ["x:1"]
