import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from training.device import Device
from training.errors import TrainingError
from training.repository import ModelFiles, ServingSpec, config_pbtxt, read_contract, write_model
from training.variant import Variant


def parsed(spec: ServingSpec) -> pb.ModelConfig:
    """The written configuration as Triton reads it."""
    return text_format.Parse(config_pbtxt(spec), pb.ModelConfig())


def model_files(folder: Path, onnx: bytes = b"weights", **contract: object) -> ModelFiles:
    """What a model needs, with weights of a few bytes."""
    (folder / "source.onnx").write_bytes(onnx)
    return ModelFiles("name: 'sentiment'\n", contract or {"schema_version": 1}, "{}", folder / "source.onnx")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_configuration_is_what_the_worker_expects() -> None:
    """Parsed back by protobuf: two open INT64 inputs, three FP32 logits, up to 64 texts a batch."""
    config = parsed(ServingSpec())
    assert (config.name, config.backend, config.max_batch_size) == ("sentiment", "onnxruntime", 64)
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [
        ("input_ids", pb.TYPE_INT64, [-1]),
        ("attention_mask", pb.TYPE_INT64, [-1]),
    ]
    assert [(o.name, o.data_type, list(o.dims)) for o in config.output] == [("logits", pb.TYPE_FP32, [3])]


def test_bfloat16_is_the_same_file_on_openvino() -> None:
    """By the parameters that Triton's own backend documents; everything else is as in float32."""
    config, fp32 = parsed(ServingSpec(variant=Variant.BF16)), parsed(ServingSpec())
    assert (config.backend, config.default_model_filename) == ("openvino", "model.onnx")
    assert {key: value.string_value for key, value in config.parameters.items()} == {"HINT_BF16": "YES"}
    for field in ("backend", "default_model_filename", "parameters", "instance_group"):
        config.ClearField(field)
        fp32.ClearField(field)
    assert config == fp32


def test_int8_is_on_openvino_without_a_hint_and_half_weights_are_on_onnx_runtime() -> None:
    """An int8 file says itself what is computed in int8; weights that are widened at loading need nothing special."""
    int8, fp16 = (parsed(ServingSpec(variant=variant)) for variant in (Variant.INT8, Variant.FP16))
    assert (int8.backend, int8.default_model_filename, dict(int8.parameters)) == ("openvino", "model.onnx", {})
    assert fp16.backend == "onnxruntime"
    assert fp16.parameters["weights"].string_value == "fp16"


@pytest.mark.parametrize("variant", [Variant.BF16, Variant.INT8])
def test_openvino_on_a_gpu_is_refused(variant: Variant) -> None:
    """Triton's OpenVINO backend has CPUs only: better said at the export than by the server."""
    with pytest.raises(TrainingError, match="leave out --device gpu"):
        ServingSpec(variant=variant, device=Device.GPU)


def test_requests_are_batched_dynamically() -> None:
    """The preferred sizes fit the largest batch, and the delay stays in the low milliseconds."""
    config = parsed(ServingSpec())
    assert max(config.dynamic_batching.preferred_batch_size) <= config.max_batch_size
    assert 0 < config.dynamic_batching.max_queue_delay_microseconds <= 5000


@pytest.mark.parametrize(
    ("cores", "count", "threads"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "1"), (4, 4, "1"), (6, 3, "2"), (7, 3, "2"), (16, 4, "4")]
)
def test_the_cores_of_a_cpu_are_shared_out_among_instances(cores: int, count: int, threads: str) -> None:
    """So that none waits for another in every layer; not more than four, for each holds the weights."""
    config = parsed(ServingSpec(cores=cores))
    assert [(group.kind, group.count) for group in config.instance_group] == [(pb.ModelInstanceGroup.KIND_CPU, count)]
    assert {key: value.string_value for key, value in config.parameters.items()} == {"intra_op_thread_count": threads}


def test_the_cores_of_a_server_that_is_not_known_are_its_own_affair() -> None:
    """Two instances, and as many threads as its backend gives each."""
    config = parsed(ServingSpec())
    assert [(group.kind, group.count) for group in config.instance_group] == [(pb.ModelInstanceGroup.KIND_CPU, 2)]
    assert "intra_op_thread_count" not in config.parameters


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (ServingSpec(device=Device.GPU, cores=16), pb.ModelInstanceGroup.KIND_GPU),
        (ServingSpec(variant=Variant.BF16, cores=16), pb.ModelInstanceGroup.KIND_CPU),
    ],
)
def test_a_gpu_and_openvino_have_one_instance(spec: ServingSpec, kind: int) -> None:
    """What more would do there was not measured."""
    config = parsed(spec)
    assert [(group.kind, group.count) for group in config.instance_group] == [(kind, 1)]
    assert "intra_op_thread_count" not in config.parameters


def test_a_model_is_written_whole(tmp_path) -> None:
    """The folder Triton reads: configuration, contract, tokenizer, and the weights in their version's folder."""
    write_model(tmp_path / "repo" / "sentiment", model_files(tmp_path, schema_version=1))
    assert set(contents(tmp_path / "repo" / "sentiment")) == {
        "config.pbtxt",
        "contract.json",
        "tokenizer.json",
        "1/model.onnx",
    }


def test_a_new_model_takes_the_place_of_the_old_one(tmp_path) -> None:
    """Nothing of the old folder stays behind, nor any folder of the work."""
    folder = tmp_path / "repo" / "sentiment"
    write_model(folder, model_files(tmp_path))
    (folder / "stray").write_text("old")
    write_model(folder, model_files(tmp_path, b"newer"))
    assert contents(folder)["1/model.onnx"] == b"newer"
    assert not (folder / "stray").exists()
    assert [path.name for path in (tmp_path / "repo").iterdir()] == ["sentiment"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repo", "source.onnx"]


def test_the_old_model_survives_a_write_that_fails(tmp_path, monkeypatch) -> None:
    """A full disk while copying the weights leaves the repository as it was."""
    folder = tmp_path / "repo" / "sentiment"
    write_model(folder, model_files(tmp_path))
    before = contents(folder)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_model(folder, model_files(tmp_path, b"newer"))
    assert contents(folder) == before


def test_the_old_model_comes_back_if_the_last_step_fails(tmp_path, monkeypatch) -> None:
    """The old folder is already aside when the new one cannot be put in its place."""
    folder = tmp_path / "repo" / "sentiment"
    write_model(folder, model_files(tmp_path))
    before, rename = contents(folder), Path.rename

    def fails_for_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_new)
    with pytest.raises(OSError, match="Input/output"):
        write_model(folder, model_files(tmp_path, b"newer"))
    assert contents(folder) == before


def test_a_contract_is_read_back(tmp_path) -> None:
    """What was written is what is read."""
    write_model(tmp_path / "sentiment", model_files(tmp_path, schema_version=1, labels=["negative"]))
    assert read_contract(tmp_path / "sentiment") == {"schema_version": 1, "labels": ["negative"]}


@pytest.mark.parametrize("content", [None, "", "{", json.dumps([1])[:2]])
def test_a_contract_that_cannot_be_read_is_no_contract(tmp_path, content: str | None) -> None:
    """A damaged repository is exported anew rather than trusted."""
    if content is not None:
        (tmp_path / "contract.json").write_text(content)
    assert read_contract(tmp_path) is None
