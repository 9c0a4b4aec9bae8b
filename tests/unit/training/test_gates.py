import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

from tests.unit.training.builders import tiny_model
from training import gates
from training.errors import GateError
from training.gates import EXACT, PARITY, Agreement, Bounds, Lengths
from training.onnx_file import write_onnx
from training.predict import OnnxModel, OpenVinoModel, TorchModel, logits_of
from training.variant import Variant

BUCKETS = Lengths((16, 32, 64))


def rows(count: int = 200, seed: int = 1) -> list[list[int]]:
    """Random token ids of 3 to 29 tokens."""
    generator = np.random.default_rng(seed)
    return [generator.integers(4, 14, generator.integers(3, 30)).tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model, exported at full precision and quantised dynamically to int8."""
    folder = tmp_path_factory.mktemp("models")
    write_onnx(tiny_model(folder / "encoder"), folder / "model.onnx")
    quantize_dynamic(folder / "model.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8)
    return folder


def test_full_precision_passes_both_gates(folder) -> None:
    """The exported model answers as the torch model does, and each text as if it were alone."""
    exported = OnnxModel(folder / "model.onnx")
    reference = TorchModel(tiny_model(folder / "encoder"))
    assert gates.parity(logits_of(reference, rows()), logits_of(exported, rows()), 1.0).within(EXACT)
    assert gates.neighbours(exported, rows(), BUCKETS, 1.0).within(EXACT)


def test_dynamic_int8_fails_on_its_neighbours(folder) -> None:
    """Its scale is taken over the whole batch, so a text's answer depends on the other texts."""
    with pytest.raises(GateError, match="batch neighbours"):
        gates.neighbours(OnnxModel(folder / "int8.onnx"), rows(), BUCKETS, 1.0)


def test_dynamic_int8_fails_parity(folder) -> None:
    """It is not the model that was trained."""
    reference, exported = (OnnxModel(folder / name) for name in ("model.onnx", "int8.onnx"))
    with pytest.raises(GateError, match="parity"):
        gates.parity(logits_of(reference, rows()), logits_of(exported, rows()), 1.0)


@pytest.mark.parametrize(("changed", "gap", "passes"), [(0, 0.0, True), (0, 1e-3, True), (0, 1.1e-3, False), (1, 1e-5, False)])
def test_both_limits_hold(changed: int, gap: float, passes: bool) -> None:
    """One changed label is one too many, however small the gap; a gap over 1e-3 is too much, whatever the labels."""
    assert Agreement(100, changed, gap).within(EXACT) is passes


@pytest.mark.parametrize(("changed", "gap", "passes"), [(5, 0.05, True), (6, 0.01, False), (0, 0.051, False)])
def test_a_bound_is_a_share_of_the_labels_and_a_gap(changed: int, gap: float, passes: bool) -> None:
    """Half a percent of a thousand labels is five."""
    assert Agreement(1000, changed, gap).within(Bounds(flips=0.005, gap=0.05)) is passes


def test_every_variant_has_bounds_and_none_lets_more_than_half_a_percent_of_labels_tip() -> None:
    """A variant that is added without a bound would not be held to any."""
    assert set(PARITY) == set(Variant)
    assert all(bounds.flips <= 0.005 for bounds in PARITY.values())
    assert PARITY[Variant.FP32] == EXACT


def test_bfloat16_does_not_depend_on_its_neighbours(folder) -> None:
    """In its own bucket a text's answer is, to the bit, that which it gets alone; and it is near the model as trained."""
    exported = OpenVinoModel(folder / "model.onnx")
    found = gates.neighbours(exported, rows(), Lengths((16, 32, 64), alone_padded=True), 1.0)
    assert found.labels_changed == 0
    assert found.largest_gap < 1e-6
    reference = TorchModel(tiny_model(folder / "encoder"))
    assert gates.parity(logits_of(reference, rows()), logits_of(exported, rows()), 1.0, PARITY[Variant.BF16]).answers == 200


@pytest.mark.parametrize(("gap", "below"), [(3.2e-7, 1e-6), (1e-6, 1e-6), (0.0, 1e-9), (4e-4, 1e-3)])
def test_the_reported_gap_is_a_bound(gap: float, below: float) -> None:
    """The contract states a power of ten, which does not change with the processor."""
    assert Agreement(1, 0, gap).gap_below == pytest.approx(below)


def test_every_bucket_is_tried(folder) -> None:
    """Texts are compared in as many batches as buckets allow: 8,192 padded tokens each, or all texts that fit."""
    short = [row for row in rows() if len(row) <= 16]
    found = gates.neighbours(OnnxModel(folder / "model.onnx"), rows(), BUCKETS, 1.0)
    assert found.answers == len(short) + len(rows()) + 128


def test_the_session_takes_any_length(folder) -> None:
    """Batch and token axes are open."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert [i.shape for i in session.get_inputs()] == [["batch", "tokens"]] * 2
    assert [o.shape for o in session.get_outputs()] == [["batch", 3]]
