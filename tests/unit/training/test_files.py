from pathlib import Path

import pytest

from training.files import atomic_folder, atomic_path


def test_a_file_appears_when_it_is_whole(tmp_path) -> None:
    """Under its own name only after the last byte."""
    with atomic_path(tmp_path / "a" / "file") as unfinished:
        unfinished.write_text("content")
        assert not (tmp_path / "a" / "file").exists()
    assert (tmp_path / "a" / "file").read_text() == "content"


def write_half(path: Path, error: type[BaseException]) -> None:
    """Begin to write, and be stopped."""
    with atomic_path(path) as unfinished:
        unfinished.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path, error: type[BaseException]) -> None:
    """Neither half a file nor a folder of the work, on Ctrl-C too; the old content stays."""
    (tmp_path / "file").write_text("old")
    with pytest.raises(error):
        write_half(tmp_path / "file", error)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_folder_grows_where_it_was_told_to(tmp_path) -> None:
    """A server that watches the target's parent never sees the unfinished one."""
    with atomic_folder(tmp_path / "repo" / "model", beside=tmp_path / "repo") as fresh:
        (fresh / "file").write_text("content")
        assert fresh.parent.parent == tmp_path
    assert [path.name for path in (tmp_path / "repo").iterdir()] == ["model"]
