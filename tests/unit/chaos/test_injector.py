import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos import injector
from tests.chaos.injector import Injector
from tests.chaos.schedule import Kind, Scheduled
from tests.chaos.world import Did, Fault, NotInjectedError, World


class Over:
    """An event that is never set and never waits."""

    def wait(self, _seconds: float) -> bool:
        """Go on at once."""
        return False


def done_with(fault: Fault, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int = 1) -> list[Any]:
    """Inject this fault so often; return the timeline."""
    monkeypatch.setattr(injector, "CATALOGUE", {"it": fault})
    world = cast("World", SimpleNamespace(over=Over()))
    schedule = [Scheduled(0.0, "it", 1.5, seed) for seed in range(count)]
    working = Injector(world, schedule, folder / "timeline.jsonl")
    working.start()
    working.finish(10)
    assert working.through
    return working.done


def test_fault_is_done_and_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its length and a generator of its own seed; the timeline file says the same as the list."""
    seen: list[tuple[float, float]] = []

    def inject(_world: World, rng: random.Random, lasts_s: float) -> Did:
        seen.append((lasts_s, rng.random()))
        return Did("kafka-1", "down")

    (done,) = done_with(Fault(Kind("it"), inject), tmp_path, monkeypatch)
    assert seen == [(1.5, random.Random(0).random())]
    assert (done.kind, done.target, done.detail, done.injected) == ("it", "kafka-1", "down", True)
    (line,) = (tmp_path / "timeline.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        name: getattr(done, name) for name in ("kind", "target", "start_s", "end_s", "detail", "injected")
    }


@pytest.mark.parametrize("error", [NotInjectedError("nobody there"), OSError("refused"), ValueError("odd answer")])
def test_fault_that_fails_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It is noted as not injected, with its reason, and the run goes on."""

    def inject(*_: Any) -> Did:
        raise error

    done = done_with(Fault(Kind("it", "group"), inject), tmp_path, monkeypatch, count=3)
    assert [fault.injected for fault in done] == [False] * 3
    assert str(error) in done[0].detail


def test_two_of_a_group_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the first takes longer than the schedule thought."""
    under_way: list[int] = []

    def inject(*_: Any) -> Did:
        under_way.append(1)
        assert len(under_way) == 1
        under_way.pop()
        return Did("")

    done = done_with(Fault(Kind("it", "group"), inject), tmp_path, monkeypatch, count=20)
    assert [fault.injected for fault in done] == [True] * 20
