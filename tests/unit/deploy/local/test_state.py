import json
import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from deploy.local.errors import AlreadyUpError
from deploy.local.report import Health, Kind, PartReport
from deploy.local.state import StackState, StateFiles, env_lines

KAFKA = PartReport("kafka", Kind.STARTED, Health.READY, "apache-kafka 4.3.1", "127.0.0.1:1", {"broker": 1}, (10, 11), "k.log")
STAND_IN = PartReport("triton", Kind.STAND_IN, Health.READY, "onnx in-process", note="no Triton")
STATE = StackState(42, "logs", ready=True, parts=(KAFKA, STAND_IN))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Through JSON and back, with every type as it was."""
    files = StateFiles(tmp_path)
    files.write(STATE)
    assert files.read() == STATE
    assert json.loads(files.state.read_text())["parts"][0]["ports"] == {"broker": 1}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"parts": [{}]}', '{"parts": [], "unknown": 1}'])
def test_a_broken_state_file_is_no_state(tmp_path: Path, text: str) -> None:
    """Left by another version, or by a hand: it must not stop `tidings down`."""
    files = StateFiles(tmp_path)
    assert files.read() is None
    files.state.write_text(text)
    assert files.read() is None


def test_one_stack_a_folder(tmp_path: Path) -> None:
    """The owner is known by its process id; a second is refused and told what to do; the files go in the end."""
    files = StateFiles(tmp_path)
    assert files.owner() is None
    with files.owned():
        files.write_env({"A": "1"})
        assert files.owner() == os.getpid()
        with pytest.raises(AlreadyUpError, match=rf"process {os.getpid()}\).*tidings down"), StateFiles(tmp_path).owned():
            pass
        assert files.read() == StackState(os.getpid())
    assert files.owner() is None
    assert (files.state.exists(), files.env.exists()) == (False, False)


def test_settings_are_for_this_user_only(tmp_path: Path) -> None:
    """A URL may hold a password."""
    files = StateFiles(tmp_path / "new")
    for _ in range(2):
        files.write_env({"TIDINGS_REDIS__URL": "redis://:secret@host/0"})
    assert files.env.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["127.0.0.1:9092", "redis://:p#ss@h/0", "a b", "it's", 'say "x"', r"back\slash", "$HOME `x`"])
def test_any_value_comes_back_from_the_file(tmp_path: Path, value: str) -> None:
    """As dotenv reads it, which is what the worker's settings use."""
    path = tmp_path / "stack.env"
    path.write_text("".join(env_lines({"B": value, "A": "first"})))
    assert list(dotenv_values(path).items()) == [("A", "first"), ("B", value)]
