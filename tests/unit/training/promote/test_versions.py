import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_versions import write_model
from training.errors import TrainingError
from training.promote import versions
from training.repository import ModelFiles
from training.repository import write_model as write_exported


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder in a repository."""
    return write_model(tmp_path / "repo" / "sentiment")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another model's folder elsewhere."""
    return write_model(tmp_path / "elsewhere" / "sentiment", scale=2.0)


def test_a_candidate_becomes_the_next_version_with_a_contract_of_its_own(folder: Path, other: Path) -> None:
    """The number alone differs from what was exported; the contract that serves is not touched."""
    before = (folder / "contract.json").read_bytes()
    added = versions.add(folder, versions.serving(other))
    assert (added.number, added.folder, versions.known(folder, "2")) == ("2", folder / "2", added)
    exported = json.loads((other / "contract.json").read_bytes())
    exported["model"]["version"] = "2"
    assert added.contract == exported
    assert (folder / "contract.json").read_bytes() == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["sentiment"]


def test_a_version_with_another_file_than_its_contract_says_is_no_version(folder: Path, other: Path) -> None:
    """A file that was cut off, or built anew."""
    added = versions.add(folder, versions.serving(other))
    (added.folder / "model.onnx").write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="not the file that its contract promises"):
        versions.known(folder, "2")
    with pytest.raises(TrainingError, match="cannot be read"):
        versions.known(folder, "7")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"max_length": 32, "buckets": [8, 32]}, "max_length, buckets"),
        ({"max_batch_size": 8}, "max_batch_size"),
        ({"tokenizer": {"file": "tokenizer.json", "sha256": "0" * 64}}, "tokenizer"),
    ],
)
def test_what_workers_could_not_go_over_to_is_refused(folder: Path, other: Path, change: dict[str, Any], why: str) -> None:
    """Before anything is loaded, with what differs."""
    contract = json.loads((other / "contract.json").read_bytes()) | change
    (other / "contract.json").write_text(json.dumps(contract))
    with pytest.raises(TrainingError, match=f"while workers run: {why}"):
        versions.require_alike(
            versions.serving(folder), versions.serving(other), folder / "config.pbtxt", other / "config.pbtxt"
        )


def test_another_backend_is_refused_and_another_policy_is_not(folder: Path, other: Path) -> None:
    """All versions share one configuration."""
    config = other / "config.pbtxt"
    pair = versions.serving(folder), versions.serving(other)
    config.write_text(versions.with_versions(config.read_text(), ("3", "1")))
    assert "versions: 1\n" in config.read_text()
    versions.require_alike(*pair, folder / "config.pbtxt", config)
    config.write_text(config.read_text().replace("onnxruntime", "openvino"))
    with pytest.raises(TrainingError, match="same device and variant"):
        versions.require_alike(*pair, folder / "config.pbtxt", config)


def test_only_one_promotion_at_a_time(folder: Path) -> None:
    """The second is told so at once."""
    with versions.alone(folder), pytest.raises(TrainingError, match="under way"), versions.alone(folder):
        pytest.fail("both hold it")
    with versions.alone(folder):
        pass


@pytest.mark.parametrize(
    ("steps", "number", "found"),
    [
        ([], "1", None),
        ([("promote", "1", "2")], "2", "1"),
        ([("promote", "1", "2")], "3", None),
        ([("promote", "1", "2"), ("promote", "2", "3")], "3", "2"),
        ([("promote", "1", "2"), ("promote", "2", "3"), ("rollback", "3", "2")], "2", "1"),
        ([("promote", "1", "2"), ("rollback", "2", "1")], "1", None),
        ([("promote", "1", "2"), ("rollback", "2", "1"), ("promote", "1", "3")], "3", "1"),
    ],
)
def test_each_rollback_takes_one_promotion_back(
    folder: Path, steps: list[tuple[str, str, str]], number: str, found: str | None
) -> None:
    """By the history as it is written and read."""
    for action, before, after in steps:
        versions.remember(folder, action, (before, after), {"accuracy": [0.7, 0.8]})
    assert versions.before(versions.history(folder), number) == found


def test_an_export_does_not_replace_a_folder_with_a_history(folder: Path) -> None:
    """It would take away what serves."""
    versions.remember(folder, "promote", ("1", "2"), {})
    with pytest.raises(TrainingError, match="tidings promote --adapter"):
        write_exported(folder, ModelFiles("", {}, "", folder / "1" / "model.onnx"))
