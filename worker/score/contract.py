"""What training promised of a model, and whether the served model keeps it. Pure: bytes and values in, sentences out.

`contract.json` lies beside `config.pbtxt` in the model repository; `tidings export` writes it. Fields that this version does
not know are let through, so that an older worker can read a newer export of the same schema version.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from worker.errors import ContractError, SettingsError
from worker.messages import LABELS, ModelRef
from worker.ports import ModelInfo, TokenBatch

SCHEMA_VERSION = 1
INPUTS = ("input_ids", "attention_mask")
"""The input tensors that a `TokenBatch` fills; the model must take these and no others."""

T = TypeVar("T")
C = TypeVar("C", bound="_Contract")
Name = Annotated[str, Meta(min_length=1)]
FileName = Annotated[str, Meta(pattern=r"^[^/\\]*[^/\\.][^/\\]*$")]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=1)]
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


class _Identity(msgspec.Struct, frozen=True):
    """Which model it is."""

    name: Name
    version: Annotated[str, Meta(pattern="^[1-9][0-9]*$")]
    base: str
    onnx_sha256: Sha256
    precision: str
    opset: Count

    @property
    def ref(self) -> ModelRef:
        """The model as predictions and Triton name it."""
        return ModelRef(self.name, self.version)

    @property
    def pads_freely(self) -> bool:
        """Whether an answer is the same however far its text is padded, as the gates of float32 alone hold it to."""
        return self.precision == "fp32"


class ModelIdentity(_Identity, frozen=True):
    """Which model it is, and of what it was made."""

    adapter_sha256: Sha256


class EncoderIdentity(_Identity, frozen=True):
    """Which encoder it is, and of what it was made."""

    encoder_sha256: Sha256


class NamedFile(msgspec.Struct, frozen=True):
    """A file beside the contract, and its digest."""

    file: FileName
    sha256: Sha256


class Temperature(msgspec.Struct, frozen=True):
    """Temperature scaling: logits are divided by `temperature` before the softmax."""

    method: Literal["temperature"]
    temperature: Annotated[float, Meta(gt=0)]


class Embedding(msgspec.Struct, frozen=True):
    """The output tensor that says what a text means: unit vectors of so many dimensions.

    `background` holds texts of all kinds, one a line, that topics known by their meaning are calibrated on.
    """

    output: Name
    dimensions: Count
    background: NamedFile


class _Contract(msgspec.Struct, frozen=True):
    schema_version: int
    inputs: tuple[str, ...]
    max_length: Annotated[int, Meta(ge=8)]
    buckets: Annotated[tuple[Count, ...], Meta(min_length=1)]
    max_batch_size: Count
    pad_id: Annotated[int, Meta(ge=0)]
    tokenizer: NamedFile


class Contract(_Contract, frozen=True, kw_only=True):
    """The whole of contract.json. `max_length` and `buckets` are in tokens, the two special ones included.

    `embedding` is there if the model says what a text means in the same pass.
    """

    model: ModelIdentity
    labels: tuple[str, ...]
    output: Name
    calibration: Temperature
    embedding: Embedding | None = None
    data: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    parity: dict[str, Any] = {}

    @property
    def outputs(self) -> dict[str, int]:
        """The output tensors and their width."""
        more = {self.embedding.output: self.embedding.dimensions} if self.embedding else {}
        return {self.output: len(self.labels), **more}


class EmbeddingContract(_Contract, frozen=True, kw_only=True):
    """The whole of the contract.json of a model that says what a text means and nothing else."""

    model: EncoderIdentity
    embedding: Embedding
    parity: dict[str, Any] = {}

    @property
    def outputs(self) -> dict[str, int]:
        """The output tensor and its width."""
        return {self.embedding.output: self.embedding.dimensions}


AnyContract = Contract | EmbeddingContract


class _Header(msgspec.Struct):
    schema_version: int


def parse_contract(body: bytes, source: str = "contract.json") -> Contract:
    """Read and check a contract; `source` is what messages call it.

    Raises:
        ContractError: it is no JSON, a field is missing or wrong (named by its path, with what was expected), or the schema
            version is not known.
    """
    contract = _of_this_schema(body, Contract, source)
    if contract.labels != LABELS:
        raise ContractError(f"{source}: labels: expected {list(LABELS)}, in this order, got {list(contract.labels)}")
    return contract


def parse_embedding_contract(body: bytes, source: str = "contract.json") -> EmbeddingContract:
    """Read and check the contract of a model of embeddings; raises ContractError as `parse_contract` does."""
    return _of_this_schema(body, EmbeddingContract, source)


def _of_this_schema(body: bytes, kind: type[C], source: str) -> C:
    version = _decode(body, _Header, source).schema_version
    if version != SCHEMA_VERSION:
        raise ContractError(
            f"{source}: schema_version: expected {SCHEMA_VERSION}, got {version}; worker and export do not match"
        )
    contract = _decode(body, kind, source)
    for field, expected in _violations(contract):
        raise ContractError(f"{source}: {field}: expected {expected}, got {list(getattr(contract, field))}")
    return contract


def _decode(body: bytes, kind: type[T], source: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        expected, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        raise ContractError(f"{source}: {field + ': ' if field else ''}{expected}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"{source}: expected a JSON object: {error}") from error


def _violations(contract: _Contract) -> Iterator[tuple[str, str]]:
    """Yield (field, what was expected) for what types alone cannot say."""
    if contract.inputs != INPUTS:
        yield "inputs", f"{list(INPUTS)}"
    rising = all(low < high for low, high in zip(contract.buckets, contract.buckets[1:], strict=False))
    if not rising or contract.buckets[-1] != contract.max_length:
        yield "buckets", f"rising lengths that end at max_length, {contract.max_length}"


def mismatches(contract: AnyContract, info: ModelInfo) -> list[str]:
    """Say what of the served model is not as the contract promises, one sentence each; empty when all is well."""
    return list(_mismatches(contract, info))


def _mismatches(contract: AnyContract, info: ModelInfo) -> Iterator[str]:
    model = contract.model
    if info.name != model.name:
        yield f"the contract is for the model {model.name}, the server serves {info.name}"
    if model.version not in info.versions:
        served = ", ".join(info.versions) or "none"
        yield f"the contract is for version {model.version} of {model.name}, the server serves version {served}"
    for name in contract.inputs:
        yield from _tensor_mismatches("input", name, ("INT64", (-1,)), info.inputs)
    for name in sorted(info.inputs.keys() - set(contract.inputs)):
        yield f"the served model also wants the input {name}, which the contract does not name"
    for name, width in contract.outputs.items():
        yield from _tensor_mismatches("output", name, ("FP32", (width,)), info.outputs)
    if info.max_batch_size < contract.max_batch_size:
        yield f"max_batch_size: the contract says {contract.max_batch_size}, the server takes at most {info.max_batch_size}"


def _tensor_mismatches(kind: str, name: str, expected: tuple[str, tuple[int, ...]], served: Tensors) -> Iterator[str]:
    if name not in served:
        yield f"the contract names the {kind} {name}, the served model has {', '.join(sorted(served)) or 'none'}"
    elif served[name] != expected:
        yield f"{kind} {name}: the contract says {_tensor(expected)}, the server says {_tensor(served[name])}"


def _tensor(tensor: tuple[str, tuple[int, ...]]) -> str:
    datatype, shape = tensor
    return f"{datatype} {list(shape)}"


def pairing_mismatches(contract: Contract, embedding: EmbeddingContract) -> list[str]:
    """Say why the second model cannot be given the very batches that are made for the first; empty when it can."""
    wrong = []
    if embedding.tokenizer.sha256 != contract.tokenizer.sha256 or embedding.pad_id != contract.pad_id:
        wrong.append("its tokenizer is another one")
    if embedding.max_length < contract.max_length:
        wrong.append(f"it takes {embedding.max_length} tokens at most, batches have up to {contract.max_length}")
    return [f"{embedding.model.name} cannot read the batches of {contract.model.name}: {line}" for line in wrong]


def succession_mismatches(before: Contract, after: Contract) -> list[str]:
    """Say why a running worker cannot go on with another version of its model; empty when it can.

    All but weights and calibration must be as before, or what is tokenised and batched already would not fit. Other weights
    under the old number cannot be told from the old ones in what the server says, so they need a number of their own.
    """
    wrong = _reading_mismatches(before, after)
    if after.model.name != before.model.name:
        wrong.append(f"it is the model {after.model.name}, not {before.model.name}")
    if after.embedding != before.embedding:
        wrong.append("embedding is another one")
    promised = [(contract.model.onnx_sha256, contract.calibration) for contract in (before, after)]
    if after.model.version == before.model.version and promised[0] != promised[1]:
        wrong.append(f"it is another model under the old number {before.model.version}; `tidings promote` gives it the next")
    return wrong


def shadow_mismatches(serving: Contract, shadow: Contract) -> list[str]:
    """Say why a model cannot be asked beside the serving one, with the batches made for that; empty when it can."""
    return _reading_mismatches(serving, shadow)


def _reading_mismatches(before: Contract, after: Contract) -> list[str]:
    same = ("inputs", "output", "labels", "max_length", "buckets", "pad_id", "tokenizer")
    wrong = [f"{name} is another one" for name in same if getattr(before, name) != getattr(after, name)]
    if after.max_batch_size < before.max_batch_size:
        wrong.append(f"it takes {after.max_batch_size} texts at once, not {before.max_batch_size}")
    return wrong


def buckets_of(contract: Contract, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the lengths that texts are padded to: those wanted, by default the contract's.

    Raises:
        SettingsError: they do not rise, or some text would fit none of them.
    """
    if wanted and (sorted(set(wanted)) != list(wanted) or wanted[-1] != contract.max_length):
        raise SettingsError(
            f"score.buckets: expected rising lengths that end at the model's own maximum, {contract.max_length}"
        )
    return wanted or contract.buckets


def tokenizer_mismatches(contract: Contract, body: bytes) -> list[str]:
    """Say so if `body` is not the tokenizer file that the model was trained with."""
    return file_mismatches(contract.tokenizer, body)


def file_mismatches(promised: NamedFile, body: bytes) -> list[str]:
    """Say so if `body` is not the file that was promised."""
    return _digest_mismatches(promised.file, promised.sha256, body)


def onnx_mismatches(contract: AnyContract, body: bytes) -> list[str]:
    """Say so if `body` is not the ONNX file exported with this contract; that file is not committed and may be stale."""
    return _digest_mismatches(f"{contract.model.version}/model.onnx", contract.model.onnx_sha256, body)


def _digest_mismatches(name: str, expected: str, body: bytes) -> list[str]:
    actual = hashlib.sha256(body).hexdigest()
    if actual == expected:
        return []
    return [
        f"{name} is not the file of the contract: its SHA-256 is {actual[:12]}..., expected {expected[:12]}...; export again"
    ]


def batch_problem(batch: TokenBatch) -> str | None:
    """Say what no server could take of a batch: both arrays must be int64, of one shape (texts, tokens), and not empty."""
    ids, mask = batch.input_ids, batch.attention_mask
    if ids.ndim != 2 or 0 in ids.shape:
        return f"input_ids: expected the shape (texts, tokens), got {ids.shape}"
    if mask.shape != ids.shape:
        return f"attention_mask: expected the shape of input_ids, {ids.shape}, got {mask.shape}"
    if ids.dtype != np.int64 or mask.dtype != np.int64:
        return f"expected int64, got input_ids {ids.dtype} and attention_mask {mask.dtype}"
    return None
