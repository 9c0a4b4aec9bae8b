import json
import os
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import failpoints
from tests.chaos.failpoints import Failpoints
from tests.unit.worker.alert.builders import event
from worker.ports import StoredEvent, StreamPart


def arm(folder: Path, point: str, nth: int = 1, action: str = "kill") -> None:
    """Give an order, as `workers.Slot.arm` does."""
    (folder / "point").write_text(json.dumps({"point": point, "nth": nth, "action": action}))


class Acted:
    """Failpoints that note the signals they would send."""

    def __init__(self, folder: Path) -> None:
        self.signals: list[int] = []
        self.points = Failpoints(folder, self.signals.append)


@pytest.fixture
def acted(tmp_path: Path) -> Acted:
    """In an empty folder."""
    return Acted(tmp_path)


def test_nothing_happens_without_an_order(acted: Acted) -> None:
    """A worker that is not armed works."""
    acted.points.reach("score.mid_produce")
    assert acted.signals == []


@pytest.mark.parametrize(("action", "number"), [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)])
def test_order_is_carried_out_once(acted: Acted, tmp_path: Path, action: str, number: int) -> None:
    """At the named point only, and the process that comes after it is not hit again; the harness sees that it was."""
    arm(tmp_path, "score.before_commit", action=action)
    acted.points.reach("score.mid_produce")
    assert acted.signals == []
    acted.points.reach("score.before_commit")
    acted.points.reach("score.before_commit")
    assert acted.signals == [number]
    assert (tmp_path / "hit").exists()
    assert not (tmp_path / "point").exists()


def test_nth_passing(acted: Acted, tmp_path: Path) -> None:
    """Counted from the order on; another order counts anew."""
    arm(tmp_path, "p", nth=3)
    for _ in range(2):
        acted.points.reach("p")
    assert acted.signals == []
    arm(tmp_path, "p", nth=2)
    os.utime(tmp_path / "point", (1, 1))
    acted.points.reach("p")
    assert acted.signals == []
    acted.points.reach("p")
    assert len(acted.signals) == 1


def test_half_written_order_is_no_order(acted: Acted, tmp_path: Path) -> None:
    """Rather no fault than a crash of the wrong kind."""
    (tmp_path / "point").write_text('{"point"')
    acted.points.reach("p")
    assert acted.signals == []


class Passed(Failpoints):
    """Failpoints that note what was passed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def reach(self, point: str) -> None:
        """Take note."""
        self.names.append(point)


class Store:
    """An alert store that has one event."""

    def __init__(self, passed: Passed) -> None:
        self.passed = passed

    def commit(self, _order: Any) -> None:
        """Take note."""
        self.passed.names.append("commit")

    def events(self, *_: Any) -> StreamPart:
        """Return one."""
        return StreamPart([StoredEvent(0, 0, event())], 1)

    def trim(self, *_: Any) -> None:
        """Take note."""
        self.passed.names.append("trim")


def test_points_lie_around_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after the script, behind a read that found something, before the trim."""
    passed = Passed()
    for name in ("commit", "events", "trim"):
        monkeypatch.setattr(Store, name, getattr(Store, name))  # put back what is wrapped here
    failpoints.wrap_store(passed, Store)
    store = Store(passed)
    store.commit(None)
    store.events()
    store.trim()
    assert passed.names == [
        "alert.before_redis",
        "commit",
        "alert.after_redis",
        "relay.after_read",
        "relay.before_trim",
        "trim",
    ]


def test_clock_is_shifted_and_set_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the seconds in the file, and no longer than they are there; gRPC has the real time all along."""
    for name in failpoints.KEEP_REAL_TIME:
        monkeypatch.setattr(import_module(name), "time", time)
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    failpoints.shift_clock(tmp_path)
    assert time.time() == 1000
    (tmp_path / "clock").write_text("-3600")
    now[0] += 1
    assert time.time() == 1001 - 3600
    assert {import_module(name).time.time() for name in failpoints.KEEP_REAL_TIME} == {1001}
    (tmp_path / "clock").write_text("0")
    now[0] += 1
    assert time.time() == 1002
