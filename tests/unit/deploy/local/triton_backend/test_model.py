"""The backend as Triton calls it, with a `triton_python_backend_utils` of our own in place of Triton's."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from deploy.local.triton import BACKENDS, backend_files
from tests.support.tiny_onnx import VOCABULARY, tiny_model

FILE = "model.onnx"
INPUTS = [{"name": "input_ids"}, {"name": "attention_mask"}]
CANCELLED = 1


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name = name
        self.array = array

    def as_numpy(self) -> np.ndarray:
        """The array."""
        return self.array


class TritonError:
    """An error for one response."""

    CANCELLED = CANCELLED

    def __init__(self, message: str, code: int = 0) -> None:
        self.message = message
        self.code = code


class Response:
    """What `execute` answers to one request."""

    def __init__(self, output_tensors: list[Tensor], error: TritonError | None = None) -> None:
        self.outputs = {tensor.name: tensor.array for tensor in output_tensors}
        self.error = error


class Request:
    """One request of `rows` rows with the same token everywhere."""

    def __init__(self, rows: int, length: int, token: int = 1, *, cancelled: bool = False, wanted: str = "logits") -> None:
        ids = np.full((rows, length), token)
        self.tensors = {"input_ids": Tensor("input_ids", ids), "attention_mask": Tensor("", np.ones_like(ids))}
        self.cancelled = cancelled
        self.wanted = wanted

    def is_cancelled(self) -> bool:
        """Whether the client has gone."""
        return self.cancelled

    def requested_output_names(self) -> list[str]:
        """The outputs that the client asked for."""
        return [self.wanted]


class ModelConfig:
    """The configuration that auto-completion fills in."""

    def __init__(self, **fields: Any) -> None:
        self.fields = {"max_batch_size": 0, "input": [], "output": [], "default_model_filename": FILE, **fields}

    def as_dict(self) -> dict[str, Any]:
        """The configuration so far."""
        return self.fields

    def set_max_batch_size(self, size: int) -> None:
        """As Triton's."""
        self.fields["max_batch_size"] = size

    def set_dynamic_batching(self) -> None:
        """As Triton's."""
        self.fields["dynamic_batching"] = {}

    def add_input(self, tensor: dict[str, Any]) -> None:
        """As Triton's."""
        self.fields["input"].append(tensor)

    def add_output(self, tensor: dict[str, Any]) -> None:
        """As Triton's."""
        self.fields["output"].append(tensor)


class TritonModelException(Exception):  # noqa: N818 - Triton's name
    """The model cannot be loaded."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model's folder with versions 1 and 10."""
    for version in ("1", "10"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "model.onnx").write_bytes(tiny_model())
    return tmp_path


@pytest.fixture(params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The module model.py, loaded as Triton loads it: its folder on the path, with the session of each engine beside it."""
    folder = tmp_path_factory.mktemp(request.param)
    for source in backend_files(request.param):
        (folder / source.name).symlink_to(source)
    utils = ModuleType("triton_python_backend_utils")
    vars(utils).update(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=Response,
        TritonModelException=TritonModelException,
        get_input_tensor_by_name=lambda request, name: request.tensors.get(name),
        get_model_dir=lambda: str(repository),
    )
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location("triton_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in {"merging", "session"} & (set(sys.modules) - before):
        del sys.modules[name]


def load(backend: Any, repository: Path, kind: str = "CPU", **config: Any) -> Any:
    """A model instance, initialised."""
    fields = {"max_batch_size": 64, "input": INPUTS, "output": [{"name": "logits"}], "default_model_filename": FILE, **config}
    model = backend.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(fields),
            "model_repository": str(repository),
            "model_version": "1",
            "model_instance_kind": kind,
        }
    )
    return model


def test_requests_are_answered_in_order_and_as_alone(backend: Any, repository: Path) -> None:
    """Shapes mixed: each answer has its request's rows and the values it gets alone."""
    model = load(backend, repository)
    requests = [Request(1, 8, 1), Request(3, 16, 2), Request(2, 8, 3), Request(1, 16, 4)]
    together = model.execute(requests)
    for request, response in zip(requests, together, strict=True):
        (alone,) = model.execute([request])
        assert response.error is None
        assert response.outputs["logits"].shape == (len(request.tensors["input_ids"].array), 3)
        np.testing.assert_allclose(response.outputs["logits"], alone.outputs["logits"], rtol=1e-6)


@pytest.mark.parametrize("backend", ["onnxruntime"], indirect=True)
def test_a_bad_request_fails_alone(backend: Any, repository: Path) -> None:
    """It shares a shape with good ones, and they are answered."""
    model = load(backend, repository)
    good, bad, other = model.execute([Request(1, 8), Request(1, 8, VOCABULARY + 5), Request(2, 8)])
    assert (good.error, other.error) == (None, None)
    assert "out of" in bad.error.message
    assert bad.outputs == {}


@pytest.mark.parametrize("backend", ["openvino"], indirect=True)
def test_a_token_past_the_vocabulary_spoils_no_other(backend: Any, repository: Path) -> None:
    """OpenVINO takes such a token for nothing rather than complain; the others get the answers they get alone."""
    model = load(backend, repository)
    good, _, other = model.execute([Request(1, 8), Request(1, 8, VOCABULARY + 5), Request(2, 8)])
    (alone,) = model.execute([Request(1, 8)])
    for response in (good, other):
        np.testing.assert_allclose(response.outputs["logits"][:1], alone.outputs["logits"], rtol=1e-6)


def test_a_cancelled_request_is_not_run(backend: Any, repository: Path) -> None:
    """It is answered as cancelled, in its place."""
    cancelled, good = load(backend, repository).execute([Request(1, 8, cancelled=True), Request(1, 8)])
    assert cancelled.error.code == CANCELLED
    assert good.error is None


def test_a_request_without_an_input_gets_an_error(backend: Any, repository: Path) -> None:
    """Not a crash of the instance."""
    request = Request(1, 8)
    del request.tensors["attention_mask"]
    (response,) = load(backend, repository).execute([request])
    assert "attention_mask" in response.error.message


def test_only_what_was_asked_for_is_returned(backend: Any, repository: Path) -> None:
    """A client may leave out outputs."""
    (response,) = load(backend, repository).execute([Request(1, 8, wanted="another")])
    assert response.outputs == {}


def test_a_model_without_batching_runs_each_request_alone(backend: Any, repository: Path) -> None:
    """With max_batch_size 0 the first dimension is the model's own business."""
    responses = load(backend, repository, max_batch_size=0).execute([Request(2, 8), Request(1, 8)])
    assert [response.outputs["logits"].shape for response in responses] == [(2, 3), (1, 3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "GPU"}, "runs on the CPU"),
        ({"default_model_filename": "absent.onnx"}, "no .*ONNX model"),
    ],
)
def test_a_model_that_cannot_be_served_says_why(backend: Any, repository: Path, changes: dict[str, Any], message: str) -> None:
    """As the exception whose text Triton shows."""
    with pytest.raises(TritonModelException, match=message):
        load(backend, repository, **changes)


@pytest.mark.parametrize(
    ("backend", "parameter"), [("onnxruntime", "execution_mode"), ("openvino", "HINT_BF16")], indirect=["backend"]
)
def test_a_parameter_out_of_range_is_named(backend: Any, repository: Path, parameter: str) -> None:
    """Those that the official backend documents."""
    with pytest.raises(TritonModelException, match=parameter):
        load(backend, repository, parameters={parameter: {"string_value": "9"}})


def test_an_empty_configuration_is_completed(backend: Any) -> None:
    """From the newest version's file, as the official backend does: tensors, a batch size of 4, dynamic batching."""
    config = backend.TritonPythonModel.auto_complete_config(ModelConfig()).as_dict()
    assert config["max_batch_size"] == 4
    assert config["dynamic_batching"] == {}
    assert [tensor["name"] for tensor in config["input"]] == ["input_ids", "attention_mask"]
    assert config["output"] == [{"name": "logits", "data_type": "TYPE_FP32", "dims": [3]}]


def test_a_whole_configuration_is_left_as_it_is(backend: Any, repository: Path) -> None:
    """And the model, which may be large, is not opened for it."""
    for version in ("1", "10"):
        (repository / version / "model.onnx").write_bytes(b"not opened")
    whole = {"max_batch_size": 8, "input": INPUTS, "output": [{"name": "logits"}], "default_model_filename": FILE}
    assert backend.TritonPythonModel.auto_complete_config(ModelConfig(**whole)).as_dict() == whole


def test_a_batch_size_of_ones_own_stays(backend: Any) -> None:
    """Completion adds and does not change."""
    assert backend.TritonPythonModel.auto_complete_config(ModelConfig(max_batch_size=64)).as_dict()["max_batch_size"] == 64
