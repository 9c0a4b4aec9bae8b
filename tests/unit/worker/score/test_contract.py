import hashlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ContractError, SettingsError
from worker.messages import LABELS, ModelRef
from worker.ports import ModelInfo, TokenBatch
from worker.score.contract import batch_problem, buckets_of, mismatches, onnx_mismatches, parse_contract, tokenizer_mismatches

DIGEST = hashlib.sha256(b"a file").hexdigest()


def fields(**changes: Any) -> dict[str, Any]:
    """Return contract.json as training writes it, with changes; a dotted name changes a nested field."""
    content: dict[str, Any] = {
        "schema_version": 1,
        "model": {
            "name": "sentiment",
            "version": "1",
            "base": "all-MiniLM-L6-v2",
            "adapter_sha256": DIGEST,
            "onnx_sha256": DIGEST,
            "precision": "fp32",
            "opset": 17,
        },
        "labels": ["negative", "neutral", "positive"],
        "inputs": ["input_ids", "attention_mask"],
        "output": "logits",
        "max_length": 256,
        "buckets": [16, 32, 64, 128, 256],
        "max_batch_size": 64,
        "pad_id": 0,
        "tokenizer": {"file": "tokenizer.json", "sha256": DIGEST},
        "calibration": {"method": "temperature", "temperature": 1.25},
        "data": {"name": "icwsm-2014", "sha256": DIGEST, "threshold": 0.5, "split": "by article"},
        "metrics": {"macro_f1": 0.74},
        "parity": {"max_difference": 1e-5},
    }
    for path, value in changes.items():
        *parents, name = path.split("__")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return content


def body(**changes: Any) -> bytes:
    """Return the file itself."""
    return msgspec.json.encode(fields(**changes))


def info(**changes: Any) -> ModelInfo:
    """Return what a server says that keeps the contract above."""
    kept = ModelInfo(
        name="sentiment",
        versions=("1",),
        platform="onnxruntime_onnx",
        max_batch_size=64,
        inputs={"input_ids": ("INT64", (-1,)), "attention_mask": ("INT64", (-1,))},
        outputs={"logits": ("FP32", (3,))},
        server="triton 2.51.0",
    )
    return msgspec.structs.replace(kept, **changes)


def test_every_field_of_the_brief_is_read() -> None:
    """A whole contract comes back as it was written."""
    contract = parse_contract(body())
    assert contract.model.ref == ModelRef("sentiment", "1")
    assert contract.labels == LABELS
    assert contract.buckets == (16, 32, 64, 128, 256)
    assert contract.calibration.temperature == 1.25
    assert msgspec.to_builtins(contract, builtin_types=(tuple,)).keys() == fields().keys() | {"embedding"}
    assert msgspec.json.decode(msgspec.json.encode(contract)) == fields(embedding=None)


def test_unknown_fields_are_let_through() -> None:
    """A newer export of the same schema version stays readable."""
    assert parse_contract(body(new_field=[1], model__new=2, calibration__note="x")) == parse_contract(body())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__version": 1}, r"c\.json: model\.version: Expected `str`, got `int`"),
        ({"model__version": "one"}, r"c\.json: model\.version: Expected `str` matching regex"),
        ({"model__name": ""}, r"c\.json: model\.name: "),
        ({"model__onnx_sha256": "abc"}, r"c\.json: model\.onnx_sha256: "),
        ({"buckets": []}, r"c\.json: buckets: Expected `array` of length >= 1"),
        ({"buckets": [16, 0]}, r"c\.json: buckets\[1\]: Expected `int` >= 1"),
        (
            {"buckets": [32, 16, 256]},
            r"c\.json: buckets: expected rising lengths that end at max_length, 256, got \[32, 16, 256\]",
        ),
        ({"buckets": [16, 16, 256]}, r"c\.json: buckets: expected rising"),
        ({"buckets": [16, 128]}, r"c\.json: buckets: expected rising lengths that end at max_length, 256"),
        (
            {"labels": ["positive", "neutral", "negative"]},
            r"c\.json: labels: expected \['negative', 'neutral', 'positive'\], in",
        ),
        ({"inputs": ["input_ids"]}, r"c\.json: inputs: expected \['input_ids', 'attention_mask'\], got \['input_ids'\]"),
        ({"max_length": 2}, r"c\.json: max_length: Expected `int` >= 8"),
        ({"pad_id": -1}, r"c\.json: pad_id: Expected `int` >= 0"),
        ({"tokenizer__file": "../tokenizer.json"}, r"c\.json: tokenizer\.file: "),
        ({"tokenizer__file": ".."}, r"c\.json: tokenizer\.file: "),
        ({"calibration__method": "isotonic"}, r"c\.json: calibration\.method: Invalid enum value 'isotonic'"),
        ({"calibration__temperature": 0}, r"c\.json: calibration\.temperature: "),
        ({"schema_version": 2}, r"c\.json: schema_version: expected 1, got 2"),
        ({"schema_version": "1"}, r"c\.json: schema_version: Expected `int`, got `str`"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(changes: dict[str, Any], says: str) -> None:
    """Each wrong field gives one line: file, path, expectation."""
    with pytest.raises(ContractError, match=f"^{says}"):
        parse_contract(body(**changes), "c.json")


def test_a_missing_field_is_named() -> None:
    """A field that is not there is named, too."""
    content = fields()
    del content["model"]["opset"]
    with pytest.raises(ContractError, match=r"^contract\.json: model: Object missing required field `opset`"):
        parse_contract(msgspec.json.encode(content))


def test_the_version_is_judged_before_the_fields() -> None:
    """A contract of another schema version is refused for its version, whatever its fields are."""
    with pytest.raises(ContractError, match="schema_version: expected 1, got 7"):
        parse_contract(b'{"schema_version": 7, "anything": "else"}')


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"schema_version": 1', b"[" * 100_000])
def test_what_is_no_contract_is_refused(content: bytes) -> None:
    """No bytes raise anything but ContractError."""
    with pytest.raises(ContractError, match=r"^contract\.json: "):
        parse_contract(content)


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_any_bytes_are_refused_in_one_line(content: bytes) -> None:
    """Whatever lies where the contract should be, the answer is a ContractError of one line."""
    with pytest.raises(ContractError) as caught:
        parse_contract(content)
    assert "\n" not in str(caught.value)


def test_a_server_that_keeps_the_contract_has_no_mismatches() -> None:
    """More than was promised is fine: further versions and outputs, a larger batch."""
    generous = info(versions=("1", "2"), max_batch_size=128, outputs={"logits": ("FP32", (3,)), "hidden": ("FP32", (384,))})
    assert mismatches(parse_contract(body()), info()) == []
    assert mismatches(parse_contract(body()), generous) == []


@pytest.mark.parametrize(
    ("served", "says"),
    [
        ({"name": "other"}, "the contract is for the model sentiment, the server serves other"),
        ({"versions": ("2", "3")}, "the contract is for version 1 of sentiment, the server serves version 2, 3"),
        ({"versions": ()}, "the contract is for version 1 of sentiment, the server serves version none"),
        ({"outputs": {"scores": ("FP32", (3,))}}, "the contract names the output logits, the served model has scores"),
        ({"outputs": {"logits": ("FP16", (3,))}}, "output logits: the contract says FP32 [3], the server says FP16 [3]"),
        ({"outputs": {"logits": ("FP32", (2,))}}, "output logits: the contract says FP32 [3], the server says FP32 [2]"),
        ({"max_batch_size": 8}, "max_batch_size: the contract says 64, the server takes at most 8"),
    ],
)
def test_each_difference_is_one_clear_sentence(served: dict[str, Any], says: str) -> None:
    """One difference, one sentence."""
    assert mismatches(parse_contract(body()), info(**served)) == [says]


def test_inputs_are_compared_by_name_type_and_shape() -> None:
    """A missing, an odd and a superfluous input are each named, all in one go."""
    inputs: dict[str, tuple[str, tuple[int, ...]]] = {"input_ids": ("INT32", (128,)), "token_type_ids": ("INT64", (-1,))}
    assert mismatches(parse_contract(body()), info(inputs=inputs)) == [
        "input input_ids: the contract says INT64 [-1], the server says INT32 [128]",
        "the contract names the input attention_mask, the served model has input_ids, token_type_ids",
        "the served model also wants the input token_type_ids, which the contract does not name",
    ]


def test_files_are_held_to_their_digests() -> None:
    """The right bytes pass, any others are named with both digests."""
    contract = parse_contract(body())
    assert tokenizer_mismatches(contract, b"a file") == onnx_mismatches(contract, b"a file") == []
    [tokenizer] = tokenizer_mismatches(contract, b"another file")
    [model] = onnx_mismatches(contract, b"")
    assert tokenizer.startswith("tokenizer.json is not the file of the contract: its SHA-256 is ")
    assert DIGEST[:12] in tokenizer
    assert model.startswith("1/model.onnx is not the file of the contract: its SHA-256 is e3b0c44298fc")


@pytest.mark.parametrize(
    ("ids", "mask", "says"),
    [
        (np.ones((2, 4), np.int64), np.ones((2, 4), np.int64), None),
        (np.ones(4, np.int64), np.ones(4, np.int64), "input_ids: expected the shape (texts, tokens), got (4,)"),
        (np.ones((0, 4), np.int64), np.ones((0, 4), np.int64), "input_ids: expected the shape (texts, tokens), got (0, 4)"),
        (np.ones((2, 0), np.int64), np.ones((2, 0), np.int64), "input_ids: expected the shape (texts, tokens), got (2, 0)"),
        (
            np.ones((2, 4), np.int64),
            np.ones((2, 3), np.int64),
            "attention_mask: expected the shape of input_ids, (2, 4), got (2, 3)",
        ),
        (
            np.ones((2, 4), np.int64),
            np.ones((2, 4), np.int32),
            "expected int64, got input_ids int64 and attention_mask int32",
        ),
    ],
)
def test_a_batch_no_server_could_take_is_named(ids: Any, mask: Any, says: str | None) -> None:
    """Shape and type are checked before anything is sent."""
    assert batch_problem(TokenBatch(ids, mask)) == says


def test_a_model_may_promise_embeddings_too() -> None:
    """The server is held to both outputs."""
    file = {"file": "background.txt", "sha256": DIGEST}
    contract = parse_contract(body(embedding={"output": "meaning", "dimensions": 384, "background": file}))
    assert contract.outputs == {"logits": 3, "meaning": 384}
    assert mismatches(contract, info()) == ["the contract names the output meaning, the served model has logits"]
    assert mismatches(contract, info(outputs={"logits": ("FP32", (3,)), "meaning": ("FP32", (384,))})) == []


@pytest.mark.parametrize("name", ["../background.txt", "a/b", ".", ""])
def test_the_background_lies_beside_the_contract(name: str) -> None:
    """No path leads out of the model's folder."""
    embedding = {"output": "meaning", "dimensions": 4, "background": {"file": name, "sha256": DIGEST}}
    with pytest.raises(ContractError, match=r"embedding\.background\.file"):
        parse_contract(body(embedding=embedding))


def test_other_buckets_may_be_wanted() -> None:
    """They rise and end at the model's maximum, so that every text fits one; without any, the contract's are taken."""
    contract = parse_contract(msgspec.json.encode(fields()))
    longest = contract.max_length
    assert buckets_of(contract, None) == contract.buckets
    assert buckets_of(contract, (8, longest)) == (8, longest)
    for wrong in ((8,), (longest, 8), (8, 8, longest)):
        with pytest.raises(SettingsError, match="expected rising lengths that end at"):
            buckets_of(contract, wrong)
