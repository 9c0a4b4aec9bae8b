import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.chaos import triton


class RealModel:
    """Answers each request with itself."""

    def initialize(self, _args: dict[str, str]) -> None:
        """Nothing to do."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return what was asked."""
        return list(requests)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """The wrapper, loaded as Triton loads it; call it with requests and the order to write first."""
    utilities = ModuleType("triton_python_backend_utils")
    utilities.TritonError = lambda message: message  # type: ignore[attr-defined]
    utilities.InferenceResponse = lambda output_tensors, error: (output_tensors, error)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    monkeypatch.setitem(sys.modules, "real_model", SimpleNamespace(TritonPythonModel=RealModel))
    monkeypatch.setenv("TIDINGS_CHAOS_TRITON", str(tmp_path / "order"))
    path = Path(triton.__file__).with_name("triton_backend") / "model.py"
    spec = importlib.util.spec_from_file_location("wrapped_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    wrapped = module.TritonPythonModel()
    wrapped.initialize({})

    def execute(requests: list[Any], order: dict[str, Any] | None = None) -> list[Any]:
        if order is not None:
            (tmp_path / "order").write_text(json.dumps(order))
        slept.clear()
        return [*wrapped.execute(requests), *(("slept", seconds) for seconds in slept)]

    return execute


def test_behaves_without_an_order(model: Callable[..., list[Any]]) -> None:
    """What the real model says is what is answered."""
    assert model([1, 2, 3]) == [1, 2, 3]
    assert model([1, 2, 3], {}) == [1, 2, 3]


def test_is_slow_when_told_so(model: Callable[..., list[Any]]) -> None:
    """Once a batch, and not after the order was taken back."""
    assert model([1, 2], {"delay_s": 2.5}) == [1, 2, ("slept", 2.5)]
    assert model([1, 2], {}) == [1, 2]


def test_fails_every_so_many_requests(model: Callable[..., list[Any]]) -> None:
    """Counted across batches; the others are answered as ever."""
    failed: tuple[list[Any], str] = ([], "a fault that the harness asked for")
    assert model([1, 2, 3], {"fail_every": 2}) == [1, failed, 3]
    assert model([4, 5], {"fail_every": 2}) == [failed, 5]
