import signal
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from tests.chaos.workers import Slot, Workers


class Process:
    """A process as the supervisor sees it; `code` is None while it lives."""

    def __init__(self, pid: int = 4_000_000) -> None:
        self.pid = pid
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code."""
        return self.code


class Supervised:
    """One slot, the supervisor's decisions about it, and the signals that it would send."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workers = Workers(folder, {}, {"score": 1})
        self.slot = self.workers.slots[0]
        self.launched: list[float] = []
        self.signals: list[int] = []
        monkeypatch.setattr(self.workers, "_launch", self._launch)
        monkeypatch.setattr(self.slot, "signal", self._signal)

    @property
    def process(self) -> Process:
        """What is in the slot."""
        return cast("Process", self.slot.process)

    def _launch(self, slot: Slot, now: float) -> None:
        slot.process = cast("subprocess.Popen[bytes]", Process())
        slot.started_at = now
        self.launched.append(now)

    def _signal(self, number: int) -> bool:
        self.signals.append(number)
        return True

    def look(self, *moments: float) -> None:
        """Have the supervisor look at these times."""
        for now in moments:
            self.workers._look_after(self.slot, now)


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervised:
    """A slot that wants a worker."""
    return Supervised(tmp_path, monkeypatch)


def test_a_worker_that_ends_is_started_again_ever_later(supervised: Supervised) -> None:
    """As Kubernetes backs off from one that crashes at once; one that has lived is started soon."""
    supervised.look(0.0)
    supervised.process.code = 1
    supervised.look(1.0, 1.5, 2.0)
    assert supervised.launched == [0.0, 2.0]
    supervised.process.code = 1
    supervised.look(2.5, 4.0, 4.5)
    assert supervised.launched == [0.0, 2.0, 4.5]
    supervised.process.code = -9
    supervised.look(100.0, 100.4, 100.5)
    assert supervised.launched == [0.0, 2.0, 4.5, 100.5]
    assert supervised.slot.exits == [1, 1, -9]


def test_one_that_is_not_wanted_is_asked_and_then_made_to_leave(supervised: Supervised) -> None:
    """SIGTERM once, SIGKILL after 30 s, which is counted; and nobody takes its place."""
    supervised.look(0.0)
    supervised.slot.wanted = False
    supervised.look(1.0, 2.0, 30.0)
    assert supervised.signals == [signal.SIGCONT, signal.SIGTERM]
    supervised.look(31.5)
    assert supervised.signals[-1] == signal.SIGKILL
    assert supervised.slot.forced == 1
    supervised.process.code = -9
    supervised.look(32.0, 60.0)
    assert supervised.launched == [0.0]


def test_one_that_was_asked_to_leave_while_wanted_comes_back(supervised: Supervised) -> None:
    """A SIGTERM from outside is a restart."""
    supervised.look(0.0)
    assert supervised.slot.ask_to_leave(20.0)
    assert not supervised.slot.ask_to_leave(20.5)
    supervised.process.code = 0
    supervised.look(21.0, 21.5)
    assert supervised.launched == [0.0, 21.5]
    assert supervised.slot.forced == 0


def test_slots_are_named_by_role_and_number(tmp_path: Path) -> None:
    """Each with a folder for its orders."""
    workers = Workers(tmp_path, {}, {"score": 2, "alert": 1})
    assert [slot.name for slot in workers.slots] == ["score-1", "score-2", "alert-1"]
    assert workers.add("alert").name == "alert-2"
    assert all(slot.folder.is_dir() for slot in workers.slots)


def test_an_order_is_given_taken_back_and_seen_to_be_done(tmp_path: Path) -> None:
    """The files between harness and worker; a new order forgets that an old one was carried out."""
    slot = Slot("score", 1, tmp_path)
    slot.arm("score.mid_produce", 2, "kill")
    seen = [slot.hit]
    assert "score.mid_produce" in (tmp_path / "point").read_text()
    (tmp_path / "point").rename(tmp_path / "hit")
    seen.append(slot.hit)
    slot.arm("score.mid_produce", 1, "stop")
    assert [*seen, slot.hit] == [False, True, False]
    slot.disarm()
    slot.disarm()
    assert not (tmp_path / "point").exists()


def test_nobody_is_signalled_in_an_empty_slot(tmp_path: Path) -> None:
    """A fault that meets no worker can tell."""
    slot: Any = Slot("alert", 1, tmp_path)
    assert not slot.signal(signal.SIGKILL)
    assert not slot.ask_to_leave(0.0)
