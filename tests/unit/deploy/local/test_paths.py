import datetime
from pathlib import Path

import pytest

from deploy.local.errors import LocalStackError
from deploy.local.paths import KEPT_RUNS, building, content_key, is_locked, locked, new_run

NOW = datetime.datetime(2026, 11, 22, 3, 4, 5, tzinfo=datetime.UTC)


def test_a_key_changes_with_its_parts_and_their_borders() -> None:
    """Two pins that differ must not share a folder of the cache."""
    assert content_key(b"a", "b") == content_key("a", b"b")
    assert len({content_key("ab"), content_key("a", "b"), content_key("b", "a")}) == 3


def test_a_folder_is_built_once(tmp_path: Path) -> None:
    """The second time there is nothing to do."""
    target = tmp_path / "kafka" / "4"
    with building(target) as scratch:
        assert scratch is not None
        (scratch / "jar").write_text("content")
        assert not target.exists()
    assert (target / "jar").read_text() == "content"
    with building(target) as scratch:
        assert scratch is None


def test_a_build_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """An error or Ctrl-C half-way does not poison the cache."""
    target = tmp_path / "env"

    def break_off() -> None:
        with building(target) as scratch:
            assert scratch is not None
            (scratch / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert [path.name for path in tmp_path.iterdir()] == ["env.lock"]


def test_scratch_of_a_killed_build_is_removed(tmp_path: Path) -> None:
    """What kill -9 left behind is neither used nor kept."""
    (tmp_path / "env.making-killed").mkdir()
    with building(tmp_path / "env") as scratch:
        assert scratch is not None
        assert not list(scratch.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env", "env.lock"]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """A second holder is refused with the message given, until the first lets go."""
    lock = tmp_path / "folder" / "lock"
    assert not is_locked(lock)
    with locked(lock, "in use"):
        assert is_locked(lock)
        with pytest.raises(LocalStackError, match="in use"), locked(lock, "in use"):
            pass
    assert not is_locked(lock)
    with locked(lock, "in use"):
        pass


def test_fresh_data_lies_in_the_run_and_goes(tmp_path: Path) -> None:
    """Clearing a run keeps its logs only."""
    run = new_run(tmp_path, None, NOW)
    run.data.mkdir()
    run.scratch("kafka")
    run.log("kafka").write_text("a line")
    run.clear()
    assert [path.name for path in run.root.iterdir()] == ["logs"]
    assert run.log("kafka").read_text() == "a line"


def test_named_data_stays(tmp_path: Path) -> None:
    """Data that the user named is not in the run, so clearing does not touch it."""
    data = tmp_path / "mine"
    data.mkdir()
    run = new_run(tmp_path / "state", data, NOW)
    run.clear()
    assert run.data == data
    assert data.is_dir()


def test_two_runs_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """Even within one process."""
    assert new_run(tmp_path, None, NOW).root != new_run(tmp_path, None, NOW).root


def test_old_runs_are_forgotten_but_not_those_still_up(tmp_path: Path) -> None:
    """The newest few are kept for their logs; a run whose lock is held is never removed."""
    hours = [NOW + datetime.timedelta(hours=hour) for hour in range(KEPT_RUNS + 5)]
    oldest = new_run(tmp_path, None, hours[0])
    with locked(oldest.root / "lock"):
        runs = [new_run(tmp_path, None, hour) for hour in hours[1:]]
        left = set((tmp_path / "runs").iterdir())
    assert oldest.root in left
    assert {run.root for run in runs[-KEPT_RUNS:]} <= left
    assert len(left) == KEPT_RUNS + 1
