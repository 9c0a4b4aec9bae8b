from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.unit.training.compress.builders import rated, tiny_sentiment, word_pieces
from training import gates
from training.compress.int8 import Int8, as_variant, halve_weights, nodes_of_layers, quantise
from training.contract import BUCKETS
from training.data import Split
from training.errors import TrainingError
from training.gates import Lengths
from training.onnx_file import write_onnx
from training.predict import OnnxModel, exported_model, logits_of, probabilities
from training.tokens import load_tokenizer, token_ids
from training.variant import Variant


@pytest.fixture(scope="module")
def fp32(tmp_path_factory) -> Path:
    """A tiny model of three layers."""
    path: Path = tmp_path_factory.mktemp("int8") / "model.onnx"
    write_onnx(tiny_sentiment(layers=3), path)
    return path


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    """Texts of several lengths."""
    texts = [snippet.text for snippet in rated(Split.TRAIN)]
    return token_ids(load_tokenizer(word_pieces(), 64), [*texts, *(f"{text} and {text}" for text in texts[:40])])


@pytest.fixture(scope="module")
def int8(fp32, rows) -> Path:
    """The same in int8."""
    path: Path = fp32.with_name("int8.onnx")
    quantise(fp32, path, rows, Int8(samples=40))
    return path


def operators(path: Path) -> list[str]:
    """What the graph is made of."""
    return [node.op_type for node in onnx.load(path).graph.node]


def test_int8_is_near_the_model_and_not_the_model(fp32, int8, rows) -> None:
    """It is quantised, and its answers are close to those of float32."""
    exact = probabilities(logits_of(OnnxModel(fp32), rows))
    found = gates.agreement(exact, probabilities(logits_of(exported_model(int8, Variant.INT8), rows)))
    assert operators(int8).count("QuantizeLinear") >= 3 * 6
    assert 1e-6 < found.largest_gap < 0.2
    assert found.labels_changed <= 0.05 * found.answers


def test_int8_with_fixed_scales_does_not_depend_on_its_neighbours(int8, rows) -> None:
    """What dynamic int8 fails by: here the gate holds in every bucket."""
    model = exported_model(int8, Variant.INT8)
    found = gates.neighbours(model, rows[:60], Lengths(BUCKETS[:3], alone_padded=True), 1.0)
    assert found.labels_changed == 0


def test_a_sensitive_layer_stays_in_float32(fp32, int8, rows, tmp_path) -> None:
    """Fewer pairs than with all layers in int8, and none before that layer's products."""
    quantise(fp32, tmp_path / "mixed.onnx", rows, Int8(samples=10, float_layers=(1,)))
    assert operators(tmp_path / "mixed.onnx").count("DequantizeLinear") < operators(int8).count("DequantizeLinear")
    model = onnx.load(tmp_path / "mixed.onnx")
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    named = set(nodes_of_layers(onnx.load(fp32), [1]))
    kept = [node for node in model.graph.node if node.name in named]
    assert len(kept) == 8
    assert not [node.name for node in kept if any(made_by.get(name) == "DequantizeLinear" for name in node.input)]


def test_each_layer_has_its_own_products(fp32) -> None:
    """Four maps, two of attention and two of the feed-forward part; the head belongs to none."""
    model = onnx.load(fp32)
    layers = [nodes_of_layers(model, [number]) for number in range(3)]
    assert [len(names) for names in layers] == [8, 8, 8]
    products = [node.name for node in model.graph.node if node.op_type in {"MatMul", "Gemm"}]
    assert [name for names in layers for name in names] == products[:24]


def test_smoothing_moves_outliers(fp32, int8, rows, tmp_path) -> None:
    """With it, activations are multiplied by something before they are rounded."""
    quantise(fp32, tmp_path / "plain.onnx", rows, Int8(samples=10, alpha=-1))
    assert operators(int8).count("Mul") > operators(tmp_path / "plain.onnx").count("Mul")


@pytest.mark.parametrize(("texts", "layers", "named"), [([], (), "needs texts"), ([[2, 3]], (7,), "no layer 7")])
def test_what_cannot_be_quantised_is_told(fp32, tmp_path, texts, layers, named: str) -> None:
    """Before anything is written."""
    with pytest.raises(TrainingError, match=named):
        quantise(fp32, tmp_path / "out.onnx", texts, Int8(float_layers=layers))
    assert list(tmp_path.iterdir()) == []


def test_half_weights_are_half_the_size_and_answer_nearly_the_same(fp32, rows) -> None:
    """Computed in float32: only the rounding of the weights shows."""
    half = fp32.with_name("half.onnx")
    halve_weights(fp32, half)
    exact, near = (probabilities(logits_of(OnnxModel(path), rows)) for path in (fp32, half))
    found = gates.agreement(exact, near)
    assert found.within(gates.PARITY[Variant.FP16])
    assert found.largest_gap > 0
    large = [w for w in onnx.load(half).graph.initializer if np.prod(w.dims) >= 1024]
    assert large
    assert {w.data_type for w in large} == {onnx.TensorProto.FLOAT16}
    assert half.stat().st_size < 0.65 * fp32.stat().st_size


def test_weights_beyond_half_precision_are_refused(fp32, tmp_path) -> None:
    """An infinite weight would be found out by nobody but the gates."""
    model = onnx.load(fp32)
    weights = max(model.graph.initializer, key=lambda weights: np.prod(weights.dims))
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[0] = 1e6
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(TrainingError, match="half precision"):
        halve_weights(tmp_path / "large.onnx", tmp_path / "half.onnx")


@pytest.mark.parametrize("variant", [Variant.FP32, Variant.BF16])
def test_what_is_served_from_the_float32_file_is_left_alone(fp32, tmp_path, variant: Variant) -> None:
    """To the byte; and nobody asks for texts."""
    path = tmp_path / "model.onnx"
    path.write_bytes(fp32.read_bytes())
    as_variant(path, variant, lambda: pytest.fail("no texts are needed"))
    assert path.read_bytes() == fp32.read_bytes()
