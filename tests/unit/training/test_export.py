import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

import training.build
from tests.unit.training.builders import tiny_adapter, tiny_world
from training.contract import FINE_BUCKETS
from training.device import Device
from training.errors import GateError, TrainingError
from training.export import Exported, export
from training.files import sha256_of
from training.onnx_file import write_onnx
from training.repository import ServingSpec
from training.variant import Variant


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny encoder and a random adapter of it, exported once."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        adapter = tiny_adapter(tiny_world(patch, folder / "encoder"), folder / "adapter")
        yield folder, adapter, export(adapter, folder / "repo")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_int8(model, path: Path, outputs: Sequence[str]) -> None:
    """What a person in a hurry might export."""
    write_onnx(model, path.with_name("fp32.onnx"), outputs=outputs)
    quantize_dynamic(path.with_name("fp32.onnx"), path, weight_type=QuantType.QInt8)


def test_the_contract_describes_the_files_beside_it(world) -> None:
    """Their hashes, the labels' order, the tensors and the lengths that the worker goes by."""
    _, _, exported = world
    contract = json.loads((exported.folder / "contract.json").read_text())
    assert contract["model"]["onnx_sha256"] == sha256_of(exported.folder / "1" / "model.onnx")
    assert contract["tokenizer"]["sha256"] == sha256_of(exported.folder / contract["tokenizer"]["file"])
    assert contract["labels"] == ["negative", "neutral", "positive"]
    assert (contract["inputs"], contract["output"]) == (["input_ids", "attention_mask"], "logits")
    assert contract["buckets"] == list(FINE_BUCKETS)
    assert contract["buckets"][-1] == contract["max_length"] == 256
    assert contract["calibration"] == {"method": "temperature", "temperature": 1.5}


def test_the_contract_states_figures_and_gates(world) -> None:
    """Per source, with VADER beside; both gates passed without a changed label."""
    contract = world[2].contract
    assert set(contract["metrics"]["sources"]) == {"amazon", "movies", "nyt", "tweets"}
    assert 0 <= contract["metrics"]["vader_macro_f1"] <= 1
    assert {gate: found["labels_changed"] for gate, found in contract["parity"].items()} == {"torch": 0, "neighbours": 0}


def test_a_second_export_finds_nothing_to_do(world, monkeypatch) -> None:
    """Fresh means byte for byte what the contract says, of this adapter: nothing is loaded."""
    folder, adapter, exported = world
    monkeypatch.setattr(training.build, "build", None)
    assert export(adapter, folder / "repo") == Exported(exported.folder, exported.contract, was_fresh=True)


def test_the_same_adapter_makes_the_same_bytes(world) -> None:
    """Forced again, every file of the repository comes out the same."""
    folder, adapter, exported = world
    before = contents(exported.folder)
    assert not export(adapter, folder / "repo", force=True).was_fresh
    assert contents(exported.folder) == before


@pytest.mark.parametrize("name", ["1/model.onnx", "tokenizer.json", "config.pbtxt", "contract.json"])
def test_a_missing_or_changed_file_is_exported_again(world, name: str) -> None:
    """Whatever is not what the contract promises."""
    folder, adapter, exported = world
    before = contents(exported.folder)
    (exported.folder / name).unlink()
    assert not export(adapter, folder / "repo").was_fresh
    assert contents(exported.folder) == before


def test_another_device_is_another_export(world) -> None:
    """The configuration changes with it."""
    folder, adapter, exported = world
    export(adapter, folder / "gpu", ServingSpec(device=Device.GPU))
    assert "KIND_GPU" in (folder / "gpu" / "sentiment" / "config.pbtxt").read_text()
    assert "KIND_CPU" in (exported.folder / "config.pbtxt").read_text()


def test_a_variant_is_another_export_of_the_same_file(world) -> None:
    """bf16 has its own configuration and says in its contract what it is; asked for again, it is fresh."""
    folder, adapter, exported = world
    spec = ServingSpec(variant=Variant.BF16)
    made = export(adapter, folder / "bf16", spec)
    assert 'backend: "openvino"' in (made.folder / "config.pbtxt").read_text()
    assert made.contract["model"] == exported.contract["model"] | {"precision": "bf16"}
    assert export(adapter, folder / "bf16", spec).was_fresh
    assert not export(adapter, folder / "bf16").was_fresh


def test_a_bad_model_is_refused_and_the_old_one_stays(world, monkeypatch) -> None:
    """Dynamic int8 fails its gates: a clear error, and not one byte of the repository changes."""
    folder, adapter, exported = world
    before = contents(folder / "repo")
    monkeypatch.setattr(training.build, "write_onnx", write_int8)
    with pytest.raises(GateError, match="the model is not exported"):
        export(adapter, folder / "repo", force=True)
    assert contents(folder / "repo") == before
    assert [path.name for path in (folder / "repo").iterdir()] == ["sentiment"]
    assert exported.folder.is_dir()


def test_the_graph_carries_no_trace_of_this_machine(world) -> None:
    """The exporter's source lines and paths are taken out."""
    body = (world[2].folder / "1" / "model.onnx").read_bytes()
    assert str(Path(training.build.__file__).parents[1]).encode() not in body
    assert b"site-packages" not in body


def test_the_graph_is_sound(world) -> None:
    """The pinned opset, and ONNX's own checker has no complaint."""
    model = onnx.load(world[2].folder / "1" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]


def test_each_step_is_announced(world) -> None:
    """Long work says what it is doing."""
    folder, adapter, _ = world
    steps: list[str] = []
    export(adapter, folder / "repo", force=True, say=steps.append)
    assert len(steps) == 3


def test_a_folder_without_an_adapter_is_named(tmp_path) -> None:
    """Nothing is written for a mistyped path."""
    with pytest.raises(TrainingError, match="has no"):
        export(tmp_path / "nothing", tmp_path / "repo")
    assert not (tmp_path / "repo").exists()
