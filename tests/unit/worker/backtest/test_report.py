from io import StringIO

from rich.console import Console

from tests.unit.worker.backtest.builders import alert, incident, outcome
from worker.backtest.comparing import compare
from worker.backtest.inputs import Fault
from worker.backtest.report import Report, Side, as_json, show
from worker.backtest.running import Faults, Ran
from worker.backtest.scoring import Labels, score


def told(report: Report, limit: int = 20) -> str:
    """What is printed."""
    out = StringIO()
    show(report, Console(file=out, width=200), limit)
    return out.getvalue()


def report(*alerts: object, faults: int = 0, labels: Labels | None = None) -> Report:
    """Of one side."""
    found = outcome(*alerts)  # type: ignore[arg-type]
    named = [Fault(f"[red]f[/red]:{line}", "[oops]") for line in range(min(faults, 100))]
    side = Side("rules.yaml", found, score(found, labels))
    return Report("in.jsonl", Ran(found, None, Faults(faults, named), False), (side,), None, labels is not None)


def test_each_rule_has_a_row_and_all_of_them_one() -> None:
    """With figures of its own."""
    text = told(report(alert(10, 20), alert(10, None, key="topic:film", rule="film-only")))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["bad-press", "1", "1", "0", "0", "1"],
        ["film-only", "1", "0", "1", "0", "1"],
        ["all", "2", "1", "1", "0", "2"],
    ]
    assert "topic:film  film-only  open" in text


def test_long_lists_are_cut_and_say_so() -> None:
    """Alerts by --limit, faults by the first few; names with brackets are shown as they are."""
    text = told(report(*[alert(at, at + 1) for at in range(9)], faults=120), limit=3)
    assert text.count("bad-press  for 1s") == 3
    assert "and 6 more; --limit shows them" in text
    assert "120 could not be read:\n  [red]f[/red]:0: [oops]\n" in text
    assert "and 115 more; --json names the first 100" in text


def test_two_sides_stand_row_by_row() -> None:
    """And what only one has is listed under its name, matched or false."""
    this, other = outcome(alert(10, 20), alert(50_000, 50_001)), outcome(alert(12, 20), alert(10, 20, key="topic:film"))
    labels = Labels((incident(0, 100),))
    sides = (Side("a.yaml", this, score(this, labels)), Side("b.yaml", other, score(other, labels)))
    both = Report("in", Ran(this, other, Faults(), False), sides, compare(this, other), True)
    text = told(both)
    assert [line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│ all")] == ["a.yaml", "b.yaml"]
    assert "only with a.yaml: 1\n  2026-03-01T13:53:20Z  entity:acme  bad-press  for 1s, false alarm" in text
    assert "only with b.yaml: 1\n  2026-03-01T00:00:10Z  topic:film" in text
    assert "2026-03-01T00:00:10Z  entity:acme  bad-press  2s later" in text
    found = as_json(both)
    assert found["comparison"]["both"][0]["shift_ms"] == 2_000
    assert [one["matched"] for one in found["alerts"]] == [True, False]


def test_incidents_outside_the_input_are_told() -> None:
    """They count for nothing."""
    assert "1 incident outside the input left out" in told(report(labels=Labels((incident(-10, -5),))))
