import os
from pathlib import Path
from typing import Any

import onnxruntime as ort  # type: ignore[import-untyped]
import pytest

from deploy.local.triton_backend.onnxruntime.session import (
    ConfigError,
    can_batch,
    describe,
    integer_parameter,
    open_session,
    session_options,
)
from tests.support.tiny_onnx import tiny_model


def parameters(**values: str) -> dict[str, Any]:
    """A model configuration with these parameters, as Triton hands it over."""
    return {"parameters": {key: {"string_value": value} for key, value in values.items()}}


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model's folder with version 1."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(tiny_model())
    return tmp_path


def test_options_default_as_in_the_official_backend() -> None:
    """All optimisations, sequential."""
    options = session_options({})
    assert options.inter_op_num_threads == 0
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL


@pytest.mark.parametrize(
    ("groups", "threads"), [([], 6), ([{"count": 1}], 6), ([{"count": 2}], 3), ([{"count": 4}, {}], 1), ([{"count": 9}], 1)]
)
def test_instances_share_the_cores_out(monkeypatch: pytest.MonkeyPatch, groups: list[dict[str, int]], threads: int) -> None:
    """Unlike the official backend, whose server has the machine to itself."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(6)))
    assert session_options({"instance_group": groups}).intra_op_num_threads == threads


def test_parameters_are_honoured() -> None:
    """Threads, mode, arena and graph level."""
    config = parameters(intra_op_thread_count="2", inter_op_thread_count="3", execution_mode="1", enable_mem_arena="0")
    options = session_options({**config, "optimization": {"graph": {"level": 1}}})
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 3)
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    assert not options.enable_cpu_mem_arena


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (parameters(intra_op_thread_count="two"), 'parameter "intra_op_thread_count" must be an integer, got "two"'),
        (parameters(execution_mode="2"), r'parameter "execution_mode" must be one of \[0, 1\], got 2'),
        ({"optimization": {"graph": {"level": 7}}}, r"optimization.graph.level must be one of \[-1, 0, 1\], got 7"),
    ],
)
def test_wrong_parameters_are_named(config: dict[str, Any], message: str) -> None:
    """The key, what is allowed, and what was there."""
    with pytest.raises(ConfigError, match=message):
        session_options(config)


def test_an_empty_parameter_is_the_default() -> None:
    """As protobuf leaves it out."""
    assert integer_parameter(parameters(key=""), "key", 5) == 5


def test_the_file_may_have_another_name(model_dir: Path) -> None:
    """`default_model_filename` of the configuration."""
    (model_dir / "1" / "model.onnx").rename(model_dir / "1" / "other.onnx")
    assert open_session(model_dir, "1", {"default_model_filename": "other.onnx"}).get_outputs()[0].name == "logits"
    with pytest.raises(ConfigError, match=r"no ONNX model at .*model\.onnx"):
        open_session(model_dir, "1", {"default_model_filename": ""})


def test_tensors_are_described_for_triton(model_dir: Path) -> None:
    """Open dimensions are -1, and the batch is left out where Triton adds it."""
    session = open_session(model_dir, "1", {})
    assert can_batch(session)
    assert describe(session.get_inputs()[0], batched=True) == {"name": "input_ids", "data_type": "TYPE_INT64", "dims": [-1]}
    assert describe(session.get_outputs()[0], batched=False)["dims"] == [-1, 3]
