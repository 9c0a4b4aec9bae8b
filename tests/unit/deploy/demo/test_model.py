"""The demo exports a model when there is none, or none that is newer than the adapter."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from deploy.local.demo import model
from deploy.local.demo.model import ensure_model, is_exported


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter, written at second 1,000."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    weights = folder / "weights"
    weights.write_bytes(b"adapter")
    os.utime(weights, (1_000, 1_000))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model, written at second 2,000, and its contract."""
    folder = tmp_path / "repository" / "sentiment"
    (folder / "1").mkdir(parents=True)
    onnx = folder / "1" / "model.onnx"
    onnx.write_bytes(b"model")
    os.utime(onnx, (2_000, 2_000))
    digest = hashlib.sha256(b"model").hexdigest()
    (folder / "contract.json").write_text(json.dumps({"model": {"version": "1", "onnx_sha256": digest}}))
    return folder


def test_a_whole_newer_model_is_exported(folder: Path, adapter: Path) -> None:
    """Nothing is to do."""
    assert is_exported(folder, adapter)


def test_no_model_is_not(folder: Path, adapter: Path) -> None:
    """A contract without its model, as in a fresh clone, is not enough."""
    (folder / "1" / "model.onnx").unlink()
    assert not is_exported(folder, adapter)


def test_no_contract_is_not(folder: Path, adapter: Path) -> None:
    """Neither is a model without its contract."""
    (folder / "contract.json").unlink()
    assert not is_exported(folder, adapter)


def test_another_model_is_not(folder: Path, adapter: Path) -> None:
    """Nor one that the contract does not name."""
    (folder / "1" / "model.onnx").write_bytes(b"another")
    assert not is_exported(folder, adapter)


def test_a_newer_adapter_asks_for_an_export(folder: Path, adapter: Path) -> None:
    """An adapter that was changed since is exported anew."""
    os.utime(adapter / "weights", (3_000, 3_000))
    assert not is_exported(folder, adapter)


@pytest.mark.parametrize("exported", [True, False])
def test_ensure(exported: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`tidings export` runs if it must, and says so."""
    ran: list[Sequence[str]] = []

    def run_logged(command: Sequence[str], log: Path, _what: str, *, env: Mapping[str, str], limit_s: float) -> None:
        assert (log, "PYTHONPATH" in env, limit_s > 0) == (tmp_path / "logs" / "export.log", True, True)
        ran.append(command[1:])

    said: list[str] = []
    monkeypatch.setenv("TIDINGS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(model, "is_exported", lambda *_: exported)
    monkeypatch.setattr(model, "run_logged", run_logged)
    ensure_model(said.append)
    assert (ran, bool(said)) == (([], False) if exported else ([["-m", "worker", "export"]], True))
